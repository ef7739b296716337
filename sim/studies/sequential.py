"""Looking again and again: when a comparison may stop, and what it can then promise."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sim.studies.statistics import (
    tail_seeds,
)
from sim.types import Floats

RAREST: Final = 0.02  # share of seeds: fires, spikes and liquidations strike one in fifty; assumed
RULE_OF_THREE: Final = 3.0
FEWEST: Final = 16  # seeds of a first look: fewer cannot show skewness; by simulation
TAIL_T: Final = 25.0  # seeds
TAIL_BOOTSTRAP: Final = 4.0  # seeds; by the simulations of the tests
MANY: Final = 150  # seeds from which bootstrap-t gets on with so few; by simulation
TOO_FEW: Final = 30  # seeds that say little of skewness: its standard error is 0.4; assumed


class Target(NamedTuple):
    """When a sequential comparison stops: every paired interval is at most so wide."""

    half_width: float
    relative: bool  # to the mean of the first policy, else in the KPI's unit

    @classmethod
    def of(cls, text: str) -> "Target":
        """Read `half-width=1%` or `half-width=5000`. Raises ValueError."""
        name, equals, value = text.partition("=")
        try:
            width = float(value.removesuffix("%"))
        except ValueError:
            width = 0.0
        if name.strip() != "half-width" or not equals or not 0.0 < width < math.inf:
            raise ValueError(f"{text!r}: write half-width=1% or half-width=5000 (above 0)")
        return cls(width / 100, True) if value.endswith("%") else cls(width, False)


def unseen_share(n: int) -> float:
    """Share of seeds up to which an event may strike that none of `n` seeds has shown (95 %).

    Source: J. A. Hanley, A. Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA
    249 (1983) 1743-1745: the rule of three.
    """
    return min(RULE_OF_THREE / n, 1.0)


def may_miss(n: int, unit: str = "seed") -> str:
    """What `n` seeds (or points) say little of, as part of a sentence; "" where they are many."""
    if n >= MANY:
        return ""
    skewness = "skewness and " if n < TOO_FEW else ""
    return f"which may miss {skewness}what strikes under {100 * unseen_share(n):.2g} % of {unit}s"


def first_look(rarest: float) -> int:
    """Seeds after which an event that strikes a share `rarest` of seeds has been seen (95 %).

    Raises ValueError for a share that is none.
    """
    if not 0.0 < rarest <= 1.0:
        raise ValueError(f"rarest = {rarest:g}: must be > 0 and <= 1, a share of seeds")
    return max(math.ceil(RULE_OF_THREE / rarest - 1e-9), FEWEST)


def looks(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds at which a sequential comparison looks: doubling, and the most."""
    counts = []
    n = min(first, most)
    while n < most:
        counts.append(n)
        n *= 2
    return (*counts, most)


def spent_level(level: float, looks_: int) -> float:
    """Level of the interval at each of several looks, so that all of them hold together.

    The error is spent in equal parts (Bonferroni): whichever look one stops at, the chance that its
    interval misses is at most 1 - `level`; less, as looks agree with each other.
    """
    return 1.0 - (1.0 - level) / looks_


def stop(plan: Sequence[int], narrow: Callable[[int], bool]) -> tuple[int, bool]:
    """The look at which to stop, and whether the wish was granted: the first that is narrow."""
    for n in plan[:-1]:
        if narrow(n):
            return n, True
    return plan[-1], narrow(plan[-1])


def doubt(differences: Floats, sequential: bool, rarest: float) -> str:
    """Why an interval of the mean of paired differences (n,) may hold less than it says; "" if not.

    Student's t wants n > 25 skewness^2 (W. G. Cochran, Sampling Techniques, 3rd ed., 1977, section
    2.15), that is a tail that rests on 25 seeds; skewness within two standard errors, sqrt(6 / n),
    says nothing. Bootstrap-t, which sequential comparisons use, gets on with four from 150 seeds
    on. A sequential comparison promises to have seen what strikes a share `rarest` of seeds.
    """
    n = len(differences)
    if sequential and n < first_look(rarest):
        return (
            f"{n} seeds may not have seen an event that strikes up to {100 * unseen_share(n):.2g} "
            f"% of seeds; {first_look(rarest)} would, down to {100 * rarest:.3g} %"
        )
    tail = tail_seeds(differences)
    if tail < min(TAIL_BOOTSTRAP if sequential and n >= MANY else TAIL_T, n * n / 24.0):
        return f"the tail of the luck rests on about {max(round(tail), 1)} of {n} seeds"
    return ""

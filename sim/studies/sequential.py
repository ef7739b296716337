"""Sequential comparisons: when one may stop, and what it then guarantees."""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from sim.studies.statistics import (
    tail_seeds,
)
from sim.types import Floats

RAREST: Final = 0.02  # share of seeds: fires, spikes and liquidations strike one in fifty; assumed
RULE_OF_THREE: Final = 3.0
FEWEST: Final = 16  # minimum seeds of a first look: fewer cannot show skewness; by simulation
TAIL_T: Final = 25.0  # seeds
TAIL_BOOTSTRAP: Final = 4.0  # seeds; by the simulations of the tests
MANY: Final = 150  # seeds from which bootstrap-t needs only TAIL_BOOTSTRAP; by simulation
TOO_FEW: Final = 30  # seeds that cannot show skewness: its standard error is 0.4; assumed


class Target(NamedTuple):
    """Stopping rule: the largest half-width that any paired interval may have."""

    half_width: float
    relative: bool  # to the mean of the first policy, else in the KPI's unit

    @classmethod
    def of(cls, text: str) -> "Target":
        """Parse `half-width=1%` or `half-width=5000`.

        Raises:
            ValueError: if the text is neither.
        """
        name, equals, value = text.partition("=")
        try:
            width = float(value.removesuffix("%"))
        except ValueError:
            width = 0.0
        if name.strip() != "half-width" or not equals or not 0.0 < width < math.inf:
            raise ValueError(f"{text!r}: write half-width=1% or half-width=5000 (above 0)")
        return cls(width / 100, True) if value.endswith("%") else cls(width, False)


def unseen_share(n: int) -> float:
    """Highest share of seeds hit by an event that none of `n` seeds has shown (95 %).

    Source: J. A. Hanley, A. Lippman-Hand, If nothing goes wrong, is everything all right?, JAMA
    249 (1983) 1743-1745: the rule of three.
    """
    return min(RULE_OF_THREE / n, 1.0)


def may_miss(n: int, unit: str = "seed") -> str:
    """What `n` seeds (or points) may miss, as part of a sentence; "" if there are many."""
    if n >= MANY:
        return ""
    skewness = "skewness and " if n < TOO_FEW else ""
    return f"which may miss {skewness}what strikes under {100 * unseen_share(n):.2g} % of {unit}s"


def first_look(rarest: float) -> int:
    """Seeds after which an event that hits a share `rarest` of seeds has been seen (95 %).

    Raises:
        ValueError: if `rarest` is not a share.
    """
    if not 0.0 < rarest <= 1.0:
        raise ValueError(f"rarest = {rarest:g}: must be > 0 and <= 1, a share of seeds")
    return max(math.ceil(RULE_OF_THREE / rarest - 1e-9), FEWEST)


def looks(first: int, most: int) -> tuple[int, ...]:
    """Numbers of seeds at which a sequential comparison looks: doubling, up to the maximum."""
    counts = []
    n = min(first, most)
    while n < most:
        counts.append(n)
        n *= 2
    return (*counts, most)


def spent_level(level: float, looks_: int) -> float:
    """Level of the interval at each of several looks, so that all hold jointly.

    The error is split equally (Bonferroni): at whichever look the comparison stops, its interval
    misses with probability at most 1 - `level`; less, because looks are correlated.
    """
    return 1.0 - (1.0 - level) / looks_


def stop(plan: Sequence[int], narrow: Callable[[int], bool]) -> tuple[int, bool]:
    """The first look that is narrow, else the last; and whether the target was reached."""
    for n in plan[:-1]:
        if narrow(n):
            return n, True
    return plan[-1], narrow(plan[-1])


def doubt(differences: Floats, sequential: bool, rarest: float) -> str:
    """Why an interval of mean paired differences (n,) may cover less than its level; "" if not.

    Student's t needs n > 25 skewness^2 (W. G. Cochran, Sampling Techniques, 3rd ed., 1977, section
    2.15), that is a tail that rests on 25 seeds; skewness within two standard errors, sqrt(6 / n),
    is not significant. Bootstrap-t, which sequential comparisons use, needs four from 150 seeds on.
    A sequential comparison guarantees to have seen events that hit a share `rarest` of seeds.
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

"""What a KPI is. One is one function, registered with its unit and its group.

Its docstring is its definition. All of them stand in `sim.results.kpis`.
"""

import inspect
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from sim.finance.firm import Firm
from sim.results.recorder import Recorder
from sim.types import Floats

# Groups.
MARGIN: Final = "margin"
MACHINES: Final = "machines"
LOST: Final = "lost hashrate"
ENERGY: Final = "energy"
SERVING: Final = "serving"
GPU_HOURS: Final = "GPU hours"
FIRM: Final = "firm"
# Units of figures without a dimension: nothing stands behind their numbers.
RATIO: Final = "-"
COUNT: Final = "count"
YES_NO: Final = "0/1"
PLAIN: Final = (RATIO, COUNT, YES_NO)


class Totals(NamedTuple):
    """What KPIs are made of."""

    flow: Floats  # (SITE_FLOWS,) sums over the run and all sites
    hosting_usd: float  # energy that hosts bill
    seconds: int
    recorder: Recorder
    firm: Firm
    stored_j: float = 0.0  # in batteries at the end, less at the start


Function = Callable[[Totals], float]


class Kpi(NamedTuple):
    """A figure of a run."""

    name: str
    unit: str
    group: str
    function: Function
    cause: str = ""  # of lost hashrate, in words

    @property
    def short(self) -> str:
        """The first sentence of the definition, without its full stop."""
        first = inspect.cleandoc(self.function.__doc__ or "").split("\n\n")[0]
        return " ".join(first.split()).removesuffix(".")

    @property
    def definition(self) -> str:
        """The docstring, on one line."""
        return " ".join(inspect.cleandoc(self.function.__doc__ or "").split())


REGISTERED: Final[dict[str, Kpi]] = {}


def kpi(unit: str, group: str, cause: str = "") -> Callable[[Function], Function]:
    """Register a function as the KPI of its name.

    Raises ValueError for a name that is taken.
    """

    def register(function: Function) -> Function:
        name = function.__name__
        if name in REGISTERED:
            raise ValueError(f"KPI {name!r} stands there twice")
        REGISTERED[name] = Kpi(name, unit, group, function, cause)
        return function

    return register


def ratio(part: float, whole: float) -> float:
    """A quotient; NaN for a part of nothing."""
    return part / whole if whole else math.nan


def some(value: float) -> float:
    """The value; NaN for exactly nothing, which has no meaning in a run without it."""
    return value if value != 0.0 else math.nan

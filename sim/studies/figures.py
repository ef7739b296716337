"""Formatting of figures and intervals, for text and for JSON."""

import math
from typing import Any, Protocol


class Ends(Protocol):
    """Anything with a lower and an upper end."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def figure(value: float, digits: int = 4) -> str:
    """Format with `digits` significant digits; as a full integer from 10 ** (digits - 1) on."""
    whole = 10.0 ** (digits - 1) <= abs(value) < math.inf
    return f"{value:,.0f}" if whole else f"{value:,.{digits}g}"


def bracketed(interval: Ends, digits: int = 4) -> str:
    """Format an interval as `[1.2, 3.4]`."""
    return f"[{figure(interval.low, digits)}, {figure(interval.high, digits)}]"


def plain(value: Any) -> Any:
    """Plain JSON values: NamedTuples as objects, numbers that JSON cannot express as null."""
    if hasattr(value, "_asdict"):
        return {name: plain(v) for name, v in value._asdict().items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""Figures and intervals as studies print them, and as JSON has them."""

import math
from typing import Any, Protocol


class Ends(Protocol):
    """Anything between two ends."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def figure(value: float, digits: int = 4) -> str:
    """A number with so many digits; whole, with all its digits, from 10 ** (digits - 1) on."""
    whole = 10.0 ** (digits - 1) <= abs(value) < math.inf
    return f"{value:,.0f}" if whole else f"{value:,.{digits}g}"


def bracketed(interval: Ends, digits: int = 4) -> str:
    """`[1.2, 3.4]`."""
    return f"[{figure(interval.low, digits)}, {figure(interval.high, digits)}]"


def plain(value: Any) -> Any:
    """NamedTuples as objects; numbers that JSON has no word for as null."""
    if hasattr(value, "_asdict"):
        return {name: plain(v) for name, v in value._asdict().items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

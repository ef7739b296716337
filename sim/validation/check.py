"""A check, and the list of all of them."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple


class Check(NamedTuple):
    """One published or theoretical figure beside what the model gives now."""

    check: str
    item: str
    expected: float | str
    simulated: float | str
    unit: str
    tolerance: str
    ok: bool
    source: str


# Modules of this room with `checks(data)`; `data` is None without a data folder.
TOPICS: Final = ("chain", "shock", "miners", "firms", "grid", "thermal", "serving", "theory")


def validate(
    data: Path | None, progress: Callable[[Check], None] | None = None
) -> tuple[list[Check], list[str]]:
    """All checks that can be made, and what was left out for want of data."""
    made: list[Check] = []
    left_out: list[str] = []
    for topic in TOPICS:
        module = import_module(f"sim.validation.{topic}")
        if data is None:
            left_out += module.NEEDS_DATA
        found: Iterator[Check] = module.checks(data)
        for check in found:
            made.append(check)
            if progress is not None:
                progress(check)
    return made, left_out

"""Energy tables to be broken."""

from pathlib import Path

from tests.builders.broken import Change, both, extra, write
from tests.scenario.conftest import Check


def series(days: int, value: float = 1.0) -> Change:
    hours = (f"2026-01-{1 + h // 24:02d}T{h % 24:02d}:00:00Z,{value}\n" for h in range(days * 24))
    return both(
        extra('[series.day]\nfile = "day.csv"\n'), write("day.csv", "time_utc,x\n" + "".join(hours))
    )


DAY, WEEK = series(1), series(7)  # the run needs seven


SHORT = ["series 'day', day.csv", "covers 2026-01-01 00:00 UTC to 2026-01-02 00:00 UTC",
         "the horizon needs 2026-01-01 00:00 UTC and 7 days from there"]  # fmt: skip


def column(folder: Path, sheet: str, column: str, first: str) -> None:
    """Add a column with a value in the first row."""
    file = folder / f"{sheet}.csv"
    head, top, *rows = file.read_text().splitlines()
    text = [f"{head},{column}", f"{top},{first}", *(f"{row}," for row in rows)]
    file.write_text("\n".join(text) + "\n")


def refuses(check: Check, words: list[str]) -> None:
    """The scenario is refused in these words, and nothing is left blank between colons."""
    code, said = check()
    assert code == 2, said
    assert "Traceback" not in said
    count = [] if any(word.endswith(" problems") for word in words) else ["1 problem\n"]
    for word in [*words, *count]:
        assert word in said, f"{word!r} not in:\n{said}"
    assert ": :" not in said
    assert ", :" not in said

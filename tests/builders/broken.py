"""Ways to break a scenario folder."""

from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], None]


def toml(old: str, new: str) -> Change:
    """Replace text of scenario.toml."""

    def change(folder: Path) -> None:
        file = folder / "scenario.toml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    return change


def extra(text: str) -> Change:
    """Append to scenario.toml."""

    def change(folder: Path) -> None:
        with (folder / "scenario.toml").open("a") as file:
            file.write("\n" + text)

    return change


def cell(sheet: str, row: int, column: str, value: str) -> Change:
    """Change one cell; row 2 is the first below the header."""

    def change(folder: Path) -> None:
        import csv

        file = folder / f"{sheet}.csv"
        with file.open(newline="") as stream:
            rows = list(csv.reader(stream))
        rows[row - 1][rows[0].index(column)] = value
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows(rows)

    return change


def remove(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


def write(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text) and None


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for c in changes:
            c(folder)

    return change

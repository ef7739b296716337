"""Rows of recorded CSV files with their positions, so that errors name file and row."""

import math
import re
from pathlib import Path
from typing import Final, NamedTuple

from sim.scenario.numbers import NumberError, plain
from sim.scenario.spreadsheet import SpreadsheetError, read_csv

_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)


class Recorded(NamedTuple):
    """A row of a file."""

    file: str  # below the data folder
    row: int  # row number as in a spreadsheet
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """A cell, stripped of blanks; empty if the file has no such column."""
        return self.cells.get(column, "")

    def number(self, column: str) -> float:
        """A cell that must hold a number.

        Raises:
            ValueError: if the cell is not a number, or is ambiguous.
        """
        text = self.text(column)
        try:
            value = float(plain(text, "", lambda _: True))
        except NumberError as error:
            raise ValueError(f"{self._at(column)} is {text!r}, which {error}") from None
        except ValueError:
            raise ValueError(f"{self._at(column)} is {text!r}; a number is needed") from None
        if not math.isfinite(value):
            raise ValueError(f"{self._at(column)} is {text!r}; a finite number is needed")
        return value

    def positive(self, column: str) -> float:
        """A cell that must hold a number above zero."""
        value = self.number(column)
        if value <= 0.0:
            raise ValueError(f"{self._at(column)} is {value:g}; must be above 0")
        return value

    def hexadecimal(self, column: str) -> int:
        """A cell like 0x1d00ffff."""
        text = self.text(column)
        try:
            return int(text, 16)
        except ValueError:
            raise ValueError(f"{self._at(column)} is {text!r}; write 0x1d00ffff") from None

    def month(self, column: str = "month") -> str:
        """A cell like 2025-09."""
        text = self.text(column)
        if _MONTH.fullmatch(text) is None:
            raise ValueError(f"{self._at(column)} is {text!r}; write year and month as 2025-09")
        return text

    def _at(self, column: str) -> str:
        return f"{self.file}, row {self.row}, column {column}"


def recorded(data: Path, file: str, *needs: str) -> list[Recorded]:
    """Non-empty rows of `file` below the data folder.

    Raises:
        ValueError: if it is not a CSV file, or lacks a column in `needs`.
        OSError: if it cannot be read.
    """

    def known(name: str) -> bool:
        return name in needs

    path = data / file
    try:
        grid = read_csv(path, known)
    except SpreadsheetError as error:
        where = f", {error.where}" if error.where else ""
        raise ValueError(f"{file}{where}: {error}") from None
    header = [cell.text for cell in grid.rows[0].cells] if grid.rows else []
    missing = [name for name in needs if name not in header]
    if missing:
        raise ValueError(f"{file}: no column {', '.join(missing)}")
    return [
        Recorded(
            file,
            row.number,
            {n: c.text for n, c in zip(header, row.cells, strict=False)},
        )
        for row in grid.rows[1:]
    ]

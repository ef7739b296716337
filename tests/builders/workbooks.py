"""The same fleet as TOML and as workbooks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from sim.scenario import load

TOML = '[prices.zones.zone]\nmodel = "fixed"\nusd_per_mwh = 40\n'


SITES = (
    ("name", "climate", "price_zone", "utc_offset_h", "power_limit_mw"),
    ("alpha", "midland-tx", "zone", -6, 10),
    ("bravo", "massena-ny", "zone", -5, 12.5),
)


ASICS = (
    ("Site", "Model", "Count"),
    ("alpha", "Antminer S21", 900),
    ("bravo", "Antminer S19 XP", 1200.0),
)


FLEET = {"sites": SITES, "asics": ASICS}


Table = Sequence[Sequence[Any]]


Change = Callable[[Workbook], None]


def saved(file: Path, tables: dict[str, Table], change: Change = lambda _: None) -> None:
    """A workbook with a worksheet for each table."""
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    change(book)
    book.save(file)


def facts(folder: Path) -> list[object]:
    scenario = load(folder)
    return [(s.name, s.power_limit_mw) for s in scenario.sites] + [
        (a.site, a.model, a.count) for a in scenario.asics
    ]


PLAIN = [
    ("alpha", 10.0),
    ("bravo", 12.5),
    ("alpha", "Antminer S21", 900),
    ("bravo", "Antminer S19 XP", 1200),
]


def asics(change: Callable[[Worksheet], None]) -> Change:
    return lambda book: change(book["asics"])

"""What number formats of Excel show: a unit that is not the column's is refused."""

from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl import Workbook
from openpyxl.styles import Font

from sim.scenario import ScenarioError, load
from sim.scenario.cell_formats import Shown, other_unit, shown_by, trouble
from sim.scenario.model import SeriesSpec
from sim.scenario.series import SeriesError, read_series
from sim.scenario.starting import start
from tests.builders.workbooks import FLEET, PLAIN, TOML, Change, facts, saved

ACCOUNTING = '_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-;_-* "-"??\\ "€"_-;_-@_-'
DOLLARS = '_($* #,##0.00_);_($* (#,##0.00);_($* "-"??_);_(@_)'
# (format, sign of the number) → what is shown, read off Excel's rules by hand
FORMATS: dict[tuple[str, int], Shown] = {
    ("General", 1): Shown(),
    ("#,##0.00", -1): Shown(),
    ('#,##0 "kW"', 1): Shown("kW"),
    ("0\\ \\k\\W", 1): Shown("kW"),
    ("#,##0.00 [$€-407]", 1): Shown("€"),
    ("[$-409]0.0", 1): Shown(),
    ("£#,##0;[Red]-£#,##0", -1): Shown("£"),
    (ACCOUNTING, 1): Shown("€"),
    (ACCOUNTING, -1): Shown("€"),
    (DOLLARS, 1): Shown("$"),
    (DOLLARS, 0): Shown("$"),
    ('0 "a;b"', 1): Shown("a;b"),
    ("#,##0,", 1): Shown(divided_by=1000),
    ('0.0,,"M"', 1): Shown("M", 1_000_000),
    ('[>=1000]0.0,"GW";0 "MW"', 1): Shown("GW MW", 1000),
    ("0%", 1): Shown(percent=True),
    ('0.0 "%"', 1): Shown("%"),
    ("0.00E+00", 1): Shown(),
    ("# ?/?", 1): Shown(),
    ("000", 1): Shown(width=3),
    (";;;", 1): Shown(digits=False),
    ("0;;", -1): Shown(digits=False),
    ("0;-0;;@", 0): Shown(),
    ('"n/a"', 1): Shown("n/a", digits=False),
}


@pytest.mark.parametrize(("number_format", "sign"), FORMATS)
def test_a_format_shows(number_format: str, sign: int) -> None:
    assert shown_by(number_format, sign) == FORMATS[number_format, sign]


@pytest.mark.parametrize(
    ("words", "unit", "other"),
    [
        ("kW", "MW", True), ("MW", "MW", False), ("$", "MW", True), ("€", "USD/MWh", True),
        ("$", "USD/MWh", False), ("US$", "USD/MWh", False), ("$/MWh", "USD/MWh", False),
        ("/MWh", "USD/MWh", False), ("$/kWh", "USD/MWh", True), ("pcs", "machines", False),
        ("Stk", "nodes", False), ("PH/s", "machines", True), ("°C", "C", False),
        ("years", "y", False), ("months", "y", True), ("h", "h", False), ("GW MW", "MW", True),
        ("pcs", "MW", True), ("USD", "USD/GPU/h", False), ("M$", "USD", True),
    ],
)  # fmt: skip
def test_words_that_say_another_unit(words: str, unit: str, other: bool) -> None:
    assert other_unit(words, unit) is other


def test_an_endless_format_costs_nothing() -> None:
    assert shown_by("[" * 50_000 + '"' * 50_000, 1).divided_by == 1
    assert trouble(shown_by("0" * 100_000, 1), "MW") == ""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "scenario.toml").write_text(TOML, encoding="utf-8")
    return mine


def cell(sheet: str, at: str, number_format: str, value: Any = None) -> Change:
    def change(book: Workbook) -> None:
        if value is not None:
            book[sheet][at] = value
        book[sheet][at].number_format = number_format

    return change


def strike(sheet: str, *cells: str) -> Change:
    def change(book: Workbook) -> None:
        for at in cells:
            book[sheet][at].font = Font(strike=True)

    return change


READ: dict[str, Change] = {
    "the column's own unit": cell("sites", "E2", '0.0" MW"'),
    "pieces": cell("asics", "C2", '#,##0 "pcs"'),
    "thousands": cell("asics", "C2", "#,##0"),
    "negative in red": cell("sites", "D2", "0;[Red]-0"),
    "an empty cell that is struck out": strike("asics", "C9"),
}


@pytest.mark.parametrize("what", READ)
def test_formats_that_change_nothing_are_read(folder: Path, what: str) -> None:
    saved(folder / "fleet.xlsx", FLEET, READ[what])
    assert facts(folder) == PLAIN
    assert not load(folder).warnings


def test_a_number_that_is_shown_as_007_is_called_007(folder: Path) -> None:
    def change(book: Workbook) -> None:
        cell("sites", "A2", "000", 7)(book)
        book["asics"]["A2"] = "007"

    saved(folder / "fleet.xlsx", FLEET, change)
    assert load(folder).sites[0].name == "007"


def test_shares_with_either_percent_sign_are_shares(folder: Path) -> None:
    gpus = (("site", "gpu", "nodes", "utilisation", "usd_per_gpu_h"),
            ("alpha", "h100-sxm", 4, 0.85, 2.5), ("bravo", "h100-sxm", 4, 85, 2.5))  # fmt: skip

    def change(book: Workbook) -> None:
        cell("gpus", "D2", "0.0%")(book)
        cell("gpus", "D3", '0 "%"')(book)
        cell("gpus", "E2", DOLLARS)(book)

    saved(folder / "fleet.xlsx", {**FLEET, "gpus": gpus}, change)
    assert [(g.utilisation, g.usd_per_gpu_h) for g in load(folder).gpus] == [(0.85, 2.5)] * 2


POWER = "worksheet sites: row 2 (alpha), power_limit_mw"
REFUSED: dict[str, tuple[Change, list[str]]] = {
    "kW": (
        cell("sites", "E2", '#,##0 "kW"', 1500), [POWER, "= '1500'", "'kW'", "in MW: write MW"],
    ),
    "euros": (cell("sites", "E2", ACCOUNTING), [POWER, "shown with '€'", "in MW"]),
    "thousands left out": (
        cell("sites", "E2", "#,##0,", 1500), [POWER, "divided by 1,000", "in MW"],
    ),
    "nothing": (cell("sites", "E2", ";;;"), [POWER, "shows nothing"]),
    "a word": (cell("asics", "C3", '"n/a"'), ["row 3 (bravo), count", "'n/a' in its place"]),
    "a percent of megawatts": (cell("sites", "E2", "0%"), [POWER, "1000.0%", "must be a number"]),
    "a name that is half format": (
        cell("sites", "A2", '"Site "0', 7), ["row 2 (7), name", "shown with 'Site'", "a text"],
    ),
    "a row struck out": (
        strike("asics", "A3", "B3", "C3"), ["worksheet 'asics', cells A3, B3, C3: are struck out"],
    ),
    "a value struck out": (strike("sites", "E3"), ["worksheet 'sites', cells E3: are struck out"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_format_hides_is_refused(folder: Path, what: str) -> None:
    change, words = REFUSED[what]
    saved(folder / "fleet.xlsx", FLEET, change)
    with pytest.raises(ScenarioError) as refused:
        load(folder)
    for word in ("fleet.xlsx", *words):
        assert word in str(refused.value)


def test_new_says_what_the_workbook_hides(tmp_path: Path) -> None:
    def hide(book: Workbook) -> None:
        book["asics"].row_dimensions[3].hidden = True
        book["asics"].sheet_state = "hidden"

    sites = (("name", "country", "power_limit_mw"), ("alpha", "US", 10), ("bravo", "US", 12.5))
    saved(tmp_path / "book.xlsx", {**FLEET, "sites": sites}, hide)
    said = [str(w) for w in start(tmp_path / "mine", tmp_path / "book.xlsx").warnings]
    assert "book.xlsx, worksheet asics: is hidden, and counts" in said
    assert any("worksheet asics: rows 3 are hidden, and count" in w for w in said)


def prices(folder: Path, *formats: str, struck: bool = False, **keys: Any) -> list[float]:
    """Prices of a day out of a workbook, the cells with these formats in turn."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["time_utc", "p"])
    for hour in range(24):
        sheet.append([f"2026-01-01T{hour:02d}:00:00Z", hour + 0.5])
        sheet.cell(hour + 2, 2).number_format = formats[hour % len(formats)]
    if struck:
        sheet["B5"].font = Font(strike=True)
    book.save(folder / "p.xlsx")
    spec = SeriesSpec.model_validate({"file": "p.xlsx", **keys})
    return read_series(folder / "p.xlsx", spec).column("p").tolist()


def test_prices_are_in_the_currency_that_their_cells_show(tmp_path: Path) -> None:
    assert prices(tmp_path, DOLLARS)[3] == 3.5
    assert prices(tmp_path, ACCOUNTING, currency="EUR", usd_per_currency=2.0)[3] == 7.0
    for wrong, words in (
        ((ACCOUNTING,), "in another currency, EUR"),
        (("General", "[$€-2] 0.0"), "in another currency, EUR"),
        (('0.00 "$/kWh"',), "is per kWh"),
        (("$0.00", "€0.00"), "cell B3 is shown with '€'.*cells above with '\\$'"),
        (("0.0,",), "cell B2 = 0.5: is stored, .*divided by 1,000"),
        ((";;;",), "cell B2 = 0.5: .* shows nothing"),
    ):
        with pytest.raises(SeriesError, match=words):
            prices(tmp_path, *wrong)
    with pytest.raises(SeriesError, match=r"cell B5 = 3\.5: is struck out"):
        prices(tmp_path, "General", struck=True)

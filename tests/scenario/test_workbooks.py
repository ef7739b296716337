"""A workbook in place of CSV files: the same fleet, or a refusal that names worksheet and cell."""

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from sim.scenario import ScenarioError, load
from tests.builders.workbooks import (
    ASICS,
    FLEET,
    PLAIN,
    SITES,
    TOML,
    Change,
    Table,
    asics,
    facts,
    saved,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "scenario.toml").write_text(TOML, encoding="utf-8")
    return mine


def csv_text(rows: Table) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def put(sheet: str, cell: str, value: Any) -> Change:
    def change(book: Workbook) -> None:
        book[sheet][cell] = value

    return change


def test_one_workbook_of_any_name(folder: Path) -> None:
    saved(folder / "Fleet 2026.xlsx", FLEET)
    assert facts(folder) == PLAIN
    assert not load(folder).warnings


def test_worksheets_of_any_case_beside_notes(folder: Path) -> None:
    tables = {"Sites": SITES, "ASICs": ASICS, "GPUs": (), "Notes": (("who", "when"),)}
    saved(folder / "fleet.xlsx", tables)
    assert facts(folder) == PLAIN
    said = [str(warning) for warning in load(folder).warnings]
    assert len(said) == 2
    assert said[0].startswith("fleet.xlsx, worksheet GPUs: is empty")
    assert said[1].startswith("fleet.xlsx, worksheet Notes: is read by nothing")


def test_a_workbook_for_each_sheet_beside_csv(folder: Path) -> None:
    saved(folder / "sites.xlsx", {"Sheet1": SITES})
    (folder / "asics.csv").write_text(csv_text(ASICS))
    assert facts(folder) == PLAIN


def test_values_of_formulas_are_those_that_are_stored(folder: Path) -> None:
    plain = folder / "fleet.xlsx"
    saved(plain, FLEET, put("asics", "C3", "=600*2"))
    with zipfile.ZipFile(plain) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    stored = parts["xl/worksheets/sheet2.xml"]
    assert stored.count(b"<f>600*2</f><v />") + stored.count(b"<f>600*2</f><v></v>") == 1
    for empty in (b"<f>600*2</f><v />", b"<f>600*2</f><v></v>"):
        stored = stored.replace(empty, b"<f>600*2</f><v>1200</v>")
    with zipfile.ZipFile(plain, "w") as packed:
        for name, raw in {**parts, "xl/worksheets/sheet2.xml": stored}.items():
            packed.writestr(name, raw)
    assert facts(folder) == PLAIN


def test_percents_dates_and_texts(folder: Path) -> None:
    gpus = (("site", "gpu", "nodes", "utilisation"), ("alpha", "h100-sxm", "4", 0.85))
    contracts = (
        ("site", "kind", "mw", "strike_usd_per_mwh", "resell", "start_utc"),
        ("alpha", "ppa", 2, "35,5", True, datetime(2026, 1, 2, 6)),
    )

    def percent(book: Workbook) -> None:
        book["gpus"]["D2"].number_format = "0 %"

    saved(folder / "f.xlsx", {**FLEET, "gpus": gpus, "power contracts": contracts}, percent)
    scenario = load(folder)
    (group,), (contract,) = scenario.gpus, scenario.power_contracts
    assert (group.nodes, group.utilisation) == (4, 0.85)
    assert (contract.strike_usd_per_mwh, contract.resell) == (35.5, True)
    assert contract.start_utc is not None
    assert contract.start_utc.isoformat() == "2026-01-02T06:00:00+00:00"


def hide(book: Workbook) -> None:
    book["asics"].row_dimensions[3].hidden = True


def test_hidden_columns_count_and_are_said(folder: Path) -> None:
    def hide(book: Workbook) -> None:
        book["asics"].column_dimensions.group("B", "F", hidden=True)  # B and C hold something

    saved(folder / "fleet.xlsx", FLEET, hide)
    assert facts(folder) == PLAIN
    (said,) = load(folder).warnings
    assert str(said).startswith("fleet.xlsx, worksheet asics: columns B, C are hidden, and count")


def test_hidden_rows_count_and_are_said(folder: Path) -> None:
    saved(folder / "fleet.xlsx", FLEET, hide)
    assert facts(folder) == PLAIN
    (said,) = load(folder).warnings
    assert str(said).startswith("fleet.xlsx, worksheet asics: rows 3 are hidden, and count")


# what is wrong with the workbook → (tables, change, what the refusal must say)
REFUSED: dict[str, tuple[dict[str, Table], Change, list[str]]] = {
    "a formula without its value": (
        FLEET, put("asics", "C3", "=600*2"),
        ["fleet.xlsx: worksheet 'asics', cell C3: is a formula whose value is not stored"],
    ),
    "merged cells": (
        FLEET, asics(lambda sheet: sheet.merge_cells("A2:A3")),
        ["worksheet 'asics', cells A2:A3: are merged"],
    ),
    "an error": (
        FLEET, put("asics", "C3", "#DIV/0!"),
        ["fleet.xlsx, worksheet asics: row 3 (bravo), count = '#DIV/0!'", "error of Excel"],
    ),
    "a date for a number": (
        FLEET, put("sites", "E3", date(2026, 5, 12)),
        ["fleet.xlsx, worksheet sites: row 3 (bravo), power_limit_mw", "made a date by Excel"],
    ),
    "a date for a name": (
        FLEET, put("sites", "A3", date(2026, 3, 1)), ["row 3", "name", "made a date by Excel"],
    ),
    "a number as a text that has two readings": (
        FLEET, put("asics", "C3", "4.000"), ["row 3 (bravo), count = '4.000'", "as 4 or as 4000"],
    ),
    "a share of what is none": (
        FLEET, put("asics", "C3", "5 %"), ["row 3 (bravo), count = '5 %'", "whole number"],
    ),
    "a worksheet misspelt": (
        {"sites": SITES, "asic": ASICS}, lambda _: None,
        ["fleet.xlsx, worksheet asic: is read by nothing; did you mean asics?"],
    ),
    "an unknown model below an empty row": (
        {"sites": SITES, "asics": (*ASICS, (), ("alpha", "Antminer S22", 1))}, lambda _: None,
        ["fleet.xlsx, worksheet asics: row 5 (alpha), model = 'Antminer S22'"],
    ),
    "the same worksheet twice": (
        {**FLEET, "Asics ": ASICS}, lambda _: None,
        ["worksheet Asics : stands beside fleet.xlsx, worksheet asics; keep one"],
    ),
    "a cell at the end of the world": (
        FLEET, put("asics", "XFD1048576", 1), ["worksheet 'asics' reaches over 1,048,576 rows"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_where_it_stands(folder: Path, what: str) -> None:
    tables, change, words = REFUSED[what]
    saved(folder / "fleet.xlsx", tables, change)
    with pytest.raises(ScenarioError) as refused:
        load(folder)
    for word in words:
        assert word in str(refused.value)


def test_a_sheet_stands_in_one_place(folder: Path) -> None:
    saved(folder / "fleet.xlsx", FLEET)
    (folder / "asics.csv").write_text(csv_text(ASICS))
    with pytest.raises(ScenarioError, match=r"worksheet asics: stands beside asics\.csv; keep one"):
        load(folder)
    (folder / "asics.csv").unlink()
    saved(folder / "fleet (copy).xlsx", FLEET)
    with pytest.raises(ScenarioError, match=r"stands beside fleet \(copy\)\.xlsx, worksheet sites"):
        load(folder)


def bomb() -> bytes:
    """Forty megabytes of blanks in forty kilobytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("xl/workbook.xml", b" " * 40_000_000)
    return packed.getvalue()


def good() -> bytes:
    packed = io.BytesIO()
    book = Workbook()
    book.save(packed)
    assert load_workbook(packed)
    return packed.getvalue()


# what calls itself a workbook → (bytes, what the refusal must say)
NONE: dict[str, tuple[bytes, str]] = {
    "text": (b"site,model\n", "is not a workbook that can be read"),
    "nothing": (b"", "is not a workbook that can be read"),
    "half of one": (good()[:-600], "is not a workbook that can be read"),
    "a damaged one": (good().replace(b"workbook", b"workbok!"), "is not a workbook"),
    "another archive": (bomb()[:0] + b"PK\x05\x06" + b"\0" * 18, "is not a workbook"),
    "a bomb": (bomb(), "40,000,000 bytes when unpacked"),
    "the kind before 2007": (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "save it as a plain .xlsx"),
}


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_workbook(folder: Path, what: str) -> None:
    raw, words = NONE[what]
    (folder / "sites.csv").write_text(csv_text(SITES))
    (folder / "fleet.xlsx").write_bytes(raw)
    with pytest.raises(ScenarioError) as refused:
        load(folder)
    assert "fleet.xlsx" in str(refused.value)
    assert words in str(refused.value)


def test_other_kinds_of_workbooks_are_named(folder: Path) -> None:
    (folder / "fleet.ods").write_bytes(b"PK")
    with pytest.raises(ScenarioError, match=r"sites\.csv: is missing") as refused:
        load(folder)
    assert any("fleet.ods: is read by nothing" in str(w) for w in refused.value.warnings)
    assert any("save it as .xlsx" in str(w) for w in refused.value.warnings)

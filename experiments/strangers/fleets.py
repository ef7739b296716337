"""Fleets in workbooks, changed by `--set`, built on others, with machines of their own."""

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from openpyxl import Workbook
from openpyxl.styles import Font

from experiments.strangers.sheets import (
    TOML,
    Draw,
    Fleet,
    Table,
    said,
    sheet_files,
    some_fleet,
    text_of,
    warned,
)
from experiments.strangers.trial import Kind, Trial
from sim.scenario import load
from sim.scenario.catalogue import asics, gpus
from sim.scenario.catalogue.serving import served


def _book(
    change: Callable[[Workbook], None] = lambda _: None, **tables: Sequence[Sequence[Any]]
) -> bytes:
    book = Workbook()
    book.remove(book.worksheets[0])
    for name, rows in tables.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    change(book)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def _cells(table: Table) -> list[list[Any]]:
    """Numbers as numbers, as a workbook has them."""

    def cell(text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text

    return [[cell(text) for text in row] for row in table]


def _in_book(
    fleet: Fleet, book: bytes, says: Sequence[str] = (), name: str = "fleet.xlsx"
) -> Trial:
    files = {"scenario.toml": TOML, name: book}
    return Trial(files, lambda folder: said(load(folder)), fleet.facts, tuple(says))


def workbooks(draw: Draw, number: int) -> Trial:
    """A worksheet for each table: titles above, merged, empty rows behind."""
    fleet = some_fleet(draw)

    def change(book: Workbook) -> None:
        sheet = book.worksheets[0]
        if number % 2:
            sheet.insert_rows(1, 2)
            sheet["A1"] = "Fleet plan"
            sheet.merge_cells("A1:F1")
        if number % 3:
            book.worksheets[1].append([None] * 9)
            book.create_sheet("Notes")

    names = (("sites", "asics"), ("Sites", "ASICs"))[number % 2]
    tables = {names[0]: _cells(fleet.sites), names[1]: _cells(fleet.asics)}
    return _in_book(fleet, _book(change, **tables))


def wrong_workbooks(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    sites, groups = _cells(fleet.sites), _cells(fleet.asics)
    where = ["fleet.xlsx", "worksheet", "asics"]
    if number % 5 == 0:
        groups[1][2] = "=500+400"
        return _in_book(fleet, _book(sites=sites, asics=groups), [*where, "C2", "not stored"])
    if number % 5 == 1:
        groups[1][2] = datetime(2026, 1, 5)
        return _in_book(fleet, _book(sites=sites, asics=groups), [*where, "count", "date by Excel"])
    if number % 5 == 2:
        groups[1][2] = True
        return _in_book(fleet, _book(sites=sites, asics=groups), [*where, "count", "whole number"])
    if number % 5 == 3:
        change = lambda book: book.worksheets[1].merge_cells("A2:A3")  # noqa: E731
        return _in_book(fleet, _book(change, sites=sites, asics=groups), ["A2:A3", "merged"])
    whole = _book(sites=sites, asics=groups)
    return _in_book(fleet, whole[: len(whole) // 2], ["fleet.xlsx", "not a workbook"])


def cell_formats(draw: Draw, number: int) -> Trial:
    """What the planner sees is not what is stored: units, magnitudes, rows struck out."""
    fleet = some_fleet(draw)
    sites, groups = _cells(fleet.sites), _cells(fleet.asics)
    place = ["fleet.xlsx", "worksheet sites", "row 2 (alpha), power_limit_mw"]
    right = ('0.00" MW"', "#,##0.00", "0.00;[Red]-0.00")
    wrong = (
        ('#,##0 "kW"', "'kW'"), ("0.0,", "divided by 1,000"), ("[$€-407] 0.0", "'€'"),
        (";;;", "shows nothing"), ('#,##0.00\\ "PH/s"', "'PH/s'"),
    )  # fmt: skip

    def change(book: Workbook) -> None:
        if number % 3 == 0:
            book.worksheets[0]["F2"].number_format = right[number // 3 % 3]
        elif number % 3 == 1:
            book.worksheets[0]["F2"].number_format = wrong[number // 3 % 5][0]
        else:
            book.worksheets[1][f"{'ABC'[number // 3 % 3]}3"].font = Font(strike=True)

    says = ([], [*place, wrong[number // 3 % 5][1]], ["fleet.xlsx", "'asics'", "struck out"])
    return _in_book(fleet, _book(change, sites=sites, asics=groups), says[number % 3])


def cached_formulas(draw: Draw, number: int) -> Trial:
    """A formula counts by the value that the workbook stores beside it."""
    fleet = some_fleet(draw)
    groups = _cells(fleet.asics)
    count = int(groups[1][2])
    groups[1][2] = "=1+1"
    plain = _book(sites=_cells(fleet.sites), asics=groups)
    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as old, zipfile.ZipFile(data, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            for value in (b"<v />", b"<v></v>", b"<v/>"):
                part = part.replace(b"<f>1+1</f>" + value, b"<f>1+1</f><v>%d</v>" % count)
            new.writestr(name, part)
    return _in_book(fleet, data.getvalue())


def settings(draw: Draw, number: int) -> Trial:
    """`--set` of names with dots, and of one of several rows."""
    fleet = some_fleet(draw)
    value = float(draw.integers(10, 90))
    sites = text_of(fleet.sites).replace("alpha", "st.louis")
    groups = text_of([*fleet.asics, fleet.asics[1]]).replace("alpha", "st.louis")
    key, right, says = (
        ("sites.st.louis.power_limit_mw", [value, 3], ()),
        ("asics.st.louis.count", None, ("meets 2 rows", "#2")),
        ("asics.st.louis#2.count", [None, 3], ()),
        ("asics.nowhere.count", None, ("no such row",)),
        ("sites.st.louis.power", None, ("unknown column", "'power_limit_mw'")),
    )[number % 5]

    def read(folder: Path) -> object:
        scenario = load(folder, {key: value if "power" in key else int(value)})
        if "#2" in key:
            return [g.count for g in scenario.asics]
        return [scenario.sites[0].power_limit_mw, len(scenario.asics)]

    if "#2" in key:
        right = [int(fleet.asics[1][2]), int(fleet.asics[2][2]), int(value)]
    return sheet_files(fleet, sites, groups)._replace(read=read, right=right, says=says)


def children(draw: Draw, number: int) -> Trial:
    """Rows that a scenario adds to those of its base, or puts in their place."""
    fleet, other = some_fleet(draw), some_fleet(draw)
    plus = ("", "+")[number % 2]
    files = {f"base/{name}": content for name, content in sheet_files(fleet).files.items()}
    files["mine/scenario.toml"] = 'base = "../base"\n'
    files[f"mine/asics{plus}.csv"] = text_of(other.asics)
    right = [*fleet.facts[:2], *(fleet.facts[2:] if plus else []), *other.facts[2:]]
    return Trial(files, lambda folder: said(load(folder / "mine")), right)


def own_machines(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    power_w, ths = int(draw.integers(2000, 9000)), int(draw.integers(100, 600))
    groups = text_of(fleet.asics).replace("Antminer S21", "X1")
    cooling, words = (
        ("air", ()), ("hydr", ("asic_models.csv: row 2 (X1), cooling = 'hydr'", "'hydro'")),
        ("hydro", ()), ("", ()),
    )[number % 4]  # fmt: skip
    model = f"Model;Hashrate (TH/s);Power (W);Cooling\nX1;{ths};{power_w};{cooling}\n"
    trial = sheet_files(fleet, None, groups, words, {"asic_models.csv": model})

    def read(folder: Path) -> object:
        made = asics(load(folder).asic_models)["X1"]
        return [made.nominal.hashrate_ths, made.nominal.power_w, made.cooling]

    return trial._replace(read=read, right=[float(ths), float(power_w), cooling or "air"])


def own_models(draw: Draw, number: int) -> Trial:
    """GPUs and language models of one's own: weights and KV follow."""
    fleet = some_fleet(draw)
    size, layers = round(float(draw.uniform(6.0, 9.0)), 2), int(draw.integers(28, 36))
    bad = number % 3 == 2
    more: dict[str, bytes | str] = {
        "gpu_models.csv": "gpu,memory_gb,tdp_w,idle_w_per_gpu,max_w_per_gpu,"
        "bandwidth_tb_s,bf16_tflops\n"
        "ours,96,600,100,800,1.8,250\n",
        "models.csv": "model,parameters_b,layers,hidden,kv_heads,head_dim\n"
        f"small,{size},{'many' if bad else layers},4096,8,128\n",
    }
    says = ("models.csv: row 2 (small), layers = 'many'",) if bad else ()

    def read(folder: Path) -> object:
        scenario = load(folder)
        made = served("small", "ours", own=scenario.own)
        return [made.weights_gb, made.kv_bytes_per_token, gpus(scenario.gpu_models)["ours"].tdp_w]

    right = [size * 2.0, 4096.0 * layers, 600.0]
    return sheet_files(fleet, more=more, says=says)._replace(read=read, right=right)


def implausible(draw: Draw, number: int) -> Trial:
    """Figures that no machine or fleet has are warned of, and read."""
    fleet = some_fleet(draw)
    more: dict[str, bytes | str] = {}
    sites, word = None, ""
    if number % 3 == 0:
        more["asic_models.csv"] = "model,hashrate_ths,power_w\nX1,200000,4000\n".replace(
            "200000", "99999"
        )
        word = "asic_models.csv: row 2 (X1), power_w"
    elif number % 3 == 1:
        sites, word = text_of(fleet.sites).replace("US", "XX"), "sites.csv: row 2 (alpha), country"
    else:
        more["models.csv"] = (
            "model,parameters_b,layers,hidden,kv_heads,head_dim\nm,8000,32,4096,8,128\n"
        )
        word = "models.csv: row 2 (m), parameters_b"
    return sheet_files(fleet, sites, more=more)._replace(
        read=warned(word), right=[fleet.facts, True]
    )


def megawatts(draw: Draw, number: int) -> Trial:
    """MW at the meter instead of machines; connections that follow from machines."""
    fleet = some_fleet(draw)
    mw = round(float(draw.uniform(1.0, 9.0)), 2)
    groups = f"site,model,mw{',count' if number % 3 == 2 else ''}\nalpha,Antminer S21,{mw}"
    groups += ",5\n" if number % 3 == 2 else "\n"
    says = ["asics.csv: row 2 (alpha), mw", "count"] if number % 3 == 2 else []

    def read(folder: Path) -> object:
        return [group.count for group in load(folder).asics]

    right = [int(mw * 1e6 / (3500.0 * 1.05) + 1e-9)]
    return sheet_files(fleet, None, groups, says)._replace(read=read, right=right)


KINDS: Final[dict[str, Kind]] = {
    "workbooks: a worksheet for each table": workbooks,
    "workbooks: formulas, dates, merged cells": wrong_workbooks,
    "workbooks: formulas with values": cached_formulas,
    "workbooks: number formats, what is struck out": cell_formats,
    "sheets: --set by name and row": settings,
    "sheets: added to those of a base": children,
    "sheets: machines of one's own": own_machines,
    "sheets: GPUs and models of one's own": own_models,
    "sheets: figures that look like a slip": implausible,
    "sheets: machines by the megawatt": megawatts,
}

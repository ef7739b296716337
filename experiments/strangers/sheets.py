"""Spreadsheets as planners keep them, alone and in workbooks: all say the same small fleet."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from experiments.strangers.trial import Kind, Trial
from sim.scenario import Scenario, load

Draw = np.random.Generator
Table = list[list[str]]

TOML: Final = '[prices.zones.zone]\nmodel = "fixed"\nusd_per_mwh = 40\n'
SITES: Final = ["name", "country", "climate", "price_zone", "utc_offset_h", "power_limit_mw"]
ASICS: Final = ["site", "model", "count", "age_years"]


class Fleet(NamedTuple):
    """Two sheets as texts, and what a scenario of them says."""

    sites: Table
    asics: Table
    facts: list[object]


def some_fleet(draw: Draw) -> Fleet:
    """Limits above 100 MW by quarters, counts of four digits, ages of two."""
    limits = [float(x) / 4.0 for x in draw.integers(401, 900, 2)]
    counts = [int(x) for x in draw.integers(1001, 9999, 2)]
    ages = [round(float(x), 1) for x in draw.uniform(0.1, 5.0, 2)]
    places = (
        ("alpha", "US", "midland-tx", "zone", "-6"),
        ("bravo", "CA", "massena-ny", "zone", "-5"),
    )
    models = ("Antminer S21", "Antminer S19 XP")
    sites = [SITES, *([*place, f"{mw:g}"] for place, mw in zip(places, limits, strict=True))]
    groups = [
        [place[0], model, str(count), f"{age:g}"]
        for place, model, count, age in zip(places, models, counts, ages, strict=True)
    ]
    facts: list[object] = [(place[0], mw) for place, mw in zip(places, limits, strict=True)]
    facts += [(g[0], g[1], int(g[2]), float(g[3])) for g in groups]
    return Fleet(sites, [ASICS, *groups], facts)


def said(scenario: Scenario) -> list[object]:
    """What a scenario says of its sites and machines."""
    return [(s.name, s.power_limit_mw) for s in scenario.sites] + [
        (a.site, a.model, a.count, a.age_years) for a in scenario.asics
    ]


def text_of(table: Table, mark: str = ",") -> str:
    quoted = [[f'"{c}"' if mark in c else c for c in row] for row in table]
    return "".join(mark.join(row) + "\n" for row in quoted)


def sheet_files(
    fleet: Fleet,
    sites: str | bytes | None = None,
    asics: str | bytes | None = None,
    says: Sequence[str] = (),
    more: dict[str, bytes | str] | None = None,
) -> Trial:
    """A folder with one sheet in another form; `says` is of a refusal."""
    files: dict[str, bytes | str] = {
        "scenario.toml": TOML,
        "sites.csv": text_of(fleet.sites) if sites is None else sites,
        "asics.csv": text_of(fleet.asics) if asics is None else asics,
        **(more or {}),
    }
    return Trial(files, lambda folder: said(load(folder)), fleet.facts, tuple(says))


def delimiters(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    mark = (";", "\t", "|", ",")[number % 4]
    told = f"sep={mark}\n" if number % 3 == 0 else ""
    return sheet_files(fleet, told + text_of(fleet.sites, mark), told + text_of(fleet.asics, mark))


def encodings(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    coding = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "utf-32")[number % 6]
    end = ("\n", "\r\n", "\r")[number % 3]
    sites = [
        [*row, more] for row, more in zip(fleet.sites, ("source", "Zürich", "Orléans"), strict=True)
    ]
    return sheet_files(fleet, text_of(sites).replace("\n", end).encode(coding))


def emptiness(draw: Draw, number: int) -> Trial:
    """Empty columns and rows behind, between and before."""
    fleet = some_fleet(draw)
    text = text_of(fleet.sites)
    text = (
        text.replace("\n", ",,\n") + ",,,,,,,\n" * 3,
        text.replace("\n", "\n\n"),
        "\n\n" + text,
        "," + text.rstrip("\n").replace("\n", "\n,"),
        text + "\n" * 50,
    )[number % 5]
    return sheet_files(fleet, text)


def titles(draw: Draw, number: int) -> Trial:
    """Any case, blanks, units in brackets."""
    fleet = some_fleet(draw)
    head = (
        ["NAME", "Country", " Climate ", "Price zone", "UTC offset h", "Power limit MW"],
        ["Name", "country", "climate", "price-zone", "UTC offset (h)", "Power limit (MW)"],
        ["name", "COUNTRY", "climate", "Price Zone", "UTC offset [h]", "Power limit [MW]"],
        ["name", "country", "climate", "price_zone", "utc_offset_h", "Power_Limit_MW"],
    )[number % 4]
    ages = ("Age (years)", "age years", "AGE_YEARS")[number % 3]
    asics = [["Site", "Model", "Count (machines)", ages], *fleet.asics[1:]]
    if ages == "Age (years)":
        asics[0][3] = "Age (y)"
    return sheet_files(fleet, text_of([head, *fleet.sites[1:]]), text_of(asics))


def wrong_titles(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    title, words = (
        ("power_limit_kw", ["column 'power_limit_kw'", "'power_limit_mw'"]),
        ("Power limit (kW)", ["column 'Power limit (kW)'", "unknown"]),
        ("klima", ["column 'klima'", "allowed"]),
        ("name", ["'name'", "more than once"]),
    )[number % 4]
    return sheet_files(
        fleet, text_of([[*SITES[:5], title], *fleet.sites[1:]]), says=["sites.csv", *words]
    )


def decimals(draw: Draw, number: int) -> Trial:
    """Commas for points; blanks, apostrophes and points between thousands."""
    fleet = some_fleet(draw)
    sites = [SITES, *([*row[:5], row[5].replace(".", ",")] for row in fleet.sites[1:])]
    between = ("\u00a0", " ", "'", "\u202f", "’")[number % 5]
    asics = [ASICS]
    for site, model, count, age in fleet.asics[1:]:
        grouped = f"{count[0]}{between}{count[1:]}"
        if number % 3 == 2:
            grouped = f"{count[0]}.{count[1:]},0"
        asics.append([site, model, grouped, age.replace(".", ",")])
    return sheet_files(fleet, text_of(sites, ";"), text_of(asics, ";"))


def two_readings(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    count = fleet.asics[2][2]
    cell = (f"{count[0]}.{count[1:]}", f"{count[0]},{count[1:]}")[number % 2]
    text = text_of(fleet.asics[:2], ";") + f"bravo;Antminer S19 XP;{count[0]}.000;1\n"
    if number % 3 == 1:
        text = text_of(fleet.asics[:2], ";") + f"bravo;Antminer S19 XP;{cell[0]},000;1\n"
    return sheet_files(fleet, None, text, ["asics.csv: row 3 (bravo), count", "can be read as"])


def excel_errors(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    cell = ("#REF!", "#N/A", "#DIV/0!", "#VALUE!", "#####", "#NAME?")[number % 6]
    column = int(draw.integers(0, 4))
    row = [*fleet.asics[2][:column], cell, *fleet.asics[2][column + 1 :]]
    says = ["asics.csv: row 3", ASICS[column], "error of Excel"]
    return sheet_files(fleet, None, text_of([*fleet.asics[:2], row]), says)


def no_values(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    cell = ("n/a", "-", "NaN", "inf", "TRUE", "12 MW", "1e400", "tbd")[number % 8]
    row = [*fleet.sites[2][:5], cell]
    return sheet_files(
        fleet, text_of([*fleet.sites[:2], row]), says=["sites.csv: row 3 (bravo), power_limit_mw"]
    )


def shares(draw: Draw, number: int) -> Trial:
    """Percent signs where a share is meant, and where none is."""
    fleet = some_fleet(draw)
    percent = int(draw.integers(1, 50))
    cell = (f"{percent}%", f"{percent} %", f"{percent},0%")[number % 3]
    head = "from_node;to_node;capacity_mw;loss_fraction"
    more: dict[str, bytes | str] = {
        "grid_nodes.csv": "name,kind\ngrid,zone\nhall,feeder\n",
        "grid_links.csv": f"{head}\ngrid;hall;500;{percent / 2:g}%\n",
    }
    if number % 4 == 3:
        more["grid_links.csv"] = f"{head}\ngrid;hall;{cell};0\n"
        return sheet_files(fleet, more=more, says=["grid_links.csv: row 2", "capacity_mw", cell])
    trial = sheet_files(fleet, more=more)
    return trial._replace(
        read=lambda folder: [link.loss_fraction for link in load(folder).grid_links],
        right=[percent / 200.0],
    )


def warned(word: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        scenario = load(folder)
        return [said(scenario), any(word in str(w) for w in scenario.warnings)]

    return read


def strangers(draw: Draw, number: int) -> Trial:
    """Files that nothing reads: a problem where a sheet may be meant, a warning elsewhere."""
    fleet = some_fleet(draw)
    name, words = (
        ("asic.csv", ["asic.csv", "did you mean asics.csv"]),
        ("asics (1).csv", []), ("notes.csv", []), ("gpu.csv", ["gpu.csv", "did you mean gpus.csv"]),
        ("asics.csv.txt", []), ("prices.parquet", []),
    )[number % 6]  # fmt: skip
    content = "a,b\n1,2\n"
    if name == "asic.csv":
        files = dict(sheet_files(fleet).files)
        files[name] = files.pop("asics.csv")
        return Trial(files, lambda folder: said(load(folder)), None, tuple(words))
    trial = sheet_files(fleet, more={name: content}, says=words)
    if words:
        return trial
    return trial._replace(read=warned(name), right=[fleet.facts, True])


def nothing_there(draw: Draw, number: int) -> Trial:
    """Empty sheets, headers alone, folders in place of files."""
    fleet = some_fleet(draw)
    if number % 4 == 0:
        return sheet_files(fleet, None, "", ["asics.csv: is empty"])
    if number % 4 == 1:
        return sheet_files(fleet, None, " \n,,\n\n", ["asics.csv: is empty"])
    if number % 4 == 2:
        trial = sheet_files(fleet, more={"gpus.csv": "site,gpu,nodes\n"})
        return trial._replace(read=warned("gpus.csv"), right=[fleet.facts, True])
    files = {k: v for k, v in sheet_files(fleet).files.items() if k != "asics.csv"}
    files["asics.csv/inner.txt"] = "x"
    return Trial(files, lambda folder: said(load(folder)), None, ("asics.csv: is a folder",))


def ragged(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    short = text_of(fleet.sites)
    text = (
        short.rsplit(",", 1)[0] + "\n",
        short.rstrip("\n") + ",,stray\n",
        short.rstrip("\n") + '"\n',
        short.replace("bravo", "bra\0vo"),
    )[number % 4]
    return sheet_files(fleet, text, says=[("sites.csv: row 3", "sites.csv")[number % 4 > 1]])


def one_column(draw: Draw, number: int) -> Trial:
    """A table that a spreadsheet has taken for one column."""
    fleet = some_fleet(draw)
    mark = (",", ";")[number % 2]
    lines = [mark.join(f'""{c}""' if number % 3 else c for c in row) for row in fleet.sites]
    return sheet_files(fleet, "".join(f'"{line}"\n' for line in lines))


def alike(draw: Draw, number: int) -> Trial:
    fleet = some_fleet(draw)
    if number % 3 == 0:
        doubled = text_of([*fleet.sites, fleet.sites[1]])
        return sheet_files(fleet, doubled, says=["sites.csv", "'alpha'", "unique"])
    if number % 3 == 1:
        return sheet_files(fleet, more={"Asics .csv": text_of(fleet.asics)}, says=["stands beside"])
    trial = sheet_files(fleet, None, text_of([*fleet.asics, fleet.asics[2]]))
    facts = [*fleet.facts, fleet.facts[-1]]
    return trial._replace(read=warned("asics.csv: rows 3 and 4"), right=[facts, True])


KINDS: Final[dict[str, Kind]] = {
    "sheets: delimiters": delimiters,
    "sheets: encodings, line ends": encodings,
    "sheets: empty rows and columns": emptiness,
    "sheets: titles with blanks and units": titles,
    "sheets: titles that there are not": wrong_titles,
    "sheets: decimal commas, thousands": decimals,
    "sheets: numbers with two readings": two_readings,
    "sheets: errors of Excel": excel_errors,
    "sheets: n/a, inf, TRUE, units in cells": no_values,
    "sheets: percents": shares,
    "sheets: files that nothing reads": strangers,
    "sheets: empty ones, folders": nothing_there,
    "sheets: ragged, damaged": ragged,
    "sheets: all in one column": one_column,
    "sheets: twice the same": alike,
}

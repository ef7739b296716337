"""Sheets as people save them: read right, or refused by file, row, value and what is allowed."""

import codecs
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.scenario import Scenario, ScenarioError, load
from tests.conftest import ROOT

TOML = '[prices.zones.zone]\nmodel = "fixed"\nusd_per_mwh = 40\n'
SITES = (
    "name,climate,price_zone,utc_offset_h,power_limit_mw\n"
    "alpha,midland-tx,zone,-6,10\n"
    "bravo,massena-ny,zone,-5,12.5\n"
)
ASICS = "site,model,count\nalpha,Antminer S21,900\nbravo,Antminer S19 XP,1200\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sites with machines, as anybody would write them first."""
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "scenario.toml").write_text(TOML, encoding="utf-8")
    (mine / "sites.csv").write_text(SITES, encoding="utf-8")
    (mine / "asics.csv").write_text(ASICS, encoding="utf-8")
    return mine


def facts(scenario: Scenario) -> list[object]:
    """What the plain files say; whatever is read right says the same."""
    return [
        *((s.name, s.climate, s.utc_offset_h, s.power_limit_mw) for s in scenario.sites),
        *((a.site, a.model, a.count) for a in scenario.asics),
    ]


PLAIN = [
    ("alpha", "midland-tx", -6.0, 10.0),
    ("bravo", "massena-ny", -5.0, 12.5),
    ("alpha", "Antminer S21", 900),
    ("bravo", "Antminer S19 XP", 1200),
]
SEMICOLONS = SITES.replace(",", ";").replace("12.5", "12,5")
Write = tuple[str, str, str]  # file, text, encoding

# how it was saved → the file; the same fleet must come out
SAVED: dict[str, Write] = {
    "plain": ("sites.csv", SITES, "utf-8"),
    "semicolons": ("sites.csv", SITES.replace(",", ";"), "utf-8"),
    "semicolons and decimal commas": ("sites.csv", SEMICOLONS, "utf-8"),
    "tabs": ("sites.csv", SITES.replace(",", "\t"), "utf-8"),
    "bars": ("sites.csv", SITES.replace(",", "|"), "utf-8"),
    "a line that names the separator": ("sites.csv", "sep=;\n" + SEMICOLONS, "utf-8"),
    "a byte order mark": ("sites.csv", SITES, "utf-8-sig"),
    "UTF-16": ("sites.csv", SITES.replace(",", "\t"), "utf-16"),
    "UTF-16 without a mark": ("sites.csv", SITES, "utf-16-le"),
    "big-endian UTF-16 without a mark": ("sites.csv", SITES, "utf-16-be"),
    "UTF-32": ("sites.csv", SITES, "utf-32"),
    "Windows line ends": ("sites.csv", SITES.replace("\n", "\r\n"), "utf-8"),
    "old Mac line ends": ("sites.csv", SITES.replace("\n", "\r"), "utf-8"),
    "empty columns and rows behind": (
        "sites.csv", SITES.replace("\n", ",,,\n") + ",,,,,,,\n,,,,,,,\n", "utf-8",
    ),
    "empty rows between": ("sites.csv", SITES.replace("\n", "\n\n"), "utf-8"),
    "an empty column first": ("sites.csv", "," + SITES.rstrip().replace("\n", "\n,"), "utf-8"),
    "titles of any case": ("sites.csv", SITES.replace("name,climate", "Name, CLIMATE "), "utf-8"),
    "titles with blanks and units": (
        "sites.csv", SITES.replace("power_limit_mw", "Power limit (MW)"), "utf-8",
    ),
    "all in quotes": ("sites.csv", re.sub(r"[^,\n]+", r'"\g<0>"', SITES), "utf-8"),
    "a table taken for one column": (
        "sites.csv", re.sub(r"(?m)^(.+)$", r'"\1"', SITES), "utf-8",
    ),
    "no-break spaces": ("sites.csv", SITES.replace(",zone", ",\u00a0zone\u00a0"), "utf-8"),
    "thousands by blanks": ("asics.csv", ASICS.replace("1200", "1 200"), "utf-8"),
    "thousands by no-break spaces": ("asics.csv", ASICS.replace("1200", "1\u202f200"), "utf-8"),
    "thousands by apostrophes": ("asics.csv", ASICS.replace("1200", "1'200"), "utf-8"),
    "decimals that are none": ("asics.csv", ASICS.replace("1200", "1200.0"), "utf-8"),
    "a file name in capitals": ("SITES.CSV", SITES, "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("how", SAVED)
def test_it_is_read_as_it_was_meant(folder: Path, how: str) -> None:
    file, text, encoding = SAVED[how]
    (folder / file.lower()).unlink()
    (folder / file).write_bytes(text.encode(encoding))
    scenario = load(folder)
    assert facts(scenario) == PLAIN
    assert not [w for w in scenario.warnings if w.file == file]


def test_accents_of_windows_are_read_and_said(folder: Path) -> None:
    for file, text in (("sites.csv", SITES), ("asics.csv", ASICS)):
        (folder / file).write_bytes(text.replace("alpha", "Türkü").encode("windows-1252"))
    scenario = load(folder)
    assert [site.name for site in scenario.sites] == ["Türkü", "bravo"]
    said = [str(w) for w in scenario.warnings if "Windows-1252" in w.message]
    assert len(said) == 2
    assert "sites.csv" in said[1]
    assert "line 2" in said[1]
    assert "Türkü" in said[1]


def test_shares_may_be_percents(folder: Path) -> None:
    header = "site;gpu;nodes;utilisation\n"
    (folder / "gpus.csv").write_text(f"{header}alpha;h100-sxm;4;85 %\nbravo;h100-sxm;2;62,5%\n")
    assert [group.utilisation for group in load(folder).gpus] == [0.85, 0.625]


# the number → (column, what is written, what it is), where limits or form leave one reading
ONE_WAY = {
    "both marks, German": ("count", "1.200,0", 1200),
    "both marks, English": ("count", '"1,200.0"', 1200),
    "millions": ("count", "1.000.000", 1_000_000),
    "a zero first": ("power_limit_mw", "0,125", 0.125),
    "four decimals": ("power_limit_mw", "1,1250", 1.125),
    "one reading too large": ("power_limit_mw", "12.500", 12.5),
    "half machines there are not": ("count", "1.250", 1250),
}


@pytest.mark.parametrize("what", ONE_WAY)
def test_a_number_with_one_reading_is_read(folder: Path, what: str) -> None:
    column, text, value = ONE_WAY[what]
    if column == "count":
        (folder / "asics.csv").write_text(f"site;model;count\nalpha;Antminer S21;{text}\n")
        assert (
            load(folder, {"network": {"model": "growth", "hashrate_ehs": 1e6}}).asics[0].count
            == value
        )
    else:
        (folder / "sites.csv").write_text(SEMICOLONS.replace(";10\n", f";{text}\n"))
        assert load(folder).sites[0].power_limit_mw == value


def sheet(name: str, old: str, new: str) -> Callable[[Path], None]:
    """The sheet with something else in it."""

    def change(folder: Path) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert old in text
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    return change


def saved(name: str, content: str | bytes) -> Callable[[Path], None]:
    """A file of the folder."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw) and None


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: (folder / old).rename(folder / new) and None


def made_folder(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return change


# what is wrong → (how, what the refusal must say)
REFUSED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "thousands or decimals": (
        sheet("asics.csv", "1200", "4.000"),
        ["asics.csv: row 3 (bravo), count = '4.000'", "as 4 or as 4000"],
    ),
    "thousands or decimals, English": (
        sheet("asics.csv", "1200", '"1,000"'),
        ["asics.csv: row 3 (bravo), count = '1,000'", "as 1 or as 1000"],
    ),
    "thousands or decimals of MW": (
        sheet("sites.csv", "12.5", "1.250"),
        ["row 3 (bravo), power_limit_mw = '1.250'", "as 1.25 or as 1250", "write 1.25 or 1250"],
    ),
    "an error of Excel": (sheet("asics.csv", "1200", "#REF!"), ["row 3", "count", "of Excel"]),
    "an error of Excel in a name": (sheet("sites.csv", "bravo", "#N/A"), ["row 3", "Excel"]),
    "a column too narrow": (sheet("asics.csv", "1200", "#####"), ["row 3", "count", "Excel"]),
    "n/a": (sheet("asics.csv", "1200", "n/a"), ["row 3 (bravo), count = 'n/a'", "required"]),
    "n/a where there is a default": (
        saved("batteries.csv", "site,power_mw,energy_mwh,wear_usd_per_mwh\nalpha,1,2,-\n"),
        ["batteries.csv: row 2 (alpha), wear_usd_per_mwh = '-'", "empty for the default, 20"],
    ),
    "NaN": (sheet("sites.csv", "12.5", "NaN"), ["row 3 (bravo), power_limit_mw = 'NaN'"]),
    "infinity": (sheet("sites.csv", "12.5", "inf"), ["row 3 (bravo), power_limit_mw = 'inf'"]),
    "TRUE": (sheet("asics.csv", "1200", "TRUE"), ["row 3 (bravo), count", "whole number"]),
    "a day as Excel counts them": (
        saved("power_contracts.csv", "site,kind,mw,start_utc\nalpha,day-ahead,1,46024\n"),
        ["power_contracts.csv: row 2 (alpha), start_utc = '46024'", "not a number"],
    ),
    "a unit in the cell": (sheet("sites.csv", "12.5", "12.5 MW"), ["'12.5 MW'", "without the"]),
    "a percentage that is none": (sheet("sites.csv", "12.5", "12.5 %"), ["row 3", "'12.5 %'"]),
    "two decimal marks": (sheet("sites.csv", "12.5", "1.2.5"), ["row 3", "'1.2.5'"]),
    "a decimal comma between commas": (
        sheet("sites.csv", "12.5", "12,5"),
        ["sites.csv: row 3", "more or fewer cells than the 5 columns", "'5' stands in none"],
    ),
    "a row that ends early": (sheet("sites.csv", ",zone,-5,12.5", ""), ["row 3", "fewer cells"]),
    "a cell beside the table": (sheet("sites.csv", "12.5", "12.5,,x"), ["row 3", "'x' stands in"]),
    "an unknown title": (sheet("sites.csv", "climate", "klima"), ["column 'klima'", "allowed"]),
    "a title twice": (
        sheet("sites.csv", "climate", "Name"), ["column 'name': stands there more than once"],
    ),
    "a row behind an empty one": (
        sheet("asics.csv", "bravo,Antminer S19 XP,1200", "\n\nbravo,Antminer S22,1200"),
        ["asics.csv: row 5 (bravo), model = 'Antminer S22'"],
    ),
    "two sites of one name": (
        sheet("sites.csv", "bravo", "\nalpha"), ["sites.csv: rows 2, 4, name = 'alpha'"],
    ),
    "nothing at all": (saved("asics.csv", b""), ["asics.csv: is empty", "site, model"]),
    "blank lines alone": (saved("asics.csv", "\n \n,,\n"), ["asics.csv: is empty"]),
    "a folder": (made_folder("asics.csv"), ["asics.csv: is a folder; must be a CSV file"]),
    "a name misspelt": (
        renamed("asics.csv", "asic.csv"), ["asic.csv: is read", "did you mean asics.csv"],
    ),
    "another suffix": (renamed("asics.csv", "asics.tsv"), ["asics.tsv", "did you mean asics.csv"]),
    "two suffixes": (renamed("asics.csv", "asics.csv.txt"), ["did you mean asics.csv"]),
    "a workbook by another name": (
        saved("asics.csv", b"PK\x03\x04rest"), ["asics.csv: is not a CSV file but a workbook"],
    ),
    "an old workbook": (saved("asics.csv", b"\xd0\xcf\x11\xe0rest"), ["but a workbook"]),
    "a NUL": (sheet("asics.csv", "1200", "12\x0000"), ["asics.csv: line 3: is not a CSV file"]),
    "bytes that are no text": (saved("asics.csv", b"site\n\x81\x8d"), ["asics.csv: is not"]),
    "half of UTF-16": (
        saved("asics.csv", codecs.BOM_UTF16_LE + ASICS.encode("utf-16-le") + b"x"),
        ["asics.csv: is not a CSV file"],
    ),
    "a long cell": (sheet("asics.csv", "1200", "9" * 140_000), ["asics.csv: is not a CSV file"]),
    "an open quote": (sheet("asics.csv", "1200", '"1200'), ["asics.csv: is not a CSV file"]),
    "many rows": (saved("asics.csv", ASICS + "alpha,Antminer S21,1\n" * 20_001), ["20,000 rows"]),
    "many empty rows": (saved("asics.csv", ASICS + "\n" * 200_000 + "x\n"), ["rows"]),
    "a large file": (saved("asics.csv", b"x" * 33_000_000), ["asics.csv: must be at most"]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_where_it_stands(folder: Path, what: str) -> None:
    change, words = REFUSED[what]
    change(folder)
    with pytest.raises(ScenarioError) as refused:
        load(folder)
    for word in words:
        assert word in str(refused.value)


# what is odd → (how, the warning)
ODD: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "a table that nothing reads": (saved("notes.csv", "a,b\n1,2\n"), ["notes.csv", "by nothing"]),
    "a copy of a sheet": (saved("asics (1).csv", ASICS), ["asics (1).csv", "by nothing"]),
    "a title page": (
        sheet("sites.csv", "name,climate", "My fleet\n\nname,climate"),
        ["sites.csv: rows 1", "above the header in row 3"],
    ),
    "a header alone": (
        saved("gpus.csv", "site,gpu,nodes\n"),
        ["gpus.csv: has a header and no row"],
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_left_out_is_said(folder: Path, what: str) -> None:
    change, words = ODD[what]
    change(folder)
    scenario = load(folder)
    assert facts(scenario) == PLAIN
    said = "\n".join(str(warning) for warning in scenario.warnings)
    for word in words:
        assert word in said


def test_files_that_the_scenario_names_are_no_strangers(folder: Path) -> None:
    (folder / "scenario.toml").write_text(TOML + '[series.p]\nfile = "p.csv"\n')
    (folder / "p.csv").write_text("time_utc,usd\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2\n")
    (folder / "README.md").write_text("my fleet")
    (folder / "~$fleet.xlsx").write_bytes(b"a lock of Excel")
    assert [warning.where for warning in load(folder).warnings] == ["series.p"]  # unused so far


def test_files_named_by_a_change_alone_are_no_strangers(folder: Path) -> None:
    (folder / "p.csv").write_text("time_utc,usd\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2\n")
    assert "p.csv: is read by nothing" in str(load(folder).warnings[0])
    (unused,) = load(folder, {"series.p.file": "p.csv", "series.p.max_gap_h": 1}).warnings
    assert str(unused).startswith("scenario.toml: series.p: is used by nothing")
    (unused,) = load(child(folder), {"series.p.file": f"../{folder.name}/p.csv"}).warnings
    assert unused.where == "series.p"


def test_the_same_sheet_twice_is_refused(folder: Path) -> None:
    (folder / "Asics.csv").write_text(ASICS)
    if len(list(folder.iterdir())) == 3:
        pytest.skip("file names differ by more than their case here")
    with pytest.raises(ScenarioError, match=r"asics\.csv: stands beside Asics\.csv; keep one"):
        load(folder)


def test_shipped_sheets_read_the_same_in_any_form(tmp_path: Path) -> None:
    """Semicolons, decimal commas and UTF-16 change nothing of a fleet of 48 sites."""
    import csv

    shutil.copytree(ROOT / "configs/cango-2026", tmp_path / "cango-2026")
    plain = load(tmp_path / "cango-2026")
    for file in (tmp_path / "cango-2026").glob("*.csv"):
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
        commas = [[re.sub(r"^(-?\d+)\.(\d+)$", r"\1,\2", cell) for cell in row] for row in rows]
        with file.open("w", encoding="utf-16", newline="") as stream:
            csv.writer(stream, delimiter=";").writerows(commas)
    assert load(tmp_path / "cango-2026").sha256() == plain.sha256()


def child(folder: Path, *files: tuple[str, str]) -> Path:
    """A scenario that builds on another."""
    mine = folder.parent / "child"
    mine.mkdir()
    (mine / "scenario.toml").write_text('base = "../mine"\n')
    for name, text in files:
        (mine / name).write_text(text)
    return mine


MORE_SITES = "name,climate,price_zone,utc_offset_h,power_limit_mw\ncharlie,midland-tx,zone,-6,5\n"


def test_a_child_adds_rows_to_its_base(folder: Path) -> None:
    mine = child(
        folder, ("sites+.csv", MORE_SITES),
        ("asics+.csv", "site;model;count\ncharlie;Antminer S21;50\n\nalpha;Antminer S21;1\n"),
    )  # fmt: skip
    scenario = load(mine, {"asics.charlie.count": 60})
    assert [site.name for site in scenario.sites] == ["alpha", "bravo", "charlie"]
    assert [group.count for group in scenario.asics] == [900, 1200, 60, 1]
    sheet("asics+.csv", "alpha;Antminer S21", "alpha;Antminer S22")(mine)
    with pytest.raises(ScenarioError, match=r"asics\+\.csv: row 4 \(alpha\), model"):
        load(mine)
    sheet("sites+.csv", "charlie", "alpha")(mine)
    with pytest.raises(
        ScenarioError, match=r"sites\.csv: rows 2, 2 of sites\+\.csv, name = 'alpha'"
    ):
        load(mine)


def test_a_header_alone_takes_the_rows_of_the_base_away(folder: Path) -> None:
    mine = child(folder, ("asics.csv", "site,model,count\n"), ("gpus.csv", "site,gpu,nodes\n"))
    scenario = load(mine)
    assert not scenario.asics
    assert "gpus.csv: has a header and no row" in "\n".join(map(str, scenario.warnings))


def test_rows_are_added_to_something_and_once(folder: Path) -> None:
    (folder / "gpus+.csv").write_text("site,gpu,nodes\nalpha,h100-sxm,1\n")
    with pytest.raises(
        ScenarioError, match=r"gpus\+\.csv: adds rows to those of a base, and there"
    ):
        load(folder)
    (folder / "gpus+.csv").unlink()
    mine = child(folder, ("sites.csv", MORE_SITES), ("sites+.csv", MORE_SITES))
    with pytest.raises(ScenarioError, match=r"sites\+\.csv: stands beside sites\.csv"):
        load(mine)


def test_a_row_can_be_named_however_its_site_is_called(folder: Path) -> None:
    for file in ("sites.csv", "asics.csv"):
        sheet(file, "alpha", "st.louis")(folder)
    scenario = load(folder, {"sites.st.louis.power_limit_mw": 20, "asics.st.louis.count": 7})
    assert scenario.sites[0].power_limit_mw == 20
    assert scenario.asics[0].count == 7
    with pytest.raises(ScenarioError, match=r"no such row; did you mean 'st\.louis'"):
        load(folder, {"sites.st.luis.power_limit_mw": 20})
    for key in ("sites.power_limit_mw", "sites..power_limit_mw", "sites", "sites.bravo."):
        with pytest.raises(ScenarioError, match=r"write sites\.NAME\.COLUMN"):
            load(folder, {key: 20})


def test_one_of_several_rows_must_be_named(folder: Path) -> None:
    with (folder / "asics.csv").open("a") as file:
        file.write("alpha,Antminer S19 XP,50\n")
    with pytest.raises(ScenarioError) as refused:
        load(folder, {"asics.alpha.count": 1})
    for word in (
        "asics.alpha.count = 1: meets 2 rows",
        "asics.alpha#2.count",
        "asics.alpha#*.count",
        "#1 (Antminer S21, row 2), #2 (Antminer S19 XP, row 4)",
    ):
        assert word in str(refused.value)

    def counts(key: str) -> list[int]:
        return [group.count for group in load(folder, {key: 1}).asics]

    assert counts("asics.alpha#1.count") == [1, 1200, 50]
    assert counts("asics.alpha#2.count") == [900, 1200, 1]
    assert counts("asics.alpha#Antminer S19 XP.count") == [900, 1200, 1]
    assert counts("asics.alpha#*.count") == [1, 1200, 1]
    assert counts("asics.*.count") == [1, 1, 1]
    for which in ("0", "3", "-1", "²", "9" * 20, "Antminer S22", ""):
        with pytest.raises(ScenarioError, match=r"name one as asics\.alpha#2\.count"):
            load(folder, {f"asics.alpha#{which}.count": 1})

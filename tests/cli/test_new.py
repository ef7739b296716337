"""From an empty folder to one's own fleet: new, check, run, query; and what it will not touch."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.scenario import catalogue
from sim.scenario.countries import away_km
from sim.scenario.problems import ScenarioError
from sim.scenario.starting import MADE, TEMPLATES, start
from tests.conftest import ROOT

runner = CliRunner()
FEW = "name,country,power_limit_mw\nalpha,US,10\nbravo,Paraguay,20\ncharlie,no,5\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    return tmp_path


def said(*arguments: str, code: int = 0) -> str:
    done = runner.invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.stderr


def written(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def test_three_columns_of_sites_become_a_fleet_that_runs(here: Path) -> None:
    (here / "sites.csv").write_text(FEW, encoding="utf-8")
    told = said("new", "mine", "--from", "sites.csv")
    assert "row 3 (bravo), climate = 'asuncion-py': assumed: the catalogue's nearest" in told
    assert "row 3 (bravo), model, mw, firmware = 20 MW of Antminer S21: assumed" in told
    checked = said("check", "mine")
    assert "mine: no problem; 3 sites" in checked
    assert "assumed in scenario.toml: horizon.start_utc" in checked
    out = said("run", "mine", "--days", "0.25", "--out", "result")
    assert "gross_margin_usd" in out
    rows = said("query", "result", "SELECT DISTINCT site FROM sites ORDER BY site")
    assert [name for name in ("alpha", "bravo", "charlie") if name in rows] == [
        "alpha", "bravo", "charlie",
    ]  # fmt: skip


def test_a_workbook_of_sites_and_machines_becomes_a_fleet(here: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Sites"
    for row in (["Name", "Country", "Power limit MW"], ["one", "US", 5], ["two", "CA", 3.5]):
        book.active.append(row)
    machines = book.create_sheet("asics")
    for row in (["site", "model", "count"], ["one", "Antminer S21", 900]):
        machines.append(row)
    book.save(here / "book.xlsx")
    made = start(here / "mine", here / "book.xlsx")
    loaded = sim.load(made.folder)
    assert [(s.name, s.power_limit_mw) for s in loaded.sites] == [("one", 5.0), ("two", 3.5)]
    assert [(g.site, g.count) for g in loaded.asics] == [("one", 900)]
    book["Sites"].insert_rows(1, 2)  # a title above, and a unit where the column has none
    book["Sites"]["A1"] = "Fleet plan"
    book["Sites"].merge_cells("A1:C1")
    book["Sites"]["D3"], book["Sites"]["D4"] = "Latitude (deg)", 91
    book.save(here / "book.xlsx")
    where = r"book.xlsx, worksheet Sites: row 4 \(one\), latitude = '91': must be <= 90"
    with pytest.raises(ScenarioError, match=where):
        start(here / "other", here / "book.xlsx")
    book.create_sheet("Macines").append(["x"])
    book.save(here / "book.xlsx")
    with pytest.raises(ScenarioError, match=r"worksheet Macines.*no sheet of a scenario"):
        start(here / "other", here / "book.xlsx")


def test_what_is_filled_is_what_is_nearest(here: Path) -> None:
    (here / "sites.csv").write_text(FEW, encoding="utf-8")
    start(here / "mine", here / "sites.csv")
    alpha, bravo, charlie = sim.load(here / "mine").sites
    assert (alpha.climate, alpha.timezone) == ("waco-tx", "America/Chicago")
    assert (bravo.country, bravo.climate, bravo.offset_h) == ("PY", "asuncion-py", -3)
    assert (charlie.country, charlie.climate, charlie.offset_h) == ("NO", "oslo-no", 1)
    assert all("assumed: climate, timezone, price_zone" in s.source for s in (alpha, bravo))


@pytest.mark.parametrize(
    ("cells", "climate", "zone"),
    [
        ({"country": "US", "latitude": "31.9", "longitude": "-102"}, "midland-tx",
         "America/Chicago"),
        ({"latitude": "33.5", "longitude": "-112.1"}, "phoenix-az", "America/Phoenix"),
        ({"country": "US", "climate": "macon-ga"}, "macon-ga", "America/New_York"),
        ({"country": "IS"}, "reykjavik-is", "Atlantic/Reykjavik"),
        ({"country": "FI"}, "stockholm-se", "Europe/Helsinki"),
    ],
)  # fmt: skip
def test_a_place_is_read_as_well_as_it_is_told(
    here: Path, cells: dict[str, str], climate: str, zone: str
) -> None:
    row = {"name": "a", "power_limit_mw": "3", **cells}
    text = f"{','.join(row)}\n{','.join(row.values())}\n"
    (here / "s.csv").write_text(text, encoding="utf-8")
    start(here / "mine", here / "s.csv")
    (site,) = sim.load(here / "mine").sites
    assert (site.climate, site.timezone) == (climate, zone)


def test_machines_fill_the_connection_with_its_cooling(here: Path) -> None:
    text = "name,country,power_limit_mw,overhead_mw,pue_base\na,NO,10,0.5,1.2\n"
    (here / "s.csv").write_text(text, encoding="utf-8")
    start(here / "mine", here / "s.csv")
    (group,) = sim.load(here / "mine").asics
    assert (group.mw, group.firmware) == (9.5, "stock")
    assert group.count == int(9.5e6 / (3500 * 1.2))


def test_a_connection_may_follow_from_machines_and_a_price_needs_no_zone(here: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "sites"
    for row in (["name", "country", "energy_usd_per_mwh"], ["one", "US", 41.5], ["two", "CA", 50]):
        book.active.append(row)
    machines = book.create_sheet("gpus")
    for row in (["site", "gpu", "mw"], ["one", "h100-sxm", 2], ["two", "h100-sxm", 1]):
        machines.append(row)
    book.save(here / "book.xlsx")
    start(here / "mine", here / "book.xlsx")
    loaded = sim.load(here / "mine")
    assert [g.nodes for g in loaded.gpus] == [226, 113]  # of 8 x 1,050 W at a PUE of 1.05
    assert [s.power_limit_mw for s in loaded.sites] == [1.994, 0.997]
    assert [s.energy_usd_per_mwh for s in loaded.sites] == [41.5, 50.0]
    assert "[prices.zones" not in (here / "mine/scenario.toml").read_text(encoding="utf-8")


def test_a_bad_cell_of_a_source_is_a_problem(here: Path) -> None:
    text = "name,country,power_limit_mw,technicians\na,US,3,many\n"
    (here / "s.csv").write_text(text, encoding="utf-8")
    told = said("new", "mine", "--from", "s.csv", code=2)
    assert "row 2 (a), technicians = 'many': must be a whole number" in told


def test_what_is_given_is_kept(here: Path) -> None:
    text = (
        "name;country;power_limit_mw;energy_usd_per_mwh;climate;source\n"
        "a;NO;7,5;41,5;oslo-no;my contract\n"
    )
    (here / "s.csv").write_text(text, encoding="utf-8")
    start(here / "mine", here / "s.csv")
    (site,) = sim.load(here / "mine").sites
    assert (site.power_limit_mw, site.energy_usd_per_mwh, site.contract) == (7.5, 41.5, "fixed")
    assert site.source.startswith("my contract; assumed: timezone, contract")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,country\na,US\n", "row 2 (a), power_limit_mw: is required: in MW; it follows"),
        ("name,power_limit_mw\na,3\n", "row 2 (a), country: is required, or latitude"),
        ("name,country,power_limit_mw\na,Narnia,3\n", "country = 'Narnia': is no country"),
        ("name,country,power_limit_mw\na,US,lots\n", "power_limit_mw = 'lots': must be a number"),
        ("name,country,power_limit_mw\na,US,3\na,US,4\n", "names must be unique"),
        ("name,country,power_mw\na,US,3\n", "did you mean 'power_limit_mw'"),
        ("name,country,power_limit_mw\n", "has no row"),
        ("", "is empty"),
    ],
)
def test_a_source_that_cannot_be_used_leaves_nothing(here: Path, text: str, told: str) -> None:
    (here / "s.csv").write_text(text, encoding="utf-8")
    assert told in said("new", "mine", "--from", "s.csv", code=2)
    assert [f.name for f in here.iterdir()] == ["s.csv"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_run_and_say_that_they_are_assumed(here: Path, template: str) -> None:
    document = json.loads(said("new", "mine", "--template", template, "--json"))
    assert document["warnings"] == []
    assert {"scenario.toml", "sites.csv", "asics.csv"} <= set(document["files"])
    assert all(found["message"] for found in document["assumed"])
    checked = json.loads(said("check", "mine", "--json"))
    assert (checked["problems"], checked["warnings"]) == ([], [])
    assert checked["assumed"] == document["assumed"]
    scenario = sim.load(here / "mine", {"horizon.days": 0.25})
    assert all("assumed" in row.source for row in (*scenario.sites, *scenario.asics))
    assert sim.run(scenario, seed=1).kpis["btc_mined_btc"] > 0.0


def test_every_table_is_explained(here: Path) -> None:
    for template in TEMPLATES:
        start(here / template, template=template)
        lines = (here / template / "scenario.toml").read_text(encoding="utf-8").split("\n")
        text = "\n".join(lines)
        assert "docs/scenario.md" in text
        for table in ("[horizon]", "[network]", "[btc_price]", "[pool]", "[treasury]", "[policy]"):
            above = lines[lines.index(table) - 1]
            assert above.startswith("# ") or not above, table
        if "seasonal-jump" in text:
            assert "SYNTHETIC" in text
            assert "hashwatt import-series" in text


def test_what_was_set_is_not_assumed(here: Path) -> None:
    said("new", "mine")
    assumed = json.loads(said("check", "mine", "--set", "horizon.days=30", "--json"))["assumed"]
    where = {found["where"] for found in assumed}
    assert "horizon.days" not in where
    assert "horizon.start_utc" in where


def test_a_copy_is_the_same_scenario(here: Path) -> None:
    said("new", "mine", "--from", "tiny")
    mine, tiny = sim.load(here / "mine"), sim.load(ROOT / "configs/tiny")
    assert mine.model_copy(update={"name": "tiny"}).sha256() == tiny.sha256()


def test_a_copy_takes_what_it_builds_on_along(here: Path) -> None:
    """A scenario three deep, with a series of its own in the middle."""
    for name, below in (
        ("low", ""),
        ("middle", 'base = "../low"\n'),
        ("top", "base='../middle'\n"),
    ):
        (here / name).mkdir()
        text = below
        if name == "low":
            text += '[prices.zones.z]\nmodel = "fixed"\nusd_per_mwh = 40\n'
        if name == "middle":
            text += '[series.p]\nfile = "p.csv"\n[prices.zones.y]\nmodel = "replay"\n'
            text += 'series = "p"\ncolumn = "v"\n[horizon]\ndays = 1\n'
        (here / name / "scenario.toml").write_text(text, encoding="utf-8")
    stamps = "".join(f"2026-01-{1 + h // 24:02d}T{h % 24:02d}:00:00Z,{h}\n" for h in range(30))
    (here / "middle/p.csv").write_text("time_utc,v\n" + stamps, encoding="utf-8")
    (here / "low/sites.csv").write_text(
        "name,price_zone,climate,utc_offset_h,power_limit_mw\na,y,oslo-no,1,3\n", encoding="utf-8"
    )
    (here / "top/asics.csv").write_text("site,model,count\na,Antminer S21,100\n", encoding="utf-8")
    said("new", "mine", "--from", "top")
    mine, top = sim.load(here / "mine"), sim.load(here / "top")
    assert mine.model_copy(update={"name": "top"}).sha256() != ""
    assert mine.model_dump(exclude={"name", "base", "series"}) == top.model_dump(
        exclude={"name", "base", "series"}
    )


def test_a_copy_that_needs_data_says_so(here: Path) -> None:
    document = json.loads(said("new", "mine", "--from", "ercot-2024", "--json"))
    (warning,) = document["warnings"]
    assert "needs recorded data to run" in warning["message"]
    assert "HASHWATT_DATA" in warning["message"]


Prepare = Callable[[Path], Any]


@pytest.mark.parametrize(
    ("there", "told"),
    [
        (lambda f: f.write_text("mine", encoding="utf-8"), "is no scenario that `hashwatt new`"),
        (lambda f: f.mkdir(), "is no scenario that `hashwatt new`"),
        (lambda f: (f.mkdir(), (f / "scenario.toml").write_text("", encoding="utf-8")),
         "is no scenario that `hashwatt new`"),
        (lambda f: start(f), "exists; choose another name, or say --force"),
    ],
)  # fmt: skip
def test_nothing_that_is_there_is_touched(here: Path, there: Prepare, told: str) -> None:
    there(here / "mine")
    before = written(here)
    assert told in said("new", "mine", "--template", "hosted", code=2)
    assert written(here) == before


def test_force_writes_only_what_it_made(here: Path) -> None:
    said("new", "mine", "--template", "two-sites")
    (here / "mine/notes.md").write_text("keep", encoding="utf-8")
    assert "holds gpus.csv" in said("new", "mine", "--template", "hosted", "--force", code=2)
    (here / "mine/gpus.csv").unlink()
    said("new", "mine", "--template", "hosted", "--force")
    assert (here / "mine/notes.md").read_text(encoding="utf-8") == "keep"
    assert sim.load(here / "mine").hosts
    foreign = here / "theirs"
    foreign.mkdir()
    (foreign / "scenario.toml").write_text("# by hand\n", encoding="utf-8")
    assert "is no scenario" in said("new", "theirs", "--force", code=2)


@pytest.mark.parametrize("name", ["a:b", "NUL", "x" * 130, "a.toml", " a", "a.", "-a", "..", ""])
def test_names_are_those_of_scenarios(here: Path, name: str) -> None:
    assert "NAME" in said("new", "--", name, code=2)
    assert list(here.iterdir()) == []


def test_a_name_with_a_blank_and_letters_of_any_kind(here: Path) -> None:
    said("new", "Größe 3 ½")
    text = (here / "Größe 3 ½/scenario.toml").read_text(encoding="utf-8")
    assert "hashwatt check 'Größe 3 ½'" in text
    assert MADE in text
    tomllib.loads(text)
    said("check", "Größe 3 ½")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--template", "two"), "did you mean 'two-sites'"),
        (("--from", "nowhere"), "no such file, and no such scenario"),
        (("--from", "tiny", "--template", "hosted"), "give one of them"),
    ],
)
def test_options_that_make_no_sense(here: Path, options: tuple[str, ...], told: str) -> None:
    assert told in said("new", "mine", *options, code=2)
    assert list(here.iterdir()) == []


def test_a_source_with_problems_is_refused_as_check_would(here: Path) -> None:
    start(here / "broken")
    (here / "broken/asics.csv").write_text("site,model,count\nmoon,S21,1\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match="moon"):
        start(here / "mine", here / "broken")
    assert not (here / "mine").exists()


def test_every_climate_has_its_place() -> None:
    found = catalogue.climate_places()
    assert {place.climate for place in found} == catalogue.climate_names()
    for place in found:
        assert away_km(place.country, place.latitude, place.longitude) < 1500.0

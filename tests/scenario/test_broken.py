"""Broken scenarios: each gives one clear message that names file and key, and exit code 2."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.scenario import ScenarioError, load
from tests.builders.broken import Change, both, cell, extra, remove, toml, write
from tests.conftest import ROOT


def header(sheet: str, old: str, new: str) -> Change:
    def change(folder: Path) -> None:
        file = folder / f"{sheet}.csv"
        file.write_text(file.read_text().replace(old, new, 1))

    return change


def line(sheet: str, text: str) -> Change:
    """Append a row."""

    def change(folder: Path) -> None:
        with (folder / f"{sheet}.csv").open("a") as file:
            file.write(text + "\n")

    return change


SERIES = '[series.x]\nfile = "x.csv"\n'
REPLAY = '[prices.zones.east]\nmodel = "replay"\nseries = "x"\ncolumn = "usd"\n' + SERIES


# what is broken → (how, what the message must say)
BROKEN: dict[str, tuple[Change, list[str]]] = {
    "unknown table": (extra("[horizont]\ndays = 3"), ["scenario.toml", "horizont", "'horizon'"]),
    "unknown key": (toml("days = 7", "dayz = 7"), ["horizon.dayz", "unknown key", "'days'"]),
    "true for a number": (
        toml("days = 7", "days = true"),
        ["horizon.days = 'true'", "number in d"],
    ),
    "true in a list of numbers": (
        extra("[coincident_peak]\nmonths = [6, true]"),
        ["coincident_peak.months.1 = 'true'", "must be a whole number"],
    ),
    "true in a table of numbers": (
        extra("[projects.p.substations_mw]\nx = true"),
        ["projects.p.substations_mw.x = 'true'", "must be a number"],
    ),
    "a number for an instant": (
        toml("start_utc = 2026-01-01T00:00:00Z", "start_utc = 46024"),
        ["horizon.start_utc = 46024", "an instant"],
    ),
    "a number in quotes for an instant": (
        toml("start_utc = 2026-01-01T00:00:00Z", 'start_utc = "1.7e9"'),
        ["start_utc = '1.7e9'", "an instant"],
    ),
    "unit in the value": (
        toml("days = 7", 'days = "7 d"'),
        ["horizon.days", "'7 d'", "number in d"],
    ),
    "wrong unit in the key": (
        header("sites", "power_limit_mw", "power_limit_kw"),
        ["sites.csv", "'power_limit_kw'", "'power_limit_mw'"],
    ),
    "kW typed as MW": (
        cell("sites", 2, "power_limit_mw", "12000"),
        ["sites.csv", "row 2 (alpha)", "power_limit_mw", "<= 5000", "MW"],
    ),
    "negative limit": (
        cell("sites", 2, "power_limit_mw", "-5"),
        ["sites.csv", "row 2 (alpha)", "power_limit_mw", "'-5'", ">= 0", "MW"],
    ),
    "negative count": (cell("asics", 3, "count", "-1"), ["asics.csv", "row 3 (alpha)", "count"]),
    "count that is no number": (
        cell("asics", 2, "count", "many"),
        ["asics.csv", "row 2 (alpha), count", "'many'", "whole number"],
    ),
    "half a machine": (cell("asics", 2, "count", "1.5"), ["asics.csv", "count", "'1.5'"]),
    "machines at no site": (
        cell("asics", 2, "site", "alpa"),
        ["asics.csv", "row 2", "'alpa'", "'alpha'"],
    ),
    "GPU nodes at no site": (
        cell("gpus", 2, "site", "zulu"),
        ["gpus.csv", "'zulu'", "alpha, bravo"],
    ),
    "unknown ASIC": (
        cell("asics", 2, "model", "Antminer S19XP"),
        ["asics.csv", "model", "'Antminer S19 XP'"],
    ),
    "unknown firmware mode": (
        cell("asics", 2, "mode", "turbo"),
        ["asics.csv", "mode = 'turbo'", "high, low, normal"],
    ),
    "unknown owner": (cell("asics", 2, "owner", "mine"), ["asics.csv", "owner", "'own'"]),
    "unknown GPU": (cell("gpus", 2, "gpu", "h100"), ["gpus.csv", "gpu = 'h100'", "'h100-sxm'"]),
    "unknown GPU state": (cell("gpus", 2, "state", "spot"), ["gpus.csv", "state", "'batch'"]),
    "utilisation above one": (
        cell("gpus", 2, "utilisation", "70"),
        ["gpus.csv", "utilisation", "'70'", "<= 1"],
    ),
    "two sites of one name": (
        cell("sites", 3, "name", "alpha"),
        ["sites.csv", "rows 2, 3", "'alpha'", "unique"],
    ),
    "no site": (write("sites.csv", "name\n"), ["sites.csv", "a site is needed"]),
    "no sites.csv": (remove("sites.csv"), ["sites.csv", "missing"]),
    "no scenario.toml": (remove("scenario.toml"), ["no scenario.toml in this folder"]),
    "required column empty": (
        cell("sites", 2, "climate", ""),
        ["sites.csv", "climate", "required"],
    ),
    "row too short": (line("sites", "charlie,US"), ["sites.csv", "row 4", "cells"]),
    "unknown column": (
        header("sites", "technicians", "staff"),
        ["sites.csv", "'staff'", "unknown"],
    ),
    "unknown zone": (
        cell("sites", 2, "price_zone", "wst"),
        ["sites.csv", "price_zone = 'wst'", "'west'"],
    ),
    "unknown climate": (
        cell("sites", 2, "climate", "midland"),
        ["sites.csv", "climate = 'midland'", "'midland-tx'"],
    ),
    "dangling grid node": (
        cell("sites", 2, "grid_node", "feeder-2"),
        ["sites.csv", "grid_node = 'feeder-2'", "'feeder-1'"],
    ),
    "dangling link": (
        cell("grid_links", 2, "to_node", "nowhere"),
        ["grid_links.csv", "row 2, to_node", "'nowhere'"],
    ),
    "negative capacity": (
        cell("grid_links", 2, "capacity_mw", "-3"),
        ["grid_links.csv", "row 2", "capacity_mw", ">= 0 MW"],
    ),
    "loss in percent": (
        cell("grid_links", 2, "loss_fraction", "1.5"),
        ["grid_links.csv", "loss_fraction", "< 0.5"],
    ),
    "ring of links": (
        line("grid_links", "feeder-1,substation-1,5,0,assumed"),
        ["grid_links.csv", "substation-1"],
    ),
    "node fed twice": (
        line("grid_links", "ercot,feeder-1,5,0,assumed"),
        ["grid_links.csv: row 4 (ercot → feeder-1), reactance_pu: is required", "ring"],
    ),
    "link against the flow": (
        header("grid_links", "ercot,substation-1", "substation-1,ercot"),
        ["grid_links.csv", "'ercot': is fed by substation-1", "from the zone to the sites"],
    ),
    "node without a way": (
        line("grid_nodes", "island,feeder,assumed"),
        ["grid_nodes.csv", "'island'", "no path"],
    ),
    "unknown kind of node": (cell("grid_nodes", 2, "kind", "bus"), ["grid_nodes.csv", "kind"]),
    "two nodes of one name": (
        line("grid_nodes", "feeder-1,feeder,assumed"),
        ["grid_nodes.csv", "'feeder-1'", "unique"],
    ),
    "overhead above the limit": (
        cell("sites", 2, "overhead_mw", "50"),
        ["sites.csv", "overhead_mw", "<= power_limit_mw, 12 MW"],
    ),
    "PUE below one": (cell("sites", 2, "pue_base", "0.9"), ["sites.csv", "pue_base", ">= 1"]),
    "latitude off the globe": (
        cell("sites", 2, "latitude", "132"),
        ["sites.csv", "latitude", "<= 90"],
    ),
    "no clock": (cell("sites", 2, "utc_offset_h", ""), ["sites.csv", "utc_offset_h and timezone"]),
    "contract without a price": (
        cell("sites", 2, "contract", "hosted"),
        ["sites.csv", "row 2 (alpha)", "energy_usd_per_mwh"],
    ),
    "unknown contract": (
        cell("sites", 2, "contract", "ppa"),
        ["sites.csv", "contract", "'hosted'"],
    ),
    "step that does not divide the day": (
        toml("days = 7", "days = 7\nstep_s = 700"),
        ["horizon.step_s = 700", "divide 86400 s"],
    ),
    "record that is no multiple": (
        toml("days = 7", "days = 7\nrecord_s = 1000"),
        ["horizon.record_s = 1000", "multiple of step_s = 900"],
    ),
    "no days": (toml("days = 7", "days = 0"), ["horizon.days", "> 0 d"]),
    "start without a zone": (
        toml("2026-01-01T00:00:00Z", "2026-01-01T00:00:00"),
        ["horizon.start_utc", "timezone"],
    ),
    "unknown network model": (
        toml('model = "growth"', 'model = "grow"'),
        ["network.model = 'grow'", "allowed: growth, replay"],
    ),
    "key of another model": (
        toml('model = "gbm"', 'model = "constant"\nvolatility_per_year = 0.4'),
        ["btc_price.volatility_per_year", "unknown key"],
    ),
    "bits that are none": (
        toml('model = "growth"', 'model = "growth"\nbits = "17"'),
        ["network.bits", "'17'"],
    ),
    "height outside the epoch": (
        toml('model = "growth"', 'model = "growth"\nstart_height = 5'),
        ["network.start_height = 5", "929376 to"],
    ),
    "pool that does not exist": (extra('[pool]\nmodel = "pps"'), ["pool.model", "'fpps'"]),
    "pool fee in percent": (extra("[pool]\nfee_fraction = 2.0"), ["pool.fee_fraction", "< 1"]),
    "no price zone": (
        toml('[prices.zones.west]\nprofile = "ercot-west"', ""),
        ["sites.csv", "price_zone = 'west'"],
    ),
    "unknown price profile": (
        toml('profile = "ercot-west"', 'profile = "ercot-wst"'),
        ["prices.zones.west.profile", "'ercot-west'"],
    ),
    "series that is not there": (extra(REPLAY.replace(SERIES, "")), ["prices.zones.east", "'x'"]),
    "series file that is not there": (extra(REPLAY), ["series.x.file", "'x.csv'", "no such file"]),
    "series without its column": (
        both(extra(REPLAY), write("x.csv", "time_utc,eur\n2026-01-01T00:00:00Z,1\n")),
        ["prices.zones.east", "no column 'usd'", "eur"],
    ),
    "series without a time": (
        both(extra(REPLAY), write("x.csv", "hour,usd\n1,2\n")),
        ["series.x", "'time_utc'", "hour, usd"],
    ),
    "series that runs back": (
        both(
            extra(REPLAY),
            write("x.csv", "time_utc,usd\n2026-01-02,1\n2026-01-01,2\n2026-01-03,2\n"),
        ),
        ["series.x", "row 3", "not later"],
    ),
    "horizon outside a series": (
        both(
            extra(REPLAY),
            write("x.csv", "time_utc,usd\n2025-01-01T00:00:00Z,1\n2025-01-01T01:00:00Z,2\n"),
        ),
        ["prices.zones.east", "covers 2025-01-01", "needs 2026-01-01"],
    ),
    "hole in a series": (
        both(
            extra(REPLAY),
            write(
                "x.csv",
                "time_utc,usd\n"
                + "".join(
                    f"2026-01-{d:02d}T{h:02d}:00:00Z,{'' if (d, h) == (3, 5) else 40}\n"
                    for d in range(1, 9)
                    for h in range(24)
                ),
            ),
        ),
        ["prices.zones.east", "no value at 2026-01-03 05:00", "max_gap_h"],
    ),
    "text in a series": (
        both(extra(REPLAY), write("x.csv", "time_utc,usd\n2026-01-01T00:00:00Z,cheap\n")),
        ["'usd'", "not a number"],
    ),
    "no data folder": (
        extra('[series.y]\nfile = "{data_dir}/y.csv"'),
        ["data_dir", "HASHWATT_DATA", "y"],
    ),
    "not TOML": (write("scenario.toml", "days == 3"), ["scenario.toml", "not TOML"]),
    "base that is not there": (toml("[horizon]", 'base = "../other"\n[horizon]'), ["other"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    folder = tmp_path / "broken"
    shutil.copytree(ROOT / "configs/tiny", folder)
    change, words = BROKEN[name]
    change(folder)
    outcome = CliRunner().invoke(app, ["check", str(folder)])
    assert outcome.exit_code == 2, outcome.output
    assert "Traceback" not in outcome.output
    for word in words:
        assert word in outcome.output, f"{word!r} not in:\n{outcome.output}"


def test_there_are_at_least_fifty() -> None:
    assert len(BROKEN) >= 50


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(ROOT / "configs/tiny", folder)
    for name in (
        "unknown ASIC",
        "negative limit",
        "unknown GPU state",
        "negative capacity",
        "no days",
    ):
        BROKEN[name][0](folder)
    with pytest.raises(ScenarioError) as error:
        load(folder)
    files = {problem.file for problem in error.value.problems}
    assert files >= {"sites.csv", "gpus.csv", "grid_links.csv", "scenario.toml"}


def test_overrides_reach_tables_and_cells(tmp_path: Path) -> None:
    changed = load(
        ROOT / "configs/tiny",
        {"horizon.days": 3, "sites.alpha.power_limit_mw": 7.5, "sites.*.technicians": 9},
    )
    assert changed.horizon.days == 3
    assert [s.power_limit_mw for s in changed.sites] == [7.5, 9.0]
    assert [s.technicians for s in changed.sites] == [9, 9]
    with pytest.raises(ScenarioError, match="no such row"):
        load(ROOT / "configs/tiny", {"sites.zulu.power_limit_mw": 1})
    with pytest.raises(ScenarioError, match="power_limit_mw"):
        load(ROOT / "configs/tiny", {"sites.alpha.power_limit_kw": 1})


def test_a_scenario_says_only_what_differs_from_its_base(tmp_path: Path) -> None:
    folder = tmp_path / "child"
    folder.mkdir()
    (folder / "scenario.toml").write_text(
        f'base = "{ROOT / "configs/tiny"}"\n[horizon]\ndays = 2\n[btc_price]\nmodel = "constant"\n'
    )
    child, parent = load(folder), load(ROOT / "configs/tiny")
    assert child.horizon.days == 2
    assert child.horizon.start_utc == parent.horizon.start_utc
    assert child.btc_price.model == "constant"
    assert child.sites == parent.sites
    assert child.sha256() != parent.sha256()


def test_a_base_may_be_a_shipped_scenario_by_name(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text('base = "tiny"\n', "utf-8")
    assert load(tmp_path).sites == load("tiny").sites
    (tmp_path / "scenario.toml").write_text('base = "tinny"\n', "utf-8")
    with pytest.raises(ScenarioError, match="did you mean 'tiny'"):
        load(tmp_path)


def test_files_beside_the_base_are_found_from_what_builds_on_it(tmp_path: Path) -> None:
    base, child = tmp_path / "base", tmp_path / "children/first"
    shutil.copytree(ROOT / "configs/tiny", base)
    extra('[series.x]\nfile = "x.csv"\n[demand.traces.day]\nfile = "day.csv"\n')(base)
    write("x.csv", "time_utc,usd\n2026-01-01T00:00:00Z,1\n")(base)
    write("day.csv", "arrival_s,prompt_tokens,output_tokens\n0.5,10,20\n")(base)
    child.mkdir(parents=True)
    (child / "scenario.toml").write_text('base = "../../base"\n')
    scenario = load(child)
    assert list(scenario.recorded) == ["x"]
    assert list(scenario.traces) == ["day"]

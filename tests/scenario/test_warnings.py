"""What can be run but looks like a mistake is said, with what to do, wherever people look."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.scenario import Scenario
from sim.world.demand import lognormal
from tests.conftest import ROOT, build_scenario

SITE = {"name": "alpha"}
S21 = {"site": "alpha", "model": "Antminer S21", "count": 1000}  # 3.5 MW


def fleet(
    site: dict[str, Any] | None = None, tables: dict[str, Any] | None = None, **sheets: Any
) -> Scenario:
    """One site with 3.5 MW of machines and 10 MW of connection, unless told otherwise."""
    rows: dict[str, Any] = {"asics": [S21], "gpus": [], **sheets}
    return build_scenario(tables, sites=[{**SITE, **(site or {})}], **rows)


def texts(scenario: Scenario) -> list[str]:
    return [str(warning) for warning in scenario.warnings]


FIXED = {"prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 0.05}}}}
CHEAP = {"model": "fixed", "usd_per_mwh": 30}
PPA = {"site": "alpha", "kind": "ppa", "mw": 1, "strike_usd_per_mwh": 40}
FIRE = {"kind": "outage", "sites": ["alpha"], "hours": 3}
TEXAS = {"country": "US", "latitude": 32.0, "longitude": -102.1, "utc_offset_h": -6}
SHED = {"kind": "emergency", "sites": ["*"], "start_utc": "2026-01-01T05:00:00Z", "hours": 2,
        "left_fraction": 0.5}  # fmt: skip

# what is odd → (scenario, what the warning must say)
ODD: dict[str, tuple[Scenario, list[str]]] = {
    "nameplate above the connection": (
        fleet({"power_limit_mw": 3}),
        ["sites.csv", "row 2 (alpha), power_limit_mw = 3", "3.5 MW", "check count"],
    ),
    "GPU nodes count too": (
        fleet(gpus=[{"site": "alpha", "gpu": "h100-sxm", "nodes": 1000}]),
        ["11.9 MW", "power_limit_mw = 10"],
    ),
    "kW written as MW": (
        fleet({"power_limit_mw": 350}),
        ["power_limit_mw = 350", "3.5 MW of machines", "MW, not kW"],
    ),
    "a fleet without machines": (fleet(asics=[]), ["no machine", "asics.csv"]),
    "machines counted as none": (fleet(asics=[{**S21, "count": 0}]), ["no machine"]),
    "a site without machines": (
        build_scenario(sites=[SITE, {"name": "bravo"}], asics=[S21], gpus=[]),
        ["row 3 (bravo)", "leave it out or fill it"],
    ),
    "a row twice": (fleet(asics=[S21, S21]), ["asics.csv: rows 2 and 3", "both count", "delete"]),
    "a battery twice": (
        fleet(batteries=[{"site": "alpha", "power_mw": 1, "energy_mwh": 2}] * 2),
        ["batteries.csv: rows 2 and 3"],
    ),
    "a contract that is over": (
        fleet(power_contracts=[{**PPA, "end_utc": "2020-01-01T00:00:00Z"}]),
        ["power_contracts.csv: row 2 (alpha), end_utc = 2020-01-01T00:00:00Z", "no effect"],
    ),
    "contracts of another year": (
        fleet(power_contracts=[PPA, {**PPA, "mw": 2, "start_utc": "2062-01-01T00:00:00Z"}]),
        ["power_contracts.csv: start_utc = 2062-01-01T00:00:00Z: 1 of 1 begin after the run"],
    ),
    "a block larger than its site": (
        fleet(power_contracts=[{**PPA, "mw": 500}]),
        ["power_contracts.csv: row 2 (alpha), mw = 500", "10 MW; check the unit"],
    ),
    "an incident of another year": (
        fleet(tables={"faults": {"incidents": [{**FIRE, "start_utc": "2062-01-01T00:00:00Z"}]}}),
        ["scenario.toml: faults.incidents.start_utc = 2062-01-01T00:00:00Z", "check years"],
    ),
    "an emergency that takes nothing": (
        fleet(tables={"faults": {"incidents": [SHED]}}),
        [
            "faults.incidents.0.left_fraction = 0.5: takes nothing there: alpha keeps 5 of 10 MW",
            "and draws 4.",
        ],
    ),
    "a reserve that scarcity passes by": (
        fleet(tables={"programmes": {"rrs": {"model": "reserve", "usd_per_mw_h": 8}}}),
        ["programmes.rrs: no zone of its sites has a day-ahead price", "real_time_series"],
    ),
    "a manual response that a ramp is too slow for": (
        fleet(
            {"ramp_mw_per_min": 0.1},
            {"programmes": {"ers": {"model": "emergency", "response": "manual"}}},
        ),
        ["programmes.ers.response = manual", "within 1800 s (notice_s) alpha moves 3 of 4."],
    ),
    "a zone without sites": (
        fleet(tables={"prices": {"zones": {**FIXED["prices"]["zones"], "zonne": CHEAP}}}),
        ["scenario.toml: prices.zones.zonne: no site is in this zone"],
    ),
    "a tariff that nobody has": (
        fleet(tables={"tariffs": {"night": {"prices": [{"usd_per_mwh": 30}]}}}),
        ["scenario.toml: tariffs.night: no zone and no site has this tariff"],
    ),
    "a demand charge of another season": (
        fleet(tables={"demand_charges": {"d": {"usd_per_mw_month": 9, "months": [7]}}}),
        ["demand_charges.d.months = [7]: the run sees none", "no effect"],
    ),
    "a demand charge beside an all-in price": (
        fleet(
            {"contract": "hosted", "energy_usd_per_mwh": 75},
            {"demand_charges": {"d": {"usd_per_mw_month": 9}}},
        ),
        ["demand_charges.d.sites = *: alpha pays an all-in price", "name the sites"],
    ),
    "sales at the price of one's own contract": (
        fleet({"contract": "fixed", "energy_usd_per_mwh": 75, "price_zone": "", "export_mw": 3}),
        ["sites.csv: row 2 (alpha), export_mw = 3: what flows back earns", "price_zone"],
    ),
    "a country that does not exist": (fleet({"country": "ZQ"}), ["'ZQ'", "ISO 3166"]),
    "a country of three letters": (fleet({"country": "Norway"}), ["'Norway'", "'NO'"]),
    "a country in lower case": (fleet({"country": "us"}), ["did you mean 'US'?"]),
    "latitude and longitude swapped": (
        fleet({**TEXAS, "country": "OM", "latitude": 54.1, "longitude": 17.0, "utc_offset_h": 2}),
        ["latitude 17, longitude 54.1"],
    ),
    "a sign forgotten": (
        fleet({**TEXAS, "longitude": 102.1, "utc_offset_h": 7}),
        ["latitude 32, longitude -102.1", "United States"],
    ),
    "an offset against the sun": (
        fleet({**TEXAS, "utc_offset_h": 6}),
        ["utc_offset_h = 6", "longitude -102.1", "negative"],
    ),
    "a time zone of another country": (
        fleet({"country": "US", "utc_offset_h": None, "timezone": "Europe/Oslo"}),
        ["timezone = 'Europe/Oslo'", "United States"],
    ),
    "a price by the kilowatt-hour": (
        fleet(tables=FIXED),
        ["prices.zones.zone.usd_per_mwh", "0.05", "USD/kWh"],
    ),
    "a contract by the kilowatt-hour": (
        fleet({"contract": "fixed", "energy_usd_per_mwh": 0.045}),
        ["row 2 (alpha), energy_usd_per_mwh", "0.045"],
    ),
    "a bitcoin in thousands": (
        fleet(tables={"btc_price": {"model": "constant", "usd_per_btc": 95}}),
        ["btc_price.usd_per_btc = 95", "whole bitcoin"],
    ),
    "nobody repairs": (fleet({"technicians": 0}), ["technicians = 0", "never repaired"]),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_input_is_said_once_with_what_to_do(what: str) -> None:
    scenario, needles = ODD[what]
    said = [text for text in texts(scenario) if all(needle in text for needle in needles)]
    assert len(said) == 1, "\n".join(texts(scenario))


def test_a_sensible_fleet_has_no_warning() -> None:
    assert texts(fleet(TEXAS)) == []
    oslo = {"country": "NO", "latitude": 66.3, "longitude": 14.1, "timezone": "Europe/Oslo"}
    assert texts(fleet({**oslo, "utc_offset_h": None})) == []


@pytest.mark.parametrize("name", ["tiny", "meshed-118", "cango-2026", "cango-strategies"])
def test_shipped_scenarios_are_sensible(name: str, data: Path) -> None:
    said = texts(sim.load(ROOT / "configs" / name, {"data_dir": str(data)}))
    assert [text for text in said if "are cut to it" not in text] == []


def recorded(folder: Path, price: str) -> Scenario:
    """A folder whose only zone replays a constant recorded price."""
    hours = "".join(f"2026-01-01T{hour:02d}:00:00Z,{price}\n" for hour in range(24))
    (folder / "prices.csv").write_text(f"time_utc,usd\n{hours}", encoding="utf-8")
    (folder / "scenario.toml").write_text(
        '[horizon]\ndays = 1\n[prices.zones.zone]\nmodel = "replay"\nseries = "p"\n'
        'column = "usd"\n[series.p]\nfile = "prices.csv"\n',
        encoding="utf-8",
    )
    (folder / "sites.csv").write_text(
        "name,climate,price_zone,utc_offset_h,power_limit_mw\nalpha,midland-tx,zone,-6,10\n",
        encoding="utf-8",
    )
    (folder / "asics.csv").write_text(
        "site,model,count\nalpha,Antminer S21,1000\n", encoding="utf-8"
    )
    return sim.load(folder)


def test_recorded_prices_by_the_kilowatt_hour_beside_synthetic_weather(tmp_path: Path) -> None:
    said = "\n".join(texts(recorded(tmp_path, "0.05")))
    assert "prices.zones.zone.column = 0.05 USD/MWh in the mean" in said
    assert "recorded prices stand beside synthetic weather at alpha" in said
    assert "in the mean" not in "\n".join(texts(recorded(tmp_path, "50")))


def command(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_check_lists_warnings_and_still_ends_with_0(tmp_path: Path) -> None:
    recorded(tmp_path, "0.05")
    told = command("check", str(tmp_path))
    assert told.exit_code == 0
    assert "no problem, 2 warnings" in told.stdout
    assert told.stderr.count("warning: scenario.toml: ") == 2
    document = json.loads(command("check", str(tmp_path), "--json").stdout)
    assert document["problems"] == []
    assert [set(w) for w in document["warnings"]] == [{"file", "where", "value", "message"}] * 2


def test_check_json_lists_problems_of_a_broken_folder(tmp_path: Path) -> None:
    recorded(tmp_path, "50")
    told = command("check", str(tmp_path), "--set", "sites.alpha.climate=mars", "--json")
    assert told.exit_code == 2
    (problem,) = json.loads(told.stdout)["problems"]
    assert problem["value"] == "'mars'"


def test_warnings_change_no_hash(tmp_path: Path) -> None:
    odd = fleet({"country": "ZQ"})
    assert odd.warnings
    assert odd.sha256() == odd.model_copy(update={"warnings": ()}).sha256()


def test_a_run_says_stores_and_returns_warnings(tmp_path: Path) -> None:
    recorded(tmp_path, "50")
    out = tmp_path / "out"
    change = "sites.alpha.power_limit_mw=1"
    told = command(
        "run", str(tmp_path), "--set", change, "--policy", "static", "--out", str(out), "--json"
    )
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)["warnings"]
    joined = "\n".join(f"{w['file']} {w['where']}: {w['message']}" for w in said)
    assert re.search(r"run limit .* at site alpha: leaves no room in \d+% of the steps", joined)
    assert "more than the connection" in joined
    assert "at site alpha" in told.stderr
    assert pq.read_table(out / "warnings.parquet").to_pylist() == said
    counted = command("query", str(out), "SELECT count(*) AS n FROM warnings", "--json")
    assert json.loads(counted.stdout) == [{"n": len(said)}]


def test_limits_of_many_sites_are_told_in_one_line() -> None:
    """Four sites behind half of what their machines draw: the worst three are named."""
    names = ("alpha", "bravo", "charlie", "delta")
    sites = [{"name": name, "power_limit_mw": 1.0 - 0.1 * i} for i, name in enumerate(names)]
    machines = [{"site": name, "model": "Antminer S21", "count": 600} for name in names]
    scenario = build_scenario({"horizon": {"days": 0.25}}, sites=sites, asics=machines, gpus=[])
    told = [w for w in sim.run(scenario, "static").warnings if w.file == "run"]
    assert [w.where for w in told] == ["limits at 4 sites"]
    assert "a limit leaves no room in 100% to 100% of the steps" in told[0].message
    assert all(f"at {name} 100%" in told[0].message for name in names[:3])


SERVING: dict[str, Any] = {
    "tables": {
        "horizon": {"days": 0.25},
        "demand": {"regions": {"here": {"latitude": 32.0, "longitude": -100.0}}},
    },
    "site": {"latitude": 32.0, "longitude": -102.0},
    "gpus": [
        {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "model": "llama-3.1-8b"}
        | {"state": "serving"}
    ],
}
TENANT = {"name": "patient", "region": "here", "model": "llama-3.1-8b", "rate_rps": 0.2}


def test_prompts_that_are_cut_are_counted(tmp_path: Path) -> None:
    lines = "".join(f"{i},{2000 if i % 4 == 0 else 100},10\n" for i in range(100))
    trace = tmp_path / "trace.csv"
    trace.write_text(f"arrival_s,prompt_tokens,output_tokens\n{lines}", encoding="utf-8")
    demand = {**SERVING["tables"]["demand"], "traces": {"log": {"file": str(trace)}}}
    tenant = {**TENANT, "trace": "log", "lengths": "empirical", "max_tokens": 1000}
    tables = {"demand": demand}
    (said,) = texts(fleet(**{**SERVING, "tables": tables}, tenants=[tenant]))
    assert "row 2 (patient), max_tokens = 1000: 25.0% of the prompts" in said
    assert "mean from 575 to 325 tokens" in said
    assert (
        texts(fleet(**{**SERVING, "tables": tables}, tenants=[{**tenant, "max_tokens": 2000}]))
        == []
    )


def test_drawn_prompts_that_are_cut_are_counted() -> None:
    tenant = {**TENANT, "prompt_mean_tokens": 1000, "prompt_cv": 1.0, "max_tokens": 1000}
    (said,) = texts(fleet(**SERVING, tenants=[tenant]))
    share = float(re.search(r": ([\d.]+)% of the prompts", said)[1]) / 100.0
    drawn = lognormal(np.random.default_rng(1), 1000.0, 1.0, 100_000)
    assert share == pytest.approx(np.mean(drawn > 1000), abs=0.005)


def test_a_slo_that_is_never_kept_is_said() -> None:
    tenant = {**TENANT, "name": "hurried", "slo_ttft_s": 1e-4, "slo_tpot_s": 1e-5}
    scenario = fleet(**SERVING, tenants=[tenant])
    result = sim.run(scenario)
    (said,) = [str(w) for w in result.warnings if "tenant hurried" in str(w)]
    assert "slo_ttft_s" in said


def test_machines_that_never_run_are_said() -> None:
    result = sim.run(fleet({"contract": "fixed", "energy_usd_per_mwh": 900.0}))
    assert any("no machine ever hashed" in str(w) for w in result.warnings)


def test_steps_of_funding_without_their_table_are_said() -> None:
    """Who writes `revolver` and no [funding.revolver] has none; the default steps say nothing."""
    opening = {"opening_usd": 1e6}
    written = fleet(tables={"treasury": opening, "funding": {"steps": ["bitcoin", "revolver"]}})
    (said,) = [text for text in texts(written) if "funding.steps" in text]
    assert "step 'revolver' brings nothing: there is no table [funding.revolver]" in said
    line = {"steps": ["bitcoin", "revolver"], "revolver": {"limit_usd": 1e6}}
    for funding in (line, {}):
        there = fleet(tables={"treasury": opening, "funding": funding})
        assert not [text for text in texts(there) if "funding" in text]

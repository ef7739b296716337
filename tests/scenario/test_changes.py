"""Changes by key: a name that no table has is a slip, not one more charge."""

from pathlib import Path
from typing import Any

import pytest

from sim.scenario import ScenarioError, load
from sim.studies.checked import check_experiment

FOLDER = {
    "scenario.toml": """
[prices.zones.zone]
model = "fixed"
usd_per_mwh = 40
[demand_charges.peak]
usd_per_mw_month = 9000
[programmes.rrs]
model = "reserve"
usd_per_mw_h = 8
[weather.climates.cold]
model = "seasonal"
climate = "reykjavik-is"
""",
    "sites.csv": "name,price_zone,climate,power_limit_mw,utc_offset_h\nalpha,zone,cold,10,-6\n",
    "asics.csv": "site,model,count\nalpha,Antminer S21,100\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FOLDER.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("demand_charges.peek.usd_per_mw_month", 1, "did you mean 'peak'? allowed: peak"),
        ("demand_charges.peek", {"usd_per_mw_month": 1}, "did you mean 'peak'?"),
        ("programmes.rss.usd_per_mw_h", 9, "did you mean 'rrs'? allowed: rrs"),
        ("prices.zones.zon.usd_per_mwh", 9, "did you mean 'zone'? allowed: zone"),
        ("weather.climates.warm.climate", "x", "allowed: cold"),
        ("tariffs.t.prices", [], "allowed: nothing (none is defined)"),
        ("gpu_market.gpus.h100-sxm.usd_per_gpu_h", 2, "allowed: nothing (none is defined)"),
        ("demand.traces.day.file", "x.csv", "allowed: nothing (none is defined)"),
    ],
)
def test_a_name_that_no_table_has_is_refused_with_those_there_are(
    folder: Path, key: str, value: Any, words: str
) -> None:
    with pytest.raises(ScenarioError) as told:
        load(folder, {key: value})
    assert f"--set: {key}: there is no " in str(told.value)
    assert words in str(told.value)
    assert "1 problem" in str(told.value)


def test_names_that_are_there_and_tables_without_names_are_changed(folder: Path) -> None:
    changed = load(
        folder,
        {"demand_charges.peak.usd_per_mw_month": 7000, "prices.zones.zone.usd_per_mwh": 30,
         "treasury.model": "sell-all", "horizon.days": 2,
         "demand_charges.peak.ratchet_fraction": 0.8},
    )  # fmt: skip
    (charge,) = changed.demand_charges.values()
    assert (charge.usd_per_mw_month, charge.ratchet_fraction) == (7000, 0.8)
    assert changed.horizon.days == 2
    whole = load(folder, {"demand_charges": {"new": {"usd_per_mw_month": 5}}})
    assert list(whole.demand_charges) == ["new"]


def test_an_axis_of_a_sweep_makes_no_second_charge(folder: Path) -> None:
    (folder / "sweep.toml").write_text(
        f'scenario = "{folder.as_posix()}"\npolicies = ["static"]\nseeds = 2\n'
        "[axes.charge.dear]\n'demand_charges.peek.usd_per_mw_month' = 1000\n",
        encoding="utf-8",
    )
    with pytest.raises(ScenarioError) as told:
        check_experiment(folder / "sweep.toml")
    assert "sweep.toml: axes.charge.dear.demand_charges.peek.usd_per_mw_month: there" in str(
        told.value
    )
    assert "did you mean 'peak'" in str(told.value)

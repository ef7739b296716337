"""`energy.png`: drawn for any run, the same bytes twice, and only panels that say something."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.report.energy import COSTS, USES, _title, draw_energy, panels
from sim.report.hours import SiteHours
from sim.results.result import RunResult
from sim.scenario import Scenario
from tests.builders.energy_fleets import fleet
from tests.conftest import Build

WHOLE: dict[str, Any] = {
    "meshed": False, "scale": 0.3, "limit_mw": 2.5, "mtbf_h": 1e6, "export_mw": 0.0,
    "response": "automatic", "step_s": 900, "seed": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tiny: Scenario) -> RunResult:
    """A run without anything of the power side."""
    return sim.run(tiny, "merit-order", 1)


@pytest.fixture(scope="module")
def rich() -> RunResult:
    """A run with contracts, programmes, batteries and generators."""
    return sim.run(fleet(WHOLE), "merit-order", 1)


def test_panels_without_content_are_left_out(plain: RunResult, rich: RunResult) -> None:
    assert {"cost", "prices", "heat", "limits"} <= {*panels(plain)}
    assert not {"reserves", "assets"} & {*panels(plain)}
    # Its only price is a fixed one, so there is no curve of prices to draw.
    assert {"cost", "heat", "limits", "reserves", "assets"} <= {*panels(rich)}
    assert "prices" not in panels(rich)


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_draws_the_same_bytes_twice(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    result = request.getfixturevalue(name)
    drawn = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        draw_energy(result, tmp_path / folder)
        drawn.append((tmp_path / folder / "energy.png").read_bytes())
    assert drawn[0][:4] == b"\x89PNG"
    assert drawn[0] == drawn[1]


def test_draws_nothing_where_nothing_is_drawn(build: Build, tmp_path: Path) -> None:
    idle = {"name": "alpha", "overhead_mw": 0.0}
    result = sim.run(build({"horizon": {"days": 1}}, sites=[idle], asics=[], gpus=[]), "static", 1)
    assert panels(result) == ()
    draw_energy(result, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_months_add_up_to_the_net_cost(rich: RunResult) -> None:
    """The bars of all months, weighted by energy, are the figure in the title."""
    data = SiteHours(rich)
    usd = sum(sign * data.monthly(data.total(column)) for _, column, sign, _ in COSTS)
    kwh = data.monthly(data.total(*USES)) * data.record_h * 1e3
    net = rich.kpis["net_power_cost_usd_per_kwh"]
    assert np.sum(usd) / kwh.sum() == pytest.approx(net, rel=1e-9)


def test_a_figure_says_whether_what_hosts_charge_is_in_it(rich: RunResult, build: Build) -> None:
    """Machine fees of 9 USD a month beside energy at 5 cents: they are told apart."""
    assert "hosts" not in _title(SiteHours(rich))
    hosted = {"name": "alpha", "contract": "hosted", "energy_usd_per_mwh": 50, "price_zone": None}
    hosts = {"h": {"sites": ["alpha"], "usd_per_machine_month": 9.0}}
    tables = {"hosts": hosts, "horizon": {"days": 31}, "faults": {"enabled": False}}
    asics = [{"site": "alpha", "model": "Antminer S21", "count": 300}]
    result = sim.run(build(tables, sites=[hosted], asics=asics, gpus=[]), "static", 1)
    data = SiteHours(result)
    (power, whole) = re.findall(r"cost ([\d.]+) .*, ([\d.]+) with", _title(data))[0]
    kwh = data.total(*USES).sum() * data.record_h * 1e3
    fees = result.kpis["hosting_cost_usd"] - data.total("energy_usd").sum()
    assert float(power) == pytest.approx(5.0, abs=0.006)
    assert float(whole) - float(power) == pytest.approx(100 * fees / kwh, abs=0.011)


def test_the_hottest_week_is_the_warmest_of_whole_days(build: Build) -> None:
    data = SiteHours(sim.run(build({"horizon": {"days": 10}}), "static", 1))
    week = data.hottest_week()
    mean_c = data["ambient_c"].mean(axis=1)
    hours = 7 * 24
    assert data.when[week][0].astype("datetime64[h]").astype(int) % 24 == 0
    assert week.stop - week.start == hours
    midnights = [
        i for i in range(len(mean_c) - hours + 1) if data.when[i].astype(int) % 86_400 == 0
    ]
    assert week.start == max(midnights, key=lambda i: mean_c[i : i + hours].mean())

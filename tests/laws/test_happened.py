"""Law 4 on a mesh by what happened: flows of what the meters drew, by a power flow of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import sim
from sim.engine import Engine
from sim.grid.matpower import read_case
from sim.grid.mesh import Mesh
from sim.kernels import flows
from sim.kernels.arrays import GRANTED
from sim.policies.static import Static
from sim.types import Floats
from sim.units import W_PER_MW
from tests.builders import energy_fleets
from tests.builders.energy_fleets import Reckless
from tests.builders.meshes import THREE
from tests.conftest import build_scenario

HOUR = 3600


def carried(mesh: Mesh, site_bus: Any) -> Floats:
    """(line, site) what a line carries of a MW drawn at a site, fed by the first bus: Kirchhoff."""
    buses, on = len(mesh.bus_names), np.flatnonzero(mesh.in_service)
    laplace = np.zeros((buses, buses))
    for line in on:
        a, b, s = mesh.from_bus[line], mesh.to_bus[line], mesh.susceptance_mw[line]
        laplace[[a, b], [a, b]] += s
        laplace[[a, b], [b, a]] -= s
    load = (np.arange(buses)[:, None] == site_bus).astype(float)
    angle = np.zeros(load.shape)
    angle[1:] = np.linalg.lstsq(laplace[1:, 1:], -load[1:], rcond=None)[0]
    flow = np.zeros((len(mesh.line_names), len(site_bus)))
    apart = angle[mesh.from_bus[on]] - angle[mesh.to_bus[on]]
    flow[on] = mesh.susceptance_mw[on, None] * apart
    return flow


class Metered(Engine):
    """An engine that keeps the mean draw (site,) of every interval beside the mesh it ran on."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.phases = (self.phases[0], self.settle, *self.phases[2:])
        self.drew: list[tuple[Mesh, Floats]] = []

    def settle(self) -> None:
        meshed, seconds = self.plant.meshed, self.now_s - self.settled_s
        assert meshed is not None
        mesh, before_j = meshed.grid.mesh, self.plant.site.flow[flows.METER_J].copy()
        super().settle()
        if seconds:
            drawn_j = self.plant.site.flow[flows.METER_J] - before_j
            self.drew.append((mesh, drawn_j / seconds / W_PER_MW))


@given(energy_fleets.fleets)
@settings(max_examples=6)
def test_law_4_no_line_carries_more_than_it_can_of_what_was_drawn(values: dict[str, Any]) -> None:
    values = {**values, "meshed": True, "export_mw": 0.0}  # flows of what is drawn alone
    engine = Metered(energy_fleets.fleet(values), Reckless(values["seed"]), values["seed"])
    engine.run()
    assert engine.plant.meshed is not None
    site_bus, loaded = engine.plant.meshed.site_bus, 0.0
    assert len(engine.drew) >= engine.scenario.horizon.steps
    factors: dict[int, Floats] = {}
    for mesh, drawn_mw in engine.drew:
        if id(mesh) not in factors:
            factors[id(mesh)] = carried(mesh, site_bus)
        flow = np.abs(factors[id(mesh)] @ drawn_mw)
        assert (flow <= mesh.limit_mw + 1e-4).all(), (flow, mesh.limit_mw, drawn_mw)
        loaded = max(loaded, float((flow / np.maximum(mesh.limit_mw, 1e-9)).max()))
    if values["scale"] == 0.3 and values["limit_mw"] > 1.0 and values["mtbf_h"] > 100.0:
        assert loaded > 0.5  # the lines are what is short


def ring(line_mw: dict[str, float], **site: Any) -> sim.Scenario:
    """A zone and two sites in a triangle of lines; 1,000 machines of 3.5 MW at each site."""
    names = ("root", "left", "right")
    ends = {"a": ("root", "left"), "b": ("root", "right"), "c": ("left", "right")}
    links = [
        {"from_node": ends[n][0], "to_node": ends[n][1], "capacity_mw": line_mw[n],
         "reactance_pu": 0.05}
        for n in ends
    ]  # fmt: skip
    where = {"cooling": "line", "pue_base": 1.0, "pue_slope_per_c": 0.0, "overhead_mw": 0.0}
    return build_scenario(
        {
            "horizon": {"days": 0.25, "step_s": HOUR},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 20}}},
            "faults": {"enabled": False},
            "mining": {"restart_s": 0, "min_off_s": 0, "ramp_up_per_min": 10},
        },
        sites=[
            {"name": "alpha", "grid_node": "left", **where, **site},
            {"name": "bravo", "grid_node": "right", **where, **site},
        ],
        asics=[
            {"site": "alpha", "model": "Antminer S21", "count": 1000},
            {"site": "bravo", "model": "Antminer S19j Pro 104T", "count": 1000},
        ],
        gpus=[],
        grid={
            "grid_nodes": [{"name": n, "kind": "zone" if n == "root" else "feeder"} for n in names],
            "grid_links": links,
        },
    )


def drawn_mw(scenario: sim.Scenario, policy: Any = "static") -> Floats:
    """Mean power (site,) over a run."""
    meter = sim.run(scenario, policy).table("sites")["meter_mw"].to_numpy()
    return np.asarray(meter.reshape(-1, len(scenario.sites)).mean(axis=0))


def test_one_site_behind_a_short_line_is_cut_though_the_other_is_not() -> None:
    """Of what alpha draws two thirds come over a, a third over b and c; of bravo's a third over c.

    c carries a third of the difference; with 0.1 MW there, alpha may draw 0.3 MW more than bravo.
    With a at 1 MW: 2/3 alpha + 1/3 bravo = 1.
    """
    free = drawn_mw(ring({"a": 9, "b": 9, "c": 9}))
    assert free[0] == pytest.approx(3.5, rel=1e-6)
    short = drawn_mw(ring({"a": 1.0, "b": 9, "c": 9}))
    assert (2 * short[0] + short[1]) / 3 == pytest.approx(1.0, rel=1e-6)
    apart = drawn_mw(ring({"a": 9, "b": 9, "c": 0.1}))
    assert apart[0] - apart[1] == pytest.approx(0.3, abs=1e-6)
    assert apart[1] == pytest.approx(free[1], rel=1e-6)


def test_a_short_line_sheds_machines_by_margin_then_batch_then_reserved_nodes() -> None:
    """Line a carries two thirds of what alpha draws; the order of the sheet is another one."""
    best, worst = "Antminer S21", "Antminer S19j Pro 104T"
    rows = [{"site": "alpha", "model": m, "count": 1000} for m in (worst, best)]
    nodes = [
        {"site": "alpha", "gpu": "h100-sxm", "nodes": 50, "state": state}
        for state in ("batch", "contracted")
    ]
    for limit_mw, expected in (
        (9.0, [1.0, 1.0, 1.0, 1.0]),
        (2.0, [0.0, None, 1.0, 1.0]),
        (0.4, [0.0, 0.0, None, 1.0]),
        (0.1, [0.0, 0.0, 0.0, None]),
    ):
        template = build_scenario(sites=[{"name": "alpha"}], asics=rows, gpus=nodes)
        sheets = {"asics": template.asics, "gpus": template.gpus}
        engine = Engine(ring({"a": limit_mw, "b": 9, "c": 9}).model_copy(update=sheets), Static())
        engine.run()
        plant = engine.plant
        shares = [*plant.asic.shares[GRANTED].sum(axis=1), *plant.node.shares[GRANTED]]
        for share, wanted in zip(shares, expected, strict=True):
            if wanted is None:
                assert 0.0 < share < 1.0, (limit_mw, shares)
            else:
                assert share == pytest.approx(wanted, abs=1e-6), (limit_mw, shares)
        drawn = engine.recorder.flow[:, [flows.SITE_ASIC_J, flows.SITE_GPU_J]].sum()
        assert drawn > 0.0


def test_a_grid_that_carries_loads_of_others_leaves_a_fleet_the_rest(tmp_path: Path) -> None:
    """Loads of 150 MW at bus 7; of what bus 7 draws the 80 MW line from bus 1 carries a third, or
    two thirds of what generator 1 gives. Generator 2 gives at most 200 MW, so bus 7 gets 220."""
    (tmp_path / "three.m").write_text(THREE, encoding="utf-8")
    scenario = build_scenario(
        {"horizon": {"days": 0.25, "step_s": HOUR}, "faults": {"enabled": False}},
        sites=[{"name": "alpha", "power_limit_mw": 200, "overhead_mw": 0.0}],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 40_000}],  # 140 MW and more
        gpus=[],
    )
    at_bus = tuple(s.model_copy(update={"grid_node": "7"}) for s in scenario.sites)
    case = read_case(tmp_path / "three.m")
    meter_mw = drawn_mw(scenario.model_copy(update={"sites": at_bus, "case": case}))
    assert meter_mw == pytest.approx([220.0 - 150.0], rel=1e-3)
    half = Engine(scenario.model_copy(update={"sites": at_bus, "case": case}), Static())
    assert half.clearing is not None
    half.clearing.market.share[3:] = 0.5  # of the loads of others, from the fourth hour on
    meter_w = half.run().flow[:, flows.METER_J, 0] / HOUR
    np.testing.assert_allclose(meter_w[:3], 70e6, rtol=1e-3)
    assert (meter_w[3:] > 139e6).all()

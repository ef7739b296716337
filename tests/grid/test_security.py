"""N-1: each single outage, made explicitly, overloads nothing; hand-worked, random and case118."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.grid import Case, flows, mesh_of, read_case
from sim.grid.opf import DcOpf, Dispatch
from sim.grid.security import Security
from tests.builders.meshed_fleets import column, fleet
from tests.builders.meshes import THREE, nodal_flows, random_mesh

# two lines of 100 MW each from cheap power at bus 1 to a load of 150 at bus 2, dear power there
TWIN = """function mpc = twin
mpc.version = '2';
mpc.baseMVA = 100.0;
mpc.bus = [
    1 3   0 0 0 0 1 1 0 230 1 1.1 0.9;
    2 2 150 0 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
    1 0 0 0 0 1 100 1 300 0;
    2 0 0 0 0 1 100 1 300 0;
];
mpc.gencost = [
    2 0 0 3 0 10 0;
    2 0 0 3 0 30 0;
];
mpc.branch = [
    1 2 0 0.1 0 100 0 0 0 0 1 -360 360;
    1 2 0 0.1 0 100 0 0 0 0 1 -360 360;
];
"""


def case(folder: Path, text: str) -> Case:
    (folder / "case.m").write_text(text)
    return read_case(folder / "case.m")


def worst_mw(case: Case, found: Dispatch, load_mw: np.ndarray | None = None) -> tuple[float, int]:
    """The highest overload over all outages, made one by one, and how many outages make one."""
    mesh = mesh_of(case)
    load = case.load_mw if load_mw is None else load_mw
    injection = -(load - found.shed_mw) - found.spill_mw - case.shunt_mw
    np.add.at(injection, case.gen_bus, found.generation_mw)
    over, count = 0.0, 0
    alone = Security(mesh).alone
    for k in np.flatnonzero(mesh.in_service & ~alone):
        service = mesh.in_service.copy()
        service[k] = False
        after = flows(replace(mesh, in_service=service), injection)
        excess = float((np.abs(after) - mesh.limit_mw)[service].max())
        over, count = max(over, excess), count + (excess > 1e-3)
    return over, count


def test_what_one_line_carries_both_must_be_able_to(tmp_path: Path) -> None:
    """Of 150 MW 75 flow on each line; one alone carries 100, so 50 are made where they are used."""
    twin = case(tmp_path, TWIN)
    plain, secure = DcOpf(twin).solve(), DcOpf(twin, n_minus_1=True).solve()
    assert plain.generation_mw == pytest.approx([150.0, 0.0])
    assert secure.generation_mw == pytest.approx([100.0, 50.0])
    assert secure.flow_mw == pytest.approx([50.0, 50.0])
    assert secure.lmp_usd_per_mwh == pytest.approx([10.0, 30.0])
    assert secure.objective_usd_per_h == pytest.approx(100 * 10 + 50 * 30)
    assert {tuple(pair) for pair in secure.secured.tolist()} <= {(0, 1), (1, 0)}
    assert len(secure.secured)
    assert not len(plain.secured)


@pytest.mark.parametrize("seed", range(6))
def test_factors_are_the_flows_of_a_grid_without_the_line(seed: int) -> None:
    mesh = random_mesh(seed, 7, outages=False)
    draw = np.random.default_rng(seed)
    injection = draw.normal(0.0, 10.0, 7)
    injection -= injection.mean()
    security, before = Security(mesh), nodal_flows(mesh, injection)
    after = security.after_mw(before)
    for n, k in enumerate(security.outages):
        service = mesh.in_service.copy()
        service[k] = False
        expected = nodal_flows(replace(mesh, in_service=service), injection)
        expected[k] = 0.0
        assert after[:, n] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", ["5_pjm", "14_ieee", "118_ieee"])
def test_no_single_outage_overloads_a_line_of_a_published_case(data: Path, name: str) -> None:
    given = read_case(data / f"grid/pglib_opf_case{name}.m")
    plain, secure = DcOpf(given).solve(), DcOpf(given, n_minus_1=True).solve()
    assert worst_mw(given, plain)[1] > 0
    assert worst_mw(given, secure)[0] <= 1e-3
    assert secure.objective_usd_per_h > plain.objective_usd_per_h


def test_most_outages_of_case118_overload_a_line_of_its_cheapest_dispatch(data: Path) -> None:
    given = read_case(data / "grid/pglib_opf_case118_ieee.m")
    mesh = mesh_of(given)
    assert len(Security(mesh).outages) == 177
    # 135 were counted of another solver's dispatch, which costs the same
    assert worst_mw(given, DcOpf(given).solve())[1] == pytest.approx(135, abs=2)


# a ring of four buses with both diagonals: no line is the only way, even without another
RING = """function mpc = ring
mpc.version = '2';
mpc.baseMVA = 100.0;
mpc.bus = [
    1 3   0 0 0 0 1 1 0 230 1 1.1 0.9;
    2 2  60 0 0 0 1 1 0 230 1 1.1 0.9;
    3 1  90 0 0 0 1 1 0 230 1 1.1 0.9;
    4 2  50 0 0 0 1 1 0 230 1 1.1 0.9;
];
mpc.gen = [
    1 0 0 0 0 1 100 1 300 0;
    2 0 0 0 0 1 100 1 300 0;
    4 0 0 0 0 1 100 1 300 0;
];
mpc.gencost = [
    2 0 0 3 0.02 10 0;
    2 0 0 3 0 30 0;
    2 0 0 3 0 60 0;
];
mpc.branch = [
    1 2 0 0.10 0 70 0 0 0 0 1 -360 360;
    2 3 0 0.08 0 60 0 0 0 0 1 -360 360;
    3 4 0 0.12 0 60 0 0 0 0 1 -360 360;
    1 4 0 0.10 0 70 0 0 0 0 1 -360 360;
    1 3 0 0.15 0 70 0 0 0 0 1 -360 360;
    2 4 0 0.20 0 50 0 0 0 0 1 -360 360;
];
"""


def test_it_holds_after_lines_change_and_loads_move(tmp_path: Path) -> None:
    """The same programme, solved again: rows of factors that are no longer true are gone."""
    given = case(tmp_path, RING)
    assert worst_mw(given, DcOpf(given).solve())[1] > 0
    opf = DcOpf(given, n_minus_1=True)
    draw = np.random.default_rng(3)
    for out in (None, 2, 4, 2, None):
        service = given.branch_in_service.copy()
        if out is not None:
            service[out] = False
        for branch, on in enumerate(service):
            opf.set_branch(branch, bool(on))
        load = given.load_mw * draw.uniform(0.7, 1.2)
        found = opf.solve(load)
        there = replace(given, branch_in_service=service)
        fresh = DcOpf(there, n_minus_1=True).solve(load)
        assert worst_mw(there, found, load)[0] <= 1e-3
        assert found.objective_usd_per_h == pytest.approx(fresh.objective_usd_per_h, rel=1e-6)


def test_a_fleet_buys_what_an_outage_leaves(tmp_path: Path) -> None:
    """Without bus 2's line bus 7 has 80 MW over the other: of a load of 60 that leaves 20."""
    less = THREE.replace("7 1 150", "7 1 60").replace("2 0 0 3 0 30 5", "2 0 0 3 0 200 0")
    zones = {"zones": {"east": {"model": "dc-opf", "n_minus_1": True}}}
    safe = sim.run(fleet(tmp_path, case=less, tables={"prices": zones}), "merit-order")
    free = sim.run(fleet(tmp_path, case=less), "merit-order")
    assert column(safe, "meter_mw") == pytest.approx(np.full(24, 20.0), abs=1e-3)
    assert column(free, "meter_mw").min() > 30.0
    best = sim.bound(fleet(tmp_path, case=less, tables={"prices": zones}), 1).usd
    assert (safe.kpis["gross_margin_usd"] or 0.0) <= best * (1 + 1e-6)

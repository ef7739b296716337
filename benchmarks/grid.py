"""Flows, optimal dispatch and grants on the 118-bus case, each beside its plain form, in one run.

    python benchmarks/grid.py [--smoke] [--json] [--data DIR]

Times are medians; ratios are to the plain form of the same group: numpy for the check of all lines,
a fresh programme for the dispatch, scipy's linear programme with every line as a row for the grant.
What is timed must agree first.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

sys.path.insert(0, str(Path(__file__).parent.parent))

from sim.grid import Case, DcOpf, Mesh, MeshGrant, mesh_of, ptdf, read_case
from sim.kernels.arrays import Limits
from sim.kernels.jit import bind
from sim.kernels.mesh import line_flows, worst_overload
from sim.kernels.power import allot

SITES, ITEMS = 40, 3  # items of a site
SMALL_MW, LARGE_MW = 0.1, 15.0  # wish of an item: 12 MW in all fit, 1,800 MW do not

Row = dict[str, Any]


def median_us(what: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e6


def check_of_lines(mesh: Mesh, times: int) -> list[Row]:
    factors = ptdf(mesh)
    transposed, flow = np.ascontiguousarray(factors.matrix.T), np.empty(len(mesh.line_names))
    injection = np.random.default_rng(1).normal(0.0, 30.0, len(mesh.bus_names))

    def kernel() -> int:
        line_flows(transposed, injection, factors.base_mw, flow)
        return worst_overload(flow, mesh.limit_mw)

    def plain() -> int:
        over = np.abs(factors.matrix @ injection + factors.base_mw) - mesh.limit_mw
        worst = int(np.argmax(over))
        return worst if over[worst] > 1e-6 else -1

    assert kernel() == plain()
    group = f"check of {len(mesh.line_names)} lines x {len(mesh.bus_names)} buses"
    return [
        {"group": group, "what": "numpy", "us": median_us(plain, times)},
        {"group": group, "what": "kernel", "us": median_us(kernel, times)},
    ]


def radial(sites: int, times: int) -> list[Row]:
    """Greedy on nested limits: sites below feeders below a root, half of the feeders too small."""
    draw = np.random.default_rng(4)
    feeders = max(sites // 6, 1)
    feeder = draw.integers(0, feeders, sites)
    path = np.column_stack([np.arange(sites), sites + feeder, np.full(sites, sites + feeders)])
    site = np.repeat(np.arange(sites), ITEMS)
    value, wish = draw.uniform(0.0, 1.0, len(site)), draw.uniform(1.0, 5.0, len(site))
    need = np.bincount(feeder, np.bincount(site, wish, sites), feeders)
    room = np.r_[np.full(sites, 12.0), need * draw.choice([0.7, 1.3], feeders), need.sum() * 0.9]
    limits = Limits(path, room, np.zeros(sites), np.full(sites, np.inf))
    granted, left = np.empty(len(site)), room.copy()
    call = bind(allot, value, wish, site, limits, left, granted)

    def greedy() -> None:
        left[:] = room
        call()

    tree = np.zeros((len(room), len(site)))
    for i, s in enumerate(site):
        tree[path[s], i] = 1.0

    def plain() -> float:
        bounds = [(0.0, w) for w in wish]
        best = linprog(-value, A_ub=csr_array(tree), b_ub=room, bounds=bounds, method="highs")
        return -float(best.fun)

    greedy()
    assert abs(value @ granted - plain()) < 1e-6 * plain()
    group = f"radial grant of {sites} sites x {ITEMS} items"
    return [
        {"group": group, "what": "scipy linprog", "us": median_us(plain, max(times // 10, 1))},
        {"group": group, "what": "greedy kernel", "us": median_us(greedy, times)},
    ]


def dispatch(case: Case, times: int) -> list[Row]:
    draw = np.random.default_rng(2)
    loads = [case.load_mw * draw.uniform(0.97, 1.03, len(case.load_mw)) for _ in range(times)]
    grid = DcOpf(case)
    for load in loads[:3]:
        warm, cold = grid.solve(load), DcOpf(case).solve(load)
        assert abs(warm.objective_usd_per_h - cold.objective_usd_per_h) < 1e-8 * 1e5
    turn = iter(loads * 2)
    cold_us = median_us(lambda: DcOpf(case).solve(next(turn)), times)
    warm_us = median_us(lambda: grid.solve(next(turn)), times)
    group = f"DC-OPF, {len(case.load_mw)} buses"
    return [
        {"group": group, "what": "cold", "us": cold_us},
        {"group": group, "what": "warm, other loads", "us": warm_us},
    ]


class Fleet:
    """Sites of 60 MW on 40 buses, with wishes, values and loads that change at each step."""

    def __init__(self, mesh: Mesh, wish_mw: float) -> None:
        self.draw = np.random.default_rng(3)
        self.mesh, self.wish_mw = mesh, wish_mw
        self.bus = self.draw.choice(len(mesh.bus_names), SITES, replace=False)
        self.limit = np.full(SITES, 60.0)
        self.site = np.repeat(np.arange(SITES), ITEMS)
        self.factors = ptdf(mesh)
        self.grid = MeshGrant(mesh, self.bus, self.limit)

    def step(self) -> tuple[Any, Any, Any]:
        count = len(self.site)
        return (
            self.draw.uniform(10.0, 90.0, count),
            self.wish_mw * self.draw.uniform(0.9, 1.1, count),
            self.mesh.load_mw * self.draw.uniform(0.97, 1.03, len(self.mesh.load_mw)),
        )

    def grant(self, step: tuple[Any, Any, Any]) -> float:
        value, wish, load = step
        return float(value @ self.grid.grant(value, wish, self.site, load).granted_mw)

    def plain(self, step: tuple[Any, Any, Any]) -> float:
        value, wish, load = step
        mesh, matrix = self.mesh, self.factors.matrix
        held = np.isfinite(mesh.limit_mw)
        rows = np.hstack([-matrix[:, self.bus[self.site]], matrix[:, mesh.source_bus]])[held]
        base, limit = (matrix @ load)[held], mesh.limit_mw[held]
        sources = np.zeros((SITES, len(mesh.source_bus)))
        at = np.hstack([np.kron(np.eye(SITES), np.ones(ITEMS)), sources])
        best = linprog(
            np.r_[-value, np.zeros(len(mesh.source_bus))],
            A_ub=np.vstack([rows, -rows, at]),
            b_ub=np.r_[limit + base, limit - base, self.limit],
            A_eq=np.r_[-np.ones(len(wish)), np.ones(len(mesh.source_bus))][None, :],
            b_eq=[load.sum()],
            bounds=[(0.0, w) for w in wish]
            + list(zip(mesh.source_min_mw, mesh.source_max_mw, strict=True)),
            method="highs",
        )
        return -float(best.fun)


def grants(mesh: Mesh, times: int) -> list[Row]:
    rows = []
    for what, wish_mw in (("everything fits", SMALL_MW), ("lines cut", LARGE_MW)):
        fleet = Fleet(mesh, wish_mw)
        for _ in range(3):
            step = fleet.step()
            got, wanted = fleet.grant(step), fleet.plain(step)
            assert abs(got - wanted) < 1e-6 * wanted, (got, wanted)
        group = f"grant of {SITES} sites x {ITEMS} items, {what}"
        few = max(times // 5, 1)
        turn = iter([fleet.step() for _ in range(few + times)])
        rows.append({"group": group, "what": "scipy linprog, all lines",
                     "us": median_us(lambda f=fleet, t=turn: f.plain(next(t)), few)})  # fmt: skip
        rows.append({"group": group, "what": "MeshGrant",
                     "us": median_us(lambda f=fleet, t=turn: f.grant(next(t)), times)})  # fmt: skip
        mask = mesh.in_service.copy()

        def outage(grid: MeshGrant = fleet.grid, mask: Any = mask) -> None:
            mask[3] = not mask[3]
            grid.set_in_service(mask)

        rows.append({"group": group, "what": "an outage, new factors",
                     "us": median_us(outage, few)})  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="once: does it run?")
    parser.add_argument("--json", action="store_true")
    given = os.environ.get("HASHWATT_DATA", Path(__file__).parent.parent.parent / "shared/data")
    parser.add_argument("--data", type=Path, default=Path(given))
    chosen = parser.parse_args()
    file = chosen.data / "grid/pglib_opf_case118_ieee.m"
    if not file.is_file():
        print(f"left out: no {file} (--data)", file=sys.stderr)
        return
    case = read_case(file)
    mesh = mesh_of(case)
    many, few = (5, 1) if chosen.smoke else (5000, 50)
    rows = radial(48, many) + radial(1000, many // 10 or 1)
    rows += check_of_lines(mesh, many) + dispatch(case, few) + grants(mesh, few)
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return
    plain = {}
    for row in rows:
        first = plain.setdefault(row["group"], row["us"])
        print(
            f"{row['group']:48s}{row['what']:28s}{row['us']:>10,.1f} µs {first / row['us']:>7.1f} x"
        )


if __name__ == "__main__":
    main()

"""Does a fleet that makes the price pay its own price? Billed and own-load cost beside each other.

    python experiments/price_maker.py [--days D] [--load F …] [--policy P …] [--json]

meshed-118 under several loads of the grid around it (HASHWATT_DATA holds the case). Each interval
is cleared twice more, with slightly less and slightly more than what the fleet drew in it: where
supply has a step there, the price of its own load is anything between the two. `outside` counts the
intervals that were billed below the one or above the other by more than a thousandth. A reversal is
a step of more than `--step-mw` up behind one down, or down behind one up.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from sim.units import W_PER_MW
from sim.world.market import build_market
from sim.world.topology import compile_topology

APART = 1e-4  # of the fleet's load
MESHED = Path(__file__).parent.parent / "configs" / "meshed-118"


def row(load: float, policy: str, days: float, step_mw: float) -> dict[str, Any]:
    """A run, and the prices of its own load."""
    scenario = sim.load(
        MESHED,
        {
            "grid.load_fraction": load,
            "grid.outages": [],
            "horizon.days": days,
            "horizon.record_s": 900,
        },
    )
    result = sim.run(scenario, policy)
    sites, steps = len(scenario.sites), scenario.horizon.steps
    table = result.table("sites")
    meter_mw, paid = (
        np.asarray(table[name]).reshape(steps, sites) for name in ("meter_mw", "energy_usd")
    )
    adder = np.array([s.adder_usd_per_mwh for s in scenario.sites])
    market = build_market(scenario, compile_topology(scenario))
    assert market is not None
    own_usd = np.zeros((2, steps))
    hours = scenario.horizon.step_s / 3600.0
    for k in range(steps):
        for side, part in enumerate((1.0 - APART, 1.0 + APART)):
            market.clear(k * scenario.horizon.step_s, k, meter_mw[k] * W_PER_MW * part)
            price = market.lmp_usd_per_mwh + adder
            own_usd[side, k] = meter_mw[k] @ price * hours
    slack = 1e-3 * np.abs(own_usd).max(axis=0)
    paid_usd = paid.sum(axis=1)
    outside = (paid_usd < own_usd.min(axis=0) - slack) | (paid_usd > own_usd.max(axis=0) + slack)
    fleet_mw = meter_mw.sum(axis=1)
    moves = np.diff(fleet_mw)
    large = np.abs(moves) > step_mw
    turned = large[1:] & large[:-1] & (moves[1:] * moves[:-1] < 0.0)
    margin = float(result.kpis["gross_margin_usd"])
    return {
        "load": load,
        "policy": policy,
        "days": days,
        "least_mw": fleet_mw.min(),
        "most_mw": fleet_mw.max(),
        "reversals": int(turned.sum()),
        "largest_step_mw": float(np.abs(moves).max()),
        "billed_usd": float(paid.sum()),
        "own_low_usd": float(own_usd[0].sum()),
        "own_high_usd": float(own_usd[1].sum()),
        "outside": int(outside.sum()),
        "margin_usd": margin,
        "margin_at_own_low_usd": margin + float(paid.sum() - own_usd[0].sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=float, default=28.0)
    parser.add_argument("--load", type=float, nargs="*", default=[1.0, 1.2, 1.35])
    parser.add_argument("--policy", nargs="*", default=["merit-order"])
    parser.add_argument("--step-mw", type=float, default=50.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [
        row(load, policy, given.days, given.step_mw)
        for policy in given.policy
        for load in given.load
    ]
    if given.json:
        print(json.dumps(rows, indent=2))
        return
    for r in rows:
        print(*(f"{k} {v:,.2f}" if isinstance(v, float) else f"{k} {v}" for k, v in r.items()),
              sep="  ")  # fmt: skip


if __name__ == "__main__":
    main()

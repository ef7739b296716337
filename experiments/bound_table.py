"""Every policy beside the clairvoyant bound: gross margin, SLO, regret in USD and percent.

    python experiments/bound_table.py [SCENARIO …] [--days D] [--seeds N] [--step-s S] [--json]

Seeds are the same for all policies; with two or more, the last columns are the mean difference to
merit-order and its 95 % interval (Student's t over seeds, paired). Without names: tiny, cango-2026
and, where HASHWATT_DATA is set, ercot-2024.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from sim.policies import BUILTIN

CONFIGS = Path(__file__).parent.parent / "configs"
REFERENCE = "merit-order"


def _mean(values: list[float | None]) -> float:
    """Mean of what has a meaning; NaN where nobody buys tokens."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else math.nan


def table(name: str, days: float, seeds: int, step_s: int) -> list[dict[str, Any]]:
    """A row for each policy of a scenario, over seeds 1 to `seeds`."""
    scenario = sim.load(CONFIGS / name, {"horizon.days": days, "horizon.step_s": step_s})
    best = np.array([sim.bound(scenario, seed).usd for seed in range(1, seeds + 1)])
    kpis = {
        policy: [sim.run(scenario, policy, seed).kpis for seed in range(1, seeds + 1)]
        for policy in BUILTIN
    }
    margins = {p: np.array([k["gross_margin_usd"] for k in found]) for p, found in kpis.items()}
    rows = []
    for policy, usd in sorted(margins.items(), key=lambda item: -item[1].mean()):
        more = usd - margins[REFERENCE]
        half = math.nan
        if seeds > 1:
            half = student.ppf(0.975, seeds - 1) * more.std(ddof=1) / math.sqrt(seeds)
        rows.append(
            {
                "scenario": name,
                "policy": policy,
                "margin_usd": usd.mean(),
                "slo_pct": _mean([k["slo_attainment_pct"] for k in kpis[policy]]),
                "bound_usd": best.mean(),
                "regret_usd": (best - usd).mean(),
                "regret_pct": 100.0 * (best - usd).mean() / best.mean(),
                "over_merit_order_usd": more.mean(),
                "half_width_usd": half,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--days", type=float, default=14)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--step-s", type=int, default=3600)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    names = arguments.scenarios or ["tiny", "cango-2026"]
    if not arguments.scenarios and "HASHWATT_DATA" in os.environ:
        names.append("ercot-2024")
    rows = []
    for name in names:
        rows += table(name, arguments.days, arguments.seeds, arguments.step_s)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    print(
        f"{'':12s} {'':16s}{'margin':>16s}{'SLO %':>9s}{'regret':>14s}{'%':>9s}"
        f"{'over merit-order':>28s}"
    )
    for row in rows:
        over = f"{row['over_merit_order_usd']:,.0f} ± {row['half_width_usd']:,.0f}"
        print(
            f"{row['scenario']:12s} {row['policy']:16s}{row['margin_usd']:16,.0f}"
            f"{row['slo_pct']:9.2f}{row['regret_usd']:14,.0f}{row['regret_pct']:9.3f}{over:>28s}"
        )


if __name__ == "__main__":
    main()

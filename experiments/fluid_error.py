"""How far the fluid is from the exact kernel, by KPI and load: the table of the README.

    python experiments/fluid_error.py

One site with eight engines of an 8B model on H100s, power of two choices, flat Poisson demand with
lengths like the Azure conversation trace, half a day; loads as shares of the engines' saturation.
"""

import numpy as np

import sim
from sim.kernels.routing import POWER_OF_TWO
from sim.scenario.catalogue.serving import served
from sim.scenario.load import assemble
from sim.scenario.scenario import Scenario
from sim.serving.surface import Lengths, measure

LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
KPIS = (
    "requests_served",
    "tokens_out_mtok",
    "slo_attainment_pct",
    "ttft_p50_s",
    "ttft_p95_s",
    "ttft_p99_s",
    "tpot_p50_s",
    "tpot_p95_s",
    "tpot_p99_s",
    "e2e_p50_s",
    "e2e_p95_s",
    "e2e_p99_s",
    "joules_per_token",
)
ENGINES = 8
MODEL, GPU = "llama-3.1-8b", "h100-sxm"


def scenario(rate_rps: float, fidelity: str) -> Scenario:
    place = {"name": "a", "climate": "midland-tx", "price_zone": "z", "utc_offset_h": -6}
    node = {"site": "a", "gpu": GPU, "model": MODEL, "state": "serving", "nodes": 1}
    tenant = {"name": "t", "region": "r", "model": MODEL, "profile": "flat", "rate_rps": rate_rps}
    return assemble(
        {
            "horizon": {"days": 0.5},
            "prices": {"zones": {"z": {"model": "fixed", "usd_per_mwh": 40}}},
            "faults": {"enabled": False},
            "demand": {
                "regions": {"r": {"latitude": 30, "longitude": -100}},
                "fidelity": fidelity,
                "queue_limit": 100_000,
            },
        },
        {
            "sites": [{**place, "latitude": 30, "longitude": -100, "power_limit_mw": 5}],
            "gpus": [{**node, "gpus_per_node": ENGINES}],
            "tenants": [tenant],
        },
    )


def main() -> None:
    mix = [Lengths(1.0, 1155.0, 0.96, 211.0, 0.77, 16_384)]
    most = ENGINES * measure(served(MODEL, GPU).engine, mix, 1, POWER_OF_TWO).saturation_rps
    errors = np.zeros((len(KPIS), len(LOADS)))
    for column, load in enumerate(LOADS):
        exact, fluid = (
            sim.run(scenario(load * most, kind), "static", seed=1).kpis
            for kind in ("exact", "fluid")
        )
        errors[:, column] = [100 * ((fluid[k] or 0) / (exact[k] or np.nan) - 1) for k in KPIS]
    print("| error of the fluid, % | " + " | ".join(f"{x:.0%}" for x in LOADS) + " |")
    print("|---|" + "---:|" * len(LOADS))
    for name, row in zip(KPIS, errors, strict=True):
        print(f"| `{name}` | " + " | ".join(f"{v:+.1f}" for v in row) + " |")


if __name__ == "__main__":
    main()

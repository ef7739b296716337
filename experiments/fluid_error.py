"""How far the fluid is from the exact kernel, by kind of load: the table of the README.

    python experiments/fluid_error.py [--near] [--days 2] [--seed 1] [--kind bursty] [--json FILE]

One site, one tenant with lengths like the Azure conversation trace; two models, two and eight
engines, power of two choices, an engine refuses beyond 512 requests. Loads as shares of what the
engines serve when all requests wait from the start. Counts, tokens, energy, credits and latencies
as errors of the fluid over the exact run in %, the SLO in points.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

import sim
from sim.scenario.catalogue.serving import served
from sim.scenario.load import assemble
from sim.scenario.scenario import Scenario
from sim.serving import Engine, serve
from sim.serving.mix import lognormal

LENGTHS: Final = ((1155.0, 0.96), (211.0, 0.77))  # mean and cv of prompts, of outputs
KINDS: Final[dict[str, dict[str, Any]]] = {
    "flat": {"load": 0.8, "profile": "flat"},
    "daily": {"load": 0.5, "profile": "conversation"},  # 86 % in its busiest hour
    "bursty": {"load": 0.8, "profile": "flat", "arrivals": "gamma", "cv": 4.0},
    "overload": {"load": 1.3, "profile": "flat"},
}
NEAR: Final[dict[str, dict[str, Any]]] = {  # where a run warns of the tails
    f"{load:.0%}, cv {cv:g}": {"load": load, "profile": "flat", "arrivals": "gamma", "cv": cv}
    for load in (0.8, 0.9, 0.95, 1.0, 1.05)
    for cv in (1.0, 2.0, 4.0)
}
MODELS: Final = {"llama-3.1-8b": (1, 1.0), "llama-3.1-70b": (4, 3.0)}  # GPUs, promised TTFT [s]
ENGINES: Final = (2, 8)
GPU: Final = "h100-sxm"
ERRORS: Final = {
    "served": lambda k: k["requests_served"],
    "rejected": lambda k: (k["requests_rejected"] + k["requests_expired"]) / k["requests_arrived"],
    "tokens out": lambda k: k["tokens_out_mtok"],
    "TTFT p50": lambda k: k["ttft_p50_s"],
    "TTFT p95": lambda k: k["ttft_p95_s"],
    "TTFT p99": lambda k: k["ttft_p99_s"],
    "E2E p50": lambda k: k["e2e_p50_s"],
    "SLO": lambda k: k["slo_attainment_pct"],
    "credits": lambda k: k["credits_usd"],
    "energy": lambda k: k["joules_per_token"] * k["tokens_out_mtok"],
}
IN_POINTS: Final = {"rejected": 100.0, "SLO": 1.0}  # differences of shares [points]


def saturation_rps(engine: Engine, count: int = 20_000) -> float:
    """Requests of this mix that an engine finishes when all wait from the start [1/s]."""
    draw = np.random.Generator(np.random.Philox(key=7))
    prompt, output = (lognormal(draw, mean, cv, count) for mean, cv in LENGTHS)
    finish_s = np.sort(serve(np.zeros(count), prompt, output, engine).finish_s)
    early, late = count // 10, 9 * count // 10
    return float((late - early) / (finish_s[late] - finish_s[early]))


def scenario(kind: str, model: str, engines: int, days: float, fidelity: str) -> Scenario:
    """One site with these engines under a kind of load."""
    tp, slo_ttft_s = MODELS[model]
    load = dict((KINDS | NEAR)[kind])
    rate = load.pop("load") * engines * saturation_rps(served(model, GPU, tp).engine)
    node = {"model": model, "tp": tp, "nodes": 1, "gpus_per_node": engines * tp}
    tenant = {"name": "t", "model": model, "rate_rps": rate, "slo_ttft_s": slo_ttft_s, **load}
    return one_site(node, [tenant], days, {"fidelity": fidelity})


def one_site(
    node: dict[str, Any], tenants: list[dict[str, Any]], days: float, demand: dict[str, Any]
) -> Scenario:
    """A site with serving nodes of H100s and these tenants, and nothing that fails."""
    place = {"name": "a", "climate": "midland-tx", "price_zone": "z", "utc_offset_h": -6}
    return assemble(
        {
            "horizon": {"days": days},
            "prices": {"zones": {"z": {"model": "fixed", "usd_per_mwh": 40}}},
            "faults": {"enabled": False},
            "demand": {"regions": {"r": {"latitude": 30, "longitude": -100}}, **demand},
        },
        {
            "sites": [{**place, "latitude": 30, "longitude": -100, "power_limit_mw": 5}],
            "gpus": [{"site": "a", "gpu": GPU, "state": "serving", **node}],
            "tenants": [{"region": "r", **tenant} for tenant in tenants],
        },
    )


def errors(exact: dict[str, Any], fluid: dict[str, Any]) -> dict[str, str]:
    """Each figure's error, as the table has it."""
    found = {}
    for name, of in ERRORS.items():
        true, other = of(exact), of(fluid)
        if name in IN_POINTS:
            found[name] = f"{IN_POINTS[name] * (other - true):+.1f} pt"
        elif not true:
            found[name] = "0" if not other else "only fluid"
        else:
            found[name] = f"{100.0 * (other / true - 1.0):+.1f}"
    return found


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    asked.add_argument("--days", type=float, default=2.0)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--kind", choices=[*KINDS], action="append")
    asked.add_argument("--near", action="store_true", help="70B on two engines near saturation")
    asked.add_argument("--json", type=Path)
    args = asked.parse_args()
    cases = [(m, n, k) for m in MODELS for n in ENGINES for k in args.kind or KINDS]
    if args.near:
        cases = [("llama-3.1-70b", 2, k) for k in NEAR]
    rows: dict[str, dict[str, str]] = {}
    kept = {}
    for model, engines, kind in cases:
        kpis = {
            fidelity: sim.run(
                scenario(kind, model, engines, args.days, fidelity), "static", seed=args.seed
            ).kpis
            for fidelity in ("exact", "fluid")
        }
        title = f"{model.removeprefix('llama-3.1-')} x {engines}, {kind}"
        rows[title] = errors(kpis["exact"], kpis["fluid"])
        kept[title] = kpis
    print("| error of the fluid, % | " + " | ".join(ERRORS) + " |")
    print("|---|" + "---:|" * len(ERRORS))
    for title, row in rows.items():
        print(f"| {title} | " + " | ".join(row.values()) + " |")
    if args.json is not None:
        args.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()

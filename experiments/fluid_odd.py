"""How far the fluid is from the exact kernel where tenants, limits and patience are odd.

    python experiments/fluid_odd.py [WORD …]     only mixes whose name contains a word

One site of H100 nodes with an 8B model; each mix runs exactly and as a fluid. Counts, tokens,
latencies and energy as errors over the exact run in %, what was lost and the SLO in % themselves.
"""

import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent.parent))

import sim
from experiments.fluid_error import one_site
from sim.scenario.scenario import Scenario

MODEL: Final = "llama-3.1-8b"
SHORT: Final = {"prompt_mean_tokens": 60.0, "output_mean_tokens": 20.0}
LONG: Final = {"prompt_mean_tokens": 6000.0, "output_mean_tokens": 600.0}
OTHERS: Final = {"engines": 2, "days": 0.5, "demand": {}}


def bursty(cv: float, rate: float, **more: Any) -> dict[str, Any]:
    return {"arrivals": "gamma", "cv": cv, "rate_rps": rate, **more}


Mix = tuple[list[dict[str, Any]], dict[str, Any]]
MIXES: Final[dict[str, Mix]] = {
    "two lengths": ([{**SHORT, "rate_rps": 60}, {**LONG, "rate_rps": 2}], {}),
    "two lengths, twice": ([{**SHORT, "rate_rps": 120}, {**LONG, "rate_rps": 4}], {}),
    "cv 8 at half": ([bursty(8, 24)], {}),
    "cv 8 at a tenth": ([bursty(8, 5)], {}),
    "cv 8 beside flat": ([bursty(8, 8), {"rate_rps": 16}], {}),
    "one token out": ([{"output_mean_tokens": 1, "output_cv": 0.0, "rate_rps": 30}], {}),
    "two tokens out": ([{"output_mean_tokens": 2, "output_cv": 0.5, "rate_rps": 40}], {}),
    "queue limit 1": ([{"rate_rps": 1.0}], {"demand": {"queue_limit": 1}}),
    "queue limit 1, busy": ([{"rate_rps": 10}], {"demand": {"queue_limit": 1}}),
    "queue limit 8": ([{"rate_rps": 20}], {"demand": {"queue_limit": 8}}),
    "patience 1 s": ([{"patience_s": 1.0, "rate_rps": 36}], {}),
    "patience 1 s, overload": ([{"patience_s": 1.0, "rate_rps": 70}], {}),
    "patience 1 s, cv 4": ([bursty(4, 30, patience_s=1.0)], {}),
    "patience and retries, overload": (
        [{"patience_s": 5.0, "retries": 2, "backoff_s": 10, "rate_rps": 60}],
        {},
    ),
    "overload": ([{"rate_rps": 60}], {}),
    "overload, queue limit 64": ([{"rate_rps": 70}], {"demand": {"queue_limit": 64}}),
    "prefixes": ([{"prefix_share": 0.8, "rate_rps": 40}], {}),
    "prefixes of one of two": ([{"prefix_share": 0.9, "rate_rps": 25}, {"rate_rps": 12}], {}),
    "round-robin, cv 4": ([bursty(4, 24)], {"demand": {"balancing": "round-robin"}}),
    "one engine": ([{"rate_rps": 12}], {"engines": 1}),
    "sixteen engines, idle": ([{"rate_rps": 8}], {"engines": 16}),
    "impatient beside long": (
        [{"patience_s": 0.5, "rate_rps": 20}, {**LONG, "rate_rps": 3}],
        {},
    ),
    "a request a minute": ([{"rate_rps": 0.02}], {"days": 2}),
}


def scenario(name: str, fidelity: str) -> Scenario:
    """One site under a mix."""
    tenants, more = MIXES[name]
    own = OTHERS | more
    node = {"model": MODEL, "tp": 1, "nodes": own["engines"], "gpus_per_node": 1}
    tenant = {"model": MODEL, "profile": "flat"}
    tenant |= {"prompt_mean_tokens": 1155.0, "prompt_cv": 0.96}
    tenant |= {"output_mean_tokens": 211.0, "output_cv": 0.77}
    all_ = [{**tenant, "name": f"t{i}", **t} for i, t in enumerate(tenants)]
    return one_site(node, all_, own["days"], {"fidelity": fidelity, **own["demand"]})


def figures(kpis: dict[str, Any]) -> dict[str, float]:
    lost = kpis["requests_rejected"] + kpis["requests_expired"]
    return {
        "served": kpis["requests_served"],
        "tokens": kpis["tokens_out_mtok"],
        "TTFT p50": kpis["ttft_p50_s"],
        "p95": kpis["ttft_p95_s"],
        "p99": kpis["ttft_p99_s"],
        "E2E p50": kpis["e2e_p50_s"],
        "J/token": kpis["joules_per_token"],
        "lost": 100.0 * lost / kpis["requests_arrived"],
        "SLO": kpis["slo_attainment_pct"],
    }


def main() -> None:
    words = sys.argv[1:]
    for name in MIXES:
        if words and not any(word in name for word in words):
            continue
        exact, fluid = (
            figures(sim.run(scenario(name, fidelity), "static", seed=1).kpis)
            for fidelity in ("exact", "fluid")
        )
        said = [f"{k} {100.0 * (fluid[k] / exact[k] - 1.0):+.1f}" for k in list(exact)[:-2]]
        said += [f"{k} {exact[k]:.2f} and {fluid[k]:.2f}" for k in list(exact)[-2:]]
        print(f"{name}: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()

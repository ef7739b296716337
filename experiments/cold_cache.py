"""What a curtailment costs that cools a warm cache of prefixes.

    python experiments/cold_cache.py [--minutes 15]

One site of four H100 with an 8B model serves conversations behind a long system prompt. Once all
nodes are switched off for a quarter of an hour, and again with caches that keep what they hold
(no server does that: it is what the loss is measured against), and not at all. The difference of
the first two is what the cold caches cost: prefill tokens, energy, time to first token.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from sim.kernels.requests import PREFILLED
from sim.kernels.traffic import LANE_CACHED_TOKENS, LANE_TOKENS_IN
from sim.scenario.load import assemble
from sim.scenario.scenario import Scenario
from sim.serving_fleet import ServingFleet
from sim.streams import Streams
from sim.world.demand import Requests

OFF_S = 3600
ENDS_S = 7200
LOAD_S = 120  # the engines are back by then


class Keeping(ServingFleet):
    """Engines whose caches survive being switched off."""

    def _forget(self, engines: Any) -> None:
        pass


def scenario() -> Scenario:
    place = {"climate": "midland-tx", "price_zone": "z", "utc_offset_h": -6, "power_limit_mw": 5}
    talk = {"turns": 6.0, "think_s": 120.0, "system_prompt_tokens": 2000}
    return assemble(
        {
            "horizon": {"days": 0.125},
            "prices": {"zones": {"z": {"model": "fixed", "usd_per_mwh": 40}}},
            "demand": {
                "regions": {"r": {"latitude": 30, "longitude": -90}},
                "prefix_cache": True, "balancing": "prefix-aware", "curtailment": "migrate",
            },
        },
        {
            "sites": [{**place, "name": "site", "latitude": 30, "longitude": -100}],
            "gpus": [{"gpu": "h100-sxm", "model": "llama-3.1-8b", "state": "serving", "nodes": 4,
                      "site": "site", "gpus_per_node": 1}],
            "tenants": [{"name": "chat", "region": "r", "model": "llama-3.1-8b", "rate_rps": 24.0,
                         "profile": "flat", "prompt_mean_tokens": 300.0, **talk}],
        },
    )  # fmt: skip


def run(kind: type[ServingFleet], off_s: int) -> dict[str, float]:
    """The hour from the cut on: tokens, hits and energy; TTFT of five minutes after the return."""
    made = scenario()
    fleet = kind(made, {("r", "site"): 0.01}, Requests(made, Streams(1)), True)
    before_j = 0.0
    marks = {}
    for t in range(300, ENDS_S + 1, 300):
        joules = float(fleet.advance(float(t)).sum())
        before_j += joules
        if t == OFF_S:
            marks = {"j": before_j, "prefilled": int(fleet.state.counts[:, PREFILLED].sum()),
                     "in": int(fleet.tally.lanes[LANE_TOKENS_IN].sum()),
                     "cached": int(fleet.tally.lanes[LANE_CACHED_TOKENS].sum())}  # fmt: skip
            if off_s:
                fleet.switch(np.zeros(1))
        if off_s and t == OFF_S + off_s:
            fleet.switch(np.ones(1))
    times = np.concatenate([rows for _, rows in fleet.log])
    back_s = OFF_S + off_s + LOAD_S
    hour = (times[:, 0] >= back_s) & (times[:, 0] < back_s + 300)
    ttft_s = times[hour, 1] - times[hour, 0]
    tokens = int(fleet.tally.lanes[LANE_TOKENS_IN].sum()) - marks["in"]
    cached = int(fleet.tally.lanes[LANE_CACHED_TOKENS].sum()) - marks["cached"]
    return {
        "forgotten_mtok": float(fleet.forgotten_tokens.sum()) / 1e6,
        "prefilled_mtok": (int(fleet.state.counts[:, PREFILLED].sum()) - marks["prefilled"]) / 1e6,
        "hit_pct": 100.0 * cached / tokens,
        "energy_kwh": (before_j - marks["j"]) / 3.6e6,
        "ttft_mean_s": float(ttft_s.mean()),
        "ttft_p95_s": float(np.percentile(ttft_s, 95)),
        "served": float(len(times)),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=15)
    off_s = 60 * parser.parse_args().minutes
    found = {
        "no cut": run(ServingFleet, 0),
        "cut, caches kept": run(Keeping, off_s),
        "cut, caches cold": run(ServingFleet, off_s),
    }
    names = next(iter(found.values()))
    print(f"{'':18s}" + "".join(f"{name:>16s}" for name in names))
    for case, figures in found.items():
        print(f"{case:18s}" + "".join(f"{value:16,.3f}" for value in figures.values()))


if __name__ == "__main__":
    main()

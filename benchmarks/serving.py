"""The serving kernel beside its stepping twin and a simpy process for each request, in one run.

    python benchmarks/serving.py [--smoke] [--json]

Lengths like the Azure conversation trace (lognormal, mean 1,155 prompt and 211 output tokens), an
8B model on an H100, Poisson arrivals at shares of saturation. Speed is requests per second of one
core. The three must agree before they are timed: iterations exactly, times to 1e-9.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import simpy

sys.path.insert(0, str(Path(__file__).parent.parent))

from sim.kernels.requests import PARENT, START
from sim.kernels.traffic import ARRIVED, SERVED, Day
from sim.scenario.catalogue.serving import served
from sim.scenario.demand import Tenant
from sim.scenario.load import assemble
from sim.serving import Engine, IterationTime, serve
from sim.serving.content import Content
from sim.serving.mix import lognormal
from sim.serving_fleet import ServingFleet
from sim.world.talks import talks
from tests.kernels.serving_twin import serve_slowly

ENGINE = served("llama-3.1-8b", "h100-sxm").engine
STARVED = Engine(ENGINE.iteration, kv_blocks=2600)  # 41,600 tokens: an eighth of what memory holds


def trace(count: int, rate: float, seed: int = 1) -> tuple[Any, Any, Any]:
    draw = np.random.Generator(np.random.Philox(key=seed))
    arrival = np.cumsum(draw.exponential(1.0 / rate, count))
    prompt = np.minimum(lognormal(draw, 1155.0, 0.96, count), 16_384)
    return arrival, prompt, np.minimum(lognormal(draw, 211.0, 0.77, count), 16_384)


def conversations(count: int, rate: float) -> tuple[Any, Content]:
    """Turns of some four to a conversation behind a system prompt of 300 tokens."""
    tenant = Tenant(name="t", region="r", model="m", turns=4.0, system_prompt_tokens=300)
    arrival, text, output = trace(count, rate)
    made = talks(tenant, arrival, text // 4 + 1, output, np.random.default_rng(5))
    nodes = np.zeros((int(made.talk.max()) + 2, 2), dtype=np.int64)
    nodes[0, PARENT], nodes[1:, START] = -1, 300
    return (arrival, made.prompt, output), Content(nodes, made.talk + 1, made.prompt + output, 2)


def saturation(engine: Engine) -> float:
    _, prompt, output = trace(50_000, 1.0)
    return float(50_000 / serve(np.zeros(50_000), prompt, output, engine).finish_s.max())


def median_s(what: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def by_processes(arrival: Any, prompt: Any, output: Any, t: IterationTime) -> Any:
    """A simpy process for each request and one for the engine; no KV limit, whole prompts."""
    env = simpy.Environment()
    waiting: list[int] = []
    running: dict[int, list[int]] = {}  # request: tokens computed, tokens to come
    wake = env.event()
    finish = np.zeros(len(arrival))
    done = [env.event() for _ in arrival]

    def client(i: int) -> Generator[Any, Any, None]:
        yield env.timeout(float(arrival[i]) - env.now)
        waiting.append(i)
        if not wake.triggered:
            wake.succeed()
        yield done[i]
        finish[i] = env.now

    def engine() -> Generator[Any, Any, None]:
        nonlocal wake
        while True:
            if not waiting and not running:
                wake = env.event()
                yield wake
            budget = ENGINE.max_batched_tokens - len(running)
            context = sum(state[0] + 1 for state in running.values())
            decodes, new, q, p = list(running), [], 0.0, 0
            while waiting and prompt[waiting[0]] <= budget and len(running) + len(new) < 1024:
                i = waiting.pop(0)
                budget -= prompt[i]
                p += prompt[i]
                q += prompt[i] ** 2 / 2
                new.append(i)
            yield env.timeout(t.of(p + len(decodes), len(decodes), context, q))
            for i in decodes:
                running[i][0] += 1
                running[i][1] -= 1
            for i in new:
                running[i] = [int(prompt[i]), int(output[i]) - 1]
            for i in [i for i, state in running.items() if state[1] == 0]:
                del running[i]
                done[i].succeed()

    for i in range(len(arrival)):
        env.process(client(i))
    env.process(engine())
    env.run()
    return finish


class _Day:
    def __init__(self, day: Day) -> None:
        self.of_day = day

    def day(self, number: int) -> Day:
        return self.of_day

    def counts(self, from_s: int, to_s: int) -> Any:
        raise NotImplementedError


def routed(requests: int, sites: int = 48, nodes: int = 8) -> tuple[float, int]:
    """Seconds for a day of requests over a fleet, power of two choices; how many there were."""
    names = [f"site-{i:02d}" for i in range(sites)]
    place = {"climate": "midland-tx", "price_zone": "z", "utc_offset_h": -6, "power_limit_mw": 5}
    node = {"gpu": "h100-sxm", "model": "llama-3.1-8b", "state": "serving", "nodes": nodes}
    scenario = assemble(
        {
            "prices": {"zones": {"z": {"model": "fixed", "usd_per_mwh": 40}}},
            "demand": {"regions": {"r": {"latitude": 30, "longitude": -90}}},
        },
        {
            "sites": [{**place, "name": n, "latitude": 30, "longitude": -100} for n in names],
            "gpus": [{**node, "site": n, "gpus_per_node": 1} for n in names],
            "tenants": [
                {"name": f"t{i}", "region": "r", "model": "llama-3.1-8b"} for i in range(20)
            ],
        },
    )
    arrival, prompt, output = trace(requests, requests / 86_400.0)
    draw = np.random.Generator(np.random.Philox(key=2))
    kept = arrival < 86_400.0
    day = Day(
        arrival[kept],
        draw.integers(0, 20, requests)[kept],
        prompt[kept],
        output[kept],
        np.zeros(int(kept.sum()), dtype=np.int64),
        draw.random((requests, 2))[kept],
    )
    away = {("r", n): 0.01 + 0.001 * i for i, n in enumerate(names)}
    fleet = ServingFleet(scenario, away, _Day(day))
    began = time.perf_counter()
    for step in range(1, 96):
        fleet.advance(900.0 * step)
    took = time.perf_counter() - began
    assert fleet.tally.tenants[SERVED].sum() > 0.98 * fleet.tally.tenants[ARRIVED].sum()
    return took, int(fleet.tally.tenants[ARRIVED].sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smoke", action="store_true", help="small, once: does it run?")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    count, small, times = (20_000, 100, 1) if chosen.smoke else (1_000_000, 1000, 5)
    rows: list[dict[str, Any]] = []

    def add(what: str, requests: int, took_s: float, **more: float) -> None:
        rows.append({"what": what, "requests": requests, "rps": requests / took_s, **more})

    for name, engine in (("kernel", ENGINE), ("kernel, KV-starved", STARVED)):
        most = saturation(engine)
        for load in (0.3, 0.6, 0.9):
            x = trace(count, load * most)
            out = serve(*x, engine)
            took = median_s(lambda x=x, engine=engine: serve(*x, engine), times)
            per = {"iterations_per_request": out.iterations / count,
                   "preemptions_per_request": float(out.preemptions.mean())}  # fmt: skip
            add(f"{name}, {load:.0%} of saturation", count, took, **per)
    x, content = conversations(count, 0.6 * saturation(ENGINE))
    warm = replace(ENGINE, prefix_cache=True)
    out = serve(*x, warm, content=content)  # compiled, or read from its cache, before it is timed
    off_s = median_s(lambda: serve(*x, ENGINE), times)
    on_s = median_s(lambda: serve(*x, warm, content=content), times)
    add("conversations, no block cache", count, off_s)
    told_s = median_s(lambda: serve(*x, ENGINE, out.hit_tokens), times)
    add("the same, what a cache finds told beforehand", count, told_s)
    hit = float(out.hit_tokens.sum() / x[1].sum())
    add("the same with a block cache", count, on_s, ratio_to_none=on_s / off_s,
        times_told=on_s / told_s, hit_share=hit)  # fmt: skip
    for batch in (64, 1024):
        wide = Engine(ENGINE.iteration, max_seqs=batch, kv_blocks=200_000)
        x = trace(count, 1e9)
        add(f"kernel, batches of {batch}", count, median_s(lambda x=x, w=wide: serve(*x, w), times))
    x = trace(small, 0.6 * saturation(ENGINE))
    columns = [list(map(float, x[0])), list(map(int, x[1])), list(map(int, x[2]))]
    fast, slow = serve(*x, ENGINE), serve_slowly(*columns, ENGINE)  # type: ignore[arg-type]
    assert fast.iterations == slow.iterations
    np.testing.assert_allclose(fast.finish_s, [s.finish_s for s in slow.sequences], rtol=1e-9)
    whole = Engine(ENGINE.iteration, chunked_prefill=False, kv_blocks=10**6,
                   max_batched_tokens=ENGINE.max_batched_tokens, max_seqs=1024)  # fmt: skip
    fits = x[1] + x[2] <= ENGINE.max_batched_tokens
    y = tuple(column[fits] for column in x)
    np.testing.assert_allclose(
        by_processes(*y, ENGINE.iteration), serve(*y, whole).finish_s, rtol=1e-9
    )
    add("stepping twin, 60%", small, median_s(lambda: serve_slowly(*columns, ENGINE), 1))
    took = median_s(lambda: by_processes(*y, ENGINE.iteration), 1)
    add("simpy process per request, 60%", len(y[0]), took)
    day = 40_000 if chosen.smoke else 4_000_000
    routed(2000)
    took, arrived = routed(day)
    add("fleet of 48 sites x 8 engines, power of two", arrived, took)
    took, arrived = routed(day * 4)
    add("the same at four times the load", arrived, took)
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return
    twin = next(r["rps"] for r in rows if r["what"].startswith("stepping"))
    for row in rows:
        more = "".join(f"  {k.split('_')[0]} {v:.3g}" for k, v in list(row.items())[3:])
        print(f"{row['what']:46s}{row['rps']:>12,.0f}/s {row['rps'] / twin:>9,.1f} x twin{more}")


if __name__ == "__main__":
    main()

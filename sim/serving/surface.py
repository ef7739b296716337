"""Throughput and latency of an engine in its pool by load, measured once, exactly, and kept.

A surface holds, for each load of a grid, a sample of requests as the exact kernel served them:
whoever uses it draws no formula between two quantities, but reads what happened together.
"""

import os
from collections.abc import Sequence
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.kernels.jit import source_digest
from sim.serving.engine import Engine
from sim.serving.pool import serve_pool

# Shares of saturation. Beyond 1 the queue of a fluid grows instead.
LOADS: Final = np.array([0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0])
REQUESTS: Final = 60_000  # of each measurement, the first tenth left out
SAMPLES: Final = 6_000  # kept of each
MOST_ENGINES: Final = 16  # of a pool that is measured; a larger one is taken to be like it
VERSION: Final = 3
CACHE_VARIABLE: Final = "HASHWATT_CACHE"


class Lengths(NamedTuple):
    """A share of the requests, with lognormal lengths."""

    weight: float
    prompt_mean: float
    prompt_cv: float
    output_mean: float
    output_cv: float
    longest: int


class Surface(NamedTuple):
    """Of an engine of a pool and a mix of requests. Shapes: `load` as LOADS, `sample` requests."""

    saturation_rps: float
    ttft_s: Floats  # (load, sample)
    tpot_s: Floats  # (load, sample) 0 for outputs of one token
    e2e_s: Floats  # (load, sample)
    power_w: Floats  # (load,) idle time included
    prompt: Ints  # (load, sample) tokens
    output: Ints  # (load, sample) tokens

    def at(self, load: float) -> tuple[int, int, float]:
        """The two grid points about a load, and the weight of the second."""
        x = min(max(load, float(LOADS[0])), float(LOADS[-1]))
        high = max(int(np.searchsorted(LOADS, x)), 1)
        return high - 1, high, float((x - LOADS[high - 1]) / (LOADS[high] - LOADS[high - 1]))


def lognormal(draw: np.random.Generator, mean: float, cv: float, count: int) -> Ints:
    """Lengths [tokens], at least 1."""
    variance = np.log1p(cv * cv)
    values = draw.lognormal(np.log(mean) - variance / 2.0, np.sqrt(variance), count)
    return np.asarray(np.maximum(np.rint(values), 1.0).astype(np.int64))


def surface(engine: Engine, mix: Sequence[Lengths], engines: int, balancing: int) -> Surface:
    """The surface of an engine in its pool, for a mix: read from the cache, or measured and kept.

    The cache is the folder HASHWATT_CACHE, else `hashwatt` under the user's cache folder; a name
    there is made of everything the measurement depends on, the kernels' sources included.
    """
    engines = min(engines, MOST_ENGINES)
    kind = (VERSION, source_digest(), astuple(engine), engines, balancing)
    about = repr((*kind, tuple(mix), LOADS.tolist(), REQUESTS, SAMPLES))
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(os.environ.get(CACHE_VARIABLE) or Path(root) / "hashwatt")
    file = folder / f"surface-{sha256(about.encode()).hexdigest()[:24]}.npz"
    if file.is_file():
        with np.load(file) as kept:
            return Surface(float(kept["saturation_rps"]), *(kept[f] for f in Surface._fields[1:]))
    made = measure(engine, mix, engines, balancing)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{os.getpid()}-{file.name}"
        np.savez_compressed(draft, **made._asdict())
        draft.replace(file)
    except OSError:
        pass  # a cache that cannot be written is none
    return made


def measure(engine: Engine, mix: Sequence[Lengths], engines: int, balancing: int) -> Surface:
    """Serve the mix on a pool with Poisson arrivals at each load; the luck is always the same.

    Saturation is the rate of finishing when all wait from the start, from the second tenth of the
    requests to the ninth: neither the first batch nor the last ones left.
    """
    draw = np.random.Generator(np.random.Philox(key=2026))
    weights = np.array([m.weight for m in mix])
    which = draw.choice(len(mix), REQUESTS, p=weights / weights.sum())
    prompt, output = np.zeros(REQUESTS, np.int64), np.zeros(REQUESTS, np.int64)
    for i, m in enumerate(mix):
        mine = which == i
        count = int(mine.sum())
        prompt[mine] = np.minimum(lognormal(draw, m.prompt_mean, m.prompt_cv, count), m.longest)
        output[mine] = np.minimum(lognormal(draw, m.output_mean, m.output_cv, count), m.longest)
    gaps = draw.exponential(1.0, REQUESTS)
    luck = draw.random((REQUESTS, 2))
    pool = (prompt, output, engine, engines, balancing, luck)
    at_once = serve_pool(np.zeros(REQUESTS), *pool)
    finish_s = np.sort(at_once.finish_s[~at_once.rejected])
    early, late = len(finish_s) // 10, 9 * len(finish_s) // 10
    saturation = float((late - early) / (finish_s[late] - finish_s[early])) / engines
    found: dict[str, list[Any]] = {name: [] for name in Surface._fields[1:]}
    for load in LOADS:
        arrival = np.cumsum(gaps) / (load * saturation * engines)
        out = serve_pool(arrival, *pool)
        settled = np.flatnonzero(~out.rejected & (np.arange(REQUESTS) >= REQUESTS // 10))
        chosen = settled[np.linspace(0, len(settled) - 1, SAMPLES).astype(np.int64)]
        first, finish = out.first_token_s[chosen], out.finish_s[chosen]
        found["ttft_s"].append(first - arrival[chosen])
        found["tpot_s"].append((finish - first) / np.maximum(output[chosen] - 1, 1))
        found["e2e_s"].append(finish - arrival[chosen])
        open_s = float(np.nanmax(out.finish_s) - arrival[0])
        found["power_w"].append(np.array(out.energy_j / open_s / engines))
        found["prompt"].append(prompt[chosen])
        found["output"].append(output[chosen])
    columns: dict[str, Any] = {name: np.array(values) for name, values in found.items()}
    return Surface(saturation_rps=saturation, **columns)

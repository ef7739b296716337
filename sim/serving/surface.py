"""Throughput and latency of an engine in its pool by load, measured exactly once and cached.

For each load of a grid, a surface holds the outcome of each stream's requests when the exact kernel
served them with their own bursts, patience and the engines' queue limit, and a sample of the served
requests. Joint outcomes are read from it; no formula relates one quantity to another.
"""

import os
from collections.abc import Sequence
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sim.kernels.ahead import MOST_HELPERS, Task, side_by_side, usable_cores
from sim.kernels.jit import source_digest
from sim.kernels.traffic import ARRIVED, EXPIRED, REJECTED, RETRIED
from sim.serving.engine import Engine, IterationTime
from sim.serving.mix import Sent, Stream, draw_sent
from sim.serving.pool import Watched, serve_pool
from sim.types import Floats, Ints, OnProgress

# Shares of saturation; beyond 1 the excess is refused or given up.
LOADS: Final = np.array(
    [
        0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95,
        1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 4.0,
    ]
)  # fmt: skip
FULL_FROM: Final = 1.0  # from this load on engines start a measurement full
LONG_FROM: Final = 0.75  # from this load to LONG_TO measurements are longer
LONG_TO: Final = 1.05
REQUESTS: Final = 60_000  # per measurement
LONG_REQUESTS: Final = 150_000  # where queues change slowly
TURNS: Final = 20  # times that full engines replace their requests in a measurement
FULL_REQUESTS: Final = (40_000, 200_000)  # fewest and most for full engines
WINDOW: Final = (0.15, 0.95)  # part of the arrival time that is counted
SAMPLES: Final = 6_000  # kept per load, in proportion to streams, and
LEAST_SAMPLES: Final = 500  # at least so many per stream
MOST_ENGINES: Final = 16  # in a measured pool; larger pools are taken to behave alike
MOST_QUEUE: Final = 2048  # most requests at an engine of a fluid
VERSION: Final = 4
CACHE_VARIABLE: Final = "HASHWATT_CACHE"


REHEARSAL: Final = Task(__name__, "rehearse", ())  # compiles the kernels of a measurement


class Surface(NamedTuple):
    """An engine in its pool. Shapes: `load` as LOADS, `stream` as the mix, `sample` requests."""

    saturation_rps: float  # requests finished per engine of an overloaded pool [1/s]
    peak_rps: float  # highest rate finished per engine at any load [1/s]
    served: Floats  # (load, stream) share of the requests sent
    refused: Floats  # (load, stream) for good
    given_up: Floats  # (load, stream) for good
    retries: Floats  # (load, stream) per request
    stay_s: Floats  # (load, stream) mean time of a request at the pool, whatever its outcome
    outstanding: Floats  # (load,) requests per engine
    waiting: Floats  # (load,) of these, not running
    busy: Floats  # (load,) share of the time in iterations
    power_w: Floats  # (load,) of an engine, idle time included
    prompt: Floats  # (load, stream) mean tokens of served requests
    output: Floats  # (load, stream)
    first: Ints  # (stream + 1,) first sample of each stream
    ttft_s: Floats  # (load, sample) in order within a stream
    tpot_s: Floats  # (load, sample) 0 for outputs of one token
    e2e_s: Floats  # (load, sample)
    tokens: Ints  # (load, sample) outputs


class Measured(NamedTuple):
    """What a surface is measured for; the key of its cache entry."""

    engine: Engine
    mix: Sequence[Stream]
    engines: int  # of the pool, at most MOST_ENGINES
    balancing: int
    queue_limit: int  # at most MOST_QUEUE

    def file(self) -> Path:
        """Its cache file, named by everything it depends on, including the kernels' sources.

        The folder is HASHWATT_CACHE, else `hashwatt` under the user's cache folder.
        """
        limits = (self.engines, self.balancing, self.queue_limit)
        kind = (VERSION, source_digest(), astuple(self.engine), *limits)
        sizes = (LOADS.tolist(), REQUESTS, LONG_REQUESTS, TURNS, FULL_REQUESTS, WINDOW, SAMPLES)
        about = repr((*kind, tuple(m.key() for m in self.mix), sizes, LEAST_SAMPLES))
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get(CACHE_VARIABLE) or Path(root) / "hashwatt")
        return folder / f"surface-{sha256(about.encode()).hexdigest()[:24]}.npz"


def measured(
    engine: Engine, mix: Sequence[Stream], engines: int, balancing: int, queue_limit: int
) -> Measured:
    """A measurement with engines and queue limit capped to the measured range."""
    limits = min(engines, MOST_ENGINES), balancing, min(queue_limit, MOST_QUEUE)
    return Measured(engine, mix, *limits)


def surfaces(wanted: Sequence[Measured], progress: OnProgress | None = None) -> list[Surface]:
    """Surfaces from the cache; missing ones are measured and cached.

    With `progress`, called with (done, total), missing surfaces are measured in parallel processes
    where cores allow; the result is the same byte for byte.
    """
    files = {one.file(): one for one in wanted}
    missing = {file: one for file, one in files.items() if not file.is_file()}
    helpers = min(usable_cores(), MOST_HELPERS)
    if progress is not None and len(missing) > 1 and helpers > 1:
        tasks = {file: Task(__name__, "surface", tuple(one)) for file, one in missing.items()}
        for _ in side_by_side(tasks, progress, helpers):
            pass
    return [surface(*one) for one in wanted]


def surface(
    engine: Engine, mix: Sequence[Stream], engines: int, balancing: int, queue_limit: int
) -> Surface:
    """The surface of an engine in its pool for a mix: from the cache, or measured and cached."""
    engine, mix, engines, balancing, queue_limit = one = measured(
        engine, mix, engines, balancing, queue_limit
    )
    file = one.file()
    if file.is_file():
        with np.load(file) as kept:
            rates = float(kept["saturation_rps"]), float(kept["peak_rps"])
            return Surface(*rates, *(kept[f] for f in Surface._fields[2:]))
    made = measure(engine, mix, engines, balancing, queue_limit)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.parent / f".{os.getpid()}-{file.name}"
        np.savez_compressed(draft, **made._asdict())
        draft.replace(file)
    except OSError:
        pass  # the cache is optional: failing to write it is harmless
    return made


def rehearse() -> None:
    """Serve a few requests, to compile the kernels of a measurement."""
    engine = Engine(IterationTime(base_s=0.01, token_s=1e-5))
    mix = [
        Stream(1.0, prompt_mean=100.0, prompt_cv=1.0, output_mean=10.0, output_cv=1.0, longest=1000)
    ]
    _Pool(engine, mix, engines=2, balancing=0, queue_limit=4).at(1.0, full=True, size=10)


def measure(
    engine: Engine, mix: Sequence[Stream], engines: int, balancing: int, queue_limit: int
) -> Surface:
    """Serve the mix on a pool at each load, always with the same random draws.

    Saturation is the finishing rate under twice the load that engines can serve when all requests
    wait from the start, with the queue that the limit and the clients' patience leave.
    """
    pool = _Pool(engine, mix, engines, balancing, queue_limit)
    busiest = pool.at(2.0 * pool.at_once_rps(), full=True, size=pool.size(2.0))
    saturation_rps = busiest.rate_rps
    found: dict[str, list[Any]] = {name: [] for name in Surface._fields[2:]}
    peak_rps = saturation_rps
    for load in LOADS.tolist():
        full = load >= FULL_FROM
        seen = pool.at(load * saturation_rps, full=full, size=pool.size(load))
        peak_rps = max(peak_rps, seen.rate_rps)
        for name, value in seen.row().items():
            found[name].append(value)
    columns: dict[str, Any] = {name: np.array(values) for name, values in found.items()}
    columns["first"] = pool.first
    return Surface(saturation_rps=saturation_rps, peak_rps=peak_rps, **columns)


class _Pool(NamedTuple):
    engine: Engine
    mix: Sequence[Stream]
    engines: int
    balancing: int
    queue_limit: int

    @property
    def first(self) -> Ints:
        """First sample of each stream (stream + 1,)."""
        weights = np.array([m.weight for m in self.mix])
        sizes = np.maximum(np.rint(SAMPLES * weights / weights.sum()), LEAST_SAMPLES)
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def size(self, load: float) -> int:
        """Number of requests of a measurement at a load."""
        if LONG_FROM <= load <= LONG_TO:
            return LONG_REQUESTS
        if load < FULL_FROM:
            return REQUESTS
        return round(load * float(np.clip(TURNS * self.queue_limit * self.engines, *FULL_REQUESTS)))

    def at_once_rps(self) -> float:
        """Rate of an engine when all requests wait from the start, without first and last batch."""
        draw = np.random.Generator(np.random.Philox(key=2025))
        count = 1 + REQUESTS // 4
        sent = draw_sent(draw, self.mix, count)
        patient = [m._replace(patience_s=np.inf) for m in self.mix]
        luck = draw.random((len(sent.at), 2))
        out = serve_pool(
            sent._replace(at=np.zeros(len(sent.at))), self.engine, 1, self.balancing, luck,
            patient, 1 << 40, (0.0, 1.0),
        )  # fmt: skip
        finish_s = np.sort(out.finish_s[~np.isnan(out.finish_s)])
        if len(finish_s) < 10:
            return 1.0 / float(np.nanmax(np.append(out.finish_s, 1.0)))
        early, late = len(finish_s) // 10, 9 * len(finish_s) // 10
        return float((late - early) / (finish_s[late] - finish_s[early]))

    def at(self, rate_rps: float, *, full: bool, size: int) -> "_Seen":
        """Serve `rate_rps` per engine; `full`: engines start with all the requests they hold.

        Time is scaled until the counted requests have exactly that rate.
        """
        draw = np.random.Generator(np.random.Philox(key=2026))
        crowd = self.queue_limit * self.engines if full else 0
        before = draw_sent(draw, self.mix, crowd) if crowd else None
        sent = draw_sent(draw, self.mix, size)
        window = (WINDOW[0] * sent.at[-1], WINDOW[1] * sent.at[-1])
        counted = np.searchsorted(sent.at, window)
        stretch = float(counted[1] - counted[0]) / (window[1] - window[0])
        stretch /= rate_rps * self.engines
        at = sent.at * stretch
        if before is not None:
            early = before._replace(at=np.zeros(len(before.at)))
            sent = Sent(*(np.concatenate(x) for x in zip(early, sent._replace(at=at), strict=True)))
        else:
            sent = sent._replace(at=at)
        luck = draw.random((len(sent.at), 2))
        window_s = (window[0] * stretch, window[1] * stretch)
        out = serve_pool(
            sent, self.engine, self.engines, self.balancing, luck, self.mix, self.queue_limit,
            window_s,
        )  # fmt: skip
        return _Seen(self, sent, out, window_s)


class _Seen(NamedTuple):
    pool: _Pool
    sent: Sent
    out: Watched
    window_s: tuple[float, float]

    @property
    def rate_rps(self) -> float:
        """Requests that an engine finished in the window [1/s]."""
        done = np.searchsorted(np.sort(self.out.finish_s), self.window_s)
        return float(done[1] - done[0]) / (self.window_s[1] - self.window_s[0]) / self.pool.engines

    def row(self) -> dict[str, Any]:
        """All values of a surface at this load."""
        sent, out, first = self.sent, self.out, self.pool.first
        counted = (sent.at >= self.window_s[0]) & (sent.at < self.window_s[1])
        of_stream: dict[str, list[float]] = {
            name: []
            for name in ("served", "refused", "given_up", "retries", "stay_s", "prompt", "output")
        }
        sample: dict[str, list[Any]] = {x: [] for x in ("ttft_s", "tpot_s", "e2e_s", "tokens")}
        for i, m in enumerate(self.pool.mix):
            mine = counted & (sent.stream == i)
            done = np.flatnonzero(mine & ~np.isnan(out.finish_s))
            count = max(int(mine.sum()), 1)
            served = len(done) / count if mine.any() else 1.0
            ended = out.tenants[[REJECTED, EXPIRED], i].astype(np.float64)
            lost = (1.0 - served) * (ended / ended.sum() if ended.any() else np.array([1.0, 0.0]))
            e2e_s = out.finish_s[done] - sent.at[done]
            waited_s = lost[1] * m.patience_s if lost[1] else 0.0
            scale = [
                wanted * (float(tokens[done].mean() / tokens[mine].mean()) if len(done) else 1.0)
                for wanted, tokens in zip(m.means(), (sent.prompt, sent.output), strict=True)
            ]
            of_stream["served"].append(served)
            of_stream["refused"].append(lost[0])
            of_stream["given_up"].append(lost[1])
            of_stream["retries"].append(out.tenants[RETRIED, i] / max(out.tenants[ARRIVED, i], 1))
            of_stream["stay_s"].append(float(e2e_s.sum()) / count + waited_s)
            of_stream["prompt"].append(scale[0])
            of_stream["output"].append(scale[1])
            for name, values in self._sample(done, int(first[i + 1] - first[i])).items():
                sample[name].append(values)
        return {
            **of_stream,
            **{name: np.concatenate(values) for name, values in sample.items()},
            "outstanding": out.outstanding,
            "waiting": out.waiting,
            "busy": out.busy,
            "power_w": out.power_w,
            "first": first,
        }

    def _sample(self, done: Ints, size: int) -> dict[str, Any]:
        """Sample evenly by time to first token, which keeps percentiles; zeros if none served."""
        if not len(done):
            zeros = np.zeros(size)
            return {"ttft_s": zeros, "tpot_s": zeros, "e2e_s": zeros, "tokens": zeros.astype(int)}
        sent, out = self.sent, self.out
        ordered = done[np.argsort(out.first_token_s[done] - sent.at[done], kind="stable")]
        chosen = ordered[((np.arange(size) + 0.5) * (len(done) / size)).astype(np.int64)]
        first_s, finish_s = out.first_token_s[chosen], out.finish_s[chosen]
        tokens = sent.output[chosen]
        return {
            "ttft_s": first_s - sent.at[chosen],
            "tpot_s": (finish_s - first_s) / np.maximum(tokens - 1, 1),
            "e2e_s": finish_s - sent.at[chosen],
            "tokens": tokens,
        }

"""Throughput and latency of an engine in its pool by load, measured once, exactly, and kept.

A surface holds, for each load of a grid, what became of the requests of each stream when the exact
kernel served them with their own bursts, patience and the engines' limit, and a sample of those
that were served: whoever uses it draws no formula between two quantities, but reads what happened
together.
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

# Shares of saturation; beyond 1 what cannot be served is refused, or given up.
LOADS: Final = np.array(
    [
        0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95,
        1.0, 1.05, 1.1, 1.2, 1.5, 2.0, 4.0,
    ]
)  # fmt: skip
FULL_FROM: Final = 1.0  # from this load on engines are full when a measurement begins
LONG_FROM: Final = 0.75  # from here to LONG_TO measurements are long
LONG_TO: Final = 1.05
REQUESTS: Final = 60_000  # of a measurement
LONG_REQUESTS: Final = 150_000  # where queues come and go slowly
TURNS: Final = 20  # how often full engines exchange what they hold in a measurement
FULL_REQUESTS: Final = (40_000, 200_000)  # that they are served at least, and at most
WINDOW: Final = (0.15, 0.95)  # of the time in which they arrive: what is counted
SAMPLES: Final = 6_000  # kept of each load, by share of the stream, and
LEAST_SAMPLES: Final = 500  # of a stream at least
MOST_ENGINES: Final = 16  # of a pool that is measured; a larger one is taken to be like it
MOST_QUEUE: Final = 2048  # requests at an engine of a fluid
VERSION: Final = 4
CACHE_VARIABLE: Final = "HASHWATT_CACHE"


REHEARSAL: Final = Task(__name__, "rehearse", ())  # compiles what measuring calls


class Surface(NamedTuple):
    """Of an engine in its pool. Shapes: `load` as LOADS, `stream` as the mix, `sample` requests."""

    saturation_rps: float  # what an engine of a pool that is too busy finishes [1/s]
    peak_rps: float  # the most that an engine finishes at any load [1/s]
    served: Floats  # (load, stream) share of the requests that are sent
    refused: Floats  # (load, stream) for good
    given_up: Floats  # (load, stream) for good
    retries: Floats  # (load, stream) for each request
    stay_s: Floats  # (load, stream) mean time at the pool of a request, whatever became of it
    outstanding: Floats  # (load,) requests at an engine
    waiting: Floats  # (load,) of them not running
    busy: Floats  # (load,) share of the time in iterations
    power_w: Floats  # (load,) of an engine, idle time included
    prompt: Floats  # (load, stream) mean tokens of what is served
    output: Floats  # (load, stream)
    first: Ints  # (stream + 1,) where the samples of a stream begin
    ttft_s: Floats  # (load, sample) in order within a stream
    tpot_s: Floats  # (load, sample) 0 for outputs of one token
    e2e_s: Floats  # (load, sample)
    tokens: Ints  # (load, sample) outputs


class Measured(NamedTuple):
    """What a surface is of."""

    engine: Engine
    mix: Sequence[Stream]
    engines: int  # of the pool; more than MOST_ENGINES are taken to be like so many
    balancing: int
    queue_limit: int  # more than MOST_QUEUE is taken to be that

    def file(self) -> Path:
        """Where it is kept: a name made of everything it depends on, kernels' sources included.

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
    """A measurement within what is measured."""
    limits = min(engines, MOST_ENGINES), balancing, min(queue_limit, MOST_QUEUE)
    return Measured(engine, mix, *limits)


def surfaces(wanted: Sequence[Measured], progress: OnProgress | None = None) -> list[Surface]:
    """Surfaces out of the cache; what is not there is measured, and kept.

    With `progress`, which gets (done, of how many), several that are missing are measured by
    processes side by side where cores allow: the same bytes.
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
    """The surface of an engine in its pool for a mix: read from the cache, or measured and kept."""
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
        pass  # a cache that cannot be written is none
    return made


def rehearse() -> None:
    """Serve a few requests, for the kernels that measuring compiles."""
    engine = Engine(IterationTime(base_s=0.01, token_s=1e-5))
    mix = [
        Stream(1.0, prompt_mean=100.0, prompt_cv=1.0, output_mean=10.0, output_cv=1.0, longest=1000)
    ]
    _Pool(engine, mix, engines=2, balancing=0, queue_limit=4).at(1.0, full=True, size=10)


def measure(
    engine: Engine, mix: Sequence[Stream], engines: int, balancing: int, queue_limit: int
) -> Surface:
    """Serve the mix on a pool at each load; the luck is always the same.

    Saturation is the rate of finishing where twice as much is asked for as engines can do when all
    wait from the start: with the queue that the limit and the clients' patience leave.
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
        """Where the samples of the streams begin."""
        weights = np.array([m.weight for m in self.mix])
        sizes = np.maximum(np.rint(SAMPLES * weights / weights.sum()), LEAST_SAMPLES)
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def size(self, load: float) -> int:
        """How many requests a measurement at a load takes."""
        if LONG_FROM <= load <= LONG_TO:
            return LONG_REQUESTS
        if load < FULL_FROM:
            return REQUESTS
        return round(load * float(np.clip(TURNS * self.queue_limit * self.engines, *FULL_REQUESTS)))

    def at_once_rps(self) -> float:
        """What an engine finishes when all wait from the start, neither first batch nor last."""
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
        """Serve `rate_rps` for each engine; `full`: as many as they hold are there from the start.

        Time is stretched until the requests that are counted have exactly that rate.
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
        """Everything of a surface at this load."""
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
        """Evenly by time to first token: so its percentiles are those of all; none: zeros."""
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

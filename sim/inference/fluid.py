"""Inference as a fluid: requests are counted, latencies are read from measured surfaces.

What is approximated, by name: arrivals of a pool are Poisson, and all its engines are open; a
step is stationary (Little's law tells who is inside at its end); a backlog waits in one line for
each pool, and its wait is known within 12 %; clients that are refused do not come back; engines
that are switched off give back what Little's law has inside them; lengths are those of the pool's
mix of tenants; histograms are written every HISTOGRAM_DAYS days. The exact kernel measures the
surfaces, so below saturation the error is small: the README has the table.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from sim.inference.operations import Inference, Present
from sim.kernels.arrays import Floats, Ints
from sim.kernels.fluid import FIRST_WAIT_S, WAIT_LOG, WAITS, Fluid, Surfaces, flow
from sim.kernels.jit import Entry, bind, entry
from sim.kernels.routing import (
    BALANCING,
    BIN_LOG,
    BINS,
    FIRST_BIN_S,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_LOST_TOKENS,
    LANE_RETURNED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    SLO_TPOT_S,
    SLO_TTFT_S,
    close_engine,
)
from sim.serving.surface import LOADS, Lengths, Surface, surface
from sim.units import SECONDS_PER_DAY

MEAN_ROWS: Final = (LANE_TOKENS_IN, LANE_TOKENS_OUT, LANE_GOOD, LANE_GOOD_TOKENS)
HISTOGRAM_DAYS: Final = 30


class _Seen(NamedTuple):
    until: Floats  # (metric, BINS) share of requests up to a bin, in the order TTFT, TPOT, E2E
    means: Floats  # (4,) of a request, in the order of MEAN_ROWS


class FluidInference(Inference):
    """The operations of `Inference`, with counts in place of requests."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        pools, lanes = len(self.pools), len(self.lanes)
        self.surfaces: list[Surface] = [self._surface(p) for p in range(pools)]
        self.lane_pool = np.array(
            [self.pools.index((x.site, x.model)) for x in self.lanes], dtype=np.int64
        )
        self.beyond_j = np.zeros(len(self.group_of))
        self.known: dict[tuple[int, int, int], _Seen] = {}  # by lane, grid point and wait
        self.histograms = np.zeros((lanes, len(LOADS), WAITS), dtype=np.int64)
        self.sums = np.zeros((len(MEAN_ROWS), lanes))  # of tokens and requests in time
        self.means = np.array(  # of a request that did not wait in a backlog
            [[self._seen_by(x, k, 0).means for k in range(len(LOADS))] for x in range(lanes)]
        ).reshape(lanes, len(LOADS), len(MEAN_ROWS))
        self.fluid = Fluid(
            inside=np.zeros(lanes, dtype=np.int64),
            backlog=np.zeros(lanes, dtype=np.int64),
            held=np.zeros(len(self.scenario.tenants), dtype=np.int64),
            weight=self.traffic.weight,
            served=np.zeros((lanes, len(LOADS), WAITS), dtype=np.int64),
            open_w=np.full(pools, np.nan),
        )
        stacked = Surfaces(
            loads=LOADS,
            saturation_rps=np.array([s.saturation_rps for s in self.surfaces]),
            e2e_s=np.array([s.e2e_s.mean(axis=1) for s in self.surfaces]).reshape(pools, -1),
            power_w=np.array([s.power_w for s in self.surfaces]).reshape(pools, -1),
        )
        self.arrived = np.zeros(len(self.scenario.tenants), dtype=np.int64)
        self.open_s = np.zeros(pools)
        scratch = np.zeros(lanes, dtype=np.int64)
        tables = (self.router, stacked, self.fluid, self.book)
        self._arrays = (*tables, self.arrived, scratch, self.open_s)
        self._flow: Callable[[float, float], None] | None = None  # bound when serving begins

    def entries(self) -> list[Entry]:
        """What serving compiles when it begins."""
        return [entry(flow, *self._arrays, floats=2)]

    def _surface(self, pool: int) -> Surface:
        """Of the pool's first engine, for the tenants that may come; others are scaled to it."""
        kind = int(self.engines.kind[self.router.pool_first[pool]])
        mix = [
            Lengths(
                max(t.rate_rps, 1e-9),
                t.prompt_mean_tokens,
                t.prompt_cv,
                t.output_mean_tokens,
                t.output_cv,
                t.max_tokens,
            )
            for i, t in enumerate(self.scenario.tenants)
            if self.router.lane[i, pool] >= 0
        ]
        engine = self.kinds[kind]
        count = int(self.router.pool_first[pool + 1] - self.router.pool_first[pool])
        mix = mix or [Lengths(1.0, 1000.0, 1.0, 200.0, 1.0, 16_384)]
        return surface(engine, mix, count, int(self.router.rules[BALANCING]))

    def _load_day(self, number: int) -> None:
        self.day = number  # no request of it is drawn

    def _serve(self, end_s: float) -> None:
        seconds = end_s - self.now_s
        self.arrived[:] = self.source.counts(int(self.now_s), int(end_s))
        self.open_s[:] = self._open_engine_s(end_s)
        if self._flow is None:
            self._flow = bind(flow, *self._arrays, floats=2)
        self._flow(float(self.scenario.demand.queue_limit), seconds)
        draws_w = np.maximum(self.fluid.open_w[self.pool_of] - self.idle_w, 0.0)
        opens = np.maximum(self._powered_engines(), 1)[self.pool_of]
        draws_j = np.where(self.powered, draws_w * (self.open_s[self.pool_of] / opens), 0.0)
        self.beyond_j += np.nan_to_num(draws_j)
        if end_s % self.scenario.horizon.record_s == 0:
            self._tally()

    def _powered_engines(self) -> Ints:
        return np.bincount(self.pool_of[self.powered], minlength=len(self.pools))

    def _tally(self) -> None:
        """Tokens and promises kept of what was served; histograms follow in `flush`."""
        served = self.fluid.served
        self.sums += np.einsum("lp,lpr->rl", served[:, :, 0], self.means)
        if served[:, :, 1:].any():
            for lane, point, wait in np.argwhere(served[:, :, 1:]).tolist():
                count = served[lane, point, wait + 1]
                self.sums[:, lane] += self._seen_by(lane, point, wait + 1).means * count
        self.book.lanes[list(MEAN_ROWS)] = np.rint(self.sums).astype(np.int64)
        self.histograms += served
        served[:] = 0

    def _open_engine_s(self, end_s: float) -> Floats:
        """Engine-seconds open in the interval (pool,); loaded engines open when they are."""
        traffic, found = self.traffic, np.zeros(len(self.pools))
        found += traffic.opens * (end_s - self.now_s)
        for e in np.flatnonzero(traffic.loads_s < end_s):
            pool = self.pool_of[e]
            found[pool] += end_s - max(traffic.loads_s[e], self.now_s)
            traffic.open[self.router.pool_first[pool] + traffic.opens[pool]] = e
            traffic.opens[pool] += 1
            traffic.loads_s[e] = np.inf
        return found

    def _seen_by(self, lane: int, point: int, wait: int) -> _Seen:
        """What a client of a lane sees at a grid point, after a wait in the backlog."""
        key = (lane, point, wait)
        if key in self.known:
            return self.known[key]
        tenant, site, model = self.lanes[lane]
        pool = self.pools.index((site, model))
        made, terms = self.surfaces[pool], self.router.terms[tenant]
        wait_s = FIRST_WAIT_S * np.exp((wait - 0.5) * WAIT_LOG) if wait else 0.0
        more_s = 2.0 * float(self.router.latency_s[tenant, pool]) + wait_s
        ttft, tpot, e2e = (
            made.ttft_s[point] + more_s,
            made.tpot_s[point],
            made.e2e_s[point] + more_s,
        )
        output = made.output[point]
        kept = (ttft <= terms[SLO_TTFT_S]) & (tpot <= terms[SLO_TPOT_S])
        means = np.array([np.mean(m) for m in (made.prompt[point], output, kept, kept * output)])
        until = np.array([_until(x) for x in (ttft, tpot[output > 1], e2e)])
        return self.known.setdefault(key, _Seen(until, means))

    def flush(self) -> bool:
        """Bring the histograms up to date, every HISTOGRAM_DAYS days and at the end."""
        ends = self.now_s >= self.scenario.horizon.seconds
        if not ends and self.now_s % (HISTOGRAM_DAYS * SECONDS_PER_DAY):
            return False
        for lane, point, wait in np.argwhere(self.histograms).tolist():
            count = int(self.histograms[lane, point, wait])
            self.book.bins[lane] += _whole(self._seen_by(lane, point, wait).until, count)
        self.histograms[:] = 0
        return True

    def _empty(self, engines: Ints, how: str) -> None:
        """Engines go: their share of what is inside the pool goes back to the router."""
        pool = int(self.pool_of[engines[0]])
        was = int(self.traffic.opens[pool])
        for e in engines:
            close_engine(self.router, self.traffic, int(e))
            self.traffic.loads_s[e] = np.inf
            self.powered[e] = False
        now = int(self.traffic.opens[pool])
        if was == now:
            return
        lanes = self.router.lane[:, pool]
        for lane in lanes[lanes >= 0]:
            for store in (self.fluid.inside, self.fluid.backlog):
                back = int(store[lane] * (was - now) // was)
                store[lane] -= back
                self.book.lanes[LANE_RETURNED, lane] += back
                self.fluid.held[self.lane_tenant[lane]] += back
                self.sent_back += back
                if store is self.fluid.inside and how == "preempt":
                    tokens = self.surfaces[pool].prompt.mean() + self.surfaces[pool].output.mean()
                    self.book.lanes[LANE_LOST_TOKENS, lane] += round(back * tokens)

    def _beyond_idle_j(self, t_s: float) -> Floats:
        return self.beyond_j

    def _inside(self) -> tuple[Floats, Floats]:
        """A pool's requests are shared out by powered engines, or by all where none has power."""
        count, fluid = len(self.pools), self.fluid
        powered = self.powered | (self._powered_engines() == 0)[self.pool_of]
        engines = np.maximum(np.bincount(self.pool_of[powered], minlength=count), 1)
        by_group = []
        for requests in (fluid.inside + fluid.backlog, fluid.backlog):
            each = np.bincount(self.lane_pool, requests, count) / engines
            shared = np.bincount(self.group_of, each[self.pool_of] * powered, len(self.load_s))
            by_group.append(shared.astype(np.float64))
        return by_group[0], by_group[1]

    def _recent_ttft_s(self) -> Floats:
        return np.full(len(self.scenario.tenants), np.nan)  # its histograms come later

    def present(self) -> Present:
        """Who is where, by Little's law."""
        return Present(self.fluid.backlog.copy(), self.fluid.inside.copy(), self.fluid.held.copy())


def _until(values: Floats) -> Floats:
    """Share of the values up to each bin (BINS,)."""
    place = np.log(np.maximum(values, FIRST_BIN_S) / FIRST_BIN_S) / BIN_LOG
    found = np.bincount(np.minimum(place.astype(np.int64), BINS - 1), minlength=BINS)
    return np.asarray(np.cumsum(found) / max(len(values), 1))


def _whole(until: Floats, count: int) -> Ints:
    """Requests of each bin (metric, BINS), whole numbers that sum to the count."""
    below: Ints = np.rint(until * count).astype(np.int64)
    below[:, 1:] -= below[:, :-1].copy()
    return below

"""Serving as a fluid: requests are counted, and latencies are read from measured surfaces.

The exact kernel measures the surfaces, with each tenant's own bursts, lengths and patience and the
engines' queue limit. Approximations:

- the load is steady within a step, and the requests that engines hold follow it at once; beyond
  saturation they change only as fast as the excess arrives (all above what QUICK_TO of saturation
  holds) or is served, and requests served meanwhile wait as long as under the load at which engines
  always hold as many;
- a pool's tenants keep the shares of their mean rates, each sends to a pool in proportion to the
  number of its engines, and a client retries at the same pool;
- all engines of a pool are equal to its first, and open; engines that are switched off return their
  share of the pool's requests; an engine holds at most MOST_QUEUE requests.

Histograms are written every HISTOGRAM_DAYS days. The README has the errors.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from sim.kernels.ahead import Task
from sim.kernels.bins import BIN_LOG, BINS, FIRST_BIN_S
from sim.kernels.fluid import (
    LANE_CURVES,
    NOW_BUSY,
    NOW_ROWS,
    NOW_W,
    PARTS,
    POOL_CURVES,
    Fluid,
    Surfaces,
    flow,
)
from sim.kernels.jit import Entry, bind, entry
from sim.kernels.switching import close_engine
from sim.kernels.traffic import (
    BACKOFF_S,
    BALANCING,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_LOST_TOKENS,
    LANE_RETURNED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    PATIENCE_S,
    QUEUE_LIMIT,
    RETRIES,
    SLO_TPOT_S,
    SLO_TTFT_S,
)
from sim.serving.mix import NOT_RECORDED, Recorded, Stream
from sim.serving.surface import (
    LOADS,
    MOST_QUEUE,
    REHEARSAL,
    Measured,
    Surface,
    measured,
    surfaces,
)
from sim.serving_fleet.exact import Present, ServingFleet
from sim.types import Floats, Ints, OnProgress
from sim.units import SECONDS_PER_DAY

MEAN_ROWS: Final = (LANE_TOKENS_IN, LANE_TOKENS_OUT, LANE_GOOD, LANE_GOOD_TOKENS)
HISTOGRAM_DAYS: Final = 30
QUICK_TO: Final = 0.95  # share of saturation
# Where 1 - load is below this share of the coefficient of variation of the gaps, and up to
# DOUBTFUL_TO, tails of latencies are off by more than 10 % (`experiments/fluid_error.py --near`).
DOUBTFUL_PER_CV: Final = 0.05
DOUBTFUL_TO: Final = 1.05
WORTH_A_WORD: Final = 0.01  # share of a pool's requests that is worth a warning
BLANK: Final = Surfaces(  # empty, with the types of surfaces
    loads=LOADS,
    quick=np.zeros(1, dtype=np.int64),
    saturation_rps=np.zeros(1),
    peak_rps=np.zeros(1),
    pool=np.zeros((1, 1, 1)),
    lane=np.zeros((1, 1, 1)),
)


class _Seen(NamedTuple):
    until: Floats  # (metric, BINS) cumulative share of requests, in the order TTFT, TPOT, E2E
    means: Floats  # (4,) per request, in the order of MEAN_ROWS


class FluidServingFleet(ServingFleet):
    """A `ServingFleet` with counts in place of single requests.

    Call `measure` before anything is served.
    """

    surfaces: list[Surface]  # (pool,)
    means: Floats  # (lane, load, MEAN_ROWS) per served request

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        pools, lanes = len(self.pools), len(self.lanes)
        self.lane_pool = np.array(
            [self.pools.index((x.site, x.model)) for x in self.lanes], dtype=np.int64
        )
        self.beyond_j = np.zeros(len(self.group_of))
        self.busy_s = np.zeros(len(self.group_of))
        self.known: dict[tuple[int, int], _Seen] = {}  # by lane and grid point
        self.histograms = np.zeros((lanes, len(LOADS)), dtype=np.int64)
        self.by_load = np.zeros((lanes, len(LOADS)), dtype=np.int64)  # served since the start
        self.sums = np.zeros((len(MEAN_ROWS), lanes))  # tokens, and requests within targets
        self.fluid = Fluid(
            inside=np.zeros(lanes, dtype=np.int64),
            backlog=np.zeros(lanes, dtype=np.int64),
            held=np.zeros(len(self.scenario.tenants), dtype=np.int64),
            weight=self.traffic.weight,
            served=np.zeros((lanes, len(LOADS)), dtype=np.int64),
            parts=np.zeros((PARTS, lanes)),
            now=np.full((NOW_ROWS, pools), np.nan),
        )
        self.arrived = np.zeros(len(self.scenario.tenants), dtype=np.int64)
        self.open_s = np.zeros(pools)
        self._scratch = np.zeros(lanes, dtype=np.int64)
        self._wanted = [*map(self._measured, range(pools))]
        self._flow: Callable[[float], None] | None = None  # bound when serving begins

    def measure(self, progress: OnProgress | None = None) -> None:
        """Measure the pools' engines, or read them from the cache; `progress` as in `surfaces`."""
        self.surfaces = surfaces(self._wanted, progress)
        shape = (len(self.lanes), len(LOADS), len(MEAN_ROWS))
        found = [self._seen_by(x, k).means for x in range(shape[0]) for k in range(shape[1])]
        self.means = np.array(found).reshape(shape)

    def entries(self) -> list[Entry]:
        """Kernels to compile before serving begins."""
        return [entry(flow, *self._arrays(BLANK), floats=1)]

    def rehearsals(self) -> list[Task]:
        """Compile tasks of measuring, if anything is to be measured."""
        return [REHEARSAL] if any(not one.file().is_file() for one in self._wanted) else []

    def _arrays(self, curves: Surfaces) -> tuple[Any, ...]:
        """Arguments of the kernel."""
        tables = (self.router, curves, self.fluid, self.tally)
        return (*tables, self.arrived, self._scratch, self.open_s)

    def _measured(self, pool: int) -> Measured:
        """Measurement of a pool's first engine for its possible tenants; others scale to it."""
        first, end = (int(x) for x in self.router.pool_first[pool : pool + 2])
        mix = [self._stream(t, pool) for t in self._tenants_of(pool)]
        mix = mix or [Stream(1.0, 1000.0, 1.0, 200.0, 1.0, 16_384)]
        rules = self.router.rules
        return measured(
            self.kinds[int(self.engines.kind[first])],
            mix,
            end - first,
            int(rules[BALANCING]),
            int(rules[QUEUE_LIMIT]),
        )

    def _tenants_of(self, pool: int) -> list[int]:
        return np.flatnonzero(self.router.lane[:, pool] >= 0).tolist()

    def _stream(self, tenant: int, pool: int) -> Stream:
        """The requests of a tenant to a pool when all engines that it may use are open."""
        t, terms = self.scenario.tenants[tenant], self.router.terms[tenant]
        engines = np.diff(self.router.pool_first)
        kept = float(engines[pool] / engines[self.router.lane[tenant] >= 0].sum())
        recorded = NOT_RECORDED
        trace = self.scenario.traces.get(t.trace or "")
        if trace is not None:
            blank = np.zeros(0, dtype=np.int64)
            recorded = Recorded(
                trace.arrival_s if t.arrivals == "trace" else np.zeros(0),
                trace.prompt_tokens if t.empirical else blank,
                trace.output_tokens if t.empirical else blank,
            )
        return Stream(
            weight=max(t.rate_rps, 1e-9) * kept,
            prompt_mean=t.prompt_mean_tokens,
            prompt_cv=t.prompt_cv,
            output_mean=t.output_mean_tokens,
            output_cv=t.output_cv,
            longest=t.max_tokens,
            cv=t.cv if t.arrivals == "gamma" else 1.0,
            kept=kept,
            prefix_share=t.prefix_share,
            patience_s=float(terms[PATIENCE_S]),
            retries=int(terms[RETRIES]),
            backoff_s=float(terms[BACKOFF_S]),
            recorded=recorded,
        )

    def _stacked(self) -> Surfaces:
        """The surfaces as arrays for the kernel."""
        pools, lanes = len(self.pools), len(self.lanes)
        of_pool = [
            (np.maximum.accumulate(s.outstanding), s.waiting, s.power_w, s.busy)
            for s in self.surfaces
        ]
        of_lane = [
            (*(LOADS * x[:, i] for x in (s.refused, s.given_up, s.retries)), s.stay_s[:, i])
            for s, i in map(self._of_lane, range(lanes))
        ]
        return Surfaces(
            loads=LOADS,
            quick=np.array([np.flatnonzero(LOADS <= QUICK_TO)[-1]], dtype=np.int64),
            saturation_rps=np.array([s.saturation_rps for s in self.surfaces]),
            peak_rps=np.array([s.peak_rps for s in self.surfaces]),
            pool=np.array(of_pool).reshape(pools, POOL_CURVES, -1).transpose(1, 0, 2).copy(),
            lane=np.array(of_lane).reshape(lanes, LANE_CURVES, -1).transpose(1, 0, 2).copy(),
        )

    def _of_lane(self, lane: int) -> tuple[Surface, int]:
        """The surface of a lane's pool, and the index of the lane's stream in it."""
        tenant, site, model = self.lanes[lane]
        pool = self.pools.index((site, model))
        return self.surfaces[pool], self._tenants_of(pool).index(tenant)

    def _load_day(self, number: int) -> None:
        self.day = number  # its requests are not drawn

    def _serve(self, end_s: float) -> None:
        self.arrived[:] = self.source.counts(int(self.now_s), int(end_s))
        self.open_s[:] = self._open_engine_s(end_s)
        if self._flow is None:
            self._flow = bind(flow, *self._arrays(self._stacked()), floats=1)
        self._flow(end_s - self.now_s)
        draws_w = np.maximum(self.fluid.now[NOW_W][self.pool_of] - self.idle_w, 0.0)
        opens = np.maximum(self._powered_engines(), 1)[self.pool_of]
        each_s = np.where(self.powered, self.open_s[self.pool_of] / opens, 0.0)
        self.beyond_j += np.nan_to_num(draws_w * each_s)
        self.busy_s += np.nan_to_num(self.fluid.now[NOW_BUSY][self.pool_of] * each_s)
        if end_s % self.scenario.horizon.record_s == 0:
            self._tally()

    def _powered_engines(self) -> Ints:
        return np.bincount(self.pool_of[self.powered], minlength=len(self.pools))

    def _tally(self) -> None:
        """Add tokens and targets met of served requests; histograms follow in `flush`."""
        served = self.fluid.served
        self.sums += np.einsum("lp,lpr->rl", served, self.means)
        self.tally.lanes[list(MEAN_ROWS)] = np.rint(self.sums).astype(np.int64)
        self.histograms += served
        self.by_load += served
        served[:] = 0

    def _open_engine_s(self, end_s: float) -> Floats:
        """Open engine-seconds in the interval (pool,); loading engines count once loaded."""
        traffic, found = self.traffic, np.zeros(len(self.pools))
        found += traffic.opens * (end_s - self.now_s)
        for e in np.flatnonzero(traffic.loads_s < end_s):
            pool = self.pool_of[e]
            found[pool] += end_s - max(traffic.loads_s[e], self.now_s)
            traffic.open[self.router.pool_first[pool] + traffic.opens[pool]] = e
            traffic.opens[pool] += 1
            traffic.loads_s[e] = np.inf
        return found

    def _seen_by(self, lane: int, point: int) -> _Seen:
        """Latencies and means of a lane at a grid point, as its clients see them."""
        key = (lane, point)
        if key in self.known:
            return self.known[key]
        tenant, site, _ = self.lanes[lane]
        made, i = self._of_lane(lane)
        mine = slice(int(made.first[i]), int(made.first[i + 1]))
        terms = self.router.terms[tenant]
        more_s = 2.0 * float(self.latency_s[tenant, site])
        ttft_s, e2e_s = made.ttft_s[point, mine] + more_s, made.e2e_s[point, mine] + more_s
        tpot_s, tokens = made.tpot_s[point, mine], made.tokens[point, mine]
        kept = (ttft_s <= terms[SLO_TTFT_S]) & (tpot_s <= terms[SLO_TPOT_S])
        prompt, output = made.prompt[point, i], made.output[point, i]
        of_tokens = float((kept * tokens).sum() / max(tokens.sum(), 1))
        means = np.array([prompt, output, kept.mean(), of_tokens * output])
        until = np.array([_until(x) for x in (ttft_s, tpot_s[tokens > 1], e2e_s)])
        return self.known.setdefault(key, _Seen(until, means))

    def flush(self) -> bool:
        """Update the histograms, every HISTOGRAM_DAYS days and at the end."""
        ends = self.now_s >= self.scenario.horizon.seconds
        if not ends and self.now_s % (HISTOGRAM_DAYS * SECONDS_PER_DAY):
            return False
        for lane, point in np.argwhere(self.histograms).tolist():
            count = int(self.histograms[lane, point])
            self.tally.bins[lane] += _whole(self._seen_by(lane, point).until, count)
        self.histograms[:] = 0
        return True

    def _empty(self, engines: Ints, how: str) -> None:
        """Close engines; their share of the pool's requests goes back to the router."""
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
                self.tally.lanes[LANE_RETURNED, lane] += back
                self.fluid.held[self.lane_tenant[lane]] += back
                self.sent_back += back
                if store is self.fluid.inside and how == "preempt":
                    tokens = self.means[lane, 0, :2].sum()
                    self.tally.lanes[LANE_LOST_TOKENS, lane] += round(back * tokens)

    def _beyond_idle_j(self, t_s: float) -> Floats:
        return self.beyond_j

    def _busy_s(self) -> Floats:
        return self.busy_s

    def _inside(self) -> tuple[Floats, Floats]:
        """Requests of each pool, split over powered engines, or over all where none has power."""
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
        return np.full(len(self.scenario.tenants), np.nan)  # histograms are written later

    def present(self) -> Present:
        """Where requests are, by Little's law."""
        return Present(self.fluid.backlog.copy(), self.fluid.inside.copy(), self.fluid.held.copy())

    def doubts(self) -> list[tuple[str, str, str]]:
        """Where the fluid is unreliable: the pool, the observation, and the size of the error."""
        found = []
        for p, (site, model) in enumerate(self.pools):
            served = self.by_load[self.lane_pool == p].sum(axis=0)
            cv = self._cv(p)
            least = max(1.0 - DOUBTFUL_PER_CV * cv, float(LOADS[0]))
            inside = (least < LOADS) & (LOADS < DOUBTFUL_TO)
            share = float(served[inside].sum() / max(served.sum(), 1))
            if share < WORTH_A_WORD:
                continue
            where = f"{share:.0%} of its requests at {least:.0%} to {DOUBTFUL_TO:.0%} of saturation"
            what = (
                f"with gaps of coefficient {cv:.2g} there the 95th and 99th percentiles of a fluid "
                "are off by more than 10 %, the SLO by points, the median near 100 %; counts, "
                "tokens and energy are not: README, or demand.fidelity=exact"
            )
            found.append((f"pool {model} at {self.site_names[site]}", where, what))
        limit = int(self.router.rules[QUEUE_LIMIT])
        if limit > MOST_QUEUE and self.pools:
            what = f"an engine of a fluid refuses beyond {MOST_QUEUE} requests"
            found.append(("demand.queue_limit", f"{limit}", what))
        return found

    def _cv(self, pool: int) -> float:
        """Coefficient of variation of a pool's gaps, as counts over long times show it."""
        mix = [self._stream(t, pool) for t in self._tenants_of(pool)]
        weights = np.array([m.weight for m in mix])
        if not weights.sum():
            return 1.0
        squares = [m.kept * m.gap_cv() ** 2 + 1.0 - m.kept for m in mix]
        return float(np.sqrt(np.average(squares, weights=weights)))


def _until(values: Floats) -> Floats:
    """Cumulative share of the values up to each bin (BINS,)."""
    place = np.log(np.maximum(values, FIRST_BIN_S) / FIRST_BIN_S) / BIN_LOG
    found = np.bincount(np.minimum(place.astype(np.int64), BINS - 1), minlength=BINS)
    return np.asarray(np.cumsum(found) / max(len(values), 1))


def _whole(until: Floats, count: int) -> Ints:
    """Requests in each bin (metric, BINS), as integers that sum to the count."""
    below: Ints = np.rint(until * count).astype(np.int64)
    below[:, 1:] -= below[:, :-1].copy()
    return below

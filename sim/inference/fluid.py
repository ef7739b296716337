"""Inference as a fluid: requests are counted, latencies are read from measured surfaces.

What is approximated, by name: engines of a pool share its load evenly and as Poisson arrivals; a
step is stationary (Little's law tells who is inside at its end); a backlog waits in one line for
each pool; clients that are refused do not come back; switched-off engines give back what Little's
law has inside them; lengths are those of the pool's mix of tenants. The exact kernel measures the
surfaces, so below saturation the error is small: the README has the table.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from sim.inference.operations import Inference, Present
from sim.kernels.arrays import Floats, Ints
from sim.kernels.routing import (
    ARRIVED,
    BIN_LOG,
    BINS,
    EXPIRED,
    FIRST_BIN_S,
    LANE_EXPIRED,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_LOST_TOKENS,
    LANE_REJECTED,
    LANE_RETURNED,
    LANE_SENT,
    LANE_SERVED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    PATIENCE_S,
    REJECTED,
    SERVED,
    SLO_TPOT_S,
    SLO_TTFT_S,
    close_engine,
)
from sim.serving.surface import Lengths, Surface, surface

MEAN_ROWS: Final = (LANE_TOKENS_IN, LANE_TOKENS_OUT, LANE_GOOD, LANE_GOOD_TOKENS)


class _Seen(NamedTuple):
    until: Floats  # (metric, BINS) share of requests up to a bin, in the order TTFT, TPOT, E2E
    means: tuple[float, ...]  # of a request, in the order of MEAN_ROWS


class FluidInference(Inference):
    """The operations of `Inference`, with counts in place of requests."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        count = len(self.pools)
        self.surfaces: list[Surface] = [self._surface(p) for p in range(count)]
        self.inside = np.zeros(len(self.lanes), dtype=np.int64)
        self.backlog = np.zeros(len(self.lanes), dtype=np.int64)
        self.held = np.zeros(len(self.scenario.tenants), dtype=np.int64)
        self._gone_before = np.zeros(len(self.lanes), dtype=np.int64)
        self.beyond_j = np.zeros(len(self.group_of))
        self.known: dict[tuple[int, int], _Seen] = {}  # by lane and grid point
        self.pending: dict[tuple[int, int], int] = {}  # requests not yet in the histograms

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
        return surface(engine, mix or [Lengths(1.0, 1000.0, 1.0, 200.0, 1.0, 16_384)])

    def _load_day(self, number: int) -> None:
        self.day = number  # no request of it is drawn

    def _serve(self, end_s: float) -> None:
        seconds = end_s - self.now_s
        arrived = self.source.counts(int(self.now_s), int(end_s))
        self.book.tenants[ARRIVED] += arrived
        open_s = self._open_engine_s(end_s)
        new = self._route(arrived + self.held, open_s)
        for pool in range(len(self.pools)):
            lanes = self.router.lane[:, pool]
            mine = lanes[lanes >= 0]
            if len(mine):
                self._serve_pool(pool, mine, new, seconds, float(open_s[pool]))

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

    def _route(self, asking: Ints, open_s: Floats) -> Ints:
        """New requests of each lane (lane,) by weight and open engines; whole numbers."""
        new = np.zeros(len(self.lanes), dtype=np.int64)
        for t, count in enumerate(asking):
            lane = self.router.lane[t]
            weight = np.where(lane >= 0, self.traffic.weight[t] * open_s, 0.0)
            total = weight.sum()
            if total <= 0.0:
                back = self.held[t]  # what engines gave back stays; what is new is refused
                self.book.tenants[REJECTED, t] += count - back
                continue
            self.held[t] = 0
            shares = np.rint(np.cumsum(weight) / total * count).astype(np.int64)
            new[lane[lane >= 0]] = np.diff(shares, prepend=0)[lane >= 0]
        self.book.lanes[LANE_SENT] += new
        return new

    def _serve_pool(self, pool: int, lanes: Ints, new: Ints, seconds: float, open_s: float) -> None:
        made, book = self.surfaces[pool], self.book
        waiting = self.backlog[lanes] + new[lanes]
        capacity = made.saturation_rps * open_s
        offered = int(waiting.sum())
        load = offered / capacity if capacity > 0.0 else np.inf
        left = np.zeros(len(lanes), dtype=np.int64)
        if offered > capacity:
            left = np.floor(waiting * (1.0 - capacity / offered)).astype(np.int64)
        left = self._impatient(pool, lanes, left, open_s, seconds)
        low, high, share = made.at(load)
        mean_s = (1 - share) * made.e2e_s[low].mean() + share * made.e2e_s[high].mean()
        gone = book.lanes[[LANE_REJECTED, LANE_EXPIRED]][:, lanes].sum(axis=0)
        gone -= self._gone_before[lanes]
        started = waiting - left - gone
        self._gone_before[lanes] += gone
        inside = np.rint(started / seconds * mean_s).astype(np.int64) if open_s > 0.0 else 0
        served = np.maximum(self.inside[lanes] + started - inside, 0)
        self.inside[lanes] += started - served
        self.backlog[lanes] = left
        wait_s = (waiting.sum() / 2 if load > 1.0 else 0.0) / max(capacity, 1e-9) * seconds
        for lane, count in zip(lanes, served, strict=True):
            self._book(pool, int(lane), int(count), load, float(wait_s))
        engines = np.flatnonzero((self.pool_of == pool) & self.powered)
        if len(engines):
            power_w = (1 - share) * made.power_w[low] + share * made.power_w[high]
            busy = (power_w - self.idle_w[engines]) * open_s / len(engines)
            self.beyond_j[engines] += np.maximum(busy, 0.0) if offered else 0.0

    def _impatient(self, pool: int, lanes: Ints, left: Ints, open_s: float, seconds: float) -> Ints:
        """What of a backlog stays: engines hold so many, clients wait so long."""
        tenant = self.lane_tenant[lanes]
        engines = open_s / seconds
        most = self.scenario.demand.queue_limit * engines
        if left.sum() > most:
            stays = np.floor(left * (most / left.sum())).astype(np.int64)
            self.book.lanes[LANE_REJECTED, lanes] += left - stays
            np.add.at(self.book.tenants[REJECTED], tenant, left - stays)
            left = stays
        per_s = self.surfaces[pool].saturation_rps * engines
        wait_s = left.sum() / per_s if per_s > 0.0 else np.inf
        patience_s = self.router.terms[tenant, PATIENCE_S]
        if left.sum() and (wait_s > patience_s).any():
            stays = np.where(wait_s > patience_s, np.floor(left * patience_s / wait_s), left)
            stays = stays.astype(np.int64)
            self.book.lanes[LANE_EXPIRED, lanes] += left - stays
            np.add.at(self.book.tenants[EXPIRED], tenant, left - stays)
            left = stays
        return left

    def _book(self, pool: int, lane: int, count: int, load: float, wait_s: float) -> None:
        """Spread requests over the samples of the two grid points about the load."""
        low, high, share = self.surfaces[pool].at(load)
        upper = round(count * share)
        book = self.book
        for point, whole in ((low, count - upper), (high, upper)):
            if whole == 0:
                continue
            if wait_s > 0.0:
                seen = self._seen_by(pool, lane, point, wait_s)
                book.bins[lane] += _whole(seen.until, whole)
            else:
                key = (lane, point)
                if key not in self.known:
                    self.known[key] = self._seen_by(pool, lane, point, 0.0)
                seen = self.known[key]
                self.pending[key] = self.pending.get(key, 0) + whole
            for row, mean in zip(MEAN_ROWS, seen.means, strict=True):
                book.lanes[row, lane] += round(mean * whole)
        book.lanes[LANE_SERVED, lane] += count
        book.tenants[SERVED, int(self.lane_tenant[lane])] += count

    def _seen_by(self, pool: int, lane: int, point: int, wait_s: float) -> _Seen:
        """What a client of a lane sees at a grid point, after a wait in the backlog [s]."""
        made, tenant = self.surfaces[pool], int(self.lane_tenant[lane])
        more_s = 2.0 * float(self.router.latency_s[tenant, pool]) + wait_s
        ttft, tpot, e2e = (
            made.ttft_s[point] + more_s,
            made.tpot_s[point],
            made.e2e_s[point] + more_s,
        )
        terms, output = self.router.terms[tenant], made.output[point]
        kept = (ttft <= terms[SLO_TTFT_S]) & (tpot <= terms[SLO_TPOT_S])
        means = (made.prompt[point], output, kept, kept * output)
        until = [_until(x) for x in (ttft, tpot[output > 1], e2e)]
        return _Seen(np.array(until), tuple(float(np.mean(m)) for m in means))

    def flush(self) -> None:
        """Histograms of what was served without a backlog."""
        for key, whole in self.pending.items():
            self.book.bins[key[0]] += _whole(self.known[key].until, whole)
        self.pending.clear()

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
            for store in (self.inside, self.backlog):
                back = int(store[lane] * (was - now) // was)
                store[lane] -= back
                self.book.lanes[LANE_RETURNED, lane] += back
                self.held[self.lane_tenant[lane]] += back
                self.sent_back += back
                if store is self.inside and how == "preempt":
                    tokens = self.surfaces[pool].prompt.mean() + self.surfaces[pool].output.mean()
                    self.book.lanes[LANE_LOST_TOKENS, lane] += round(back * tokens)

    def _beyond_idle_j(self, t_s: float) -> Floats:
        return self.beyond_j

    def present(self) -> Present:
        """Who is where, by Little's law."""
        return Present(self.backlog.copy(), self.inside.copy(), self.held.copy())


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

"""Exact fleet-wide serving: the engines of all serving nodes, their clients, and switching."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import groupby
from typing import Final, NamedTuple, Protocol, TypeVar

import numpy as np

from sim.kernels.ahead import Task
from sim.kernels.answers import collect
from sim.kernels.bins import BINS
from sim.kernels.jit import Entry, bind, entry
from sim.kernels.requests import (
    BUSY,
    CLOCK,
    ENERGY,
    IDLE_W,
    LAST_W,
    OUTSTANDING,
    PREFIX_CACHE,
    RUNNING,
    Engines,
    EngineState,
    Requests,
)
from sim.kernels.routing import route, sum_weights
from sim.kernels.switching import close_engine, forget_engine, present, send_back
from sim.kernels.timers import set_timer
from sim.kernels.traffic import (
    ARRIVED,
    CLIENT_COUNTS,
    CLIENT_TIMES,
    DONE,
    EMPTY,
    EXPIRED,
    LANE_GOOD,
    LANE_ROWS,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    LEAST_OUTSTANDING,
    LOG_COUNTS,
    LOG_TIMES,
    LOGGED,
    MORE_SLOTS,
    NEXT_REQUEST,
    POWER_OF_TWO,
    PREFIX_AWARE,
    REJECTED,
    ROUND_ROBIN,
    SERVED,
    TENANT_ROWS,
    TIMERS,
    TTFT,
    Clients,
    Day,
    Router,
    RouterState,
    Service,
    ServingTally,
)
from sim.policy import ServingView
from sim.scenario.catalogue.serving import served
from sim.scenario.scenario import Scenario
from sim.serving.engine import compile_engines, fresh_requests, fresh_state, longer
from sim.serving_fleet.histograms import percentile_s
from sim.serving_fleet.work import Work
from sim.types import Bools, Floats, Ints, OnProgress
from sim.units import SECONDS_PER_DAY

FIRST_SLOTS: Final = 4096
WAYS: Final = {
    "round-robin": ROUND_ROBIN,
    "least-outstanding": LEAST_OUTSTANDING,
    "power-of-two": POWER_OF_TWO,
    "prefix-aware": PREFIX_AWARE,
}


class RequestSource(Protocol):
    """Source of requests: `sim.world.demand.Requests`."""

    def day(self, number: int) -> Day:
        """All requests of a day of the run, in order of time."""
        ...

    def counts(self, from_s: int, to_s: int) -> Ints:
        """Number of requests of each tenant in an interval (tenant,)."""
        ...


class Lane(NamedTuple):
    """A tenant at a pool."""

    tenant: int
    site: int
    model: str


class Present(NamedTuple):
    """Requests that are neither served nor given up."""

    waiting: Ints  # (lane,) in transit or in a queue
    running: Ints  # (lane,)
    held: Ints  # (tenant,) at the router, or about to retry


Made = TypeVar("Made")


class _Calls(NamedTuple):
    route: Callable[[float], int]
    collect: Callable[[float], None]


class ServingFleet:
    """All serving nodes of the fleet. Shapes: `group` row of gpus.csv, `engine`, `lane`, `pool`."""

    def __init__(
        self,
        scenario: Scenario,
        latency_s: dict[tuple[str, str], float],
        source: RequestSource,
        keep_all: bool = False,
        course: Floats | None = None,
    ) -> None:
        """`course` (day, tenant): prices relative to those at the start; None: constant."""
        self.scenario = scenario
        self.source = source
        self.keep_all = keep_all
        self.site_names = [s.name for s in scenario.sites]
        self._place(scenario)
        self._lanes(scenario, latency_s)
        self.now_s = 0.0
        self.day = -1
        self.requests_of_day: Day
        self.powered = np.ones(len(self.group_of), dtype=np.bool_)
        self.draining = np.zeros(len(self.group_of), dtype=np.bool_)
        self.extra_j = np.zeros(len(self.group_of))
        self.settled = np.zeros((LANE_ROWS, len(self.lanes)), dtype=np.int64)
        self.course = course
        self.index: Floats = np.ones(len(self.lanes))
        self.day_usd: Floats = np.zeros(len(self.lanes))  # revenue of the day, for its credits
        self.billed = self.settled.copy()
        self.billed_tenants = np.zeros((TENANT_ROWS, len(scenario.tenants)), dtype=np.int64)
        self.log: list[tuple[Ints, Floats]] = []
        self.sent_back = 0
        self.forgotten_tokens = np.zeros(len(self.group_of), dtype=np.int64)  # at switch-off
        self._calls: _Calls | None = None  # bound when serving begins
        self._seen = np.zeros(len(scenario.tenants))
        self._seen_bins = np.zeros((len(self.lanes), BINS), dtype=np.int64)
        self.seats = self._seats()
        self.work = self._work()
        self._spent_j = np.zeros(len(scenario.gpus))
        self._load_day(0)

    # Construction.

    def _place(self, scenario: Scenario) -> None:
        """Create engines in order of pool, row of gpus.csv and node."""
        rows = [(i, g) for i, g in enumerate(scenario.gpus) if g.state == "serving"]
        rows.sort(key=lambda row: (self.site_names.index(row[1].site), row[1].model, row[0]))
        made = {
            i: served(g.model, g.gpu, g.tp, scenario.own, g.host_s, g.pp, g.ep) for i, g in rows
        }
        if scenario.demand.prefix_cache:
            for i, m in made.items():
                made[i] = m._replace(engine=replace(m.engine, prefix_cache=True))
        self.kinds = list(dict.fromkeys(m.engine for m in made.values()))
        group_of, node_of, pool_of, kind = [], [], [], []
        self.pools: list[tuple[int, str]] = []
        self.load_s = np.zeros(len(scenario.gpus))
        self.kv_bytes = np.zeros(len(scenario.gpus))
        self.nodes: dict[int, Bools] = {}  # by group: which nodes are healthy
        self.on: dict[int, Bools] = {}
        self.healthy: dict[int, int] = {}  # by group: number of healthy nodes
        self.running: dict[int, int] = {}
        for (site, model), members in groupby(rows, key=lambda row: (row[1].site, row[1].model)):
            self.pools.append((self.site_names.index(site), model))
            for i, g in members:
                m = made[i]
                replicas = g.gpus_per_node // m.tp
                self.load_s[i], self.kv_bytes[i] = m.load_s, m.kv_bytes_per_token
                self.nodes[i] = np.ones(g.nodes, dtype=np.bool_)
                self.on[i] = np.ones(g.nodes, dtype=np.bool_)
                self.healthy[i] = self.running[i] = g.nodes
                group_of += [i] * (g.nodes * replicas)
                node_of += list(np.repeat(np.arange(g.nodes), replicas))
                pool_of += [len(self.pools) - 1] * (g.nodes * replicas)
                kind += [self.kinds.index(m.engine)] * (g.nodes * replicas)
        self.group_of = np.array(group_of, dtype=np.int64)
        self.node_of = np.array(node_of, dtype=np.int64)
        self.pool_of = np.array(pool_of, dtype=np.int64)
        self.engines: Engines = compile_engines(self.kinds, np.array(kind, dtype=np.int64))
        self.idle_w = self.engines.power[self.engines.kind, IDLE_W]

    def _lanes(self, scenario: Scenario, latency_s: dict[tuple[str, str], float]) -> None:
        tenants, pools, count = scenario.tenants, self.pools, len(self.group_of)
        lane = np.full((len(tenants), len(pools)), -1, dtype=np.int64)
        away_s = np.zeros((len(tenants), len(pools)))
        self.lanes: list[Lane] = []
        for t, tenant in enumerate(tenants):
            for p, (s, model) in enumerate(pools):
                site = scenario.sites[s]
                allowed = not tenant.residency or site.country in tenant.residency.split()
                away = latency_s.get((tenant.region, site.name))
                if model == tenant.model and allowed and away is not None:
                    lane[t, p], away_s[t, p] = len(self.lanes), away
                    self.lanes.append(Lane(t, s, model))
        self.latency_s = np.full((len(tenants), len(self.site_names)), np.nan)
        for x in self.lanes:
            away = latency_s[tenants[x.tenant].region, self.site_names[x.site]]
            self.latency_s[x.tenant, x.site] = away
        self.latency_s.flags.writeable = False  # policies see it
        self.lane_site = np.array([x.site for x in self.lanes], dtype=np.int64)
        self.lane_tenant = np.array([x.tenant for x in self.lanes], dtype=np.int64)
        price = [(x.usd_per_mtok_in / 1e6, x.usd_per_mtok_out / 1e6) for x in tenants]
        price_usd = np.array(price).reshape(-1, 2) * scenario.what_if.gpu_price_factor
        self.lane_usd = price_usd[self.lane_tenant]
        demand = scenario.demand
        terms = [
            (
                x.patience_s or np.inf,
                x.retries,
                x.backoff_s,
                x.slo_ttft_s,
                x.slo_tpot_s,
                demand.hold_s,
            )
            for x in tenants
        ]
        first = np.searchsorted(self.pool_of, np.arange(len(pools) + 1)).astype(np.int64)
        self.router = Router(
            terms=np.array(terms, dtype=np.float64).reshape(-1, 6),
            lane=lane,
            latency_s=away_s,
            pool_first=first,
            pool_of=self.pool_of,
            rules=np.array([WAYS[demand.balancing], demand.queue_limit]),
        )
        slots = FIRST_SLOTS
        self.state: EngineState = fresh_state(self.engines, slots)
        self.cached: Bools = self.engines.size[self.engines.kind, PREFIX_CACHE] != 0
        prompts = np.tile([-1, 0], (max(len(tenants), 1), 1))  # the tenants' system prompts
        self.requests: Requests = fresh_requests(slots, prompts if self.cached.any() else None)
        self.clients = Clients(
            np.zeros((slots, CLIENT_COUNTS), np.int64), np.zeros((slots, CLIENT_TIMES))
        )
        marks = np.zeros(5, dtype=np.int64)
        marks[EMPTY] = slots
        self.traffic = RouterState(
            weight=(lane >= 0).astype(np.float64),
            sums=np.zeros(lane.shape),
            open=np.arange(count),
            opens=np.diff(first),
            turn=np.zeros(len(pools), dtype=np.int64),
            loads_s=np.full(count, np.inf),
            timer_s=np.zeros(2 * slots),
            timer=np.zeros(2 * slots, dtype=np.int64),
            idle=np.arange(slots),
            marks=marks,
        )
        rows = slots if self.keep_all else 0
        self.tally = ServingTally(
            # column-major: values used together are adjacent
            lanes=np.zeros((LANE_ROWS, len(self.lanes)), dtype=np.int64, order="F"),
            tenants=np.zeros((TENANT_ROWS, len(tenants)), dtype=np.int64, order="F"),
            bins=np.zeros((len(self.lanes), 3, BINS), dtype=np.int64),
            log_counts=np.zeros((rows, LOG_COUNTS), dtype=np.int64),
            log_times=np.zeros((rows, LOG_TIMES)),
        )
        self.state.times[:, CLOCK] = 0.0
        sum_weights(self.router, self.traffic)

    def _seats(self) -> Floats:
        """Requests that a node holds at once (group,), by sequences or by KV of mean requests."""
        tenants = self.scenario.tenants
        tokens = np.array([t.prompt_mean_tokens + t.output_mean_tokens for t in tenants])
        rate = np.array([t.rate_rps for t in tenants])
        found = np.zeros(len(self.load_s))
        for e, (group, pool) in enumerate(zip(self.group_of, self.pool_of, strict=True)):
            if self.node_of[e]:
                continue  # its other nodes are equal
            kind = self.kinds[int(self.engines.kind[e])]
            may = (self.router.lane[:, pool] >= 0) & (rate > 0.0)
            mean = float(np.average(tokens[may], weights=rate[may])) if may.any() else 1.0
            found[group] += min(kind.max_seqs, kind.kv_blocks * kind.block_tokens / mean)
        found.flags.writeable = False  # policies see it
        return found

    def _work(self) -> Work:
        nodes = np.array([g.nodes for g in self.scenario.gpus], dtype=np.int64)
        each = np.maximum(np.bincount(self.group_of, minlength=len(nodes)), 1) / nodes.clip(min=1)
        gpus = np.array([g.gpus_per_node for g in self.scenario.gpus]) / each  # GPUs of an engine
        seats = (self.seats / each)[self.group_of]
        return Work(self.group_of, gpus[self.group_of], seats, len(nodes))

    def worked(self) -> Floats:
        """Work of nodes since the last call (WORKED, group); rows as in `serving_fleet.work`."""
        return self.work.since(self._busy_s(), self._inside()[0], self.now_s)

    def _busy_s(self) -> Floats:
        """Time in iterations until now (engine,) [s]."""
        times = self.state.times
        return np.asarray(times[:, BUSY] - np.maximum(times[:, CLOCK] - self.now_s, 0.0))

    def _load_day(self, number: int) -> None:
        self.day = number
        self.requests_of_day = self._told(self.source.day(number))
        self.traffic.marks[NEXT_REQUEST] = 0
        self._calls = None

    def _told(self, day: Day) -> Day:
        """A day whose conversations are appended to those of earlier days, for block caches.

        The tree has two levels: the tenant's system prompt, then a conversation.
        """
        if not self.cached.any() or not len(day.leaf):
            return day._replace(leaf=day.leaf[:0], told=day.told[:0])
        before = self.requests.content
        owner = np.zeros(int(day.leaf.max()) + 1, dtype=np.int64)
        owner[day.leaf] = day.tenant
        system = np.array([t.system_prompt_tokens for t in self.scenario.tenants], dtype=np.int64)
        fresh = np.stack([owner, system[owner]], axis=1)
        self.requests = self.requests._replace(content=np.concatenate([before, fresh]))
        return day._replace(leaf=day.leaf + len(before))

    def entries(self) -> list[Entry]:
        """Kernels to compile before serving begins."""
        return [*self._bound(entry).values()]

    def rehearsals(self) -> list[Task]:
        """Further compile tasks: none, because every request is served exactly."""
        return []

    def measure(self, told: OnProgress | None = None) -> None:
        """Measure surfaces: none are needed, because every request is served exactly."""

    def _bind(self) -> _Calls:
        self._calls = calls = _Calls(**self._bound(bind))
        return calls

    def _bound(self, make: Callable[..., Made]) -> dict[str, Made]:
        """Apply `make` (`bind` or `entry`) to each kernel with the present arrays."""
        service = self._service()
        return {
            "route": make(route, service, self.requests_of_day, floats=1),
            "collect": make(collect, service, floats=1),
        }

    def _service(self) -> Service:
        """The present arrays."""
        return Service(
            self.engines,
            self.state,
            self.requests,
            self.clients,
            self.router,
            self.traffic,
            self.tally,
        )

    # Operation.

    def advance(self, t_s: float) -> Floats:
        """Serve until `t_s` [s]; returns the energy of each group since the last call [J]."""
        while self.now_s < t_s:
            end_s = min(t_s, float((self.day + 1) * SECONDS_PER_DAY))
            self._serve(end_s)
            self.now_s, from_s = end_s, self.now_s
            self.extra_j += np.where(self.powered, self.idle_w * (end_s - from_s), 0.0)
            self.work.run(self.powered, end_s - from_s)
            if end_s == (self.day + 1) * SECONDS_PER_DAY and end_s < self.scenario.horizon.seconds:
                self._load_day(self.day + 1)
        total_j = self.extra_j + self._beyond_idle_j(t_s)
        by_group = np.bincount(self.group_of, total_j, len(self.load_s)).astype(np.float64)
        spent_j: Floats = by_group - self._spent_j
        self._spent_j = by_group
        return spent_j

    def _serve(self, end_s: float) -> None:
        calls = self._calls or self._bind()
        while (code := calls.route(end_s)) != DONE:
            self._grow(code)
            calls = self._bind()
        calls.collect(end_s)
        self._keep_log()

    def _beyond_idle_j(self, t_s: float) -> Floats:
        """Energy of iterations until `t_s` above idle draw (engine,) [J]."""
        times = self.state.times
        straddling_s = np.maximum(times[:, CLOCK] - t_s, 0.0)
        total_j = times[:, ENERGY] - self.idle_w * times[:, BUSY]
        return np.asarray(total_j - (times[:, LAST_W] - self.idle_w) * straddling_s)

    def switch(self, share: Floats) -> Floats:
        """Run these shares of the healthy nodes (group,); return the shares run, in whole nodes."""
        runs = share.copy()
        for group in self.nodes:
            runs[group] = self._switch(group, float(share[group]))
        empty = self.draining & (self.state.counts[:, OUTSTANDING] == 0)
        self.powered[empty] = False  # these have drained
        self._forget(np.flatnonzero(empty))
        self.draining[empty] = False
        return runs

    def _switch(self, group: int, share: float) -> float:
        able = self.healthy[group]
        count = int(share * able + 1e-9)
        if count == self.running[group]:
            return count / max(able, 1)
        healthy, on = self.nodes[group], self.on[group]
        order = np.lexsort((np.arange(len(on)), ~on))  # nodes that already run come first
        wanted = np.zeros(len(on), dtype=np.bool_)
        wanted[order[healthy[order]][:count]] = True
        for node in np.flatnonzero(on & ~wanted):
            self._switch_off(group, int(node), self.scenario.demand.curtailment)
        for node in np.flatnonzero(wanted & ~on):
            self._switch_on(group, int(node))
        self.on[group], self.running[group] = wanted, count
        return count / max(able, 1)

    def fail(self, group: int, node: int) -> None:
        """Fail a node; its requests go back to the router. Call `advance` first."""
        if group not in self.nodes:
            return
        self.nodes[group][node] = False
        self.healthy[group] -= 1
        if self.on[group][node]:
            self.running[group] -= 1
            self.on[group][node] = False
        self._switch_off(group, node, "preempt")  # it may still be draining

    def repair(self, group: int, node: int) -> None:
        """Return a repaired node to the healthy ones; it may be switched on again."""
        if group in self.nodes:
            self.nodes[group][node] = True
            self.healthy[group] += 1

    def _switch_off(self, group: int, node: int, how: str) -> None:
        self._empty(np.flatnonzero((self.group_of == group) & (self.node_of == node)), how)

    def _empty(self, engines: Ints, how: str) -> None:
        """Close engines of one node; their requests are handled as the scenario says."""
        gbit = self.scenario.demand.migration_gbit_per_s
        for e in engines:
            kv_bytes = self.kv_bytes[self.group_of[e]]
            kv_s = kv_bytes * 8.0 / (gbit * 1e9) if how == "migrate" else 0.0
            close_engine(self.router, self.traffic, int(e))
            self.traffic.loads_s[e] = np.inf
            if how == "drain" and self.state.counts[e, OUTSTANDING] > 0:
                self.draining[e] = True
                continue
            self.powered[e] = self.draining[e] = False
            self._forget([e])
            while self.traffic.marks[TIMERS] + self.state.counts[e, OUTSTANDING] + 2 > len(
                self.traffic.timer
            ):
                self._grow(MORE_SLOTS + 1)
            self.sent_back += send_back(self._service(), int(e), self.now_s, float(kv_s))

    def _forget(self, engines: Iterable[int]) -> None:
        """Clear the block caches of engines that lose power, and count the cached tokens lost."""
        for e in engines:
            self.forgotten_tokens[e] += forget_engine(self.engines, self.state, int(e))

    def _switch_on(self, group: int, node: int) -> None:
        for e in np.flatnonzero((self.group_of == group) & (self.node_of == node)):
            load_s = 0.0 if self.draining[e] else float(self.load_s[group])  # weights still there
            self.powered[e], self.draining[e] = True, False
            self.traffic.loads_s[e] = self.now_s + load_s
            if self.traffic.marks[TIMERS] + 2 > len(self.traffic.timer):
                self._grow(MORE_SLOTS + 1)
            set_timer(self.traffic, self.now_s + load_s, -1 - int(e))

    def set_route_weights(self, weight: Floats) -> None:
        """Set the policy's routing weights of an open engine (tenant, site)."""
        sites = np.array([site for site, _ in self.pools], dtype=np.int64)
        self.traffic.weight[:] = np.asarray(weight)[:, sites]
        sum_weights(self.router, self.traffic)

    def _grow(self, code: int) -> None:
        """Double the number of slots, or of timers."""
        traffic = self.traffic
        if code == MORE_SLOTS:
            more = len(traffic.idle)
            self.requests = longer(self.requests, more)
            self.clients = Clients(
                np.concatenate([self.clients.counts, np.zeros((more, CLIENT_COUNTS), np.int64)]),
                np.concatenate([self.clients.times, np.zeros((more, CLIENT_TIMES))]),
            )
            idle = np.concatenate([traffic.idle[: traffic.marks[EMPTY]], np.arange(more, 2 * more)])
            traffic.marks[EMPTY] += more
            self.traffic = traffic._replace(idle=np.resize(idle, 2 * more))
            done = np.concatenate([self.state.done, np.zeros(more, np.int64)])
            self.state = self.state._replace(done=done)
            if self.keep_all:
                self.tally = self.tally._replace(
                    log_counts=np.zeros((2 * more, LOG_COUNTS), np.int64),
                    log_times=np.zeros((2 * more, LOG_TIMES)),
                )
        else:
            self.traffic = traffic._replace(
                timer_s=np.concatenate([traffic.timer_s, np.zeros(len(traffic.timer))]),
                timer=np.concatenate([traffic.timer, np.zeros(len(traffic.timer), np.int64)]),
            )
        self._calls = None

    def _keep_log(self) -> None:
        rows = int(self.traffic.marks[LOGGED])
        if rows:
            tally = self.tally
            self.log.append((tally.log_counts[:rows].copy(), tally.log_times[:rows].copy()))
            self.traffic.marks[LOGGED] = 0

    # Results.

    def price_day(self, number: int) -> None:
        """Put the prices of a day of the run in force."""
        if self.course is not None:
            self.index = self.course[number, self.lane_tenant]

    def revenue_usd(self) -> Floats:
        """Revenue since the last call, at the prices in force (lane,) [USD]."""
        rows = [LANE_TOKENS_IN, LANE_TOKENS_OUT]
        fresh = self.tally.lanes[rows] - self.settled[rows]
        self.settled = self.tally.lanes.copy()
        usd = (fresh.T * self.lane_usd).sum(axis=1) * self.index
        self.day_usd += usd
        return np.asarray(usd)

    def flush(self) -> bool:
        """Update the histograms before they are read; False if nothing has changed."""
        return True

    def begin_histograms(self) -> None:
        """Reset the histograms after they have been read."""
        self.tally.bins[:] = 0
        self._seen_bins[:] = 0

    def doubts(self) -> list[tuple[str, str, str]]:
        """Unreliable results, each as place, observation and consequence."""
        return []

    def present(self) -> Present:
        """Where requests are now."""
        lanes = np.zeros((2, len(self.lanes)), dtype=np.int64)
        held = np.zeros(len(self.scenario.tenants), dtype=np.int64)
        present(self._service(), lanes, held)
        return Present(lanes[0], lanes[1], held)

    def credits_usd(self) -> Floats:
        """Service credits owed for the day that ends (lane,) [USD].

        A day misses the SLO when fewer than `slo_percentile` of the requests that ended in it were
        served within TTFT and TPOT; refused and abandoned ones count as missed.
        """
        tenants = self.scenario.tenants
        lanes, ended = self.tally.lanes - self.billed, self.tally.tenants - self.billed_tenants
        self.billed, self.billed_tenants = self.tally.lanes.copy(), self.tally.tenants.copy()
        good = np.bincount(self.lane_tenant, lanes[LANE_GOOD], len(tenants))
        all_ = ended[[SERVED, REJECTED, EXPIRED]].sum(axis=0)
        promised = np.array([x.slo_percentile for x in tenants]) / 100.0
        back = np.array([x.credit_fraction for x in tenants]) * (good < promised * all_)
        usd, self.day_usd = self.day_usd, np.zeros(len(self.lanes))
        return np.asarray(usd * back[self.lane_tenant])

    def view(self, step_s: float) -> ServingView:
        """What a policy sees of the tenants, `step_s` [s] after the last view."""
        arrived = self.tally.tenants[ARRIVED].astype(np.float64)
        seen, self._seen = self._seen, arrived
        outstanding, waiting = self._inside()
        return ServingView(
            rate_rps=(arrived - seen) / step_s,
            latency_s=self.latency_s,
            outstanding=outstanding,
            waiting=waiting,
            seats=self.seats,
            ttft_s=self._recent_ttft_s(),
        )

    def _inside(self) -> tuple[Floats, Floats]:
        """Requests at engines, and those of them in queues (group,)."""
        has, runs = (self.state.counts[:, row] for row in (OUTSTANDING, RUNNING))
        both = (np.bincount(self.group_of, x, len(self.load_s)) for x in (has, has - runs))
        outstanding, waiting = (np.asarray(x, dtype=np.float64) for x in both)
        return outstanding, waiting

    def _recent_ttft_s(self) -> Floats:
        """P95 of TTFT since the last call (tenant,) [s]; NaN where nothing was served."""
        bins = self.tally.bins[:, TTFT]
        fresh, self._seen_bins = bins - self._seen_bins, bins.copy()
        found = np.full(len(self.scenario.tenants), np.nan)
        for tenant in range(len(found)):
            found[tenant] = percentile_s(fresh[self.lane_tenant == tenant].sum(axis=0), 95.0)
        return found

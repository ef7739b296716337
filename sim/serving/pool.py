"""A pool of equal engines behind one balancer, with nothing else in the world."""

from dataclasses import replace

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.kernels.requests import BUSY, CLOCK, ENERGY
from sim.kernels.routing import (
    BINS,
    CLIENT_COUNTS,
    CLIENT_TIMES,
    EMPTY,
    LANE_ROWS,
    LOG_COUNTS,
    LOG_TIMES,
    LOGGED,
    TENANT_ROWS,
    Book,
    Clients,
    Day,
    Router,
    RouterState,
    collect,
    route,
    sum_weights,
)
from sim.serving.engine import Engine, Served, compile_engines, fresh_requests, fresh_state


def serve_pool(
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    engine: Engine,
    engines: int,
    balancing: int,
    luck: Floats,
) -> Served:
    """Serve a trace on `engines` equal engines; arguments (request,) as in `serve`.

    `balancing` is a code of `kernels.routing`, `luck` (request, 2) 0 to 1 for its draws.
    Preemptions and iterations are not told. Requests have nothing in common: no prefix is cached.
    """
    engine = replace(engine, prefix_cache=False)
    count = len(arrival_s)
    made = compile_engines([engine], np.zeros(engines, dtype=np.int64))
    state, requests = fresh_state(made, count), fresh_requests(count)
    state.times[:, CLOCK] = 0.0
    clients = Clients(np.zeros((count, CLIENT_COUNTS), np.int64), np.zeros((count, CLIENT_TIMES)))
    router = Router(
        terms=np.array([[np.inf, 0.0, 1.0, np.inf, np.inf, 1.0]]),
        lane=np.zeros((1, 1), dtype=np.int64),
        latency_s=np.zeros((1, 1)),
        pool_first=np.array([0, engines]),
        pool_of=np.zeros(engines, dtype=np.int64),
        rules=np.array([balancing, 1 << 40]),
    )
    marks = np.zeros(5, dtype=np.int64)
    marks[EMPTY] = count
    traffic = RouterState(
        weight=np.ones((1, 1)),
        sums=np.zeros((1, 1)),
        open=np.arange(engines),
        opens=np.array([engines]),
        turn=np.zeros(1, dtype=np.int64),
        loads_s=np.full(engines, np.inf),
        timer_s=np.zeros(count + 16),
        timer=np.zeros(count + 16, dtype=np.int64),
        idle=np.arange(count),
        marks=marks,
    )
    book = Book(
        lanes=np.zeros((LANE_ROWS, 1), dtype=np.int64, order="F"),
        tenants=np.zeros((TENANT_ROWS, 1), dtype=np.int64, order="F"),
        bins=np.zeros((1, 3, BINS), dtype=np.int64),
        log_counts=np.zeros((count, LOG_COUNTS), dtype=np.int64),
        log_times=np.zeros((count, LOG_TIMES)),
    )
    none = np.zeros(count, dtype=np.int64)
    day = Day(np.ascontiguousarray(arrival_s), none, prompt, output, none, luck)
    sum_weights(router, traffic)
    route(made, state, requests, clients, router, traffic, book, day, np.inf)
    collect(state, requests, clients, router, traffic, book, np.inf)
    rows = int(traffic.marks[LOGGED])
    first_s, finish_s = np.full(count, np.nan), np.full(count, np.nan)
    which = book.log_counts[:rows, 0]
    first_s[which], finish_s[which] = book.log_times[:rows, 1], book.log_times[:rows, 2]
    busy_s = float(state.times[:, BUSY].sum())
    open_s = engines * float(np.nanmax(finish_s) - arrival_s[0]) if rows else 0.0
    energy_j = float(state.times[:, ENERGY].sum()) + engine.power.idle_w * (open_s - busy_s)
    return Served(first_s, finish_s, none, np.isnan(finish_s), 0, energy_j, busy_s, none)

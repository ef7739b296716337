"""A pool of equal engines behind one balancer, simulated in isolation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from sim.kernels.answers import collect
from sim.kernels.bins import BINS
from sim.kernels.requests import BUSY, CLOCK, ENERGY, OUTSTANDING, RUNNING
from sim.kernels.routing import route, sum_weights
from sim.kernels.traffic import (
    CLIENT_COUNTS,
    CLIENT_TIMES,
    DONE,
    EMPTY,
    LANE_ROWS,
    LOG_COUNTS,
    LOG_TIMES,
    LOGGED,
    TENANT_ROWS,
    Clients,
    Day,
    Router,
    RouterState,
    Service,
    ServingTally,
)
from sim.serving.engine import Engine, compile_engines, fresh_requests, fresh_state
from sim.serving.mix import Sent, Stream
from sim.types import Floats, Ints

LOOKS: Final = 64  # samples per window of the requests that engines hold


class Watched(NamedTuple):
    """Outcome of a pool's requests: of each, and in total over a window."""

    first_token_s: Floats  # (request,) NaN: not served
    finish_s: Floats  # (request,)
    tenants: Ints  # (TENANT_ROWS, stream) of the window
    outstanding: float  # requests at an engine, mean of the window
    waiting: float  # of these, not running
    busy: float  # share of the time in iterations
    power_w: float  # of an engine, mean of the window


def serve_pool(
    sent: Sent,
    engine: Engine,
    engines: int,
    balancing: int,
    luck: Floats,
    streams: Sequence[Stream],
    queue_limit: int,
    window_s: tuple[float, float],
) -> Watched:
    """Serve requests of several streams on `engines` equal engines; `sent.at` in seconds.

    `balancing` is a code of `kernels.routing`, `luck` (request, 2) uniform draws in 0 to 1. Clients
    give up and come back as their streams say; an engine refuses beyond `queue_limit` requests.
    Requests share no prefix, so no cached block is found.
    """
    engine = replace(engine, prefix_cache=False)
    count, tenants = len(sent.at), max(len(streams), 2)  # as in a fleet's layout
    made = compile_engines([engine], np.zeros(engines, dtype=np.int64))
    state, requests = fresh_state(made, count), fresh_requests(count)
    state.times[:, CLOCK] = 0.0
    clients = Clients(np.zeros((count, CLIENT_COUNTS), np.int64), np.zeros((count, CLIENT_TIMES)))
    terms = np.array([[np.inf, 0.0, 1.0, np.inf, np.inf, 1.0]] * tenants)
    for i, m in enumerate(streams):
        terms[i, :3] = m.patience_s, m.retries, m.backoff_s
    router = Router(
        terms=terms,
        lane=np.arange(tenants).reshape(-1, 1),
        latency_s=np.zeros((tenants, 1)),
        pool_first=np.array([0, engines]),
        pool_of=np.zeros(engines, dtype=np.int64),
        rules=np.array([balancing, queue_limit]),
    )
    marks = np.zeros(5, dtype=np.int64)
    marks[EMPTY] = count
    traffic = RouterState(
        weight=np.ones((tenants, 1)),
        sums=np.zeros((tenants, 1)),
        open=np.arange(engines),
        opens=np.array([engines]),
        turn=np.zeros(1, dtype=np.int64),
        loads_s=np.full(engines, np.inf),
        timer_s=np.zeros(count + 16),
        timer=np.zeros(count + 16, dtype=np.int64),
        idle=np.arange(count),
        marks=marks,
    )
    tally = ServingTally(
        lanes=np.zeros((LANE_ROWS, tenants), dtype=np.int64, order="F"),
        tenants=np.zeros((TENANT_ROWS, tenants), dtype=np.int64, order="F"),
        bins=np.zeros((tenants, 3, BINS), dtype=np.int64),
        log_counts=np.zeros((count, LOG_COUNTS), dtype=np.int64),
        log_times=np.zeros((count, LOG_TIMES)),
    )
    prefix = np.array([m.prefix_share for m in streams])[sent.stream]
    hit = (sent.prompt * prefix).astype(np.int64)
    day = Day(np.ascontiguousarray(sent.at), sent.stream, sent.prompt, sent.output, hit, luck)
    sum_weights(router, traffic)

    def service() -> Service:
        return Service(made, state, requests, clients, router, traffic, tally)

    def serve_until(t_s: float) -> None:
        nonlocal traffic
        while route(service(), day, t_s) != DONE:
            traffic = traffic._replace(
                timer_s=np.concatenate([traffic.timer_s, np.zeros(len(traffic.timer))]),
                timer=np.concatenate([traffic.timer, np.zeros(len(traffic.timer), np.int64)]),
            )
        collect(service(), t_s)

    def spent() -> tuple[float, float]:
        return float(state.times[:, BUSY].sum()), float(state.times[:, ENERGY].sum())

    serve_until(window_s[0])
    before, (busy_s, energy_j) = tally.tenants.copy(), spent()
    held = np.zeros(2)
    for t_s in np.linspace(*window_s, LOOKS + 1)[1:]:
        serve_until(float(t_s))
        outstanding, running = (state.counts[:, row].sum() for row in (OUTSTANDING, RUNNING))
        held += (outstanding, outstanding - running)
    of_window = (tally.tenants - before)[:, : len(streams)]
    busy_s, energy_j = (now - then for now, then in zip(spent(), (busy_s, energy_j), strict=True))
    open_s = engines * (window_s[1] - window_s[0])
    serve_until(np.inf)
    rows = int(traffic.marks[LOGGED])
    first_s, finish_s = np.full(count, np.nan), np.full(count, np.nan)
    which = tally.log_counts[:rows, 0]
    first_s[which], finish_s[which] = tally.log_times[:rows, 1], tally.log_times[:rows, 2]
    power_w = engine.power.idle_w + (energy_j - engine.power.idle_w * busy_s) / open_s
    each = held / (LOOKS * engines)
    return Watched(
        first_s,
        finish_s,
        of_window,
        float(each[0]),
        float(each[1]),
        min(busy_s / open_s, 1.0),
        power_w,
    )

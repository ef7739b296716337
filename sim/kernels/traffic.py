"""The arrays of the router: clients, lanes, timers, and what came of the requests.

A pool is the engines of one model at one site; a lane is a tenant at a pool.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.requests import Engines, EngineState, Requests
from sim.types import Floats, Ints

# What a client waits for (`Clients.counts[:, PHASE]`).
NOBODY: Final = 0
ON_ITS_WAY: Final = 1  # to a site
PLACED: Final = 2  # at an engine
HELD: Final = 3  # at the router: to be placed again, or to come back

# Columns of `Clients.counts`.
TENANT: Final = 0
PHASE: Final = 1
POOL: Final = 2
ENGINE: Final = 3
TRIES: Final = 4
READMIT: Final = 5  # 1: an engine that was switched off sent it back: not refused again
NUMBER: Final = 6  # of the request, in order of sending, from the start of the run
CLIENT_COUNTS: Final = 7

# Columns of `Clients.times`.
SENT: Final = 0
DUE: Final = 1  # of its timer
AWAY: Final = 2  # one way to its pool
LUCK: Final = 3  # 0 to 1: which site
PICK: Final = 4  # 0 to 1: which engines
CLIENT_TIMES: Final = 5

# Columns of `Router.terms`.
PATIENCE_S: Final = 0
RETRIES: Final = 1
BACKOFF_S: Final = 2
SLO_TTFT_S: Final = 3
SLO_TPOT_S: Final = 4
HOLD_S: Final = 5  # between two attempts to place what came back

# Entries of `Router.rules`.
BALANCING: Final = 0
QUEUE_LIMIT: Final = 1
ROUND_ROBIN: Final = 0
LEAST_OUTSTANDING: Final = 1
POWER_OF_TWO: Final = 2
PREFIX_AWARE: Final = 3

# Rows of `ServingTally.lanes`, since the run began. A lane's law: sent to it = served + rejected
# + expired + returned + present.
LANE_SENT: Final = 0
LANE_SERVED: Final = 1
LANE_REJECTED: Final = 2
LANE_EXPIRED: Final = 3
LANE_RETURNED: Final = 4
LANE_TOKENS_IN: Final = 5
LANE_TOKENS_OUT: Final = 6
LANE_GOOD: Final = 7  # served within the SLO
LANE_GOOD_TOKENS: Final = 8
LANE_LOST_TOKENS: Final = 9  # KV that was thrown away when its engine was switched off
LANE_PREEMPTIONS: Final = 10  # for lack of blocks, of what was served
LANE_CACHED_TOKENS: Final = 11  # of prompts that were served, found in a block cache
LANE_ROWS: Final = 12

# Rows of `ServingTally.tenants`, since the run began. The law: arrived = served + rejected
# + expired + present.
ARRIVED: Final = 0
SERVED: Final = 1
REJECTED: Final = 2
EXPIRED: Final = 3
RETRIED: Final = 4
TENANT_ROWS: Final = 5

TTFT: Final = 0
TPOT: Final = 1
E2E: Final = 2

# Entries of `RouterState.marks`.
TIMERS: Final = 0  # in the heap
EMPTY: Final = 1  # slots
NEXT_REQUEST: Final = 2  # of the day
NUMBERS: Final = 3  # requests so far
LOGGED: Final = 4  # rows of the log

# Why `route` stopped.
DONE: Final = 0
MORE_SLOTS: Final = 1
MORE_TIMERS: Final = 2

NOBODY_TELLS: Final[Ints] = np.zeros(0, dtype=np.int64)

# Columns of `Log`.
LOG_COUNTS: Final = 6  # number, tenant, pool, prompt, output, preemptions
LOG_TIMES: Final = 4  # sent, first token at the client, finish at the client, latency one way


class Clients(NamedTuple):
    """What the router knows of a request, by slot."""

    counts: Ints  # (slot, CLIENT_COUNTS)
    times: Floats  # (slot, CLIENT_TIMES)


class Day(NamedTuple):
    """Requests of a day, in order of time."""

    sent_s: Floats  # (request,)
    tenant: Ints  # (request,)
    prompt: Ints  # (request,) tokens
    output: Ints  # (request,) tokens
    hit: Ints  # (request,) tokens of the prompt that a prefix cache holds
    luck: Floats  # (request, 2) 0 to 1: which site, which engines
    leaf: Ints = NOBODY_TELLS  # (request,) last node of its content; empty: nobody tells it
    told: Ints = NOBODY_TELLS  # (request,) tokens of it, of prompt and output


class Router(NamedTuple):
    """What never changes."""

    terms: Floats  # (tenant, 6)
    lane: Ints  # (tenant, pool) index of the lane, -1: the pool may not serve the tenant
    latency_s: Floats  # (tenant, pool) one way
    pool_first: Ints  # (pool + 1,) first engine of each pool
    pool_of: Ints  # (engine,)
    rules: Ints  # (2,)


class RouterState(NamedTuple):
    """What changes."""

    weight: Floats  # (tenant, pool) the policy's, for each open engine
    sums: Floats  # (tenant, pool) of weight x open engines, up to the pool
    open: Ints  # (engine,) open engines of each pool, from pool_first on
    opens: Ints  # (pool,) how many
    turn: Ints  # (pool,) round-robin
    loads_s: Floats  # (engine,) when its weights are loaded; inf: it is not loading
    timer_s: Floats  # (timer,) heap
    timer: Ints  # (timer,) slot, or -1 - engine that has loaded
    idle: Ints  # (slot,) stack of empty slots
    marks: Ints  # (5,)


class ServingTally(NamedTuple):
    """What came of it."""

    lanes: Ints  # (LANE_ROWS, lane)
    tenants: Ints  # (TENANT_ROWS, tenant)
    bins: Ints  # (lane, 3, BINS) since the last record
    log_counts: Ints  # (row, LOG_COUNTS) since the last record; empty: not kept
    log_times: Floats  # (row, LOG_TIMES)


class Service(NamedTuple):
    """All that takes part in serving."""

    engines: Engines
    engine_state: EngineState
    requests: Requests
    clients: Clients
    router: Router
    state: RouterState
    tally: ServingTally

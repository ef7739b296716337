"""From the clients to the engines and back: every request, in order of time.

A pool is the engines of one model at one site; a lane is a tenant at a pool. One heap of timers
holds requests on their way to a site, clients whose patience may end, retries, and engines that
have loaded their weights.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.blocks import MAGIC, forget, look
from sim.kernels.jit import kernel, part, pure_kernel, wrapping
from sim.kernels.requests import (
    ARRIVAL,
    BATCH,
    BLOCK_TOKENS,
    CHUNKED_PREFILL,
    CLOCK,
    COMPUTED,
    FINISH,
    FINISH_IT,
    FIRST_TOKEN,
    FREE,
    GENERATED,
    HEAD,
    HEAP,
    HIT,
    HITS,
    ITERATIONS,
    KV,
    KV_BLOCKS,
    LAST,
    LATE,
    LEAF,
    MAX_BATCHED_TOKENS,
    NEXT,
    OUTPUT,
    OUTSTANDING,
    PARTIAL,
    PREEMPTIONS,
    PREFIX_CACHE,
    PREVIOUS,
    PROMPT,
    RUNNING,
    TAIL,
    TAKEN,
    TOLD,
    Engines,
    EngineState,
    Requests,
)
from sim.kernels.serving import advance_engine, advance_engines, enqueue, fill_slot
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
# A prefix-aware balancer sends a request to the engine that knows most of its prompt if that is
# this share of it, and to the least loaded one where it is less, or where loads are apart by more
# than both of these: defaults of the cache_aware policy of SGLang's model gateway.
LEAST_MATCH: Final = 0.3
MOST_APART: Final = 64
MOST_TIMES: Final = 1.5

# Rows of `Book.lanes`, since the run began. A lane's law: sent to it = served + rejected + expired
# + returned + present.
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

# Rows of `Book.tenants`, since the run began. The law: arrived = served + rejected + expired +
# present.
ARRIVED: Final = 0
SERVED: Final = 1
REJECTED: Final = 2
EXPIRED: Final = 3
RETRIED: Final = 4
TENANT_ROWS: Final = 5

# Histograms: bins of 2 % from 0.1 ms on, so that the middle of a bin is within 1 %.
FIRST_BIN_S: Final = 1e-4
BIN_LOG: Final = float(np.log(1.02))
BINS: Final = 1024  # the last one begins after 17 hours
# Where a bin is found without a logarithm: by the exponent and the first CELL_BITS bits behind the
# point, which a float has in its upper bits. A cell is narrower than a bin, so that it lies in the
# bin of its lower end or in the next.
CELL_BITS: Final = 6
CELL_SHIFT: Final = 52 - CELL_BITS
FIRST_CELL: Final = int(np.float64(FIRST_BIN_S).view(np.int64)) >> CELL_SHIFT
BIN_EDGES: Final[Floats] = FIRST_BIN_S * np.power(1.02, np.arange(BINS + 1, dtype=np.float64))
TTFT: Final = 0
TPOT: Final = 1
E2E: Final = 2

# Entries of `RouterState.marks`.
TIMERS: Final = 0  # in the heap
EMPTY: Final = 1  # slots
NEXT_REQUEST: Final = 2  # of the day
NUMBERS: Final = 3  # requests so far
LOGGED: Final = 4  # rows of the log

# Finished requests that wait until they are answered within a step.
RIPE: Final = 64

# Why `route` stopped.
DONE: Final = 0
MORE_SLOTS: Final = 1
MORE_TIMERS: Final = 2

NOBODY_TELLS: Final[Ints] = np.zeros(0, dtype=np.int64)

# Columns of `Log`.
LOG_COUNTS: Final = 6  # number, tenant, pool, prompt, output, preemptions
LOG_TIMES: Final = 4  # sent, first token at the client, finish at the client, latency one way


def _bins_of_cells() -> Ints:
    last = int(BIN_EDGES[BINS - 1].view(np.int64)) >> CELL_SHIFT
    lower = (np.arange(FIRST_CELL, last + 1) << CELL_SHIFT).view(np.float64)
    return np.maximum(np.searchsorted(BIN_EDGES, lower, side="right") - 1, 0)


BIN_CELLS: Final[Ints] = _bins_of_cells()  # (cell,) the bin of its lower end


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


@pure_kernel
def sum_weights(router: Router, state: RouterState) -> None:
    """Running sums of weight x open engines, for the choice of a site."""
    for tenant in range(state.weight.shape[0]):
        total = 0.0
        for pool in range(state.weight.shape[1]):
            if router.lane[tenant, pool] >= 0:
                total += state.weight[tenant, pool] * state.opens[pool]
            state.sums[tenant, pool] = total


@part
def _push_timer(timer_s: Floats, timer: Ints, marks: Ints, t_s: float, what: int) -> None:
    i = marks[TIMERS]
    marks[TIMERS] += 1
    while i > 0 and timer_s[(i - 1) >> 1] > t_s:
        timer_s[i] = timer_s[(i - 1) >> 1]
        timer[i] = timer[(i - 1) >> 1]
        i = (i - 1) >> 1
    timer_s[i] = t_s
    timer[i] = what


@part
def _pop_timer(timer_s: Floats, timer: Ints, marks: Ints) -> None:
    n = marks[TIMERS] - 1
    marks[TIMERS] = n
    t_s = timer_s[n]
    what = timer[n]
    i = 0
    child = 1
    while child < n:
        if child + 1 < n and timer_s[child + 1] < timer_s[child]:
            child += 1
        if timer_s[child] >= t_s:
            break
        timer_s[i] = timer_s[child]
        timer[i] = timer[child]
        i = child
        child = 2 * i + 1
    timer_s[i] = t_s
    timer[i] = what


@wrapping
def _redrawn(luck: float) -> float:
    """The luck of the next try, 0 to 1: a hash of the last one, whoever decides.

    SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
    """
    z = np.uint64(luck * 2.0**53) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@pure_kernel
def set_timer(state: RouterState, t_s: float, what: int) -> None:
    """Wake the slot `what`, or the engine -1 - `what`, at `t_s` [s]."""
    _push_timer(state.timer_s, state.timer, state.marks, t_s, what)


@pure_kernel
def route(
    engines: Engines,
    engine_state: EngineState,
    requests: Requests,
    clients: Clients,
    router: Router,
    state: RouterState,
    tally: ServingTally,
    day: Day,
    until_s: float,
) -> int:
    """Bring clients and engines to `until_s` [s]; DONE, or which table must grow to go on."""
    kinds = engines.kind
    seconds = engines.seconds
    power = engines.power
    size = engines.size
    counts = engine_state.counts
    times = engine_state.times
    heap = engine_state.heap
    due = engine_state.due
    done = engine_state.done
    dones = engine_state.dones
    request = requests.counts
    when = requests.times
    client = clients.counts
    client_s = clients.times
    chain = requests.chains
    content = requests.content
    memories = engine_state.memory
    terms = router.terms
    lane_of = router.lane
    latency_s = router.latency_s
    pool_first = router.pool_first
    pool_of = router.pool_of
    way = router.rules[BALANCING]
    queue_limit = router.rules[QUEUE_LIMIT]
    sums = state.sums
    open_engine = state.open
    opens = state.opens
    turn = state.turn
    loads_s = state.loads_s
    timer_s = state.timer_s
    timer = state.timer
    idle = state.idle
    marks = state.marks
    lanes = tally.lanes
    tenants = tally.tenants
    sent_s = day.sent_s
    pools = sums.shape[1]
    ripe = dones[0] + RIPE if tally.log_counts.shape[0] == 0 else 1 << 60  # a log is for a step

    while True:
        i = marks[NEXT_REQUEST]
        stream_s = sent_s[i] if i < sent_s.shape[0] else np.inf
        awake_s = timer_s[0] if marks[TIMERS] > 0 else np.inf
        now_s = min(stream_s, awake_s)
        if now_s >= until_s:
            break
        if dones[0] >= ripe:  # so that the same slots come back, and stay in the cache
            collect(engine_state, requests, clients, router, state, tally, now_s)
            ripe = dones[0] + RIPE
        if marks[TIMERS] + 2 > timer_s.shape[0]:
            return MORE_TIMERS
        place = False  # choose a pool
        refused = False
        arrives = False
        if stream_s <= awake_s:
            if marks[EMPTY] == 0:
                return MORE_SLOTS
            marks[NEXT_REQUEST] = i + 1
            marks[EMPTY] -= 1
            slot = idle[marks[EMPTY]]
            fill_slot(request, when, slot, stream_s, day.prompt[i], day.output[i], day.hit[i])
            if chain.shape[0] > 0 and day.leaf.shape[0] > 0:
                chain[slot, LEAF] = day.leaf[i]
                chain[slot, TOLD] = day.told[i]
            tenant = day.tenant[i]
            client[slot, TENANT] = tenant
            client[slot, TRIES] = 0
            client[slot, READMIT] = 0
            client[slot, NUMBER] = marks[NUMBERS]
            marks[NUMBERS] += 1
            client_s[slot, SENT] = stream_s
            client_s[slot, LUCK] = day.luck[i, 0]
            client_s[slot, PICK] = day.luck[i, 1]
            tenants[ARRIVED, tenant] += 1
            place = True
        else:
            slot = timer[0]
            _pop_timer(timer_s, timer, marks)
            if slot < 0:  # an engine has loaded its weights
                e = -1 - slot
                if loads_s[e] != now_s:
                    continue  # switched off meanwhile
                loads_s[e] = np.inf
                pool = pool_of[e]
                open_engine[pool_first[pool] + opens[pool]] = e
                opens[pool] += 1
                times[e, CLOCK] = max(times[e, CLOCK], now_s)
                sum_weights(router, state)
                continue
            if client[slot, PHASE] == NOBODY or client_s[slot, DUE] != now_s:
                continue  # outdated
            tenant = client[slot, TENANT]
            place = client[slot, PHASE] == HELD
            arrives = client[slot, PHASE] == ON_ITS_WAY
            if client[slot, PHASE] == PLACED:  # has its prefill begun?
                if not np.isnan(when[slot, FIRST_TOKEN]):
                    continue
                e = client[slot, ENGINE]
                if times[e, CLOCK] < now_s:
                    advance_engine(
                        seconds, power, size, kinds[e], counts, times, heap, due, done, dones,
                        request, when, chain, content, memories, e, now_s,
                    )  # fmt: skip
                waits = request[slot, FINISH_IT] < 0 and counts[e, PARTIAL] != slot
                if np.isnan(when[slot, FIRST_TOKEN]) and waits:
                    before = request[slot, PREVIOUS]
                    behind = request[slot, NEXT]
                    if before >= 0:
                        request[before, NEXT] = behind
                    else:
                        counts[e, HEAD] = behind
                    if behind >= 0:
                        request[behind, PREVIOUS] = before
                    else:
                        counts[e, TAIL] = before
                    counts[e, OUTSTANDING] -= 1
                    lanes[LANE_EXPIRED, lane_of[tenant, client[slot, POOL]]] += 1
                    client[slot, PHASE] = NOBODY
                    if client[slot, TRIES] < terms[tenant, RETRIES]:
                        refused = True
                    else:
                        tenants[EXPIRED, tenant] += 1
                        idle[marks[EMPTY]] = slot
                        marks[EMPTY] += 1
                if not refused:
                    continue
        if place:
            total = sums[tenant, pools - 1] if pools > 0 else 0.0
            if total > 0.0:
                x = client_s[slot, LUCK] * total
                low = 0
                high = pools - 1
                while low < high:  # the first pool whose sum is above x
                    middle = (low + high) >> 1
                    if sums[tenant, middle] > x:
                        high = middle
                    else:
                        low = middle + 1
                client[slot, POOL] = low
                client[slot, PHASE] = ON_ITS_WAY
                away_s = latency_s[tenant, low]
                client_s[slot, AWAY] = away_s
                client_s[slot, DUE] = now_s + away_s
                lanes[LANE_SENT, lane_of[tenant, low]] += 1
                _push_timer(timer_s, timer, marks, now_s + away_s, slot)
                continue
            if client[slot, READMIT] == 1:  # the router keeps what came back
                client[slot, PHASE] = HELD
                client_s[slot, DUE] = now_s + terms[tenant, HOLD_S]
                _push_timer(timer_s, timer, marks, client_s[slot, DUE], slot)
                continue
            refused = True
        if arrives:
            pool = client[slot, POOL]
            lane = lane_of[tenant, pool]
            first = pool_first[pool]
            n = opens[pool]
            if n == 0:  # switched off meanwhile
                lanes[LANE_RETURNED, lane] += 1
                client[slot, PHASE] = HELD
                client_s[slot, DUE] = now_s
                _push_timer(timer_s, timer, marks, now_s, slot)
                continue
            if way == ROUND_ROBIN or n == 1:
                turn[pool] = (turn[pool] + 1) % n
                e = open_engine[first + turn[pool]]
            else:
                # power of two: two different engines; least outstanding: all of them
                one = min(int(client_s[slot, PICK] * n), n - 1)
                two = min(int((client_s[slot, PICK] * n - one) * (n - 1)), n - 2)
                two += 1 if two >= one else 0
                looks = 2 if way == POWER_OF_TWO else n
                least = 1 << 60
                e = -1
                most = 0
                for turn_ in range(looks):
                    k = (one if turn_ == 0 else two) if way == POWER_OF_TWO else turn_
                    other = open_engine[first + k]
                    if times[other, CLOCK] < now_s and counts[other, OUTSTANDING] > 0:
                        advance_engine(
                            seconds, power, size, kinds[other], counts, times, heap, due, done,
                            dones, request, when, chain, content, memories, other, now_s,
                        )  # fmt: skip
                    load = counts[other, OUTSTANDING]
                    if times[other, CLOCK] > now_s:
                        load += counts[other, LATE]
                    most = max(most, load)
                    if load < least:
                        least = load
                        e = other
                if way == PREFIX_AWARE and (
                    most - least <= MOST_APART or most <= MOST_TIMES * least
                ):
                    best = LEAST_MATCH * request[slot, PROMPT]
                    lightest = 1 << 60
                    for k in range(n):
                        other = open_engine[first + k]
                        bt = size[kinds[other], BLOCK_TOKENS]
                        if size[kinds[other], PREFIX_CACHE] == 0:
                            continue
                        found, _, _ = look(
                            memories[other], content, chain[slot, LEAF], chain[slot, TOLD],
                            request[slot, PROMPT] - 1, counts[other, FREE],
                            counts[other, ITERATIONS], MAGIC // bt + 1,
                        )  # fmt: skip
                        load = counts[other, OUTSTANDING]
                        if times[other, CLOCK] > now_s:
                            load += counts[other, LATE]
                        if found * bt > best or (found * bt == best and load < lightest):
                            best = 1.0 * found * bt
                            lightest = load
                            e = other
            kind = kinds[e]
            tokens = request[slot, PROMPT] + request[slot, OUTPUT] - 1
            never = tokens > size[kind, KV_BLOCKS] * size[kind, BLOCK_TOKENS]
            if size[kind, CHUNKED_PREFILL] == 0:
                never = never or tokens - request[slot, HIT] > size[kind, MAX_BATCHED_TOKENS]
            load = counts[e, OUTSTANDING]
            if load >= queue_limit and times[e, CLOCK] < now_s:  # some may have finished since
                advance_engine(
                    seconds, power, size, kinds[e], counts, times, heap, due, done, dones,
                    request, when, chain, content, memories, e, now_s,
                )  # fmt: skip
                load = counts[e, OUTSTANDING]
            if times[e, CLOCK] > now_s:
                load += counts[e, LATE]
            full = load >= queue_limit and client[slot, READMIT] == 0
            if never or full:
                lanes[LANE_REJECTED, lane] += 1
                refused = True
                if never:
                    client[slot, TRIES] = 1 << 40  # it need not come back
            else:
                client[slot, PHASE] = PLACED
                client[slot, ENGINE] = e
                when[slot, ARRIVAL] = now_s
                enqueue(counts, request, e, slot)
                client_s[slot, DUE] = np.inf
                if terms[tenant, PATIENCE_S] < np.inf and np.isnan(when[slot, FIRST_TOKEN]):
                    patient_s = max(now_s, client_s[slot, SENT] + terms[tenant, PATIENCE_S])
                    if client[slot, TRIES] > 0:
                        patient_s = now_s + terms[tenant, PATIENCE_S]
                    client_s[slot, DUE] = patient_s
                    _push_timer(timer_s, timer, marks, patient_s, slot)
                continue
        if refused:
            if client[slot, TRIES] < terms[tenant, RETRIES]:
                wait_s = terms[tenant, BACKOFF_S] * 2.0 ** client[slot, TRIES]
                client[slot, TRIES] += 1
                client_s[slot, LUCK] = _redrawn(client_s[slot, LUCK])
                client_s[slot, PICK] = _redrawn(client_s[slot, PICK])
                tenants[RETRIED, tenant] += 1
                client[slot, PHASE] = HELD
                client_s[slot, DUE] = now_s + wait_s
                _push_timer(timer_s, timer, marks, now_s + wait_s, slot)
            else:
                client[slot, PHASE] = NOBODY
                tenants[REJECTED, tenant] += 1
                idle[marks[EMPTY]] = slot
                marks[EMPTY] += 1
    advance_engines(engines, engine_state, requests, 0, kinds.shape[0], until_s)
    return DONE


@pure_kernel
def collect(
    state: EngineState,
    requests: Requests,
    clients: Clients,
    router: Router,
    router_state: RouterState,
    tally: ServingTally,
    t_s: float,
) -> None:
    """Answer the clients whose requests have finished by `t_s` [s]; others finish after it."""
    kept = 0
    done = state.done
    request = requests.counts
    when = requests.times
    client = clients.counts
    client_s = clients.times
    lanes = tally.lanes
    marks = router_state.marks
    for k in range(state.dones[0]):
        slot = done[k]
        finish_s = when[slot, FINISH]
        if finish_s > t_s:
            done[kept] = slot
            kept += 1
            continue
        tenant = client[slot, TENANT]
        lane = router.lane[tenant, client[slot, POOL]]
        prompt = request[slot, PROMPT]
        output = request[slot, OUTPUT]
        away_s = client_s[slot, AWAY]
        ttft_s = when[slot, FIRST_TOKEN] + away_s - client_s[slot, SENT]
        e2e_s = finish_s + away_s - client_s[slot, SENT]
        tpot_s = 0.0
        tally.bins[lane, TTFT, _bin(ttft_s)] += 1
        tally.bins[lane, E2E, _bin(e2e_s)] += 1
        if output > 1:
            tpot_s = (finish_s - when[slot, FIRST_TOKEN]) / (output - 1)
            tally.bins[lane, TPOT, _bin(tpot_s)] += 1
        lanes[LANE_SERVED, lane] += 1
        lanes[LANE_TOKENS_IN, lane] += prompt
        lanes[LANE_TOKENS_OUT, lane] += output
        lanes[LANE_PREEMPTIONS, lane] += request[slot, PREEMPTIONS]
        if requests.chains.shape[0] > 0:
            lanes[LANE_CACHED_TOKENS, lane] += requests.chains[slot, HITS]
        if (
            ttft_s <= router.terms[tenant, SLO_TTFT_S]
            and tpot_s <= router.terms[tenant, SLO_TPOT_S]
        ):
            lanes[LANE_GOOD, lane] += 1
            lanes[LANE_GOOD_TOKENS, lane] += output
        tally.tenants[SERVED, tenant] += 1
        if tally.log_counts.shape[0] > 0:
            row = marks[LOGGED]
            marks[LOGGED] += 1
            tally.log_counts[row, 0] = client[slot, NUMBER]
            tally.log_counts[row, 1] = tenant
            tally.log_counts[row, 2] = client[slot, POOL]
            tally.log_counts[row, 3] = prompt
            tally.log_counts[row, 4] = output
            tally.log_counts[row, 5] = request[slot, PREEMPTIONS]
            tally.log_times[row, 0] = client_s[slot, SENT]
            tally.log_times[row, 1] = when[slot, FIRST_TOKEN] + away_s
            tally.log_times[row, 2] = finish_s + away_s
            tally.log_times[row, 3] = away_s
        client[slot, PHASE] = NOBODY
        router_state.idle[marks[EMPTY]] = slot
        marks[EMPTY] += 1
    state.dones[0] = kept


@part
def _bin(t_s: float) -> int:
    if t_s <= FIRST_BIN_S:
        return 0
    cell = (np.float64(t_s).view(np.int64) >> CELL_SHIFT) - FIRST_CELL
    if cell >= BIN_CELLS.shape[0]:
        return BINS - 1
    k = BIN_CELLS[cell]
    return int(k + 1 if t_s >= BIN_EDGES[k + 1] else k)


@kernel
def bins_of(times_s: Floats) -> Ints:
    """The bin (time,) of each of some times (time,) [s]."""
    found = np.zeros(times_s.shape[0], dtype=np.int64)
    for i in range(times_s.shape[0]):
        found[i] = _bin(times_s[i])
    return found


@pure_kernel
def close_engine(router: Router, state: RouterState, e: int) -> bool:
    """Give engine e nothing new; False when it was not open."""
    pool = router.pool_of[e]
    first = router.pool_first[pool]
    for k in range(state.opens[pool]):
        if state.open[first + k] == e:
            for j in range(k, state.opens[pool] - 1):
                state.open[first + j] = state.open[first + j + 1]
            state.opens[pool] -= 1
            sum_weights(router, state)
            return True
    return False


@pure_kernel
def send_back(
    engines: Engines,
    engine_state: EngineState,
    requests: Requests,
    clients: Clients,
    router: Router,
    state: RouterState,
    tally: ServingTally,
    e: int,
    t_s: float,
    kv_s_per_token: float,
) -> int:
    """Empty engine e: its requests go back to the router, in their order; how many.

    The iteration in progress ends. Tokens that were emitted stay with the client; their KV is lost
    and will be computed again, or moves along, `kv_s_per_token` [s] for each token, if that is
    above 0. At most one timer a request is set.
    """
    counts = engine_state.counts
    request = requests.counts
    it = counts[e, ITERATIONS]
    back_s = max(t_s, engine_state.times[e, CLOCK])
    sent_back = 0
    for which in range(2):
        # the running list from its end, to find its front; then the queue
        slot = counts[e, LAST]
        if which == 0:
            while slot >= 0 and request[slot, PREVIOUS] >= 0:
                slot = request[slot, PREVIOUS]
        else:
            slot = counts[e, HEAD]
        while slot >= 0:
            behind = request[slot, NEXT]
            tenant = clients.counts[slot, TENANT]
            lane = router.lane[tenant, clients.counts[slot, POOL]]
            has = 0
            if which == 0:
                if slot == counts[e, PARTIAL]:
                    has = counts[e, COMPUTED]
                else:
                    left = request[slot, FINISH_IT] - it
                    has = request[slot, PROMPT] + request[slot, OUTPUT] - left - 1
                    request[slot, GENERATED] = request[slot, OUTPUT] - left
            request[slot, FINISH_IT] = -1
            due_s = back_s
            if request[slot, HIT] >= request[slot, PROMPT]:
                request[slot, HIT] = 0
            if kv_s_per_token > 0.0 and has > 0:
                request[slot, HIT] = has
                due_s += has * kv_s_per_token
            else:
                tally.lanes[LANE_LOST_TOKENS, lane] += has
            tally.lanes[LANE_RETURNED, lane] += 1
            clients.counts[slot, READMIT] = 1
            clients.counts[slot, PHASE] = HELD
            clients.times[slot, DUE] = due_s
            _push_timer(state.timer_s, state.timer, state.marks, due_s, slot)
            sent_back += 1
            slot = behind
    counts[e, BATCH] = 0
    counts[e, KV] = 0
    counts[e, FREE] = engines.size[engines.kind[e], KV_BLOCKS]
    counts[e, RUNNING] = 0
    counts[e, PARTIAL] = -1
    counts[e, LAST] = -1
    counts[e, HEAD] = -1
    counts[e, TAIL] = -1
    counts[e, HEAP] = 0
    counts[e, TAKEN] = 0
    counts[e, OUTSTANDING] = 0
    for k in range(engine_state.due.shape[1]):
        engine_state.due[e, k] = 0
    return sent_back


@pure_kernel
def forget_engine(engines: Engines, engine_state: EngineState, e: int) -> int:
    """Empty the block cache of an engine that is switched off; tokens that nobody used any more.

    To be called before `send_back`. Those of its running requests are LANE_LOST_TOKENS.
    """
    kind = engines.kind[e]
    if engines.size[kind, PREFIX_CACHE] == 0:
        return 0
    free = engine_state.counts[e, FREE]
    known = forget(engine_state.memory[e], free, engines.size[kind, KV_BLOCKS])
    return int(known * engines.size[kind, BLOCK_TOKENS])


@pure_kernel
def present(
    engine_state: EngineState,
    clients: Clients,
    router: Router,
    lanes: Ints,
    held: Ints,
    requests: Requests,
) -> None:
    """Count who is where: `lanes` (2, lane) waiting (or on its way) and running, `held` (tenant,).

    What has finished but ends after the step is running.
    """
    for slot in range(clients.counts.shape[0]):
        phase = clients.counts[slot, PHASE]
        tenant = clients.counts[slot, TENANT]
        if phase == HELD:
            held[tenant] += 1
        elif phase != NOBODY:
            lane = router.lane[tenant, clients.counts[slot, POOL]]
            runs = phase == PLACED and (
                requests.counts[slot, FINISH_IT] >= 0
                or engine_state.counts[clients.counts[slot, ENGINE], PARTIAL] == slot
                or not np.isnan(requests.times[slot, FINISH])
            )
            lanes[1 if runs else 0, lane] += 1

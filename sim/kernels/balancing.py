"""Which engine of a pool a request goes to."""

from typing import Final

from sim.kernels.blocks import Cache, look
from sim.kernels.jit import part
from sim.kernels.pieces import MAGIC
from sim.kernels.requests import (
    BLOCK_TOKENS,
    CLOCK,
    FREE,
    ITERATIONS,
    LATE,
    OUTSTANDING,
    PREFIX_CACHE,
    PROMPT,
)
from sim.kernels.serving import advance_engine
from sim.kernels.traffic import (
    BALANCING,
    PICK,
    POWER_OF_TWO,
    PREFIX_AWARE,
    ROUND_ROBIN,
    Service,
)

# A prefix-aware balancer sends a request to the engine that knows most of its prompt if that is
# this share of it, and to the least loaded one where it is less, or where loads are apart by more
# than both of these: defaults of the cache_aware policy of SGLang's model gateway.
LEAST_MATCH: Final = 0.3
MOST_APART: Final = 64
MOST_TIMES: Final = 1.5
MANY: Final = 1 << 60


@part
def load_of(service: Service, e: int, now_s: float) -> int:
    """Requests at an engine: those that finish at its clock are still there until then."""
    load = service.engine_state.counts[e, OUTSTANDING]
    if service.engine_state.times[e, CLOCK] > now_s:
        load += service.engine_state.counts[e, LATE]
    return int(load)


@part
def choose(service: Service, slot: int, pool: int, now_s: float) -> int:
    """The engine for a request, of the open ones of its pool: at least one."""
    way = service.router.rules[BALANCING]
    first = service.router.pool_first[pool]
    n = service.state.opens[pool]
    if way == ROUND_ROBIN or n == 1:
        turn = (service.state.turn[pool] + 1) % n
        service.state.turn[pool] = turn
        e = service.state.open[first + turn]
    else:
        e, least, most = _lightest(service, slot, pool, now_s)
        if way == PREFIX_AWARE and (most - least <= MOST_APART or most <= MOST_TIMES * least):
            e = _who_knows(service, slot, pool, e, now_s)
    return int(e)


@part
def _lightest(service: Service, slot: int, pool: int, now_s: float) -> tuple[int, int, int]:
    """The least loaded of two different engines, or of all of the pool; its load and the most."""
    two_only = service.router.rules[BALANCING] == POWER_OF_TWO
    n = service.state.opens[pool]
    pick = service.clients.times[slot, PICK]
    one = min(int(pick * n), n - 1)
    two = min(int((pick * n - one) * (n - 1)), n - 2)
    two += 1 if two >= one else 0
    least = MANY
    most = 0
    e = -1
    for turn in range(2 if two_only else n):
        k = (one if turn == 0 else two) if two_only else turn
        other = service.state.open[service.router.pool_first[pool] + k]
        advance_engine(service.engines, service.engine_state, service.requests, other, now_s)
        load = load_of(service, other, now_s)
        most = max(most, load)
        if load < least:
            least = load
            e = other
    return e, least, most


@part
def _who_knows(service: Service, slot: int, pool: int, lightest: int, now_s: float) -> int:
    """The engine that knows most of a prompt; `lightest` where none knows enough of it."""
    counts = service.engine_state.counts
    size = service.engines.size
    prompt = service.requests.counts[slot, PROMPT]
    chosen = lightest
    best = LEAST_MATCH * prompt
    least = MANY
    for k in range(service.state.opens[pool]):
        e = service.state.open[service.router.pool_first[pool] + k]
        kind = service.engines.kind[e]
        if size[kind, PREFIX_CACHE] == 0:
            continue
        bt = size[kind, BLOCK_TOKENS]
        cache = Cache(
            service.engine_state.memory[e],
            service.requests.chains,
            service.requests.content,
            bt,
            MAGIC // bt + 1,
        )
        found, _, _ = look(cache, slot, prompt - 1, counts[e, FREE], counts[e, ITERATIONS])
        load = load_of(service, e, now_s)
        if found * bt > best or (found * bt == best and load < least):
            best = 1.0 * found * bt
            least = load
            chosen = e
    return chosen

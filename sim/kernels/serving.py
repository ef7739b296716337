"""Continuous batching, token-exact: docs/MODEL.md section 4 without stepping through iterations.

An iteration: running sequences first, the last of which go back to the queue where blocks are
short; then the queue, from its front; then a jump over many iterations where there are only
decodes, else one step; then prefills that are complete join the batch, and sequences that have all
their tokens leave. `batch` draws the ledger of blocks that come due, which tells how far a jump may
go. Nothing here loops over the batch. Where a block cache is on, `blocks` says what a request finds
and how many blocks are free when it leaves; nothing else changes.
"""

from typing import NamedTuple

from sim.kernels.batch import (
    SLOT_MASK,
    cleaned,
    decode_energy_j,
    iterations_until,
    popped,
    pushed,
    residue_of,
    weights_s,
    within,
)
from sim.kernels.blocks import Cache, complete, look, release, take
from sim.kernels.jit import part, pure_kernel
from sim.kernels.pieces import MAGIC, MAGIC_BITS
from sim.kernels.requests import (
    ADMISSIONS,
    ARRIVAL,
    BASE_S,
    BATCH,
    BLOCK_TOKENS,
    BUSY,
    BUSY_W,
    CHUNKED_PREFILL,
    CLOCK,
    COMPUTE_BASE_S,
    COMPUTE_TOKEN_S,
    COMPUTED,
    DECODE_J,
    DECODE_SEQ_S,
    DECODE_TOKENS,
    EMITTED,
    ENERGY,
    EPOCH,
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
    KV_TOKEN_S,
    LAST,
    LAST_W,
    LATE,
    LIMIT_W,
    MAX_BATCHED_TOKENS,
    MAX_SEQS,
    NEXT,
    OUTPUT,
    OUTSTANDING,
    OWN,
    PARTIAL,
    PREEMPTED,
    PREEMPTIONS,
    PREFILL_CONTEXT_S,
    PREFILL_J,
    PREFILLED,
    PREFIX_CACHE,
    PREVIOUS,
    PROMPT,
    RESERVE_FULL_PROMPT,
    RUNNING,
    SEAT,
    SHARED,
    SLOT_BITS,
    STEP,
    TAIL,
    TAKEN,
    TOKEN_S,
    TOLD,
    Engines,
    EngineState,
    Requests,
)
from sim.types import Floats, Ints


class Tables(NamedTuple):
    """What an engine touches that has no block cache: of `Engines`, `EngineState`, `Requests`."""

    seconds: Floats
    power: Floats
    size: Ints
    counts: Ints
    times: Floats
    heap: Ints
    due: Ints
    done: Ints
    dones: Ints
    request: Ints
    when: Floats


@pure_kernel
def advance_engines(
    engines: Engines,
    state: EngineState,
    requests: Requests,
    first: int,
    last: int,
    until_s: float,
) -> None:
    """Run the engines first to last - 1 through every iteration that begins before `until_s` [s].

    The last of those may end later: the engine's clock then stands at its end, and what it did is
    in the state already.
    """
    for e in range(first, last):
        advance_engine(engines, state, requests, e, until_s)


@part
def advance_engine(
    engines: Engines, state: EngineState, requests: Requests, e: int, until_s: float
) -> None:
    """Run one engine through every iteration that begins before `until_s` [s]."""
    if state.times[e, CLOCK] < until_s and state.counts[e, OUTSTANDING] > 0:
        kind = engines.kind[e]
        tables = Tables(
            engines.seconds,
            engines.power,
            engines.size,
            state.counts,
            state.times,
            state.heap,
            state.due,
            state.done,
            state.dones,
            requests.counts,
            requests.times,
        )
        if engines.size[kind, PREFIX_CACHE] != 0:
            _with_cache(tables, requests.chains, requests.content, state.memory, kind, e, until_s)
        else:
            _without_cache(tables, kind, e, until_s)


@pure_kernel
def _with_cache(
    tables: Tables,
    chains: Ints,
    content: Ints,
    memories: Ints,
    kind: int,
    e: int,
    until_s: float,
) -> None:
    bt = tables.size[kind, BLOCK_TOKENS]
    cache = Cache(memories[e], chains, content, bt, MAGIC // bt + 1)
    _advance(tables, cache, True, kind, e, until_s)


@pure_kernel
def _without_cache(tables: Tables, kind: int, e: int, until_s: float) -> None:
    bt = tables.size[kind, BLOCK_TOKENS]
    nobody = Cache(tables.dones, tables.counts, tables.counts, bt, MAGIC // bt + 1)  # never read
    _advance(tables, nobody, False, kind, e, until_s)


@part
def _advance(tables: Tables, cache: Cache, cached: bool, kind: int, e: int, until_s: float) -> None:
    """Run one engine: copied once with all of a block cache and once without."""
    seconds, power, size, counts, times, heap, due, done, dones, request, when = tables
    clock = times[e, CLOCK]
    head = counts[e, HEAD]
    running = counts[e, RUNNING]
    each = seconds[kind, DECODE_TOKENS]
    seq_s = seconds[kind, DECODE_SEQ_S]
    kv_s = seconds[kind, KV_TOKEN_S]
    context_s = seconds[kind, PREFILL_CONTEXT_S]
    base_s = seconds[kind, BASE_S]
    token_s = seconds[kind, TOKEN_S]
    compute_base_s = seconds[kind, COMPUTE_BASE_S]
    compute_token_s = seconds[kind, COMPUTE_TOKEN_S]
    busy_w = power[kind, BUSY_W]
    prefill_j = power[kind, PREFILL_J]
    decode_j = power[kind, DECODE_J]
    limit_w = power[kind, LIMIT_W]
    max_tokens = size[kind, MAX_BATCHED_TOKENS]
    max_seqs = size[kind, MAX_SEQS]
    bt = size[kind, BLOCK_TOKENS]
    magic = cache.magic
    memory = cache.memory
    chain = cache.chains
    chunked = size[kind, CHUNKED_PREFILL] != 0
    reserve = size[kind, RESERVE_FULL_PROMPT] != 0

    it = counts[e, ITERATIONS]
    phase = (-it) % bt  # the residue whose sequences take a block in the next iteration
    batch = counts[e, BATCH]
    kv = counts[e, KV]
    free = counts[e, FREE]
    partial = counts[e, PARTIAL]
    computed = counts[e, COMPUTED]
    last = counts[e, LAST]
    entries = counts[e, HEAP]
    taken = counts[e, TAKEN]
    late = counts[e, LATE]
    outstanding = counts[e, OUTSTANDING]
    prefilled = counts[e, PREFILLED]
    emitted = counts[e, EMITTED]
    preempted = counts[e, PREEMPTED]
    epoch_s = times[e, EPOCH]
    step_s = times[e, STEP]
    busy_s = times[e, BUSY]
    energy_j = times[e, ENERGY]
    dt = 0.0
    joules = 0.0

    while True:
        if running == 0:
            if head < 0 or when[head, ARRIVAL] >= until_s:
                break
            clock = max(clock, when[head, ARRIVAL])
        if clock >= until_s:
            break
        began_s = clock

        # Running sequences first: blocks for the next token of each, and the partial prefill.
        need = due[e, phase] if batch > 0 else 0
        chunk = 0
        extra = 0
        if partial >= 0:
            rest = request[partial, PROMPT] + request[partial, GENERATED] - computed
            chunk = min(rest, max_tokens - batch)
            extra = (computed + chunk + bt - 1) * magic >> MAGIC_BITS
            extra -= (computed + bt - 1) * magic >> MAGIC_BITS
        short = need + extra > free
        while need + extra > free:  # the last of the running list goes, until the others fit
            victim = last
            if victim == partial:
                has = computed
                partial = -1
                chunk = 0
                extra = 0
            else:
                left = request[victim, FINISH_IT] - it
                has = request[victim, PROMPT] + request[victim, OUTPUT] - left - 1
                request[victim, GENERATED] = request[victim, OUTPUT] - left
                residue = residue_of(has, phase, bt, magic)
                due[e, residue] -= 1
                if residue == phase:
                    need -= 1
                batch -= 1
                kv -= has + 1
            if cached:
                free += release(cache, victim, has, it)
            else:
                free += (has + bt - 1) * magic >> MAGIC_BITS
            last = request[victim, PREVIOUS]
            if last >= 0:
                request[last, NEXT] = -1
            running -= 1
            request[victim, FINISH_IT] = -1  # outdates its entry in the heap
            request[victim, PREEMPTIONS] += 1
            if cached or request[victim, HIT] >= request[victim, PROMPT]:
                request[victim, HIT] = 0  # KV that came with it from another engine is lost
            preempted += 1
            request[victim, PREVIOUS] = -1
            request[victim, NEXT] = head
            if head >= 0:
                request[head, PREVIOUS] = victim
            else:
                counts[e, TAIL] = victim
            head = victim
            taken = 0

        # Then the queue, from its front.
        ending = -1
        prefill = chunk
        context = chunk * (computed + 0.5 * chunk)
        like_decode = 0  # a last chunk of one token, of a sequence that has emitted before
        like_kv = 0
        if partial >= 0:
            if chunk == rest:
                if chunk == 1 and request[partial, GENERATED] > 0:
                    like_decode = 1
                    like_kv = computed + 1
                    prefill = 0
                    context = 0.0
                ending = partial
                partial = -1
            else:
                computed += chunk
        budget = max_tokens - batch - chunk
        fresh = -1
        room = free - need - extra
        waits = head >= 0 and not short  # whether an arrival could change the batch
        grows = False  # whether decoding could make known what the front of the queue waits for
        while waits:
            known = request[head, PROMPT] + request[head, GENERATED]
            hit = request[head, HIT]
            found = 0  # blocks that it shares, and how many of them are free
            idle = 0
            if cached:
                if when[head, ARRIVAL] > clock:
                    break
                if chain[head, TOLD] > 0 and running < max_seqs and budget > 0:
                    found, idle, grows = look(cache, head, known - 1, room, it)
                    if found * bt > hit:
                        hit = found * bt
                    else:
                        found = 0
                        idle = 0
            n = known - hit
            if running >= max_seqs or budget <= 0 or (n > budget and not chunked):
                waits = False
                break
            n = min(n, budget)
            blocks = (hit + n + bt - 1) * magic >> MAGIC_BITS
            wanted = (known + bt - 1) * magic >> MAGIC_BITS if reserve else blocks
            blocks -= found - idle
            if wanted - found + idle > room:
                waits = False
                break
            if when[head, ARRIVAL] > clock:
                break
            if cached:
                memory[ADMISSIONS] += 1
                chain[head, SEAT] = memory[ADMISSIONS]
                chain[head, SHARED] = found
                chain[head, OWN] = -1
                if found > 0:
                    take(cache, head, found, it)
                if request[head, PREEMPTIONS] == 0 and request[head, GENERATED] == 0:
                    chain[head, HITS] = found * bt
            room -= blocks
            budget -= n
            if n == 1 and hit + n == known and request[head, GENERATED] > 0:
                like_decode += 1
                like_kv += known
            else:
                prefill += n
                context += n * (hit + 0.5 * n)
            slot = head
            head = request[slot, NEXT]
            if head >= 0:
                request[head, PREVIOUS] = -1
            else:
                counts[e, TAIL] = -1
            request[slot, PREVIOUS] = last
            request[slot, NEXT] = -1
            if last >= 0:
                request[last, NEXT] = slot
            last = slot
            running += 1
            if fresh < 0:
                fresh = slot
            if hit + n < known:
                partial = slot
                computed = hit + n
            waits = head >= 0

        if ending < 0 and fresh < 0 and partial < 0:
            # Nothing but decodes: jump.
            k = (heap[e, 0] >> SLOT_BITS) - it  # an outdated entry stops it early, no more
            if short or (grows and not waits):
                k = 1
            slope_s = kv_s * batch
            if taken == 0:
                epoch_s = clock
                x = 1.0 * batch
                if each != 1.0:
                    x *= each
                step_s = weights_s(base_s, token_s, compute_base_s, compute_token_s, x)
                step_s += seq_s * batch + kv_s * kv
            limit_s = until_s
            if waits:
                limit_s = min(until_s, when[head, ARRIVAL])
            j = taken + k - 1
            if epoch_s + j * step_s + slope_s * (0.5 * j * (j - 1)) >= limit_s:
                k = iterations_until(step_s, slope_s, epoch_s, limit_s) - taken
            if k == 1:
                free -= need
            else:
                k, used = within(cache, due, e, phase, k, batch, free)
                free -= used
            first_s = step_s + slope_s * taken
            taken += k
            clock = epoch_s + taken * step_s + slope_s * (0.5 * taken * (taken - 1))
            dt = clock - began_s
            joules = decode_energy_j(busy_w, limit_w, decode_j * batch, k, dt, first_s, slope_s)
            it += k
            phase -= k - (k * magic >> MAGIC_BITS) * bt
            phase += bt if phase < 0 else 0
            kv += batch * k
            emitted += batch * k
        else:
            free = room
            k = 1
            taken = 0
            b = batch + like_decode
            x = 1.0 * (prefill + b)
            if each != 1.0:
                x += (each - 1.0) * b
            dt = weights_s(base_s, token_s, compute_base_s, compute_token_s, x)
            dt += seq_s * b + kv_s * (kv + like_kv) + context_s * context
            clock += dt
            joules = min(limit_w * dt, busy_w * dt + prefill_j * prefill + decode_j * b)
            it += 1
            phase = phase - 1 if phase > 0 else bt - 1
            kv += batch
            prefilled += prefill
            emitted += batch
        busy_s += dt
        energy_j += joules
        late = 0
        if cached and partial >= 0 and fresh < 0:
            complete(cache, partial, computed, False, free, it)

        # Prefills that are complete emit a token: the partial one of before, then the fresh ones.
        slot = ending if ending >= 0 else fresh
        while slot >= 0:
            if slot != partial:
                generated = request[slot, GENERATED] + 1
                if generated == 1:
                    when[slot, FIRST_TOKEN] = clock
                emitted += 1
                finish_it = it + request[slot, OUTPUT] - generated
                request[slot, FINISH_IT] = finish_it
                known = request[slot, PROMPT] + generated
                due[e, residue_of(known - 1, phase, bt, magic)] += 1
                batch += 1
                kv += known
                if cached and chain[slot, TOLD] > 0:
                    complete(cache, slot, known - 1, finish_it > it, free, it)
                if entries == heap.shape[1]:
                    entries = cleaned(heap, e, entries, request)
                entries = pushed(heap, e, entries, (finish_it << SLOT_BITS) | slot)
            elif cached:
                complete(cache, slot, computed, False, free, it)
            slot = fresh if slot == ending else request[slot, NEXT]

        # Sequences that have all their tokens leave.
        leaving = -1  # with a block cache: in the order of the running list
        while entries > 0 and heap[e, 0] >> SLOT_BITS <= it:
            slot = heap[e, 0] & SLOT_MASK
            entries = popped(heap, e, entries)
            if request[slot, FINISH_IT] != it:
                continue  # outdated: it was preempted
            has = request[slot, PROMPT] + request[slot, OUTPUT] - 1
            due[e, residue_of(has, phase, bt, magic)] -= 1
            batch -= 1
            kv -= has + 1
            before = request[slot, PREVIOUS]
            behind = request[slot, NEXT]
            if before >= 0:
                request[before, NEXT] = behind
            if behind >= 0:
                request[behind, PREVIOUS] = before
            else:
                last = before
            running -= 1
            outstanding -= 1
            late += 1
            taken = 0
            when[slot, FINISH] = clock
            if cached:
                before = -1
                behind = leaving
                while behind >= 0 and chain[behind, SEAT] < chain[slot, SEAT]:
                    before = behind
                    behind = request[behind, NEXT]
                request[slot, NEXT] = behind
                if before >= 0:
                    request[before, NEXT] = slot
                else:
                    leaving = slot
            else:
                free += (has + bt - 1) * magic >> MAGIC_BITS
                request[slot, FINISH_IT] = -1
            if done.shape[0] > 0:
                done[dones[0]] = slot
                dones[0] += 1
        while leaving >= 0:
            has = request[leaving, PROMPT] + request[leaving, OUTPUT] - 1
            free += release(cache, leaving, has, it)
            request[leaving, FINISH_IT] = -1
            leaving = request[leaving, NEXT]

    counts[e, ITERATIONS] = it
    counts[e, BATCH] = batch
    counts[e, KV] = kv
    counts[e, FREE] = free
    counts[e, RUNNING] = running
    counts[e, PARTIAL] = partial
    counts[e, COMPUTED] = computed
    counts[e, LAST] = last
    counts[e, HEAD] = head
    counts[e, HEAP] = entries
    counts[e, TAKEN] = taken
    counts[e, LATE] = late
    counts[e, OUTSTANDING] = outstanding
    counts[e, PREFILLED] = prefilled
    counts[e, EMITTED] = emitted
    counts[e, PREEMPTED] = preempted
    times[e, CLOCK] = clock
    times[e, EPOCH] = epoch_s
    times[e, STEP] = step_s
    times[e, BUSY] = busy_s
    times[e, ENERGY] = energy_j
    if dt > 0.0:
        times[e, LAST_W] = joules / dt

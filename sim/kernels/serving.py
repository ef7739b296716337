"""Continuous batching, token-exact: docs/MODEL.md section 4 without stepping through iterations.

While a batch decodes, all its sequences move together. So a sequence is known by the iteration at
which it finishes (`FINISH_IT`): after `it` iterations it has emitted OUTPUT - (FINISH_IT - it)
tokens, and all its tokens but the last one have their KV. A heap of FINISH_IT tells how many
iterations the batch stays as it is, and sequences counted by residue tell how many blocks those
take. Nothing here loops over the batch. Where a block cache is on, `blocks` says what a request
finds and how many blocks are free when it leaves; nothing else changes.
"""

import math

import numpy as np

from sim.kernels.blocks import MAGIC, MAGIC_BITS, complete, look, release, take
from sim.kernels.jit import part, pure_kernel
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
    KV_BLOCKS,
    KV_TOKEN_S,
    LAST,
    LAST_W,
    LATE,
    LEAF,
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
from sim.types import Bools, Floats, Ints

SLOT_MASK = (1 << SLOT_BITS) - 1
MAX_TOKENS = 1 << 24


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
        advance_engine(
            engines.seconds,
            engines.power,
            engines.size,
            engines.kind[e],
            state.counts,
            state.times,
            state.heap,
            state.due,
            state.done,
            state.dones,
            requests.counts,
            requests.times,
            requests.chains,
            requests.content,
            state.memory,
            e,
            until_s,
        )


@part
def advance_engine(
    seconds: Floats,
    power: Floats,
    size: Ints,
    kind: int,
    counts: Ints,
    times: Floats,
    heap: Ints,
    due: Ints,
    done: Ints,
    dones: Ints,
    request: Ints,
    when: Floats,
    chain: Ints,
    content: Ints,
    memories: Ints,
    e: int,
    until_s: float,
) -> None:
    """Run one engine; arguments are the arrays of `Engines`, `EngineState` and `Requests`."""
    if times[e, CLOCK] < until_s and counts[e, OUTSTANDING] > 0:
        if size[kind, PREFIX_CACHE] != 0:
            _with_cache(
                seconds, power, size, kind, counts, times, heap, due, done, dones, request, when,
                chain, content, memories, e, until_s,
            )  # fmt: skip
        else:
            _without_cache(
                seconds, power, size, kind, counts, times, heap, due, done, dones, request, when,
                e, until_s,
            )  # fmt: skip


@pure_kernel
def _with_cache(
    seconds: Floats,
    power: Floats,
    size: Ints,
    kind: int,
    counts: Ints,
    times: Floats,
    heap: Ints,
    due: Ints,
    done: Ints,
    dones: Ints,
    request: Ints,
    when: Floats,
    chain: Ints,
    content: Ints,
    memories: Ints,
    e: int,
    until_s: float,
) -> None:
    _advance(
        seconds, power, size, kind, counts, times, heap, due, done, dones, request, when,
        chain, content, memories[e], True, e, until_s,
    )  # fmt: skip


@pure_kernel
def _without_cache(
    seconds: Floats,
    power: Floats,
    size: Ints,
    kind: int,
    counts: Ints,
    times: Floats,
    heap: Ints,
    due: Ints,
    done: Ints,
    dones: Ints,
    request: Ints,
    when: Floats,
    e: int,
    until_s: float,
) -> None:
    _advance(  # nobody looks at the three arrays of a cache
        seconds, power, size, kind, counts, times, heap, due, done, dones, request, when,
        counts, counts, dones, False, e, until_s,
    )  # fmt: skip


@part
def _advance(
    seconds: Floats,
    power: Floats,
    size: Ints,
    kind: int,
    counts: Ints,
    times: Floats,
    heap: Ints,
    due: Ints,
    done: Ints,
    dones: Ints,
    request: Ints,
    when: Floats,
    chain: Ints,
    content: Ints,
    memory: Ints,
    cached: bool,
    e: int,
    until_s: float,
) -> None:
    """Run one engine: copied once with all of a block cache and once without."""
    clock = times[e, CLOCK]
    head = counts[e, HEAD]
    running = counts[e, RUNNING]
    base_s = seconds[kind, BASE_S]
    token_s = seconds[kind, TOKEN_S]
    compute_base_s = seconds[kind, COMPUTE_BASE_S]
    compute_token_s = seconds[kind, COMPUTE_TOKEN_S]
    each = seconds[kind, DECODE_TOKENS]
    seq_s = seconds[kind, DECODE_SEQ_S]
    kv_s = seconds[kind, KV_TOKEN_S]
    context_s = seconds[kind, PREFILL_CONTEXT_S]
    busy_w = power[kind, BUSY_W]
    prefill_j = power[kind, PREFILL_J]
    decode_j = power[kind, DECODE_J]
    limit_w = power[kind, LIMIT_W]
    max_tokens = size[kind, MAX_BATCHED_TOKENS]
    max_seqs = size[kind, MAX_SEQS]
    bt = size[kind, BLOCK_TOKENS]
    magic = MAGIC // bt + 1  # x * magic >> MAGIC_BITS is x // bt, without a division
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
                residue = has - (has * magic >> MAGIC_BITS) * bt + phase
                residue -= bt if residue >= bt else 0
                due[e, residue] -= 1
                if residue == phase:
                    need -= 1
                batch -= 1
                kv -= has + 1
            if cached:
                free += release(memory, chain, content, victim, has, free, it, bt, magic)
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
                    found, idle, grows = look(
                        memory, content, chain[head, LEAF], chain[head, TOLD], known - 1, room,
                        it, magic,
                    )  # fmt: skip
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
                    take(memory, chain, content, head, found, it, magic)
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
                step_s = max(base_s + token_s * x, compute_base_s + compute_token_s * x)
                step_s += seq_s * batch + kv_s * kv
            limit_s = until_s
            if waits:
                limit_s = min(until_s, when[head, ARRIVAL])
            j = taken + k - 1
            if epoch_s + j * step_s + slope_s * (0.5 * j * (j - 1)) >= limit_s:
                k = _iterations_until(step_s, slope_s, epoch_s, limit_s) - taken
            if k == 1:
                free -= need
            else:
                periods = k * magic >> MAGIC_BITS
                used = periods * batch
                j = periods * bt
                if used > free:
                    periods = free // batch
                    used = periods * batch
                    j = periods * bt
                at = phase
                while j < k:
                    takes = due[e, at]
                    if used + takes > free:
                        break
                    used += takes
                    j += 1
                    at = at - 1 if at > 0 else bt - 1
                k = j
                free -= used
            first_s = step_s + slope_s * taken
            taken += k
            clock = epoch_s + taken * step_s + slope_s * (0.5 * taken * (taken - 1))
            dt = clock - began_s
            joules = busy_w * dt + decode_j * batch * k
            # Below the power limit unless iterations are too short, and they grow longer:
            if limit_w * first_s < busy_w * first_s + decode_j * batch:
                over = 1.0 * k
                if slope_s > 0.0:
                    over = (decode_j * batch / (limit_w - busy_w) - first_s) / slope_s
                    over = min(max(np.ceil(over), 1.0), 1.0 * k)
                over_s = over * first_s + slope_s * (0.5 * over * (over - 1.0))
                joules = limit_w * over_s
                joules += busy_w * (dt - over_s) + decode_j * batch * (k - over)
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
            dt = max(base_s + token_s * x, compute_base_s + compute_token_s * x)
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
            complete(
                memory, chain, content, partial, computed, False, free,
                it, bt, magic,
            )  # fmt: skip

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
                residue = known - 1 - ((known - 1) * magic >> MAGIC_BITS) * bt + phase
                residue -= bt if residue >= bt else 0
                due[e, residue] += 1
                batch += 1
                kv += known
                if cached and chain[slot, TOLD] > 0:
                    complete(
                        memory, chain, content, slot, known - 1,
                        finish_it > it, free, it, bt, magic,
                    )  # fmt: skip
                if entries == heap.shape[1]:
                    entries = _cleaned(heap, e, entries, request)
                key = (finish_it << SLOT_BITS) | slot
                i = entries
                entries += 1
                while i > 0:
                    above = heap[e, (i - 1) >> 1]
                    if above <= key:
                        break
                    heap[e, i] = above
                    i = (i - 1) >> 1
                heap[e, i] = key
            elif cached:
                complete(
                    memory, chain, content, slot, computed, False, free,
                    it, bt, magic,
                )  # fmt: skip
            slot = fresh if slot == ending else request[slot, NEXT]

        # Sequences that have all their tokens leave.
        leaving = -1  # with a block cache: in the order of the running list
        while entries > 0 and heap[e, 0] >> SLOT_BITS <= it:
            slot = heap[e, 0] & SLOT_MASK
            entries -= 1
            key = heap[e, entries]
            i = 0
            child = 1
            while child < entries:
                if child + 1 < entries:
                    child += int(heap[e, child + 1] < heap[e, child])  # no branch to mispredict
                if heap[e, child] >= key:
                    break
                heap[e, i] = heap[e, child]
                i = child
                child = 2 * i + 1
            heap[e, i] = key
            if request[slot, FINISH_IT] != it:
                continue  # outdated: it was preempted
            has = request[slot, PROMPT] + request[slot, OUTPUT] - 1
            residue = has - (has * magic >> MAGIC_BITS) * bt + phase
            residue -= bt if residue >= bt else 0
            due[e, residue] -= 1
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
            free += release(memory, chain, content, leaving, has, free, it, bt, magic)
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


@pure_kernel
def _iterations_until(step_s: float, slope_s: float, epoch_s: float, limit_s: float) -> int:
    """The smallest j with epoch + j step + slope j (j - 1) / 2 >= limit: a root, then exact."""
    x = limit_s - epoch_s
    b = step_s - 0.5 * slope_s
    j = math.ceil(2.0 * x / (b + math.sqrt(b * b + 2.0 * slope_s * x)))
    while j > 1 and epoch_s + (j - 1) * step_s + slope_s * (0.5 * (j - 1) * (j - 2)) >= limit_s:
        j -= 1
    while epoch_s + j * step_s + slope_s * (0.5 * j * (j - 1)) < limit_s:
        j += 1
    return j


@pure_kernel
def _cleaned(heap: Ints, e: int, entries: int, request: Ints) -> int:
    """Throw out what is outdated; a full heap has room then, for at most max_seqs entries count."""
    count = 0
    for i in range(entries):
        key = heap[e, i]
        if request[key & SLOT_MASK, FINISH_IT] != key >> SLOT_BITS:
            continue
        hole = count
        count += 1
        while hole > 0 and heap[e, (hole - 1) >> 1] > key:
            heap[e, hole] = heap[e, (hole - 1) >> 1]
            hole = (hole - 1) >> 1
        heap[e, hole] = key
    return count


@part
def enqueue(counts: Ints, request: Ints, e: int, slot: int) -> None:
    """Put a request at the end of the queue of engine e; its ARRIVAL is never before the tail's."""
    tail = counts[e, TAIL]
    request[slot, NEXT] = -1
    request[slot, PREVIOUS] = tail
    if tail >= 0:
        request[tail, NEXT] = slot
    else:
        counts[e, HEAD] = slot
    counts[e, TAIL] = slot
    counts[e, OUTSTANDING] += 1


@part
def fill_slot(
    request: Ints, when: Floats, slot: int, arrival_s: float, prompt: int, output: int, hit: int
) -> None:
    """Write a new request into a slot; at least one token of its prompt is computed."""
    request[slot, PROMPT] = prompt
    request[slot, OUTPUT] = output
    request[slot, HIT] = min(hit, prompt - 1)
    request[slot, GENERATED] = 0
    request[slot, FINISH_IT] = -1
    request[slot, PREEMPTIONS] = 0
    when[slot, ARRIVAL] = arrival_s
    when[slot, FIRST_TOKEN] = np.nan
    when[slot, FINISH] = np.nan


@part
def fits(size: Ints, kind: int, prompt: int, output: int, hit: int) -> bool:
    """Whether a request could ever be served by an engine with these settings."""
    tokens = prompt + output - 1
    if tokens > size[kind, KV_BLOCKS] * size[kind, BLOCK_TOKENS]:
        return False
    return bool(size[kind, CHUNKED_PREFILL] != 0 or tokens - hit <= size[kind, MAX_BATCHED_TOKENS])


@pure_kernel
def serve_trace(
    engines: Engines,
    state: EngineState,
    requests: Requests,
    owner: Ints,
    idle: Ints,
    progress: Ints,
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    hit: Ints,
    leaf: Ints,
    told: Ints,
    first_token_s: Floats,
    finish_s: Floats,
    preemptions: Ints,
    rejected: Bools,
    found: Ints,
) -> int:
    """Serve a trace on engine 0 through a small table of slots, which stays in the cache.

    `owner` (slot,) is the request in a slot, `idle` (slot,) a stack of empty slots, `progress` the
    next request and the height of that stack. The last five arrays take the results. `hit` is empty
    where no prefix is given as cached, `leaf` and `told` where there is no block cache. Returns -1
    when done, -2 when more slots are needed to go on, or the first request that makes no sense.
    """
    request = requests.counts
    when = requests.times
    chain = requests.chains
    counts = state.counts
    size = engines.size
    kind = engines.kind[0]
    done = state.done
    n = arrival_s.shape[0]
    i = int(progress[0])
    empty = int(progress[1])
    while True:
        while i < n and empty > 0:
            cached = hit[i] if hit.shape[0] > 0 else 0
            wrong = not (arrival_s[i] < np.inf and arrival_s[i] > -np.inf)
            wrong = wrong or (i > 0 and arrival_s[i] < arrival_s[i - 1])
            wrong = wrong or prompt[i] < 1 or output[i] < 1 or cached < 0 or cached > prompt[i]
            if wrong or prompt[i] + output[i] > MAX_TOKENS:
                return i
            cached = min(cached, prompt[i] - 1)
            first_token_s[i] = np.nan
            finish_s[i] = np.nan
            preemptions[i] = 0
            found[i] = cached
            rejected[i] = not fits(size, kind, prompt[i], output[i], cached)
            if not rejected[i]:
                empty -= 1
                slot = idle[empty]
                owner[slot] = i
                fill_slot(request, when, slot, arrival_s[i], prompt[i], output[i], cached)
                if leaf.shape[0] > 0:
                    chain[slot, LEAF] = leaf[i]
                    chain[slot, TOLD] = told[i]
                enqueue(counts, request, 0, slot)
            i += 1
        until_s = arrival_s[i] if i < n else np.inf
        advance_engines(engines, state, requests, 0, 1, until_s)
        for k in range(state.dones[0]):
            slot = done[k]
            served = owner[slot]
            first_token_s[served] = when[slot, FIRST_TOKEN]
            finish_s[served] = when[slot, FINISH]
            preemptions[served] = request[slot, PREEMPTIONS]
            if leaf.shape[0] > 0:
                found[served] = chain[slot, HITS]
            idle[empty] = slot
            empty += 1
        state.dones[0] = 0
        progress[0] = i
        progress[1] = empty
        if i == n:
            return -1
        if empty == 0:
            return -2


@pure_kernel
def enqueue_all(
    engines: Engines,
    state: EngineState,
    requests: Requests,
    arrival_s: Floats,
    prompt: Ints,
    output: Ints,
    hit: Ints,
    share: int,
) -> None:
    """Queue a trace: the first `share` requests that fit at engine 0, the others at engine 1."""
    for i in range(arrival_s.shape[0]):
        e = 0 if i < share else 1
        if fits(engines.size, engines.kind[e], prompt[i], output[i], hit[i]):
            fill_slot(
                requests.counts, requests.times, i, arrival_s[i], prompt[i], output[i], hit[i]
            )
            enqueue(state.counts, requests.counts, e, i)

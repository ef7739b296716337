"""A trace of requests through one engine or two, with nothing else in the world."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.jit import part, pure_kernel
from sim.kernels.requests import (
    FINISH,
    FIRST_TOKEN,
    HITS,
    LEAF,
    PREEMPTIONS,
    TOLD,
    Engines,
    EngineState,
    Requests,
    enqueue,
    fill_slot,
    fits,
)
from sim.kernels.serving import advance_engines
from sim.types import Bools, Floats, Ints

MAX_TOKENS: Final = 1 << 24
DONE: Final = -1
MORE_SLOTS: Final = -2


class Trace(NamedTuple):
    """Requests, in order of time."""

    arrival_s: Floats  # (request,)
    prompt: Ints  # (request,) tokens
    output: Ints  # (request,) tokens
    hit: Ints  # (request,) tokens of the prompt that are cached; empty: none
    leaf: Ints  # (request,) last node of its content; empty: there is no block cache
    told: Ints  # (request,) tokens of it, of prompt and output


class Slots(NamedTuple):
    """Who is in memory."""

    owner: Ints  # (slot,) the request in it
    idle: Ints  # (slot,) stack of empty slots
    progress: Ints  # (2,) the next request, and the height of that stack


class Outcome(NamedTuple):
    """What became of each request (request,)."""

    first_token_s: Floats  # NaN: not served
    finish_s: Floats
    preemptions: Ints
    rejected: Bools
    found: Ints  # tokens that were cached


@pure_kernel
def serve_trace(
    engines: Engines,
    state: EngineState,
    requests: Requests,
    slots: Slots,
    trace: Trace,
    outcome: Outcome,
) -> int:
    """Serve a trace on engine 0 through a small table of slots, which stays in the cache.

    Returns DONE, MORE_SLOTS when that many are needed to go on, or the first request that makes no
    sense.
    """
    arrival_s, prompt, output, hit, leaf, told = trace
    first_token_s, finish_s, preemptions, rejected, found = outcome
    owner, idle, progress = slots
    request = requests.counts
    when = requests.times
    chain = requests.chains
    kind = engines.kind[0]
    done = state.done
    n = arrival_s.shape[0]
    i = int(progress[0])
    empty = int(progress[1])
    while True:
        while i < n and empty > 0:
            if not _makes_sense(trace, i):
                return i
            cached = min(hit[i] if hit.shape[0] > 0 else 0, prompt[i] - 1)
            first_token_s[i] = np.nan
            finish_s[i] = np.nan
            preemptions[i] = 0
            found[i] = cached
            rejected[i] = not fits(engines.size, kind, prompt[i], output[i], cached)
            if not rejected[i]:
                empty -= 1
                slot = idle[empty]
                owner[slot] = i
                fill_slot(request, when, slot, arrival_s[i], prompt[i], output[i], cached)
                if leaf.shape[0] > 0:
                    chain[slot, LEAF] = leaf[i]
                    chain[slot, TOLD] = told[i]
                enqueue(state.counts, request, 0, slot)
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
            return DONE
        if empty == 0:
            return MORE_SLOTS


@part
def _makes_sense(trace: Trace, i: int) -> bool:
    arrival_s = trace.arrival_s[i]
    prompt = trace.prompt[i]
    output = trace.output[i]
    hit = trace.hit[i] if trace.hit.shape[0] > 0 else 0
    wrong = not (arrival_s < np.inf and arrival_s > -np.inf)
    wrong = wrong or (i > 0 and arrival_s < trace.arrival_s[i - 1])
    wrong = wrong or prompt < 1 or output < 1 or hit < 0 or hit > prompt
    return not wrong and prompt + output <= MAX_TOKENS


@pure_kernel
def enqueue_all(
    engines: Engines, state: EngineState, requests: Requests, trace: Trace, share: int
) -> None:
    """Queue a trace: the first `share` requests that fit at engine 0, the others at engine 1."""
    for i in range(trace.arrival_s.shape[0]):
        e = 0 if i < share else 1
        prompt = trace.prompt[i]
        output = trace.output[i]
        hit = trace.hit[i]
        if fits(engines.size, engines.kind[e], prompt, output, hit):
            fill_slot(requests.counts, requests.times, i, trace.arrival_s[i], prompt, output, hit)
            enqueue(state.counts, requests.counts, e, i)

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
from sim.kernels.serving import advance_engine
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
    progress = slots.progress
    n = trace.arrival_s.shape[0]
    while True:
        i = progress[0]
        while i < n and progress[1] > 0:
            if not _makes_sense(trace, i):
                return int(i)
            _enter(engines, state, requests, slots, trace, outcome)
            i += 1
        until_s = trace.arrival_s[i] if i < n else np.inf
        advance_engine(engines, state, requests, 0, until_s)
        _collect(state, requests, slots, outcome)
        if i == n:
            return DONE
        if progress[1] == 0:
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


@part
def _enter(
    engines: Engines,
    state: EngineState,
    requests: Requests,
    slots: Slots,
    trace: Trace,
    outcome: Outcome,
) -> None:
    """The next request gets a slot and is queued, if the engine can ever serve it."""
    i = slots.progress[0]
    slots.progress[0] = i + 1
    prompt = trace.prompt[i]
    output = trace.output[i]
    hit = min(trace.hit[i] if trace.hit.shape[0] > 0 else 0, prompt - 1)
    outcome.first_token_s[i] = np.nan
    outcome.finish_s[i] = np.nan
    outcome.preemptions[i] = 0
    outcome.found[i] = hit
    outcome.rejected[i] = not fits(engines.size, engines.kind[0], prompt, output, hit)
    if outcome.rejected[i]:
        return
    slots.progress[1] -= 1
    slot = slots.idle[slots.progress[1]]
    slots.owner[slot] = i
    fill_slot(requests.counts, requests.times, slot, trace.arrival_s[i], prompt, output, hit)
    if trace.leaf.shape[0] > 0:
        requests.chains[slot, LEAF] = trace.leaf[i]
        requests.chains[slot, TOLD] = trace.told[i]
    enqueue(state.counts, requests.counts, 0, slot)


@part
def _collect(state: EngineState, requests: Requests, slots: Slots, outcome: Outcome) -> None:
    """Write down what became of those who have finished; their slots are empty."""
    for k in range(state.dones[0]):
        slot = state.done[k]
        i = slots.owner[slot]
        outcome.first_token_s[i] = requests.times[slot, FIRST_TOKEN]
        outcome.finish_s[i] = requests.times[slot, FINISH]
        outcome.preemptions[i] = requests.counts[slot, PREEMPTIONS]
        if requests.chains.shape[0] > 0:
            outcome.found[i] = requests.chains[slot, HITS]
        slots.idle[slots.progress[1]] = slot
        slots.progress[1] += 1
    state.dones[0] = 0


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

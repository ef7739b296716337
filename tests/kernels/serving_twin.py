"""MODEL.md section 4, sentence by sentence: one iteration at a time, obvious and slow."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from sim.serving import Engine


@dataclass
class Sequence:
    """A request; known = prompt + generated tokens, computed = tokens whose KV exists."""

    arrival_s: float
    prompt: int
    output: int
    hit: int
    generated: int = 0
    computed: int = 0
    blocks: int = 0
    first_token_s: float = math.nan
    finish_s: float = math.nan
    preemptions: int = 0
    rejected: bool = False

    @property
    def known(self) -> int:
        return self.prompt + self.generated


class Outcome(NamedTuple):
    sequences: list[Sequence]
    iterations: int
    energy_j: float
    busy_s: float


def serve_slowly(
    arrival_s: list[float],
    prompt: list[int],
    output: list[int],
    engine: Engine,
    hit: list[int] | None = None,
) -> Outcome:
    """Serve a trace, stepping."""
    hits = hit or [0] * len(prompt)
    everyone = [
        Sequence(a, p, o, min(h, p - 1))
        for a, p, o, h in zip(arrival_s, prompt, output, hits, strict=True)
    ]
    waiting: list[Sequence] = []
    running: list[Sequence] = []
    free = engine.kv_blocks

    def blocks(tokens: int) -> int:
        return -(-tokens // engine.block_tokens)

    coming = []
    for s in everyone:
        tokens = s.prompt + s.output - 1
        s.rejected = blocks(tokens) > engine.kv_blocks or (
            not engine.chunked_prefill and tokens - s.hit > engine.max_batched_tokens
        )
        if not s.rejected:
            coming.append(s)

    clock_s = 0.0
    iterations, energy_j, busy_s = 0, 0.0, 0.0
    while coming or waiting or running:
        if not waiting and not running:
            clock_s = max(clock_s, coming[0].arrival_s)
        while coming and coming[0].arrival_s <= clock_s:
            waiting.append(coming.pop(0))

        # 1. and 2.: the running list, in its order
        budget = engine.max_batched_tokens
        scheduled: list[tuple[Sequence, int]] = []
        preempted = False
        position = 0
        while position < len(running) and budget > 0:
            s = running[position]
            n = min(s.known - s.computed, budget)
            missing = blocks(s.computed + n) - s.blocks
            while missing > free:
                victim = running.pop()
                preempted = True
                free += victim.blocks
                victim.blocks = victim.computed = 0
                victim.preemptions += 1
                waiting.insert(0, victim)
                if victim is s:
                    break
            if s.blocks == 0:
                break  # it preempted itself: the step ends
            free -= missing
            s.blocks += missing
            budget -= n
            scheduled.append((s, n))
            position += 1

        # 3. the queue
        while not preempted and waiting and len(running) < engine.max_seqs and budget > 0:
            s = waiting[0]
            n = s.known - s.hit
            if n > budget:
                if not engine.chunked_prefill:
                    break
                n = budget
            if blocks(s.known if engine.reserve_full_prompt else s.hit + n) > free:
                break
            waiting.pop(0)
            running.append(s)
            s.computed = s.hit
            s.blocks = blocks(s.hit + n)
            free -= s.blocks
            budget -= n
            scheduled.append((s, n))

        # 4. how long it takes
        p = b = k = 0
        q = 0.0
        for s, n in scheduled:
            if s.generated > 0 and s.known - s.computed == 1:
                b += 1
                k += s.computed + 1
            else:
                p += n
                q += n * (s.computed + n / 2)
        t = engine.iteration
        dt = max(t.base_s + t.token_s * (p + b), t.compute_base_s + t.compute_token_s * (p + b))
        dt += t.host_s + t.decode_seq_s * b + t.kv_token_s * k + t.prefill_context_s * q
        clock_s += dt
        iterations += 1
        busy_s += dt
        w = engine.power
        energy_j += min(w.limit_w * dt, w.busy_w * dt + w.prefill_j * p + w.decode_j * b)

        # 5. what has come of it
        for s, n in scheduled:
            s.computed += n
            if s.computed < s.known:
                continue
            s.generated += 1
            if s.generated == 1:
                s.first_token_s = clock_s
            if s.generated == s.output:
                s.finish_s = clock_s
                free += s.blocks
                running.remove(s)
    return Outcome(everyone, iterations, energy_j, busy_s)

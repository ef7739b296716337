"""docs/MODEL.md section 4, sentence by sentence: one iteration at a time, obvious and slow."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from sim.serving import Engine


@dataclass(eq=False)
class Block:
    """A block of KV memory; `content` is all the tokens up to its end, None: nothing known."""

    content: tuple[Hashable, ...] | None = None
    users: int = 0


class Memory:
    """The blocks of an engine, one by one."""

    def __init__(self, blocks: int) -> None:
        self.queue = [Block() for _ in range(blocks)]  # free ones; the first is overwritten first
        self.known: list[Block] = []  # in the order in which they became known

    def new(self) -> Block:
        block = self.queue.pop(0)
        if block.content is not None:
            self.known.remove(block)
            block.content = None
        block.users = 1
        return block

    def find(self, content: tuple[Hashable, ...]) -> Block | None:
        return next((b for b in self.known if b.content == content), None)

    def share(self, block: Block) -> None:
        if block.users == 0:
            self.queue.remove(block)
        block.users += 1

    def give_up(self, blocks: list[Block]) -> None:
        for block in reversed(blocks):
            block.users -= 1
            if block.users == 0:
                self.queue.append(block)


@dataclass(eq=False)
class Sequence:
    """A request; known = prompt + generated tokens, computed = tokens whose KV exists."""

    arrival_s: float
    prompt: int
    output: int
    hit: int
    generated: int = 0
    computed: int = 0
    blocks: list[Block] = field(default_factory=list)
    told: tuple[Hashable, ...] = ()  # its first tokens, prompt and output, as far as they are told
    found: int = 0  # tokens of the prompt, when it was first admitted
    admitted: bool = False
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
    told: list[tuple[Hashable, ...]] | None = None,
) -> Outcome:
    """Serve a trace, stepping; `told` tokens of each request for a cache of blocks."""
    hits = hit or [0] * len(prompt)
    everyone = [
        Sequence(a, p, o, min(h, p - 1))
        for a, p, o, h in zip(arrival_s, prompt, output, hits, strict=True)
    ]
    if engine.prefix_cache:
        for s, tokens_told in zip(everyone, told or [()] * len(everyone), strict=True):
            s.told = tokens_told
    waiting: list[Sequence] = []
    running: list[Sequence] = []
    memory = Memory(engine.kv_blocks)

    def found(s: Sequence) -> list[Block]:
        blocks: list[Block] = []
        while (len(blocks) + 1) * engine.block_tokens <= min(len(s.told), s.known - 1):
            block = memory.find(s.told[: (len(blocks) + 1) * engine.block_tokens])
            if block is None:
                break
            blocks.append(block)
        return blocks

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
            missing = blocks(s.computed + n) - len(s.blocks)
            while missing > len(memory.queue):
                victim = running.pop()
                preempted = True
                memory.give_up(victim.blocks)
                victim.blocks, victim.computed = [], 0
                victim.preemptions += 1
                waiting.insert(0, victim)
                if victim is s:
                    break
            if not s.blocks:
                break  # it preempted itself: the step ends
            s.blocks += [memory.new() for _ in range(missing)]
            budget -= n
            scheduled.append((s, n))
            position += 1

        # 3. the queue
        while not preempted and waiting and len(running) < engine.max_seqs and budget > 0:
            s = waiting[0]
            shared = found(s)
            hit_tokens = max(len(shared) * engine.block_tokens, s.hit)
            n = s.known - hit_tokens
            if n > budget:
                if not engine.chunked_prefill:
                    break
                n = budget
            wanted = blocks(s.known if engine.reserve_full_prompt else hit_tokens + n)
            free = len(memory.queue) - sum(b.users == 0 for b in shared)
            if wanted - len(shared) > free:
                break
            waiting.pop(0)
            running.append(s)
            for block in shared:
                memory.share(block)
            missing = blocks(hit_tokens + n) - len(shared)
            s.blocks = shared + [memory.new() for _ in range(missing)]
            s.computed = hit_tokens
            if not s.admitted:
                s.admitted, s.found = True, hit_tokens
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

        # 5. what has come of it: blocks become known first
        for s, n in scheduled:
            for j in range(s.computed // engine.block_tokens, len(s.blocks)):
                end = (j + 1) * engine.block_tokens
                if end <= min(s.computed + n, len(s.told)):
                    s.blocks[j].content = s.told[:end]
                    memory.known.append(s.blocks[j])
        for s, n in scheduled:
            s.computed += n
            if s.computed < s.known:
                continue
            s.generated += 1
            if s.generated == 1:
                s.first_token_s = clock_s
            if s.generated == s.output:
                s.finish_s = clock_s
                memory.give_up(s.blocks)
                running.remove(s)
        held = {id(b) for s in running for b in s.blocks}
        assert len(held) + len(memory.queue) == engine.kv_blocks  # none is lost, none counted twice
    return Outcome(everyone, iterations, energy_j, busy_s)

"""The batch of an engine: the ledger of blocks that come due, the heap of who finishes, its times.

While a batch decodes, all its sequences move together. So a sequence is known by the iteration at
which it finishes (`FINISH_IT`): after `it` iterations it has emitted OUTPUT - (FINISH_IT - it)
tokens, and all its tokens but the last one have their KV. A heap of FINISH_IT tells how many
iterations the batch stays as it is.

The ledger. A sequence with the KV of `has` tokens holds ceil(has / bt) blocks, and takes one more
in the iteration that finds has % bt == 0. Every iteration adds one to `has` and one to `it`, so the
residue (has - it) % bt stays what it is while the sequence decodes, and `due[residue]` counts the
sequences that have it. The next iteration takes `due[phase]` blocks, where phase is (-it) % bt, and
the phase goes down by one each time. With bt = 4 and seven sequences, seen after 8 iterations:

    due:     residue 0   1   2   3          iteration   9   10   11   12   13   14 ...
    sequences        2   0   1   4          phase       0    3    2    1    0    3
                                            takes       2    4    1    0    2    4

Four iterations take a block for each of the seven. So with `free` blocks a jump of k iterations
holds at once for free // 7 whole periods of bt, and then as long as the ledger's next entries fit
into what is left: at most bt looks, however far the jump goes. Nothing is reserved for later; in an
iteration blocks come due in this order, and the first that do not fit end it:

    1. due[phase], for tokens that the batch emits   } those at the end of the running list are
    2. the next chunk of the prefill that goes on    } thrown out until the others fit
    3. the queue, from its front: of a request the blocks of its first chunk are taken, but there
       must be room for its whole prompt where RESERVE_FULL_PROMPT says so
"""

import math

import numpy as np

from sim.kernels.blocks import Cache
from sim.kernels.jit import part, pure_kernel
from sim.kernels.pieces import MAGIC_BITS
from sim.kernels.requests import (
    FINISH_IT,
    SLOT_BITS,
)
from sim.types import Ints

SLOT_MASK = (1 << SLOT_BITS) - 1


@part
def residue_of(has: int, phase: int, bt: int, magic: int) -> int:
    """Where a sequence with the KV of `has` tokens stands in the ledger."""
    residue = has - (has * magic >> MAGIC_BITS) * bt + phase
    residue -= bt if residue >= bt else 0
    return residue


@part
def within(
    cache: Cache, due: Ints, e: int, phase: int, k: int, batch: int, free: int
) -> tuple[int, int]:
    """How many of k iterations the free blocks are enough for, and what those take."""
    bt = cache.block_tokens
    periods = k * cache.magic >> MAGIC_BITS
    if periods * batch > free:
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
    return j, used


@part
def pushed(heap: Ints, e: int, entries: int, key: int) -> int:
    """Add FINISH_IT and slot of a sequence to the heap; entries then."""
    i = entries
    while i > 0:
        above = heap[e, (i - 1) >> 1]
        if above <= key:
            break
        heap[e, i] = above
        i = (i - 1) >> 1
    heap[e, i] = key
    return entries + 1


@part
def popped(heap: Ints, e: int, entries: int) -> int:
    """Take the sequence that finishes first off the heap; entries then."""
    entries = entries - 1
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
    return entries


@pure_kernel
def cleaned(heap: Ints, e: int, entries: int, request: Ints) -> int:
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
def weights_s(
    base_s: float, token_s: float, compute_base_s: float, compute_token_s: float, tokens: float
) -> float:
    """Memory or arithmetic, whichever takes longer, for so many tokens [s]."""
    return float(max(base_s + token_s * tokens, compute_base_s + compute_token_s * tokens))


@part
def decode_energy_j(
    busy_w: float, limit_w: float, each_j: float, k: int, dt: float, first_s: float, slope_s: float
) -> float:
    """Energy of k iterations of a batch [J] in `dt` [s], each longer by `slope_s` than the last.

    Below the power limit unless iterations are too short, and they grow longer.
    """
    joules = busy_w * dt + each_j * k
    if limit_w * first_s < busy_w * first_s + each_j:
        over = 1.0 * k
        if slope_s > 0.0:
            over = (each_j / (limit_w - busy_w) - first_s) / slope_s
            over = min(max(np.ceil(over), 1.0), 1.0 * k)
        over_s = over * first_s + slope_s * (0.5 * over * (over - 1.0))
        joules = limit_w * over_s
        joules += busy_w * (dt - over_s) + each_j * (k - over)
    return float(joules)


@pure_kernel
def iterations_until(step_s: float, slope_s: float, epoch_s: float, limit_s: float) -> int:
    """The smallest j with epoch + j step + slope j (j - 1) / 2 >= limit: a root, then exact."""
    x = limit_s - epoch_s
    b = step_s - 0.5 * slope_s
    j = math.ceil(2.0 * x / (b + math.sqrt(b * b + 2.0 * slope_s * x)))
    while j > 1 and epoch_s + (j - 1) * step_s + slope_s * (0.5 * (j - 1) * (j - 2)) >= limit_s:
        j -= 1
    while epoch_s + j * step_s + slope_s * (0.5 * j * (j - 1)) < limit_s:
        j += 1
    return j

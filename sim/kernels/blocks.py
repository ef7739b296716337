"""The block cache of an engine (docs/MODEL.md section 4), by pieces instead of single blocks.

A content is a path in a tree of nodes; a piece is a run of neighbouring blocks of one node that one
request computed and the same requests hold. Free blocks stand in a queue of pieces: what is given
up joins its rear, last block first, and what is taken from its front is forgotten. Those that hold
nothing known are counted with the piece behind them. Blocks are only counted when they are taken:
`QUEUED` less the free ones is how many the front has lost, and `settle` makes that good when
somebody looks. So decoding need not come here at all.

Who holds which copy of a block is written nowhere: a request found the copy that became known
first, and as no older one can come back, that is still the first one when it leaves. Most nodes
have one piece, and then there is nothing to search.

What is done to a single piece stands in `pieces`. `it` are the iterations that the engine has done,
`free` its blocks without users.
"""

from typing import NamedTuple

from sim.kernels.jit import pure_kernel
from sim.kernels.pieces import (
    MAGIC_BITS,
    covering,
    cut,
    done_of,
    enlist,
    new_row,
    place,
    push,
    settle,
    spare,
    unlist,
    unqueue,
)
from sim.kernels.requests import (
    BEHIND,
    BORN,
    DOWN,
    FRONT,
    GROWS,
    HI,
    INDEX,
    LEAF,
    LEFT,
    LO,
    LOOSE,
    MASK,
    NODE,
    OWN,
    PARENT,
    QUEUED,
    RANK,
    REAR,
    SEAT,
    SHARED,
    SLOPE,
    SPARE,
    STAMP,
    START,
    STEM,
    TOLD,
    TOP,
    UNUSED,
    USERS,
)
from sim.types import Ints


class Cache(NamedTuple):
    """The block cache of one engine, and what its requests hold of it."""

    memory: Ints  # (entry,) a row of `EngineState.memory`
    chains: Ints  # (slot, CHAIN_COLUMNS)
    content: Ints  # (node, CONTENT_COLUMNS)
    block_tokens: int
    magic: int  # x * magic >> MAGIC_BITS is x // block_tokens, without a division


@pure_kernel
def look(cache: Cache, slot: int, most: int, free: int, it: int) -> tuple[int, int, bool]:
    """Leading blocks of the first `most` tokens of a request that are known.

    Returns how many, how many of them have no user, and whether a decoding request may yet add.
    """
    memory, chain, content, _, magic = cache
    settle(memory, free)
    end = min(chain[slot, TOLD], most) * magic >> MAGIC_BITS
    node = chain[slot, LEAF]
    hit = 0
    idle = 0
    grows = False
    while node >= 0:
        start = content[node, START] * magic >> MAGIC_BITS
        if start < end:
            first = memory[place(memory, node)]
            at = start
            if first >= 0 and memory[first + LEFT] == first:  # no other piece of this node
                if memory[first + LO] <= at:
                    stop = min(done_of(memory, first, it, magic), end)
                    if at < stop:
                        if memory[first + USERS] == 0:
                            idle += stop - at
                        at = stop
                    grows = grows or (at < end and at < memory[first + HI])
                first = -1
            while first >= 0 and at < end:
                p, stop = covering(memory, first, at, it, magic)
                if p < 0:
                    grows = grows or stop == 1
                    break
                stop = min(stop, end)
                if memory[p + USERS] == 0:
                    idle += stop - at
                at = stop
            if hit == 0 and at > start:
                hit = at  # what stands before a known block is known
            end = start
        node = content[node, PARENT]
    return hit, idle, grows


@pure_kernel
def take(cache: Cache, slot: int, hit: int, it: int) -> None:
    """Let an admitted request share the `hit` blocks that `look` has just found."""
    memory, chain, content, _, magic = cache
    node = chain[slot, LEAF]
    end = hit
    while end > 0:
        at = content[node, START] * magic >> MAGIC_BITS
        if at < end:
            start = at
            first = memory[place(memory, node)]
            while at < end:
                p = first
                stop = end
                if memory[first + LEFT] != first:
                    p, stop = covering(memory, first, at, it, magic)
                    stop = min(stop, end)
                if memory[p + LO] < at:
                    cut(memory, p, at)
                if memory[p + HI] > stop:
                    p = cut(memory, p, stop)
                if memory[p + USERS] == 0:
                    unqueue(memory, p)
                    memory[QUEUED] -= stop - at
                memory[p + USERS] += 1
                at = stop
                if at == hit:
                    chain[slot, TOP] = p
                    chain[slot, STEM] = node
            end = start
        node = content[node, PARENT]


@pure_kernel
def complete(cache: Cache, slot: int, computed: int, decodes: bool, free: int, it: int) -> None:
    """Make known what a prefill has computed; what a request that `decodes` will write grows.

    The piece below, where nobody else holds it and its node has no other, is made longer instead:
    nobody will ask which of two copies is older.
    """
    memory, chain, content, bt, magic = cache
    own = chain[slot, OWN]
    shared = chain[slot, SHARED]
    top = own
    begin = shared
    if own >= 0:
        begin = memory[own + HI]
    elif shared > 0:
        top = chain[slot, TOP]
    told = chain[slot, TOLD] * magic >> MAGIC_BITS
    done = min(told, computed * magic >> MAGIC_BITS)
    end = told if decodes else done
    node = chain[slot, LEAF]
    above = -1
    while end > begin:
        start = max(content[node, START] * magic >> MAGIC_BITS, begin)
        if start < end:
            p = top
            longer = start == begin and top >= 0 and memory[top + NODE] == node
            if longer and memory[top + USERS] == 1 and memory[top + LEFT] == top:
                if own < 0:
                    chain[slot, SHARED] = memory[p + LO]
                    if memory[p + LO] <= content[node, START] * magic >> MAGIC_BITS:
                        chain[slot, STEM] = content[node, PARENT]
                    memory[p + DOWN] = -1
            else:
                if memory[SPARE] < 0:
                    settle(memory, free)
                p = new_row(memory)
                memory[p + NODE] = node
                memory[p + LO] = start
                memory[p + USERS] = 1
                memory[p + DOWN] = own
                enlist(memory, p)
            grows = end > done
            memory[p + HI] = end
            memory[p + BORN] = it
            memory[p + STAMP] = it + bt - computed  # a block is full when all its tokens are
            memory[p + SLOPE] = bt if grows else 0
            memory[p + RANK] = chain[slot, SEAT]
            memory[p + GROWS] = slot if grows else -1
            if above < 0:
                chain[slot, OWN] = p
            else:
                memory[above + DOWN] = p
            above = p
            end = start
        node = content[node, PARENT]


@pure_kernel
def release(cache: Cache, slot: int, has: int, it: int) -> int:
    """A request with `has` tokens computed gives its blocks up, last first; how many are free.

    Nothing is settled here. A copy that was overwritten and is still listed is not taken for the
    one that the request holds: that one was the first to become known when it was found, and what
    became known later is younger, gone or not.
    """
    memory, chain, content, bt, magic = cache
    p = chain[slot, OWN]
    while p >= 0:  # what grew ends
        below = memory[p + DOWN]
        if memory[p + GROWS] == slot:
            memory[p + GROWS] = -1
            memory[p + HI] = min(memory[p + HI], has * magic >> MAGIC_BITS)
            if memory[p + HI] <= memory[p + LO]:  # it never began; so did none above it
                chain[slot, OWN] = below
                unlist(memory, p)
                spare(memory, p)
        p = below
    p = chain[slot, OWN]
    top = memory[p + HI] if p >= 0 else chain[slot, SHARED]
    given = ((has + bt - 1) * magic >> MAGIC_BITS) - top  # hold nothing known
    memory[QUEUED] += given
    memory[LOOSE] += given
    while p >= 0:
        below = memory[p + DOWN]
        memory[p + USERS] -= 1
        if memory[p + USERS] == 0:
            given += memory[p + HI] - memory[p + LO]
            push(memory, p, it)
        p = below
    node = chain[slot, STEM]
    end = chain[slot, SHARED]
    while end > 0:
        start = content[node, START] * magic >> MAGIC_BITS
        while end > start:
            p = memory[place(memory, node)]
            if memory[p + LEFT] != p:
                p, _ = covering(memory, p, end - 1, it, magic)
            end = memory[p + LO]
            memory[p + USERS] -= 1
            if memory[p + USERS] == 0:
                given += memory[p + HI] - memory[p + LO]
                push(memory, p, it)
        node = content[node, PARENT]
    return int(given)


@pure_kernel
def forget(memory: Ints, free: int, kv_blocks: int) -> int:
    """Empty the cache of an engine; how many free blocks held something known, copies included."""
    settle(memory, free)
    known = 0
    p = memory[FRONT]
    while p >= 0:
        known += memory[p + HI] - memory[p + LO]
        p = memory[p + BEHIND]
    rows = INDEX + memory[MASK] + 1
    for k in range(INDEX, rows):
        memory[k] = -1
    memory[FRONT] = -1
    memory[REAR] = -1
    memory[SPARE] = -1
    memory[UNUSED] = rows
    memory[QUEUED] = kv_blocks
    memory[LOOSE] = kv_blocks
    return int(known)

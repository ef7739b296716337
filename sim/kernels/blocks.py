"""The block cache of an engine (docs/MODEL.md section 4), by pieces instead of single blocks.

A content is a path in a tree of nodes; a piece is a run of neighbouring blocks of one node that one
request computed and the same requests hold. Free blocks stand in a queue of pieces: what is given
up joins its rear, last block first, and what is taken from its front is forgotten. Those that hold
nothing known are counted with the piece behind them. Blocks are only counted when they are taken:
`QUEUED` less the free ones is how many the front has lost, and `_settle` makes that good when
somebody looks. So decoding need not come here at all.

Who holds which copy of a block is written nowhere: a request found the copy that became known
first, and as no older one can come back, that is still the first one when it leaves. Most nodes
have one piece, and then there is nothing to search.

Every function takes the `memory` of one engine, `it` iterations done, `free` blocks without users
and `magic` for the division by block_tokens (see `serving`). A piece is named by where its row
stands there.
"""

from typing import Final

from sim.kernels.jit import part, pure_kernel
from sim.kernels.requests import (
    AHEAD,
    BEHIND,
    BORN,
    DOWN,
    EXTRA,
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
    PIECE_COLUMNS,
    QUEUED,
    RANK,
    REAR,
    RIGHT,
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

MAGIC_BITS: Final = 37  # exact for blocks of up to 2^12 and requests of up to 2^24 tokens
MAGIC: Final = 1 << MAGIC_BITS
FAR: Final = 1 << 60
FEW: Final = 8  # pieces of a node among which two are still joined


@pure_kernel
def look(
    memory: Ints,
    content: Ints,
    leaf: int,
    told: int,
    most: int,
    free: int,
    it: int,
    magic: int,
) -> tuple[int, int, bool]:
    """Leading blocks of the first `most` tokens that are known, of `told` that end in node `leaf`.

    Returns how many, how many of them have no user, and whether a decoding request may yet add.
    """
    _settle(memory, free)
    end = min(told, most) * magic >> MAGIC_BITS
    node = leaf
    hit = 0
    idle = 0
    grows = False
    while node >= 0:
        start = content[node, START] * magic >> MAGIC_BITS
        if start < end:
            first = memory[_place(memory, node)]
            at = start
            if first >= 0 and memory[first + LEFT] == first:  # no other piece of this node
                if memory[first + LO] <= at:
                    stop = min(_done(memory, first, it, magic), end)
                    if at < stop:
                        if memory[first + USERS] == 0:
                            idle += stop - at
                        at = stop
                    grows = grows or (at < end and at < memory[first + HI])
                first = -1
            while first >= 0 and at < end:
                p, stop = _covering(memory, first, at, it, magic)
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
def take(
    memory: Ints,
    chain: Ints,
    content: Ints,
    slot: int,
    hit: int,
    it: int,
    magic: int,
) -> None:
    """Let an admitted request share the `hit` blocks that `look` has just found."""
    node = chain[slot, LEAF]
    end = hit
    while end > 0:
        at = content[node, START] * magic >> MAGIC_BITS
        if at < end:
            start = at
            first = memory[_place(memory, node)]
            while at < end:
                p = first
                stop = end
                if memory[first + LEFT] != first:
                    p, stop = _covering(memory, first, at, it, magic)
                    stop = min(stop, end)
                if memory[p + LO] < at:
                    _cut(memory, p, at)
                if memory[p + HI] > stop:
                    p = _cut(memory, p, stop)
                if memory[p + USERS] == 0:
                    _unqueue(memory, p)
                    memory[QUEUED] -= stop - at
                memory[p + USERS] += 1
                at = stop
                if at == hit:
                    chain[slot, TOP] = p
                    chain[slot, STEM] = node
            end = start
        node = content[node, PARENT]


@pure_kernel
def complete(
    memory: Ints,
    chain: Ints,
    content: Ints,
    slot: int,
    computed: int,
    decodes: bool,
    free: int,
    it: int,
    bt: int,
    magic: int,
) -> None:
    """Make known what a prefill has computed; what a request that `decodes` will write grows.

    The piece below, where nobody else holds it and its node has no other, is made longer instead:
    nobody will ask which of two copies is older.
    """
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
                    _settle(memory, free)
                p = _row(memory)
                memory[p + NODE] = node
                memory[p + LO] = start
                memory[p + USERS] = 1
                memory[p + DOWN] = own
                _list(memory, p)
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
def release(
    memory: Ints,
    chain: Ints,
    content: Ints,
    slot: int,
    has: int,
    free: int,
    it: int,
    bt: int,
    magic: int,
) -> int:
    """A request with `has` tokens computed gives its blocks up, last first; how many are free."""
    p = chain[slot, OWN]
    while p >= 0:  # what grew ends
        below = memory[p + DOWN]
        if memory[p + GROWS] == slot:
            memory[p + GROWS] = -1
            memory[p + HI] = min(memory[p + HI], has * magic >> MAGIC_BITS)
            if memory[p + HI] <= memory[p + LO]:  # it never began; so did none above it
                chain[slot, OWN] = below
                _unlist(memory, p)
                _spare(memory, p)
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
            _push(memory, p, it)
        p = below
    node = chain[slot, STEM]
    end = chain[slot, SHARED]
    while end > 0:
        start = content[node, START] * magic >> MAGIC_BITS
        while end > start:
            p = memory[_place(memory, node)]
            if memory[p + LEFT] != p:  # several: those that are gone must not be found
                _settle(memory, free + given)
                p, _ = _covering(memory, memory[_place(memory, node)], end - 1, it, magic)
            end = memory[p + LO]
            memory[p + USERS] -= 1
            if memory[p + USERS] == 0:
                given += memory[p + HI] - memory[p + LO]
                _push(memory, p, it)
        node = content[node, PARENT]
    return int(given)


@pure_kernel
def forget(memory: Ints, free: int, kv_blocks: int) -> int:
    """Empty the cache of an engine; how many free blocks held something known, copies included."""
    _settle(memory, free)
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


@pure_kernel
def _settle(memory: Ints, free: int) -> None:
    """Forget what the blocks held that were taken from the front of the queue."""
    gone = memory[QUEUED] - free
    if gone <= 0:
        return
    memory[QUEUED] = free
    while gone > 0:
        p = memory[FRONT]
        if p < 0:
            memory[LOOSE] -= gone
            return
        n = min(memory[p + EXTRA], gone)
        memory[p + EXTRA] -= n
        gone -= n
        size = memory[p + HI] - memory[p + LO]
        n = min(size, gone)
        gone -= n
        memory[p + HI] -= n
        if n == size:
            _unqueue(memory, p)
            _unlist(memory, p)
            _spare(memory, p)


@pure_kernel
def _covering(memory: Ints, first: int, at: int, it: int, magic: int) -> tuple[int, int]:
    """Of a node's pieces the one whose block `at` became known first, and up to which block it is.

    (-1, 1) where no piece has that block yet, but a decoding request is going to write it; (-1, 0)
    where none is. Pieces stand by age, so the first one is it, unless it was written by decoding:
    then its blocks became known one after the other, and a younger one may have had this earlier.
    """
    best = -1
    stop = FAR
    grows = 0
    p = first
    while p >= 0:
        done = _done(memory, p, it, magic)
        if at < memory[p + LO]:
            stop = min(stop, memory[p + LO])
        elif at >= done:
            grows |= int(at < memory[p + HI])
        elif best < 0:
            best = p
            stop = min(stop, done)
            if memory[p + SLOPE] == 0:
                break
        else:
            stop = at + 1
            mine = _known_at(memory, p, at)
            other = _known_at(memory, best, at)
            if mine < other or (mine == other and memory[p + RANK] < memory[best + RANK]):
                best = p
        p = memory[p + RIGHT]
    return best, grows if best < 0 else stop


@part
def _done(memory: Ints, p: int, it: int, magic: int) -> int:
    """One beyond the last block of a piece that is known."""
    done = memory[p + HI]
    if memory[p + GROWS] >= 0:
        has = it + memory[p + SLOPE] - memory[p + STAMP]
        done = min(done, has * magic >> MAGIC_BITS)
    return int(done)


@part
def _known_at(memory: Ints, p: int, at: int) -> int:
    """Iterations after which block `at` of a piece became known."""
    born = memory[p + BORN]
    slope = memory[p + SLOPE]
    return int(born if slope == 0 else max(born, memory[p + STAMP] + slope * at))


# The queue of free blocks.


@part
def _unqueue(memory: Ints, p: int) -> None:
    ahead = memory[p + AHEAD]
    behind = memory[p + BEHIND]
    if ahead >= 0:
        memory[ahead + BEHIND] = behind
    else:
        memory[FRONT] = behind
    extra = memory[p + EXTRA]
    memory[p + EXTRA] = 0
    if behind >= 0:
        memory[behind + AHEAD] = ahead
        memory[behind + EXTRA] += extra
    else:
        memory[REAR] = ahead
        memory[LOOSE] += extra


@part
def _queue_behind(memory: Ints, p: int, ahead: int) -> None:
    behind = memory[FRONT]
    if ahead >= 0:
        behind = memory[ahead + BEHIND]
        memory[ahead + BEHIND] = p
    else:
        memory[FRONT] = p
    memory[p + AHEAD] = ahead
    memory[p + BEHIND] = behind
    if behind >= 0:
        memory[behind + AHEAD] = p
    else:
        memory[REAR] = p


@pure_kernel
def _push(memory: Ints, p: int, it: int) -> None:
    """A piece without users, to the rear of the queue; it may join the one that stands there."""
    rear = memory[REAR]
    loose = memory[LOOSE]
    memory[QUEUED] += memory[p + HI] - memory[p + LO]
    joins = memory[p + LEFT] != p and rear >= 0 and loose == 0
    joins = joins and memory[rear + NODE] == memory[p + NODE]
    if joins and memory[rear + LO] == memory[p + HI]:
        # Where no other piece has these blocks, nobody will ask which of the two is older.
        other = memory[_place(memory, memory[p + NODE])]
        few = FEW
        while other >= 0 and joins:
            few -= 1
            if other != p and other != rear:
                apart = memory[other + LO] >= memory[rear + HI]
                joins = apart or memory[other + HI] <= memory[p + LO]
            joins = joins and few > 0
            other = memory[other + RIGHT]
        if joins:
            memory[rear + LO] = memory[p + LO]
            memory[rear + BORN] = it
            memory[rear + SLOPE] = 0
            _unlist(memory, p)
            _spare(memory, p)
            return
    memory[p + EXTRA] = loose
    memory[LOOSE] = 0
    _queue_behind(memory, p, rear)


# Rows and lists of pieces.


@part
def _row(memory: Ints) -> int:
    """An empty row of `pieces`."""
    p = memory[SPARE]
    if p >= 0:
        memory[SPARE] = memory[p + BEHIND]
    else:
        p = memory[UNUSED]
        memory[UNUSED] += PIECE_COLUMNS
    memory[p + EXTRA] = 0
    return int(p)


@part
def _spare(memory: Ints, p: int) -> None:
    memory[p + BEHIND] = memory[SPARE]
    memory[SPARE] = p


@pure_kernel
def _cut(memory: Ints, p: int, at: int) -> int:
    """Cut a piece before block `at`; the lower part is a piece of its own, which is told."""
    new = _row(memory)
    for column in (NODE, LO, USERS, BORN, STAMP, SLOPE, RANK, DOWN, RIGHT):
        memory[new + column] = memory[p + column]
    memory[new + HI] = at
    memory[new + GROWS] = -1
    memory[new + LEFT] = p
    behind = memory[p + RIGHT]
    if behind < 0:
        behind = memory[_place(memory, memory[p + NODE])]
    memory[behind + LEFT] = new
    memory[p + RIGHT] = new
    memory[p + DOWN] = new
    memory[p + LO] = at
    if memory[p + USERS] == 0:
        _queue_behind(memory, new, p)
    return int(new)


@part
def _place(memory: Ints, node: int) -> int:
    """Where in the index a node's first piece stands, or would.

    Every other place is nobody's home: so neighbours, which come and go together, stand apart.
    """
    mask = memory[MASK]
    k = (node << 1) & mask
    while memory[INDEX + k] >= 0 and memory[memory[INDEX + k] + NODE] != node:
        k = (k + 1) & mask
    return int(INDEX + k)


@pure_kernel
def _list(memory: Ints, p: int) -> None:
    """Put a piece behind the others of its node."""
    k = _place(memory, memory[p + NODE])
    first = memory[k]
    memory[p + RIGHT] = -1
    if first < 0:
        memory[k] = p
        memory[p + LEFT] = p
        return
    last = memory[first + LEFT]
    memory[last + RIGHT] = p
    memory[p + LEFT] = last
    memory[first + LEFT] = p


@pure_kernel
def _unlist(memory: Ints, p: int) -> None:
    """Take a piece out of those of its node; with the last one the node leaves the index."""
    k = _place(memory, memory[p + NODE])
    left = memory[p + LEFT]
    if left != p:
        first = memory[k]
        right = memory[p + RIGHT]
        if p != first:
            memory[left + RIGHT] = right
            memory[(right if right >= 0 else first) + LEFT] = left
            return
        memory[right + LEFT] = left
        memory[k] = right
        return
    mask = memory[MASK]
    hole = k - INDEX
    k = (hole + 1) & mask
    while memory[INDEX + k] >= 0:  # what stands behind moves up, or would be looked for in vain
        home = (memory[memory[INDEX + k] + NODE] << 1) & mask
        if (k - home) & mask >= (k - hole) & mask:
            memory[INDEX + hole] = memory[INDEX + k]
            hole = k
        k = (k + 1) & mask
    memory[INDEX + hole] = -1

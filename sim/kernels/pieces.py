"""Pieces of a block cache: their rows, the lists of a node, the queue of free blocks.

A piece is named by where its row stands in the `memory` of its engine; its columns are in
`requests`. `magic` is for the division by block_tokens.
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
    LEFT,
    LO,
    LOOSE,
    MASK,
    NODE,
    PIECE_COLUMNS,
    QUEUED,
    RANK,
    REAR,
    RIGHT,
    SLOPE,
    SPARE,
    STAMP,
    UNUSED,
    USERS,
)
from sim.types import Ints

MAGIC_BITS: Final = 37  # exact for blocks of up to 2^12 and requests of up to 2^24 tokens
MAGIC: Final = 1 << MAGIC_BITS
FAR: Final = 1 << 60
FEW: Final = 8  # pieces of a node among which two are still joined


@pure_kernel
def settle(memory: Ints, free: int) -> None:
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
            unqueue(memory, p)
            unlist(memory, p)
            spare(memory, p)


@pure_kernel
def covering(memory: Ints, first: int, at: int, it: int, magic: int) -> tuple[int, int]:
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
        done = done_of(memory, p, it, magic)
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
def done_of(memory: Ints, p: int, it: int, magic: int) -> int:
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
def unqueue(memory: Ints, p: int) -> None:
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
def push(memory: Ints, p: int, it: int) -> None:
    """A piece without users, to the rear of the queue; it may join the one that stands there."""
    rear = memory[REAR]
    loose = memory[LOOSE]
    memory[QUEUED] += memory[p + HI] - memory[p + LO]
    joins = memory[p + LEFT] != p and rear >= 0 and loose == 0
    joins = joins and memory[rear + NODE] == memory[p + NODE]
    if joins and memory[rear + LO] == memory[p + HI]:
        # Where no other piece has these blocks, nobody will ask which of the two is older.
        other = memory[place(memory, memory[p + NODE])]
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
            unlist(memory, p)
            spare(memory, p)
            return
    memory[p + EXTRA] = loose
    memory[LOOSE] = 0
    _queue_behind(memory, p, rear)


# Rows and lists of pieces.


@part
def new_row(memory: Ints) -> int:
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
def spare(memory: Ints, p: int) -> None:
    memory[p + BEHIND] = memory[SPARE]
    memory[SPARE] = p


@pure_kernel
def cut(memory: Ints, p: int, at: int) -> int:
    """Cut a piece before block `at`; the lower part is a piece of its own, which is told."""
    new = new_row(memory)
    for column in (NODE, LO, USERS, BORN, STAMP, SLOPE, RANK, DOWN, RIGHT):
        memory[new + column] = memory[p + column]
    memory[new + HI] = at
    memory[new + GROWS] = -1
    memory[new + LEFT] = p
    behind = memory[p + RIGHT]
    if behind < 0:
        behind = memory[place(memory, memory[p + NODE])]
    memory[behind + LEFT] = new
    memory[p + RIGHT] = new
    memory[p + DOWN] = new
    memory[p + LO] = at
    if memory[p + USERS] == 0:
        _queue_behind(memory, new, p)
    return int(new)


@part
def place(memory: Ints, node: int) -> int:
    """Where in the index a node's first piece stands, or would.

    Every other place is nobody's home: so neighbours, which come and go together, stand apart.
    """
    mask = memory[MASK]
    k = (node << 1) & mask
    while memory[INDEX + k] >= 0 and memory[memory[INDEX + k] + NODE] != node:
        k = (k + 1) & mask
    return int(INDEX + k)


@pure_kernel
def enlist(memory: Ints, p: int) -> None:
    """Put a piece behind the others of its node."""
    k = place(memory, memory[p + NODE])
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
def unlist(memory: Ints, p: int) -> None:
    """Take a piece out of those of its node; with the last one the node leaves the index."""
    k = place(memory, memory[p + NODE])
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

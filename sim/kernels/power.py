"""Who gets the power when not everybody can: nested limits, filled best first."""

import numpy as np

from sim.kernels.arrays import (
    Limits,
)
from sim.kernels.jit import kernel
from sim.types import Floats, Ints


@kernel
def allot(
    value: Floats,
    wish_w: Floats,
    site: Ints,
    limits: Limits,
    room_w: Floats,
    granted_w: Floats,
) -> bool:
    """Fill nested limits with the most valuable wishes first; True when something was cut.

    Exact on radial grids: nested (laminar) limits form a polymatroid, on which the greedy order
    loses the least value (Edmonds, 1970); a site's own supply, which no limit sees, is one more
    source and leaves it one. `value` (item,) orders the items, ties by position; `wish_w`,
    `granted_w` (item,) [W] at the meter; `site` (item,); `room_w` (limit,) [W] is what is still
    free, and is used up. Sites below no exceeded limit get what they wish at once. A cap below 0 is
    own supply that is owed to the grid: machines do not get it.
    """
    items = value.shape[0]
    sites, depth = limits.path.shape
    local_w = limits.local_w.copy()
    cap_w = limits.cap_w.copy()
    net_w = np.zeros(sites)
    for s in range(sites):
        if cap_w[s] < 0.0:
            local_w[s] = max(local_w[s] + cap_w[s], 0.0)
            cap_w[s] = 0.0
    for i in range(items):
        granted_w[i] = wish_w[i]
        net_w[site[i]] += wish_w[i]
    need_w = np.zeros(room_w.shape[0])
    for s in range(sites):
        net_w[s] = max(net_w[s] - local_w[s], 0.0)
        for d in range(depth):
            limit = limits.path[s, d]
            if limit < 0:
                break
            need_w[limit] += net_w[s]
    short = np.zeros(sites, dtype=np.bool_)
    for s in range(sites):
        short[s] = net_w[s] > cap_w[s]
        for d in range(depth):
            limit = limits.path[s, d]
            if limit >= 0 and need_w[limit] > room_w[limit]:
                short[s] = True
        if not short[s]:
            for d in range(depth):
                limit = limits.path[s, d]
                if limit < 0:
                    break
                room_w[limit] -= net_w[s]
    disputed = np.empty(items, dtype=np.int64)
    count = 0
    for i in range(items):
        if short[site[i]] and wish_w[i] > 0.0:
            disputed[count] = i
            count += 1
    ranked = np.empty(count)
    for k in range(count):
        ranked[k] = value[disputed[k]]
    for rank in descending(ranked):
        i = disputed[rank]
        s = site[i]
        own_w = min(wish_w[i], local_w[s])
        give_w = min(wish_w[i] - own_w, cap_w[s])
        for d in range(depth):
            limit = limits.path[s, d]
            if limit < 0:
                break
            give_w = min(give_w, room_w[limit])
        give_w = max(give_w, 0.0)
        granted_w[i] = own_w + give_w
        local_w[s] -= own_w
        cap_w[s] -= give_w
        for d in range(depth):
            limit = limits.path[s, d]
            if limit < 0:
                break
            room_w[limit] -= give_w
    return count > 0


@kernel
def descending(value: Floats) -> Ints:
    """Positions (item,) by falling value, equal ones in their order: a radix sort.

    A sort that compares mispredicts every other branch; passes over the bytes of the numbers'
    order-preserving bit patterns have none. The upper four bytes mostly settle the order; where
    they do not, all eight are passed over.
    """
    count = value.shape[0]
    order = np.arange(count)
    spare = np.empty(count, dtype=np.int64)
    bits = (value + 0.0).view(np.uint64)  # -0.0 is 0.0
    keys = np.empty(count, dtype=np.uint64)
    top = np.uint64(1) << np.uint64(63)
    for i in range(count):  # positive: larger patterns are larger numbers; here falling
        keys[i] = ~(bits[i] ^ top) if bits[i] < top else bits[i]
    starts = np.empty(257, dtype=np.int64)
    for first in (4, 0):
        for i in range(count):
            order[i] = i
        for byte in range(first, 8 if count > 1 else first):
            shift = np.uint64(8 * byte)
            starts[:] = 0
            for i in range(count):
                starts[np.int64((keys[i] >> shift) & np.uint64(255)) + 1] += 1
            if starts[np.int64((keys[0] >> shift) & np.uint64(255)) + 1] == count:
                continue
            for d in range(256):
                starts[d + 1] += starts[d]
            for k in range(count):
                i = order[k]
                digit = np.int64((keys[i] >> shift) & np.uint64(255))
                spare[starts[digit]] = i
                starts[digit] += 1
            order, spare = spare, order
        settled = True
        for k in range(1, count):
            settled = settled and keys[order[k - 1]] <= keys[order[k]]
        if settled:
            break
    return order

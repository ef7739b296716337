"""Who gets the power when not everybody can: nested limits, filled best first."""

import numpy as np

from sim.kernels.arrays import Floats, Ints, Limits
from sim.kernels.jit import kernel


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
    loses the least value (Edmonds, 1970). `value` (item,) orders the items, ties by position;
    `wish_w`, `granted_w` (item,) [W] at the meter; `site` (item,); `room_w` (limit,) [W] is what is
    still free, and is used up.
    """
    items = value.shape[0]
    depth = limits.path.shape[1]
    need_w = np.zeros(room_w.shape[0])
    for i in range(items):
        granted_w[i] = wish_w[i]
        for d in range(depth):
            limit = limits.path[site[i], d]
            if limit < 0:
                break
            need_w[limit] += wish_w[i]
    if np.all(need_w <= room_w):
        for limit in range(room_w.shape[0]):
            room_w[limit] -= need_w[limit]
        return False
    for i in np.argsort(-value, kind="mergesort"):
        give_w = wish_w[i]
        for d in range(depth):
            limit = limits.path[site[i], d]
            if limit < 0:
                break
            give_w = min(give_w, room_w[limit])
        give_w = max(give_w, 0.0)
        granted_w[i] = give_w
        for d in range(depth):
            limit = limits.path[site[i], d]
            if limit < 0:
                break
            room_w[limit] -= give_w
    return True

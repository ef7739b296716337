"""How much of what serving nodes could do they did."""

from typing import Final

import numpy as np

from sim.types import Bools, Floats, Ints

# Rows of `Work.since`.
POWERED_S: Final = 0  # GPU-seconds with power, those that load weights or finish included
BUSY_S: Final = 1  # GPU-seconds of them in iterations
SEAT_S: Final = 2  # requests that powered nodes can run at once, times seconds
REQUEST_S: Final = 3  # requests at engines at the end, waiting ones included, times seconds
WORKED: Final = 4


class Work:
    """Sums over time. Shapes: `engine`, `group` row of gpus.csv."""

    def __init__(self, group_of: Ints, gpus: Floats, seats: Floats, groups: int) -> None:
        """GPUs and seats of each engine (engine,)."""
        self.group_of, self.groups = group_of, groups
        self.gpus, self.seats = gpus, seats
        self.powered_s = np.zeros(len(group_of))
        self._told = np.zeros((WORKED, groups))
        self._told_s = 0.0

    def run(self, powered: Bools, seconds: float) -> None:
        """Engines with power had it for `seconds`."""
        self.powered_s += np.where(powered, seconds, 0.0)

    def since(self, busy_s: Floats, held: Floats, now_s: float) -> Floats:
        """What nodes (WORKED, group) did since the last call.

        `busy_s` (engine,) in iterations since the start, `held` (group,) requests now. What an
        iteration lasts after its engine lost power is left out.
        """
        busy_s = np.minimum(busy_s, self.powered_s)
        amounts = (self.powered_s * self.gpus, busy_s * self.gpus, self.powered_s * self.seats)
        total = np.array([np.bincount(self.group_of, a, self.groups) for a in amounts])
        told, self._told[:REQUEST_S] = self._told[:REQUEST_S].copy(), total
        seconds, self._told_s = now_s - self._told_s, now_s
        return np.concatenate([total - told, [held * seconds]])

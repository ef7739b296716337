"""Utilisation of serving nodes: work done out of work possible."""

from typing import Final

import numpy as np

from sim.types import Bools, Floats, Ints

# Rows of `Work.since`.
POWERED_S: Final = 0  # GPU-seconds with power, including loading and draining
BUSY_S: Final = 1  # of these, GPU-seconds in iterations
SEAT_S: Final = 2  # request-seconds that powered nodes can run at once
REQUEST_S: Final = 3  # request-seconds at engines by the count at the end, waiting included
WORKED: Final = 4


class Work:
    """Sums over time. Shapes: `engine`, `group` row of gpus.csv."""

    def __init__(self, group_of: Ints, gpus: Floats, seats: Floats, groups: int) -> None:
        """Create the sums; `gpus` and `seats` are per engine (engine,)."""
        self.group_of, self.groups = group_of, groups
        self.gpus, self.seats = gpus, seats
        self.powered_s = np.zeros(len(group_of))
        self._told = np.zeros((WORKED, groups))
        self._told_s = 0.0

    def run(self, powered: Bools, seconds: float) -> None:
        """Add `seconds` of power to the powered engines."""
        self.powered_s += np.where(powered, seconds, 0.0)

    def since(self, busy_s: Floats, held: Floats, now_s: float) -> Floats:
        """Work of nodes since the last call (WORKED, group).

        `busy_s` (engine,) is time in iterations since the start [s], `held` (group,) requests now.
        The part of an iteration after its engine lost power is left out.
        """
        busy_s = np.minimum(busy_s, self.powered_s)
        amounts = (self.powered_s * self.gpus, busy_s * self.gpus, self.powered_s * self.seats)
        total = np.array([np.bincount(self.group_of, a, self.groups) for a in amounts])
        told, self._told[:REQUEST_S] = self._told[:REQUEST_S].copy(), total
        seconds, self._told_s = now_s - self._told_s, now_s
        return np.concatenate([total - told, [held * seconds]])

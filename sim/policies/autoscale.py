"""Autoscaling: run as many serving nodes as the requests need; other loads use the power freed."""

from collections import deque
from typing import Any, Final

import numpy as np

from sim.policies.slo_guard import SloGuard
from sim.policy import (
    Decision,
    Observation,
)
from sim.types import Floats

LEAST_FREE: Final = 0.02  # assumed: least share of its seats counted as free, even at a full site


class AutoScale:
    """Target tracking: a group runs the nodes that keep its seats at most `target` full.

    A seat is a request that a node's engines hold at once. Nodes are added at once and taken away
    when the last `cool_down_s` needed fewer; one that comes back loads its weights first. Reserved
    nodes, batch nodes and ASICs are treated as by `slo-guard`. Between sites requests go where
    seats are free.

    Args:
        target: share of the seats that may be taken.
        cool_down_s: how long fewer nodes must have been enough [s].
        least: nodes of a group that always run.
        headroom: share of every limit that ASICs leave free.
    """

    def __init__(
        self,
        target: float = 0.6,
        cool_down_s: float = 1800.0,
        least: int = 1,
        headroom: float = 0.02,
    ) -> None:
        if not 0.0 < target <= 1.0:
            raise ValueError(f"target is {target}; allowed: above 0, up to 1")
        if not cool_down_s >= 0.0:
            raise ValueError(f"cool_down_s is {cool_down_s}; allowed: 0 or more")
        if least < 1 or least != int(least):
            raise ValueError(f"least is {least}; allowed: whole numbers from 1")
        self.target, self.cool_down_s, self.least = target, cool_down_s, least
        self._guard = SloGuard(headroom)
        self._needs: deque[tuple[int, Floats]] = deque()  # time [s] and nodes (node,) needed then

    def decide(self, observation: Observation) -> Decision:
        """Scale the serving groups; decide everything else as `slo-guard` does."""
        gpu, serving = observation.gpu, observation.serving
        if not serving.seats.any():
            return self._guard.decide(observation)
        seen = observation._replace(gpu=gpu._replace(available=self._nodes(observation)))
        decision = self._guard.decide(seen)
        share = decision.gpu_share * seen.gpu.available / np.maximum(gpu.available, 1.0)
        return decision._replace(gpu_share=share, route=by_free_seats(observation))

    def _nodes(self, observation: Observation) -> Floats:
        """Nodes to run in each group (node,); groups that do not serve run all of theirs."""
        gpu, serving = observation.gpu, observation.serving
        serves = serving.seats > 0.0
        full = self.target * np.where(serves, serving.seats, 1.0)
        need = np.maximum(np.ceil(serving.outstanding / full), self.least)
        self._needs.append((observation.t_s, need))
        while self._needs[0][0] < observation.t_s - self.cool_down_s:
            self._needs.popleft()
        most = np.max([nodes for _, nodes in self._needs], axis=0)
        return np.asarray(np.where(serves, np.minimum(most, gpu.available), gpu.available))

    def __reduce__(self) -> tuple[type["AutoScale"], tuple[Any, ...]]:
        made = (self.target, self.cool_down_s, self.least, self._guard.headroom)
        return AutoScale, made  # all other attributes are run state


def by_free_seats(observation: Observation) -> Floats:
    """Routing weights of an open engine (tenant, site), so that requests follow free seats.

    A site then receives requests in proportion to its free seats. A full site keeps a small weight,
    so that it is noticed when it empties.
    """
    gpu, serving = observation.gpu, observation.serving
    count = len(observation.price_usd_per_mwh)
    on = gpu.share * gpu.available
    seats, free = serving.seats * on, np.maximum(serving.seats * on - serving.outstanding, 0.0)
    free = np.maximum(free, LEAST_FREE * seats)
    nodes = np.bincount(gpu.site, on * (serving.seats > 0.0), count)
    weight = np.bincount(gpu.site, free, count) / np.maximum(nodes, 1e-9)
    weight[nodes <= 0.0] = 1.0  # none open now: used if an engine opens within the step
    return np.where(np.isnan(serving.latency_s), 0.0, np.maximum(weight, 1e-9))

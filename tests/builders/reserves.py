"""One site that sells reserves, and a policy that sells what it is told."""

from typing import Any

import numpy as np

from sim.policy import (
    Decision,
    Observation,
    ReserveOffers,
)
from sim.results.result import RunResult
from sim.scenario import Scenario
from sim.types import Ints
from tests.builders.one_site import column, one_site

RRS: dict[str, Any] = {"model": "reserve", "usd_per_mw_h": 8, "notice_s": 600}


SPIKE = {
    "kind": "price-spike", "start_utc": "2026-01-02T12:00:00Z", "hours": 3, "usd_per_mwh": 300,
    "zones": ["zone"],
}  # fmt: skip


class Sells:
    """Offers `mw` MW by hour of the day, to each programme, and runs a share by hour of the run."""

    def __init__(self, mw: Any, least: Any = 0.0, share: dict[int, float] | None = None) -> None:
        self.mw, self.least, self.share = mw, least, share or {}
        self.asked: list[tuple[int, int]] = []
        self.most_mw = np.inf
        self.seen: list[Observation] = []

    def decide(self, observation: Observation) -> Decision:
        self.seen.append(observation)
        share = self.share.get(observation.t_s // 3600, 1.0)
        return Decision(observation.asic.default_share * share, np.ones(0))

    def offer(self, observation: Observation, begins_s: Ints) -> ReserveOffers:
        self.asked.append((observation.t_s // 3600, len(begins_s)))
        shape = len(begins_s), *observation.energy.reserve_usd_per_mw_h.shape
        mw = np.resize(self.mw, (25, *np.shape(self.mw)[1:])) if np.ndim(self.mw) else self.mw
        power_w = np.broadcast_to(mw[: len(begins_s)] if np.ndim(mw) else mw, shape) * 1e6
        least = np.full(shape, self.least)
        return ReserveOffers(power_w, least, np.full((shape[0], shape[2]), self.most_mw * 1e6))


def world(days: int = 2, incidents: Any = (), sheets: Any = None, **programmes: Any) -> Scenario:
    tables = {
        "horizon": {"days": days},
        "programmes": programmes or {"rrs": RRS},
        "faults": {"enabled": False, "incidents": list(incidents)},
    }
    return one_site(tables, **(sheets or {}))


def sold_mw(result: RunResult) -> Any:
    return column(result, "reserve_sold_mw")

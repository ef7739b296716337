"""Economic curtailment: consumption baselines, and payment for consuming less."""

from dataclasses import dataclass

import numpy as np

from sim.scenario.energy import EconomicProgramme
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_DAY


@dataclass
class Economic:
    """Reductions below a baseline, paid at the zone's price where that is high.

    A day enters a site's baseline unless the site's own price triggered an event on it. A reduction
    that the connection forced is not paid: an outage or the grid operator caused it.
    """

    spec: EconomicProgramme
    enrolled: Floats  # (site,)
    step_s: int

    def __post_init__(self) -> None:
        steps, sites = SECONDS_PER_DAY // self.step_s, len(self.enrolled)
        self.past_w = np.zeros((self.spec.baseline_days, steps, sites))  # days without an event
        self.known = np.zeros(sites, dtype=np.int64)  # number of such days so far
        self.today_w = np.zeros((steps, sites))
        self.event = np.zeros(sites, dtype=np.bool_)

    def settle(
        self, t_s: int, meter_w: Floats, price: Floats, wires: list[tuple[int, Floats]]
    ) -> Floats:
        """Payment for the step that ends at `t_s` (site,) [USD].

        `wires` are its parts: duration [s], and the most that a site could draw meanwhile (site,)
        [W].
        """
        step = (t_s // self.step_s - 1) % len(self.today_w)
        self.today_w[step] = meter_w
        usd = np.zeros(len(meter_w))
        high = price >= self.spec.threshold_usd_per_mwh
        paid_for = high & (self.known >= self.spec.baseline_days) & (self.enrolled > 0.0)
        if paid_for.any():
            self.event |= paid_for
            baseline_w = self.past_w[:, step].mean(axis=0)
            could_j = sum(np.minimum(baseline_w, wire_w) * part_s for part_s, wire_w in wires)
            less_j = np.maximum(could_j - np.maximum(meter_w, 0.0) * self.step_s, 0.0)
            paid = np.maximum(price - self.spec.less_usd_per_mwh, 0.0)
            usd = less_j / J_PER_MWH * paid * paid_for
        if step == len(self.today_w) - 1:
            calm = np.flatnonzero(~self.event)
            self.past_w[self.known[calm] % self.spec.baseline_days, :, calm] = self.today_w[
                :, calm
            ].T
            self.known[calm] += 1
            self.event[:] = False
        return usd

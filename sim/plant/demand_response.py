"""Demand-response programmes: offers, awards, calls and their settlement."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import CALLED, IDLE, NOTICED, Programmes, ProgrammeState
from sim.kernels.energy import bill, call, call_caps
from sim.kernels.fleet import Fleet
from sim.kernels.jit import bind
from sim.plant.day_ahead import ReserveMarket, day_ends
from sim.plant.economic import Economic
from sim.policy import ReserveOffers
from sim.scenario.energy import EconomicProgramme, EmergencyProgramme, ReserveProgramme
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR, W_PER_MW


class _Calls(NamedTuple):
    bill: Callable[[float], None]
    call: Callable[[int], None]
    caps: Callable[[], None]


class Outcome(NamedTuple):
    """Outcome of a call, summed over all sites."""

    owed_mwh: float
    delivered_mwh: float
    penalty_usd: float


def build_programmes(scenario: Scenario) -> tuple[Programmes, ProgrammeState]:
    """Arrays of the programmes that issue calls, in the scenario's order, before any offer."""
    names = [s.name for s in scenario.sites]
    specs = [p for p in scenario.programmes.values() if not isinstance(p, EconomicProgramme)]
    count = (len(specs), len(names))
    reserve_h = [p.duration_h if isinstance(p, ReserveProgramme) else 0.0 for p in specs]
    fixed = Programmes(
        enrolled=np.array([_enrolled(p.sites, names) for p in specs]).reshape(count),
        most_w=np.array([p.max_mw * W_PER_MW for p in specs]),
        standing=np.array([p.offer_fraction for p in specs], dtype=np.float64),
        automatic=np.array([p.response == "automatic" for p in specs], dtype=np.bool_),
        usd_per_j=np.array([p.usd_per_mwh / J_PER_MWH for p in specs]),
        penalty_usd_per_j=np.array([p.penalty_usd_per_mwh / J_PER_MWH for p in specs]),
        by_day=np.array([isinstance(p, ReserveProgramme) for p in specs], dtype=np.bool_),
        duration_s=np.array([h * SECONDS_PER_HOUR for h in reserve_h]),
    )
    state = ProgrammeState(
        price=np.zeros(count[0]),
        real_time=np.zeros(count[0]),
        phase=np.zeros(count[0], dtype=np.int64),
        offer_w=np.zeros(count),
        sold_w=np.zeros(count),
        sold_usd_per_s=np.zeros(count),
        award_w=np.zeros(count),
        stood_j=np.zeros(count),
        short_j=np.zeros(count),
        owed_w=np.zeros(count),
        baseline_w=np.zeros(count),
        owed_j=np.zeros(count),
        delivered_j=np.zeros(count),
        earned_usd=np.zeros(count),
    )
    return fixed, state


class DemandResponse:
    """The firm's demand-response programmes. Shapes: `programme`, `site`.

    `called_w` (2, site): caps on machine power from calls in force, and from calls announced; inf:
    no cap.
    """

    def __init__(self, scenario: Scenario, fleet: Fleet) -> None:
        self.fleet, self.site = fleet, fleet.site
        self.fixed, self.state = fleet.programmes, fleet.programme
        self.called_w = fleet.called_w
        calling = {
            n: p for n, p in scenario.programmes.items() if not isinstance(p, EconomicProgramme)
        }
        self.names = tuple(calling)
        self.specs = tuple(calling.values())
        self.market = ReserveMarket(scenario, self.specs, self.fixed.enrolled)
        self.by_day = self.fixed.by_day
        self.duration_h = self.fixed.duration_s / SECONDS_PER_HOUR
        self.duration_h[~self.by_day] = np.nan
        self._sold = self.fixed.enrolled > 2.0  # all False: nothing is sold yet
        self._paid_usd_per_mw_h = np.zeros(self.fixed.enrolled.shape)
        names = [s.name for s in scenario.sites]
        self.economic = [
            Economic(p, _enrolled(p.sites, names), scenario.horizon.step_s)
            for p in scenario.programmes.values()
            if isinstance(p, EconomicProgramme)
        ]
        self._wire_w, self._noted_s = np.zeros(len(names)), 0
        self._wires: list[tuple[int, Floats]] = []  # of the step so far: [s], (site,) [W]
        self._today_j = np.zeros((2, *self.fixed.enrolled.shape))  # owed, delivered
        self._counted_j = np.zeros(self._today_j.shape)  # of a running call, on earlier days
        self._within_w = np.zeros((len(self.names), *self.fixed.enrolled.shape))
        self._day_ends = {
            p: day_ends(scenario, ZoneInfo(spec.timezone))
            for p, spec in enumerate(self.specs)
            if isinstance(spec, ReserveProgramme)
        }
        self._calls = _Calls(
            bill=bind(bill, fleet, floats=1),
            call=partial(call, fleet),  # rare: compiled at the first call
            caps=partial(call_caps, fleet),
        )

    def offer(self, offer_w: Floats | None) -> None:
        """Set the policy's offers (programme, site) [W]; None: only the standing offers."""
        if self.names:
            self.state.offer_w[:] = 0.0 if offer_w is None else offer_w

    def sell(
        self, offers: ReserveOffers, usd_per_mw_h: Floats, able_w: Floats, asic_w: Floats
    ) -> None:
        """Close the next gate; arguments as in `ReserveMarket.close`.

        `asic_w` (site,) is what ASICs draw now at the meter; standing offers are shares of it.
        """
        standing_w = self.fixed.standing[:, None] * asic_w * self.fixed.enrolled
        standing_w[~self.by_day] = 0.0
        self.market.close(offers, usd_per_mw_h, able_w, standing_w)

    def commit(self, t_s: int) -> None:
        """Put the awards of the step that begins now in force.

        A call claims the power on standby in every hour that it reaches into, but no more than is
        sold. Power that it claims later is measured against the meter reading at that time, where
        that is higher than the first baseline.
        """
        state = self.state
        if self.market.commit(t_s, state.sold_w, state.sold_usd_per_s):
            self._sold = state.sold_w > 0.0
            per_j = np.zeros(self._sold.shape)
            np.divide(state.sold_usd_per_s, state.sold_w, out=per_j, where=self._sold)
            self._paid_usd_per_mw_h = per_j * J_PER_MWH
        if not state.phase.any():
            return
        called = (state.phase != IDLE) & self.by_day
        before_w, baseline_w = state.owed_w[called], state.baseline_w[called]
        standing_w = np.maximum(before_w, state.award_w[called])
        owed_w = np.minimum(standing_w, state.sold_w[called])
        got_w = np.clip(baseline_w - self.site.granted_w, 0.0, before_w)
        again_w = np.maximum(baseline_w, self.site.granted_w + got_w)
        state.baseline_w[called] = np.where(owed_w > before_w, again_w, baseline_w)
        state.owed_w[called] = owed_w
        self._calls.caps()

    def hold_w(self) -> Floats:
        """Awards in force that must be held (programme, site), less what calls have claimed [W]."""
        state = self.state
        if not state.phase.any():
            return state.sold_w.copy()
        owed_w = np.where((state.phase != IDLE)[:, None], state.owed_w, 0.0)
        return np.asarray(np.maximum(state.sold_w - owed_w, 0.0))

    def shortfall_usd_per_mw_h(self) -> Floats:
        """Current cost of not holding an award (programme, site) [USD/MW/h]; 0: nothing is sold."""
        most = np.maximum(self._paid_usd_per_mw_h, self.state.real_time[:, None])
        return np.asarray(most * self._sold)

    def wire(self, most_w: Floats) -> None:
        """Set the connection that outages and the grid leave each site (site,) from now on [W]."""
        self._wire_w = most_w

    def note(self, t_s: int) -> None:
        """Record the connection that was available until `t_s`."""
        self._wires.append((t_s - self._noted_s, self._wire_w))
        self._noted_s = t_s

    def bill(self, t_s: int, step_s: int) -> None:
        """Settle the control step that ends at `t_s`."""
        self._calls.bill(step_s)
        meter_w, price = self.fleet.meters.last_w, self.fleet.prices.zone_usd_per_mwh
        for programme in self.economic:
            usd = programme.settle(t_s, meter_w, price, self._wires)
            self.site.flow[flows.PROGRAMME_USD] += usd
        self._wires.clear()
        self._close_days(t_s)

    def announce(self, p: int) -> float:
        """Announce a call. Returns the power owed over all sites [MW].

        What other calls take from its baseline is added back when they end.
        """
        state, granted_w = self.state, self.site.granted_w
        self._within_w[p] = 0.0
        for other in np.flatnonzero(state.phase):
            owed_w = state.owed_w[other]
            let_go_w = np.clip(state.baseline_w[other] - granted_w, 0.0, owed_w)
            self._within_w[p, other] = owed_w if state.phase[other] == NOTICED else let_go_w
        self._calls.call(p)
        self._calls.caps()
        return float(self.state.owed_w[p].sum()) / W_PER_MW

    def begin(self, p: int) -> None:
        """Start the response period of a call."""
        self.state.phase[p] = CALLED
        self._calls.caps()

    def end(self, p: int) -> Outcome:
        """End a call: charge the penalties for energy that was owed and not delivered."""
        state, spec = self.state, self.specs[p]
        owed_j, got_j = state.owed_j[p], state.delivered_j[p]
        short_j = owed_j - got_j
        if isinstance(spec, EmergencyProgramme):
            short_j = np.where(got_j < spec.minimum_response * owed_j, short_j, 0.0)
        usd = short_j * self.fixed.penalty_usd_per_j[p]
        self.site.flow[flows.PENALTY_USD] += usd
        self._today_j[:, p] += np.stack([owed_j, got_j]) - self._counted_j[:, p]
        self._counted_j[:, p] = 0.0
        outcome = Outcome(
            float(owed_j.sum()) / J_PER_MWH, float(got_j.sum()) / J_PER_MWH, float(usd.sum())
        )
        state.phase[p] = IDLE
        state.owed_w[p] = 0.0
        state.baseline_w[:] += self._within_w[:, p]
        self._within_w[:, p] = 0.0
        self._calls.caps()
        return outcome

    def _close_days(self, t_s: int) -> None:
        """Pay reserves by performance: a day's availability payment times delivered over owed.

        Days are the market's. A call that runs over midnight is split between its days.
        """
        state = self.state
        for p, ends in self._day_ends.items():
            if not ends or ends[0] > t_s:
                continue
            while ends and ends[0] <= t_s:
                ends.pop(0)
            so_far_j = np.stack([state.owed_j[p], state.delivered_j[p]])
            if state.phase[p] == CALLED:
                self._today_j[:, p] += so_far_j - self._counted_j[:, p]
                self._counted_j[:, p] = so_far_j
            owed_j, got_j = self._today_j[:, p]
            factor = np.where(owed_j > 0.0, got_j / np.maximum(owed_j, 1e-300), 1.0)
            self.site.flow[flows.PROGRAMME_USD] -= (1.0 - factor) * state.earned_usd[p]
            state.earned_usd[p] = 0.0
            self._today_j[:, p] = 0.0


def _enrolled(sites: tuple[str, ...], names: list[str]) -> Floats:
    return np.array([float("*" in sites or name in sites) for name in names])

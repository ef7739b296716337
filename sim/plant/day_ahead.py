"""Day-ahead reserve market: gate closures, clearing of offers, hourly awards.

Each product has its own market clock (`timezone`). Before its gate closes, the fleet offers for
every hour of the next local day: 23 or 25 of them when clocks change. Awards are binding.
"""

from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sim.policy import ReserveOffers
from sim.scenario.energy import EmergencyProgramme, ReserveProgramme
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, W_PER_MW

# From gate closure, 10:00, to the results, 13:30: ERCOT Nodal Protocols 4.5.3, as in `Outlook`.
RESULTS_S: Final = 12_600
NEVER_S: Final = 2**62


class Gate(NamedTuple):
    """A gate closure, with the products and the delivery hours it covers. Times are run seconds."""

    closes_s: int
    programmes: tuple[int, ...]
    begins_s: Ints  # (hour,)
    ends_s: Ints  # (hour,)


class Award(NamedTuple):
    """An hour sold at one gate closure; rows of products with another gate are 0."""

    begins_s: int
    ends_s: int
    known_s: int  # publication of the results
    power_w: Floats  # (programme, site)
    usd_per_mw_h: Floats  # (programme,) clearing price


class ReserveMarket:
    """The fleet's reserve awards.

    Shapes: `programme` (those that issue calls), `site`, `hour` of a gate.

    `due_s`: the control step at which offers are next requested, the last one that begins before
    the gate closes. A day whose gate closed before the run began is not sold.
    """

    def __init__(
        self,
        scenario: Scenario,
        specs: tuple[EmergencyProgramme | ReserveProgramme, ...],
        enrolled: Floats,
    ) -> None:
        self.specs, self.enrolled = specs, enrolled
        self.step_s, self.seconds = scenario.horizon.step_s, scenario.horizon.seconds
        self.gates = _gates(scenario, specs)
        self.awards: list[Award] = []
        self._until_s = NEVER_S  # until when the awards in force apply
        self._told_until_s, self._told_from = 0, 0  # end and first hour of the `published` cache
        self._told = np.zeros((0, *enrolled.shape)), np.zeros((0, len(enrolled)))

    @property
    def due_s(self) -> int:
        """Control step at which offers are next due [run seconds]."""
        if not self.gates:
            return NEVER_S
        return self.gates[0].closes_s // self.step_s * self.step_s

    def close(
        self, offers: ReserveOffers, usd_per_mw_h: Floats, able_w: Floats, standing_w: Floats
    ) -> None:
        """Close the next gate and create the awards for its hours.

        Products clear in order of falling price, as in one market that clears them together. A site
        sells each product only from capacity not yet sold to another, so never more than it can do
        in all.

        Args:
            offers: the policy's offers.
            usd_per_mw_h: (step, programme) availability prices without the fleet; NaN: no market.
            able_w: (programme, site) most that a site can curtail or discharge for a product.
            standing_w: (programme, site) the scenario's standing offers, made at any price.
        """
        gate = self.gates.pop(0)
        before = [a for a in self.awards if a.ends_s > gate.begins_s[0]]
        for h, (begins_s, ends_s) in enumerate(zip(gate.begins_s, gate.ends_s, strict=True)):
            price = usd_per_mw_h[self._steps(begins_s, ends_s)].mean(axis=0)
            power_w, paid = np.zeros(self.enrolled.shape), np.zeros(len(self.specs))
            used_w = np.zeros(self.enrolled.shape[1])
            for award in before:
                if award.begins_s < ends_s and begins_s < award.ends_s:
                    used_w = used_w + award.power_w.sum(axis=0)
            wanted_w = np.maximum(offers.power_w[h], standing_w)
            most_w = np.maximum(offers.at_most_w[h], standing_w.sum(axis=0))
            for p in sorted(gate.programmes, key=lambda p: (not price[p] > 0.0, -price[p], p)):
                spec = self.specs[p]
                assert isinstance(spec, ReserveProgramme)
                left_w = np.maximum(np.minimum(able_w[p] - used_w, most_w), 0.0)
                asked_w = np.minimum(np.minimum(wanted_w[p], left_w), spec.max_mw * W_PER_MW)
                asked_w = asked_w * self.enrolled[p]
                stands_w = np.minimum(standing_w[p], asked_w)  # at any price; the rest at its own
                least = np.stack([np.zeros(len(asked_w)), offers.least_usd_per_mw_h[h, p]])
                both_w = np.stack([stands_w, asked_w - stands_w])
                taken_w, paid[p] = take(both_w.ravel(), least.ravel(), float(price[p]), spec)
                power_w[p] = taken_w.reshape(both_w.shape).sum(axis=0)
                used_w = used_w + power_w[p]
                most_w = most_w - power_w[p]
            known_s = gate.closes_s + RESULTS_S
            self.awards.append(Award(int(begins_s), int(ends_s), known_s, power_w, paid))
        self.awards.sort(key=lambda award: award.begins_s)
        self._until_s = self._told_until_s = 0

    def most_paid(self, usd_per_mw_h: Floats) -> Floats:
        """Highest price an award could be paid (step, programme) [USD/MW/h]; arguments as `close`.

        0 where nothing can be sold. Call it before any gate closes.
        """
        most = np.zeros(usd_per_mw_h.shape)
        for gate in self.gates:
            for begins_s, ends_s in zip(gate.begins_s, gate.ends_s, strict=True):
                steps = self._steps(begins_s, ends_s)
                columns = list(gate.programmes)
                price = np.nan_to_num(usd_per_mw_h[steps, columns].mean(axis=0))
                most[steps, columns] = np.maximum(most[steps, columns], price)
        return most

    def _steps(self, begins_s: int, ends_s: int) -> slice:
        """Control steps that an hour overlaps."""
        return slice(begins_s // self.step_s, -(-min(ends_s, self.seconds) // self.step_s))

    def commit(self, t_s: int, sold_w: Floats, sold_usd_per_s: Floats) -> bool:
        """Put the awards of the step that begins at `t_s` in force. False: they have not changed.

        A step that overlaps several hours gets their time-weighted mean.
        """
        if t_s < self._until_s:
            return False
        self.awards = [a for a in self.awards if a.ends_s > t_s]
        sold_w[:] = 0.0
        sold_usd_per_s[:] = 0.0
        end_s, until_s = t_s + self.step_s, NEVER_S
        for award in self.awards:
            if award.begins_s >= end_s:
                until_s = min(until_s, award.begins_s)
                break  # awards are sorted by time
            share = (min(award.ends_s, end_s) - max(award.begins_s, t_s)) / self.step_s
            until_s = min(until_s, award.ends_s if share == 1.0 else end_s)
            sold_w += share * award.power_w
            per_s = award.usd_per_mw_h[:, None] / W_PER_MW / SECONDS_PER_HOUR
            sold_usd_per_s += share * award.power_w * per_s
        self._until_s = max(until_s // self.step_s * self.step_s, end_s)
        return True

    def published(self, t_s: int) -> tuple[Floats, Floats]:
        """Awards for the coming hours, as far as results are published.

        Returns power (hour, programme, site) [W] and the price paid (hour, programme) [USD/MW/h].
        Hours are those of the run's clock after the current one, as in `Outlook`.
        """
        first = t_s // SECONDS_PER_HOUR + 1
        if t_s >= self._told_until_s:
            self._told_from, self._told = first, self._tell(t_s, first)
            news = (a.known_s for a in self.awards if a.known_s > t_s)
            self._told_until_s = min(news, default=NEVER_S)
        power_w, usd = self._told
        return power_w[first - self._told_from :], usd[first - self._told_from :]

    def _tell(self, t_s: int, first: int) -> tuple[Floats, Floats]:
        """Compute what `published` returns, from the hour `first` on."""
        out = [a for a in self.awards if a.known_s <= t_s]
        last_s = max((a.ends_s for a in out), default=0)
        count = max(-(-last_s // SECONDS_PER_HOUR) - first, 0)
        power_w, usd = np.zeros((count, *self.enrolled.shape)), np.zeros((count, len(self.specs)))
        for award in out:
            for k in range(max(award.begins_s // SECONDS_PER_HOUR - first, 0), count):
                begins_s = (first + k) * SECONDS_PER_HOUR
                ends_s = min(award.ends_s, begins_s + SECONDS_PER_HOUR)
                share = (ends_s - max(award.begins_s, begins_s)) / SECONDS_PER_HOUR
                if share <= 0.0:
                    break
                power_w[k] += share * award.power_w
                usd[k] += share * award.usd_per_mw_h
        for array in (power_w, usd):
            array.flags.writeable = False  # policies see them
        return power_w, usd


def take(
    offered_w: Floats, least: Floats, usd_per_mw_h: float, spec: ReserveProgramme
) -> tuple[Floats, float]:
    """Clear offers (offer,) [W]; return the power taken (offer,) [W] and the price [USD/MW/h].

    The cheapest offers clear first and equal ones pro rata, up to `market_mw`, and only while the
    price, which falls with what the fleet sells, is not below the offer's asking price.
    """
    taken_w, sold_w, market_w = np.zeros(len(offered_w)), 0.0, spec.market_mw * W_PER_MW
    if np.isnan(usd_per_mw_h):
        return taken_w, 0.0
    for floor in sorted(set(least[offered_w > 0.0].tolist())):
        if floor > usd_per_mw_h:
            break
        at = (least == floor) & (offered_w > 0.0)
        there_w, room_w = float(offered_w[at].sum()), market_w - sold_w
        fall = spec.price_response * usd_per_mw_h
        if fall > 0.0:
            room_w = min(room_w, market_w * (usd_per_mw_h - floor) / fall - sold_w)
        share = min(max(room_w, 0.0) / there_w, 1.0)
        taken_w[at] = offered_w[at] * share
        sold_w += there_w * share
        if share < 1.0:
            break
    fallen = spec.price_response * sold_w / market_w if market_w > 0.0 else 0.0
    return taken_w, usd_per_mw_h * (1.0 - fallen)


def _gates(
    scenario: Scenario, specs: tuple[EmergencyProgramme | ReserveProgramme, ...]
) -> list[Gate]:
    """Every gate closure of the run, in order of time."""
    found = []
    for (zone, closure_h), group in groupby(
        sorted(
            (spec.timezone, spec.gate_closure_h, p)
            for p, spec in enumerate(specs)
            if isinstance(spec, ReserveProgramme)
        ),
        key=lambda row: row[:2],
    ):
        programmes = tuple(p for *_, p in group)
        found += _gates_of(scenario, ZoneInfo(zone), closure_h, programmes)
    return sorted(found, key=lambda gate: (gate.closes_s, gate.programmes))


def _gates_of(
    scenario: Scenario, zone: ZoneInfo, closure_h: float, programmes: tuple[int, ...]
) -> list[Gate]:
    """Gate closures on one market clock."""
    start, seconds = scenario.horizon.start_utc, scenario.horizon.seconds
    clock = timedelta(seconds=round(closure_h * SECONDS_PER_HOUR))

    def run_s(day: date, since: timedelta = timedelta()) -> int:
        return round((_clock(zone, day, since) - start).total_seconds())

    found, day = [], start.astimezone(zone).date()
    for _ in range(seconds // SECONDS_PER_DAY + 2):
        tomorrow = day + timedelta(days=1)
        closes_s, first_s = run_s(day, clock), run_s(tomorrow)
        last_s = run_s(tomorrow + timedelta(days=1))
        begins_s = np.arange(first_s, min(last_s, seconds), SECONDS_PER_HOUR)
        if closes_s >= 0 and len(begins_s):
            ends_s = np.minimum(begins_s + SECONDS_PER_HOUR, last_s)
            found.append(Gate(closes_s, programmes, begins_s, ends_s))
        day = tomorrow
    return found


def day_ends(scenario: Scenario, zone: ZoneInfo) -> list[int]:
    """Ends of the market's local days, and of the run [s], ascending."""
    start, seconds = scenario.horizon.start_utc, scenario.horizon.seconds
    first = start.astimezone(zone).date()
    ends = (
        round((_clock(zone, first + timedelta(days=k + 1)) - start).total_seconds())
        for k in range(seconds // SECONDS_PER_DAY + 2)
    )
    return [*(t_s for t_s in ends if 0 < t_s < seconds), seconds]


def _clock(zone: ZoneInfo, day: date, since: timedelta = timedelta()) -> datetime:
    """UTC instant at which local clocks show the time `since` midnight."""
    return (datetime.combine(day, time(), zone) + since).astimezone(UTC)

"""Demand charges: meter readings, peaks of billing months, bills."""

from math import gcd
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.kernels import flows
from sim.kernels.arrays import MeterState, SiteState
from sim.policy import NO_DEMAND, DemandView
from sim.scenario.scenario import Scenario
from sim.scenario.tariffs import DemandCharge
from sim.types import Ints
from sim.units import SECONDS_PER_HOUR, W_PER_MW
from sim.world.tariffs import clock_s, in_hours, length_s, month_of

AHEAD_H: Final = 168  # how far ahead policies see measured hours: the longest policy horizon
MONTHS: Final = 12
OF_SITE: Final = "demand_charge_usd_per_mw_month"  # charge name of the column in sites.csv


class Bill(NamedTuple):
    """A billing month of a charge, or the part of it that lies in the run."""

    charge: int
    first: int  # step
    last: int  # the step after its last
    month: int  # since January 1970
    share: float  # of the monthly charge due


class Billed(NamedTuple):
    """A row of the table `demand`."""

    t_s: int
    site: str
    charge: str
    month: str
    peak_mw: float  # measured
    floor_mw: float  # of the ratchet
    billed_mw: float
    share: float
    usd: float


def charges_of(scenario: Scenario) -> list[tuple[str, int, DemandCharge]]:
    """Every charge at every site that pays it: name, site index, terms."""
    found = [
        (OF_SITE, s, DemandCharge(usd_per_mw_month=site.demand_charge_usd_per_mw_month))
        for s, site in enumerate(scenario.sites)
        if site.demand_charge_usd_per_mw_month > 0.0
    ]
    for name, spec in scenario.demand_charges.items():
        for s, site in enumerate(scenario.sites):
            if spec.usd_per_mw_month > 0.0 and ("*" in spec.sites or site.name in spec.sites):
                found.append((name, s, spec))
    return found


def demand_tables(rows: list[Billed]) -> dict[str, pa.Table]:
    """`demand`: a row per site, charge and billed month; no table without bills."""
    if not rows:
        return {}
    types = (pa.int64(), *(pa.string(),) * 3, *(pa.float64(),) * 5)
    columns = zip(Billed._fields, zip(*rows, strict=True), types, strict=True)
    return {"demand": pa.table({name: pa.array(c, t) for name, c, t in columns})}


class DemandCharges:
    """All demand charges of a run. Shapes: `charge` at a site, `tick` the shortest interval.

    A peak is the highest mean power at the meter over an interval that begins in the charge's
    hours; power fed back counts as zero. The peak is billed, with a ratchet at least the ratchet's
    share of the highest peak of earlier months. `peak_before_mw` is the peak of the months before
    the run.
    """

    def __init__(self, scenario: Scenario, ends: dict[int, list[int]]) -> None:
        horizon, sites = scenario.horizon, scenario.sites
        self.step_s, self.steps = horizon.step_s, horizon.steps
        found = charges_of(scenario)
        self.names = [name for name, _, _ in found]
        self.specs = [spec for _, _, spec in found]
        self.site_names = [s.name for s in sites]
        self.site: Ints = np.array([s for _, s, _ in found], dtype=np.int64)
        self.usd_per_w = np.array([c.usd_per_mw_month for c in self.specs]) / W_PER_MW
        self.interval_s: Ints = np.array(
            [round(c.interval_min * 60) if c.interval_min else self.step_s for c in self.specs],
            dtype=np.int64,
        )
        self.tick_s = gcd(self.step_s, *self.interval_s.tolist())
        offset_s = [round(sites[s].offset_h * SECONDS_PER_HOUR) for s in self.site]
        self.local_s: Ints = round(horizon.start_utc.timestamp()) + np.array(
            offset_s, dtype=np.int64
        )  # (charge,) local standard time of the start
        ticks = horizon.seconds // self.tick_s + AHEAD_H * SECONDS_PER_HOUR // self.tick_s + 1
        self.measured = np.zeros((ticks, len(found)), dtype=np.bool_)
        for c, (_, s, spec) in enumerate(found):
            local_s = self.local_s[c] + np.arange(ticks, dtype=np.int64) * self.tick_s
            begun_s = local_s
            if self.interval_s[c] > self.tick_s:
                aligned = self.local_s[c] if self.interval_s[c] == self.step_s else 0
                begun_s = aligned + (local_s - aligned) // self.interval_s[c] * self.interval_s[c]
            site = sites[s]
            clock = clock_s(begun_s - offset_s[c], site.timezone, site.utc_offset_h)
            within = in_hours(spec.model_copy(update={"months": ()}), clock)
            of_year = spec.months and (*spec.months, *spec.ratchet_from)
            self.measured[:, c] = within & _of(of_year, month_of(begun_s))
        self.bills = self._bills(ends)
        self.table: list[Billed] = []
        self._due: dict[int, list[Bill]] = {}
        for bill in self.bills:
            self._due.setdefault(bill.last, []).append(bill)
        count = len(found)
        self._sum_j, self._sum_s = np.zeros(count), np.zeros(count)
        self._read_j = np.zeros(len(sites))
        self.peak_w = np.zeros(count)
        self._past: list[list[tuple[int, float]]] = [
            [(int(month_of(self.local_s[c : c + 1])[0]) - 1, spec.peak_before_mw * W_PER_MW)]
            for c, spec in enumerate(self.specs)
        ]
        self.later = np.flatnonzero([spec.ratchet_fraction > 0.0 for spec in self.specs])
        self._hourly = self._by_hour()
        self._month_end_s = np.zeros(count)
        self._floor_w, self._known_w = np.zeros(count), np.zeros(count)
        self._usd, self._later_usd = np.zeros(count), np.zeros(count)
        for bill in self.bills:
            if bill.first == 0:
                self._begin(bill.charge, bill.month, 0)

    def read(self, t_s: int, meters: MeterState) -> None:
        """Read the meters at the end of a tick; at the end of a step, after it is billed."""
        if not self.names:
            return
        ends = t_s % self.step_s == 0
        since_j = meters.last_w * self.step_s if ends else meters.step_j.copy()
        self._sum_j += (since_j - self._read_j)[self.site]
        self._sum_s += self.tick_s
        self._read_j = np.zeros(len(since_j)) if ends else since_j
        over = (self.local_s + t_s) % self.interval_s == 0
        over |= (self.interval_s == self.step_s) & ends
        over |= t_s == self.steps * self.step_s
        counts = over & self.measured[t_s // self.tick_s - 1]
        mean_w = self._sum_j / self._sum_s
        self.peak_w = np.where(counts, np.maximum(self.peak_w, mean_w), self.peak_w)
        self._sum_j[over] = self._sum_s[over] = 0.0

    def close_step(self, step: int, site: SiteState) -> None:
        """Bill the months that end with a control step."""
        for bill in self._due.get(step, ()):
            c, spec = bill.charge, self.specs[bill.charge]
            if _billed(spec, bill.month):
                peak_w, floor_w = float(self.peak_w[c]), float(self._floor_w[c])
                billed_w = max(peak_w, floor_w)
                usd = billed_w * float(self.usd_per_w[c]) * bill.share
                site.flow[flows.DEMAND_USD, self.site[c]] += usd
                self.table.append(
                    Billed(
                        step * self.step_s, self.site_names[self.site[c]], self.names[c],
                        str(np.datetime64(bill.month, "M")), peak_w / W_PER_MW,
                        floor_w / W_PER_MW, billed_w / W_PER_MW, bill.share, usd,
                    )
                )  # fmt: skip
            if _of(spec.ratchet_from, np.array([bill.month])).item():
                self._past[c].append((bill.month, float(self.peak_w[c])))
            self.peak_w = self.peak_w.copy()  # policies may hold the old array
            self.peak_w[c] = 0.0
            self._begin(c, bill.month + 1, step * self.step_s)

    def view(self, t_s: int) -> DemandView:
        """What policies see: this month's charges and what a ratchet adds in later months."""
        if not self.names:
            return NO_DEMAND
        later = self.later
        known_w = np.maximum(self._known_w, self.peak_w)
        hour = t_s // SECONDS_PER_HOUR
        return DemandView(
            np.concatenate([self.site, self.site[later]]),
            np.concatenate([self._usd, self._later_usd[later]]),
            np.concatenate([np.maximum(self.peak_w, self._floor_w), known_w[later]]),
            np.concatenate([self._month_end_s, self._month_end_s[later]]) - t_s,
            np.arange(len(self.site) + len(later)) >= len(self.site),
            self._hourly[hour : hour + AHEAD_H],
        )

    def steps_of(self, bill: Bill) -> tuple[Ints, Ints]:
        """Steps of a bill that are measured in full, and the interval number of each, ascending."""
        c, per = bill.charge, self.step_s // self.tick_s
        whole = self.measured[bill.first * per : bill.last * per, c].reshape(-1, per).all(axis=1)
        steps = bill.first + np.flatnonzero(whole)
        begun_s = self.local_s[c] * (self.interval_s[c] > self.step_s) + steps * self.step_s
        return steps, begun_s // max(int(self.interval_s[c]), self.step_s)

    def due_usd_per_mw(self, bill: Bill) -> float:
        """Cost of a billed MW [USD/MW]."""
        spec = self.specs[bill.charge]
        return spec.usd_per_mw_month * bill.share * _billed(spec, bill.month)

    def remembered(self, bill: Bill) -> tuple[list[Bill], float]:
        """Earlier bills in this bill's ratchet, and the floor from before the run [MW]."""
        c, spec = bill.charge, self.specs[bill.charge]
        since = bill.month - spec.ratchet_months
        if not spec.ratchet_fraction:
            return [], 0.0
        past = [
            b for b in self.bills
            if b.charge == c and since <= b.month < bill.month
            and _of(spec.ratchet_from, np.array([b.month])).item()
        ]  # fmt: skip
        first = int(month_of(self.local_s[c : c + 1])[0])
        before = spec.peak_before_mw if first - 1 >= since else 0.0
        return past, before * spec.ratchet_fraction

    def _bills(self, ends: dict[int, list[int]]) -> list[Bill]:
        found = []
        for c, s in enumerate(self.site.tolist()):
            first = 0
            for last in sorted(step for step, sites in ends.items() if s in sites):
                begin_s = self.local_s[c : c + 1] + first * self.step_s
                month = int(month_of(begin_s)[0])
                share = 1.0
                if self.specs[c].prorate:
                    share = min((last - first) * self.step_s / length_s(month), 1.0)
                found.append(Bill(c, first, last, month, share))
                first = last
        return found

    def _begin(self, c: int, month: int, t_s: int) -> None:
        """Begin a billing month and prepare what policies see of it."""
        spec, now_s = self.specs[c], int(self.local_s[c]) + t_s
        end_s = int(np.datetime64(month + 1, "M").astype("datetime64[s]").astype(np.int64))
        left_s = end_s - now_s
        due = min(left_s / length_s(month), 1.0) if spec.prorate else 1.0
        kept, after = spec.ratchet_months, range(month + 1, month + 1 + spec.ratchet_months)
        recalls = _of(spec.ratchet_from, np.array([month])).item()
        arrays = [self._usd, self._later_usd, self._month_end_s, self._floor_w, self._known_w]
        usd, later, ends, floor, known = (a.copy() for a in arrays)
        full_usd = spec.usd_per_mw_month
        usd[c] = full_usd * due * _billed(spec, month)
        months = sum(_billed(spec, m) for m in after)
        later[c] = full_usd * spec.ratchet_fraction * months * recalls
        ends[c] = t_s + left_s
        past = self._past[c]
        floor[c] = spec.ratchet_fraction * max((w for m, w in past if m >= month - kept), default=0)
        known[c] = max((w for m, w in past if m > month - kept), default=0.0)
        self._usd, self._later_usd, self._month_end_s, self._floor_w, self._known_w = (
            usd, later, ends, floor, known,
        )  # fmt: skip

    def _by_hour(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether any part of each hour is measured (hour, row of the view)."""
        every = np.concatenate([self.measured, self.measured[:, self.later]], axis=1)
        hours = (len(every) - 1) * self.tick_s // SECONDS_PER_HOUR
        begins_s = np.arange(hours) * SECONDS_PER_HOUR
        if self.tick_s < SECONDS_PER_HOUR:
            per = SECONDS_PER_HOUR // self.tick_s
            found = every[: hours * per].reshape(hours, per, -1).any(axis=1)
        else:
            found = every[begins_s // self.tick_s]
        found = np.ascontiguousarray(found)
        found.flags.writeable = False
        return found


def _of(months: tuple[int, ...], number: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether months since 1970 (instant,) fall in `months` of the year; () means all."""
    if not months:
        return np.ones(len(number), dtype=np.bool_)
    return np.isin(number % MONTHS + 1, months)


def _billed(spec: DemandCharge, month: int) -> bool:
    return bool(_of(spec.months, np.array([month])).item())

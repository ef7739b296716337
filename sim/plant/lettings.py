"""Letting of GPU nodes: at the prices of the day, or under contract to one tenant after another.

Nodes sold by the hour (batch) and nodes reserved without a contract earn the price of their row, or
the [gpu_market] price of the day where the row has none, for the share of their hours that is let.
Nodes under a contract are let as a whole to successive tenants. A tenant takes a share of the hours
and pays for that share or for the take-or-pay share, whichever is larger. Shares are constant
within a tenancy, so take-or-pay comes to the same by the hour or by the month.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from math import floor, inf
from typing import Final, NamedTuple

import numpy as np

from sim.plant.machines import Let, NodeRates, as_written, node_rates
from sim.scenario.gpu_market import GpuContract
from sim.scenario.problems import instant
from sim.scenario.rows import GpuGroup
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import OnSiteEvent
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR
from sim.world.gpu_market import GpuPaths

YEAR_S: Final = 365 * SECONDS_PER_DAY  # from anniversary to anniversary


class Tenancy(NamedTuple):
    """The tenancy of all nodes of a row."""

    number: int  # from 0
    start_s: float
    end_s: float
    usd_per_gpu_h: float  # on the first day


class Tenants:
    """The successive tenants of a row of gpus.csv under a contract."""

    def __init__(
        self,
        terms: GpuContract,
        first_s: float | None,
        last_s: float,
        price: Callable[[float], float],
        gaps: Callable[[int], float],
    ) -> None:
        """`first_s`: when the first tenant arrives, None: with the nodes; `last_s`: when all leave.

        `price` is the market's at a run second [USD/GPU/h]. `gaps` gives the vacancy after a tenant
        as a multiple of `gap_days`.
        """
        self.terms = terms
        self.first_s, self.last_s = first_s, last_s
        self.price, self.gaps = price, gaps
        self.now: Tenancy | None = None  # the current tenancy, or the next one

    def at(self, t_s: float, there: bool) -> Tenancy | None:
        """The tenancy in force; None: vacant."""
        if self.now is None:
            if not there:
                return None
            came_s = t_s if t_s > 0.0 else self.first_s  # initial nodes may already be let
            first_s = t_s if self.first_s is None else max(self.first_s, came_s or 0.0)
            self.now = self._tenancy(0, first_s)
        while self.now.end_s <= t_s and self.now.end_s < self.last_s and self._again:
            number = self.now.number
            gap_s = self.terms.gap_days * self.gaps(number) * SECONDS_PER_DAY
            self.now = self._tenancy(number + 1, self.now.end_s + gap_s)
        return self.now if self.now.start_s <= t_s < self.now.end_s else None

    def usd_per_gpu_h(self, tenancy: Tenancy, t_s: float) -> float:
        """The tenant's current rate [USD/GPU/h], escalator included."""
        years = floor((t_s - tenancy.start_s) / YEAR_S)
        return float(tenancy.usd_per_gpu_h * (1.0 + self.terms.escalator_per_year) ** years)

    def changes_s(self, t_s: float) -> float:
        """Time of the next change after `t_s` [run seconds]; inf: never."""
        if self.now is None:
            return inf
        if t_s < self.now.start_s:
            return self.now.start_s
        if t_s >= self.now.end_s:
            return inf
        if not self.terms.escalator_per_year:
            return self.now.end_s
        passed = floor((t_s - self.now.start_s) / YEAR_S)
        return min(self.now.end_s, self.now.start_s + (passed + 1) * YEAR_S)

    @property
    def _again(self) -> bool:
        return self.terms.renewal == "reprice"

    def _tenancy(self, number: int, start_s: float) -> Tenancy:
        end_s = min(start_s + self.terms.term_days * SECONDS_PER_DAY, self.last_s)
        if number == 0 and self.terms.usd_per_gpu_h is not None:
            return Tenancy(number, start_s, end_s, self.terms.usd_per_gpu_h)
        factor = self.terms.price_factor if number else 1.0
        return Tenancy(number, start_s, end_s, factor * self.price(start_s))


class Lettings:
    """Letting rates of all GPU nodes, updated at control steps.

    The random vacancies are keyed by the row (its site, GPU and rank among equals) and the number
    of the tenant who left.
    """

    def __init__(
        self, scenario: Scenario, paths: GpuPaths, streams: Streams, event: OnSiteEvent
    ) -> None:
        self.scenario, self.paths, self.event = scenario, paths, event
        self.start = scenario.horizon.start_utc
        self.let = self.written = as_written(scenario)  # rates in force, and the fallback
        self.contracts: dict[int, Tenants] = {}
        self.told: dict[int, Tenancy | None] = {}
        rank: dict[tuple[str, str], int] = {}
        for n, row in enumerate(scenario.gpus):
            number = rank[row.site, row.gpu] = rank.get((row.site, row.gpu), -1) + 1
            if row.contract is not None:
                self.contracts[n] = self._tenants(n, f"{row.site}/{row.gpu}/{number}", streams)
        self.by_day = any(
            row.gpu in paths.usd_per_gpu_h and n not in self.contracts and self._market(row)
            for n, row in enumerate(scenario.gpus)
        )
        self.by_month = any(row.opex_usd_per_node_month for row in scenario.gpus)
        self.waiting = set(self.contracts)  # contracts whose nodes are not deployed yet
        self.due_s = 0.0 if self.contracts or self.by_day or self.by_month else inf

    def look(self, t_s: int, there: Callable[[int], bool]) -> NodeRates | None:
        """Rates from now on; None: unchanged. `there`: whether the nodes of a row are deployed."""
        came = {n for n in self.waiting if there(n)}
        if t_s < self.due_s and not came:
            return None
        self.waiting -= came
        self.let = let = self._let(t_s, there)
        self.due_s = self._due_s(t_s)
        return node_rates(self.scenario, let, self._month_h(t_s))

    def _let(self, t_s: int, there: Callable[[int], bool]) -> Let:
        usd, share, least = (array.copy() for array in self.written)
        for n, row in enumerate(self.scenario.gpus):
            if n in self.contracts:
                usd[n], share[n], least[n] = self._contracted(n, t_s, there(n))
            elif row.gpu in self.paths.usd_per_gpu_h:
                day = t_s // SECONDS_PER_DAY
                if row.usd_per_gpu_h is None:
                    usd[n] = self.paths.usd_per_gpu_h[row.gpu][day]
                if row.occupancy is None and row.state == "batch":
                    share[n] = self.paths.occupancy[row.gpu][day]
        return Let(usd, share, least)

    def _contracted(self, n: int, t_s: int, there: bool) -> tuple[float, float, float]:
        """Price, share taken and take-or-pay share of a row under a contract."""
        tenants = self.contracts[n]
        tenancy = tenants.at(t_s, there)
        self._tell(n, t_s, tenancy)
        if tenancy is None:
            return 0.0, 0.0, 0.0
        terms = tenants.terms
        usd = tenants.usd_per_gpu_h(tenancy, t_s)
        return usd, terms.taken_fraction, terms.take_or_pay_fraction

    def _tell(self, n: int, t_s: int, tenancy: Tenancy | None) -> None:
        """Record the tenants that arrive and leave during the run."""
        before, row = self.told.get(n), self.scenario.gpus[n]
        self.told[n] = tenancy
        if before is not None and (tenancy is None or tenancy.number != before.number):
            self.event(t_s, "tenant leaves", row.site, row.gpu, f"contract {row.contract}")
        if tenancy is None or (before is not None and before.number == tenancy.number):
            return
        if tenancy.start_s >= 0.0:
            usd = tenancy.usd_per_gpu_h * self.scenario.what_if.gpu_price_factor
            until = instant(self.start + timedelta(seconds=tenancy.end_s))
            detail = f"contract {row.contract}: {usd:.4g} USD per GPU and hour to {until}"
            self.event(t_s, "tenant comes", row.site, row.gpu, detail)

    def _due_s(self, t_s: int) -> float:
        due_s = [tenants.changes_s(t_s) for tenants in self.contracts.values()]
        if self.by_day:
            due_s.append((t_s // SECONDS_PER_DAY + 1) * SECONDS_PER_DAY)
        if self.by_month:
            due_s.append(self._month(t_s)[1])
        return min(due_s, default=inf)

    def _month_h(self, t_s: int) -> float:
        start_s, end_s = self._month(t_s)
        return (end_s - start_s) / SECONDS_PER_HOUR

    def _month(self, t_s: int) -> tuple[float, float]:
        """Start of the calendar month in UTC, and of the next one [run seconds]."""
        now = self.start + timedelta(seconds=t_s)
        first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = (first + timedelta(days=32)).replace(day=1)
        return (first - self.start).total_seconds(), (after - self.start).total_seconds()

    def _market(self, row: GpuGroup) -> bool:
        """Whether the price or occupancy of a row follows the daily market."""
        return row.usd_per_gpu_h is None or (row.occupancy is None and row.state == "batch")

    def _tenants(self, n: int, name: str, streams: Streams) -> Tenants:
        row = self.scenario.gpus[n]
        terms = self.scenario.gpu_contracts[str(row.contract)]

        def run_s(when: datetime | None) -> float | None:
            return None if when is None else (when - self.start).total_seconds()

        def price(t_s: float) -> float:
            """Price of the row, else the market's of the day (before the run: of its first day)."""
            path = self.paths.usd_per_gpu_h.get(row.gpu)
            if path is None or row.usd_per_gpu_h is not None:
                return float(self.written.usd_per_gpu_h[n])
            return float(path[int(np.clip(t_s // SECONDS_PER_DAY, 0, len(path) - 1))])

        def gaps(number: int) -> float:
            if terms.gap == "fixed":
                return 1.0
            return float(streams.generator("gpu-gap", name, number).exponential())

        last_s = run_s(terms.end_utc)
        end_s = inf if last_s is None else last_s
        return Tenants(terms, run_s(terms.start_utc), end_s, price, gaps)

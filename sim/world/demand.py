"""Requests of the tenants, a day at a time; draws are by tenant and day, never by decision."""

import math
from datetime import timedelta
from typing import Final

import numpy as np

from sim.kernels.traffic import Day
from sim.scenario.demand import Tenant
from sim.scenario.scenario import Scenario
from sim.serving.mix import lognormal
from sim.serving.traces import Trace
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_YEAR
from sim.world.talks import talks

# Rate by local hour; means are 1. BurstGPT_1: requests per hour over 61 days, public analysis of
# its 1,429,737 requests. ServeGen: m-small of Alibaba Cloud Model Studio, 14 days.
PROFILES: Final = {
    "flat": (1.0,) * 24,
    "conversation": (
        0.5236, 0.4970, 0.3183, 0.2857, 0.2050, 0.1902, 0.1079, 0.0853, 0.0989, 0.2316, 0.4893,
        0.7163, 0.9713, 0.8359, 1.0000, 0.7802, 0.8216, 0.7549, 0.6577, 0.8729, 0.7532, 0.6543,
        0.6287, 0.5712,
    ),
    "api": (
        0.839, 0.714, 0.733, 0.676, 0.714, 0.660, 0.684, 0.855, 1.015, 1.054, 1.125, 1.093,
        1.060, 1.073, 1.060, 1.047, 1.091, 1.078, 1.007, 1.229, 1.455, 1.402, 1.271, 1.063,
    ),
}  # fmt: skip


class Requests:
    """Draws the requests of a day."""

    def __init__(self, scenario: Scenario, streams: Streams) -> None:
        self.tenants = scenario.tenants
        self.start = scenario.horizon.start_utc
        self.horizon_s = scenario.horizon.seconds
        self.streams = streams
        self.traces = scenario.traces
        self.leaves_s = [_leaving(tenant, streams) for tenant in scenario.tenants]
        self._counted_day = -1
        self._until = np.zeros((len(self.tenants), 25))

    def day(self, number: int) -> Day:
        """All requests of a day of the run, in order of time."""
        parts: list[Day] = []
        talks_before = 0
        for i, tenant in enumerate(self.tenants):
            part = self._of(i, tenant, number)
            parts.append(part._replace(leaf=part.leaf + talks_before))
            talks_before += int(part.leaf.max(initial=-1)) + 1
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        order = np.argsort(columns[0], kind="stable")
        order = order[: int(np.searchsorted(columns[0], self.horizon_s, sorter=order))]
        return Day(*(np.ascontiguousarray(column[order]) for column in columns))

    def counts(self, from_s: int, to_s: int) -> Ints:
        """Requests of each tenant in an interval within a day (tenant,): fluid only.

        Poisson by the hour, spread evenly within it. What bursts (`gamma`) and recorded arrival
        times (`trace`) do to queues is in the fluid's surfaces, which are measured with them.
        """
        number = from_s // SECONDS_PER_DAY
        if number != self._counted_day:
            self._counted_day, self._until = number, self._hours(number)
        start_s = number * SECONDS_PER_DAY
        return self._upto(to_s - start_s) - self._upto(from_s - start_s)

    def _upto(self, second: int) -> Ints:
        hour, rest_s = divmod(second, SECONDS_PER_HOUR)
        here = self._until[:, hour]
        if rest_s == 0:
            return here.astype(np.int64)
        more = (self._until[:, hour + 1] - here) * (rest_s / SECONDS_PER_HOUR)
        return np.asarray(here + np.floor(more)).astype(np.int64)

    def _hours(self, number: int) -> Floats:
        """Cumulative requests of each tenant up to each hour of a day (tenant, 25)."""
        found = []
        for tenant in self.tenants:
            hourly = self._rate(tenant, number)
            if tenant.arrivals == "trace":
                hourly = np.full(24, self._mean_rps(tenant, number) * SECONDS_PER_HOUR)
            draw = self.streams.generator("demand-fluid", tenant.name, number)
            found.append(np.concatenate([[0.0], np.cumsum(draw.poisson(hourly))]))
        return np.array(found).reshape(len(self.tenants), 25)

    def _of(self, i: int, tenant: Tenant, number: int) -> Day:
        draw = self.streams.generator("demand", tenant.name, number)
        trace = self.traces[tenant.trace] if tenant.trace is not None else None
        rate = self._rate(tenant, number)
        picked: Ints | None = None
        if tenant.arrivals == "trace" and trace is not None:
            sent_s, picked = _replayed(trace, self._mean_rps(tenant, number), number)
        else:
            cv = tenant.cv if tenant.arrivals == "gamma" else 1.0
            sent_s = _renewals(draw, rate, cv) + number * SECONDS_PER_DAY
        count = len(sent_s)
        if tenant.empirical and trace is not None:
            if picked is None:
                picked = draw.integers(0, len(trace.arrival_s), count)
            prompt, output = trace.prompt_tokens[picked], trace.output_tokens[picked]
        else:
            prompt = lognormal(draw, tenant.prompt_mean_tokens, tenant.prompt_cv, count)
            output = lognormal(draw, tenant.output_mean_tokens, tenant.output_cv, count)
        prompt = np.minimum(prompt, tenant.max_tokens)
        output = np.minimum(output, tenant.max_tokens)
        luck = draw.random((count, 2))
        talk = np.arange(count)
        if tenant.turns > 1.0 or tenant.system_prompt_tokens > 0:
            prompt, talk = talks(tenant, sent_s, prompt, output, draw)
        return Day(
            sent_s=sent_s,
            tenant=np.full(count, i, dtype=np.int64),
            prompt=prompt,
            output=output,
            hit=(prompt * tenant.prefix_share).astype(np.int64),
            luck=luck,
            leaf=talk,
            told=prompt + output,
        )

    def _rate(self, tenant: Tenant, number: int) -> Floats:
        """Expected requests in each hour of a day (24,): by local hour, less at weekends."""
        profile = np.array(PROFILES[tenant.profile])
        first = self.start + timedelta(days=number, hours=tenant.utc_offset_h)
        local = [first + timedelta(hours=h) for h in range(24)]
        weekend = np.array([tenant.weekend_factor if t.weekday() >= 5 else 1.0 for t in local])
        mean = profile.mean() * (5.0 + 2.0 * tenant.weekend_factor) / 7.0
        hours = np.array([t.hour for t in local])
        rate = self._mean_rps(tenant, number) * SECONDS_PER_HOUR / max(mean, 1e-300)
        return np.asarray(rate * profile[hours] * weekend)

    def departures(self) -> list[tuple[int, str, int]]:
        """Customers who leave during the run, as (run second, tenant, customers left)."""
        found = []
        for tenant, leaves_s in zip(self.tenants, self.leaves_s, strict=True):
            for gone, t_s in enumerate(leaves_s, 1):
                if t_s < self.horizon_s:
                    found.append((int(t_s), tenant.name, tenant.customers - gone))
        return sorted(found)

    def _mean_rps(self, tenant: Tenant, number: int) -> float:
        """Mean rate of a day [1/s]: customers present as it begins, each grown since the start."""
        day_s = number * SECONDS_PER_DAY
        leaves_s = self.leaves_s[self.tenants.index(tenant)]
        there = 1.0 - float(np.searchsorted(leaves_s, day_s, side="right")) / tenant.customers
        grown = (1.0 + tenant.growth_per_year) ** (day_s / SECONDS_PER_YEAR)
        return float(tenant.rate_rps * there * grown)


def _leaving(tenant: Tenant, streams: Streams) -> Floats:
    """Times at which customers leave (customer,) [s], ascending; empty: all stay."""
    if tenant.churn_per_year == 0.0:
        return np.zeros(0)
    draw = streams.generator("churn", tenant.name)
    years = draw.exponential(1.0 / tenant.churn_per_year, tenant.customers)
    return np.sort(years) * SECONDS_PER_YEAR


def _renewals(draw: np.random.Generator, hourly: Floats, cv: float) -> Floats:
    """Arrival times of a day [s]: gamma gaps of coefficient `cv` in operational time, 1: Poisson.

    Each day begins afresh in the middle of a gap (approximation for bursty tenants: a burst does
    not cross midnight).
    """
    total = float(hourly.sum())
    if total <= 0.0:
        return np.zeros(0)
    shape = 1.0 / cv**2
    found: list[Floats] = []
    at = -float(draw.random()) * float(draw.gamma(shape, 1.0 / shape)) if cv != 1.0 else 0.0
    while at < total:
        block = int((total - at) + 4.0 * cv * math.sqrt(total - at) + 16)
        steps = draw.exponential(1.0, block) if cv == 1.0 else draw.gamma(shape, 1 / shape, block)
        found.append(at + np.cumsum(steps))
        at = float(found[-1][-1])
    done = np.concatenate(found)
    done = done[(done >= 0.0) & (done < total)]
    until = np.concatenate([[0.0], np.cumsum(hourly)])
    return np.asarray(np.interp(done, until, np.arange(25.0) * SECONDS_PER_HOUR))


def _replayed(trace: Trace, rate_rps: float, number: int) -> tuple[Floats, Ints]:
    """One day of the recorded arrivals, repeated at the tenant's mean rate: times [s] and rows."""
    count = len(trace.arrival_s)
    span_s = float(trace.arrival_s[-1]) * count / max(count - 1, 1) or 1.0  # a gap before the next
    pace = rate_rps * span_s / count
    if pace <= 0.0:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    round_s = span_s / pace
    first, last = number * SECONDS_PER_DAY, (number + 1) * SECONDS_PER_DAY
    rounds = np.arange(int(first // round_s), int(last // round_s) + 1)
    sent_s = (rounds[:, None] * round_s + trace.arrival_s[None, :] / pace).ravel()
    picked = np.tile(np.arange(count), len(rounds))
    inside = (sent_s >= first) & (sent_s < last)
    return sent_s[inside], picked[inside]

"""What a project pays, and what its machines bring in."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sim.finance.site_flows import Flows, SiteFlows
from sim.kernels.arrays import Bools, Floats
from sim.scenario import catalogue
from sim.scenario.rows import MovedGroup
from sim.scenario.scenario import Scenario
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY


class Plan(NamedTuple):
    """When a project was paid, and since when it runs."""

    paid: tuple[tuple[float, float], ...]  # run seconds, USD; a refund is negative
    live_s: float | None  # None: never

    @property
    def paid_usd(self) -> float:
        """All payments, refunds taken off."""
        return sum(usd for _, usd in self.paid)


class _Rows(NamedTuple):
    """Groups of machines, in the order of asics.csv and then gpus.csv. Shape: `row`."""

    site: list[str]
    project: list[str]
    hashrate: Floats  # (row,) nameplate [TH/s]
    gpus: Floats  # (row,)
    power: Floats  # (row,) nameplate [W]


def project_flows(
    scenario: Scenario, flows: SiteFlows, name: str, plans: Mapping[str, Plan]
) -> Flows:
    """What a project pays and what its machines earn, month by month.

    Machines earn their share of their site's mined bitcoin by hashrate, of its inference by GPUs,
    and bear their share of its other operating cash by nominal power, for the days that they are
    live. What was paid before the run is laid out at its start.
    """
    rows, plan = _rows(scenario), plans[name]
    cash = np.zeros(len(flows.days))
    ends_s = flows.days * SECONDS_PER_DAY
    before, paid = 0.0, 0.0
    for t_s, usd in plan.paid:
        if t_s <= ends_s[-1]:
            paid += usd
            if t_s < 0.0:
                before += usd
            else:
                cash[np.searchsorted(ends_s, t_s)] -= usd
    live = np.stack([_live(p, plans, scenario, ends_s) for p in rows.project] or [ends_s])
    mine = np.array([p == name for p in rows.project])
    for site in dict.fromkeys(s for s, own in zip(rows.site, mine, strict=True) if own):
        here = np.array([s == site for s in rows.site])
        mined, customers, other = flows.operating(site)
        for amount, of in (
            (mined, rows.hashrate), (customers, rows.gpus), (other, rows.power),
        ):  # fmt: skip
            units = (of * here) @ live
            own = (of * here * mine) @ live
            cash += amount * np.divide(own, units, out=np.zeros_like(own), where=units > 0.0)
    return Flows(cash, before, _book_usd(scenario, rows, mine, plan, paid, ends_s[-1]), paid)


def _rows(scenario: Scenario) -> _Rows:
    asics, gpus = catalogue.asics(scenario.asic_models), catalogue.gpus(scenario.gpu_models)
    groups = [
        (g, g.count, asics[g.model].nominal)
        for g in scenario.asics
        if not isinstance(g, MovedGroup)  # where a host's machines go: counted where they stood
    ]
    nodes = [(g, g.nodes * g.gpus_per_node, gpus[g.gpu]) for g in scenario.gpus]
    none = [0.0] * max(len(groups), len(nodes))
    return _Rows(
        [g.site for g, *_ in groups] + [g.site for g, *_ in nodes],
        [g.project for g, *_ in groups] + [g.project for g, *_ in nodes],
        np.array([n * m.hashrate_ths for _, n, m in groups] + none[: len(nodes)]),
        np.array(none[: len(groups)] + [float(n) for _, n, _ in nodes]),
        np.array(
            [n * m.power_w for _, n, m in groups] + [n * m.max_w_per_gpu for _, n, m in nodes]
        ),
    )


def _live(project: str, plans: Mapping[str, Plan], scenario: Scenario, ends_s: Floats) -> Floats:
    """Seconds of each month (month,) in which a row's machines that run are there."""
    if not project:
        return np.diff(ends_s, prepend=0.0)
    plan = plans.get(project)
    if plan is None or plan.live_s is None:
        return np.zeros(len(ends_s))
    runs = 1.0 - scenario.projects[project].failed_fraction
    live_s = np.maximum(ends_s - max(plan.live_s, 0.0), 0.0)
    return np.diff(live_s, prepend=0.0) * runs


def _book_usd(
    scenario: Scenario, rows: _Rows, mine: Bools, plan: Plan, paid_usd: float, end_s: float
) -> float:
    """Of what was paid, what straight-line depreciation since the first live day leaves."""
    if plan.live_s is None:
        return 0.0
    firm = scenario.firm
    life_years = firm.building_life_years
    if (rows.hashrate * mine).any():
        life_years = firm.asic_life_years
    if (rows.gpus * mine).any():
        life_years = firm.gpu_life_years
    age_years = max(end_s - plan.live_s, 0.0) / SECONDS_PER_DAY / DAYS_PER_YEAR
    return paid_usd * max(1.0 - age_years / life_years, 0.0)

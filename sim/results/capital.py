"""Yearly capital cost of machines by group: the table `capital`.

A machine is worth its project's price; else its book value ([firm] asic_usd_per_th,
gpu_usd_per_gpu); else an assumed new price depreciated by age. Its charge is an annuity at [firm]
discount_rate_per_year over the remaining useful life, less the discounted market value at its end
(`sim.finance.residual`). Machines under sale-and-leaseback cost rent, not capital; works and
substations of projects have rows of their own.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import pyarrow as pa

from sim.finance.firm import Firm
from sim.finance.residual import BUILDING, Residuals
from sim.kernels.arrays import NODE_WAYS
from sim.plant.inventory import ASIC, GPU
from sim.results.uses import UseRecord
from sim.scenario import catalogue
from sim.scenario.rows import AsicGroup, MovedGroup
from sim.scenario.scenario import Scenario
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_YEAR

PROJECT, BOOKS, ASSUMED, RENTED = "project", "books", "assumed", "rented: none"
UNKNOWN: Final = "no price known: none"
LEAST_YEARS: Final = 1.0  # past its useful life a machine is charged by the year


class Charge(NamedTuple):
    """A row of `capital`: machines of a group in a use."""

    site: str
    use: str  # "" for works
    kind: str
    number: int  # row in asics.csv or gpus.csv, from 0; for works the site
    machine_years: float  # machines times years deployed
    price: str  # source of the worth
    usd_each: float  # worth of a machine at its age
    age_years: float
    life_years: float  # remaining useful life
    residual_usd_each: float  # market value at its end
    charge_usd_per_year: float  # of a machine
    depreciation_usd_per_year: float  # of a machine, straight-line to the residual, for tax
    capital_usd: float
    depreciation_usd: float


def charges(scenario: Scenario, firm: Firm, uses: UseRecord) -> list[Charge]:
    """Charges of all groups by firmware mode or way of selling, then of works."""
    return [*_machines(scenario, firm, uses), *_works(scenario, firm)]


def table(rows: list[Charge]) -> pa.Table:
    """`capital.parquet`."""
    types = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return pa.table(
        {
            name: pa.array([getattr(row, name) for row in rows], types[of])
            for name, of in Charge.__annotations__.items()
        }
    )


def _machines(scenario: Scenario, firm: Firm, uses: UseRecord) -> Iterator[Charge]:
    residuals = Residuals(scenario)
    gpus = catalogue.gpus(scenario.gpu_models)
    for g, row in enumerate(scenario.asics):
        price, each = asic_worth(scenario, residuals, row)
        owned = 1.0
        if row.owner == "leased":
            origin = row.origin if isinstance(row, MovedGroup) else g
            owned = min(firm.assets.owned[g] / max(scenario.asics[origin].count, 1), 1.0)
            price = RENTED if owned == 0.0 else price
        price, each = _of_project(firm, row.project, ASIC, g, row.count, (price, each * owned))
        for m, use in enumerate(uses.of_mode[g]):
            there = uses.mode_there_s[g, m] / SECONDS_PER_YEAR
            if there:
                title = uses.uses[use].title
                yield _charge(
                    residuals, row.site, title, ASIC, g, there, price, each, row.age_years
                )
    for n, node in enumerate(scenario.gpus):
        new = (gpus[node.gpu].usd_per_gpu or 0.0) * node.gpus_per_node
        book = scenario.firm.gpu_usd_per_gpu * node.gpus_per_node
        price, each = _worth(residuals, GPU, node.age_years, book, new)
        price, each = _of_project(firm, node.project, GPU, n, node.nodes, (price, each))
        for way in range(NODE_WAYS):
            there = uses.way_there_s[n, way] / SECONDS_PER_YEAR
            if there:
                title = uses.uses[uses.of_way[n, way]].title
                age = node.age_years
                yield _charge(residuals, node.site, title, GPU, n, there, price, each, age)


def _works(scenario: Scenario, firm: Firm) -> Iterator[Charge]:
    """Charges of substations of live projects, by site."""
    residuals, end_s = Residuals(scenario), scenario.horizon.seconds
    for name, history in firm.projects.histories.items():
        for kind, _, site, weight in firm.projects.parts[name]:
            if kind != "building" or history.live_s is None or history.live_s >= end_s:
                continue
            there = (end_s - max(history.live_s, 0.0)) / SECONDS_PER_DAY / DAYS_PER_YEAR
            usd, place = history.paid_usd * weight, scenario.sites[site].name
            yield _charge(residuals, place, "", BUILDING, site, there, PROJECT, usd, 0.0)


def asic_worth(scenario: Scenario, residuals: Residuals, row: AsicGroup) -> tuple[str, float]:
    """Source and worth [USD], at its age, of a machine of a group outside projects."""
    ths = catalogue.asics(scenario.asic_models)[row.model].nominal.hashrate_ths
    firm = scenario.firm
    book_usd, new_usd = firm.asic_usd_per_th * ths, firm.asic_new_usd_per_th * ths
    return _worth(residuals, ASIC, row.age_years, book_usd, new_usd)


def _worth(
    residuals: Residuals, kind: str, age_years: float, book_usd: float, new_usd: float
) -> tuple[str, float]:
    if book_usd > 0.0:
        return BOOKS, book_usd
    if new_usd > 0.0:
        return ASSUMED, new_usd * residuals.fraction(kind, age_years)
    return UNKNOWN, 0.0


def _of_project(
    firm: Firm, project: str, kind: str, group: int, count: int, else_: tuple[str, float]
) -> tuple[str, float]:
    """Source and price [USD] per machine of its project, or `else_` without one."""
    if not project or project not in firm.projects.histories:
        return else_
    share = sum(w for k, g, _, w in firm.projects.parts[project] if (k, g) == (kind, group))
    return PROJECT, firm.projects.histories[project].paid_usd * share / max(count, 1)


def _charge(
    residuals: Residuals, site: str, use: str, kind: str, number: int, there_years: float,
    price: str, each_usd: float, age_years: float,
) -> Charge:  # fmt: skip
    life = max(residuals.life_years[kind] - age_years, LEAST_YEARS)
    rest = residuals.market_usd(kind, each_usd, life, age_years)
    charge = residuals.capital_usd_per_year(kind, each_usd, age_years)
    depreciation = (each_usd - rest) / life
    return Charge(
        site, use, kind, number, there_years, price, each_usd, age_years, life, rest, charge,
        depreciation, charge * there_years, depreciation * there_years,
    )  # fmt: skip

"""Valuation of sites, projects and the firm: NPV, IRR, payback, breakeven prices.

Cash flows are before financing and treasury: cash paid and received, without loans, interest and
sales of bitcoin; instead, bitcoin counts when mined, at its value then, less the pool's fee. A
month's flows fall due at its end. The opening book value of machines and deposits is an outlay at
the start. At the end machines and works return the lower of market value and remaining earnings,
not book value.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.optimize import brentq, minimize_scalar

from sim.finance.levels import Level, Levels
from sim.kernels import flows as counted
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, TH_PER_PH

DAY_COUNT: Final = 365.0  # actual days over 365, as loans count
LEAST_SOLD: Final = 1e-9  # PH-days, GPU-hours, millions of tokens: less has no price
# Grid of log growth per year searched for an IRR: factors of about 1e-6 to 1e6.
LOG_GROWTH: Final = np.linspace(-14.0, 14.0, 281)
TOUCHING: Final = 1e-12  # share of all flows: an NPV this close to zero is zero, within rounding
MOST_LOG: Final = 600.0  # largest log discount factor: beyond it only the sign matters
BILLS: Final = [
    counted.ENERGY_USD,
    counted.CONTRACT_USD,
    counted.DEMAND_USD,
    counted.PEAK_USD,
    counted.FUEL_USD,
    counted.WEAR_USD,
]


class Value(NamedTuple):
    """Value of a series of cash flows."""

    npv_usd: float
    irr_per_year: float | None  # None: no rate makes the NPV zero
    payback_years: float | None  # None: not within the run, or nothing was laid out


def npv_usd(cash_usd: Floats, days: Floats, rate_per_year: float) -> float:
    """Net present value of flows (flow,) due `days` (flow,) after the start [USD]."""
    return float((cash_usd * (1.0 + rate_per_year) ** (-days / DAY_COUNT)).sum())


def irr_per_year(cash_usd: Floats, days: Floats) -> float | None:
    """Rate per year at which the NPV is zero: the root nearest zero, or None."""

    def npv(log_growth: float) -> float:
        logarithm = np.clip(-log_growth * days / DAY_COUNT, -MOST_LOG, MOST_LOG)
        return float((cash_usd * np.exp(logarithm)).sum())

    npvs = np.array([npv(g) for g in LOG_GROWTH])
    if not npvs.any():
        return None  # no flows, or all at the start
    sign = np.sign(npvs)
    turns = np.flatnonzero(sign[:-1] * sign[1:] <= 0.0)  # products of values may underflow
    roots = [brentq(npv, LOG_GROWTH[k], LOG_GROWTH[k + 1], xtol=1e-13) for k in turns]
    roots += _touched(npv, npvs, float(np.abs(cash_usd).sum()))
    return float(np.expm1(min(roots, key=abs))) if roots else None


def _touched(npv: Callable[[float], float], npvs: Floats, scale_usd: float) -> list[float]:
    """Double roots: points where the NPV touches zero without crossing it."""
    size = np.abs(npvs)
    inner = np.flatnonzero((size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])) + 1
    found = []
    for k in inner:
        if (np.sign(npvs[k - 1 : k + 2]) != np.sign(npvs[k])).any():
            continue  # crosses zero: already found
        least = minimize_scalar(
            lambda g: abs(npv(g)), bounds=(LOG_GROWTH[k - 1], LOG_GROWTH[k + 1]),
            method="bounded", options={"xatol": 1e-12},
        )  # fmt: skip
        if least.fun <= TOUCHING * scale_usd:
            found.append(float(least.x))
    return found


def payback_years(cash_usd: Floats, days: Floats) -> float | None:
    """Years until the outlay is recovered for good, interpolated; None if never or no outlay."""
    total = np.cumsum(cash_usd)
    below = np.flatnonzero(total < 0.0)
    if not below.size or below[-1] == len(total) - 1:
        return None
    last = int(below[-1])
    share = -total[last] / (total[last + 1] - total[last])
    return float(days[last] + share * (days[last + 1] - days[last])) / DAY_COUNT


def value(
    cash_usd_by_month: Floats,
    days: Floats,
    rate_per_year: float,
    outlay_usd: float = 0.0,
    terminal_usd: float = 0.0,
) -> Value:
    """Value of monthly flows (month,) due `days` (month,) after the start.

    `outlay_usd` is paid at the start; `terminal_usd` returns with the last flow and is not part of
    the payback.
    """
    due = np.concatenate([[0.0], days])
    cash = np.concatenate([[-outlay_usd], cash_usd_by_month])
    whole = cash.copy()
    whole[-1] += terminal_usd
    npv = npv_usd(whole, due, rate_per_year)
    return Value(npv, irr_per_year(whole, due), payback_years(cash, due))


def valuation(
    scenario: Scenario, levels: Levels, flow: Floats, tokens_out_mtok: Floats
) -> pa.Table:
    """The table `valuation`: a row for each site, each project and the firm.

    Args:
        scenario: of the run.
        levels: cash flows of sites, projects and the firm.
        flow: (SITE_FLOWS, site) sums over the run.
        tokens_out_mtok: (site,) output tokens [millions].

    A site's project machines are an outlay when they arrive on its books, the firm's projects when
    paid. A project earns what its machines' meters say; a substation alone earns nothing. Machines
    and works return `terminal_usd` at the end, the lower of market value and remaining earnings
    (`sim.finance.terminal`); `book_usd` is given for comparison. After tax:
    `sim.finance.level_tax`. Breakevens cover energy, hosting and the pool's fee, not machines.
    """
    fee = scenario.pool.fee_fraction
    gpus = _gpus_per_node(scenario)
    rows = []
    for s, site in enumerate(scenario.sites):
        prices = breakevens(flow[:, s], fee, gpus[s], float(tokens_out_mtok[s]))
        rows.append(_row(scenario, levels, "site", site.name, levels.site(s), prices))
    for name in levels.books.projects:
        rows.append(_row(scenario, levels, "project", name, levels.project(name), NONE))
    let_s = flow[counted.LET_S]
    mean = float((gpus * let_s).sum() / let_s.sum()) if let_s.any() else 0.0
    prices = breakevens(flow.sum(axis=1), fee, mean, float(tokens_out_mtok.sum()))
    rows.append(_row(scenario, levels, "firm", "", levels.firm(), prices))
    return pa.Table.from_pylist(rows, SCHEMA)


def _row(
    scenario: Scenario, levels: Levels, title: str, name: str, of: Level, prices: "Breakevens"
) -> dict[str, Any]:
    rate, flows, rest = scenario.firm.discount_rate_per_year, of.flows, of.rest
    ends = (levels.days, rate, flows.opening_usd, flows.closing_usd)
    before, after = value(flows.cash_usd, *ends), value(flows.cash_usd - of.tax_usd, *ends)
    return {
        "level": title,
        "name": name,
        **before._asdict(),
        "npv_after_tax_usd": after.npv_usd,
        "irr_after_tax_per_year": after.irr_per_year,
        "payback_after_tax_years": after.payback_years,
        "outlay_usd": flows.outlay_usd,
        "book_usd": rest.book_usd,
        "market_usd": rest.market_usd,
        "earned_usd": rest.earned_usd,
        "terminal_usd": rest.terminal_usd,
        **{f"breakeven_{k}": v for k, v in prices._asdict().items()},
    }


def project_npv_usd(scenario: Scenario, levels: Levels, name: str) -> float:
    """Net present value of a project by its own meters, before tax [USD]."""
    flows = levels.project(name).flows
    rate = scenario.firm.discount_rate_per_year
    ends = (levels.days, rate, flows.opening_usd, flows.closing_usd)
    return value(flows.cash_usd, *ends).npv_usd


class Parts(NamedTuple):
    """Present values [USD]: NPV = operating + invested + terminal + other end - tax."""

    operating_usd: float  # operating cash
    invested_usd: float  # opening value and investment, negative
    terminal_usd: float  # machines and works at the end
    other_end_usd: float  # deposits, batteries, undelivered orders, at book value
    tax_usd: float

    @property
    def npv_usd(self) -> float:
        """NPV before tax [USD]."""
        return self.operating_usd + self.invested_usd + self.terminal_usd + self.other_end_usd

    @property
    def npv_after_tax_usd(self) -> float:
        """NPV after tax [USD]."""
        return self.npv_usd - self.tax_usd


def firm_parts(scenario: Scenario, levels: Levels) -> Parts:
    """The components of the firm's NPV."""
    rate, days = scenario.firm.discount_rate_per_year, levels.days
    level, flows = levels.firm(), levels.flows
    operating = (flows.mined + flows.customers + flows.other).sum(axis=1)
    last = float((1.0 + rate) ** (-days[-1] / DAY_COUNT))
    invested = npv_usd(level.flows.cash_usd - operating, days, rate) - level.flows.opening_usd
    return Parts(
        npv_usd(operating, days, rate),
        invested,
        level.rest.terminal_usd * last,
        (level.flows.closing_usd - level.rest.terminal_usd) * last,
        npv_usd(level.tax_usd, days, rate),
    )


class Breakevens(NamedTuple):
    """Prices at which revenue covers energy, hosting, the pool fee and node operating cost.

    None if nothing of the kind is sold. GPU hours are those let.
    """

    hashprice_usd_per_ph_day: float | None
    gpu_usd_per_h: float | None
    token_usd_per_mtok: float | None  # for output tokens, prompts aside


NONE: Final = Breakevens(None, None, None)
SCHEMA: Final = pa.schema(
    [
        ("level", pa.string()),
        ("name", pa.string()),
        ("npv_usd", pa.float64()),
        ("irr_per_year", pa.float64()),
        ("payback_years", pa.float64()),
        ("npv_after_tax_usd", pa.float64()),
        ("irr_after_tax_per_year", pa.float64()),
        ("payback_after_tax_years", pa.float64()),
        ("outlay_usd", pa.float64()),
        ("book_usd", pa.float64()),
        ("market_usd", pa.float64()),
        ("earned_usd", pa.float64()),
        ("terminal_usd", pa.float64()),
        *((f"breakeven_{name}", pa.float64()) for name in Breakevens._fields),
    ]
)


def breakevens(
    flow: Floats, fee_fraction: float, gpus_per_node: float, tokens_out_mtok: float
) -> Breakevens:
    """Breakevens of a site from its sums (SITE_FLOWS,): bills allocated by machine energy."""
    machines_j = float(flow[counted.SITE_ASIC_J] + flow[counted.SITE_GPU_J])
    usd_per_j = float(flow[BILLS].sum()) / machines_j if machines_j else 0.0
    ph_days = float(flow[counted.FATES + counted.HASHED]) / TH_PER_PH / SECONDS_PER_DAY
    gpu_h = float(flow[counted.LET_S]) * gpus_per_node / SECONDS_PER_HOUR
    rented_j = float(flow[counted.SITE_GPU_J] - flow[counted.TOKEN_J])
    opex_usd = float(flow[counted.GPU_OPEX_USD])  # includes the site's token-serving nodes

    def price(energy_j: float, sold: float, more_usd: float = 0.0) -> float | None:
        return (usd_per_j * energy_j + more_usd) / sold if sold > LEAST_SOLD else None

    return Breakevens(
        price(float(flow[counted.SITE_ASIC_J]), ph_days * (1.0 - fee_fraction)),
        price(rented_j, gpu_h, opex_usd),
        price(float(flow[counted.TOKEN_J]), tokens_out_mtok),
    )


def _gpus_per_node(scenario: Scenario) -> Floats:
    """Mean GPUs per node at each site (site,); 0 without nodes."""
    gpus, nodes = np.zeros(len(scenario.sites)), np.zeros(len(scenario.sites))
    names = [s.name for s in scenario.sites]
    for g in scenario.gpus:
        gpus[names.index(g.site)] += g.nodes * g.gpus_per_node
        nodes[names.index(g.site)] += g.nodes
    return np.divide(gpus, nodes, out=np.zeros_like(gpus), where=nodes > 0.0)

"""The arithmetic of a conversion: ASICs removed, GPU nodes added, and the result.

At one site the least efficient ASICs that fill the megawatts are removed and sold. GPU nodes of the
same power at the meter replace them from the first instant. The change in the operating result of
the whole fleet (table `worth`: revenue, energy, other cost) is the margin of the conversion. It is
taxed after straight-line depreciation. The capital charge of the nodes is then subtracted and that
of the ASICs added back. Each charge is an annuity over the useful life, less the market residual,
so that unequal lives compare. The year of the run stands for every year of the nodes' useful life,
except that GPU revenue fades by `fade_per_year`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, NoReturn

from sim.finance.residual import Residuals, annuity
from sim.plant.inventory import ASIC, GPU
from sim.results.capital import ASSUMED, asic_worth
from sim.scenario import Scenario, catalogue
from sim.scenario.gpu_market import USD_PER_GPU_H, DecayGpuPrice, RevertingGpuPrice
from sim.scenario.problems import Problem, ScenarioError, suggest
from sim.scenario.rows import AsicGroup, GpuGroup, MovedGroup, Site
from sim.types import Floats
from sim.units import W_PER_MW

STATES: Final = ("contracted", "batch")
CONFIRMED: Final = 0.005  # share of the nodes' capital charge: a result this close to 0 is 0
MOST_LOOKS: Final = 5
CLOSED: Final = "closed form, confirmed by a run at that price"
SECANT: Final = "found by runs at other prices"
NOT_FOUND: Final = "runs at other prices did not come near enough"
NONE: Final = "no price above zero turns the answer"
REVENUE, ENERGY, OTHER, RENTED_USD = "revenue", "energy", "other", "of which GPU hours"


class ConversionRequest(NamedTuple):
    """A request for a conversion. None: as the scenario already does for such nodes (`terms_of`).

    `usd_per_gpu` None: the catalogue's price of a node. `fade_per_year` None: the yearly decline of
    the market path's trend, else none.
    """

    site: str
    mw: float
    gpu: str
    state: str = "contracted"
    usd_per_gpu_h: float | None = None
    usd_per_gpu: float | None = None
    gpus_per_node: int = 8
    fade_per_year: float | None = None
    occupancy: float | None = None
    contract: str | None = None
    opex_usd_per_gpu_h: float | None = None
    opex_usd_per_node_month: float | None = None


class Terms(NamedTuple):
    """How the nodes are let and operated; None as in gpus.csv."""

    row: int | None  # row of gpus.csv that supplies the defaults
    usd_per_gpu_h: float | None
    occupancy: float | None
    contract: str | None
    opex_usd_per_gpu_h: float
    opex_usd_per_node_month: float


class Swap(NamedTuple):
    """Machines removed and added; amounts are totals [USD, USD a year]."""

    removed: tuple[tuple[int, int], ...]  # row of asics.csv, machines
    removed_mw: float  # at the meter
    nodes: int
    added_mw: float
    old_usd: float  # sale price of the ASICs
    new_usd: float  # purchase price of the nodes
    old_charge_usd: float
    new_charge_usd: float
    old_depreciation_usd: float
    new_depreciation_usd: float


class Turning(NamedTuple):
    """The break-even price of a GPU-hour."""

    usd_per_gpu_h: float | None
    how: str
    runs: int  # number of fleets run to find it
    left_usd: float  # result a year at that price


def terms_of(scenario: Scenario, asked: ConversionRequest) -> Terms:
    """The requested terms; missing ones come from the first matching row of gpus.csv.

    A row matches if GPU and state are the same; rows at the site come first. Without a match: the
    market, and no operating cost.
    """
    like = [
        (n, row)
        for n, row in enumerate(scenario.gpus)
        if (row.gpu, row.state) == (asked.gpu, asked.state)
    ]
    like.sort(key=lambda found: found[1].site != asked.site)
    n, row = like[0] if like else (None, None)
    by_row = asked.occupancy is None and asked.contract is None  # one of the two goes
    hour, month = asked.opex_usd_per_gpu_h, asked.opex_usd_per_node_month
    usd = asked.usd_per_gpu_h
    return Terms(
        row=n,
        usd_per_gpu_h=row.usd_per_gpu_h if row is not None and usd is None else usd,
        occupancy=row.occupancy if row is not None and by_row else asked.occupancy,
        contract=row.contract if row is not None and by_row else asked.contract,
        opex_usd_per_gpu_h=(row.opex_usd_per_gpu_h if row else 0.0) if hour is None else hour,
        opex_usd_per_node_month=(
            (row.opex_usd_per_node_month if row else 0.0) if month is None else month
        ),
    )


def swap_of(scenario: Scenario, asked: ConversionRequest) -> Swap:
    """The swap of machines that fills the megawatts.

    Raises:
        ScenarioError: if no machines can fill them.
    """
    site = _site(scenario, asked)
    gpus = catalogue.gpus(scenario.gpu_models)
    if asked.gpu not in gpus:
        _refuse("--to", asked.gpu, suggest(asked.gpu, gpus, "hashwatt list gpus"))
    if asked.state not in STATES:
        _refuse("--to", f"{asked.gpu}:{asked.state}", f"behind the GPU: {', '.join(STATES)}")
    for option, value, low, high in (
        ("--mw", asked.mw, 0.0, 5000.0),
        ("--price", asked.usd_per_gpu_h, 0.0, 1000.0),
        ("--usd-per-gpu", asked.usd_per_gpu, 0.0, 1e6),
    ):
        if value is not None and not low < value <= high:
            _refuse(option, f"{value:g}", f"must be > 0 and <= {high:g}")
    _let(scenario, asked)
    gpu = gpus[asked.gpu]
    each_usd = asked.usd_per_gpu or gpu.usd_per_gpu
    if each_usd is None:
        _refuse("--to", asked.gpu, "no price of it is known; give --usd-per-gpu")
    node_w = asked.gpus_per_node * gpu.max_w_per_gpu * site.pue_base
    removed, removed_w, old = _removed(scenario, asked, site)
    nodes = math.floor(removed_w / node_w + 1e-9)
    if nodes < 1:
        least = f"{node_w / W_PER_MW:.3g} MW at the meter"
        _refuse("--mw", f"{asked.mw:g}", f"is less than one node of {asked.gpu}, {least}")
    residuals = Residuals(scenario)
    new_usd = nodes * asked.gpus_per_node * each_usd * scenario.what_if.capex_factor
    life = residuals.life_years[GPU]
    rest = residuals.market_usd(GPU, new_usd, life)
    return Swap(
        removed=removed,
        removed_mw=removed_w / W_PER_MW,
        nodes=nodes,
        added_mw=nodes * node_w / W_PER_MW,
        old_usd=old[0],
        new_usd=new_usd,
        old_charge_usd=old[1],
        new_charge_usd=residuals.capital_usd_per_year(GPU, new_usd),
        old_depreciation_usd=old[2],
        new_depreciation_usd=(new_usd - rest) / life,
    )


def _let(scenario: Scenario, asked: ConversionRequest) -> None:
    """Check the terms on which the nodes are let.

    Raises:
        ScenarioError: if they make no sense.
    """
    if asked.fade_per_year is not None and not 0.0 <= asked.fade_per_year < 1.0:
        _refuse("--fade", f"{asked.fade_per_year:g}", "must be >= 0 and < 1")
    if asked.occupancy is not None and not 0.0 <= asked.occupancy <= 1.0:
        _refuse("--occupancy", f"{asked.occupancy:g}", "must be >= 0 and <= 1")
    for option, usd, most in (
        ("--opex", asked.opex_usd_per_gpu_h, 1000.0),
        ("--opex-month", asked.opex_usd_per_node_month, 1e6),
    ):
        if usd is not None and not 0.0 <= usd <= most:
            _refuse(option, f"{usd:g}", f"must be >= 0 and <= {most:g}")
    if asked.contract is None:
        return
    if asked.contract not in scenario.gpu_contracts:
        _refuse("--contract", asked.contract, suggest(asked.contract, scenario.gpu_contracts))
    if asked.state != "contracted" or asked.occupancy is not None:
        what = "lets nodes of state contracted as a whole: no batch, no --occupancy"
        _refuse("--contract", asked.contract, what)


def fade_of(scenario: Scenario, asked: ConversionRequest) -> float:
    """Share of GPU-hour revenue lost with each year of the useful life."""
    if asked.fade_per_year is not None:
        return asked.fade_per_year
    path = scenario.gpu_market.gpus.get(asked.gpu)
    if terms_of(scenario, asked).usd_per_gpu_h is None and isinstance(
        path, DecayGpuPrice | RevertingGpuPrice
    ):
        return max(-path.change_per_year, 0.0)
    return 0.0


def _site(scenario: Scenario, asked: ConversionRequest) -> Site:
    sites = {s.name: s for s in scenario.sites}
    if asked.site not in sites:
        _refuse("--site", asked.site, suggest(asked.site, sites))
    return sites[asked.site]


def _removed(
    scenario: Scenario, asked: ConversionRequest, site: Site
) -> tuple[tuple[tuple[int, int], ...], float, tuple[float, float, float]]:
    """Machines by row; their power at the meter [W]; value, yearly charge and depreciation."""
    asics, residuals = catalogue.asics(scenario.asic_models), Residuals(scenario)
    rows = [(g, row) for g, row in enumerate(scenario.asics) if _may_go(row, asked.site)]

    def each_w(row: AsicGroup) -> float:
        return asics[row.model].nominal.power_w * site.pue_base

    there_w = sum(row.count * each_w(row) for _, row in rows)
    wanted_w = asked.mw * W_PER_MW
    if wanted_w > there_w * (1.0 + 1e-9):
        what = (
            f"site {asked.site} has {there_w / W_PER_MW:.4g} MW of own ASICs at the meter that "
            "stand there from the start; leased ones and those of projects stay"
        )
        _refuse("--mw", f"{asked.mw:g}", what)
    rows.sort(
        key=lambda r: -asics[r[1].model].nominal.power_w / asics[r[1].model].nominal.hashrate_ths
    )
    removed: list[tuple[int, int]] = []
    left_w, gone_w = wanted_w, 0.0
    worth, charge, depreciation = 0.0, 0.0, 0.0
    for g, row in rows:
        count = min(math.ceil(left_w / each_w(row) - 1e-9), row.count)
        if count < 1:
            break
        removed.append((g, count))
        left_w -= count * each_w(row)
        gone_w += count * each_w(row)
        usd = count * asic_worth(scenario, residuals, row)[1]
        life = max(residuals.life_years[ASIC] - row.age_years, 1.0)
        worth += usd
        charge += residuals.capital_usd_per_year(ASIC, usd, row.age_years)
        rest = residuals.market_usd(ASIC, usd, life, row.age_years)
        depreciation += (usd - rest) / life
    return tuple(removed), gone_w, (worth, charge, depreciation)


def _may_go(row: AsicGroup, site: str) -> bool:
    """Whether a group is the firm's own and deployed at the site from the start."""
    moved = isinstance(row, MovedGroup)
    return row.site == site and row.owner != "leased" and not row.project and not moved


def _refuse(where: str, value: str, what: str) -> NoReturn:
    raise ScenarioError("convert", [Problem("convert", where, value, what)])


def converted(scenario: Scenario, asked: ConversionRequest, swap: Swap) -> Scenario:
    """The fleet after the conversion."""
    gone = dict(swap.removed)
    asics = [
        row.model_copy(update={"count": row.count - gone[g]}) if g in gone else row
        for g, row in enumerate(scenario.asics)
    ]
    terms = terms_of(scenario, asked)._asdict()
    del terms["row"]
    node = GpuGroup.model_validate(
        {
            "site": asked.site, "gpu": asked.gpu, "gpus_per_node": asked.gpus_per_node,
            "nodes": swap.nodes, "state": asked.state, "source": "conversion", **terms,
        }
    )  # fmt: skip
    return scenario.model_copy(update={"asics": tuple(asics), "gpus": (*scenario.gpus, node)})


def left(
    scenario: Scenario,
    asked: ConversionRequest,
    swap: Swap,
    without: Mapping[str, Floats],
    after: Mapping[str, Floats],
) -> dict[str, Floats]:
    """The result of the conversion (seed,) [USD a year], by component.

    `without` and `after` are the fleet's revenue, energy, other cost and GPU-hour revenue.
    """  # fmt: skip
    firm = scenario.firm
    found = {part: after[part] - without[part] for part in (REVENUE, ENERGY, OTHER, RENTED_USD)}
    found["fade"] = found[RENTED_USD] * (faded(scenario, asked) - 1.0)
    margin = found[REVENUE] - found[ENERGY] - found[OTHER] + found["fade"]
    worn = swap.new_depreciation_usd - swap.old_depreciation_usd
    found["margin"] = margin
    found["capital of the nodes"] = margin * 0.0 + swap.new_charge_usd
    found["capital saved"] = margin * 0.0 + swap.old_charge_usd
    found["tax"] = firm.tax_fraction * (margin - worn)
    found["result"] = margin - swap.new_charge_usd + swap.old_charge_usd - found["tax"]
    return found


def faded(scenario: Scenario, asked: ConversionRequest) -> float:
    """Share of an annuity that is left if revenue fades over the useful life; 1 without fade."""
    firm = scenario.firm
    rate, life = firm.discount_rate_per_year, firm.gpu_life_years
    return annuity(rate, life, fade_of(scenario, asked)) / annuity(rate, life)


def turn(
    price: float, result: float, slope: float, charge: float, at: Callable[[float], float]
) -> Turning:
    """The price at which the result [USD a year] is zero.

    Args:
        price: price in the runs so far [USD/GPU-h].
        result: mean result at that price [USD a year].
        slope: change of the result [USD a year] per USD/GPU-h, all else equal (closed form).
        charge: the nodes' capital charge [USD a year], the scale of the tolerance.
        at: runs the fleet at another price and returns the mean result.
    """
    if slope <= 0.0:
        return Turning(None, NONE, 0, result)
    known = [(price, result)]
    where = price - result / slope
    for look in range(1, MOST_LOOKS + 1):
        if where <= 0.0:
            return Turning(None, NONE, look - 1, known[-1][1])
        got = at(where)
        if abs(got) <= CONFIRMED * charge:
            return Turning(where, CLOSED if look == 1 else SECANT, look, got)
        known.append((where, got))
        (p0, r0), (p1, r1) = known[-2:]
        if r1 == r0:
            break
        where = p1 - r1 * (p1 - p0) / (r1 - r0)
    return Turning(None, NOT_FOUND, len(known) - 1, known[-1][1])


def notes(scenario: Scenario, asked: ConversionRequest, swap: Swap) -> tuple[str, ...]:
    """Assumptions and approximations behind the answer."""
    firm, days, fade = scenario.firm, scenario.horizon.days, fade_of(scenario, asked)
    told = asked.fade_per_year is not None
    why = "" if told else " (the market's trend)" if fade else " (assumed; --fade)"
    said = [
        f"the {days:g} days of the run stand for every year of the {firm.gpu_life_years:g} years "
        f"of useful life; revenue of GPU hours fades by {fade:.0%} a year{why}",
        "the nodes are there from the first day: no time and no works beyond their price",
    ]
    said += _letting(scenario, asked)
    if asked.usd_per_gpu is None:
        said.append("price of the nodes: catalogue, partly assumed (--usd-per-gpu)")
    bases = {
        asic_worth(scenario, Residuals(scenario), scenario.asics[g])[0] for g, _ in swap.removed
    }
    if ASSUMED in bases:
        said.append("ASICs valued at an assumed price when new, less their age")
    said.append("ASICs fetch what they are worth, and sell without tax")
    if "discount_rate_per_year" not in firm.model_fields_set:
        said.append(f"discount rate of {firm.discount_rate_per_year:.0%} a year assumed")
    if not firm.tax_fraction:
        assumed = "" if "tax_fraction" in firm.model_fields_set else " (assumed)"
        said.append(f"no tax: [firm] tax_fraction is 0{assumed}")
    if _site(scenario, asked).contract == "hosted":
        said.append("the site is hosted: whether its host would house GPU nodes is not asked")
    return tuple(said)


def _letting(scenario: Scenario, asked: ConversionRequest) -> list[str]:
    """Price, hours and cost at which the nodes are let, and the source of each."""
    terms, market = terms_of(scenario, asked), asked.gpu in scenario.gpu_market.gpus
    path = f"[gpu_market.gpus.{asked.gpu}], day by day"
    row = "" if terms.row is None else f", as row {terms.row + 2} of gpus.csv"
    said = []
    if terms.usd_per_gpu_h is None:
        default = f"{USD_PER_GPU_H:g} USD all along, assumed"
        said.append(f"price of a GPU-hour: {path if market else default} (--price)")
    elif asked.usd_per_gpu_h is None:
        said.append(f"price of a GPU-hour: {terms.usd_per_gpu_h:g} USD{row} (--price)")
    own = asked.contract is not None or asked.occupancy is not None
    by_row = "" if own else row
    if terms.contract is not None:
        said.append(f"the nodes are let by contract {terms.contract!r}, with its gaps{by_row}")
    elif terms.occupancy is not None and not own:
        said.append(f"{terms.occupancy:.0%} of the hours is let{row} (--occupancy, --contract)")
    elif terms.occupancy is None:
        spot = market and asked.state == "batch"
        every = "every hour is let, assumed (--occupancy, --contract)"
        said.append(f"occupancy: {path} (--occupancy)" if spot else every)
    hour, month = terms.opex_usd_per_gpu_h, terms.opex_usd_per_node_month
    if not hour and not month:
        said.append("operating the nodes costs nothing beside energy, assumed (--opex)")
    elif None in (asked.opex_usd_per_gpu_h, asked.opex_usd_per_node_month):
        what = f"operating costs {hour:g} USD/GPU-h and {month:g} USD/node-month beside energy"
        said.append(f"{what}{row} (--opex, --opex-month)")
    return said

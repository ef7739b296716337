"""Checks and warnings on prices, occupancy and contracts of GPU nodes."""

from collections.abc import Iterator
from typing import Final

from sim.scenario import catalogue
from sim.scenario.gpu_market import ConstantTokenPrice, GpuPrice, TokenPrice
from sim.scenario.problems import Problem, row_of, shown, unknown
from sim.scenario.rows import GpuGroup
from sim.scenario.scenario import Scenario

TOML: Final = "scenario.toml"
GPUS: Final = "gpus.csv"
FAR: Final = 2.0  # standard deviations within which occupancy should stay between 0 and 1


def gpu_paths(s: Scenario) -> Iterator[tuple[str, GpuPrice | TokenPrice]]:
    """All price paths with their keys."""
    for gpu, price in s.gpu_market.gpus.items():
        yield f"gpu_market.gpus.{gpu}", price
    for name, token in s.gpu_market.tokens.items():
        yield f"gpu_market.tokens.{name}", token


def gpu_market(s: Scenario) -> Iterator[Problem]:
    """Names must be known, and the keys of a row compatible."""
    known = catalogue.gpus(s.gpu_models)
    for gpu in s.gpu_market.gpus:
        yield from unknown(TOML, f"gpu_market.gpus.{gpu}", gpu, known, "hashwatt list gpus")
    for i, tenant in enumerate(s.tenants):
        if tenant.price_path is not None:
            where = row_of(i, tenant.name, "price_path")
            yield from unknown("tenants.csv", where, tenant.price_path, s.gpu_market.tokens)
    for i, row in enumerate(s.gpus):
        if row.contract is None:
            continue
        where = row_of(i, row.site, "contract")
        yield from unknown(GPUS, where, row.contract, s.gpu_contracts)
        if row.state != "contracted":
            what = f"only nodes of state contracted have one; this row is {row.state}"
            yield Problem(GPUS, where, shown(row.contract), what)
        if row.occupancy is not None:
            where = row_of(i, row.site, "occupancy")
            what = (
                f"contract {row.contract!r} lets the nodes as a whole: what its tenants take is "
                "taken_fraction there, what stands empty gap_days; leave the cell empty"
            )
            yield Problem(GPUS, where, f"{row.occupancy:g}", what)


def unlet(s: Scenario) -> Iterator[Problem]:
    """Warn where full occupancy is only assumed, and of unused names."""
    assumed = [(i, row) for i, row in enumerate(s.gpus) if let_assumed(s, row)]
    if assumed:
        rows = ", ".join(f"{i + 2} ({row.site})" for i, row in assumed[:3])
        more = f" and {len(assumed) - 3} more" if len(assumed) > 3 else ""
        what = (
            "no occupancy given: every hour counts as let (assumed); give occupancy, a contract, "
            "or a path of [gpu_market]"
        )
        yield Problem(GPUS, f"rows {rows}{more}" if len(assumed) > 1 else f"row {rows}", "", what)
    used = {row.contract for row in s.gpus}
    for name in s.gpu_contracts:
        if name not in used:
            what = "no row of gpus.csv has this contract; name it in column contract"
            yield Problem(TOML, f"gpu_contracts.{name}", "", what)
    paths = {tenant.price_path for tenant in s.tenants}
    for name, token in s.gpu_market.tokens.items():
        if name not in paths and not isinstance(token, ConstantTokenPrice):
            what = "no tenant has this path; name it in column price_path of tenants.csv"
            yield Problem(TOML, f"gpu_market.tokens.{name}", "", what)
    for gpu, price in s.gpu_market.gpus.items():
        away = FAR * price.occupancy_deviation
        if away and not away <= price.occupancy <= 1.0 - away:
            what = (
                f"so far from {price.occupancy:g} the share is often held at 0 or 1, and its mean "
                "is another; give a smaller one"
            )
            value = f"{price.occupancy_deviation:g}"
            yield Problem(TOML, f"gpu_market.gpus.{gpu}.occupancy_deviation", value, what)


def let_assumed(s: Scenario, row: GpuGroup) -> bool:
    """Whether the share of hours let is only assumed."""
    if row.state == "serving" or row.occupancy is not None or row.contract is not None:
        return False
    known = row.state == "batch" and row.gpu in s.gpu_market.gpus
    return bool(row.nodes) and not known

"""Figures of GPU hours: what was let, at which price, at what cost. As in `kpis`."""

import math

from sim.kernels import flows
from sim.kernels.arrays import BY_THE_HOUR, RESERVED
from sim.results import uses
from sim.results.kpi import GPU_HOURS, Totals, kpi, ratio
from sim.serving_fleet.work import BUSY_S, POWERED_S, REQUEST_S, SEAT_S
from sim.units import J_PER_MWH, SECONDS_PER_HOUR

ALL = tuple(uses.WAYS)


def _rented(t: Totals, row: int, ways: tuple[int, ...] = ALL) -> float:
    """Sum over the GPU hours sold in some ways; NaN where no node was there to be sold so."""
    return _sold(t, row, uses.RENTED, *(uses.WAYS[way] for way in ways))


def _sold(t: Totals, row: int, kind: str, *hows: str) -> float:
    record = t.recorder.uses
    total = record.flow.sum(axis=0)
    mine = [k for k, u in enumerate(record.uses) if u.kind == kind and u.how in hows]
    return float(total[row, mine].sum()) if total[:, mine].any() else math.nan


def _mwh(t: Totals, kind: str, how: str) -> float:
    """Energy of the nodes and of their cooling [MWh]."""
    return sum(_sold(t, row, kind, how) for row in (uses.MACHINE_J, uses.COOLING_J)) / J_PER_MWH


@kpi("%", GPU_HOURS)
def gpu_occupancy_pct(t: Totals) -> float:
    """Node-hours let and on / node-hours there, on or off, tokens aside."""
    return 100.0 * ratio(
        float(t.flow[flows.LET_S]),
        float(t.flow[[flows.LET_S, flows.UNSOLD_S, flows.UNMET_S]].sum()),
    )


@kpi("GPU-h", GPU_HOURS)
def let_gpu_h(t: Totals) -> float:
    """GPU hours that were let and on."""
    return _rented(t, uses.LET_S) / SECONDS_PER_HOUR


@kpi("GPU-h", GPU_HOURS)
def unsold_gpu_h(t: Totals) -> float:
    """GPU hours there, on or off, that nobody had taken; tokens aside."""
    return _rented(t, uses.UNSOLD_S) / SECONDS_PER_HOUR


@kpi("USD/GPU-h", GPU_HOURS)
def gpu_price_usd_per_gpu_h(t: Totals) -> float:
    """Revenue of GPU hours, what take-or-pay added included / GPU hours let."""
    return ratio(_rented(t, uses.USD), let_gpu_h(t))


@kpi("USD", GPU_HOURS)
def gpu_contract_revenue_usd(t: Totals) -> float:
    """Revenue of reserved GPU nodes: state contracted."""
    return _rented(t, uses.USD, (RESERVED,))


@kpi("USD", GPU_HOURS)
def gpu_spot_revenue_usd(t: Totals) -> float:
    """Revenue of GPU nodes sold by the hour: state batch."""
    return _rented(t, uses.USD, (BY_THE_HOUR,))


@kpi("USD/MWh", GPU_HOURS)
def reserved_revenue_usd_per_mwh(t: Totals) -> float:
    """Revenue of reserved GPU nodes / energy of them and of their cooling."""
    energy_mwh = _mwh(t, uses.RENTED, uses.WAYS[RESERVED])
    return ratio(gpu_contract_revenue_usd(t), energy_mwh)


@kpi("USD/GPU-h", GPU_HOURS)
def token_revenue_usd_per_gpu_h(t: Totals) -> float:
    """Revenue of tokens / GPU hours of serving nodes that were on."""
    on_h = _sold(t, uses.GPU_S, uses.TOKENS, "") / SECONDS_PER_HOUR
    return ratio(_sold(t, uses.USD, uses.TOKENS, ""), on_h)


@kpi("USD/MWh", GPU_HOURS)
def token_revenue_usd_per_mwh(t: Totals) -> float:
    """Revenue of tokens / energy of serving nodes and of their cooling."""
    return ratio(_sold(t, uses.USD, uses.TOKENS, ""), _mwh(t, uses.TOKENS, ""))


@kpi("%", GPU_HOURS)
def gpu_utilisation_pct(t: Totals) -> float:
    """GPU hours of serving nodes in iterations / those with power, however full a batch."""
    busy, powered = (_sold(t, uses.WORK + row, uses.TOKENS, "") for row in (BUSY_S, POWERED_S))
    return 100.0 * ratio(busy, powered)


@kpi("-", GPU_HOURS)
def requests_per_seat(t: Totals) -> float:
    """Requests at serving nodes, waiting ones too / those that they can run at once."""
    here, seats = (_sold(t, uses.WORK + row, uses.TOKENS, "") for row in (REQUEST_S, SEAT_S))
    return ratio(here, seats)


@kpi("USD", GPU_HOURS)
def gpu_opex_usd(t: Totals) -> float:
    """Operating GPU nodes, energy aside: licences, support, network, staff."""
    usd = float(t.flow[flows.GPU_OPEX_USD])
    return usd if usd else math.nan

"""Figures of GPU hours: what was let, at which price, at what cost. As in `kpis`."""

import math

from sim.kernels.arrays import BY_THE_HOUR, GPU_OPEX_USD, LET_S, RESERVED, UNMET_S, UNSOLD_S
from sim.results import uses
from sim.results.kpis import Totals, kpi, ratio
from sim.units import SECONDS_PER_HOUR

ALL = tuple(uses.WAYS)


def _rented(t: Totals, row: int, ways: tuple[int, ...] = ALL) -> float:
    """Sum over the GPU hours sold in some ways; NaN where no node was there to be sold so."""
    record = t.recorder.uses
    total = record.flow.sum(axis=0)
    how = [uses.WAYS[way] for way in ways]
    mine = [k for k, u in enumerate(record.uses) if u.kind == uses.RENTED and u.how in how]
    return float(total[row, mine].sum()) if total[:, mine].any() else math.nan


@kpi
def gpu_occupancy_pct(t: Totals) -> float:
    """Node-hours let and on / node-hours there, on or off, tokens aside [%]."""
    return 100.0 * ratio(float(t.flow[LET_S]), float(t.flow[[LET_S, UNSOLD_S, UNMET_S]].sum()))


@kpi
def let_gpu_h(t: Totals) -> float:
    """GPU hours that were let and on [GPU-h]."""
    return _rented(t, uses.LET_S) / SECONDS_PER_HOUR


@kpi
def unsold_gpu_h(t: Totals) -> float:
    """GPU hours there, on or off, that nobody had taken; tokens aside [GPU-h]."""
    return _rented(t, uses.UNSOLD_S) / SECONDS_PER_HOUR


@kpi
def gpu_price_usd_per_gpu_h(t: Totals) -> float:
    """Revenue of GPU hours, what take-or-pay added included / GPU hours let [USD/GPU-h]."""
    return ratio(_rented(t, uses.USD), let_gpu_h(t))


@kpi
def gpu_contract_revenue_usd(t: Totals) -> float:
    """Revenue of reserved GPU nodes: state contracted [USD]."""
    return _rented(t, uses.USD, (RESERVED,))


@kpi
def gpu_spot_revenue_usd(t: Totals) -> float:
    """Revenue of GPU nodes sold by the hour: state batch [USD]."""
    return _rented(t, uses.USD, (BY_THE_HOUR,))


@kpi
def gpu_opex_usd(t: Totals) -> float:
    """Operating GPU nodes, energy aside: licences, support, network, staff [USD]."""
    usd = float(t.flow[GPU_OPEX_USD])
    return usd if usd else math.nan

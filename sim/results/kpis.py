"""Figures of a run. A KPI is one function: its docstring defines it, its name ends in the unit."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

from sim.finance.firm import Firm
from sim.kernels.arrays import (
    BTC,
    BTC_USD,
    CONTRACT_USD,
    COOLING_J,
    CREDIT_USD,
    DEMAND_USD,
    DEPLOYED,
    ENERGY_USD,
    FATES,
    FUEL_USD,
    GPU_OPEX_USD,
    GPU_USD,
    HASHED,
    IDLED_J,
    LOSS_J,
    LOST_FAILURE,
    LOST_LIMIT,
    LOST_MODE,
    LOST_OUTAGE,
    LOST_PRICE,
    LOST_RESTART,
    LOST_THERMAL,
    METER_J,
    NODES_ON_S,
    NODES_S,
    OVERHEAD_J,
    PEAK_USD,
    PENALTY_USD,
    POOL_FEE_USD,
    PRICE_S,
    PROGRAMME_USD,
    SITE_ASIC_J,
    SITE_GPU_J,
    TOKEN_USD,
    WEAR_USD,
)
from sim.results.recorder import RESTARTED, Recorder
from sim.types import Floats
from sim.units import J_PER_MWH, TH_PER_EH

POWER_ROWS: Final = [ENERGY_USD, CONTRACT_USD, DEMAND_USD, PEAK_USD, FUEL_USD, WEAR_USD]
USE_ROWS: Final = [SITE_ASIC_J, SITE_GPU_J, COOLING_J, OVERHEAD_J, LOSS_J]


class Totals(NamedTuple):
    """What KPIs are made of."""

    flow: Floats  # (SITE_FLOWS,) sums over the run and all sites
    hosting_usd: float  # energy that hosts bill
    seconds: int
    recorder: Recorder
    firm: Firm
    stored_j: float = 0.0  # in batteries at the end, less at the start


Kpi = Callable[[Totals], float]
KPIS: Final[dict[str, Kpi]] = {}


def kpi(function: Kpi) -> Kpi:
    """Register a KPI under its function's name."""
    KPIS[function.__name__] = function
    return function


def evaluate(totals: Totals) -> dict[str, float | None]:
    """All KPIs; one that has no meaning in a run (a price per nothing) is None."""
    values = {name: function(totals) for name, function in KPIS.items()}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}


def ratio(part: float, whole: float) -> float:
    """A quotient; NaN for a part of nothing."""
    return part / whole if whole else math.nan


def energy_cost_usd(t: Totals) -> float:
    """Everything that energy costs, all that hosts charge included; not what services earn."""
    return float(t.flow[POWER_ROWS].sum()) + t.firm.hosting.charged_usd


def uses_j(t: Totals) -> float:
    """Energy of all uses: machines, cooling, overhead, losses; whoever supplied it."""
    return float(t.flow[USE_ROWS].sum())


def _ehs(t: Totals, fate: int) -> float:
    return float(t.flow[FATES + fate]) / t.seconds / TH_PER_EH


@kpi
def gross_margin_usd(t: Totals) -> float:
    """Mining, inference, grid services less power, hosts, fees, credits, penalties, opex [USD]."""
    f = t.flow
    return (
        mining_revenue_usd(t)
        + inference_revenue_usd(t)
        + float(f[PROGRAMME_USD])
        - energy_cost_usd(t)
        - credits_usd(t)
        - float(f[PENALTY_USD] + f[POOL_FEE_USD] + f[GPU_OPEX_USD])
    )


@kpi
def mining_revenue_usd(t: Totals) -> float:
    """Bitcoin earned before the pool's fee, at the price when it was earned [USD]."""
    return float(t.flow[BTC_USD])


@kpi
def inference_revenue_usd(t: Totals) -> float:
    """GPU hours that are paid, let or by take-or-pay, and tokens served, at their prices [USD]."""
    return float(t.flow[GPU_USD] + t.flow[TOKEN_USD])


@kpi
def power_cost_usd(t: Totals) -> float:
    """Energy, contracts, demand charges, coincident peaks, fuel, wear; hosts' bills aside [USD]."""
    return energy_cost_usd(t) - hosting_cost_usd(t)


@kpi
def hosting_cost_usd(t: Totals) -> float:
    """Bills of hosts: energy, machine fees and profit shares, less their credits [USD]."""
    return t.hosting_usd + t.firm.hosting.charged_usd


@kpi
def pool_fees_usd(t: Totals) -> float:
    """What the pool kept, at the price when it was earned [USD]."""
    return float(t.flow[POOL_FEE_USD])


@kpi
def credits_usd(t: Totals) -> float:
    """Credits: node-hours not delivered, days that missed their SLO, months their SLA [USD]."""
    return float(t.flow[CREDIT_USD]) + t.firm.offtakes.credited_usd


@kpi
def btc_mined_btc(t: Totals) -> float:
    """Bitcoin earned before the pool's fee [BTC]."""
    return float(t.flow[BTC])


@kpi
def deployed_ehs(t: Totals) -> float:
    """Nameplate hashrate, mean [EH/s]."""
    return _ehs(t, DEPLOYED)


@kpi
def operating_ehs(t: Totals) -> float:
    """Hashrate that was on, healthy, powered and cool enough, mean [EH/s]."""
    return _ehs(t, HASHED)


@kpi
def lost_price_ehs(t: Totals) -> float:
    """Deployed but switched off by the policy's choice, mean [EH/s]."""
    return _ehs(t, LOST_PRICE)


@kpi
def lost_mode_ehs(t: Totals) -> float:
    """Nameplate less the chosen firmware mode (negative when overclocked), mean [EH/s]."""
    return _ehs(t, LOST_MODE)


@kpi
def lost_failure_ehs(t: Totals) -> float:
    """Machines failed, or repaired but not yet back in a control step, mean [EH/s]."""
    return _ehs(t, LOST_FAILURE)


@kpi
def lost_thermal_ehs(t: Totals) -> float:
    """Derated or tripped by heat, mean [EH/s]."""
    return _ehs(t, LOST_THERMAL)


@kpi
def lost_limit_ehs(t: Totals) -> float:
    """Worth running but below a full limit, or cut by one, mean [EH/s]."""
    return _ehs(t, LOST_LIMIT)


@kpi
def lost_outage_ehs(t: Totals) -> float:
    """Sites without power or network, or that a host has closed, mean [EH/s]."""
    return _ehs(t, LOST_OUTAGE)


@kpi
def lost_restart_ehs(t: Totals) -> float:
    """Booting, ramping or in the shortest pause, mean [EH/s]."""
    return _ehs(t, LOST_RESTART)


@kpi
def uptime_pct(t: Totals) -> float:
    """Deployed hashrate that ran, in whatever firmware mode / deployed hashrate [%]."""
    return 100.0 * ratio(operating_ehs(t) + lost_mode_ehs(t), deployed_ehs(t))


@kpi
def asic_availability_pct(t: Totals) -> float:
    """Share of machine-time in which an ASIC had not failed [%]."""
    return 100.0 * t.recorder.availability("asic")


@kpi
def gpu_delivered_pct(t: Totals) -> float:
    """GPU node-hours on / node-hours deployed [%]."""
    return 100.0 * ratio(float(t.flow[NODES_ON_S]), float(t.flow[NODES_S]))


@kpi
def energy_mwh(t: Totals) -> float:
    """Energy at the meters, what flowed back taken off [MWh]."""
    return float(t.flow[METER_J]) / J_PER_MWH


@kpi
def curtailed_mwh(t: Totals) -> float:
    """What healthy machines in the scenario's own modes would have drawn on top [MWh]."""
    return float(t.flow[IDLED_J]) / J_PER_MWH


@kpi
def mean_power_mw(t: Totals) -> float:
    """Mean power at the meters [MW]."""
    return float(t.flow[METER_J]) / t.seconds / 1e6


@kpi
def energy_price_usd_per_mwh(t: Totals) -> float:
    """Power and hosting cost / energy of all uses [USD/MWh]."""
    return ratio(energy_cost_usd(t), uses_j(t) / J_PER_MWH)


@kpi
def mean_price_usd_per_mwh(t: Totals) -> float:
    """Price over time and sites, not weighted by energy [USD/MWh]."""
    return float(t.flow[PRICE_S]) / t.seconds / len(t.recorder.sites)


@kpi
def energy_cost_usd_per_btc(t: Totals) -> float:
    """Power and hosting cost, shared out to the ASICs by energy, / bitcoin earned [USD/BTC]."""
    machines_j = float(t.flow[SITE_ASIC_J] + t.flow[SITE_GPU_J])
    share = ratio(float(t.flow[SITE_ASIC_J]), machines_j)
    return ratio(energy_cost_usd(t) * share, btc_mined_btc(t))


@kpi
def efficiency_j_per_th(t: Totals) -> float:
    """ASICs' share of the energy of all uses / hashes [J/TH]."""
    machines_j = float(t.flow[SITE_ASIC_J] + t.flow[SITE_GPU_J])
    share = ratio(float(t.flow[SITE_ASIC_J]), machines_j)
    return ratio(uses_j(t) * share, float(t.flow[FATES + HASHED]))


@kpi
def pue(t: Totals) -> float:
    """Energy of all uses / energy of the machines [-]."""
    return ratio(uses_j(t), float(t.flow[SITE_ASIC_J] + t.flow[SITE_GPU_J]))


@kpi
def mining_revenue_usd_per_mwh(t: Totals) -> float:
    """Mining revenue / ASICs' share of the energy of all uses [USD/MWh]."""
    share = float(t.flow[SITE_ASIC_J]) * pue(t) / J_PER_MWH
    return ratio(mining_revenue_usd(t), share)


@kpi
def inference_revenue_usd_per_mwh(t: Totals) -> float:
    """Inference revenue / GPU nodes' share of the energy of all uses [USD/MWh]."""
    share = float(t.flow[SITE_GPU_J]) * pue(t) / J_PER_MWH
    return ratio(inference_revenue_usd(t), share)


@kpi
def hashprice_usd_per_ph_day(t: Totals) -> float:
    """Mean over time, before the pool's fee [USD/PH/day]."""
    return t.recorder.mean_fleet("hashprice_usd_per_ph_day")


@kpi
def usd_per_btc(t: Totals) -> float:
    """Mean over time of the bitcoin price [USD/BTC]."""
    return t.recorder.mean_fleet("usd_per_btc")


@kpi
def cash_usd(t: Totals) -> float:
    """Cash at the end [USD]."""
    return t.recorder.last_fleet("cash_usd")


@kpi
def btc_held_btc(t: Totals) -> float:
    """Bitcoin held at the end [BTC]."""
    return t.recorder.last_fleet("btc_held")


@kpi
def asic_failures(t: Totals) -> float:
    """Failures of ASICs, those at a restart among them [count]."""
    return float(t.recorder.count("failure", "asic"))


@kpi
def restart_failures(t: Totals) -> float:
    """Failures of ASICs that were switched on after a pause [count]."""
    return float(t.recorder.count("failure", "asic", RESTARTED))


@kpi
def restart_failures_usd(t: Totals) -> float:
    """Mined value less energy that machines which failed at a restart missed until repaired [USD].

    As if they had run like the others of their group meanwhile.
    """
    return t.recorder.total_fleet("restart_lost_usd")


@kpi
def gpu_node_failures(t: Totals) -> float:
    """Failures of GPU nodes [count]."""
    return float(t.recorder.count("failure", "gpu"))

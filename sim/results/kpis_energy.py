"""Figures of the power side: programmes, contracts, assets, carbon. Those of nothing are None."""

import math

from sim.kernels.arrays import (
    AWARDED_J,
    BATTERY_J,
    CARBON_KG,
    CONTRACT_USD,
    DEMAND_USD,
    DISCHARGED_J,
    FUEL_USD,
    GENERATION_J,
    PEAK_USD,
    PENALTY_USD,
    PROGRAMME_USD,
    RESERVED_J,
    RESOLD_USD,
    SHORTFALL_USD,
    SITE_ASIC_J,
    TOKEN_J,
    WEAR_USD,
)
from sim.results.kpis import (
    Totals,
    btc_mined_btc,
    energy_cost_usd,
    kpi,
    pue,
    ratio,
    uses_j,
)
from sim.results.kpis_serving import tokens_out_mtok
from sim.units import J_PER_MWH, KG_PER_TONNE, KWH_PER_MWH


def _some(value: float) -> float:
    """The value; NaN for exactly nothing, which has no meaning in a run without it."""
    return value if value != 0.0 else math.nan


@kpi
def grid_services_usd(t: Totals) -> float:
    """Reserves, emergency calls and economic curtailment [USD]."""
    return _some(float(t.flow[PROGRAMME_USD]))


@kpi
def penalties_usd(t: Totals) -> float:
    """For what was owed in calls and not delivered, and reserves that were not held [USD]."""
    return _some(float(t.flow[PENALTY_USD]))


@kpi
def reserve_shortfalls_usd(t: Totals) -> float:
    """Reserve sold and not held, at the real-time price (part of penalties) [USD]."""
    return _some(float(t.flow[SHORTFALL_USD]))


@kpi
def resold_usd(t: Totals) -> float:
    """What was bought before and not used, at the real-time price (part of contracts) [USD]."""
    return _some(float(t.flow[RESOLD_USD]))


@kpi
def contracts_usd(t: Totals) -> float:
    """Positions at their price less the same at the real-time price (part of power cost) [USD]."""
    return _some(float(t.flow[CONTRACT_USD]))


@kpi
def demand_charges_usd(t: Totals) -> float:
    """Demand charges, and take-or-pay that was not taken (part of power cost) [USD]."""
    return _some(float(t.flow[DEMAND_USD]))


@kpi
def coincident_peaks_usd(t: Totals) -> float:
    """What the peaks of this run cost in the year after (part of power cost) [USD]."""
    return _some(float(t.flow[PEAK_USD]))


@kpi
def fuel_usd(t: Totals) -> float:
    """Fuel and upkeep of on-site generation (part of power cost) [USD]."""
    return _some(float(t.flow[FUEL_USD]))


@kpi
def battery_wear_usd(t: Totals) -> float:
    """Wear of batteries by discharged energy (part of power cost) [USD]."""
    return _some(float(t.flow[WEAR_USD]))


@kpi
def net_power_cost_usd_per_kwh(t: Totals) -> float:
    """(Power and hosting cost + penalties - grid services) / energy of all uses [USD/kWh]."""
    cost = energy_cost_usd(t) + float(t.flow[PENALTY_USD] - t.flow[PROGRAMME_USD])
    return ratio(cost, uses_j(t) / J_PER_MWH * KWH_PER_MWH)


@kpi
def generation_mwh(t: Totals) -> float:
    """On-site generation [MWh]."""
    return _some(float(t.flow[GENERATION_J]) / J_PER_MWH)


@kpi
def battery_discharged_mwh(t: Totals) -> float:
    """Energy out of batteries [MWh]."""
    return _some(float(t.flow[DISCHARGED_J]) / J_PER_MWH)


@kpi
def battery_losses_mwh(t: Totals) -> float:
    """Energy into batteries less energy out, and less what is stored more than at first [MWh]."""
    return _some(float(t.flow[BATTERY_J] - t.stored_j) / J_PER_MWH)


@kpi
def reserved_mw(t: Totals) -> float:
    """Load that stood by for reserves and emergency calls, mean [MW]."""
    return _some(float(t.flow[RESERVED_J]) / t.seconds / 1e6)


@kpi
def reserve_sold_mw(t: Totals) -> float:
    """Reserve that was sold the day before, held or not, mean [MW]."""
    return _some(float(t.flow[AWARDED_J]) / t.seconds / 1e6)


@kpi
def carbon_tco2(t: Totals) -> float:
    """Carbon of the energy at the meters, by its zone and hour, and of on-site fuel [tCO2]."""
    return _some(float(t.flow[CARBON_KG]) / KG_PER_TONNE)


@kpi
def carbon_tco2_per_btc(t: Totals) -> float:
    """Carbon, shared out to the ASICs by energy, / bitcoin earned [tCO2/BTC]."""
    asics = float(t.flow[SITE_ASIC_J]) * pue(t)
    return ratio(carbon_tco2(t) * ratio(asics, uses_j(t)), btc_mined_btc(t))


@kpi
def carbon_tco2_per_mtok(t: Totals) -> float:
    """Carbon, shared out to nodes that serve tokens by energy, / tokens out [tCO2/Mtoken]."""
    share = ratio(float(t.flow[TOKEN_J]) * pue(t), uses_j(t))
    return ratio(carbon_tco2(t) * share, tokens_out_mtok(t))

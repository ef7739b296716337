"""Figures of the power side: programmes, contracts, assets, carbon. Those of nothing are None."""

from sim.kernels import flows
from sim.results.kpi import ENERGY, Totals, kpi, ratio, some
from sim.results.kpis_fleet import btc_mined_btc, energy_cost_usd, pue, uses_j
from sim.results.kpis_serving import tokens_out_mtok
from sim.units import J_PER_MWH, KG_PER_TONNE, KWH_PER_MWH


@kpi("USD", ENERGY)
def grid_services_usd(t: Totals) -> float:
    """Reserves, emergency calls and economic curtailment."""
    return some(float(t.flow[flows.PROGRAMME_USD]))


@kpi("USD", ENERGY)
def penalties_usd(t: Totals) -> float:
    """For what was owed in calls and not delivered, and reserves that were not held."""
    return some(float(t.flow[flows.PENALTY_USD]))


@kpi("USD", ENERGY)
def reserve_shortfalls_usd(t: Totals) -> float:
    """Reserve sold and not held, at the real-time price (part of penalties)."""
    return some(float(t.flow[flows.SHORTFALL_USD]))


@kpi("USD", ENERGY)
def resold_usd(t: Totals) -> float:
    """What was bought before and not used, at the real-time price (part of contracts)."""
    return some(float(t.flow[flows.RESOLD_USD]))


@kpi("USD", ENERGY)
def contracts_usd(t: Totals) -> float:
    """Positions at their price less the same at the real-time price (part of power cost)."""
    return some(float(t.flow[flows.CONTRACT_USD]))


@kpi("USD", ENERGY)
def demand_charges_usd(t: Totals) -> float:
    """Demand charges, and take-or-pay that was not taken (part of power cost)."""
    return some(float(t.flow[flows.DEMAND_USD]))


@kpi("USD", ENERGY)
def coincident_peaks_usd(t: Totals) -> float:
    """What the peaks of this run cost in the year after (part of power cost)."""
    return some(float(t.flow[flows.PEAK_USD]))


@kpi("USD", ENERGY)
def fuel_usd(t: Totals) -> float:
    """Fuel and upkeep of on-site generation (part of power cost)."""
    return some(float(t.flow[flows.FUEL_USD]))


@kpi("USD", ENERGY)
def battery_wear_usd(t: Totals) -> float:
    """Wear of batteries by discharged energy (part of power cost)."""
    return some(float(t.flow[flows.WEAR_USD]))


@kpi("USD/kWh", ENERGY)
def net_power_cost_usd_per_kwh(t: Totals) -> float:
    """(Power and hosting cost + penalties - grid services) / energy of all uses."""
    cost = energy_cost_usd(t) + float(t.flow[flows.PENALTY_USD] - t.flow[flows.PROGRAMME_USD])
    return ratio(cost, uses_j(t) / J_PER_MWH * KWH_PER_MWH)


@kpi("MWh", ENERGY)
def generation_mwh(t: Totals) -> float:
    """On-site generation."""
    return some(float(t.flow[flows.GENERATION_J]) / J_PER_MWH)


@kpi("MWh", ENERGY)
def battery_discharged_mwh(t: Totals) -> float:
    """Energy out of batteries."""
    return some(float(t.flow[flows.DISCHARGED_J]) / J_PER_MWH)


@kpi("MWh", ENERGY)
def battery_losses_mwh(t: Totals) -> float:
    """Energy into batteries less energy out, and less what is stored more than at first."""
    return some(float(t.flow[flows.BATTERY_J] - t.stored_j) / J_PER_MWH)


@kpi("MW", ENERGY)
def reserved_mw(t: Totals) -> float:
    """Load that stood by for reserves and emergency calls, mean."""
    return some(float(t.flow[flows.RESERVED_J]) / t.seconds / 1e6)


@kpi("MW", ENERGY)
def reserve_sold_mw(t: Totals) -> float:
    """Reserve that was sold the day before, held or not, mean."""
    return some(float(t.flow[flows.AWARDED_J]) / t.seconds / 1e6)


@kpi("tCO2", ENERGY)
def carbon_tco2(t: Totals) -> float:
    """Carbon of the energy at the meters, by its zone and hour, and of on-site fuel."""
    return some(float(t.flow[flows.CARBON_KG]) / KG_PER_TONNE)


@kpi("tCO2/BTC", ENERGY)
def carbon_tco2_per_btc(t: Totals) -> float:
    """Carbon, shared out to the ASICs by energy, / bitcoin earned."""
    asics = float(t.flow[flows.SITE_ASIC_J]) * pue(t)
    return ratio(carbon_tco2(t) * ratio(asics, uses_j(t)), btc_mined_btc(t))


@kpi("tCO2/Mtoken", ENERGY)
def carbon_tco2_per_mtok(t: Totals) -> float:
    """Carbon, shared out to nodes that serve tokens by energy, / tokens out."""
    share = ratio(float(t.flow[flows.TOKEN_J]) * pue(t), uses_j(t))
    return ratio(carbon_tco2(t) * share, tokens_out_mtok(t))

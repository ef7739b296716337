"""Figures of the fleet: its gross margin, its machines, its energy. As in `kpi`."""

from typing import Final

from sim.kernels import flows
from sim.results.kpi import ENERGY, FIRM, LOST, MACHINES, MARGIN, Totals, kpi, ratio
from sim.results.recorder import RESTARTED
from sim.units import J_PER_MWH, TH_PER_EH

POWER_ROWS: Final = [
    flows.ENERGY_USD,
    flows.CONTRACT_USD,
    flows.DEMAND_USD,
    flows.PEAK_USD,
    flows.FUEL_USD,
    flows.WEAR_USD,
]
USE_ROWS: Final = [
    flows.SITE_ASIC_J,
    flows.SITE_GPU_J,
    flows.COOLING_J,
    flows.OVERHEAD_J,
    flows.LOSS_J,
]


def energy_cost_usd(t: Totals) -> float:
    """Everything that energy costs, all that hosts charge included; not what services earn."""
    return float(t.flow[POWER_ROWS].sum()) + t.firm.hosting.charged_usd


def uses_j(t: Totals) -> float:
    """Energy of all uses: machines, cooling, overhead, losses; whoever supplied it."""
    return float(t.flow[USE_ROWS].sum())


def machines_j(t: Totals) -> float:
    """Energy of the machines."""
    return float(t.flow[flows.SITE_ASIC_J] + t.flow[flows.SITE_GPU_J])


def _ehs(t: Totals, fate: int) -> float:
    return float(t.flow[flows.FATES + fate]) / t.seconds / TH_PER_EH


@kpi("USD", MARGIN)
def gross_margin_usd(t: Totals) -> float:
    """Mining, inference, grid services less power, hosts, fees, credits, penalties, opex."""
    f = t.flow
    return (
        mining_revenue_usd(t)
        + inference_revenue_usd(t)
        + float(f[flows.PROGRAMME_USD])
        - energy_cost_usd(t)
        - credits_usd(t)
        - float(f[flows.PENALTY_USD] + f[flows.POOL_FEE_USD] + f[flows.GPU_OPEX_USD])
    )


@kpi("USD", MARGIN)
def mining_revenue_usd(t: Totals) -> float:
    """Bitcoin earned before the pool's fee, at the price when it was earned."""
    return float(t.flow[flows.BTC_USD])


@kpi("USD", MARGIN)
def inference_revenue_usd(t: Totals) -> float:
    """GPU hours that are paid, let or by take-or-pay, and tokens served, at their prices."""
    return float(t.flow[flows.GPU_USD] + t.flow[flows.TOKEN_USD])


@kpi("USD", MARGIN)
def power_cost_usd(t: Totals) -> float:
    """Energy, contracts, demand charges, coincident peaks, fuel, wear; hosts' bills aside."""
    return energy_cost_usd(t) - hosting_cost_usd(t)


@kpi("USD", MARGIN)
def hosting_cost_usd(t: Totals) -> float:
    """Bills of hosts: energy, machine fees and profit shares, less their credits."""
    return t.hosting_usd + t.firm.hosting.charged_usd


@kpi("USD", MARGIN)
def pool_fees_usd(t: Totals) -> float:
    """What the pool kept, at the price when it was earned."""
    return float(t.flow[flows.POOL_FEE_USD])


@kpi("USD", MARGIN)
def credits_usd(t: Totals) -> float:
    """Credits: node-hours not delivered, days that missed their SLO, months their SLA."""
    return float(t.flow[flows.CREDIT_USD]) + t.firm.offtakes.credited_usd


@kpi("BTC", MARGIN)
def btc_mined_btc(t: Totals) -> float:
    """Bitcoin earned before the pool's fee."""
    return float(t.flow[flows.BTC])


@kpi("EH/s", MACHINES)
def deployed_ehs(t: Totals) -> float:
    """Nameplate hashrate, mean."""
    return _ehs(t, flows.DEPLOYED)


@kpi("EH/s", MACHINES)
def operating_ehs(t: Totals) -> float:
    """Hashrate that was on, healthy, powered and cool enough, mean."""
    return _ehs(t, flows.HASHED)


@kpi("EH/s", LOST, cause="switched off by the policy")
def lost_price_ehs(t: Totals) -> float:
    """Deployed but switched off by the policy's choice, mean."""
    return _ehs(t, flows.LOST_PRICE)


@kpi("EH/s", LOST, cause="slower firmware mode (negative: overclocked)")
def lost_mode_ehs(t: Totals) -> float:
    """Nameplate less the chosen firmware mode (negative when overclocked), mean."""
    return _ehs(t, flows.LOST_MODE)


@kpi("EH/s", LOST, cause="failed, or waiting to rejoin")
def lost_failure_ehs(t: Totals) -> float:
    """Machines failed, or repaired but not yet back in a control step, mean."""
    return _ehs(t, flows.LOST_FAILURE)


@kpi("EH/s", LOST, cause="derated or tripped by heat")
def lost_thermal_ehs(t: Totals) -> float:
    """Derated or tripped by heat, mean."""
    return _ehs(t, flows.LOST_THERMAL)


@kpi("EH/s", LOST, cause="worth running, but a limit of the grid is full")
def lost_limit_ehs(t: Totals) -> float:
    """Worth running but below a full limit, or cut by one, mean."""
    return _ehs(t, flows.LOST_LIMIT)


@kpi("EH/s", LOST, cause="site without power, network or host")
def lost_outage_ehs(t: Totals) -> float:
    """Sites without power or network, or that a host has closed, mean."""
    return _ehs(t, flows.LOST_OUTAGE)


@kpi("EH/s", LOST, cause="booting, ramping, shortest pause")
def lost_restart_ehs(t: Totals) -> float:
    """Booting, ramping or in the shortest pause, mean."""
    return _ehs(t, flows.LOST_RESTART)


@kpi("%", MACHINES)
def uptime_pct(t: Totals) -> float:
    """Deployed hashrate that ran, in whatever firmware mode / deployed hashrate."""
    return 100.0 * ratio(operating_ehs(t) + lost_mode_ehs(t), deployed_ehs(t))


@kpi("%", MACHINES)
def asic_availability_pct(t: Totals) -> float:
    """Share of machine-time in which an ASIC had not failed."""
    return 100.0 * t.recorder.availability("asic")


@kpi("%", MACHINES)
def gpu_delivered_pct(t: Totals) -> float:
    """GPU node-hours on / node-hours deployed."""
    return 100.0 * ratio(float(t.flow[flows.NODES_ON_S]), float(t.flow[flows.NODES_S]))


@kpi("MWh", ENERGY)
def energy_mwh(t: Totals) -> float:
    """Energy at the meters, what flowed back taken off."""
    return float(t.flow[flows.METER_J]) / J_PER_MWH


@kpi("MWh", ENERGY)
def curtailed_mwh(t: Totals) -> float:
    """What healthy machines in the scenario's own modes would have drawn on top."""
    return float(t.flow[flows.IDLED_J]) / J_PER_MWH


@kpi("MW", ENERGY)
def mean_power_mw(t: Totals) -> float:
    """Mean power at the meters."""
    return float(t.flow[flows.METER_J]) / t.seconds / 1e6


@kpi("USD/MWh", ENERGY)
def energy_price_usd_per_mwh(t: Totals) -> float:
    """Power and hosting cost / energy of all uses."""
    return ratio(energy_cost_usd(t), uses_j(t) / J_PER_MWH)


@kpi("USD/MWh", ENERGY)
def mean_price_usd_per_mwh(t: Totals) -> float:
    """Price over time and sites, not weighted by energy."""
    return float(t.flow[flows.PRICE_S]) / t.seconds / len(t.recorder.sites)


@kpi("USD/BTC", ENERGY)
def energy_cost_usd_per_btc(t: Totals) -> float:
    """Power and hosting cost, shared out to the ASICs by energy, / bitcoin earned."""
    share = ratio(float(t.flow[flows.SITE_ASIC_J]), machines_j(t))
    return ratio(energy_cost_usd(t) * share, btc_mined_btc(t))


@kpi("J/TH", ENERGY)
def efficiency_j_per_th(t: Totals) -> float:
    """ASICs' share of the energy of all uses / hashes."""
    share = ratio(float(t.flow[flows.SITE_ASIC_J]), machines_j(t))
    return ratio(uses_j(t) * share, float(t.flow[flows.FATES + flows.HASHED]))


@kpi("-", ENERGY)
def pue(t: Totals) -> float:
    """Energy of all uses / energy of the machines."""
    return ratio(uses_j(t), machines_j(t))


@kpi("USD/MWh", MARGIN)
def mining_revenue_usd_per_mwh(t: Totals) -> float:
    """Mining revenue / ASICs' share of the energy of all uses."""
    share = float(t.flow[flows.SITE_ASIC_J]) * pue(t) / J_PER_MWH
    return ratio(mining_revenue_usd(t), share)


@kpi("USD/MWh", MARGIN)
def inference_revenue_usd_per_mwh(t: Totals) -> float:
    """Inference revenue / GPU nodes' share of the energy of all uses."""
    share = float(t.flow[flows.SITE_GPU_J]) * pue(t) / J_PER_MWH
    return ratio(inference_revenue_usd(t), share)


@kpi("USD/PH/day", MARGIN)
def hashprice_usd_per_ph_day(t: Totals) -> float:
    """Mean over time, before the pool's fee."""
    return t.recorder.mean_fleet("hashprice_usd_per_ph_day")


@kpi("USD/BTC", MARGIN)
def usd_per_btc(t: Totals) -> float:
    """Mean over time of the bitcoin price."""
    return t.recorder.mean_fleet("usd_per_btc")


@kpi("USD", FIRM)
def cash_usd(t: Totals) -> float:
    """Cash at the end."""
    return t.recorder.last_fleet("cash_usd")


@kpi("BTC", FIRM)
def btc_held_btc(t: Totals) -> float:
    """Bitcoin held at the end."""
    return t.recorder.last_fleet("btc_held")


@kpi("count", MACHINES)
def asic_failures(t: Totals) -> float:
    """Failures of ASICs, those at a restart among them."""
    return float(t.recorder.count("failure", "asic"))


@kpi("count", MACHINES)
def restart_failures(t: Totals) -> float:
    """Failures of ASICs that were switched on after a pause."""
    return float(t.recorder.count("failure", "asic", RESTARTED))


@kpi("USD", MACHINES)
def restart_failures_usd(t: Totals) -> float:
    """Mined value less energy that machines which failed at a restart missed until repaired.

    As if they had run like the others of their group meanwhile.
    """
    return t.recorder.total_fleet("restart_lost_usd")


@kpi("count", MACHINES)
def gpu_node_failures(t: Totals) -> float:
    """Failures of GPU nodes."""
    return float(t.recorder.count("failure", "gpu"))

"""Builds the arrays of ASIC groups and GPU nodes of a scenario, with all machines on."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import (
    BY_THE_HOUR,
    BY_THE_TOKEN,
    NODE_WAYS,
    RESERVED,
    AsicGroups,
    AsicState,
    NodeGroups,
    NodeState,
)
from sim.kernels.thermal import COOLING_COLUMNS
from sim.scenario import catalogue
from sim.scenario.gpu_market import USD_PER_GPU_H
from sim.scenario.rows import AsicGroup, GpuGroup, MovedGroup
from sim.scenario.scenario import Scenario
from sim.types import Bools, Floats
from sim.units import HOURS_PER_YEAR, SECONDS_PER_MINUTE

NEVER_S: Final = -1e18
WET: Final = {"air": "air-evaporative", "hydro": "tower", "immersion": "tower"}
WAYS: Final = {"contracted": RESERVED, "batch": BY_THE_HOUR, "serving": BY_THE_TOKEN}


def cooled(way: str, wet: bool) -> Floats:
    """Parameters of a type of cooling (COOLING_COLUMNS,), or of its wet counterpart."""
    return catalogue.cooling()[WET.get(way, way) if wet else way].row()


def awaited(group: AsicGroup | GpuGroup) -> bool:
    """Whether a group is absent at the start: a project or the end of a host brings it."""
    return bool(group.project) or isinstance(group, MovedGroup)


def build_asics(scenario: Scenario, names: list[str]) -> tuple[AsicGroups, AsicState]:
    groups = scenario.asics
    models = [catalogue.asics(scenario.asic_models)[g.model] for g in groups]
    count = len(groups)
    known = [m.modes_of(g.firmware) for g, m in zip(groups, models, strict=True)]
    modes = max([len(m) for m in known], default=1)
    mode_ths, mode_w, default = (np.zeros((count, modes)) for _ in range(3))
    for g, (group, of_group) in enumerate(zip(groups, known, strict=True)):
        for m, (name, mode) in enumerate(of_group.items()):
            mode_ths[g, m], mode_w[g, m] = mode.hashrate_ths, mode.power_w
            default[g, m] = float(name == group.mode)
    wet = {site.name: site.cooling == "wet" for site in scenario.sites}
    thermal = [cooled(m.cooling, wet[g.site]) for g, m in zip(groups, models, strict=True)]
    mining = scenario.mining
    machines = np.array([0.0 if awaited(g) else float(g.count) for g in groups])
    asics = AsicGroups(
        site=np.array([names.index(g.site) for g in groups], dtype=np.int64),
        nominal_ths=np.array([m.nominal.hashrate_ths for m in models]),
        mode_ths=mode_ths,
        mode_w=mode_w,
        default_share=default,
        thermal=np.array(thermal).reshape(count, COOLING_COLUMNS),
        restart_s=float(mining.restart_s),
        least_off_s=float(mining.min_off_s),
        ramp_per_s=float(mining.ramp_up_per_min / SECONDS_PER_MINUTE),
    )
    state = AsicState(
        deployed=machines,
        healthy=machines.copy(),
        running=machines.copy(),
        shut=np.zeros(count),
        heat=np.ones(count),
        cooling=np.zeros(count),
        factor=np.ones(count),
        shares=np.stack([default] * 3),
        starting=np.zeros(count),
        starting_until_s=np.zeros(count),
        blocked=np.zeros(count),
        lowered_s=np.full(count, NEVER_S),
        last_s=np.zeros(count),
        flow=np.zeros((flows.ASIC_FLOWS, count)),
        used=np.zeros((flows.USED_ROWS, count, modes)),
    )
    return asics, state


class Let(NamedTuple):
    """Letting terms of the mean node of each group (node,), before [what_if]."""

    usd_per_gpu_h: Floats
    share: Floats  # share of the node-hours on that is let
    least: Floats  # take-or-pay: share of the node-hours on that is always paid


class NodeRates(NamedTuple):
    """Values of the rows NODE_RATES of `NodeGroups`."""

    node_w: Floats
    drawn_w: Floats
    usd_per_h: Floats
    worth_usd_per_h: Floats
    credit_usd_per_h: Floats
    let_share: Floats
    opex_usd_per_h: Floats


def as_written(scenario: Scenario) -> Let:
    """Prices and occupancies given in the rows, or their defaults, without any market path."""
    usd = [USD_PER_GPU_H if g.usd_per_gpu_h is None else g.usd_per_gpu_h for g in scenario.gpus]
    share = [1.0 if g.occupancy is None else g.occupancy for g in scenario.gpus]
    return Let(np.array(usd, dtype=np.float64), np.array(share), np.zeros(len(share)))


def mean_node_w(scenario: Scenario, share: Floats) -> Floats:
    """Power of the mean node of each group (node,) [W] when a share (node,) is let.

    A let node draws its mean load, a vacant one its idle power.
    """
    known = catalogue.gpus(scenario.gpu_models)
    rows = [(g, known[g.gpu]) for g in scenario.gpus]
    idle_w = np.array([g.gpus_per_node * u.idle_w_per_gpu for g, u in rows])
    most_w = np.array([g.gpus_per_node * u.max_w_per_gpu for g, u in rows])
    load = np.array([g.utilisation for g in scenario.gpus])
    mean_w = idle_w + load * share * (most_w - idle_w)
    return np.asarray(np.where(_serving(scenario), most_w, mean_w), dtype=np.float64)


def _serving(scenario: Scenario) -> Bools:
    return np.array([g.state == "serving" for g in scenario.gpus], dtype=np.bool_)


def node_rates(scenario: Scenario, let: Let, month_h: float) -> NodeRates:
    """Rates that follow from the letting terms, in a month of `month_h` hours."""
    groups, what_if = scenario.gpus, scenario.what_if
    gpus = np.array([g.gpus_per_node for g in groups], dtype=np.float64)
    serving = _serving(scenario)
    reserved = np.array([g.state == "contracted" for g in groups], dtype=np.bool_)
    by_let = np.array([g.opex_usd_per_gpu_h for g in groups]) * gpus * what_if.gpu_opex_factor
    by_month = np.array([g.opex_usd_per_node_month for g in groups]) * what_if.gpu_opex_factor
    price_usd = let.usd_per_gpu_h * gpus * what_if.gpu_price_factor
    share = np.minimum(let.share * what_if.gpu_occupancy_factor, 1.0)
    earned_usd = price_usd * np.maximum(share, let.least)
    earned_usd = np.where(serving, 0.0, earned_usd)  # serving nodes earn by the token
    share = np.where(serving, 1.0, share)  # serving nodes bear all of their operating cost
    node_w = mean_node_w(scenario, share)
    return NodeRates(
        node_w=node_w,
        drawn_w=np.where(serving, 0.0, node_w),
        usd_per_h=earned_usd,
        worth_usd_per_h=np.where(serving, price_usd, earned_usd) - by_let * share,
        credit_usd_per_h=earned_usd * reserved * scenario.inference.credit_fraction,
        let_share=share,
        opex_usd_per_h=np.array([by_let, by_month / month_h]).reshape(2, len(groups)),
    )


def build_nodes(scenario: Scenario, names: list[str]) -> tuple[NodeGroups, NodeState]:
    groups = scenario.gpus
    count = len(groups)
    rates = node_rates(scenario, as_written(scenario), HOURS_PER_YEAR / 12.0)
    nodes = NodeGroups(
        **rates._asdict(),
        site=np.array([names.index(g.site) for g in groups], dtype=np.int64),
        way=np.array([WAYS[g.state] for g in groups], dtype=np.int64),
        thermal=np.array([cooled("chiller", False)] * count).reshape(count, COOLING_COLUMNS),
    )
    there = np.array([0.0 if awaited(g) else float(g.nodes) for g in groups])
    state = NodeState(
        deployed=there,
        healthy=there.copy(),
        running=there.copy(),
        cooling=np.zeros(count),
        factor=np.ones(count),
        shares=np.ones((3, count)),
        last_s=np.zeros(count),
        flow=np.zeros((flows.NODE_FLOWS, count)),
        used=np.zeros((flows.NODE_USED_ROWS, count, NODE_WAYS)),
    )
    return nodes, state

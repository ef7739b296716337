"""ASIC groups and GPU nodes of a scenario as arrays, all machines on."""

from typing import Final

import numpy as np

from sim.kernels.arrays import (
    ASIC_FLOWS,
    NODE_FLOWS,
    NODE_USED_ROWS,
    NODE_WAYS,
    USED_ROWS,
    AsicGroups,
    AsicState,
    Floats,
    NodeGroups,
    NodeState,
)
from sim.kernels.thermal import COOLING_COLUMNS
from sim.scenario import catalogue
from sim.scenario.rows import AsicGroup, GpuGroup, MovedGroup
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_MINUTE

NEVER_S: Final = -1e18
WET: Final = {"air": "air-evaporative", "hydro": "tower", "immersion": "tower"}
PRECEDENCE: Final = {"contracted": 1.0, "serving": 0.5, "batch": 0.0}  # when limits bite


def cooled(way: str, wet: bool) -> Floats:
    """The figures of a way of cooling (COOLING_COLUMNS,), or of the wet one in its place."""
    return catalogue.cooling()[WET.get(way, way) if wet else way].row()


def awaited(group: AsicGroup | GpuGroup) -> bool:
    """Whether machines are not there at the start: a project or a host's end brings them."""
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
        pace=np.array(
            [mining.restart_s, mining.min_off_s, mining.ramp_up_per_min / SECONDS_PER_MINUTE]
        ),
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
        flow=np.zeros((ASIC_FLOWS, count)),
        used=np.zeros((USED_ROWS, count, modes)),
    )
    return asics, state


def build_nodes(scenario: Scenario, names: list[str]) -> tuple[NodeGroups, NodeState]:
    groups = scenario.gpus
    gpus = [catalogue.gpus(scenario.gpu_models)[g.gpu] for g in groups]
    count = len(groups)
    worth_usd_per_h = np.array([g.usd_per_gpu_h * g.gpus_per_node for g in groups])
    worth_usd_per_h *= scenario.what_if.gpu_price_factor
    contracted = np.array([PRECEDENCE[g.state] for g in groups])
    serving = np.array([g.state == "serving" for g in groups], dtype=np.bool_)
    usd_per_h = np.where(serving, 0.0, worth_usd_per_h)  # tokens are paid by the token
    mean_w = np.array(
        [
            g.gpus_per_node
            * (u.idle_w_per_gpu + g.utilisation * (u.max_w_per_gpu - u.idle_w_per_gpu))
            for g, u in zip(groups, gpus, strict=True)
        ]
    )
    most_w = np.array(
        [g.gpus_per_node * u.max_w_per_gpu for g, u in zip(groups, gpus, strict=True)]
    )
    nodes = NodeGroups(
        site=np.array([names.index(g.site) for g in groups], dtype=np.int64),
        node_w=np.where(serving, most_w, mean_w),
        drawn_w=np.where(serving, 0.0, mean_w),
        usd_per_h=usd_per_h,
        worth_usd_per_h=worth_usd_per_h,
        credit_usd_per_h=usd_per_h * (contracted == 1.0) * scenario.inference.credit_fraction,
        contracted=contracted,
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
        flow=np.zeros((NODE_FLOWS, count)),
        used=np.zeros((NODE_USED_ROWS, count, NODE_WAYS)),
    )
    return nodes, state

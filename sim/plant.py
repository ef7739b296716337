"""What we run: owns every array and calls the kernels; advance, settle, observe, apply."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from sim.inference import Inference
from sim.kernels.arrays import (
    ASIC_FLOWS,
    CREDIT_USD,
    GRANTED,
    NODE_FLOWS,
    NODE_J,
    SITE_FLOWS,
    TOKEN_J,
    TOKEN_USD,
    WISH,
    AsicGroups,
    AsicState,
    Floats,
    Limits,
    NodeGroups,
    NodeState,
    Sites,
    SiteState,
)
from sim.kernels.grant import grant, wrong_share
from sim.kernels.inference import advance_nodes
from sim.kernels.jit import bind
from sim.kernels.mining import advance_groups
from sim.kernels.site import advance, condition, settle
from sim.policy import (
    NO_SERVING,
    AsicView,
    Decision,
    GpuView,
    Observation,
    PolicyError,
    decision_problems,
)
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_MINUTE, W_PER_MW
from sim.world.topology import Topology, compile_topology

NEVER_S: Final = -1e18
PRECEDENCE: Final = {"contracted": 1.0, "serving": 0.5, "batch": 0.0}  # when limits bite


class _Calls(NamedTuple):
    """The kernels, bound to the arrays of one plant."""

    advance: Callable[[float], None]
    settle: Callable[[float], None]
    condition: Callable[[], None]
    wrong_share: Callable[[], bool]
    grant: Callable[[float, float, float], None]
    advance_groups: Callable[[int, int, float], None]
    advance_nodes: Callable[[int, int, float], None]


@dataclass(frozen=True, eq=False)
class Plant:
    """The fleet. Every array of the run is here; nobody outside changes one."""

    asics: AsicGroups
    asic: AsicState
    nodes: NodeGroups
    node: NodeState
    sites: Sites
    site: SiteState
    topology: Topology
    limits: Limits
    site_names: tuple[str, ...]
    inference: Inference | None
    _calls: _Calls

    @classmethod
    def build(cls, scenario: Scenario, inference: Inference | None = None) -> "Plant":
        """Arrays of a scenario; the fleet begins as it was set up, all machines on.

        `inference` runs the engines of serving nodes.
        """
        names = [s.name for s in scenario.sites]
        topology = compile_topology(scenario)
        overhead_w = np.array([s.overhead_mw * W_PER_MW for s in scenario.sites])
        sites = Sites(
            pue=np.array([[s.pue_base, s.pue_knee_c, s.pue_slope_per_c] for s in scenario.sites]),
            overhead_w=overhead_w,
            loss=topology.loss,
        )
        limits = Limits(topology.path, _room(topology, overhead_w))
        asics, asic = _asics(scenario, names)
        nodes, node = _nodes(scenario, names)
        for table in (asics, nodes, sites, limits):
            _freeze(table)
        site = _site_state(len(names))
        machines = (asics, asic, nodes, node)
        every = (*machines, sites, site)
        return cls(
            asics=asics,
            asic=asic,
            nodes=nodes,
            node=node,
            sites=sites,
            site=site,
            topology=topology,
            limits=limits,
            site_names=tuple(names),
            inference=inference,
            _calls=_Calls(
                advance=bind(advance, *machines, floats=1),
                settle=bind(settle, *every, floats=1),
                condition=bind(condition, asics, asic, node, sites, site),
                wrong_share=bind(wrong_share, asic.shares[WISH], node.shares[WISH]),
                grant=bind(grant, *every, limits, floats=3),
                advance_groups=bind(advance_groups, asics, asic, ints=2, floats=1),
                advance_nodes=bind(advance_nodes, nodes, node, ints=2, floats=1),
            ),
        )

    def advance(self, t_s: int) -> None:
        """Run all machines to `t_s` under the controls in force."""
        self._calls.advance(t_s)
        if self.inference is not None:
            self._serve(t_s)

    def settle(self, t_s: int) -> Floats:
        """Gather the interval that ends at `t_s`; the hashes of each site (site,) [TH]."""
        if self.inference is not None:
            self._to_sites(TOKEN_USD, self.inference.revenue_usd())
        self._calls.settle(t_s)
        return self.site.hashed_th

    def give_credits(self) -> None:
        """At the end of a day: what tenants get back where the day missed their SLO."""
        if self.inference is not None:
            self._to_sites(CREDIT_USD, self.inference.credits_usd())

    def _serve(self, t_s: int) -> None:
        if self.inference is not None:
            spent_j = self.inference.advance(t_s)
            self.node.flow[NODE_J] += spent_j
            np.add.at(self.site.flow[TOKEN_J], self.nodes.site, spent_j)

    def _to_sites(self, row: int, lane_usd: Floats) -> None:
        if self.inference is not None:
            sites = len(self.site_names)
            self.site.flow[row] += np.bincount(self.inference.lane_site, lane_usd, sites)

    def condition(self, price_usd_per_mwh: Floats, ambient_c: Floats) -> None:
        """Prices and temperatures (site,) of now; repaired machines rejoin."""
        self.site.price[:] = price_usd_per_mwh
        self.site.ambient_c[:] = ambient_c
        self._calls.condition()

    def observe(
        self,
        t_s: int,
        step_s: int,
        usd_per_btc: float,
        difficulty: float,
        hashprice_usd_per_ph_day: float,
    ) -> Observation:
        """What a policy may see. What changes is copied: a policy may keep it."""
        asics, asic, nodes, node, site = self.asics, self.asic, self.nodes, self.node, self.site
        return Observation(
            t_s,
            step_s,
            site.price.copy(),
            site.ambient_c.copy(),
            site.factor.copy(),
            usd_per_btc,
            difficulty,
            hashprice_usd_per_ph_day,
            AsicView(
                asics.site,
                asic.healthy.copy(),
                asic.heat.copy(),
                asics.mode_ths,
                asics.mode_w,
                asics.default_share,
                asic.shares[GRANTED].copy(),
            ),
            GpuView(
                nodes.site,
                node.healthy.copy(),
                nodes.node_w,
                nodes.worth_usd_per_h,
                nodes.credit_usd_per_h,
                nodes.contracted,
                node.shares[GRANTED].copy(),
            ),
            self.limits,
            self.inference.view(step_s) if self.inference is not None else NO_SERVING,
        )

    def apply(self, decision: Decision, observation: Observation) -> None:
        """Record a wish and grant what ramps, pauses and limits allow.

        Raises:
            PolicyError: if the decision is not one, with what is wrong.
        """
        try:
            wish, node_wish = self.asic.shares[WISH], self.node.shares[WISH]
            wrong = (
                decision.asic_share.shape != wish.shape
                or decision.gpu_share.shape != node_wish.shape
            )
            if not wrong:
                wish[:] = decision.asic_share
                node_wish[:] = decision.gpu_share
                wrong = self._calls.wrong_share() or decision.route is not None
        except (AttributeError, TypeError, ValueError):
            wrong = True
        if wrong:
            problems = decision_problems(decision, observation)
            if problems or decision.route is None:
                what = "; ".join(problems) or "shares of a wrong shape"
                raise PolicyError(f"decision at t = {observation.t_s} s: {what}")
        self._calls.grant(observation.t_s, observation.step_s, observation.usd_per_th)
        if self.inference is not None:
            self.node.shares[GRANTED] = self.inference.switch(self.node.shares[GRANTED])
            if decision.route is not None:
                self.inference.weigh(decision.route)

    def fail(self, kind: str, group: int, machine: int, t_s: int) -> None:
        """One machine of a group stops for good until it is repaired."""
        if kind == "asic":
            self._calls.advance_groups(group, group + 1, t_s)
            state: AsicState | NodeState = self.asic
        else:
            self._calls.advance_nodes(group, group + 1, t_s)
            state = self.node
            if self.inference is not None:
                self._serve(t_s)
                self.inference.fail(group, machine)
        state.healthy[group] -= 1.0
        state.running[group] -= 1.0

    def repair(self, kind: str, group: int, machine: int) -> None:
        """One machine of a group is healthy again; it runs from the next control step on."""
        (self.asic if kind == "asic" else self.node).healthy[group] += 1.0
        if kind == "gpu" and self.inference is not None:
            self.inference.repair(group, machine)

    def binding(self) -> list[str]:
        """Names of the limits that have no room left under the powers granted now."""
        used = np.zeros(len(self.topology.capacity_w))
        for s, path in enumerate(self.topology.path):
            used[path[path >= 0]] += self.site.granted_w[s]
        full = used >= self.topology.capacity_w * (1.0 - 1e-9)
        return [self.topology.limit_names[k] for k in np.flatnonzero(full)]


def _room(topology: Topology, overhead_w: Floats) -> Floats:
    room_w = topology.capacity_w.copy()
    for s, path in enumerate(topology.path):
        room_w[path[path >= 0]] -= overhead_w[s] / (1.0 - topology.loss[s])
    return room_w


def _asics(scenario: Scenario, names: list[str]) -> tuple[AsicGroups, AsicState]:
    groups = scenario.asics
    models = [catalogue.asics()[g.model] for g in groups]
    count = len(groups)
    modes = max([len(m.modes) for m in models], default=1)
    mode_ths, mode_w, default = (np.zeros((count, modes)) for _ in range(3))
    for g, (group, model) in enumerate(zip(groups, models, strict=True)):
        for m, (name, mode) in enumerate(model.modes.items()):
            mode_ths[g, m], mode_w[g, m] = mode.hashrate_ths, mode.power_w
            default[g, m] = float(name == group.mode)
    cooling = [catalogue.cooling()[m.cooling] for m in models]
    mining = scenario.mining
    machines = np.array([float(g.count) for g in groups])
    asics = AsicGroups(
        site=np.array([names.index(g.site) for g in groups], dtype=np.int64),
        machines=machines,
        nominal_ths=np.array([m.nominal.hashrate_ths for m in models]),
        mode_ths=mode_ths,
        mode_w=mode_w,
        default_share=default,
        derating=np.array(
            [[c.derate_start_c, c.trip_c, c.derate_fraction] for c in cooling]
        ).reshape(count, 3),
        pace=np.array(
            [mining.restart_s, mining.min_off_s, mining.ramp_up_per_min / SECONDS_PER_MINUTE]
        ),
    )
    state = AsicState(
        running=machines.copy(),
        healthy=machines.copy(),
        heat=np.ones(count),
        shares=np.stack([default] * 3),
        starting=np.zeros(count),
        starting_until_s=np.zeros(count),
        blocked=np.zeros(count),
        lowered_s=np.full(count, NEVER_S),
        last_s=np.zeros(count),
        flow=np.zeros((ASIC_FLOWS, count)),
    )
    return asics, state


def _nodes(scenario: Scenario, names: list[str]) -> tuple[NodeGroups, NodeState]:
    groups = scenario.gpus
    gpus = [catalogue.gpus()[g.gpu] for g in groups]
    count = len(groups)
    worth_usd_per_h = np.array([g.usd_per_gpu_h * g.gpus_per_node for g in groups])
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
        nodes=np.array([float(g.nodes) for g in groups]),
        node_w=np.where(serving, most_w, mean_w),
        drawn_w=np.where(serving, 0.0, mean_w),
        usd_per_h=usd_per_h,
        worth_usd_per_h=worth_usd_per_h,
        credit_usd_per_h=usd_per_h * (contracted == 1.0) * scenario.inference.credit_fraction,
        contracted=contracted,
    )
    state = NodeState(
        running=nodes.nodes.copy(),
        healthy=nodes.nodes.copy(),
        shares=np.ones((3, count)),
        last_s=np.zeros(count),
        flow=np.zeros((NODE_FLOWS, count)),
    )
    return nodes, state


def _site_state(count: int) -> SiteState:
    return SiteState(
        price=np.zeros(count),
        ambient_c=np.zeros(count),
        pue=np.ones(count),
        factor=np.ones(count),
        wish_w=np.zeros(count),
        granted_w=np.zeros(count),
        idled_w=np.zeros(count),
        hashed_th=np.zeros(count),
        settled_s=np.zeros(1),
        flow=np.zeros((SITE_FLOWS, count)),
    )


def _freeze(table: NamedTuple) -> None:
    """Make arrays that never change read-only: policies see them."""
    for array in table:
        array.flags.writeable = False

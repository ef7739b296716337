"""The fleet at run time: every array of the run, and the kernels bound to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from sim.kernels import flows
from sim.kernels.arrays import (
    GRANTED,
    NODE_RATES,
    WISH,
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    Items,
    Limits,
    MeterState,
    NodeGroups,
    NodeState,
    PricesInForce,
    Sites,
    SiteState,
    StepInputs,
    SupplyState,
)
from sim.kernels.border import NUMBERS
from sim.kernels.energy import bill
from sim.kernels.fleet import Fleet, box, fleet_type, pack
from sim.kernels.grant import grant_nested, settle_grant, value_wishes, wrong_share
from sim.kernels.jit import Entry, bind, entry, guarded_entry, specialise
from sim.kernels.mining import advance_groups
from sim.kernels.nodes import advance_nodes
from sim.kernels.site import advance, condition, earn, gross_margin_usd, look, settle
from sim.plant.demand_response import DemandResponse, build_programmes
from sim.plant.inventory import ASIC, Inventory
from sim.plant.machines import NodeRates, build_asics, build_nodes
from sim.plant.meshed import Meshed
from sim.plant.offering import able_w, drawn_w, offers_of
from sim.plant.ramps import Ramps
from sim.plant.sites import (
    build_assets,
    build_conditions,
    build_limits,
    build_sites,
    make_room,
)
from sim.plant.views import Views
from sim.policy import (
    Decision,
    Market,
    Observation,
    Policy,
    PolicyError,
    decision_problems,
    option_problems,
)
from sim.scenario.scenario import Scenario
from sim.serving_fleet import ServingFleet
from sim.types import Floats
from sim.world.market import Cleared
from sim.world.topology import Topology, compile_topology, own_link, planned_mw


class _Calls(NamedTuple):
    """The kernels, bound to the arrays of one plant."""

    advance: Callable[[float], None]
    settle: Callable[[float], None]
    earn: Callable[[Floats, float, float], None]
    gross_margin_usd: Callable[[], float]
    condition: Callable[[], None]
    wrong_share: Callable[[], bool]
    grant: Callable[[float, float, float], None]
    advance_groups: Callable[[int, int, float], None]
    advance_nodes: Callable[[int, int, float], None]


Made = TypeVar("Made")
Ahead = Callable[[Any, list[Entry]], None]  # takes the box's type and the kernels to compile


@dataclass(frozen=True, eq=False)
class Plant:
    """The fleet. It holds every array of the run; no code outside changes one."""

    fleet: Fleet  # everything in one box, for kernels; its parts follow
    asics: AsicGroups
    asic: AsicState
    nodes: NodeGroups
    node: NodeState
    rates: NodeRates  # the same arrays as in `nodes`, but writeable
    sites: Sites
    site: SiteState
    prices: PricesInForce
    supply: SupplyState
    meters: MeterState
    assets: Assets
    asset: AssetState
    topology: Topology
    limits: Limits
    items: Items
    demand_response: DemandResponse
    views: Views
    lane_usd: Floats  # (2, lane) token revenue and credits since the last record
    wishes: tuple[Floats, Floats]  # the WISH rows of ASICs and nodes
    site_names: tuple[str, ...]
    serving_fleet: ServingFleet | None
    meshed: Meshed | None
    inventory: Inventory
    links_left: dict[int, float]  # links that are out or derated: share of their capacity
    built_mw: Floats  # (site,) connection of each site as built so far
    planned_mw: Floats  # (site,) the same with all that is planned
    ramps: Ramps
    _calls: _Calls

    @classmethod
    def build(
        cls,
        scenario: Scenario,
        serving_fleet: ServingFleet | None = None,
        ahead: Ahead | None = None,
    ) -> "Plant":
        """Build the arrays of a scenario; the fleet begins as configured, with all machines on.

        `serving_fleet` runs the engines of serving nodes. `ahead` is called before any kernel.
        """
        names = [s.name for s in scenario.sites]
        topology = compile_topology(scenario)
        sites, site = build_sites(scenario, topology)
        limits = build_limits(topology)
        asics, asic = build_asics(scenario, names)
        nodes, node = build_nodes(scenario, names)
        rates = NodeRates(*(getattr(nodes, name) for name in NODE_RATES))
        nodes = nodes._replace(**{k: v.view() for k, v in rates._asdict().items()})
        assets, asset = build_assets(scenario, names)
        for table in (asics, nodes, sites, assets):
            _freeze(table)
        limits.path.flags.writeable = False
        at = np.concatenate([asics.site, nodes.site, assets.battery_site])
        items = Items(np.zeros(len(at)), np.zeros(len(at)), np.zeros(len(at)), at)
        prices, supply, meters = build_conditions(len(names))
        groups = (
            asics, asic, nodes, node, sites, site, prices, supply, meters, assets, asset, limits,
            items, *build_programmes(scenario), np.full((2, len(names)), np.inf),
        )  # fmt: skip
        if ahead is not None and (kind := fleet_type(groups)) is not None:
            to_come = _bound(entry, kind, asics, asic, nodes, node, site)
            earns = guarded_entry(earn, kind, site.hashed_th, 0.0, 0.0, own=1)
            bills = entry(bill, kind, floats=1)
            ahead(kind, [*to_come.values(), entry(box, groups), bills, earns])
        fleet = pack(groups)
        demand_response = DemandResponse(scenario, fleet)
        inventory = Inventory(scenario, fleet, serving_fleet)
        mesh = topology.mesh
        meshed = Meshed(mesh) if mesh is not None else None
        ramps = Ramps(scenario, fleet, meshed)
        plant = cls(
            fleet=fleet,
            asics=asics,
            asic=asic,
            nodes=nodes,
            node=node,
            rates=rates,
            sites=sites,
            site=site,
            prices=prices,
            supply=supply,
            meters=meters,
            assets=assets,
            asset=asset,
            topology=topology,
            limits=limits,
            items=items,
            demand_response=demand_response,
            lane_usd=np.zeros((2, len(serving_fleet.lanes) if serving_fleet is not None else 0)),
            views=Views(fleet, demand_response, serving_fleet, ramps, inventory),
            wishes=(asic.shares[WISH], node.shares[WISH]),
            site_names=tuple(names),
            serving_fleet=serving_fleet,
            meshed=meshed,
            ramps=ramps,
            inventory=inventory,
            links_left={},
            built_mw=np.array([s.power_limit_mw for s in scenario.sites]),
            planned_mw=np.array([planned_mw(scenario, s) for s in scenario.sites]),
            _calls=_Calls(
                **_bound(bind, fleet, asics, asic, nodes, node, site),
                earn=specialise(earn, fleet, site.hashed_th, 0.0, 0.0, own=1),
            ),
        )
        plant.connect()
        return plant

    def advance(self, t_s: int) -> None:
        """Run all machines to `t_s` under the controls in force."""
        self._calls.advance(t_s)
        if self.serving_fleet is not None:
            self._serve(t_s)

    def settle(self, t_s: int) -> Floats:
        """Settle the interval that ends at `t_s`; returns the hashes of each site (site,) [TH]."""
        if self.serving_fleet is not None:
            self._to_sites(flows.TOKEN_USD, 0, self.serving_fleet.revenue_usd())
        if self.demand_response.economic:
            self.demand_response.note(t_s)
        self._calls.settle(t_s)
        return self.site.hashed_th

    def let(self, rates: NodeRates) -> None:
        """Set the letting rates of GPU nodes from now on, and the power that follows from them."""
        for array, values in zip(self.rates, rates, strict=True):
            array[...] = values
        self.views.relet()

    def earn(self, btc: Floats, usd_per_btc: float, fee: float) -> None:
        """Book what the pool paid (site,) [BTC]; the pool keeps the share `fee`."""
        self._calls.earn(btc, usd_per_btc, fee)

    def used(self) -> tuple[Floats, Floats, Floats]:
        """Power and earnings by use since the last record.

        By firmware mode (USED_ROWS, group, mode), by way of earning (NODE_USED_ROWS, node,
        NODE_WAYS), by lane of requests (2, lane) [USD]: tokens, credits.
        """
        return self.asic.used, self.node.used, self.lane_usd

    def begin_interval(self) -> None:
        """Reset flows and uses of power after a record."""
        self.site.flow[:] = 0.0
        for array in self.used():
            array[:] = 0.0

    def gross_margin_usd(self) -> float:
        """Gross margin since the last record [USD]."""
        return self._calls.gross_margin_usd()

    def close_day(self) -> None:
        """End of a day: book the credits for missed SLOs."""
        if self.serving_fleet is not None:
            self._to_sites(flows.CREDIT_USD, 1, self.serving_fleet.credits_usd())

    def _serve(self, t_s: int) -> None:
        if self.serving_fleet is not None:
            spent_j = self.serving_fleet.advance(t_s)
            self.node.flow[flows.NODE_J] += spent_j
            np.add.at(self.site.flow[flows.TOKEN_J], self.nodes.site, spent_j)

    def _to_sites(self, row: int, kind: int, lane_usd: Floats) -> None:
        if self.serving_fleet is not None:
            self.lane_usd[kind] += lane_usd
            sites = len(self.site_names)
            self.site.flow[row] += np.bincount(self.serving_fleet.lane_site, lane_usd, sites)

    def follow(self, step_inputs: StepInputs) -> Callable[[int], None]:
        """Bind the kernel that puts a step's inputs in force; repaired machines run again."""
        return bind(look, self.fleet, step_inputs, ints=1)

    def observe(self, t_s: int, step_s: int, market: Market, live: bool = False) -> Observation:
        """What a policy may see: copies it may keep, or with `live` views that change."""
        return self.views.observe(t_s, step_s, market, live)

    def apply(self, decision: Decision, observation: Observation) -> None:
        """Record a wish and grant what ramps, pauses and limits allow.

        Raises:
            PolicyError: if the decision is invalid, with the reasons.
        """
        try:
            wish, node_wish = self.wishes
            wrong = (
                decision.asic_share.shape != wish.shape
                or decision.gpu_share.shape != node_wish.shape
                or decision.asic_share.dtype.kind not in NUMBERS
                or decision.gpu_share.dtype.kind not in NUMBERS
            )
            if not wrong:
                wish[:] = decision.asic_share
                node_wish[:] = decision.gpu_share
                wrong = self._calls.wrong_share() or (
                    not _is_plain(decision) and bool(option_problems(decision, observation))
                )
        except (AttributeError, TypeError, ValueError):
            wrong = True
        if wrong:
            what = "; ".join(decision_problems(decision, observation))
            raise PolicyError(
                f"decision at t = {observation.t_s} s: {what or 'shares of a wrong shape'}"
            )
        self._wish_assets(decision)
        self.demand_response.offer(decision.offer_w)
        t_s, step_s, usd_per_th = observation.t_s, observation.step_s, observation.usd_per_th
        if self.ramps.active:
            self.ramps.grant(t_s, step_s, usd_per_th)
        elif self.meshed is None:
            self._calls.grant(t_s, step_s, usd_per_th)
        else:
            value_wishes(self.fleet, t_s, step_s, usd_per_th)
            self.meshed.share_out(self.fleet)
            settle_grant(self.fleet, t_s, step_s, usd_per_th)
        if self.serving_fleet is not None:
            self.node.shares[GRANTED] = self.serving_fleet.switch(self.node.shares[GRANTED])
            if decision.route is not None:
                self.serving_fleet.set_route_weights(decision.route)

    def sell_reserves(
        self, policy: Policy, decision: Decision, observation: Observation, usd_per_mw_h: Floats
    ) -> None:
        """Ask the policy for next-day reserve offers and clear them on the market.

        `usd_per_mw_h` (step, programme) are the prices without the fleet.

        Raises:
            PolicyError: if the offers are invalid.
        """
        gate, enrolled = self.demand_response.market.gates[0], self.demand_response.fixed.enrolled
        offers = offers_of(policy, decision, observation, gate.begins_s, enrolled.shape)
        most_w = able_w(self.fleet, self.built_mw, self.demand_response.duration_h)
        self.demand_response.sell(offers, usd_per_mw_h, most_w, drawn_w(self.fleet))

    def set_background(self, cleared: Cleared) -> None:
        """Set loads and generation of the grid around the fleet."""
        if self.meshed is not None:
            self.meshed.set_background(cleared.load_mw, cleared.generation_mw)

    def bill(self, t_s: int, step_s: int) -> None:
        """Settle the control step that ends at `t_s` at the prices that were in force."""
        self.demand_response.bill(t_s, step_s)

    def set_links(self, left: dict[int, float]) -> list[str]:
        """Set the share left on links that are out or derated. Returns the sites without supply."""
        self.links_left.update(left)
        if self.meshed is not None:
            self.meshed.set_links(self.links_left)
        return self.connect()

    def connect(self) -> list[str]:
        """Recompute limits from links, connections and incidents. Returns sites without supply."""
        left = dict(self.links_left)
        for s, (built, planned) in enumerate(zip(self.built_mw, self.planned_mw, strict=True)):
            share = built / planned * self.inventory.connection(s) if planned > 0.0 else 0.0
            if share != 1.0:
                left[own_link(s)] = share
        capacity_w = self.topology.capacity(left)
        if self.meshed is not None:
            capacity_w[self.meshed.dead] = 0.0  # with a mesh, limits are the sites' own
            self.meshed.powerless = capacity_w <= 0.0
        make_room(self.fleet, capacity_w)
        least_w = [capacity_w[path[path >= 0]].min(initial=np.inf) for path in self.topology.path]
        self.demand_response.wire(np.array(least_w))
        return [name for name, w in zip(self.site_names, least_w, strict=True) if w <= 0.0]

    def _wish_assets(self, decision: Decision) -> None:
        """Set wishes; defaults: batteries idle, generators that are cheaper than the grid run."""
        asset, assets = self.asset, self.assets
        if len(assets.battery_site):
            asset.battery_wish_w[:] = 0.0 if decision.battery_w is None else decision.battery_w
        if len(assets.generator_site):
            wish_w = decision.generation_w
            if wish_w is None:
                asset.generator_wish_w[:] = self.views.cheap_w()
                asset.export_wish_w[:] = self.views.for_export_w()
            else:
                asset.generator_wish_w[:] = asset.export_wish_w[:] = wish_w

    def fail(self, kind: str, group: int, machine: int, t_s: int) -> bool:
        """Stop one machine of a group until it is repaired. False: it is not running anyway."""
        if kind == ASIC:
            self._calls.advance_groups(group, group + 1, t_s)
        else:
            self._calls.advance_nodes(group, group + 1, t_s)
            self._serve(t_s)
        return self.inventory.fail(kind, group, machine)

    def inventory_changed(self) -> None:
        """Update machine conditions and limits to match `inventory`."""
        self._calls.condition()
        self.connect()

    @property
    def limit_names(self) -> tuple[str, ...]:
        """Names of the numbers in `site.binding`: nested limits, then lines of a mesh."""
        lines = self.meshed.line_names if self.meshed is not None else ()
        return self.topology.limit_names + lines


def _freeze(table: NamedTuple) -> None:
    """Make constant arrays read-only, since policies see them."""
    for array in table:
        if isinstance(array, np.ndarray):
            array.flags.writeable = False


def _is_plain(decision: Decision) -> bool:
    """Whether a decision uses none of its options."""
    return (
        decision.battery_w is None
        and decision.route is None
        and decision.offer_w is None
        and decision.generation_w is None
    )


def _bound(
    make: Callable[..., Made],
    fleet: Any,
    asics: AsicGroups,
    asic: AsicState,
    nodes: NodeGroups,
    node: NodeState,
    site: SiteState,
) -> dict[str, Made]:
    """Apply `make` (`bind`, or `entry` with the box's type) to each kernel; largest first."""
    return {
        "grant": make(grant_nested, fleet, floats=3),
        "settle": make(settle, fleet, floats=1),
        "advance": make(advance, fleet, floats=1),
        "condition": make(condition, fleet),
        "advance_groups": make(advance_groups, asics, asic, ints=2, floats=1),
        "advance_nodes": make(advance_nodes, nodes, node, ints=2, floats=1),
        "wrong_share": make(wrong_share, asic.shares[WISH], node.shares[WISH]),
        "gross_margin_usd": make(gross_margin_usd, site.flow),
    }

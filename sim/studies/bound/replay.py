"""What a clairvoyant knows: the realised world, read from the simulator's own kernels.

Replays a run in which nothing is switched on and records the conditions that any policy would have
met at each step: deployed and working machines, heat, cooling, prices, limits, luck.
"""

from typing import NamedTuple

import numpy as np

from sim.engine import Engine
from sim.finance.pools import Solo
from sim.kernels import flows
from sim.kernels.arrays import BY_THE_TOKEN, NodeGroups, PricesInForce
from sim.kernels.dispatch import frontier
from sim.plant.lettings import Lettings
from sim.plant.machines import as_written, build_nodes, node_rates
from sim.policy import Decision, Observation
from sim.scenario.model import DcOpfPrice
from sim.scenario.money import Treasury
from sim.scenario.scenario import Scenario
from sim.serving_fleet import FluidServingFleet, ServingFleet, build_serving_fleet
from sim.streams import Streams
from sim.types import Bools, Floats, Ints
from sim.units import HOURS_PER_YEAR, J_PER_MWH, SECONDS_PER_DAY, TH_PER_EH
from sim.world.demand import Requests
from sim.world.world import World


class BoundError(Exception):
    """The scenario has no known bound; the message says why."""


class Off:
    """A policy that runs nothing."""

    def decide(self, observation: Observation) -> Decision:
        """Switch all machines off."""
        return Decision(
            np.zeros(observation.asic.mode_ths.shape), np.zeros(len(observation.gpu.site))
        )


class Replay(Engine):
    """A run without decisions that records what was available. Shapes: `step`, and as Plant."""

    moves_prices = False

    def __init__(self, scenario: Scenario, seed: int) -> None:
        # Nodes that serve tokens fail and are cooled like any other; their requests are counted
        # apart.
        idle = [g.model_copy(update={"state": "batch"}) for g in scenario.gpus]
        # This firm earns nothing: it must not become insolvent, and builds without a lender.
        built = {n: p.model_copy(update={"finance": "cash"}) for n, p in scenario.projects.items()}
        quiet = scenario.model_copy(
            update={
                "gpus": tuple(idle),
                "tenants": (),
                "treasury": Treasury(),
                "loans": {},
                "projects": built,
            }
        )
        super().__init__(quiet, Off(), seed)
        # Nodes are let as in the scenario, regardless of their state in this run.
        market = self.world.gpu_market
        self.lettings = Lettings(scenario, market, Streams(seed), self.recorder.event)
        self.rates = node_rates(scenario, as_written(scenario), HOURS_PER_YEAR / 12.0)
        steps, plant = scenario.horizon.steps, self.plant
        groups, nodes, sites = len(plant.asics.site), len(plant.nodes.site), len(plant.site_names)
        self.able = np.zeros((steps, groups))  # machines times heat, mean of the step
        self.begin = np.zeros((steps, groups))  # the same, maximum in the step
        self.asic_factor = np.zeros((steps, groups))
        self.nodes_able = np.zeros((steps, nodes))  # maximum in the step
        self.nodes_there = np.zeros((steps, nodes))  # deployed, mean
        self.node_w = np.zeros((steps, nodes))
        self.node_usd = np.zeros((steps, nodes))  # of an hour switched on, less operating cost
        self.credit_usd = np.zeros((steps, nodes))  # of an hour not delivered
        self.there_usd = np.zeros((steps, nodes))  # cost of an hour deployed, on or off
        self.node_factor = np.zeros((steps, nodes))
        self.room_w = np.zeros((steps, len(plant.limits.room_w)))  # mean
        self.powered = np.zeros((steps, sites))  # mean
        self.price = np.zeros((steps, sites))
        in_force = np.zeros((len(PricesInForce._fields), steps, sites))
        self.prices = PricesInForce(*in_force)  # as in a plant, but (step, site)
        self.reserve = np.zeros((steps, len(self.plant.demand_response.names)))
        self.available_w = np.zeros((steps, len(plant.assets.generator_site)))
        self.usd_per_th = np.zeros(steps)  # net of the fee, maximum in the step
        self.cut = np.zeros(steps, dtype=np.bool_)  # a policy may decide again within the step

    def look_at_world(self) -> None:
        """Record the conditions of a step, as a policy would observe them."""
        super().look_at_world()
        k, plant = self.step, self.plant
        self.begin[k] = plant.asic.running * plant.asic.heat
        self.asic_factor[k] = plant.asic.factor
        self.nodes_able[k] = plant.node.running
        self.node_factor[k] = plant.node.factor
        self.node_w[k] = self.rates.node_w
        let_usd, self.there_usd[k] = self.rates.opex_usd_per_h
        self.node_usd[k] = self.rates.usd_per_h - let_usd * self.rates.let_share
        self.credit_usd[k] = self.rates.credit_usd_per_h
        self.price[k] = plant.site.price
        for kept, now in zip(self.prices, plant.prices, strict=True):
            kept[k] = now
        self.reserve[k] = plant.demand_response.state.price
        self.available_w[k] = plant.asset.available_w

    def _let_nodes(self) -> None:
        there = self.plant.node.deployed
        self.rates = self.lettings.look(self.now_s, lambda n: bool(there[n] > 0.0)) or self.rates

    def settle(self) -> None:
        """Add up an interval at the conditions in force."""
        from_s, step_s = self.settled_s, self.scenario.horizon.step_s
        if self.now_s > from_s:
            k, plant = from_s // step_s, self.plant
            part = (self.now_s - from_s) / step_s
            self.room_w[k] += plant.limits.room_w * part
            self.powered[k] += plant.supply.powered * part
            flow, nominal_th = plant.asic.flow, plant.asics.nominal_ths * step_s
            running = flow[flows.DEPLOYED] - flow[flows.LOST_FAILURE] - flow[flows.LOST_OUTAGE]
            self.able[k] += running / nominal_th * plant.asic.heat
            self.begin[k] = np.maximum(self.begin[k], plant.asic.running * plant.asic.heat)
            self.nodes_able[k] = np.maximum(self.nodes_able[k], plant.node.running)
            self.nodes_there[k] += (
                plant.node.flow[[flows.NODE_ON_S, flows.NODE_MISSED_S]].sum(axis=0) / step_s
            )
            net = 1.0 - self.scenario.pool.fee_fraction
            usd_per_th = self.btc_per_th * self.usd_per_btc * net
            self.usd_per_th[k] = max(self.usd_per_th[k], usd_per_th)
        super().settle()

    def decide_anew(self) -> None:
        if self.now_s % self.scenario.horizon.step_s:
            self.cut[self.now_s // self.scenario.horizon.step_s] = True


class RealisedWorld(NamedTuple):
    """The realised world. Shapes: `step`, `site`, `group`, `node` …; powers at the meter [MW]."""

    replay: Replay
    nodes: NodeGroups  # as in the scenario
    hours: float  # of a step
    hull_ths: Floats  # (group, rank) hashrate a mode adds to the previous one [TH/s]
    hull_w: Floats  # (group, rank) power it adds [W]
    usd_per_th: Floats  # (step,) 0 where pay depends on luck
    lump_usd: Floats  # (step,) upper limit of earnings from pool luck and tokens
    fixed_mw: Floats  # (step, site) overhead
    loose_mw: Floats  # (step, site) optional draw of nodes that serve tokens
    shed_mw: Floats  # (step, site) overhead that a meshed grid may or may not carry
    machines_mw: Floats  # (step, site) highest draw of the machines in the step
    failing_mw: Floats  # (step, site) mean part of that lost to failures
    room_mw: Floats  # (step, limit)
    stored_mwh: Floats  # (battery,) at the beginning

    @property
    def world(self) -> World:
        """The world's prices, calls and peaks."""
        return self.replay.world

    @property
    def cut(self) -> Bools:
        """Steps (step,) within which a policy decides again."""
        return self.replay.cut


def realised(scenario: Scenario, seed: int) -> RealisedWorld:
    """The realised world of a scenario and seed.

    Raises:
        BoundError: if prices that depend on the fleet's load hold for longer than a control step.
    """
    step_s = scenario.horizon.step_s
    for zone, price in scenario.prices.zones.items():
        if isinstance(price, DcOpfPrice) and price.update_s > step_s:
            raise BoundError(
                f"prices.zones.{zone}.update_s = {price.update_s}: a price that stands for "
                "several steps is that of the first one's load, and the others cost what it says; "
                f"allowed for a bound: at most horizon.step_s = {step_s}"
            )
    replay = Replay(scenario, seed)
    stored_mwh = replay.plant.asset.stored_j / J_PER_MWH
    replay.run()
    plant = replay.plant
    nodes, _ = build_nodes(scenario, list(plant.site_names))
    hulls = frontier(plant.asics.mode_ths, plant.asics.mode_w)
    sites, count = plant.sites, len(plant.site_names)
    fixed_mw = sites.overhead_w / (1.0 - sites.loss) * replay.powered / 1e6
    serving = nodes.way == BY_THE_TOKEN
    drawn_mw = replay.nodes_able * replay.node_w * replay.node_factor / 1e6
    loose_mw = _by_site(drawn_mw * serving, nodes.site, count)
    shed_mw = np.zeros_like(fixed_mw)
    if plant.meshed is not None:  # the policy decides whose overhead the lines carry
        shed_mw, fixed_mw = shed_mw + sites.overhead_w / 1e6, shed_mw
    most_w = plant.asics.mode_w.max(axis=1, initial=0.0)
    asic_mw = replay.begin * most_w * replay.asic_factor / 1e6
    less_mw = (replay.begin - replay.able) * most_w * replay.asic_factor / 1e6
    usd_per_th, lump_usd = _luck(scenario, replay)
    return RealisedWorld(
        replay=replay,
        nodes=nodes,
        hours=scenario.horizon.step_s / 3600.0,
        hull_ths=hulls.ths,
        hull_w=hulls.w,
        usd_per_th=usd_per_th,
        lump_usd=lump_usd + _tokens_usd(scenario, replay.world, seed),
        fixed_mw=fixed_mw,
        loose_mw=loose_mw,
        shed_mw=shed_mw,
        machines_mw=_by_site(asic_mw, plant.asics.site, count)
        + _by_site(drawn_mw, nodes.site, count),
        failing_mw=_by_site(np.maximum(less_mw, 0.0), plant.asics.site, count),
        room_mw=replay.room_w / 1e6,
        stored_mwh=stored_mwh,
    )


def _by_site(values: Floats, site: Ints, count: int) -> Floats:
    """Sums of `values` (step, thing) by site (step, site)."""
    found = np.zeros((len(values), count))
    np.add.at(found.T, site, values.T)
    return found


def _luck(scenario: Scenario, replay: Replay) -> tuple[Floats, Floats]:
    """Earnings of a tera-hash (step,) and the most that luck can pay (step,) [USD].

    Solo and PPLNS pay by blocks, not by hashes: all blocks that the whole fleet would have found at
    full hashrate; for PPLNS, times the largest share of a window that it could have had so far.
    """
    steps = scenario.horizon.steps
    if scenario.pool.model == "fpps":
        return replay.usd_per_th, np.zeros(steps)
    asics, step_s = replay.plant.asics, scenario.horizon.step_s
    most_ths = (replay.begin * asics.mode_ths.max(axis=1, initial=0.0)).sum(axis=1)
    others_ths = scenario.pool.hashrate_ehs * TH_PER_EH if scenario.pool.model == "pplns" else 0.0
    share = np.maximum.accumulate(most_ths / np.maximum(most_ths + others_ths, 1e-300))
    solo, usd = Solo(replay.world.chain), np.zeros(steps)
    for k in range(steps):
        hashed_th = np.array([(most_ths[k] + others_ths) * step_s])
        btc = solo.pay(hashed_th, k * step_s, (k + 1) * step_s, 0.0).sum()
        usd[k] = btc * replay.world.usd_per_btc[k]
    return np.zeros(steps), usd * share * (1.0 - scenario.pool.fee_fraction)


def _tokens_usd(scenario: Scenario, quiet: World, seed: int) -> Floats:
    """Payment for all requests (step,) if each were served at once [USD]."""
    horizon = scenario.horizon
    world = quiet._replace(requests=Requests(scenario, Streams(seed)))
    usd = np.zeros(horizon.steps)
    serving_fleet = build_serving_fleet(scenario, world)
    if serving_fleet is None or not serving_fleet.lanes:
        return usd
    served = np.unique(serving_fleet.lane_tenant)
    days = -(-horizon.seconds // SECONDS_PER_DAY)
    course = serving_fleet.course if serving_fleet.course is not None else np.ones((days, 1))
    most = np.maximum.accumulate(course[::-1])[::-1]  # who waits may pay a later price
    most = np.broadcast_to(most, (days, len(scenario.tenants)))
    price = np.zeros((len(scenario.tenants), 2))
    price[serving_fleet.lane_tenant] = serving_fleet.lane_usd
    if isinstance(serving_fleet, FluidServingFleet):
        serving_fleet.measure()
        per_request = _dearest(serving_fleet, len(scenario.tenants))
        for k in range(horizon.steps):
            from_s = k * horizon.step_s
            sent = world.requests.counts(from_s, from_s + horizon.step_s)
            usd[k] = sent @ (per_request * most[from_s // SECONDS_PER_DAY])
        usd[-1] += price.sum() * most.max()  # tokens are integers
        return usd
    for number in range(days):
        day = world.requests.day(number)
        paid = day.prompt * price[day.tenant, 0] + day.output * price[day.tenant, 1]
        paid = paid * most[number, day.tenant]
        step = np.minimum(day.sent_s // horizon.step_s, horizon.steps - 1).astype(np.int64)
        usd += np.bincount(step, paid * np.isin(day.tenant, served), horizon.steps)
    return usd


def _dearest(serving_fleet: ServingFleet, tenants: int) -> Floats:
    """Highest mean payment of a request (tenant,), over all pools and their loads [USD]."""
    assert isinstance(serving_fleet, FluidServingFleet)
    usd = np.einsum("lpr,lr->lp", serving_fleet.means[:, :, :2], serving_fleet.lane_usd).max(axis=1)
    most = np.zeros(tenants)
    np.maximum.at(most, serving_fleet.lane_tenant, usd)
    return most


def contract_usd(known: RealisedWorld) -> Floats:
    """Settlement of positions at the zone's price (step, site) [USD]; no decision changes it."""
    prices, seconds = known.replay.prices, known.hours * 3600.0
    at_zone = prices.position_w * prices.zone_usd_per_mwh / J_PER_MWH
    return np.where(prices.position_w > 0.0, (prices.position_usd_per_s - at_zone) * seconds, 0.0)

"""The clock of a run: simpy decides when, kernels compute the flows in between."""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import numpy as np
import simpy
from simpy.events import URGENT

from sim.engine.before import play_back
from sim.engine.clearing import Clearing
from sim.engine.failures import Workshop
from sim.engine.processes import processes
from sim.engine.restarts import Restarts
from sim.engine.running import set_deployed
from sim.finance.contracts import EnergyTerms
from sim.finance.firm import Firm
from sim.finance.pools import build_pool
from sim.kernels.ahead import Task, compile_ahead
from sim.kernels.jit import Entry, entry
from sim.kernels.site import look
from sim.plant import Plant
from sim.plant.inventory import ASIC
from sim.plant.lettings import Lettings
from sim.policy import Decision, Market, Observation, Policy
from sim.results.recorder import Recorder
from sim.results.serving import ServingRecord
from sim.scenario.scenario import Scenario
from sim.serving_fleet import build_serving_fleet
from sim.streams import Streams
from sim.types import OnProgress
from sim.units import J_PER_MWH, SECONDS_PER_DAY, TH_PER_EH, TH_PER_PH
from sim.world.difficulty import btc_per_th
from sim.world.market import build_market
from sim.world.outlook import Outlook
from sim.world.world import World, build_world

AFTER_EVENTS: Final[Any] = 2  # priority of a control step: other events go first
DECIDE: Final = 4  # index of the phase in which the policy is asked


class Engine:
    """One run. `phases` is the order of a control step, always the same.

    `run` goes to the horizon. `start`, then `until_decision` and `proceed` in turn, do the same one
    control step at a time. With `live`, observations are views that change with the plant, for a
    policy that keeps none. Kernels that were never compiled are compiled before the first step, and
    `compiling` is called with how many of how many are done; so is `measuring`, for engines whose
    throughput was never measured. `rehearsal` compiles what the policy calls.
    """

    moves_prices: ClassVar[bool] = True  # its own load moves the price, under `dc-opf`

    def __init__(
        self,
        scenario: Scenario,
        policy: Policy,
        seed: int = 1,
        keep_requests: bool = False,
        live: bool = False,
        compiling: OnProgress | None = None,
        measuring: OnProgress | None = None,
        rehearsal: Task | None = None,
    ) -> None:
        self.scenario = scenario
        self.live = live
        self.policy = policy
        streams = Streams(seed)
        # The world: all that does not depend on decisions.
        self.world: World = build_world(scenario, streams)
        self.terms = EnergyTerms(scenario, self.world)
        self.outlook = Outlook(scenario, self.world.day_ahead_usd_per_mwh)
        # The plant; its kernels are compiled before its first step.
        self.serving_fleet = build_serving_fleet(scenario, self.world, keep_requests)

        def ahead(fleet: Any, entries: list[Entry]) -> None:
            serving = self.serving_fleet.entries() if self.serving_fleet is not None else []
            looks = entry(look, fleet, self.terms.step_inputs, ints=1)
            others = [rehearsal] if rehearsal is not None else []
            others += self.serving_fleet.rehearsals() if self.serving_fleet is not None else []
            if compiling is not None:
                compile_ahead([*serving, *entries, looks], compiling, others)

        self.plant = Plant.build(scenario, self.serving_fleet, ahead if compiling else None)
        if self.serving_fleet is not None:
            self.serving_fleet.measure(measuring)
        self.look_at_step = self.plant.follow(self.terms.step_inputs)
        # The mining pool, the recorder, lettings and the firm's books.
        self.pool = build_pool(scenario.pool, self.world.chain)
        self.recorder = Recorder(
            scenario, ServingRecord(self.serving_fleet) if self.serving_fleet is not None else None
        )
        self.recorder.limit_names = self.plant.limit_names
        self.lettings = Lettings(scenario, self.world.gpu_market, streams, self.recorder.event)
        self.recorder.lets.paths = self.world.gpu_market
        self.firm = Firm(
            scenario, self.world, self.plant, self.recorder.event, self.recorder.meters
        )
        self.pools_down = 0  # outages of the pool in force
        for kind, state in self.plant.inventory.states.items():
            self.recorder.count_machines(0, kind, int(state.deployed.sum()))
        market = build_market(scenario, self.plant.topology)
        self.clearing = (
            Clearing(scenario, market, policy, self.plant, self.terms, self.moves_prices)
            if market
            else None
        )
        # The clock, and the effects of events before the run.
        self.env = simpy.Environment()
        self.on_their_way = play_back(self)
        self.firm.begin()
        self.workshop = Workshop(self)
        self.restarts = Restarts(self, self.workshop)
        self.phases: tuple[Callable[[], None], ...] = (
            self.advance,
            self.settle,
            self.look_at_world,
            self.observe,
            self.decide,
            self.grant,
            self.record,
        )
        self.step = 0
        self.step_s = scenario.horizon.step_s
        self.steps = scenario.horizon.steps
        self.pool_fee = scenario.pool.fee_fraction
        self.settled_s = 0
        self._recorded_usd = 0.0  # gross margin of the recorded intervals
        for t_s, tenant, left in self.world.requests.departures():
            self.recorder.event(t_s, "customer leaves", "", tenant, f"{left} are left")
        self.stored_at_start_j = float(self.plant.asset.stored_j.sum())
        self.observation: Observation
        self.decision: Decision
        self._tick: simpy.Event
        self._look_at_btc_price()
        self.look_at_chain()

    @property
    def now_s(self) -> int:
        """Current time [run seconds], an integer."""
        return int(self.env.now)

    @property
    def gross_margin_usd(self) -> float:
        """Gross margin since the start, up to the last settlement [USD]."""
        charged_usd = self.firm.hosting.charged_usd + self.firm.offtakes.credited_usd
        return self._recorded_usd + self.plant.gross_margin_usd() - charged_usd

    @property
    def usd_per_btc_now(self) -> float:
        """Price at this instant [USD/BTC]: `usd_per_btc` is that of the interval that ends."""
        return self.world.usd_per_btc.item(self.now_s // self.step_s)

    def run(self, progress: Callable[[int], None] | None = None) -> Recorder:
        """Run to the horizon; `progress` is called once a simulated day with the day's number.

        Raises:
            PolicyError: if a decision is invalid.
        """
        self.start()
        while self.until_decision():
            self.proceed()
            if progress is not None and self.now_s % SECONDS_PER_DAY == 0:
                progress(self.now_s // SECONDS_PER_DAY)
        return self.recorder

    def start(self) -> None:
        """Start the processes that run by themselves; the first control step is due at once."""
        for process in processes(self, self.workshop, self.on_their_way):
            self.env.process(process)
        self._schedule(URGENT, 0)

    def until_decision(self) -> bool:
        """Advance to the next control step and observe. False: the horizon is reached."""
        tick, step = self._tick, self.env.step
        while tick.callbacks is not None:
            step()
        if self.step == self.steps:
            self.settle_now()
            self._look_at_btc_price()  # books are closed at the price of this instant
            self.look_at_chain()
            self.record()
            return False
        for phase in self.phases[:DECIDE]:
            phase()
        return True

    def proceed(self) -> None:
        """Finish the control step: the decision, its grant, the record.

        Raises:
            PolicyError: if the decision is invalid.
        """
        for phase in self.phases[DECIDE:]:
            phase()
        self.step += 1
        self._schedule(AFTER_EVENTS, self.step_s)

    def _schedule(self, priority: Any, delay_s: int) -> None:
        """Schedule the next control step."""
        tick = self._tick = simpy.Event(self.env)
        tick._ok, tick._value = True, None
        self.env.schedule(tick, priority, delay_s)

    # The seven phases, in order.

    def advance(self) -> None:
        """Run the kernels from the last instant to now under the controls in force."""
        self.plant.advance(self.now_s)

    def settle(self) -> None:
        """Settle the interval's energy, revenue and bills at the prices then in force."""
        now_s, from_s = self.now_s, self.settled_s
        if now_s == from_s:
            return
        self.settled_s = now_s
        hashed_th = self.plant.settle(now_s)
        if self.pools_down:
            hashed_th = np.zeros_like(hashed_th)
        self.restarts.settle(now_s - from_s)
        btc = self.pool.pay(hashed_th, from_s, now_s, self.btc_per_th)
        self.plant.earn(btc, self.usd_per_btc, self.pool_fee)
        if now_s % self.step_s == 0:
            self.plant.bill(now_s, self.step_s)
            self.firm.bills.close_step(now_s // self.step_s, self.plant.site, self.plant.meters)

    def look_at_world(self) -> None:
        """Update prices, temperatures and the bitcoin price to now."""
        if self.clearing is not None:
            self.clearing.look(self.now_s, self.step)
        self._take_step_inputs()
        self.plant.demand_response.commit(self.now_s)
        self._let_nodes()
        self._look_at_btc_price()
        if self.now_s % SECONDS_PER_DAY == 0:
            self.look_at_chain()  # fees change daily

    def _take_step_inputs(self) -> None:
        self.look_at_step(self.step)
        for site, usd_per_mwh in self.firm.bills.tiers.prices(self.step):
            self.plant.site.price[site] = usd_per_mwh

    def observe(self) -> None:
        """Build what the policy may see; the decision holds until the next control step."""
        now_s, step_s, peaks = self.now_s, self.step_s, self.world.peaks
        net = self.gross_hashprice_btc * (1.0 - self.pool_fee)
        if self.pools_down:
            net = 0.0
        self.observation = self.plant.observe(
            now_s,
            step_s - now_s % step_s,
            Market(
                self.usd_per_btc,
                self.difficulty,
                net * self.usd_per_btc,
                float(peaks.risk[now_s // step_s]) if peaks is not None else 0.0,
                self.firm.bills.peak_usd_per_mw,
                self.outlook.day_ahead_next(self.now_s),
                self.firm.bills.demand.view(now_s),
            ),
            self.live,
        )
        if self.clearing is not None:
            self.observation = self.clearing.bid(self.observation, self.step)

    def decide(self) -> None:
        """Ask the policy for its decision, and for offers at gates that close in this step."""
        self.decision = self.policy.decide(self.observation)
        prices = self.terms.step_inputs.reserve_usd_per_mw_h
        market = self.plant.demand_response.market
        while self.now_s >= market.due_s:  # gates that close in this step
            self.plant.sell_reserves(self.policy, self.decision, self.observation, prices)

    def grant(self) -> None:
        """Cut the wish to what the limits allow; both are recorded.

        Some of the machines that this switches on may fail at once.
        """
        self.plant.apply(self.decision, self.observation)
        market = self.clearing if self.now_s % self.step_s == 0 else None
        if market is not None and market.close(self.now_s, self.step):
            self._take_step_inputs()
        self.restarts.look()
        self.recorder.bound(self.observation.t_s // self.step_s, self.plant.site.binding)

    def record(self) -> None:
        """Record the flows when a recording interval ends; close the books when a day ends."""
        now_s = self.now_s
        if now_s == 0 or now_s % self.recorder.record_s:
            return
        day_ends = now_s % SECONDS_PER_DAY == 0 or self.step == self.steps
        if day_ends:
            self.plant.close_day()
        self._recorded_usd += self.plant.gross_margin_usd()
        flow = self.plant.site.flow
        self.firm.interval(flow)
        self.recorder.interval(now_s, flow, self.plant.used())
        self.plant.begin_interval()
        if day_ends:
            goes_on = self.firm.close_day(now_s, self.usd_per_btc)
            self._let_go()
            if not goes_on:
                self._stop()
        chain = self.world.chain
        self.recorder.fleet(
            height=chain.height_at(now_s),
            difficulty=self.difficulty,
            network_ehs=float(chain.network_ths[(now_s - 1) // SECONDS_PER_DAY]) / TH_PER_EH,
            hashprice_usd_per_ph_day=self.gross_hashprice_btc * self.usd_per_btc,
            usd_per_btc=self.usd_per_btc,
            stored_mwh=float(self.plant.asset.stored_j.sum()) / J_PER_MWH,
            restart_lost_usd=self.restarts.take_usd(),
            **self.firm.position(self.usd_per_btc)._asdict(),
        )

    # What the firm does when its books close.

    def _let_go(self) -> None:
        """Remove the ASICs that the firm has sold."""
        sold = self.firm.funding.sold
        if not sold:
            return
        for group, machines in sold:
            set_deployed(self, ASIC, group, self.plant.inventory.deployed(ASIC, group) - machines)
        sold.clear()
        self.plant.inventory_changed()
        if self.step < self.steps:
            self._ask()

    def _stop(self) -> None:
        """Shut every site for good and sell no more reserves: the firm is insolvent."""
        if self.step == self.steps:
            return
        self.plant.demand_response.market.gates.clear()
        for site in range(len(self.plant.site_names)):
            self.plant.inventory.close(site, dark=True)
        self.plant.inventory_changed()
        self._ask()

    # Called by the processes.

    def settle_now(self) -> None:
        """Bring machines, meters and bills to this instant under the controls in force."""
        self.advance()
        self.settle()

    def between(self, act: Callable[[], None]) -> None:
        """Settle up to now, change the world, and decide anew if no control step does so anyway."""
        self.settle_now()
        act()
        self.decide_anew()

    def decide_anew(self) -> None:
        """Ask the policy again, if no control step does so at this instant."""
        if self.now_s % self.step_s:
            self._ask()

    def _ask(self) -> None:
        self.observe()
        self.decide()
        self.grant()

    # Helpers of the phases.

    def _let_nodes(self) -> None:
        """Update tenancies and daily prices of GPU nodes."""
        deployed = self.plant.node.deployed
        rates = self.lettings.look(self.now_s, lambda n: bool(deployed[n] > 0.0))
        if rates is not None:
            self.plant.let(rates)
        if rates is not None or not self.now_s:
            self.recorder.lets.keep(self.now_s, self.lettings.let)
        if self.serving_fleet is not None:
            self.serving_fleet.price_day(self.now_s // SECONDS_PER_DAY)

    def _look_at_btc_price(self) -> None:
        self.usd_per_btc = self.usd_per_btc_now

    def look_at_chain(self) -> None:
        """Update difficulty, the pay per hash, and the pay per hash that a policy assumes."""
        chain, now_s = self.world.chain, self.now_s
        self.difficulty = float(chain.epoch_difficulty[chain.epoch_at(now_s)])
        self.btc_per_th = btc_per_th(self.difficulty, chain.reward_btc(now_s))  # paid
        seen = btc_per_th(self.difficulty, chain.known_reward_btc(now_s))
        self.gross_hashprice_btc = seen * TH_PER_PH * SECONDS_PER_DAY

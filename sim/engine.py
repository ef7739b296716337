"""The clock: simpy decides when, kernels compute what flowed in between."""

from collections.abc import Callable, Generator
from itertools import groupby
from typing import Any, Final

import numpy as np
import simpy

from sim.finance.books import Books
from sim.finance.contracts import EnergyTerms
from sim.finance.months import MonthlyBills
from sim.finance.pools import build_pool
from sim.inference import build_inference
from sim.kernels.arrays import BTC, POOL_FEE_USD
from sim.plant import Plant
from sim.policy import Decision, Market, Observation, Policy
from sim.results.recorder import Recorder
from sim.results.serving import ServingRecord
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY, SECONDS_PER_MINUTE, TH_PER_EH, TH_PER_PH
from sim.world.calls import ProgrammeCall
from sim.world.difficulty import btc_per_th
from sim.world.market import build_market
from sim.world.outages import MachineFailures, in_order
from sim.world.outlook import Outlook
from sim.world.world import World, build_world

AFTER_EVENTS: Final[Any] = (
    2  # simpy priority of the control step: whatever else happens at t goes first
)
Process = Generator[Any, Any, None]


class Engine:
    """One run. `phases` is the order of a control step, always the same."""

    def __init__(
        self, scenario: Scenario, policy: Policy, seed: int = 1, keep_requests: bool = False
    ) -> None:
        self.scenario = scenario
        self.policy = policy
        streams = Streams(seed)
        self.world: World = build_world(scenario, streams)
        self.terms = EnergyTerms(scenario, self.world)
        self.outlook = Outlook(scenario, self.world.day_ahead_usd_per_mwh)
        self.inference = build_inference(scenario, self.world, keep_requests)
        self.plant = Plant.build(scenario, self.inference)
        self.pool = build_pool(scenario.pool, self.world.chain)
        self.books = Books(scenario)
        self.months = MonthlyBills(scenario, self.world.peaks)
        self.months.open(self.books.ledger)
        self.recorder = Recorder(
            scenario, ServingRecord(self.inference) if self.inference is not None else None
        )
        self.recorder.limit_names = self.plant.limit_names
        self.market = build_market(scenario, self.plant.topology)
        self.env = simpy.Environment()
        self.technicians = [
            simpy.Resource(self.env, capacity=s.technicians) if s.technicians else None
            for s in scenario.sites
        ]
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
        self.per_btc = np.zeros((4, 1))
        self.settled_s = 0
        self.observation: Observation
        self.decision: Decision
        self._look_at_btc_price()
        self._look_at_chain()

    @property
    def now_s(self) -> int:
        """Run seconds; the clock is an integer."""
        return int(self.env.now)

    def run(self, progress: Callable[[int], None] | None = None) -> Recorder:
        """Run to the horizon; `progress` is called once a simulated day with the day's number.

        Raises:
            PolicyError: if a decision makes no sense.
        """
        env = self.env
        env.process(self._chain_changes())
        env.process(self._link_changes())
        for call in self.world.calls:
            env.process(self._call(call))
        for kind, failures in (
            ("asic", self.world.asic_failures),
            ("gpu", self.world.gpu_failures),
        ):
            env.process(self._failures(kind, list(failures)))
        control = env.process(self._control(progress))
        env.run(until=control)
        return self.recorder

    # The seven phases, in order.

    def advance(self) -> None:
        """Kernels run from the last instant to now under the controls in force."""
        self.plant.advance(self.now_s)

    def settle(self) -> None:
        """The interval's energy, revenue and bills at the prices then in force."""
        now_s, from_s = self.now_s, self.settled_s
        if now_s == from_s:
            return
        self.settled_s = now_s
        hashed_th = self.plant.settle(now_s)
        btc = self.pool.pay(hashed_th, from_s, now_s, self.btc_per_th)
        self.plant.site.flow[BTC : POOL_FEE_USD + 1] += self.per_btc * btc
        if now_s % self.scenario.horizon.step_s == 0:
            self.plant.bill(now_s, self.scenario.horizon.step_s)
            self.months.close_step(now_s // self.scenario.horizon.step_s, self.plant.site)

    def look_at_world(self) -> None:
        """Prices, temperatures and the bitcoin price of now."""
        if self.market is not None:
            self._clear_market()
        self.plant.condition(self.terms.at(self.step))
        self._look_at_btc_price()
        if self.now_s % SECONDS_PER_DAY == 0:
            self._look_at_chain()  # fees change by the day

    def observe(self) -> None:
        """What the policy may see; the decision holds until the next control step."""
        step_s = self.scenario.horizon.step_s
        net = self.gross_hashprice_btc * (1.0 - self.scenario.pool.fee_fraction)
        peaks = self.world.peaks
        self.observation = self.plant.observe(
            self.now_s,
            step_s - self.now_s % step_s,
            Market(
                self.usd_per_btc,
                self.difficulty,
                net * self.usd_per_btc,
                float(peaks.risk[self.now_s // step_s]) if peaks is not None else 0.0,
                self.months.peak_usd_per_mw,
                self.outlook.day_ahead_next(self.now_s),
                self.outlook.demand_usd_per_mw,
                self.outlook.month_left_s(self.now_s),
            ),
        )

    def decide(self) -> None:
        """The policy's wish."""
        self.decision = self.policy.decide(self.observation)

    def grant(self) -> None:
        """The wish cut to what the limits allow; both are recorded."""
        self.plant.apply(self.decision, self.observation)
        step = self.now_s // self.scenario.horizon.step_s
        self.recorder.bound(step, self.plant.site.binding)

    def record(self) -> None:
        """At the end of a recording interval its flows are kept; at the end of a day, the books."""
        horizon = self.scenario.horizon
        if self.now_s == 0 or self.now_s % horizon.record_s:
            return
        if self.now_s % SECONDS_PER_DAY == 0 or self.step == horizon.steps:
            self.plant.close_day()
        self.recorder.interval(self.now_s, self.plant.site.flow)
        if self.now_s % SECONDS_PER_DAY == 0 or self.step == horizon.steps:
            flow = self.recorder.day_flow()
            bill = self.months.transmission(self.now_s)
            self.books.close_day(self.now_s, flow, self.usd_per_btc, bill)
        chain = self.world.chain
        self.recorder.fleet(
            height=chain.height_at(self.now_s),
            difficulty=self.difficulty,
            network_ehs=float(chain.network_ths[(self.now_s - 1) // SECONDS_PER_DAY]) / TH_PER_EH,
            hashprice_usd_per_ph_day=self.gross_hashprice_btc * self.usd_per_btc,
            usd_per_btc=self.usd_per_btc,
            cash_usd=self.books.ledger.balance("assets:cash", "USD"),
            btc_held=self.books.ledger.balance("assets:btc", "BTC"),
        )

    # Processes.

    def _control(self, progress: Callable[[int], None] | None) -> Process:
        horizon = self.scenario.horizon
        while True:
            if self.step == horizon.steps:
                self.advance()
                self.settle()
                self.record()
                return
            for phase in self.phases:
                phase()
            if progress is not None and self.now_s % SECONDS_PER_DAY == 0:
                progress(self.now_s // SECONDS_PER_DAY)
            self.step += 1
            tick = self.env.event()
            tick._ok, tick._value = True, None
            self.env.schedule(tick, AFTER_EVENTS, horizon.step_s)
            yield tick

    def _chain_changes(self) -> Process:
        """Retargets and halvings cut the interval: each part is paid at its own difficulty."""
        chain = self.world.chain
        for t_s, kind in chain.changes_s():
            if t_s >= self.scenario.horizon.seconds:
                return
            yield self.env.timeout(t_s - self.now_s)
            self.advance()
            self.settle()
            before = self.difficulty
            self._look_at_chain()
            height = chain.height_at(self.now_s) + 1
            if kind == "retarget":
                change = self.difficulty / before - 1.0
                detail = f"height {height}: difficulty {self.difficulty:.6g} ({change:+.2%})"
            else:
                detail = (
                    f"height {height}: subsidy {chain.reward_btc(self.now_s):.6g} BTC with fees"
                )
            self.recorder.event(self.now_s, kind, "", "network", detail)

    def _link_changes(self) -> Process:
        """Links that go out or come back: limits anew, and a decision under them."""
        left: dict[int, float] = {}
        for t_s, changes in groupby(self.world.link_changes, key=lambda c: c.t_s):
            if t_s >= self.scenario.horizon.seconds:
                return
            yield self.env.timeout(t_s - self.now_s)
            for change in changes:
                left[change.link] = change.left
                name = self.plant.topology.link_names[change.link]
                kind = "link back" if change.left >= 1.0 else "link out"
                detail = f"{change.left:.0%} of its capacity"
                self.recorder.event(t_s, kind, "", name, detail)
            self._between(lambda: self._set_links(left))

    def _set_links(self, left: dict[int, float]) -> None:
        dark = self.plant.set_links(left)
        if self.market is not None:
            self.market.set_links(left)
        for name in dark:
            self.recorder.event(self.now_s, "site without supply", name, "grid", "a link is out")

    def _call(self, call: ProgrammeCall) -> Process:
        """A programme calls: notice, response, end; each asks for a new decision."""
        desk, name = self.plant.desk, self.plant.desk.names[call.programme]
        yield self.env.timeout(call.notice_s)
        self.advance()
        self.settle()
        owed_mw = desk.announce(call.programme)
        minutes = (call.start_s - call.notice_s) / SECONDS_PER_MINUTE
        self.recorder.event(
            self.now_s, "call", "", name, f"{owed_mw:.3f} MW owed in {minutes:g} minutes"
        )
        self._decide_anew()
        yield self.env.timeout(call.start_s - self.now_s)
        self._between(lambda: desk.begin(call.programme))
        self.recorder.event(self.now_s, "response due", "", name, f"{owed_mw:.3f} MW")
        yield self.env.timeout(min(call.end_s, self.scenario.horizon.seconds) - self.now_s)
        self.advance()
        self.settle()
        outcome = desk.end(call.programme)
        detail = (
            f"{outcome.delivered_mwh:.3f} of {outcome.owed_mwh:.3f} MWh delivered, "
            f"penalty {outcome.penalty_usd:,.2f} USD"
        )
        self.recorder.event(self.now_s, "call over", "", name, detail)
        self._decide_anew()

    def _between(self, change: Callable[[], None]) -> None:
        """Settle what was, change the world, and decide anew if no control step does so anyway."""
        self.advance()
        self.settle()
        change()
        self._decide_anew()

    def _decide_anew(self) -> None:
        if self.now_s % self.scenario.horizon.step_s:
            self.observe()
            self.decide()
            self.grant()

    def _failures(self, kind: str, groups: list[MachineFailures]) -> Process:
        down: list[set[int]] = [set() for _ in groups]
        for t_s, group, machine, spare_s, repair_s in in_order(
            groups, self.scenario.horizon.seconds
        ):
            if machine in down[group]:
                continue
            if t_s > self.env.now:
                yield self.env.timeout(t_s - self.env.now)
            down[group].add(machine)
            self.plant.fail(kind, group, machine, t_s)
            self.recorder.failed(t_s, kind, group, machine)
            job = _Repair(self, kind, group, machine, repair_s, down[group])
            if spare_s:
                self.env.timeout(spare_s).callbacks.append(job.part_is_here)
            else:
                job.part_is_here(None)

    # Helpers of the phases.

    def _clear_market(self) -> None:
        """The power flow under the fleet's load of the moment, where it is due."""
        assert self.market is not None
        cleared = self.market.clear(self.now_s, self.step, self.plant.site.granted_w)
        if cleared is not None:
            self.plant.set_background(cleared)
        self.terms.learn(self.step, self.market.lmp_usd_per_mwh)

    def _look_at_btc_price(self) -> None:
        """Also what a bitcoin adds to the rows BTC, BTC_USD, POOL_FEE_BTC, POOL_FEE_USD."""
        usd = self.usd_per_btc = float(self.world.usd_per_btc[self.step])
        fee = self.scenario.pool.fee_fraction
        self.per_btc[:, 0] = (1.0, usd, fee, fee * usd)

    def _look_at_chain(self) -> None:
        chain, now_s = self.world.chain, self.now_s
        self.difficulty = float(chain.epoch_difficulty[chain.epoch_at(now_s)])
        self.btc_per_th = btc_per_th(self.difficulty, chain.reward_btc(now_s))
        self.gross_hashprice_btc = self.btc_per_th * TH_PER_PH * SECONDS_PER_DAY


class _Repair:
    """A failed machine waits for its part, then for a technician of its site, and is repaired.

    Callbacks instead of a process: a third of the time, and there are tens of thousands a year.
    """

    __slots__ = ("down", "engine", "group", "kind", "machine", "repair_s", "turn")

    def __init__(
        self, engine: Engine, kind: str, group: int, machine: int, repair_s: int, down: set[int]
    ) -> None:
        self.engine = engine
        self.kind = kind
        self.group = group
        self.machine = machine
        self.repair_s = repair_s
        self.down = down
        self.turn: Any = None

    def part_is_here(self, _: Any) -> None:
        """Ask for a technician; a site without any repairs nothing."""
        engine = self.engine
        sites = engine.plant.asics.site if self.kind == "asic" else engine.plant.nodes.site
        technicians = engine.technicians[sites[self.group]]
        if technicians is not None:
            self.turn = technicians.request()
            self.turn.callbacks.append(self.begin)

    def begin(self, _: Any) -> None:
        """A technician is here."""
        self.engine.env.timeout(self.repair_s).callbacks.append(self.done)

    def done(self, _: Any) -> None:
        """The machine is healthy and runs from the next control step on."""
        self.turn.resource.release(self.turn)
        self.down.discard(self.machine)
        self.engine.plant.repair(self.kind, self.group, self.machine)
        self.engine.recorder.repaired(self.engine.now_s, self.kind, self.group, self.machine)

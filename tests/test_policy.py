"""The contract of a policy, what `check_policy` finds, and the policies themselves."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from time import time as now_s
from typing import Any

import numpy as np
import pytest

import sim
from sim.example_fleets import FLEETS, example, trying
from sim.kernels.arrays import BY_THE_HOUR, BY_THE_TOKEN, RESERVED
from sim.policies import BUILTIN
from sim.policy import (
    CONTRACTED,
    Decision,
    Observation,
    load_policy,
)
from sim.scenario import Scenario
from sim.types import Floats


class Cheap:
    """The fifteen lines of the README: mine where energy is cheaper than hashes are worth."""

    def decide(self, observation: Observation) -> Decision:
        asic = observation.asic
        watts = (asic.mode_w * asic.default_share).sum(axis=1)
        ths = (asic.mode_ths * asic.default_share).sum(axis=1)
        worth = ths * observation.usd_per_th * 3.6e9 / watts  # USD/MWh at the machine
        cost = observation.price_usd_per_mwh[asic.site] * asic.meter_factor
        on = worth > cost
        return Decision(asic.default_share * on[:, None], np.ones_like(observation.gpu.available))


def test_what_policies_read_by_name_stands_in_the_columns_that_they_always_had() -> None:
    nodes, energy = example(0, "five sites").gpu, example(0).energy
    assert nodes.contracted.tolist() == [1.0, 0.5, 0.0]
    assert nodes.way.tolist() == [RESERVED, BY_THE_TOKEN, BY_THE_HOUR]
    assert CONTRACTED[nodes.way].tolist() == nodes.contracted.tolist()
    assert energy.battery_power_w.tolist() == [1e6]
    assert energy.battery_energy_j.tolist() == [7.2e9]
    assert energy.battery_one_way.tolist() == [0.92]
    assert energy.battery_wear_usd_per_j.tolist() == [5e-9]


class Wrong(Cheap):
    seen = 0
    now_s = 0.0  # a stopwatch that moves only when a policy says so
    tells = datetime.now  # a clock that a class keeps

    @staticmethod
    def future() -> float:
        """A price of the evening, out of the hands of whoever is asking."""
        frame = sys._getframe()
        while "day" not in frame.f_locals:
            assert frame.f_back is not None
            frame = frame.f_back
        return float(frame.f_locals["day"][80].price_usd_per_mwh[0])

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.calls = 0
        self.clock = time.time
        if kind == "unpicklable":
            self.lock = lambda: None

    def decide(self, observation: Observation, read: Callable[[], float] = time.time) -> Any:
        decision = super().decide(observation)
        price, ambient = observation.price_usd_per_mwh, observation.ambient_c
        share = decision.asic_share
        self.calls += 1
        match self.kind:
            case "not a decision":
                return share
            case "shape":
                return Decision(share[:1], decision.gpu_share)
            case "dtype":
                return Decision(share.astype(int), decision.gpu_share)
            case "NaN":
                share[0, 0] = np.nan
            case "negative":
                share[0, 1] = -0.1
            case "more than all":
                share[:, :] = 0.5
            case "mutation":
                observation.price_usd_per_mwh[0] = 0.0
            case "luck of its own":
                share *= np.random.default_rng().random()
            case "the clock":
                share *= time.perf_counter() % 1.0
            case "memory of others":
                Wrong.seen += 1
                share *= 1.0 / Wrong.seen
            case "the future":
                share *= 1.0 / (1.0 + abs(Wrong.future()))
            case "too slow":
                time.sleep(0.02)
            case "slow in a third of the steps":
                Wrong.now_s += 0.02 * (self.calls % 3 == 0)
            case "luck when energy is dear":
                if observation.price_usd_per_mwh.max() > 1_000.0:
                    decision.gpu_share[:] *= np.random.default_rng().random()
            case "luck below zero":
                if observation.price_usd_per_mwh.min() < -400.0:
                    share *= np.random.default_rng().random()
            case "luck when dear in mild weather":
                if price.max() > 1_000.0 and 0.0 < ambient.mean() < 35.0:
                    decision.gpu_share[:] *= np.random.default_rng().random()
            case "NaN when dear in the cold":
                share[(price > 1_000.0).any() & (ambient < -20.0).any()] = np.nan
            case "NaN below zero in the heat":
                share[(price < -100.0).any() & (ambient > 40.0).any()] = np.nan
            case "NaN in the cold":
                share[observation.ambient_c[observation.asic.site] < -20.0] = np.nan
            case "the hour":
                share *= 8 <= time.localtime().tm_hour < 16
            case "the hour by another name":
                share *= now_s() % 86_400 < 43_200
            case "the hour of datetime":
                share *= datetime.now(UTC).hour < 12
            case "the hour of numpy":
                share *= int(np.datetime64("now", "h").astype(int)) % 24 < 12
            case "the hour of an argument's default":
                share *= read() % 86_400 < 43_200
            case "the hour of a clock that it was given":
                share *= self.clock() % 86_400 < 43_200
            case "the hour of a clock of its class":
                share *= Wrong.tells().hour < 12
            case "the hour since the machine began":
                share *= time.monotonic() % 7_200 < 3_600
            case "every second decision of all":
                Wrong.seen += 1
                share *= Wrong.seen % 2
            case "the weekday":
                share *= date.today().weekday() < 5
            case "shapes of one fleet":
                return Decision(np.zeros((4, 3)), np.zeros(2))
            case "sites of one fleet":
                share[observation.asic.site == 2] *= observation.ambient_c[2] < 30.0
            case "a battery that is not there":
                share *= 1.0 - 0.1 * (observation.energy.stored_j[0] > 0.0)
            case "a tenant that is not there":
                share *= observation.serving.rate_rps[0] > 0.0
            case "mutation of the battery":
                observation.energy.stored_j[:] *= 0.5
            case "raises":
                raise KeyError("oops")
        return decision


FINDINGS = {
    "not a decision": "must return a sim.Decision",
    "shape": "has shape",
    "dtype": "float64",
    "NaN": "NaN at index (0, 0)",
    "negative": "below 0",
    "more than all": "sums to 1.5",
    "mutation": "changes its observation",
    "luck of its own": "decide differently",
    "the clock": "decide differently",
    "memory of others": "decide differently",
    "the future": "depends on what comes later",
    "too slow": "ms (mean",
    "slow in a third of the steps": "ms (95th percentile",
    "luck when energy is dear": "decide differently",
    "luck below zero": "decide differently",
    "luck when dear in mild weather": "decide differently",
    "NaN when dear in the cold": "NaN at index",
    "NaN below zero in the heat": "NaN at index",
    "NaN in the cold": "NaN at index",
    "the hour": "depends on the clock",
    "the hour by another name": "depends on the clock",
    "the hour of datetime": "depends on the clock",
    "the hour of numpy": "depends on the clock",
    "the hour of an argument's default": "depends on the clock",
    "the hour of a clock that it was given": "depends on the clock",
    "the hour of a clock of its class": "depends on the clock",
    "the hour since the machine began": "depends on the clock",
    "every second decision of all": "decide differently",
    "the weekday": "depends on the clock",
    "shapes of one fleet": "must be (1, 1) at step 0 (fleet: one site of ASICs)",
    "sites of one fleet": "IndexError",
    "a battery that is not there": "IndexError",
    "a tenant that is not there": "IndexError",
    "mutation of the battery": "changes its observation",
    "raises": "KeyError",
    "unpicklable": "pickled",
}


@pytest.mark.parametrize("kind", FINDINGS)
def test_check_policy_tells_what_is_wrong(kind: str) -> None:
    stopwatch = None if kind == "too slow" else lambda: Wrong.now_s  # sleep is never shorter
    problems = sim.check_policy(Wrong(kind), 15.0, clock=stopwatch)
    assert problems
    assert FINDINGS[kind] in problems[0]


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_policies_keep_the_contract(name: str) -> None:
    assert sim.check_policy(load_policy(name, {}, BUILTIN), clock=lambda: 0.0) == []


class Seldom(Cheap):
    now_s = 0.0

    def __init__(self, share: float) -> None:
        self.share, self.calls = share, 0

    def decide(self, observation: Observation) -> Decision:
        before, self.calls = int(self.calls * self.share), self.calls + 1
        Seldom.now_s += 0.02 * (int(self.calls * self.share) - before)
        return super().decide(observation)


@pytest.mark.parametrize(("share", "told"), [(0.03, False), (0.08, True)])
def test_of_slow_steps_one_in_twenty_is_let_pass(share: float, told: bool) -> None:
    """The 95th percentile, not the worst: compiling and collecting garbage happen."""
    problems = sim.check_policy(Seldom(share), 15.0, clock=lambda: Seldom.now_s)
    assert ["95th percentile" in p for p in problems] == [True] * told


def kind(values: Floats, low: float, high: float) -> int:
    """-1: all below `low`, 1: all above `high`, else 0."""
    return int((values > high).all()) - int((values < low).all())


def test_example_fleets_try_what_goes_wrong() -> None:
    """Fleets with none of each thing, and days with the extremes that are promised."""
    days = {fleet: [trying(step, fleet) for step in range(96)] for fleet in FLEETS}
    for count in (
        lambda o: len(o.energy.stored_j), lambda o: len(o.gpu.available),
        lambda o: len(o.serving.rate_rps), lambda o: len(o.asic.available),
        lambda o: len(o.energy.available_w), lambda o: len(o.energy.reserve_usd_per_mw_h),
    ):  # fmt: skip
        counts = {count(day[0]) for day in days.values()}
        assert 0 in counts
        assert len(counts) > 1
    assert {len(day[0].price_usd_per_mwh) for day in days.values()} == {1, 2, 3, 5}
    for day in days.values():
        price = np.concatenate([o.price_usd_per_mwh for o in day])
        ambient = np.concatenate([o.ambient_c for o in day])
        assert (price > 1_000).mean() > 0.1 < (price < -100).mean()
        met = {(kind(o.price_usd_per_mwh, 0, 1_000), kind(o.ambient_c, -20, 40)) for o in day}
        assert met >= {(p, w) for p in (-1, 1) for w in (-1, 0, 1)}  # dear in the cold, and so on
        assert (ambient < -20).mean() > 0.1 < (ambient > 40).mean()


def test_the_clock_is_as_it_was_after_a_check() -> None:
    def clocks() -> tuple[Any, ...]:
        own = Wrong.tells, Wrong.decide.__defaults__
        return time.time, time.localtime, time.monotonic, datetime, np.datetime64, *own

    before = clocks()
    sim.check_policy(Wrong("the hour"), slow_ms=500.0)
    assert clocks() == before
    assert type(np.datetime64("now")) is np.datetime64
    assert now_s is time.time
    assert abs(datetime.now(UTC).timestamp() - time.time()) < 60.0


def test_a_policy_of_the_reader() -> None:
    assert sim.check_policy(Cheap()) == []
    assert sim.check_policy(object()) == ["object has no method decide(observation)"]


def test_a_wrong_decision_stops_the_run_and_says_why(tiny: Scenario) -> None:
    for kind in ("shape", "NaN", "negative", "more than all", "not a decision"):
        with pytest.raises(sim.PolicyError, match="decision at t = 0 s"):
            sim.run(tiny, Wrong(kind))


def test_policies_are_found_by_name_or_address(tiny: Scenario) -> None:
    assert sim.run(tiny, "tests.test_policy:Cheap").policy == "tests.test_policy:Cheap"
    for spec, message in (
        ("merit", "allowed: autoscale, gpu-first, look-ahead, merit-order, mining-first"),
        ("tests.nowhere:Cheap", "cannot be imported"),
        ("tests.test_policy:FINDINGS", "is no class"),
        ("builtins:object", "no method decide"),
    ):
        with pytest.raises(sim.PolicyError, match=message):
            sim.run(tiny, spec)
    with pytest.raises(sim.PolicyError, match="allowed: max_usd_per_mwh"):
        load_policy("price-threshold", {"max_usd": 3}, BUILTIN)


def test_what_a_policy_keeps_does_not_change_under_its_hands(tiny: Scenario) -> None:
    class Keeper(Cheap):
        kept: list[tuple[Any, float]] = []  # noqa: RUF012

        def decide(self, observation: Observation) -> Decision:
            self.kept.append(
                (observation.price_usd_per_mwh, float(observation.price_usd_per_mwh.sum()))
            )
            return super().decide(observation)

    sim.run(tiny, Keeper())
    assert len({total for _, total in Keeper.kept}) > 10
    assert all(float(array.sum()) == total for array, total in Keeper.kept)


def test_price_threshold_stops_hashing_above_it() -> None:
    observation = example(3)
    limit = float(np.median(observation.price_usd_per_mwh))
    decision = load_policy("price-threshold", {"max_usd_per_mwh": limit}, BUILTIN).decide(
        observation
    )
    on = decision.asic_share.sum(axis=1) > 0
    expected = observation.price_usd_per_mwh[observation.asic.site] <= limit
    np.testing.assert_array_equal(on, expected)
    assert decision.gpu_share.tolist() == [1.0, 1.0]


def test_merit_order_earns_most(tiny: Scenario) -> None:
    margins = {
        name: sim.run(tiny, name, 3).kpis["gross_margin_usd"]
        for name in ("static", "price-threshold", "merit-order")
    }
    assert max(margins, key=lambda n: margins[n] or 0.0) == "merit-order"

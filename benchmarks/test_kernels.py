"""Each bound kernel of a 48-site fleet by itself.

pytest benchmarks/test_kernels.py            timed by pytest-benchmark, as ratios to the fastest
pytest benchmarks/test_kernels.py --benchmark-disable    smoke: does it run?
"""

from pathlib import Path
from typing import Any

import pytest

import sim
from sim.engine import Engine
from sim.policies.merit_order import MeritOrder


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The fleet of cango-2026 after a day."""
    scenario = sim.load(Path(__file__).parent.parent / "configs/cango-2026", {"horizon.days": 1})
    made = Engine(scenario, MeritOrder(), 1)
    made.run()
    return made


class Clock:
    """Instants that go on by a control step."""

    t_s = 1e6

    def __call__(self) -> float:
        self.t_s += 900.0
        return self.t_s


def test_advance(benchmark: Any, engine: Engine) -> None:
    clock = Clock()
    benchmark(lambda: engine.plant._calls.advance(clock()))


def test_settle(benchmark: Any, engine: Engine) -> None:
    clock = Clock()
    benchmark(lambda: engine.plant._calls.settle(clock()))


def test_condition(benchmark: Any, engine: Engine) -> None:
    benchmark(engine.plant._calls.condition)


def test_grant(benchmark: Any, engine: Engine) -> None:
    clock = Clock()
    benchmark(lambda: engine.plant._calls.grant(clock(), 900.0, engine.observation.usd_per_th))


def test_decide(benchmark: Any, engine: Engine) -> None:
    benchmark(engine.policy.decide, engine.observation)

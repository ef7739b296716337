"""Law 8 for every policy that is built in: another world after t leaves decisions up to t alone."""

from typing import Any

import numpy as np
import pytest

from sim.engine import Engine
from sim.policies import BUILTIN
from sim.policy import Decision, Observation, load_policy
from sim.units import SECONDS_PER_HOUR
from tests.builders.energy_fleets import fleet

HOURS, HALF_H = 72, 36  # the half lies at 6 in the morning: the rest of that day is published
BLIND = ("static", "random")  # they look at nothing that changes
VALUES = {
    "meshed": False, "scale": 1.0, "limit_mw": 10.0, "mtbf_h": 1e6, "export_mw": 0.0,
    "response": "manual", "step_s": 900, "seed": 1,
}  # fmt: skip


class Kept:
    """A policy whose decisions are kept."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.said: list[tuple[int, bytes]] = []

    def decide(self, observation: Observation) -> Decision:
        decision: Decision = self.inner.decide(observation)
        parts = [b"" if part is None else np.asarray(part).tobytes() for part in decision]
        self.said.append((observation.t_s, b"".join(parts)))
        return decision


def decisions(name: str, changed: bool) -> list[tuple[int, bytes]]:
    """What a policy says over three days of moving prices, the second half of them changed."""
    policy = Kept(load_policy(name, {}, BUILTIN))
    horizon = {"start_utc": "2026-03-03T06:00:00Z", "days": HOURS // 24, "step_s": 900}
    engine = Engine(fleet(VALUES, horizon=horizon), policy, 5)
    draw = np.random.default_rng(3)
    hourly = draw.normal(45.0, 40.0, (HOURS, 3))
    assert engine.outlook.hourly is not None
    world, outlook = engine.world, engine.outlook
    outlook.hourly[:HOURS] = hourly + draw.normal(0.0, 10.0, hourly.shape)
    engine.terms.price[:-1] = np.repeat(hourly, 4, axis=0)
    if changed:
        half = HALF_H * 4
        engine.terms.price[half:] = 90.0 - engine.terms.price[half:]
        world.ambient_c[half:] += 12.0
        world.usd_per_btc[half:] *= 0.5
        outlook.hourly[48:HOURS] = 90.0 - outlook.hourly[48:HOURS]  # all before is published
    engine.run()
    return policy.said


@pytest.mark.parametrize("name", BUILTIN)
def test_law_8_no_policy_peeks(name: str) -> None:
    as_it_was, otherwise = decisions(name, False), decisions(name, True)
    same = [a == b for a, b in zip(as_it_was, otherwise, strict=True)]
    until = [t_s for t_s, _ in as_it_was].index(HALF_H * SECONDS_PER_HOUR)
    assert all(same[:until])
    assert all(same[until:]) == (name in BLIND)

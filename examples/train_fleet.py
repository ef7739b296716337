"""Train a small agent on a small fleet, and see whether it beats `static` on seeds it has not seen.

    python examples/train_fleet.py [--rounds 8] [--days 7]

The fleet is `configs/tiny` with a battery. The agent is a rule with seven numbers: how much of its
ASICs a site runs falls with the price, and the battery charges by price, by what is in it and by
the hour. The numbers are found by the cross-entropy method (Rubinstein and Kroese 2004): draw
candidates around a mean, keep the best quarter by the reward of an episode, draw anew around them.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

import sim
from sim.gym import AgentPolicy, Codec, FleetEnv
from sim.scenario import Scenario
from sim.scenario.rows import Battery

TINY = Path(__file__).parent.parent / "configs/tiny"
SITE, STORE = 2, 5  # numbers of the rule for sites, and for the battery
ELITE = 0.25  # share of the candidates that the next ones are drawn around
FORGET = 0.7  # weight of the new mean and spread against the old
DAYS = 7.0


class Gain(NamedTuple):
    """Mean of paired differences of gross margin [USD], and half of its 95 % interval."""

    mean: float
    half_width: float
    of_static: float  # mean gross margin of static [USD]


class Rule:
    """ASIC shares linear in the price, battery power linear in price, content and hour."""

    def __init__(self, codec: Codec, numbers: Any) -> None:
        self.fields = codec.fields
        self.numbers = np.asarray(numbers, dtype=np.float64)
        self.sites = len(np.arange(codec.size)[codec.fields["price_usd_per_mwh"]])
        self.action = codec.high.copy()

    def predict(self, seen: Any) -> Any:
        """The action for an observation: GPU nodes always run."""
        price = seen[self.fields["price_usd_per_mwh"]]
        base, slope = self.numbers[:SITE]
        self.action[: self.sites] = 0.5 + base + slope * price
        hour = seen[: self.fields["week_sin"].start]  # day_sin, day_cos
        stored = seen[self.fields["stored"]]
        known = np.concatenate([[1.0], price[:1], stored - 0.5, hour])
        self.action[-1] = self.numbers[SITE:] @ known
        return self.action


def fleet(days: float = DAYS) -> Scenario:
    """`configs/tiny` with a battery of two hours at the first site."""
    scenario = sim.load(TINY, {"horizon.days": days})
    battery = Battery(site="alpha", power_mw=2, energy_mwh=4, wear_usd_per_mwh=2)
    return scenario.model_copy(update={"batteries": (battery,)})


def episode_usd(env: FleetEnv, agent: Rule, seed: int) -> float:
    """Sum of the rewards of an episode [USD]."""
    seen, _ = env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        seen, reward, terminated, truncated, _ = env.step(agent.predict(seen))
        total += reward
        over = terminated or truncated
    return total


def train(rounds: int = 8, population: int = 20, seeds: int = 2, days: float = DAYS) -> Rule:
    """The rule at the mean of the last round; training seeds are 1, 2, 3, … and change by round."""
    env = FleetEnv(fleet(days))
    draw = np.random.default_rng(1)
    mean, spread = np.zeros(SITE + STORE), np.full(SITE + STORE, 1.0)
    keep = max(round(ELITE * population), 2)
    for turn in range(rounds):
        candidates = mean + spread * draw.normal(size=(population, len(mean)))
        luck = [1 + turn * seeds + k for k in range(seeds)]
        usd = [sum(episode_usd(env, Rule(env.codec, c), s) for s in luck) for c in candidates]
        best = candidates[np.argsort(usd)[-keep:]]
        mean = FORGET * best.mean(axis=0) + (1.0 - FORGET) * mean
        spread = FORGET * best.std(axis=0) + (1.0 - FORGET) * spread
    return Rule(env.codec, mean)


def evaluate(agent: Rule, seeds: Sequence[int], days: float = DAYS) -> Gain:
    """The agent as a policy of `sim.run` against `static`, the same luck for both."""
    scenario = fleet(days)
    margin = np.array(
        [
            [
                sim.run(scenario, policy, seed).kpis["gross_margin_usd"] or 0.0
                for policy in (AgentPolicy(agent), "static")
            ]
            for seed in seeds
        ]
    )
    gain = margin[:, 0] - margin[:, 1]
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
    return Gain(float(gain.mean()), float(half), float(margin[:, 1].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--days", type=float, default=DAYS)
    chosen = parser.parse_args()
    began = time.perf_counter()
    agent = train(chosen.rounds, days=chosen.days)
    print(f"trained in {time.perf_counter() - began:.0f} s: {np.round(agent.numbers, 2)}")
    gain = evaluate(agent, range(1000, 1016), chosen.days)
    print(
        f"16 held-out seeds, {chosen.days:g} days: static earns {gain.of_static:,.0f} USD, "
        f"the agent {gain.mean:+,.0f} ± {gain.half_width:,.0f} USD (95 %, paired)"
    )


if __name__ == "__main__":
    main()

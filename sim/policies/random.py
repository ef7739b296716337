"""Random decisions: they stress everything downstream, in tests and as a worst case."""

import numpy as np

from sim.policy import Decision, Observation


class Random:
    """Whatever the contract allows, drawn anew at each instant; the same for the same seed.

    The draw depends on the seed and the instant alone, not on what was asked before.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, int) or seed < 0:
            raise ValueError(f"seed is {seed!r}; allowed: an integer >= 0")
        self.seed = seed

    def decide(self, observation: Observation) -> Decision:
        """Modes, nodes, routes, batteries, generators and offers."""
        draw = np.random.Generator(np.random.Philox(key=[self.seed, observation.t_s]))
        asic, energy, serving = observation.asic, observation.energy, observation.serving
        weight = draw.random(asic.mode_w.shape) * (asic.mode_w > 0.0)
        total = draw.random((len(weight), 1)) * (draw.random((len(weight), 1)) < 0.8)
        share = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9) * total
        power_w = energy.battery_power_w
        return Decision(
            share,
            draw.random(len(observation.gpu.available)),
            route=draw.random(serving.latency_s.shape),
            battery_w=power_w * draw.uniform(-1.0, 1.0, len(power_w)),
            generation_w=energy.available_w * draw.random(len(energy.available_w)),
            offer_w=draw.uniform(0.0, 5e6, energy.reserve_usd_per_mw_h.shape),
        )

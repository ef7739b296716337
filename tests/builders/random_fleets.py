"""Random fleets of machines, and a policy that never rests."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from sim.policy import Decision, Observation
from sim.scenario import Scenario
from tests.conftest import build_scenario


class Restless:
    """Wishes at random, within the contract: to shake everything that follows a wish."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)

    def decide(self, observation: Observation) -> Decision:
        modes = (observation.asic.mode_w > 0) * self.draw.random(observation.asic.mode_w.shape)
        total = self.draw.random((len(modes), 1)) * (self.draw.random((len(modes), 1)) < 0.8)
        share = modes / np.maximum(modes.sum(axis=1, keepdims=True), 1e-9) * total
        return Decision(share, self.draw.random(len(observation.gpu.available)))


fleets = st.fixed_dictionaries(
    {
        "feeder_mw": st.sampled_from([1.0, 3.0, 6.5, 20.0]),
        "limit_mw": st.sampled_from([0.5, 2.5, 10.0]),
        "mtbf_h": st.sampled_from([200.0, 20_000.0]),
        "step_s": st.sampled_from([300, 900, 3600]),
        "seed": st.integers(0, 10_000),
    }
)


def fleet(values: dict[str, Any], **tables: Any) -> Scenario:
    site = {"power_limit_mw": values["limit_mw"]}
    return build_scenario(
        {
            "horizon": {"days": 1, "step_s": values["step_s"]},
            "faults": {"asic": {"mtbf_h": values["mtbf_h"], "spare_lead_h": 6}},
            **tables,
        },
        sites=[
            {"name": "alpha", **site},
            {"name": "bravo", "climate": "massena-ny", "adder_usd_per_mwh": 30, **site},
        ],
        feeder_mw=values["feeder_mw"],
    )

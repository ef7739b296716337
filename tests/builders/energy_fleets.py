"""Random fleets with every energy asset, contract and programme, and policies that do not care."""

from typing import Any

from hypothesis import strategies as st

from sim.engine import Engine
from sim.policy import Decision, Observation
from sim.scenario import Scenario
from tests.builders.random_fleets import Restless
from tests.conftest import build_scenario

RING = [("root", "north", 9), ("root", "south", 7), ("north", "south", 3), ("south", "end", 4)]


class Reckless(Restless):
    """Wishes at random for batteries, generators and offers too, beyond what there is."""

    def decide(self, observation: Observation) -> Decision:
        energy = observation.energy
        return (
            super()
            .decide(observation)
            ._replace(
                battery_w=self.draw.uniform(-9e6, 9e6, len(energy.stored_j)),
                generation_w=self.draw.uniform(0.0, 9e6, len(energy.available_w)),
                offer_w=self.draw.uniform(0.0, 9e6, energy.reserve_usd_per_mw_h.shape),
            )
        )


fleets = st.fixed_dictionaries(
    {
        "meshed": st.booleans(),
        "scale": st.sampled_from([0.3, 1.0, 3.0]),
        "limit_mw": st.sampled_from([0.5, 2.5, 10.0]),
        "mtbf_h": st.sampled_from([4.0, 1e6]),
        "export_mw": st.sampled_from([0.0, 0.4]),
        "response": st.sampled_from(["automatic", "manual"]),
        "step_s": st.sampled_from([900, 3600]),
        "seed": st.integers(0, 10_000),
    }
)


def fleet(values: dict[str, Any], **tables: Any) -> Scenario:
    """Three sites on a tree or a ring of links that fail, with every kind of asset."""
    links = RING if values["meshed"] else [RING[0], RING[1], ("north", "end", 4)]
    grid = {
        "grid_nodes": [
            {"name": n, "kind": "zone" if n == "root" else "feeder"}
            for n in ("root", "north", "south", "end")
        ],
        "grid_links": [
            {
                "from_node": a,
                "to_node": b,
                "capacity_mw": mw * values["scale"],
                "reactance_pu": 0.05 if values["meshed"] else None,
                "loss_fraction": 0 if values["meshed"] else 0.01,
                "mtbf_h": values["mtbf_h"],
                "repair_h": 2,
            }
            for a, b, mw in links
        ],
    }
    site = {"power_limit_mw": values["limit_mw"], "export_mw": min(values["export_mw"], 0.5)}
    called = {"calls_per_year": 800, "call_h": 1.3, "penalty_usd_per_mwh": 500}
    return build_scenario(
        {
            "horizon": {"days": 1, "step_s": values["step_s"]},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 45}}},
            "programmes": {
                "ers": {
                    "model": "emergency", "usd_per_mw_h": 5, "usd_per_mwh": 100,
                    "notice_s": 1700, "response": values["response"], **called,
                },
                "rrs": {
                    "model": "reserve", "usd_per_mw_h": 9, "sites": ["alpha", "bravo"],
                    "notice_s": 500, "response": values["response"], **called,
                },
                "economic": {"model": "economic", "threshold_usd_per_mwh": 30, "baseline_days": 1},
            },
            "carbon": {"zones": {"grid": {"model": "fixed", "kg_per_mwh": 400}}},
            **tables,
        },
        sites=[
            {"name": "alpha", "grid_node": "north", "cooling": "dry",
             "carbon_zone": "grid", **site},
            {"name": "bravo", "grid_node": "south", "climate": "massena-ny",
             "demand_charge_usd_per_mw_month": 9000, "latitude": 30, "longitude": -100, **site},
            {"name": "charlie", "grid_node": "end", "cooling": "wet", **site},
        ],
        asics=[
            {"site": "alpha", "model": "Antminer S19 XP", "count": 900},
            {"site": "bravo", "model": "Antminer S19j Pro 104T", "count": 1100},
            {"site": "charlie", "model": "Antminer S21 Hyd", "count": 300},
        ],
        grid=grid,
        power_contracts=[
            {"site": "alpha", "kind": "ppa", "mw": 2, "strike_usd_per_mwh": 30},
            {"site": "bravo", "kind": "ppa", "mw": 1, "strike_usd_per_mwh": 35, "resell": False,
             "take_or_pay_fraction": 0.8},
            {"site": "charlie", "kind": "day-ahead", "mw": 1},
        ],
        batteries=[
            {"site": "alpha", "power_mw": 1, "energy_mwh": 0.7},
            {"site": "charlie", "power_mw": 2, "energy_mwh": 5},
        ],
        generators=[
            {"site": "alpha", "kind": "gas", "mw": 1.5, "usd_per_mwh": 50, "kg_per_mwh": 450},
            {"site": "bravo", "kind": "solar", "mw": 3},
            {"site": "bravo", "kind": "flare", "mw": 0.4, "kg_per_mwh": 500},
        ],
    )  # fmt: skip


class Looking:
    """An engine that is looked at after each grant."""

    def __init__(self, scenario: Scenario, seed: int, look: Any) -> None:
        self.engine = Engine(scenario, Reckless(seed), seed)
        grant = self.engine.grant

        def granted() -> None:
            grant()
            look(self.engine)

        self.engine.grant = granted  # type: ignore[method-assign]
        phases = list(self.engine.phases)
        phases[5] = granted
        self.engine.phases = tuple(phases)

    def run(self) -> Engine:
        self.engine.run()
        return self.engine

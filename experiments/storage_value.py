"""What a battery earns beside what it could have earned: its share of the foresight value.

Each battery of a scenario stands alone with the machines of its site. Its foresight value is what
it adds to the clairvoyant bound; its value under a policy is what it adds to the gross margin, both
by runs with it and without it; what is stored at the end counts nothing. Reserves, emergency calls
and coincident peaks are left out: they are no dealings of the battery. `known` is merit-order told
the prices of the hours ahead: what its plan is worth apart from the forecast.

    python experiments/storage_value.py [SCENARIO] [--days 365] [--policy NAME ...] [--set K=V]
"""

import argparse
from time import perf_counter
from typing import Any

import numpy as np

import sim
from sim.engine import Engine
from sim.policies.forecast import PriceForecast
from sim.policies.merit_order import MeritOrder
from sim.policy import Observation
from sim.scenario import Scenario

POLICIES = ["merit-order", "look-ahead", "known"]


def alone(scenario: Scenario, name: str, with_battery: bool) -> Scenario:
    """One site of a scenario, with its own connection as the only limit."""

    def here(rows: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(row for row in rows if row.site == name)

    (site,) = (s for s in scenario.sites if s.name == name)
    return scenario.model_copy(
        update={
            "sites": (site.model_copy(update={"grid_node": None}),),
            "grid_nodes": (), "grid_links": (), "programmes": {}, "coincident_peak": None,
            "asics": here(scenario.asics), "gpus": here(scenario.gpus),
            "power_contracts": here(scenario.power_contracts),
            "batteries": here(scenario.batteries) if with_battery else (),
        }
    )  # fmt: skip


class Known(PriceForecast):
    """The prices that will be, of the one site there is."""

    def __init__(self, scenario: Scenario, hours: int) -> None:
        super().__init__(hours, 0.0)
        price = Engine(scenario, MeritOrder(), 1).terms.price[: scenario.horizon.steps, 0]
        by_hour = price.reshape(-1, 3600 // scenario.horizon.step_s).mean(axis=1)
        self.price = np.append(by_hour, np.full(hours, by_hour[-1]))

    def expect(self, observation: Observation, sites: Any = None) -> Any:
        hour = observation.t_s // 3600
        return self.price[hour : hour + self.hours, None].copy()


def policy_of(name: str, scenario: Scenario) -> Any:
    """A policy by name, or merit-order that knows."""
    if name != "known":
        return name
    made = MeritOrder()
    made._forecast = Known(scenario, made.hours)
    return made


def main() -> None:
    """Print a row for each battery and policy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", nargs="?", default="configs/ercot-2024")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--policy", action="append")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    changes = dict(pair.split("=", 1) for pair in given.set)
    scenario = sim.load(given.scenario, {"horizon.days": given.days, **changes})
    print("| site | foresight value, USD | policy | value, USD | share | s a run |")
    print("|---|---|---|---|---|---|")
    for name in dict.fromkeys(b.site for b in scenario.batteries):
        cases = [alone(scenario, name, battery) for battery in (False, True)]
        without, best = (sim.bound(case).usd for case in cases)
        for policy in given.policy or POLICIES:
            usd, seconds = [], 0.0
            for case in cases:
                start = perf_counter()
                usd.append(sim.run(case, policy_of(policy, case)).kpis["gross_margin_usd"] or 0.0)
                seconds = perf_counter() - start
            value, most = usd[1] - usd[0], best - without
            print(
                f"| {name} | {most:,.0f} | {policy} | {value:,.0f} | {value / most:.1%} "
                f"| {seconds:.1f} |"
            )


if __name__ == "__main__":
    main()

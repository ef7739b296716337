"""Fleet-wide serving: the engines of all serving nodes, clients and router; exact or fluid."""

from sim.scenario.scenario import Scenario
from sim.serving_fleet.exact import ServingFleet
from sim.serving_fleet.fluid import FluidServingFleet
from sim.world.gpu_market import token_course
from sim.world.world import World

__all__ = ["FluidServingFleet", "ServingFleet", "build_serving_fleet"]


def build_serving_fleet(
    scenario: Scenario, world: World, keep_all: bool = False
) -> ServingFleet | None:
    """Build the serving fleet of a scenario; call `measure` first. None where no node serves."""
    if not any(g.state == "serving" for g in scenario.gpus):
        return None
    course = token_course(scenario, world.gpu_market)
    arguments = (scenario, world.latency_s, world.requests, keep_all, course)
    if scenario.demand.fidelity == "fluid":
        return FluidServingFleet(*arguments)
    return ServingFleet(*arguments)

"""Inference operations: engines of all serving nodes, clients and router; exact or fluid."""

from sim.inference.fluid import FluidInference
from sim.inference.operations import Inference
from sim.scenario.scenario import Scenario
from sim.world.gpu_market import token_course
from sim.world.world import World

__all__ = ["FluidInference", "Inference", "build_inference"]


def build_inference(scenario: Scenario, world: World, keep_all: bool = False) -> Inference | None:
    """The serving operations of a scenario, to be measured first; None where no node serves."""
    if not any(g.state == "serving" for g in scenario.gpus):
        return None
    course = token_course(scenario, world.gpu_market)
    arguments = (scenario, world.latency_s, world.requests, keep_all, course)
    if scenario.demand.fidelity == "fluid":
        return FluidInference(*arguments)
    return Inference(*arguments)

"""Scenarios: typed models, loading, overrides, and the catalogue of machines."""

from sim.scenario.load import assemble, load
from sim.scenario.problems import Problem, ScenarioError
from sim.scenario.scenario import Scenario

__all__ = ["Problem", "Scenario", "ScenarioError", "assemble", "load"]

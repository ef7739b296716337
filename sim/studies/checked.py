"""From an experiment file to its rows. Loads each scenario once; reports all problems together."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sim.policies import BUILTIN
from sim.policy import PolicyError, refuse_code
from sim.scenario import Scenario, ScenarioError, load
from sim.scenario.load import GIVE_DATA
from sim.scenario.problems import Problem, shown
from sim.studies.cells import Cell, Recipe
from sim.studies.design import Point, points_of
from sim.studies.experiment import Experiment, PolicyChoice, read_experiment


class Row(NamedTuple):
    """One row of cells.parquet: the position of a cell in the experiment."""

    levels: dict[str, str | float]
    policy: str  # its label
    cell: Cell


class CheckedExperiment(NamedTuple):
    """An experiment with all its scenarios and policies checked."""

    name: str
    experiment: Experiment
    rows: list[Row]
    resolved: dict[str, str]  # resolved scenarios as JSON, by hash

    @property
    def cells(self) -> int:
        """Number of distinct cells; rows that resolve to the same run share a cell."""
        return len({row.cell.asked for row in self.rows})


def check_experiment(
    path: str | Path, *, allow_code: bool = False, allow_path: bool = False, run_code: bool = True
) -> CheckedExperiment:
    """Read an experiment and load every distinct scenario that it uses.

    Args:
        path: the experiment file.
        allow_code: the experiment and its scenarios may name code as policies.
        allow_path: they may name files anywhere.
        run_code: import and instantiate allowed code; if False, code is not examined.

    Raises:
        ScenarioError: with every problem of the file, its scenarios and its policies.
    """
    file = Path(path)
    experiment, folder = read_experiment(file)
    points = points_of(experiment)
    problems = _Problems(file.name, experiment)
    resolved: dict[str, str] = {}
    rows: list[Row] = []
    for point in points:
        try:
            if "data_dir" in point.changes and not allow_path:
                what = f"a file may not say where the data lie; {GIVE_DATA}, or say --allow-path"
                problems.add(Problem(file.name, "data_dir", shown(point.changes["data_dir"]), what))
                break
            scenario = load(folder, point.changes, allow_path=allow_path)
        except ScenarioError as error:
            problems.of_point(point, error)
            continue
        recipe = Recipe(scenario.sha256(), str(folder.resolve()), point.changes, allow_path)
        resolved.setdefault(recipe.sha256, json.dumps(scenario.resolved(), sort_keys=True))
        rows += _rows(experiment, point, scenario, recipe)
    for cell in {(c.policy, repr(c.parameters)): c for c in (row.cell for row in rows)}.values():
        try:
            refuse_code(cell.policy, BUILTIN, "policies", allowed=allow_code)
            if run_code or cell.policy in BUILTIN or ":" not in cell.policy:
                cell.decider()
        except PolicyError as error:
            problems.add(Problem(file.name, "policies", "", str(error)))
    if problems.found:
        raise ScenarioError(str(path), list(problems.found))
    return CheckedExperiment(file.stem, experiment, rows, resolved)


def _rows(
    experiment: Experiment, point: Point, scenario: Scenario, recipe: Recipe
) -> Iterator[Row]:
    for choice in experiment.policies or (PolicyChoice(name=scenario.policy.name),):
        name, parameters = chosen(scenario, choice)
        for seed in experiment.seeds:
            yield Row(point.levels, choice.title, Cell(recipe, name, parameters, seed))


def chosen(scenario: Scenario, choice: PolicyChoice) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a policy; the scenario's parameters apply to the policy it names."""
    if choice.parameters is not None:
        return choice.name, choice.parameters
    own = choice.name == scenario.policy.name
    return choice.name, scenario.policy.parameters if own else {}


class _Problems:
    """Problems of the scenarios, without duplicates, at their cause in the experiment."""

    def __init__(self, file: str, experiment: Experiment) -> None:
        self.file = file
        self.experiment = experiment
        self.found: dict[Problem, None] = {}

    def add(self, problem: Problem) -> None:
        self.found.setdefault(problem)

    def of_point(self, point: Point, error: ScenarioError) -> None:
        for problem in error.problems:
            place = self._place(point, problem)
            file = self.file if place else problem.file
            self.add(Problem(file, place or problem.where, problem.value, problem.message))

    def _place(self, point: Point, problem: Problem) -> str:
        """Where the experiment sets the faulty value of a point; "" where it does not."""
        key = next((k for k in point.changes if _is_about(problem, k)), None)
        if key is None:
            return ""
        design = self.experiment.design
        if design is not None and key in design.ranges:
            return f"design.ranges.{key}"
        for axis, level in point.levels.items():
            if key in self.experiment.axes.get(axis, {}).get(str(level), {}):
                return f"axes.{axis}.{level}.{key}"
        return f"changes.{key}"


def _is_about(problem: Problem, key: str) -> bool:
    """Whether a problem is at a changed place: a key, or a cell of a sheet."""
    if problem.where == key:
        return True
    sheet, _, cell = key.partition(".")
    name, _, column = cell.partition(".")
    return (
        problem.file == f"{sheet}.csv"
        and problem.where.endswith(f", {column}")
        and (name == "*" or f"({name})" in problem.where)
    )

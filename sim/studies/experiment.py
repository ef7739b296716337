"""The experiment file: changes, axes or a design, policies, seeds, KPIs. Typed, and checked before
anything runs."""

import math
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationError, model_validator

from sim.policy import PolicyError, policy_spec
from sim.scenario.problems import Problem, ScenarioError, from_validation, shown, suggest
from sim.scenario.quantity import REQUIRED, Table, quantity
from sim.scenario.shipped import not_found, scenario_folder
from sim.scenario.toml import TomlError, read_toml
from sim.text import repeated

MOST_LEVELS: Final = 10_000  # points of a factorial; more is a mistake
MOST_SEEDS: Final = 100_000
BUILDOUT_KEYS: Final = frozenset({"container", "budget_usd"})  # never in an experiment
DEFAULT_KPI: Final = "gross_margin_usd"
MOST_POINTS: Final = 1_000_000  # the limit of a design alone
Keep = Literal["kpis", "small", "tables"]


def _policy(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        name, parameters = policy_spec(given)
    except PolicyError as error:
        raise ValueError(str(error)) from None
    return {"name": name, "parameters": parameters or None}


def _seeds(given: Any) -> Any:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise ValueError(f"seeds = {given}: must be >= 1, or a list of seeds")
        if given > MOST_SEEDS:
            raise ValueError(f"seeds = {given:.3g}: must be at most {MOST_SEEDS:,}")
        return tuple(range(1, given + 1))
    return given


def _flat(given: Any) -> Any:
    """Flatten keys as in `--set`: `"a.b" = 1` and `a.b = 1` (nested tables) are the same."""
    if not isinstance(given, dict):
        return given
    flat: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, dict) and value:
            flat |= {f"{key}.{inner}": v for inner, v in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _kpi(name: str) -> str:
    from sim.studies.kpis import known

    if name not in known():
        raise ValueError(f"{name!r} is no KPI; {suggest(name, known(), 'hashwatt list kpis')}")
    return name


KpiName = Annotated[str, AfterValidator(_kpi)]
Changes = Annotated[dict[str, Any], BeforeValidator(_flat, json_schema_input_type=dict[str, Any])]


class PolicyChoice(Table):
    """A policy to try; a text alone is its name, or name:key=value,key=value."""

    name: str = quantity(REQUIRED, "", 'a built-in policy, or "package.module:Class"')
    label: str = quantity("", "", "how results call it; default: name and parameters")
    parameters: dict[str, Any] | None = quantity(
        None, "", "keyword arguments; default: those of the scenario, if it names this policy"
    )

    @property
    def title(self) -> str:
        """The label, or name(parameter=value, …)."""
        given = ", ".join(f"{k}={v}" for k, v in (self.parameters or {}).items())
        return self.label or (f"{self.name}({given})" if given else self.name)


class Range(Table):
    """The values of one key in a sampled design."""

    low: float = quantity(REQUIRED, "", "least value")
    high: float = quantity(REQUIRED, "", "greatest value")
    log: bool = quantity(False, "", "even on a logarithmic scale")
    integer: bool = quantity(False, "", "whole numbers only")

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if not self.low < self.high:
            raise ValueError(f"low = {self.low:g}: must be below high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low:g}: must be > 0 where log = true")
        return self

    def at(self, unit: float) -> float:
        """The value at a point of the unit interval."""
        if self.integer:
            whole = math.ceil(self.low), math.floor(self.high)
            return min(whole[0] + int(unit * (whole[1] - whole[0] + 1)), whole[1])
        if self.log:
            return float(self.low * (self.high / self.low) ** unit)
        return self.low + (self.high - self.low) * unit


class Design(Table):
    """A sampled design; with axes, every combination of levels meets every point."""

    method: Literal["latin-hypercube", "sobol"] = quantity("latin-hypercube", "", "how to sample")
    points: int = quantity(REQUIRED, "", "number of points", ge=1, le=1_000_000)
    seed: int = quantity(1, "", "of the design, not of the runs", ge=0)
    ranges: dict[str, Range] = quantity(REQUIRED, "", "the keys that vary", min_length=1)


class Experiment(Table):
    """An experiment file: one question."""

    description: str = quantity("", "", "the question")
    scenario: str = quantity(REQUIRED, "", "folder, relative to this file, or a name in configs/")
    changes: Changes = quantity({}, "", "keys as in --set and their values, for all cells")
    policies: tuple[
        Annotated[
            PolicyChoice, BeforeValidator(_policy, json_schema_input_type=str | PolicyChoice)
        ],
        ...,
    ] = quantity((), "", "who decides; default: the scenario's policy")
    seeds: Annotated[
        tuple[Annotated[int, quantity(REQUIRED, "", "a seed", ge=0)], ...],
        BeforeValidator(_seeds, json_schema_input_type=int | list[int]),
    ] = quantity((1,), "", "a number n (seeds 1 to n) or a list", min_length=1)
    axes: dict[str, dict[str, Changes]] = quantity(
        {}, "", "by axis and level: what changes; all combinations are run"
    )
    design: Design | None = quantity(None, "", "a sampled design, alone or crossed with axes")
    kpis: tuple[KpiName, ...] = quantity((DEFAULT_KPI,), "", "figures of the report")
    pareto: dict[KpiName, Literal["min", "max"]] = quantity(
        {}, "", "two or three KPIs, and which end is good"
    )
    keep: Keep = quantity(
        "small",
        "",
        "kpis: figures alone; small: also fleet, events, worth and statements; tables: everything",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Experiment":
        if repeated(self.seeds):
            raise ValueError("seeds: a seed stands there more than once")
        if not self.kpis:
            raise ValueError("kpis: the list is empty; one or more are needed")
        if self.pareto and len(self.pareto) not in (2, 3):
            raise ValueError(f"pareto: has {len(self.pareto)} KPIs; two or three are allowed")
        for title in sorted(repeated(p.title for p in self.policies)):
            raise ValueError(f"policies: {title!r} stands there more than once; give a label")
        return self

    @property
    def factors(self) -> list[str]:
        """Names of the axes, then the keys of the design."""
        return [*self.axes, *(self.design.ranges if self.design is not None else ())]


def read_experiment(path: str | Path) -> tuple[Experiment, Path]:
    """Read an experiment file; returns it and the folder of its scenario.

    Raises:
        ScenarioError: with every problem of the file. Its scenarios are checked by
            `sim.studies.checked.check_experiment`.
    """
    file = Path(path)
    if not file.is_file():
        raise ScenarioError(str(path), [Problem(str(file), "", "", "no such file")])
    try:
        content = read_toml(file)
    except TomlError as error:
        raise ScenarioError(
            str(path), [Problem(file.name, "", "", f"is not TOML: {error}")]
        ) from None
    if BUILDOUT_KEYS & set(content):
        what = "is a build-out, not an experiment: hashwatt buildout asks it"
        raise ScenarioError(str(path), [Problem(file.name, "", "", what)])
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        problems = from_validation(error, file.name, Experiment)
        raise ScenarioError(str(path), problems) from None
    problems = [*_problems(experiment, file.name)]
    folder = scenario_folder(experiment.scenario, file.parent)
    if not folder.exists():
        what = not_found(experiment.scenario, "beside this file")
        problems.append(Problem(file.name, "scenario", shown(experiment.scenario), what))
    if problems:
        raise ScenarioError(str(path), problems)
    return experiment, folder


def _problems(experiment: Experiment, file: str) -> list[Problem]:
    """Problems: axes without levels, keys changed by two axes, names not allowed in results."""
    from sim.studies.kpis import known

    problems = []
    owners: dict[str, str] = {}
    for axis, levels in experiment.axes.items():
        if not levels:
            problems.append(Problem(file, f"axes.{axis}", "", "has no level"))
        for key in {key for changes in levels.values() for key in changes}:
            if owners.setdefault(key, axis) != axis:
                what = f"is changed by axes.{owners[key]} too; a key belongs to one axis"
                problems.append(Problem(file, f"axes.{axis}", shown(key), what))
    for key in experiment.design.ranges if experiment.design is not None else ():
        if key in owners or key in experiment.axes:
            what = f"is changed by axes.{owners.get(key, key)} too; a key belongs to one of them"
            problems.append(Problem(file, f"design.ranges.{key}", "", what))
    for factor in experiment.factors:
        if factor in RESERVED or factor in known():
            what = "is a column of the results; choose another name"
            problems.append(Problem(file, f"axes.{factor}", "", what))
    count = math.prod(len(levels) for levels in experiment.axes.values())
    if count > MOST_LEVELS:
        what = f"{count} combinations; at most {MOST_LEVELS}: a design samples instead"
        problems.append(Problem(file, "axes", "", what))
    points = count * (experiment.design.points if experiment.design is not None else 1)
    if count > 1 and points > MOST_POINTS:
        what = f"{points} points with those of the design; at most {MOST_POINTS}"
        problems.append(Problem(file, "axes", "", what))
    return problems


RESERVED: Final = ("key", "policy", "seed", "status", "error", "scenario_sha256", "run", "cell")

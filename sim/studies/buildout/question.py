"""The build-out file: a container, a budget, sites, seeds. Typed and checked as a whole."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import ValidationError, model_validator

from sim.policies import BUILTIN
from sim.policy import PolicyError, load_policy, refuse_code
from sim.scenario import Scenario, load
from sim.scenario.problems import (
    Problem,
    ScenarioError,
    from_validation,
    instant,
    shown,
    unknown,
)
from sim.scenario.quantity import REQUIRED, Instant, Number, Table, quantity
from sim.scenario.shipped import not_found, scenario_folder
from sim.scenario.toml import TomlError, read_toml
from sim.studies.checked import chosen
from sim.studies.experiment import BUILDOUT_KEYS, Changes, PolicyChoice

MOST_CONTAINERS: Final = 10_000


class Container(Table):
    """What is bought: a number of GPU nodes in a housing, delivered as a project of its site."""

    gpu: str = quantity(REQUIRED, "", "GPU of the catalogue")
    gpus_per_node: int = quantity(8, "GPUs", "GPUs in a node", source="DGX, HGX", ge=1, le=1024)
    nodes: int = quantity(REQUIRED, "nodes", "nodes in a container", ge=1, le=10_000)
    state: Literal["contracted", "batch"] = quantity(
        "contracted", "", "reserved with credits when missed, or sold by the hour"
    )
    usd_per_gpu_h: float | None = quantity(
        None,
        "USD/GPU/h",
        "price of a GPU's hour; the answer hangs on it; default: the path of [gpu_market] of the "
        "scenario, else 2.0",
        source="assumed: as in gpus.csv",
        ge=0,
        le=1000,
    )
    contract: str | None = quantity(
        None, "", "a name of [gpu_contracts] of the scenario; as in gpus.csv"
    )
    occupancy: float | None = quantity(
        None,
        "-",
        "share of the hours that is let; as in gpus.csv",
        source="assumed: 1, every hour is let",
        ge=0,
        le=1,
    )
    utilisation: float = quantity(
        0.7, "-", "mean load of a node that is let", source="assumed", ge=0, le=1
    )
    opex_usd_per_gpu_h: float = quantity(
        0.0,
        "USD/GPU/h",
        "cost of an hour that is let, energy aside",
        source="assumed: none",
        ge=0,
        le=1000,
    )
    opex_usd_per_node_month: float = quantity(
        0.0,
        "USD/month",
        "cost of a node that is there, let or not",
        source="assumed: none",
        ge=0,
        le=1e6,
    )
    capex_usd: float = quantity(REQUIRED, "USD", "price of a container, set up", gt=0)
    lead_days: float = quantity(
        180.0, "d", "mean time from order to delivery", source="assumed", ge=0, le=3650
    )
    lead_cv: float = quantity(
        0.0, "-", "coefficient of variation of that time (lognormal)", source="assumed", ge=0, le=3
    )
    commissioning_days: float = quantity(
        30.0, "d", "from delivery to live", source="assumed", ge=0, le=3650
    )
    finance: str = quantity(
        "cash", "", "cash, btc (sold for each payment), or the name of a loan to draw on"
    )
    peak_pue: float = quantity(
        1.3,
        "-",
        "power at the meter over that of the nodes, with which room is planned",
        source="assumed: an air-cooled chiller on a hot day",
        ge=1,
        le=3,
    )
    source: str = quantity("", "", "where the figures come from")


class Search(Table):
    """How a plan is looked for."""

    method: Literal["halving", "greedy"] = quantity(
        "halving", "", "successive halving of many plans, or the greedy plan by duals alone"
    )
    seeds: int = quantity(8, "", "how many the search may use", ge=1, le=100_000)
    first_seed: int = quantity(1, "", "the first of them; the others follow", ge=0)
    first_seeds: int = quantity(2, "", "of the first round; they double in each round", ge=1)
    swaps: int = quantity(6, "", "neighbours of the leader that join each round", ge=0, le=1000)
    swap_seed: int = quantity(1, "", "draws the neighbours, not the runs", ge=0)
    bound_seeds: int = quantity(1, "", "over how many seeds duals are averaged", ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Search":
        for name in ("first_seeds", "bound_seeds"):
            if getattr(self, name) > self.seeds:
                what = f"must be <= seeds = {self.seeds}"
                raise ValueError(f"{name} = {getattr(self, name)}: {what}")
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds that the search may use."""
        return tuple(range(self.first_seed, self.first_seed + self.seeds))


class BuildoutQuestion(Table):
    """A build-out file: how many containers at which sites."""

    description: str = quantity("", "", "the question")
    scenario: str = quantity(REQUIRED, "", "folder, relative to this file, or a name in configs/")
    changes: Changes = quantity({}, "", "keys as in --set and their values")
    policy: str = quantity("", "", "who decides; default: the scenario's policy")
    budget_usd: float = quantity(REQUIRED, "USD", "most that containers and works cost", gt=0)
    sites: tuple[str, ...] = quantity((), "", "candidates; default: all with room for a container")
    most_per_site: int = quantity(8, "containers", "at one site", ge=1, le=1000)
    works_usd: dict[str, Number] = quantity(
        {}, "USD", "by site: on top of the price of each container there"
    )
    displace: bool = quantity(
        True, "", "whether a container may take the connection of ASICs, which then step back"
    )
    order_utc: Instant | None = quantity(
        None, "UTC", "when all is ordered; default: a day after the start"
    )
    container: Container = quantity(REQUIRED, "", "what is bought")
    search: Search = quantity(Search(), "", "how a plan is looked for")
    held_out_seeds: int = quantity(
        16, "", "how many judge the plan: those after the last seed of the search", ge=2, le=100_000
    )
    level: float = quantity(0.95, "-", "confidence level", ge=0.5, lt=1)

    @property
    def judges(self) -> tuple[int, ...]:
        """The held-out seeds, which the search never uses."""
        first = self.search.all_seeds[-1] + 1
        return tuple(range(first, first + self.held_out_seeds))

    def ordered(self, scenario: Scenario) -> datetime:
        """When a plan is ordered: after the first instant, which holds the opening balances."""
        return self.order_utc or scenario.horizon.start_utc + timedelta(days=1)

    def cost_usd(self, site: str) -> float:
        """Cost of a container at a site, with its works [USD]."""
        return self.container.capex_usd + self.works_usd.get(site, 0.0)


class BuildoutRequest(NamedTuple):
    """A checked question."""

    name: str
    question: BuildoutQuestion
    scenario: Scenario
    policy: str
    parameters: dict[str, Any]


def is_buildout(path: str | Path) -> bool:
    """Whether a file is a build-out file: it defines a container or a budget."""
    try:
        content = read_toml(Path(path))
    except (TomlError, OSError):
        return False
    return bool(BUILDOUT_KEYS & set(content))


def read_buildout(
    path: str | Path,
    *,
    allow_code: bool = False,
    allow_path: bool = False,
    run_code: bool = True,
) -> BuildoutRequest:
    """Read and check a build-out file and its scenario.

    Without `run_code`, code named as the policy is not imported.

    Raises:
        ScenarioError: with every problem of the file or of its scenario.
    """
    file = Path(path)
    if not file.is_file():
        raise ScenarioError(str(path), [Problem(str(file), "", "", "no such file")])
    try:
        content = read_toml(file)
        question = BuildoutQuestion.model_validate(content)
    except TomlError as error:
        problem = Problem(file.name, "", "", f"is not TOML: {error}")
        raise ScenarioError(str(path), [problem]) from None
    except ValidationError as error:
        problems = from_validation(error, file.name, BuildoutQuestion)
        raise ScenarioError(str(path), problems) from None
    folder = scenario_folder(question.scenario, file.parent)
    if not folder.exists():
        what = not_found(question.scenario, "beside this file")
        problem = Problem(file.name, "scenario", shown(question.scenario), what)
        raise ScenarioError(str(path), [problem])
    scenario = load(folder, question.changes, allow_path=allow_path)
    return asked(question, scenario, file.stem, allow_code=allow_code, run_code=run_code)


def asked(
    question: BuildoutQuestion,
    scenario: Scenario,
    name: str = "build-out",
    *,
    allow_code: bool = False,
    run_code: bool = True,
) -> BuildoutRequest:
    """Check a question against a loaded scenario; its own `scenario` and `changes` are ignored.

    Raises:
        ScenarioError: with every mismatch between the two.
    """
    problems = _problems(question, scenario, f"{name}.toml")
    choice = PolicyChoice(name=question.policy or scenario.policy.name)
    policy, parameters = chosen(scenario, choice)
    try:
        refuse_code(policy, BUILTIN, "policy", allowed=allow_code)
        if run_code or policy in BUILTIN or ":" not in policy:
            load_policy(policy, parameters, BUILTIN)
    except PolicyError as error:
        problems.append(Problem(f"{name}.toml", "policy", "", str(error)))
    if problems:
        raise ScenarioError(name, problems)
    return BuildoutRequest(name, question, scenario, policy, parameters)


def _problems(question: BuildoutQuestion, scenario: Scenario, file: str) -> list[Problem]:
    """Problems: names that the scenario lacks, and a budget that buys nothing."""
    from sim.scenario import catalogue

    names = {site.name for site in scenario.sites}
    container = question.container
    problems = [
        *unknown(
            file,
            "container.gpu",
            container.gpu,
            catalogue.gpus(scenario.gpu_models),
            "hashwatt list gpus",
        )
    ]
    if container.contract is not None:
        terms = scenario.gpu_contracts
        problems += unknown(file, "container.contract", container.contract, terms)
        if container.state != "contracted" or container.occupancy is not None:
            what = "lets nodes of state contracted as a whole: no batch, no occupancy"
            problems.append(Problem(file, "container.contract", shown(container.contract), what))
    ways = {"cash", "btc", *scenario.loans}
    problems += unknown(file, "container.finance", container.finance, ways)
    for k, site in enumerate(question.sites):
        problems += unknown(file, f"sites[{k}]", site, names)
        if site in question.sites[:k]:
            problems.append(Problem(file, f"sites[{k}]", shown(site), "stands there twice"))
    for site, usd in question.works_usd.items():
        problems += unknown(file, f"works_usd.{site}", site, names)
        if usd < 0.0:
            what = "must be >= 0 USD"
            problems.append(Problem(file, f"works_usd.{site}", f"{usd:g}", what))
    usd = container.capex_usd
    if question.budget_usd < usd:
        what = f"buys no container: one costs {usd:,.0f} USD"
        problems.append(Problem(file, "budget_usd", f"{question.budget_usd:,.0f}", what))
    elif question.budget_usd > usd * MOST_CONTAINERS:
        what = f"buys more than {MOST_CONTAINERS:,} containers; a container is a greater thing"
        problems.append(Problem(file, "budget_usd", f"{question.budget_usd:,.0f}", what))
    horizon = scenario.horizon
    when = question.ordered(scenario)
    if not 0.0 < (when - horizon.start_utc).total_seconds() < horizon.seconds:
        what = f"must be after the start of the run and before its end, {horizon.days:g} days later"
        problems.append(Problem(file, "order_utc", instant(when), what))
    return problems

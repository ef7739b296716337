"""The search for a plan: rankings, greedy plans, successive halving under common seeds.

Sources: K. Jamieson, A. Talwalkar, Non-stochastic best arm identification and hyperparameter
optimization, AISTATS 2016 (successive halving); duals: `sim.studies.bound`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sim.finance.valuation import Parts, firm_parts
from sim.runner import run
from sim.studies.bound.clairvoyant import bound
from sim.studies.buildout.question import BuildoutRequest
from sim.studies.buildout.yard import Plan, Yard, moved, usual_usd_per_gpu_h
from sim.studies.cells import Cell, Frozen, Source, scenario_of
from sim.studies.executors import execute
from sim.studies.problems import StudyError
from sim.types import Floats, OnProgress
from sim.units import HOURS_PER_YEAR

Score = Callable[[Sequence[Plan], Sequence[int]], Floats]  # gains over nothing (plan, seed) [USD]


class FirmValue(NamedTuple):
    """The value of the firm after a run."""

    parts: Parts  # components of the firm's net present value
    insolvent: bool

    @property
    def npv_usd(self) -> float:
        """Net present value of the firm after tax [USD]."""
        return self.parts.npv_after_tax_usd


def value_of(cell: Cell) -> FirmValue:
    """Run a cell and return the firm's net present value."""
    result = run(scenario_of(cell.source), cell.decider(), cell.seed)
    return FirmValue(firm_parts(result.scenario, result.levels), bool(result.kpis["insolvent"]))


class Trials:
    """A cache of plan runs, keyed by plan, price of a GPU-hour (None: as asked) and seed."""

    def __init__(self, yard: Yard, workers: int = 1, progress: OnProgress | None = None) -> None:
        self.yard = yard
        self.workers = workers
        self.progress = progress
        self.done: dict[tuple[Plan, float | None, int], FirmValue] = {}

    def npv_usd(
        self, plans: Sequence[Plan], seeds: Sequence[int], usd_per_gpu_h: float | None = None
    ) -> Floats:
        """Net present values of the firm (plan, seed) [USD].

        Raises:
            StudyError: if a run fails.
        """
        keys = {
            (plan, usd_per_gpu_h if any(plan) else None, seed): None
            for plan in plans
            for seed in seeds
        }
        asked = self.yard.asked
        cells: dict[str, tuple[Plan, float | None, int]] = {}
        items = []
        for plan, price in dict.fromkeys((p, u) for p, u, _ in keys):
            waiting = [s for s in seeds if (plan, price, s) not in self.done]
            if not waiting:
                continue
            source = Frozen.of(self.yard.built(plan, price))
            for seed in waiting:
                cell = Cell(source, asked.policy, asked.parameters, seed)
                cells[cell.key] = (plan, price, seed)
                items.append(cell)
        begun = len(self.done)
        for cell, result, error in execute(value_of, items, self.workers):
            if result is None:
                plan, _, seed = cells[cell.key]
                raise StudyError(f"plan {_counts(self.yard, plan)}, seed {seed} failed: {error}")
            self.done[cells[cell.key]] = result
            if self.progress is not None:
                self.progress(len(self.done), begun + len(items))
        return np.array(
            [
                [self.done[p, usd_per_gpu_h if any(p) else None, s].npv_usd for s in seeds]
                for p in plans
            ]
        )

    def gains_usd(
        self, plans: Sequence[Plan], seeds: Sequence[int], usd_per_gpu_h: float | None = None
    ) -> Floats:
        """Net present values less those of building nothing, seed by seed (plan, seed) [USD]."""
        nothing = self.npv_usd([self.yard.nothing], seeds)
        return self.npv_usd(plans, seeds, usd_per_gpu_h) - nothing

    def parts(self, plan: Plan, seeds: Sequence[int]) -> Parts:
        """Mean components of a plan's gain over building nothing, paired by seed.

        The runs must be in the cache already.
        """
        nothing = self.yard.nothing
        gains = [
            np.array(self.done[plan, None, s].parts) - np.array(self.done[nothing, None, s].parts)
            for s in seeds
        ]
        return Parts(*(float(usd) for usd in np.mean(gains, axis=0)))

    def insolvencies(self, plan: Plan, seeds: Sequence[int]) -> int:
        """Number of these runs in which the firm became insolvent."""
        return sum(self.done[plan, None, seed].insolvent for seed in seeds)


class Survey(NamedTuple):
    """Value of a first container at each candidate site. Shape: `site`."""

    dual_usd_per_year: Floats  # per container and year of run: the bound's duals, before capex
    price_usd_per_mwh: Floats  # mean over the run, delivery included
    ratio: Floats  # a year's rent less energy at that price, over the cost of a container


@dataclass(frozen=True)
class _Look:
    source: Source
    cell: Cell
    containers: int


def survey(asked: BuildoutRequest, yard: Yard, workers: int = 1) -> Survey:
    """Evaluate all candidate sites in one run, with one container each, regardless of the budget.

    The dual of a node is what one more node would have earned a clairvoyant: its rent less energy
    and cooling at realised prices, less the earnings of the machines it displaces at its site's
    connection and the limits above. It is a marginal value at one container per site: two
    containers on one full connection may be worth less.

    Raises:
        StudyError: if there is no bound, or a run fails.
    """
    each = Frozen.of(yard.built((1,) * len(yard.sites)))
    seeds = asked.question.search.all_seeds[: asked.question.search.bound_seeds]
    looks = [
        _Look(each, Cell(each, asked.policy, asked.parameters, s), len(yard.sites)) for s in seeds
    ]
    duals, prices = [], []
    for look, found, error in execute(_look, looks, workers):
        if found is None:
            raise StudyError(f"duals of seed {look.cell.seed}: {error}")
        duals.append((look.cell.seed, found[0]))
        prices.append((look.cell.seed, found[1]))
    container = asked.question.container
    dual = np.mean([values for _, values in sorted(duals, key=_seed)], axis=0) * container.nodes
    by_site = np.mean([values for _, values in sorted(prices, key=_seed)], axis=0)
    index = {site.name: s for s, site in enumerate(asked.scenario.sites)}
    price = by_site[[index[name] for name in yard.sites]]
    gpus = container.nodes * container.gpus_per_node
    hire_usd = gpus * usual_usd_per_gpu_h(asked) * HOURS_PER_YEAR
    ratio = (hire_usd - yard.container_mw * price * HOURS_PER_YEAR) / yard.cost_usd
    return Survey(dual, price, ratio)


def _seed(item: tuple[int, Floats]) -> int:
    return item[0]


def _look(look: _Look) -> tuple[Floats, Floats]:
    """Duals of the last nodes [USD per node and year] and mean prices of all sites [USD/MWh]."""
    scenario = scenario_of(look.source)
    table = bound(scenario, look.cell.seed).worth.to_pylist()
    nodes = [row["usd_per_unit_year"] for row in table if row["kind"] == "gpu node"]
    sites = run(scenario, look.cell.decider(), look.cell.seed).table("sites")
    seen = sites["price_usd_per_mwh"].to_numpy().astype(np.float64)
    names = np.array(sites["site"].to_pylist())
    mean = np.array([seen[names == site.name].mean() for site in scenario.sites])
    return np.array(nodes[-look.containers :]), mean


def simple_plans(yard: Yard, survey: Survey) -> dict[str, Plan]:
    """Simple plans that need no search, by name."""
    return {
        "cheapest power": yard.fill(_falling(-survey.price_usd_per_mwh)),
        "spread evenly": yard.spread(),
        "largest spare connection": yard.fill(_falling(yard.spare_mw)),
    }


def searched_plans(yard: Yard, survey: Survey) -> dict[str, Plan]:
    """Initial plans of the search, besides the simple ones and building nothing."""
    leader = yard.fill(_falling(survey.dual_usd_per_year / yard.cost_usd))
    half, left = [], sum(leader) // 2
    for site in _falling(survey.dual_usd_per_year / yard.cost_usd):
        half.append((site, min(leader[site], left)))
        left -= half[-1][1]
    return {
        "greedy by dual": leader,
        "greedy by ratio": yard.fill(_falling(survey.ratio)),
        "half of greedy by dual": tuple(n for _, n in sorted(half)),
    }


def _falling(values: Floats) -> list[int]:
    """Sites in descending order of value; ties keep their order."""
    return [int(k) for k in np.argsort(-values, kind="stable")]


class Round(NamedTuple):
    """A round of the search: plans from best to worst, and their mean gains."""

    seeds: int
    plans: tuple[Plan, ...]
    gains_usd: Floats  # (plan,)


def halving(yard: Yard, first: Iterable[Plan], score: Score) -> tuple[Round, ...]:
    """Successive halving: the better half and the leader's neighbours advance to twice the seeds.

    The last round has all seeds of the search; its first plan is the winner. Building nothing takes
    part in every round. On ties the earlier plan wins.
    """
    search = yard.asked.question.search
    random = np.random.default_rng(search.swap_seed)
    alive = list(dict.fromkeys([yard.nothing, *first]))
    count, rounds = search.first_seeds, []
    while True:
        means = score(alive, search.all_seeds[:count]).mean(axis=1)
        order = _falling(means)
        ranked = [alive[k] for k in order]
        rounds.append(Round(count, tuple(ranked), means[order]))
        if count == search.seeds:
            return tuple(rounds)
        count = min(2 * count, search.seeds)
        kept = ranked[: (len(ranked) + 1) // 2]
        fresh = neighbours(yard, ranked[0], search.swaps, random)
        alive = list(dict.fromkeys([yard.nothing, *kept, *fresh]))


def neighbours(yard: Yard, plan: Plan, count: int, random: np.random.Generator) -> list[Plan]:
    """At most `count` distinct random plans that move, add or drop one container and fit."""
    places: list[int | None] = [None, *range(len(plan))]
    near = [
        moved(plan, source, target)
        for source in places
        if source is None or plan[source]
        for target in places
        if source != target
    ]
    fitting = [near[k] for k in random.permutation(len(near)) if yard.fits(near[k])]
    return fitting[:count]


def _counts(yard: Yard, plan: Plan) -> str:
    told = [f"{n} at {site}" for site, n in zip(yard.sites, plan, strict=True) if n]
    return ", ".join(told) or "nothing"

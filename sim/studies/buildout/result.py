"""`hashwatt buildout`: how many containers at which sites under a budget, and how certain that is.

The search compares plans, simple plans and building nothing on its own seeds, by the firm's net
present value under common random numbers. All reported figures come from held-out seeds that the
search has not seen: the best of many plans looks better than it is on the seeds that chose it.
Spending less than the budget, or nothing, is allowed. A plan's gain is the value of the firm after
tax with the plan less without it, under the same luck, so ASICs displaced by containers count. The
part of the gain that is terminal value of machines is reported beside it (`sim.finance.terminal`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from scipy.optimize import brentq

from sim.finance.valuation import Parts
from sim.results.disk import write_json
from sim.results.folder import Folder
from sim.results.provenance import provenance
from sim.studies.buildout.question import BuildoutRequest, read_buildout
from sim.studies.buildout.search import (
    Round,
    Survey,
    Trials,
    halving,
    searched_plans,
    simple_plans,
    survey,
)
from sim.studies.buildout.yard import Plan, Yard, usual_usd_per_gpu_h
from sim.studies.compare import Comparison, Difference, Mean, percent_more
from sim.studies.compare_text import verdict
from sim.studies.figures import plain
from sim.studies.sequential import RAREST, doubt
from sim.studies.statistics import (
    Interval,
    estimate,
    holm,
    t_interval,
    variance_reduction,
)
from sim.studies.sweep import write_table
from sim.types import Floats, OnProgress

KPI: Final = "npv_gain_usd"  # the firm's NPV after tax less that without a build-out, same seed
NOTHING: Final = "nothing"
FOUND: Final = "searched plan"
SETTLED: Final = 1e-6  # relative change of the breakeven price below which the search ends
WIDEST: Final = 8  # steps outwards from the price in the question


class Breakeven(NamedTuple):
    """The price of a GPU's hour at which a plan's mean gain is zero."""

    plan: str
    usd_per_gpu_h: float
    interval: Interval  # t, of each held-out seed's own breakeven
    residual_usd: float  # mean gain when run at that price


@dataclass(frozen=True)
class Buildout:
    """The result of a build-out study. Shapes: `site` (candidates), `plan`, `seed` (held out)."""

    asked: BuildoutRequest
    yard: Yard = field(repr=False)
    survey: Survey = field(repr=False)
    plans: dict[str, Plan]  # by name, without duplicates; the winner is first
    merged: dict[str, str]  # duplicate plans: their names, and the name kept
    best_simple: str  # by the seeds of the search
    rounds: tuple[Round, ...] = field(repr=False)
    comparison: Comparison = field(repr=False)  # on held-out seeds, winner against others
    breakeven: Breakeven | None
    insolvencies: dict[str, int]  # by plan: held-out runs in which the firm failed
    parts: dict[str, Parts]  # by plan: components of its mean gain on held-out seeds

    @property
    def winner(self) -> str:
        """Name of the plan chosen by the search."""
        return next(iter(self.plans))

    @property
    def plan(self) -> dict[str, int]:
        """The winner: containers by site, sites with none left out."""
        return _by_site(self.yard, self.plans[self.winner])


def buildout(
    asked: BuildoutRequest | str | Path, workers: int = 1, progress: OnProgress | None = None
) -> Buildout:
    """Search for a plan and evaluate it on held-out seeds.

    Args:
        asked: a build-out file, or the result of `read_buildout` or `asked`.
        workers: number of local processes.
        progress: called with the number of finished runs and the number known to be needed.

    Raises:
        ScenarioError: if the question is invalid.
        StudyError: if a run fails, or the scenario has no bound.
    """
    given = asked if isinstance(asked, BuildoutRequest) else read_buildout(asked)
    question = given.question
    yard = Yard(given)
    surveyed = survey(given, yard, workers)
    trials = Trials(yard, workers, progress)
    simple, searched = simple_plans(yard, surveyed), searched_plans(yard, surveyed)
    seeds = question.search.all_seeds
    rounds: tuple[Round, ...] = ()
    chosen = searched["greedy by dual"]
    if question.search.method == "halving":
        rounds = halving(yard, [*searched.values(), *simple.values()], trials.gains_usd)
        chosen = rounds[-1].plans[0]
    gains = trials.gains_usd(list(simple.values()), seeds).mean(axis=1)
    best = list(simple)[int(np.argmax(gains))]
    plans, merged = _named(yard, chosen, simple, searched)
    best = merged.get(best, best)
    compared = _compared(given, plans, trials)
    priced = next(iter(plans)) if any(chosen) else best
    even = breakeven(trials, priced, plans[priced], question.judges, question.level)
    return Buildout(
        asked=given,
        yard=yard,
        survey=surveyed,
        plans=plans,
        merged=merged,
        best_simple=best,
        rounds=rounds,
        comparison=compared,
        breakeven=even,
        insolvencies={n: trials.insolvencies(p, question.judges) for n, p in plans.items()},
        parts={n: trials.parts(p, question.judges) for n, p in plans.items()},
    )


def _named(
    yard: Yard, chosen: Plan, simple: dict[str, Plan], searched: dict[str, Plan]
) -> tuple[dict[str, Plan], dict[str, str]]:
    """The winner, the simple plans and nothing, without duplicates; and the merged names.

    A winner that already has a name keeps it, so no plan is compared with itself.
    """
    known = {NOTHING: yard.nothing, **simple, **searched}
    title = next((name for name, plan in known.items() if plan == chosen), FOUND)
    plans, merged = {title: chosen}, {}
    for name, plan in {**simple, NOTHING: yard.nothing}.items():
        same = next((n for n, p in plans.items() if p == plan), None)
        if same is None:
            plans[name] = plan
        elif same != name:
            merged[name] = same
    return plans, merged


def _compared(asked: BuildoutRequest, plans: dict[str, Plan], trials: Trials) -> Comparison:
    """Compare the winner with each other plan on held-out seeds; Holm p-values over these pairs."""
    level, seeds, names = asked.question.level, asked.question.judges, tuple(plans)
    npv = trials.npv_usd(list(plans.values()), seeds)
    gains = npv - trials.npv_usd([trials.yard.nothing], seeds)
    found = [estimate(gains[0] - other, level) for other in gains[1:]]
    adjusted = holm([e.p for e in found])
    differences = tuple(
        Difference(
            kpi=KPI,
            a=names[0],
            b=name,
            estimate=e,
            p_adjusted=float(p),
            variance_reduction=variance_reduction(npv[0], npv[k]),
            mean_a=float(gains[0].mean()),
            mean_b=float(gains[k].mean()),
            percent=percent_more(gains[0], gains[k], level),
            doubt=doubt(gains[0] - gains[k], False, RAREST),
        )
        for k, (name, e, p) in enumerate(zip(names[1:], found, adjusted, strict=True), start=1)
    )
    return Comparison(
        scenario=asked.scenario.name,
        policies=names,
        seeds=seeds,
        level=level,
        interval_level=level,
        looks=(len(seeds),),
        reached=None,
        values={KPI: gains},
        means=tuple(
            Mean(name, KPI, estimate(row, level), None)
            for name, row in zip(names, gains, strict=True)
        ),
        differences=differences,
        regrets=(),
        cells=_cells(names, seeds, npv, gains),
    )


def _cells(names: Sequence[str], seeds: Sequence[int], npv: Floats, gains: Floats) -> pa.Table:
    return pa.table(
        {
            "plan": [name for name in names for _ in seeds],
            "seed": pa.array([seed for _ in names for seed in seeds], pa.int64()),
            "npv_usd": pa.array(npv.ravel(), pa.float64()),
            KPI: pa.array(gains.ravel(), pa.float64()),
        }
    )


def breakeven(
    trials: Trials, name: str, plan: Plan, seeds: Sequence[int], level: float
) -> Breakeven | None:
    """The price of a GPU-hour at which a plan's mean gain is zero; None: there is no such price.

    The gain rises with the price. It is linear while the same nodes run and the same terminal
    values hold, with a kink where the remaining earnings of machines fall below their market price.
    The bracket is widened by halves until the gain changes sign, then narrowed by Brent's method.
    The policy decides anew at each price.
    """
    asked = usual_usd_per_gpu_h(trials.yard.asked)
    if asked <= 0.0 or not any(plan):
        return None
    known: dict[float, Floats] = {}
    if trials.yard.asked.question.container.usd_per_gpu_h is not None:
        known[asked] = trials.gains_usd([plan], seeds)[0]

    def mean_at(price: float) -> float:
        if price not in known:
            known[price] = trials.gains_usd([plan], seeds, price)[0]
        return float(known[price].mean())

    low, high = asked, asked
    for _ in range(WIDEST):
        if mean_at(low) > 0.0:
            low *= 0.5
        elif mean_at(high) < 0.0:
            high *= 1.5
        else:
            break
    at_low, at_high = mean_at(low), mean_at(high)
    if at_low > 0.0 or at_high < 0.0 or at_low == at_high:
        return None
    root = float(brentq(mean_at, low, high, xtol=SETTLED * asked, rtol=SETTLED))
    other = min((p for p in known if p != root), key=lambda p: abs(p - root))
    slopes = (known[root] - known[other]) / (root - other)
    slope = float(slopes.mean())
    each = root - known[root] / np.where(slopes > 0.0, slopes, slope if slope > 0.0 else np.inf)
    return Breakeven(name, float(each.mean()), t_interval(each, level), mean_at(root))


def _by_site(yard: Yard, plan: Plan) -> dict[str, int]:
    return {site: n for site, n in zip(yard.sites, plan, strict=True) if n}


def sentences(found: Buildout) -> Iterator[str]:
    """The findings in sentences that claim no more than the data show."""
    question, winner = found.asked.question, found.winner
    if not found.plan:
        yield "the search chose to build nothing: no plan gained on its seeds"
    elif winner == found.best_simple:
        yield f"the search found nothing better than the simple plan {winner!r}"
    if found.plan:
        usd = found.yard.capex_usd(found.plans[winner])
        share = 100.0 * usd / question.budget_usd
        yield f"{winner}: {usd:,.0f} USD, {share:.3g} % of the budget"
    for d in found.comparison.differences:
        yield verdict(d, found.comparison)
    if found.plan:
        parts, days = found.parts[winner], found.asked.scenario.horizon.days
        yield (
            f"of what {winner} brings in {_at_end_pct(parts):.0f} % is what its machines are "
            f"counted for after {days:g} days, not cash: the lower of market and what they still "
            "earn"
        )
    price, market = usual_usd_per_gpu_h(found.asked), question.container.usd_per_gpu_h is None
    if found.breakeven is not None:
        b = found.breakeven
        yield (
            f"{b.plan} gains nothing at {b.usd_per_gpu_h:.4g} USD per GPU and hour "
            f"({100 * b.interval.level:g} % of t: {b.interval.low:.4g} to {b.interval.high:.4g}); "
            + (
                f"the market's mean over the seeds searched is {price:.4g}"
                if market
                else f"the {price:.4g} asked about are an assumption"
            )
        )
    elif price > 0.0:
        yield "no price of a GPU's hour was found at which the gain is zero"
    failed = {name: n for name, n in found.insolvencies.items() if n}
    if failed:
        told = ", ".join(f"{name} {n}" for name, n in failed.items())
        yield f"the firm failed in some of {len(found.comparison.seeds)} held-out runs: {told}"


def lines(found: Buildout) -> Iterator[str]:
    """The study as text for a terminal."""
    question, yard, c = found.asked.question, found.yard, found.comparison
    yield question.description or found.asked.name
    yield (
        f"{len(yard.sites)} candidate sites, {yard.container_mw:.3g} MW a container, budget "
        f"{question.budget_usd:,.0f} USD; {question.search.seeds} seeds searched, "
        f"{len(c.seeds)} held out"
    )
    for r in found.rounds:
        yield (
            f"round of {r.seeds} seeds: {len(r.plans)} plans, best {r.gains_usd[0]:,.0f} USD "
            f"over nothing: {_told(yard, r.plans[0])}"
        )
    for name, plan in found.plans.items():
        also = [n for n, same in found.merged.items() if same == name]
        yield f"{' = '.join([name, *also])}: {_told(yard, plan)}"
    name_width = max(len(name) for name in c.policies) + 2
    yield f"NPV over building nothing [USD], {100 * c.level:g} %, held-out seeds"
    yield f"{'':{name_width}s}{'capex':>14s}{'mean':>14s}{'t':>32s}{'bootstrap-t':>32s}"
    for m in c.means:
        yield (
            f"{m.policy:{name_width}s}{yard.capex_usd(found.plans[m.policy]):>14,.0f}"
            f"{m.estimate.mean:>14,.0f}{_span(m.estimate.t):>32s}"
            f"{_span(m.estimate.bootstrap):>32s}"
        )
    built = {name: p for name, p in found.parts.items() if any(found.plans[name])}
    if built:
        yield "what these gains are made of [USD], mean present values"
        heads = ("operations", "laid out", "machines at end", "other at end", "tax")
        yield f"{'':{name_width}s}" + "".join(f"{h:>17s}" for h in heads) + f"{'at end':>9s}"
        for name, p in built.items():
            usd = (p.operating_usd, p.invested_usd, p.terminal_usd, p.other_end_usd, -p.tax_usd)
            told = "".join(f"{v:>17,.0f}" for v in usd)
            yield f"{name:{name_width}s}{told}{_at_end_pct(p):>7.0f} %"
    yield f"{found.winner} less the others, paired"
    for d in c.differences:
        yield (
            f"{d.b:{name_width}s}{'':14s}{d.estimate.mean:>14,.0f}{_span(d.estimate.t):>32s}"
            f"{_span(d.estimate.bootstrap):>32s}  p = {d.p_adjusted:.2g} (Holm)"
        )
    yield from sentences(found)


def document(found: Buildout) -> dict[str, Any]:
    """The study as plain JSON values."""
    yard, c = found.yard, found.comparison
    even = found.breakeven
    return {
        "name": found.asked.name,
        "scenario": c.scenario,
        "budget_usd": found.asked.question.budget_usd,
        "search_seeds": list(found.asked.question.search.all_seeds),
        "held_out_seeds": list(c.seeds),
        "container_mw": yard.container_mw,
        "winner": found.winner,
        "plan": found.plan,
        "best_simple": found.best_simple,
        "merged": found.merged,
        "plans": [
            {
                "name": m.policy,
                "containers": _by_site(yard, found.plans[m.policy]),
                "capex_usd": yard.capex_usd(found.plans[m.policy]),
                "mw": yard.container_mw * sum(found.plans[m.policy]),
                "npv_gain_usd": _estimate(m.estimate),
                "parts": found.parts[m.policy]._asdict(),
                "at_end_pct": _at_end_pct(found.parts[m.policy]),
                "insolvent_runs": found.insolvencies[m.policy],
            }
            for m in c.means
        ],
        "differences": [
            {"a": d.a, "b": d.b, "p_adjusted": d.p_adjusted, **_estimate(d.estimate),
             "verdict": verdict(d, c)}
            for d in c.differences
        ],
        "breakeven": None if even is None else plain(even),
        "rounds": [
            {
                "seeds": r.seeds,
                "plans": [
                    {"containers": _by_site(yard, plan), "mean_gain_usd": float(usd)}
                    for plan, usd in zip(r.plans, r.gains_usd, strict=True)
                ],
            }
            for r in found.rounds
        ],
        "sites": [
            {
                "site": site,
                "dual_usd_per_container_year": float(found.survey.dual_usd_per_year[k]),
                "mean_price_usd_per_mwh": float(found.survey.price_usd_per_mwh[k]),
                "spare_mw": float(yard.spare_mw[k]),
                "cost_usd": float(yard.cost_usd[k]),
            }
            for k, site in enumerate(yard.sites)
        ],
        "said": list(sentences(found)),
    }  # fmt: skip


def save(found: Buildout, folder: Folder) -> None:
    """buildout.json, runs.parquet (held-out runs by plan and seed), and the manifest last."""
    write_table(found.comparison.cells, folder.draft / "runs.parquet")
    write_json(folder.draft / "buildout.json", document(found))
    manifest = {
        "name": found.asked.name,
        "question": found.asked.question.model_dump(mode="json"),
        "scenario_sha256": found.asked.scenario.sha256(),
        **provenance(),
    }
    folder.commit(manifest)


def _at_end_pct(parts: Parts) -> float:
    """Share of all inflows that is value at the end of the run and not cash [%]."""
    at_end = parts.terminal_usd + parts.other_end_usd
    inflow = max(parts.operating_usd, 0.0) + max(at_end, 0.0)
    return 100.0 * max(at_end, 0.0) / inflow if inflow > 0.0 else 0.0


def _estimate(e: Any) -> dict[str, Any]:
    return {"mean": e.mean, "t": plain(e.t), "bootstrap_t": plain(e.bootstrap), "n": e.n}


def _told(yard: Yard, plan: Plan) -> str:
    at = [f"{n} at {site}" for site, n in _by_site(yard, plan).items()]
    return ", ".join(at) or "nothing"


def _span(interval: Interval) -> str:
    return f"{interval.low:,.0f} to {interval.high:,.0f}"

"""Conversion of megawatts from ASICs to GPU nodes: paired runs, and the break-even GPU price."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from sim.finance.residual import annuity
from sim.results.uses import RENTED
from sim.runner import policy_of
from sim.scenario import Scenario, catalogue
from sim.studies.cells import Cell, Frozen
from sim.studies.conversion.swap import (
    ENERGY,
    OTHER,
    RENTED_USD,
    REVENUE,
    ConversionRequest,
    Swap,
    Terms,
    Turning,
    converted,
    fade_of,
    faded,
    left,
    notes,
    swap_of,
    terms_of,
    turn,
)
from sim.studies.figures import plain
from sim.studies.problems import StudyError
from sim.studies.statistics import Estimate, estimate
from sim.studies.sweep import run_cells
from sim.types import Floats, OnProgress
from sim.units import SECONDS_PER_YEAR

QUANTILES: Final = (5, 50, 95)
COLUMNS: Final = 80
MANY: Final = 20  # seeds from which P5 and P95 are observed, not interpolated
PARTS: Final = {
    REVENUE: "revenue",
    ENERGY: "energy",
    OTHER: "other operating cost",
    "fade": "fading of GPU prices over the useful life",
    "margin": "margin",
    "capital of the nodes": "capital charge of the nodes",
    "capital saved": "capital charge saved on the ASICs",
    "tax": "tax",
    "result": "left after capital and tax",
}


@dataclass(frozen=True)
class Conversion:
    """The result of `convert`. `amounts` (seed,) are differences [USD/MW/year]."""

    scenario: str
    policy: str
    asked: ConversionRequest
    terms: Terms
    swap: Swap
    removed: str
    seeds: tuple[int, ...]
    days: float
    amounts: dict[str, Floats]
    result: Estimate
    npv_usd_per_mw: float  # over the nodes' useful life
    price_now: float | None  # mean price of a GPU-hour in the runs
    turning: Turning
    failed_firms: int  # runs in which the firm became insolvent; its books end there
    notes: tuple[str, ...]

    @property
    def answer(self) -> str:
        """Yes, no, or that the seeds do not decide."""
        t = self.result.t
        if self.result.n < 2:
            return "one seed shows no more than itself"
        if t.low <= 0.0 <= t.high and t.low != t.high:
            return "not told: the interval holds zero"
        return "yes" if self.result.mean > 0.0 else "no"


class _Ran(NamedTuple):
    sums: dict[str, Floats]  # (seed,) USD a year
    gpu_h: Floats  # (seed,) a year
    failed: int


class _Runs:
    """Runs fleets under the same seeds and reports progress."""

    def __init__(
        self, scenario: Scenario, seeds: Sequence[int], policy: str | None, workers: int,
        progress: OnProgress | None,
    ) -> None:  # fmt: skip
        self.name, self.parameters = policy_of(scenario, policy)
        self.years = scenario.horizon.seconds / SECONDS_PER_YEAR
        self.seeds, self.workers, self.progress = seeds, workers, progress
        self.folder = Path(tempfile.mkdtemp(prefix="hashwatt-"))
        self.done = 0

    def run(self, fleet: Scenario, coming: int) -> _Ran:
        """Run a fleet with all seeds; `coming` more fleets are expected after it."""
        source = Frozen.of(fleet)
        cells = [Cell(source, self.name, self.parameters, seed) for seed in self.seeds]
        before, more = self.done, coming * len(self.seeds)

        def tick(ended: int, total: int) -> None:
            if self.progress is not None:
                self.progress(before + ended, before + total + more)

        records, _ = run_cells(cells, self.folder, "small", self.workers, progress=tick)
        self.done += len(cells)
        for cell in cells:
            if records[cell.key].error:
                raise StudyError(f"seed {cell.seed} failed: {records[cell.key].error}")
        tables = [pq.read_table(self.folder / "cells" / c.key / "worth.parquet") for c in cells]
        rows = [t.to_pylist() for t in tables]
        sums = {
            part: np.array([sum(r[f"{part}_usd"] for r in seed) for seed in rows]) / self.years
            for part in (REVENUE, ENERGY, OTHER)
        }
        rented = [[r for r in seed if r["kind"] == RENTED] for seed in rows]
        sums[RENTED_USD] = np.array([sum(r["revenue_usd"] for r in s) for s in rented]) / self.years
        hours = np.array([sum(r["quantity"] or 0.0 for r in s) for s in rented]) / self.years
        failed = sum(bool(records[cell.key].kpis.get("insolvent")) for cell in cells)
        return _Ran(sums, hours, failed)


def convert(
    scenario: Scenario,
    asked: ConversionRequest,
    seeds: int | Sequence[int] = 8,
    policy: str | None = None,
    workers: int = 1,
    progress: OnProgress | None = None,
    level: float = 0.95,
) -> Conversion:
    """Run the fleet with and without the conversion, and at the break-even price of a GPU-hour.

    Raises:
        ScenarioError: for an invalid site, GPU, power or price.
        StudyError: if a run fails.
    """
    swap = swap_of(scenario, asked)
    chosen = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(seeds)
    runs = _Runs(scenario, chosen, policy, workers, progress)
    try:
        without = runs.run(scenario, 2)
        after = runs.run(converted(scenario, asked, swap), 1)
        amounts = left(scenario, asked, swap, without.sums, after.sums)
        mean = float(amounts["result"].mean())
        hours = float((after.gpu_h - without.gpu_h).mean())
        rented_usd = float(amounts[RENTED_USD].mean())
        now = rented_usd / hours if hours > 0.0 else None

        def at(usd_per_gpu_h: float) -> float:
            fade = fade_of(scenario, asked)  # a given price would not fade
            other = asked._replace(usd_per_gpu_h=usd_per_gpu_h, fade_per_year=fade)
            there = runs.run(converted(scenario, other, swap), 0)
            return float(left(scenario, other, swap, without.sums, there.sums)["result"].mean())

        slope = hours * faded(scenario, asked) * (1.0 - scenario.firm.tax_fraction)
        turning = turn(now or 0.0, mean, slope, swap.new_charge_usd, at)
    finally:
        shutil.rmtree(runs.folder, ignore_errors=True)
    per_mw = {part: values / swap.removed_mw for part, values in amounts.items()}
    firm = scenario.firm
    worth = annuity(firm.discount_rate_per_year, firm.gpu_life_years)
    return Conversion(
        scenario=scenario.name,
        policy=runs.name,
        asked=asked,
        terms=terms_of(scenario, asked),
        swap=swap,
        removed=_named(scenario, swap),
        seeds=chosen,
        days=scenario.horizon.days,
        amounts=per_mw,
        result=estimate(per_mw["result"], level),
        npv_usd_per_mw=float(per_mw["result"].mean()) * worth,
        price_now=now,
        turning=turning,
        failed_firms=without.failed + after.failed,
        notes=notes(scenario, asked, swap),
    )


def _named(scenario: Scenario, swap: Swap) -> str:
    models = catalogue.asics(scenario.asic_models)
    parts = [f"{n:,} {models[scenario.asics[g].model].name}" for g, n in swap.removed]
    return ", ".join(parts)


def lines(found: Conversion) -> Iterator[str]:
    """The answer as text for a terminal of 80 columns."""
    for line in _lines(found):
        indent = " " * (len(line) - len(line.lstrip(" -")))
        yield from wrap(line, COLUMNS, subsequent_indent=indent or "  ") if line else [""]


def _lines(found: Conversion) -> Iterator[str]:
    a, s, n = found.asked, found.swap, len(found.seeds)
    yield f"{found.scenario} · {found.policy} · {a.site}: {a.mw:g} MW to {a.gpu} {a.state}"
    yield f"  goes: {found.removed}, {s.removed_mw:.3f} MW, worth {s.old_usd:,.0f} USD"
    nodes = f"{s.nodes} nodes of {a.gpus_per_node}"
    yield f"  comes: {nodes}, {s.added_mw:.3f} MW, for {s.new_usd:,.0f} USD"
    yield f"change in USD a year for a megawatt, the same {n} seeds with and without"
    yield f"  {'':42s}{'mean':>11s}{'P5':>11s}{'P95':>11s}"
    for part, title in PARTS.items():
        values = found.amounts[part]
        if values.any() or part == "result":
            low, high = np.percentile(values, [5, 95])
            yield f"  {title:42s}{values.mean():>11,.0f}{low:>11,.0f}{high:>11,.0f}"
    t = found.result.t
    span = f" ({100 * t.level:g} % paired t: {t.low:,.0f} to {t.high:,.0f})" if n > 1 else ""
    yield f"does it pay? {found.answer}{span}"
    yield f"NPV over the useful life: {found.npv_usd_per_mw:,.0f} USD a megawatt"
    yield f"turns at {_turning(found)}"
    for note in found.notes:
        yield f"  - {note}"
    if n < MANY:
        yield f"  - P5 and P95 of {n} seeds are interpolated between them"
    if found.failed_firms:
        yield f"  - the firm failed in {found.failed_firms} runs: its books end there"


def _turning(found: Conversion) -> str:
    turning, now = found.turning, found.price_now
    if turning.usd_per_gpu_h is None:
        return f"no price of a GPU-hour: {turning.how}"
    said = "" if now is None else f" (now {now:.3f})"
    return f"{turning.usd_per_gpu_h:.3f} USD/GPU-h{said}: {turning.how}"


def document(found: Conversion) -> dict[str, Any]:
    """The answer as plain JSON values."""
    values = {
        part: {
            "title": PARTS[part],
            "mean_usd_per_mw_year": float(v.mean()),
            **{f"p{q}_usd_per_mw_year": float(np.percentile(v, q)) for q in QUANTILES},
            "by_seed": v.tolist(),
        }
        for part, v in found.amounts.items()
        if part in PARTS
    }
    return {
        "scenario": found.scenario,
        "policy": found.policy,
        "asked": found.asked._asdict(),
        "terms": found.terms._asdict(),
        "swap": found.swap._asdict() | {"removed": [list(r) for r in found.swap.removed]},
        "seeds": list(found.seeds),
        "days": found.days,
        "parts": values,
        "result": plain(found.result),
        "answer": found.answer,
        "npv_usd_per_mw": found.npv_usd_per_mw,
        "price_now_usd_per_gpu_h": found.price_now,
        "turning": plain(found.turning),
        "failed_firms": found.failed_firms,
        "notes": list(found.notes),
    }

"""Change of a KPI with each factor of `[what_if]`, one at a time, under the same luck.

Interactions of factors are left out. The policy decides anew under each factor, so the result shows
the fleet's response, not the cost of keeping to its plans.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

import numpy as np
import pyarrow as pa

from sim.results.kpis import KPIS
from sim.runner import run
from sim.scenario.model import WhatIf
from sim.scenario.scenario import Scenario
from sim.studies.statistics import (
    t_interval,
)
from sim.types import Floats

FACTORS: Final = tuple(WhatIf.model_fields)
Cell = tuple[str, float] | None  # a factor and its value; None: the base


def factors_of(scenario: Scenario) -> tuple[str, ...]:
    """Factors that affect something in a scenario."""
    built = {name for name, p in scenario.projects.items() if p.enabled}
    gpus = [g for g in scenario.gpus if not g.project or g.project in built]
    nothing = {
        "gpu_price_factor": not gpus,
        "gpu_occupancy_factor": all(g.state == "serving" for g in gpus),
        "gpu_opex_factor": not any(g.opex_usd_per_gpu_h or g.opex_usd_per_node_month for g in gpus),
        "capex_factor": not built,
        "interest_factor": not scenario.loans,
        "residual_factor": not (built or scenario.firm.machines_on_the_books),
    }
    return tuple(name for name in FACTORS if not nothing.get(name, False))


def tornado(
    scenario: Scenario,
    kpi: str = "equity_usd",
    policy: str | None = None,
    seed: int = 1,
    change: float = 0.10,
    factors: tuple[str, ...] | None = None,
    workers: int = 1,
    seeds: int = 1,
) -> pa.Table:
    """Run the base, and each factor `change` lower and higher, all under the same luck.

    Args:
        scenario: its own `[what_if]` is the base.
        kpi: a name in `KPIS`.
        policy: a name or "package.module:Class"; default: the scenario's.
        seed: the first seed.
        change: relative change of each factor, above 0 and below 1.
        factors: names of [what_if]; default: those that affect something in the scenario.
        workers: number of parallel processes.
        seeds: number of seeds for each run, starting at `seed`.

    Returns:
        A row per factor, the widest span first: factor, kpi, low and high (values of the factor),
        kpi_low, kpi_base, kpi_high (means over the seeds), span, seeds; with several seeds also
        low_from and low_to, high_from and high_to (95 % paired t of the difference from the base),
        and told: whether high less low is significantly different from zero. Intervals are not
        adjusted for their number.

    Raises:
        ValueError: if the KPI or a factor is unknown, the change is out of bounds, or the KPI has
            no meaning in one of these runs.
    """
    chosen = factors_of(scenario) if factors is None else factors
    if kpi not in KPIS:
        raise ValueError(f"kpi {kpi!r}: allowed: {', '.join(KPIS)}")
    for name in chosen:
        if name not in FACTORS:
            raise ValueError(f"factor {name!r}: allowed: {', '.join(FACTORS)}")
    if not 0.0 < change < 1.0:
        raise ValueError(f"change {change:g}: must be above 0 and below 1")
    written = scenario.what_if.model_dump()
    if seeds < 1:
        raise ValueError(f"seeds {seeds}: must be >= 1")
    job = partial(_kpi, scenario, kpi, policy)
    lucks = range(seed, seed + seeds)
    ends = [written[name] * (1.0 + side) for name in chosen for side in (-change, change)]
    names = [name for name in chosen for _ in range(2)]
    cells: list[Cell] = [None, *zip(names, ends, strict=True)]
    jobs = [(luck, cell) for cell in cells for luck in lucks]
    first = job(jobs[0])  # runs first, so that workers find all kernels compiled
    table = np.array([first, *_all(job, jobs[1:], workers)]).reshape(len(cells), seeds)
    base, values = table[0], table[1:]
    rows: list[dict[str, object]] = []
    for k, name in enumerate(chosen):
        low, high = values[2 * k], values[2 * k + 1]
        means = [float(x.mean()) for x in (low, base, high)]
        rows.append(
            {
                "factor": name,
                "kpi": kpi,
                "low": ends[2 * k],
                "high": ends[2 * k + 1],
                "kpi_low": means[0],
                "kpi_base": means[1],
                "kpi_high": means[2],
                "span": max(means) - min(means),
                "seeds": seeds,
                **(_told(low - base, high - base) if seeds > 1 else {}),
            }
        )
    rows.sort(key=lambda row: (-float(str(row["span"])), str(row["factor"])))
    return pa.Table.from_pylist(rows, SCHEMA)


INTERVALS: Final = ("low_from", "low_to", "high_from", "high_to")
SCHEMA: Final = pa.schema(
    [
        ("factor", pa.string()),
        ("kpi", pa.string()),
        *((n, pa.float64()) for n in ("low", "high", "kpi_low", "kpi_base", "kpi_high", "span")),
        ("seeds", pa.int64()),
        *((n, pa.float64()) for n in INTERVALS),
        ("told", pa.bool_()),
    ]
)


def _told(low: Floats, high: Floats) -> dict[str, object]:
    """Intervals of the differences (seed,) from the base, and whether the two ends differ."""
    below, above, apart = (t_interval(x) for x in (low, high, high - low))
    ends = (below.low, below.high, above.low, above.high)
    return {**dict(zip(INTERVALS, ends, strict=True)), "told": not apart.contains(0.0)}


def _all(job: partial[float], cells: list[tuple[int, Cell]], workers: int) -> list[float]:
    """Results in the order of the cells, not of completion."""
    if workers == 1:
        return [job(cell) for cell in cells]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(job, cells))


def _kpi(scenario: Scenario, kpi: str, policy: str | None, at: tuple[int, Cell]) -> float:
    seed, cell = at
    if cell is not None:
        what_if = scenario.what_if.model_copy(update=dict([cell]))
        scenario = scenario.model_copy(update={"what_if": what_if})
    value = run(scenario, policy, seed).kpis[kpi]
    if value is None:
        raise ValueError(f"kpi {kpi!r}: has no meaning in this run")
    return value

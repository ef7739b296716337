"""How far a KPI moves with each factor of `[what_if]`, one at a time, under the same luck.

One at a time leaves out what factors do together. The policy decides anew under each: what is
shown is what the fleet would do, not what its plans would cost.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

import pyarrow as pa

from sim.results.kpis import KPIS
from sim.runner import run
from sim.scenario.model import WhatIf
from sim.scenario.scenario import Scenario

FACTORS: Final = tuple(WhatIf.model_fields)
Cell = tuple[str, float] | None  # a factor and its value; None: the base


def factors_of(scenario: Scenario) -> tuple[str, ...]:
    """Factors that find something to act upon in a scenario."""
    built = {name for name, p in scenario.projects.items() if p.enabled}
    nothing = {
        "gpu_price_factor": not any(not g.project or g.project in built for g in scenario.gpus),
        "capex_factor": not built,
        "interest_factor": not scenario.loans,
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
) -> pa.Table:
    """Run the base, and each factor `change` lower and higher, all under the luck of `seed`.

    Args:
        scenario: its own `[what_if]` is the base.
        kpi: a name in `KPIS`.
        policy: a name or "package.module:Class"; default: the scenario's.
        seed: the luck.
        change: share by which each factor moves, above 0 and below 1.
        factors: names of [what_if]; default: those that find something to act upon.
        workers: processes that run at the same time.

    Returns:
        A row per factor, the widest span first: factor, kpi, low and high (values of the factor),
        kpi_low, kpi_base, kpi_high, span.

    Raises:
        ValueError: for an unknown KPI or factor, a change out of bounds, or a KPI without a meaning
            in one of these runs.
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
    job = partial(_kpi, scenario, kpi, policy, seed)
    base = job(None)  # first and alone, so that workers find all kernels compiled
    ends = [written[name] * (1.0 + side) for name in chosen for side in (-change, change)]
    names = [name for name in chosen for _ in range(2)]
    cells: list[Cell] = list(zip(names, ends, strict=True))
    values = _all(job, cells, workers)
    rows = []
    for k, name in enumerate(chosen):
        (low, high), (at_low, at_high) = ends[2 * k : 2 * k + 2], values[2 * k : 2 * k + 2]
        span = max(base, at_low, at_high) - min(base, at_low, at_high)
        rows.append(
            {
                "factor": name,
                "kpi": kpi,
                "low": low,
                "high": high,
                "kpi_low": at_low,
                "kpi_base": base,
                "kpi_high": at_high,
                "span": span,
            }
        )
    rows.sort(key=lambda row: (-row["span"], row["factor"]))
    return pa.Table.from_pylist(rows, SCHEMA)


SCHEMA: Final = pa.schema(
    [
        ("factor", pa.string()),
        ("kpi", pa.string()),
        *((n, pa.float64()) for n in ("low", "high", "kpi_low", "kpi_base", "kpi_high", "span")),
    ]
)


def _all(job: partial[float], cells: list[Cell], workers: int) -> list[float]:
    """Results in the order of the cells, whoever is first."""
    if workers == 1:
        return [job(cell) for cell in cells]
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(job, cells))


def _kpi(scenario: Scenario, kpi: str, policy: str | None, seed: int, cell: Cell) -> float:
    if cell is not None:
        what_if = scenario.what_if.model_copy(update=dict([cell]))
        scenario = scenario.model_copy(update={"what_if": what_if})
    value = run(scenario, policy, seed).kpis[kpi]
    if value is None:
        raise ValueError(f"kpi {kpi!r}: has no meaning in this run")
    return value

"""Incremental value of projects: pairs of runs, with and without each, under the same luck.

The increment is the firm's net present value with a project less that without it, all else equal.
The value by the project's own meters (`sim.finance.levels`) is reported beside it. The difference
is the project's effect on others: ASICs that it displaces, or site bills that it shares.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from sim.finance.valuation import Parts, firm_parts, project_npv_usd
from sim.policy import Policy
from sim.runner import run
from sim.scenario import Scenario
from sim.studies.statistics import Interval, t_interval


class Increment(NamedTuple):
    """The value of a project. Shape: `seed`."""

    project: str
    metered_npv_usd: float  # mean, by its own meters, before tax
    npv_usd: float  # mean, incremental, before tax
    npv_after_tax_usd: float  # mean, incremental, after tax
    interval: Interval | None  # t interval of `npv_after_tax_usd`; None with one seed
    parts: Parts  # mean components of the increment


def incremental(
    scenario: Scenario,
    projects: Sequence[str] = (),
    policy: str | Policy | None = None,
    seeds: Sequence[int] = (1,),
    level: float = 0.95,
) -> tuple[Increment, ...]:
    """The increment of each project; default: all enabled projects.

    Raises:
        ValueError: if a project is not enabled, or there is no seed.
    """
    built = [name for name, p in scenario.projects.items() if p.enabled]
    wanted = tuple(projects) or tuple(built)
    for name in wanted:
        if name not in built:
            allowed = ", ".join(built) or "none is enabled"
            raise ValueError(f"project {name!r}: allowed: {allowed}")
    if not seeds:
        raise ValueError("seeds: give at least one")
    work = partial(run, policy=policy)
    whole = [work(scenario, seed=seed) for seed in seeds]
    with_usd = np.array([firm_parts(scenario, r.levels) for r in whole])
    found = []
    for name in wanted:
        left = without(scenario, name)
        without_usd = np.array([firm_parts(left, work(left, seed=s).levels) for s in seeds])
        gains = with_usd - without_usd
        after = np.array([Parts(*gain).npv_after_tax_usd for gain in gains])
        metered = [project_npv_usd(scenario, r.levels, name) for r in whole]
        parts = Parts(*(float(usd) for usd in gains.mean(axis=0)))
        interval = t_interval(after, level) if len(seeds) > 1 else None
        found.append(
            Increment(
                name, float(np.mean(metered)), parts.npv_usd, float(after.mean()), interval, parts
            )
        )
    return tuple(found)


def without(scenario: Scenario, project: str) -> Scenario:
    """The scenario with a project never ordered."""
    spec = scenario.projects[project].model_copy(update={"enabled": False})
    return scenario.model_copy(update={"projects": {**scenario.projects, project: spec}})


def table(found: Sequence[Increment]) -> pa.Table:
    """One row per project: metered value, increment and its components [USD]."""
    rows = [
        {
            "project": x.project,
            "metered_npv_usd": x.metered_npv_usd,
            "incremental_npv_usd": x.npv_usd,
            "incremental_npv_after_tax_usd": x.npv_after_tax_usd,
            "low_usd": None if x.interval is None else x.interval.low,
            "high_usd": None if x.interval is None else x.interval.high,
            **x.parts._asdict(),
        }
        for x in found
    ]
    return pa.Table.from_pylist(rows)

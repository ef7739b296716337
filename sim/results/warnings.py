"""Warnings that only a run can raise, and the table `warnings`."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from sim.results.recorder import Recorder
from sim.scenario.problems import Problem
from sim.scenario.scenario import Scenario

MOST_OF_THE_TIME: Final = 0.5  # share of control steps from which a binding limit is reported
APART: Final = 3  # up to this many limits get a line each; more share one
NEVER_PCT: Final = 1.0  # an SLO met by less than this share counts as never met


def warnings_of_run(
    scenario: Scenario, recorder: Recorder, kpis: Mapping[str, float | None]
) -> tuple[Problem, ...]:
    """Limits binding most of the time, SLOs never met, model doubts, machines that never ran."""
    return (*_limits(recorder), *_promises(scenario, recorder), *_fluid(recorder), *_idle(kpis))


def _limits(recorder: Recorder) -> list[Problem]:
    found: list[tuple[float, str, str]] = []
    for i, site in enumerate(recorder.sites):
        which, counts = np.unique(recorder.binding[:, i], return_counts=True)
        for limit, count in zip(which.tolist(), counts.tolist(), strict=True):
            share = count / len(recorder.binding)
            if limit < 0 or share < MOST_OF_THE_TIME:
                continue  # -1: none binds; -2: a call of the grid, which is paid for
            found.append((share, recorder.limit_names[limit], site))
    advice = (
        "of the steps; fewer machines or slower modes earn nearly the same, a larger connection "
        "more: see table limits, `hashwatt bound`"
    )
    if len(found) <= APART:
        return [
            Problem(
                "run", f"limit {name} at site {site}", "", f"leaves no room in {x:.0%} {advice}"
            )
            for x, name, site in found
        ]
    found.sort(key=lambda one: -one[0])
    worst = ", ".join(f"{name} at {site} {x:.0%}" for x, name, site in found[:APART])
    what = f"a limit leaves no room in {found[-1][0]:.0%} to {found[0][0]:.0%} {advice}; {worst}, …"
    return [Problem("run", f"limits at {len(found)} sites", "", what)]


def _promises(scenario: Scenario, recorder: Recorder) -> list[Problem]:
    found: list[Problem] = []
    if recorder.serving is None:
        return found
    for row in recorder.serving_tables()["serving"].to_pylist():
        kept = row["slo_attainment_pct"]
        if row["scope"] == "tenant" and kept is not None and kept < NEVER_PCT:
            what = (
                "the SLO is as good as never kept; give more nodes, another GPU or a later "
                "slo_ttft_s and slo_tpot_s in tenants.csv"
            )
            found.append(Problem("run", f"tenant {row['name']}", f"{kept:.3g} % kept", what))
    return found


def _fluid(recorder: Recorder) -> list[Problem]:
    """Where the fluid model of serving is off by more than 10 %."""
    serving = recorder.serving
    doubts = serving.serving_fleet.doubts() if serving is not None else []
    return [Problem("run", *doubt) for doubt in doubts]


def _idle(kpis: Mapping[str, float | None]) -> list[Problem]:
    deployed, operating = kpis.get("deployed_ehs") or 0.0, kpis.get("operating_ehs") or 0.0
    if deployed > 0.0 and operating == 0.0:
        what = "no machine ever hashed; compare prices with hashprice, and see the causes"
        return [Problem("run", "operating_ehs", "0", what)]
    return []


def warnings_table(warnings: Sequence[Problem]) -> pa.Table:
    """`warnings.parquet`: file, where, value, message; empty without warnings."""
    columns = {name: [getattr(w, name) for w in warnings] for name in Problem._fields}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})

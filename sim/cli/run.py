"""One run, and the bound on all runs: run, bound."""

import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.app import app, examples
from sim.cli.console import (
    FAILED,
    WRONG_INPUT,
    echo,
    fail,
    kpi_table,
    said,
    say,
    say_json,
    say_table,
    say_warnings,
    undrawn,
)
from sim.cli.inputs import (
    AllowCode,
    AllowPath,
    Force,
    Json,
    PolicyOption,
    ScenarioArgument,
    Sets,
    decider,
    load_scenario,
    report_errors,
)
from sim.cli.progress import Progress, Quiet

if TYPE_CHECKING:
    from sim.scenario.problems import Problem


@app.command(
    epilog=examples(
        "run tiny",
        "run configs/cango-2026 --policy static --days 30 --set sites.*.power_limit_mw=20",
        "run tiny --policy price-threshold:max_usd_per_mwh=60 --json",
        "run tiny --policy mine:Cheap --out runs/mine   # class Cheap of mine.py",
    ),
)
def run(
    scenario: ScenarioArgument,
    policy: PolicyOption = None,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the run.")] = 1,
    days: Annotated[float | None, typer.Option(help="Length of the run [d].")] = None,
    set_: Sets = None,
    requests: Annotated[
        str, typer.Option(help="requests.parquet: all (a row each) | histogram")
    ] = "histogram",
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a scenario once: the KPI table and the result folder."""
    if requests not in ("all", "histogram"):
        fail(WRONG_INPUT, f"--requests {requests!r}: allowed: all, histogram")
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"loading {scenario}")
    with report_errors():
        loaded = load_scenario(scenario, set_, days, allow_path)
        if requests == "all" and loaded.demand.fidelity == "fluid":
            what = "a fluid has no single requests; add --set demand.fidelity=exact"
            fail(WRONG_INPUT, f"--requests all: {what}")
        from sim.results.folder import claim, free_name
        from sim.results.result import cell_of
        from sim.runner import policy_of
        from sim.runner import run as run_scenario

        loaded_s = time.perf_counter() - began
        keep_requests = requests == "all"
        policy = decider(policy, loaded, allow_code)
        name, parameters = policy_of(loaded, policy)
        cell = cell_of(loaded, name, parameters, seed, keep_requests)
        stem = f"{loaded.name}-{name.replace(':', '-')}-{seed}"
        own = loaded.policy.parameters if name == loaded.policy.name else {}
        changed = bool(set_) or days is not None or keep_requests or parameters != own
        folder = out or free_name(Path("runs"), stem, "run", cell, changed=changed)
        with claim(folder, "run", cell, force=force) as claimed:
            with shown.days(loaded.horizon.days, f"{loaded.name} · seed {seed}") as tick:
                result = run_scenario(
                    loaded,
                    policy,
                    seed,
                    tick.day,
                    keep_requests,
                    compiling=tick.compiling,
                    measuring=tick.measuring,
                )
            if not as_json:
                kpi_table(result)
            before_s = time.perf_counter()
            result.timing["load_s"] = loaded_s
            document = {"scenario": loaded.name, "policy": result.policy, "seed": seed,
                        "out": str(folder), "kpis": result.kpis}  # fmt: skip
            shown.stage(f"writing {folder}")
            try:
                result.write(claimed)
            except OSError as error:
                if as_json:
                    say_json(document)
                fail(FAILED, f"the run ended, but could not be written: {error}")
            missing = _drawn(result, claimed, shown)
            written_s = time.perf_counter() - before_s
            shown.end()
    say_warnings([*result.met, *missing])
    if as_json:
        say_json({**document, "warnings": said([*result.warnings, *missing])})
        return
    say(
        f"loaded in {loaded_s:.2f} s, built in {result.timing['build_s']:.2f} s, simulated in "
        f"{result.timing['simulate_s']:.2f} s, written in {written_s:.2f} s: {folder}"
    )


def _drawn(result: Any, folder: Any, shown: Progress) -> "list[Problem]":
    """Draw the pictures of a run: after its tables, and none of them is worth the run."""
    shown.stage("drawing")
    from sim.report.energy import draw_energy
    from sim.report.money import draw_money
    from sim.report.serving import draw_serving
    from sim.report.summary import draw

    drawings = {"summary": draw, "serving": draw_serving, "energy": draw_energy,
                "money": draw_money}  # fmt: skip
    found = {}
    for name, draw_it in drawings.items():
        shown.now(f"drawing {name}.png")
        found[f"{name}.png"] = result.draw(folder, draw_it)
    return undrawn(found)


@app.command(
    epilog=examples(
        "bound tiny --days 2",
        "bound tiny --seed 7 --json",
    ),
)
def bound(
    scenario: ScenarioArgument,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the run.")] = 1,
    days: Annotated[float | None, typer.Option(help="Length of the run [d].")] = None,
    set_: Sets = None,
    out: Annotated[Path | None, typer.Option(help="Folder: bound.json, worth.parquet.")] = None,
    force: Force = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The most gross margin that any policy could have earned, and what limits were worth."""
    shown = Progress(quiet)
    shown.stage(f"loading {scenario}")
    with report_errors():
        loaded = load_scenario(scenario, set_, days, allow_path)
        from sim.results.folder import claim
        from sim.results.provenance import sha256_of
        from sim.studies.bound.clairvoyant import BoundError, left_out
        from sim.studies.bound.clairvoyant import bound as bound_of

        cell = sha256_of(scenario=loaded.sha256(), seed=seed)
        with claim(out, "bound", cell, force=force) if out else nullcontext() as claimed:
            shown.stage(f"solving {loaded.name}, seed {seed}")
            try:
                found = bound_of(loaded, seed)
            except BoundError as error:
                fail(WRONG_INPUT, str(error))
            document = {"scenario": loaded.name, "seed": seed, **found.document()}
            if claimed is not None:
                found.save(claimed, document)
    shown.end()
    if as_json:
        say_json(document)
        return
    echo(f"{loaded.name} · clairvoyant · seed {seed}: {found.usd:,.2f} USD of gross margin")
    if free := left_out(loaded):
        echo(f"taken to cost nothing: {', '.join(free)}")
    for title, rows in found.dearest().items():
        echo(title)
        say_table("", rows)

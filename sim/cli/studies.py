"""Commands of many runs: sweep and compare."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.cli.app import app, examples
from sim.cli.console import (
    FAILED,
    WRONG_INPUT,
    echo,
    fail,
    said,
    say,
    say_json,
    say_warnings,
    undrawn,
)
from sim.cli.inputs import (
    AllowCode,
    AllowPath,
    Force,
    Json,
    PoliciesOption,
    ScenarioArgument,
    Sets,
    experiment_file,
    load_scenario,
    no_experiment,
    report_errors,
    share_of,
)
from sim.cli.progress import Progress, Quiet

Workers = Annotated[
    int | None, typer.Option(min=1, help="Local processes, one thread each; default: all cores.")
]
Scheduler = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler, tcp://host:port.")
]
SHOWN_FAILURES = 5


@app.command(
    epilog=examples(
        "sweep policies-tiny",
        "sweep policies-tiny --resume",
        "sweep policies-tiny --scheduler tcp://10.0.0.7:8786",
    ),
)
def sweep(
    experiment: Annotated[str, typer.Argument(help="An experiment file, or one of experiments/.")],
    workers: Workers = None,
    scheduler: Scheduler = None,
    resume: Annotated[bool, typer.Option(help="Redo only what is unfinished.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """All cells of an experiment, on local processes or on a running Dask cluster."""
    file = experiment_file(experiment)
    if file is None:
        fail(WRONG_INPUT, no_experiment(experiment))
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"loading {experiment}")
    with report_errors():
        from sim.results import worth_spread
        from sim.studies import money_spread
        from sim.studies.checked import check_experiment
        from sim.studies.summary import document, lines, summarise
        from sim.studies.sweep import sweep as run_sweep

        checked = check_experiment(file, allow_code=allow_code, allow_path=allow_path)
        asked = checked.experiment

        def summary_of(cells: Any) -> Any:
            return summarise(cells, asked.factors, asked.kpis, asked.pareto)

        def draw(cells: Any, folder: Path) -> None:
            shown.stage("drawing")
            from sim.report.study_money import draw_money
            from sim.report.sweep import draw_sweep

            draw_sweep(summary_of(cells), cells, checked.name, folder)
            draw_money(out or Path("runs") / checked.name, folder)

        with shown.cells(checked.name) as tick:
            result = run_sweep(
                checked, out, workers or _cores(), scheduler, resume, tick,
                force=force, drawings=[draw],
            )  # fmt: skip
        summary = summary_of(result.cells)
    shown.end()
    for why, count in result.outdated.items():
        say(f"{count} cells that were there are run anew: {why}")
    missing = undrawn({"pictures": "; ".join(result.undrawn)})
    say_warnings(missing)
    failures = result.failures
    for row in failures[:SHOWN_FAILURES]:
        what = ", ".join(f"{n}={row[n]}" for n in (*asked.factors, "policy", "seed"))
        say(f"failed: {what}: {row['error']}")
    if as_json:
        counts = {"rows": len(checked.rows), "cells": checked.cells, "reused": result.reused}
        say_json({"experiment": checked.name, "out": str(result.folder), **counts,
                  "failures": [_failure(row, asked.factors) for row in failures],
                  **document(summary), "worth": worth_spread.read(result.folder),
                  **money_spread.document(result.folder),
                  "warnings": said(missing)})  # fmt: skip
    else:
        for line in lines(summary, checked.name, asked.description):
            echo(line)
        for line in worth_spread.lines(worth_spread.read(result.folder)):
            echo(line)
        for line in money_spread.lines(result.folder):
            echo(line)
    wall_s = time.perf_counter() - began
    say(
        f"{checked.cells - result.reused} cells run, {result.reused} there already, in "
        f"{wall_s:.1f} s: {result.folder}"
    )
    if failures:
        say(f"{len(failures)} of {len(checked.rows)} failed; {result.folder}/failures has why")
        raise typer.Exit(FAILED)


@app.command(
    epilog=examples(
        "compare tiny --policy static --policy merit-order --seeds 8",
        "compare tiny --policy static --policy price-threshold --until half-width=1%",
    ),
)
def compare(
    scenario: ScenarioArgument,
    policy: PoliciesOption = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many; with --until, the most. 32 (until: 256)")
    ] = None,
    kpi: Annotated[list[str] | None, typer.Option(help="KPIs; default gross_margin_usd.")] = None,
    until: Annotated[
        str | None, typer.Option(help="half-width=1% (of the first policy's mean) or =5000")
    ] = None,
    rarest: Annotated[
        str, typer.Option(help="Rarest event that --until promises to have seen, of seeds.")
    ] = "2%",
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    bound: Annotated[bool, typer.Option(help="Regret against the clairvoyant bound.")] = True,
    set_: Sets = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    force: Force = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The same luck for every policy: paired differences with intervals, and regret."""
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"loading {scenario}")
    with report_errors():
        loaded = load_scenario(scenario, set_, None, allow_path)
        from sim.report.comparison import draw_comparison
        from sim.report.study_money import draw_money
        from sim.results import worth_spread
        from sim.results.folder import claim, free_name
        from sim.results.manifest import DamagedError
        from sim.studies import money_spread
        from sim.studies.compare import CLAIRVOYANT, bound_exists, question_of
        from sim.studies.compare import compare as run_comparison
        from sim.studies.compare_text import document, lines, save

        most = seeds or (256 if until else 32)
        question: dict[str, Any] = {
            "kpis": kpi or ("gross_margin_usd",),
            "level": level,
            "until": until,
            "rarest": share_of(rarest, "--rarest"),
            "bound": CLAIRVOYANT if bound and bound_exists() else None,
        }
        try:
            cell = question_of(loaded, policy or [], most, **question)
            stem = f"{loaded.name}-comparison"
            folder = out or free_name(Path("runs"), stem, "comparison", cell, changed=bool(set_))
            with claim(folder, "comparison", cell, force=force) as claimed:
                with shown.cells(loaded.name) as tick:
                    result = run_comparison(
                        loaded, policy or [], most, **question,
                        workers=workers or _cores(), scheduler=scheduler, out=claimed,
                        progress=tick,
                    )  # fmt: skip
                shown.stage(f"writing and drawing {folder}")
                save(result, claimed)

                def draw(draft: Path) -> None:
                    draw_comparison(result, draft)
                    draw_money(folder, draft)

                problem = claimed.draw(draw)
        except DamagedError:
            raise
        except ValueError as error:
            fail(WRONG_INPUT, f"compare: {error}")
    shown.end()
    missing = undrawn({"comparison.png": problem})
    say_warnings(missing)
    if as_json:
        say_json(
            {
                "out": str(folder),
                **document(result),
                "worth": worth_spread.read(folder),
                **money_spread.document(folder),
                "warnings": said([*loaded.warnings, *missing]),
            }
        )
    else:
        for line in lines(result):
            echo(line)
        for line in worth_spread.lines(worth_spread.read(folder)):
            echo(line)
        for line in money_spread.lines(folder):
            echo(line)
    say(f"{len(result.cells)} cells in {time.perf_counter() - began:.1f} s: {folder}")


def _cores() -> int:
    from sim.kernels.ahead import usable_cores

    return usable_cores()


def _failure(row: dict[str, object], factors: list[str]) -> dict[str, object]:
    return {n: row[n] for n in ("key", *factors, "policy", "seed", "error")}

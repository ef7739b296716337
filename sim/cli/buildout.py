"""Command about capacity: buildout."""

import time
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import (
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
    experiment_file,
    no_experiment,
    report_errors,
)
from sim.cli.progress import Progress, Quiet
from sim.cli.studies import Workers, _cores


@app.command(
    epilog=examples(
        "buildout gpu-buildout --workers 2",
    ),
)
def buildout(
    experiment: Annotated[str, typer.Argument(help="A build-out file, or one of experiments/.")],
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How many containers at which sites under a budget: a plan, judged on held-out seeds."""
    file = experiment_file(experiment)
    if file is None:
        fail(WRONG_INPUT, no_experiment(experiment))
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"loading {experiment}")
    with report_errors():
        from sim.report.buildout import draw_buildout
        from sim.results.folder import claim, free_name
        from sim.results.provenance import sha256_of
        from sim.studies.buildout.question import read_buildout
        from sim.studies.buildout.result import buildout as study
        from sim.studies.buildout.result import document, lines, save

        asked = read_buildout(file, allow_code=allow_code, allow_path=allow_path)
        cell = sha256_of(
            question=asked.question.model_dump(mode="json"), scenario=asked.scenario.sha256()
        )
        folder = out or free_name(Path("runs"), asked.name, "buildout", cell)
        with claim(folder, "buildout", cell, force=force) as claimed:
            with shown.cells(asked.name) as tick:
                found = study(asked, workers or _cores(), tick)
            shown.stage(f"writing and drawing {folder}")
            save(found, claimed)
            problem = claimed.draw(lambda draft: draw_buildout(found, draft))
    shown.end()
    missing = undrawn({"buildout.png": problem})
    say_warnings(missing)
    if as_json:
        say_json({"out": str(folder), **document(found), "warnings": said(missing)})
    else:
        for line in lines(found):
            echo(line)
    runs = len(found.comparison.cells)
    say(f"{runs} held-out runs, {time.perf_counter() - began:.1f} s in all: {folder}")

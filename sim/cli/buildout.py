"""Command about capacity: buildout."""

import time
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app
from sim.cli.inputs import Json, experiment_file, told
from sim.cli.studies import Workers, _cores
from sim.cli.words import WRONG_INPUT, cell_progress, fail, say, say_json


@app.command()
def buildout(
    experiment: Annotated[str, typer.Argument(help="A build-out file, or one of experiments/.")],
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    as_json: Json = False,
) -> None:
    """How many containers at which sites under a budget: a plan, judged on held-out seeds."""
    file = experiment_file(experiment)
    if file is None:
        fail(WRONG_INPUT, f"{experiment}: not a build-out file (.toml) nor one of experiments/")
    began = time.perf_counter()
    with told():
        from sim.report.buildout import draw_buildout
        from sim.studies.buildout import buildout as study
        from sim.studies.buildout import document, lines, save
        from sim.studies.buildout_question import read_buildout
        from sim.studies.sweep import open_folder

        asked = read_buildout(file)
        folder = out or Path("runs") / asked.name
        open_folder(folder, "buildout", replace=True)
        with cell_progress(asked.name) as tick:
            found = study(asked, workers or _cores(), tick)
        draw_buildout(found, folder)
        save(found, folder)
    if as_json:
        say_json({"out": str(folder), **document(found)})
    else:
        for line in lines(found):
            print(line)
    runs = len(found.comparison.cells)
    say(f"{runs} held-out runs, {time.perf_counter() - began:.1f} s in all: {folder}")

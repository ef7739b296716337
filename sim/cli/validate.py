"""The model beside the world: validate."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from sim.cli.app import app, examples
from sim.cli.console import (
    MISSED,
    WRONG_INPUT,
    echo,
    fail,
    say,
    say_json,
    validation_table,
)
from sim.cli.inputs import Json, report_errors
from sim.cli.progress import Progress, Quiet

TOPICS_OF_DATA: Final = (
    "bitcoin_network", "miner_reports", "grid", "asic_specs", "weather", "serving",
)  # fmt: skip


@app.command(
    epilog=examples(
        "validate",
        "validate --data ../shared/data --json",
    ),
)
def validate(
    data: Annotated[Path | None, typer.Option(help="Folder of recorded data.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Published figures that the model must reproduce, beside what it gives now."""
    data = data or (Path(os.environ["HASHWATT_DATA"]) if "HASHWATT_DATA" in os.environ else None)
    if data is not None and not data.is_dir():
        fail(WRONG_INPUT, f"--data {str(data)!r}: not a folder")
    if data is not None and not any((data / topic).is_dir() for topic in TOPICS_OF_DATA):
        needed = ", ".join(TOPICS_OF_DATA)
        fail(WRONG_INPUT, f"--data {str(data)!r}: holds none of the folders {needed}")
    shown = Progress(quiet)
    shown.stage("validating")
    from sim.validation import validate as all_checks

    with report_errors():
        made, left_out = all_checks(data, lambda check: shown.now(check.check))
    shown.end()
    missed = [c for c in made if not c.ok]
    if as_json:
        say_json([c._asdict() for c in made])
    else:
        validation_table(made)
    for what, why in left_out:  # beside a JSON document, which lists checks, it is a message
        (say if as_json else echo)(f"left out: {what}: {why}")
    if not as_json:
        echo(f"{len(made) - len(missed)} of {len(made)} checks hold")
    if missed:
        raise typer.Exit(MISSED)

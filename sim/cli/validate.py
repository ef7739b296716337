"""The model beside the world: validate."""

import os
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.inputs import Json, told
from sim.cli.words import MISSED, WRONG_INPUT, fail, put, say_json, spin, validation_table


@app.command(
    epilog=examples(
        "validate",
        "validate --data ../shared/data --json",
    ),
)
def validate(
    data: Annotated[Path | None, typer.Option(help="Folder of recorded data.")] = None,
    as_json: Json = False,
) -> None:
    """Published figures that the model must reproduce, beside what it gives now."""
    data = data or (Path(os.environ["HASHWATT_DATA"]) if "HASHWATT_DATA" in os.environ else None)
    if data is not None and not data.is_dir():
        fail(WRONG_INPUT, f"--data {str(data)!r}: not a folder")
    from sim.validation import validate as all_checks

    try:
        with told():
            made, left_out = all_checks(data, lambda check: spin(check.check))
    except (FileNotFoundError, KeyError) as error:
        fail(WRONG_INPUT, f"--data {str(data)!r}: {error}")
    missed = [c for c in made if not c.ok]
    if as_json:
        say_json([c._asdict() for c in made])
    else:
        validation_table(made)
        for what in left_out:
            put(f"left out, needs --data: {what}")
        put(f"{len(made) - len(missed)} of {len(made)} checks hold")
    if missed:
        raise typer.Exit(MISSED)

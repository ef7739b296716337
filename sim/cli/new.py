"""A scenario of one's own: new."""

from pathlib import Path
from typing import Annotated, Final

import typer

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, echo, fail, put_assumed, said, say_json, say_warnings
from sim.cli.inputs import Json, report_errors

MOST_FILLED: Final = 40


@app.command(
    epilog=examples(
        "new my-fleet",
        "new my-fleet --template hybrid",
        "new my-fleet --from sites.csv    # name, country, power_limit_mw are enough",
        "new my-fleet --from book.xlsx    # a worksheet for each sheet: sites, asics, gpus, ...",
        "new my-fleet --from cango-2026",
    ),
)
def new(
    name: Annotated[str, typer.Argument(help="The folder to make.")],
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="A scenario to copy; sites.csv or a workbook to fill."),
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="two-sites | hosted | hybrid; default: two-sites")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the files of an earlier `new` again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A commented scenario of one's own that runs at once, and what it assumes."""
    from sim.scenario.problems import suggest
    from sim.scenario.shipped import scenario_folder, scenarios
    from sim.scenario.starting import TEMPLATES, start

    if template is not None and template not in TEMPLATES:
        fail(WRONG_INPUT, f"--template {template!r}: {suggest(template, TEMPLATES)}")
    if template is not None and from_ is not None:
        fail(WRONG_INPUT, "--template and --from: give one of them")
    if from_ is not None:
        from_ = scenario_folder(from_)
        if not from_.exists():
            what = suggest(str(from_), scenarios())
            fail(WRONG_INPUT, f"--from {str(from_)!r}: no such file, and no such scenario; {what}")
    with report_errors():
        made = start(Path(name), from_, template or "two-sites", force=force)
    if as_json:
        assumed = said([*made.filled, *made.assumed])
        say_json({"scenario": made.folder.name, "out": str(made.folder), "files": made.files,
                  "assumed": assumed, "warnings": said(made.warnings)})  # fmt: skip
        return
    say_warnings(made.warnings)
    echo(f"{made.folder}: {', '.join(made.files)}")
    for found in made.filled[:MOST_FILLED]:
        echo(f"  {found}")
    if len(made.filled) > MOST_FILLED:
        echo(f"  … and {len(made.filled) - MOST_FILLED} more; --json lists all")
    put_assumed(made.assumed)
    echo(f"next: hashwatt check {name}; hashwatt run {name} --days 7")

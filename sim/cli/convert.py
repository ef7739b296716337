"""Command about the use of a megawatt: convert."""

import time
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import echo, said, say, say_json
from sim.cli.inputs import (
    AllowPath,
    Json,
    PolicyOption,
    ScenarioArgument,
    Sets,
    load_scenario,
    report_errors,
)
from sim.cli.progress import Progress, Quiet
from sim.cli.studies import Workers, _cores


@app.command(
    epilog=examples(
        "convert tiny --site alpha --mw 1 --to h100-sxm --days 14 --seeds 4",
        "convert cango-2026 --site us-ga-macon-1 --mw 1 --to h200-sxm:batch --price 1.6",
    ),
)
def convert(
    scenario: ScenarioArgument,
    site: Annotated[str, typer.Option(help="Where, a name of sites.csv.")],
    mw: Annotated[float, typer.Option(help="Of ASICs at the meter that give way [MW].")],
    to: Annotated[str, typer.Option(help="GPU, or GPU:contracted, GPU:batch.")],
    price: Annotated[
        float | None,
        typer.Option(help="Of a GPU's hour [USD]; default: such nodes' own, [gpu_market], else 2."),
    ] = None,
    usd_per_gpu: Annotated[
        float | None, typer.Option(help="Node, network, container, by GPU; default: catalogue.")
    ] = None,
    occupancy: Annotated[
        float | None,
        typer.Option(help="Share of hours that is let; default: as such nodes of gpus.csv, or 1."),
    ] = None,
    contract: Annotated[
        str | None,
        typer.Option(help="Terms of [gpu_contracts]; default: as such nodes of gpus.csv."),
    ] = None,
    opex: Annotated[
        float | None,
        typer.Option(help="Of an hour that is let, energy aside [USD/GPU-h]; default: likewise."),
    ] = None,
    opex_month: Annotated[
        float | None, typer.Option(help="Of a node, let or not [USD/month]; default: likewise.")
    ] = None,
    fade: Annotated[
        float | None,
        typer.Option(help="What GPU revenue loses each year, 0 to 1; default: the market's trend."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many, the same for both.")] = 8,
    policy: PolicyOption = None,
    days: Annotated[float | None, typer.Option(help="Length of the runs [d].")] = None,
    set_: Sets = None,
    workers: Workers = None,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """What if this megawatt changed its use: with and without, after tax, and where it turns."""
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"loading {scenario}")
    with report_errors():
        from sim.studies.conversion.study import convert as study
        from sim.studies.conversion.study import document, lines
        from sim.studies.conversion.swap import ConversionRequest

        loaded = load_scenario(scenario, set_, days, allow_path)
        gpu, _, state = to.partition(":")
        asked = ConversionRequest(
            site, mw, gpu, state or "contracted", price, usd_per_gpu, fade_per_year=fade,
            occupancy=occupancy, contract=contract, opex_usd_per_gpu_h=opex,
            opex_usd_per_node_month=opex_month,
        )  # fmt: skip
        with shown.cells(f"{loaded.name}: {mw:g} MW to {to}") as tick:
            found = study(loaded, asked, seeds, policy, workers or _cores(), tick)
    shown.end()
    if as_json:
        say_json({**document(found), "warnings": said(loaded.warnings)})
    else:
        for line in lines(found):
            echo(line)
    fleets = 2 + found.turning.runs
    say(f"{fleets} fleets with {seeds} seeds in {time.perf_counter() - began:.1f} s")

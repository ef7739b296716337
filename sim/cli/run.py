"""One run, and the bound on all runs: run, bound."""

import time
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app
from sim.cli.inputs import Json, ScenarioArgument, Sets, load_scenario, told
from sim.cli.words import WRONG_INPUT, fail, kpi_table, progress, say, say_json, say_table


@app.command()
def run(
    scenario: ScenarioArgument,
    policy: Annotated[
        str | None, typer.Option(help="Built-in name or package.module:Class")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the run.")] = 1,
    days: Annotated[float | None, typer.Option(help="Length of the run [d].")] = None,
    set_: Sets = None,
    requests: Annotated[
        str, typer.Option(help="requests.parquet: all (a row each) | histogram")
    ] = "histogram",
    out: Annotated[Path | None, typer.Option(help="Result folder.")] = None,
    as_json: Json = False,
) -> None:
    """Run a scenario once: the KPI table and the result folder."""
    if requests not in ("all", "histogram"):
        fail(WRONG_INPUT, f"--requests {requests!r}: allowed: all, histogram")
    began = time.perf_counter()
    with told():
        loaded = load_scenario(scenario, set_, days)
        if requests == "all" and loaded.demand.fidelity == "fluid":
            what = "a fluid has no single requests; add --set demand.fidelity=exact"
            fail(WRONG_INPUT, f"--requests all: {what}")
        from sim.report.energy import draw_energy
        from sim.report.money import draw_money
        from sim.report.serving import draw_serving
        from sim.report.summary import draw
        from sim.runner import run as run_scenario

        loaded_s = time.perf_counter() - began
        with progress(loaded.horizon.days, f"{loaded.name} · seed {seed}") as tick:
            result = run_scenario(loaded, policy, seed, tick, requests == "all")
        name = result.policy.replace(":", "-")
        folder = out or Path("runs") / f"{loaded.name}-{name}-{seed}"
        before_s = time.perf_counter()
        result.timing["load_s"] = loaded_s
        result.save(folder, [draw, draw_serving, draw_energy, draw_money])
        written_s = time.perf_counter() - before_s
    if as_json:
        say_json({"scenario": loaded.name, "policy": result.policy, "seed": seed,
               "out": str(folder), "kpis": result.kpis})  # fmt: skip
        return
    kpi_table(result)
    say(
        f"loaded in {loaded_s:.2f} s, built in {result.timing['build_s']:.2f} s, simulated in "
        f"{result.timing['simulate_s']:.2f} s, written in {written_s:.2f} s: {folder}"
    )


@app.command()
def bound(
    scenario: ScenarioArgument,
    seed: Annotated[int, typer.Option(min=0, help="The luck of the run.")] = 1,
    days: Annotated[float | None, typer.Option(help="Length of the run [d].")] = None,
    set_: Sets = None,
    out: Annotated[Path | None, typer.Option(help="Folder: bound.json, worth.parquet.")] = None,
    as_json: Json = False,
) -> None:
    """The most gross margin that any policy could have earned, and what limits were worth."""
    with told():
        loaded = load_scenario(scenario, set_, days)
        from sim.studies.bound import BoundError
        from sim.studies.bound import bound as bound_of

        try:
            found = bound_of(loaded, seed)
        except BoundError as error:
            fail(WRONG_INPUT, str(error))
        document = {"scenario": loaded.name, "seed": seed, **found.document()}
        if out is not None:
            found.save(out, document)
    if as_json:
        say_json(document)
        return
    print(f"{loaded.name} · clairvoyant · seed {seed}: {found.usd:,.2f} USD of gross margin")
    for title, rows in found.dearest().items():
        print(title)
        say_table("", rows)

"""The command line: the only module that prints or exits.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 3 a validation was missed. With `--json`
one document goes to stdout and nothing else; progress and messages go to stderr.
"""

import os
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sim.cli.inputs import (
    CONFIGS,
    Json,
    ScenarioArgument,
    Sets,
    experiment_file,
    load_scenario,
    told,
)
from sim.cli.words import (
    MISSED,
    WRONG_INPUT,
    fail,
    kpi_table,
    progress,
    say,
    say_json,
    say_table,
    spin,
    validation_table,
)

app = typer.Typer(
    name="hashwatt",
    help="Simulate a fleet of grid-connected sites that mine Bitcoin and serve tokens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
KINDS: Final = ("policies", "asics", "gpus", "models", "scenarios")


def main() -> None:
    """Entry point of the command `hashwatt`."""
    app()


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


@app.command()
def check(
    scenario: Annotated[str, typer.Argument(help="A scenario folder, or an experiment file.")],
    set_: Sets = None,
    as_json: Json = False,
) -> None:
    """Every problem of a scenario, or of an experiment with all its scenarios, at once."""
    experiment = experiment_file(scenario)
    if experiment is not None:
        check_experiment(experiment, bool(set_), as_json)
        return
    with told():
        loaded = load_scenario(scenario, set_, None)
        from sim.policies import BUILTIN
        from sim.policy import load_policy

        load_policy(loaded.policy.name, loaded.policy.parameters, BUILTIN)
    sites, groups = len(loaded.sites), len(loaded.asics) + len(loaded.gpus)
    if as_json:
        say_json({"scenario": loaded.name, "problems": [], "sha256": loaded.sha256()})
    else:
        print(f"{loaded.name}: no problem; {sites} sites, {groups} groups of machines, "
              f"{loaded.horizon.days:g} days in steps of {loaded.horizon.step_s} s")  # fmt: skip


def check_experiment(file: Path, changed: bool, as_json: bool) -> None:
    """Load every scenario and policy that an experiment leads to."""
    if changed:
        fail(WRONG_INPUT, "--set: an experiment says its changes itself, in [changes]")
    with told():
        from sim.studies.plan import plan

        planned = plan(file)
    counts = {"scenarios": len(planned.resolved), "cells": planned.cells}
    if as_json:
        say_json({"experiment": planned.name, "problems": [], **counts})
    else:
        print(f"{planned.name}: no problem; {counts['scenarios']} scenarios, "
              f"{counts['cells']} cells")  # fmt: skip


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="scenario | experiment")] = "scenario",
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference to read.")] = False,
) -> None:
    """JSON Schema of scenario.toml or an experiment, for editors; or the reference of all keys."""
    if what not in ("scenario", "experiment"):
        fail(WRONG_INPUT, f"schema {what!r}: allowed: scenario, experiment")
    if what == "experiment":
        if markdown:
            fail(WRONG_INPUT, "--markdown: only for scenario")
        from sim.studies.experiment import Experiment

        say_json(Experiment.model_json_schema())
        return
    from sim.scenario.reference import markdown as reference
    from sim.scenario.scenario import ScenarioFile

    if markdown:
        print(reference(), end="")
    else:
        say_json(ScenarioFile.model_json_schema())


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(KINDS))], as_json: Json = False
) -> None:
    """What is built in."""
    rows = _built_in(what)
    if as_json:
        say_json(rows)
    else:
        say_table(what, rows)


@app.command()
def query(
    arguments: Annotated[list[str], typer.Argument(help='DIR [DIR …] "SQL"')],
    as_json: Json = False,
) -> None:
    """SQL (DuckDB) over result folders: sites, fleet, ledger, events, kpis; of studies, cells."""
    if len(arguments) < 2:
        fail(WRONG_INPUT, 'query: write at least one folder and a statement: DIR "SELECT …"')
    import duckdb

    from sim.results.store import connect

    *folders, sql = arguments
    try:
        connection = connect([Path(f) for f in folders], sql)
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except FileNotFoundError as error:
        fail(WRONG_INPUT, f"query: {error}")
    except duckdb.Error as error:
        fail(WRONG_INPUT, f"query: {str(error).strip()}")
    if as_json:
        say_json(rows)
    else:
        say_table("", rows)


@app.command("serve-trace")
def serve_trace(
    trace: Annotated[
        Path, typer.Argument(help="CSV, JSONL or Parquet; Azure, Mooncake, BurstGPT …")
    ],
    engine: Annotated[
        str, typer.Option(help="MODEL@GPU[:TP] of the catalogue, or a TOML file with an engine.")
    ],
    engines: Annotated[int, typer.Option(min=1, help="Replicas, served round-robin.")] = 1,
    rate_scale: Annotated[float, typer.Option(help="Arrivals this many times as dense.")] = 1.0,
    max_batched_tokens: Annotated[int | None, typer.Option(help="Budget of an iteration.")] = None,
    max_seqs: Annotated[int | None, typer.Option(help="Running sequences at most.")] = None,
    kv_blocks: Annotated[int | None, typer.Option(help="Blocks of the KV cache.")] = None,
    block_tokens: Annotated[int | None, typer.Option(help="Tokens of a block.")] = None,
    chunked_prefill: Annotated[bool | None, typer.Option(help="Split long prompts.")] = None,
    reserve_full_prompt: Annotated[
        bool | None, typer.Option(help="Admit only what fits whole (vLLM 0.19).")
    ] = None,
    prefix_caching: Annotated[
        bool, typer.Option(help="Use the hits that the trace tells (Mooncake, hit_tokens).")
    ] = False,
    slo_ttft: Annotated[float | None, typer.Option(help="Promised TTFT [s].")] = None,
    slo_tpot: Annotated[float | None, typer.Option(help="Promised TPOT [s].")] = None,
    plot: Annotated[Path | None, typer.Option(help="Latency against load, as a picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file, a row per request.")] = None,
    as_json: Json = False,
) -> None:
    """One serving engine against a request trace, every token."""
    from sim.scenario.engines import engine_of
    from sim.serving.metrics import scaled, serve_on, summary, write_requests
    from sim.serving.traces import TraceError, read_trace

    if not rate_scale > 0.0:
        fail(WRONG_INPUT, f"--rate-scale {rate_scale:g}: must be above 0")
    began = time.perf_counter()
    changes = {
        "max_batched_tokens": max_batched_tokens,
        "max_seqs": max_seqs,
        "kv_blocks": kv_blocks,
        "block_tokens": block_tokens,
        "chunked_prefill": chunked_prefill,
        "reserve_full_prompt": reserve_full_prompt,
    }
    try:
        chosen, about = engine_of(engine, {k: v for k, v in changes.items() if v is not None})
        if not trace.is_file():
            fail(WRONG_INPUT, f"{trace}: no such file")
        requests = scaled(read_trace(trace), rate_scale)
        if prefix_caching and requests.hit_tokens is None:
            fail(WRONG_INPUT, f"--prefix-caching: {trace.name} has no hash_ids or hit_tokens")
        read_s = time.perf_counter() - began
        served = serve_on(requests, chosen, engines, prefix_caching)
    except (TraceError, ValueError) as error:
        fail(WRONG_INPUT, str(error))
    served_s = time.perf_counter() - began - read_s
    figures = summary(requests, served, slo_ttft, slo_tpot)
    if not requests.sorted:
        say(f"{trace.name}: rows were out of order and have been sorted")
    if requests.dropped:
        say(f"{trace.name}: {requests.dropped} requests without output tokens left out")
    if out is not None:
        write_requests(requests, served, out)
    if plot is not None:
        from sim.report.load import draw_load

        draw_load(requests, chosen, engines, f"{trace.name} on {engine}", plot)
    if as_json:
        say_json({"trace": trace.name, "format": requests.format, "engine": engine,
               "engines": engines, "about": about, **figures})  # fmt: skip
    else:
        print(f"{trace.name} ({requests.format}) on {engines} × {engine}: {about}")
        for name, value in figures.items():
            print(f"  {name:22s}{'-' if value is None else f'{value:,.6g}':>14s}")
    say(f"read in {read_s:.3f} s, served in {served_s:.3f} s")


@app.command()
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
            print(f"left out, needs --data: {what}")
        print(f"{len(made) - len(missed)} of {len(made)} checks hold")
    if missed:
        raise typer.Exit(MISSED)


def _built_in(what: str) -> list[dict[str, Any]]:
    from sim.scenario import catalogue

    if what == "policies":
        from sim.policies import BUILTIN

        return [{"policy": name, "class": address} for name, address in BUILTIN.items()]
    if what == "asics":
        return [
            {
                "model": a.name,
                "TH/s": a.nominal.hashrate_ths,
                "W": a.nominal.power_w,
                "J/TH": round(a.nominal.power_w / a.nominal.hashrate_ths, 1),
                "cooling": a.cooling,
                "modes": ", ".join(a.modes),
                "source": a.nominal.source,
            }
            for a in catalogue.asics().values()
        ]
    if what == "gpus":
        return [g._asdict() for g in catalogue.gpus().values()]
    if what == "models":
        return _served_models()
    if what == "scenarios":
        files = sorted(CONFIGS.glob("*/scenario.toml"))
        return [
            {
                "scenario": f.parent.name,
                "description": tomllib.loads(f.read_text("utf-8")).get("description", ""),
            }
            for f in files
        ]
    return fail(WRONG_INPUT, f"list {what!r}: allowed: {', '.join(KINDS)}")


def _served_models() -> list[dict[str, Any]]:
    """Every measured engine, then the fewest GPUs of each kind for which a roofline stands in."""
    from sim.scenario.catalogue import gpus
    from sim.scenario.catalogue.serving import models, served, served_models

    engines = served_models()
    known = {(m.model, m.gpu) for m in engines}
    for model in models():
        for gpu in gpus():
            if (model, gpu) not in known:
                try:
                    engines.append(served(model, gpu))
                except ValueError:
                    continue  # it does not fit
    return [
        {
            "model": m.model,
            "gpu": m.gpu,
            "tp": m.tp,
            "ms/token, batch 1": round(1e3 * m.engine.iteration.of(1, 1, 1000), 2),
            "batch 32": round(1e3 * m.engine.iteration.of(32, 32, 32_000), 2),
            "KV ktoken": m.engine.kv_blocks * m.engine.block_tokens // 1000,
            "load s": round(m.load_s),
            "source": m.source,
        }
        for m in engines
    ]

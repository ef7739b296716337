"""The command line: the only module that prints or exits.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 3 a validation was missed. With `--json`
one document goes to stdout and nothing else; progress and messages go to stderr.
"""

import json
import os
import shutil
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

app = typer.Typer(
    name="hashwatt",
    help="Simulate a fleet of grid-connected sites that mine Bitcoin and serve tokens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
FAILED, WRONG_INPUT, MISSED = 1, 2, 3
CONFIGS: Final = Path(__file__).parent.parent / "configs"
KINDS: Final = ("policies", "asics", "gpus", "models", "scenarios")

ScenarioArgument = Annotated[str, typer.Argument(help="A scenario folder, or one of configs/.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE, e.g. horizon.days=7 or sites.alpha.power_limit_mw=20"),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


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
        _fail(WRONG_INPUT, f"--requests {requests!r}: allowed: all, histogram")
    began = time.perf_counter()
    with _told():
        loaded = _load(scenario, set_, days)
        if requests == "all" and loaded.demand.fidelity == "fluid":
            what = "a fluid has no single requests; add --set demand.fidelity=exact"
            _fail(WRONG_INPUT, f"--requests all: {what}")
        from sim.report.energy import draw_energy
        from sim.report.serving import draw_serving
        from sim.report.summary import draw
        from sim.runner import run as run_scenario

        loaded_s = time.perf_counter() - began
        with _progress(loaded.horizon.days, f"{loaded.name} · seed {seed}") as tick:
            result = run_scenario(loaded, policy, seed, tick, requests == "all")
        name = result.policy.replace(":", "-")
        folder = out or Path("runs") / f"{loaded.name}-{name}-{seed}"
        before_s = time.perf_counter()
        result.timing["load_s"] = loaded_s
        result.save(folder, [draw, draw_serving, draw_energy])
        written_s = time.perf_counter() - before_s
    if as_json:
        _json({"scenario": loaded.name, "policy": result.policy, "seed": seed,
               "out": str(folder), "kpis": result.kpis})  # fmt: skip
        return
    _kpi_table(result)
    _say(
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
    with _told():
        loaded = _load(scenario, set_, days)
        from sim.studies.bound import BoundError
        from sim.studies.bound import bound as bound_of

        try:
            found = bound_of(loaded, seed)
        except BoundError as error:
            _fail(WRONG_INPUT, str(error))
        document = {"scenario": loaded.name, "seed": seed, **found.document()}
        if out is not None:
            found.save(out, document)
    if as_json:
        _json(document)
        return
    print(f"{loaded.name} · clairvoyant · seed {seed}: {found.usd:,.2f} USD of gross margin")
    for title, rows in found.dearest().items():
        print(title)
        _table("", rows)


@app.command()
def check(scenario: ScenarioArgument, set_: Sets = None, as_json: Json = False) -> None:
    """Every problem of a scenario at once."""
    with _told():
        loaded = _load(scenario, set_, None)
        from sim.policies import BUILTIN
        from sim.policy import load_policy

        load_policy(loaded.policy.name, loaded.policy.parameters, BUILTIN)
    sites, groups = len(loaded.sites), len(loaded.asics) + len(loaded.gpus)
    if as_json:
        _json({"scenario": loaded.name, "problems": [], "sha256": loaded.sha256()})
    else:
        print(f"{loaded.name}: no problem; {sites} sites, {groups} groups of machines, "
              f"{loaded.horizon.days:g} days in steps of {loaded.horizon.step_s} s")  # fmt: skip


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="scenario")] = "scenario",
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference to read.")] = False,
) -> None:
    """JSON Schema of scenario.toml, for editors; or the reference of all keys."""
    if what != "scenario":
        _fail(WRONG_INPUT, f"schema {what!r}: allowed: scenario")
    from sim.scenario.reference import markdown as reference
    from sim.scenario.scenario import ScenarioFile

    if markdown:
        print(reference(), end="")
    else:
        _json(ScenarioFile.model_json_schema())


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(KINDS))], as_json: Json = False
) -> None:
    """What is built in."""
    rows = _built_in(what)
    if as_json:
        _json(rows)
    else:
        _table(what, rows)


@app.command()
def query(
    arguments: Annotated[list[str], typer.Argument(help='DIR [DIR …] "SQL"')],
    as_json: Json = False,
) -> None:
    """SQL (DuckDB) over the tables of result folders: sites, fleet, ledger, events, kpis."""
    if len(arguments) < 2:
        _fail(WRONG_INPUT, 'query: write at least one folder and a statement: DIR "SELECT …"')
    import duckdb

    from sim.results.store import connect

    *folders, sql = arguments
    try:
        connection = connect([Path(f) for f in folders])
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except FileNotFoundError as error:
        _fail(WRONG_INPUT, f"query: {error}")
    except duckdb.Error as error:
        _fail(WRONG_INPUT, f"query: {str(error).strip()}")
    if as_json:
        _json(rows)
    else:
        _table("", rows)


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
        _fail(WRONG_INPUT, f"--rate-scale {rate_scale:g}: must be above 0")
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
            _fail(WRONG_INPUT, f"{trace}: no such file")
        requests = scaled(read_trace(trace), rate_scale)
        if prefix_caching and requests.hit_tokens is None:
            _fail(WRONG_INPUT, f"--prefix-caching: {trace.name} has no hash_ids or hit_tokens")
        read_s = time.perf_counter() - began
        served = serve_on(requests, chosen, engines, prefix_caching)
    except (TraceError, ValueError) as error:
        _fail(WRONG_INPUT, str(error))
    served_s = time.perf_counter() - began - read_s
    figures = summary(requests, served, slo_ttft, slo_tpot)
    if not requests.sorted:
        _say(f"{trace.name}: rows were out of order and have been sorted")
    if requests.dropped:
        _say(f"{trace.name}: {requests.dropped} requests without output tokens left out")
    if out is not None:
        write_requests(requests, served, out)
    if plot is not None:
        from sim.report.load import draw_load

        draw_load(requests, chosen, engines, f"{trace.name} on {engine}", plot)
    if as_json:
        _json({"trace": trace.name, "format": requests.format, "engine": engine,
               "engines": engines, "about": about, **figures})  # fmt: skip
    else:
        print(f"{trace.name} ({requests.format}) on {engines} × {engine}: {about}")
        for name, value in figures.items():
            print(f"  {name:22s}{'-' if value is None else f'{value:,.6g}':>14s}")
    _say(f"read in {read_s:.3f} s, served in {served_s:.3f} s")


@app.command()
def validate(
    data: Annotated[Path | None, typer.Option(help="Folder of recorded data.")] = None,
    as_json: Json = False,
) -> None:
    """Published figures that the model must reproduce, beside what it gives now."""
    data = data or (Path(os.environ["HASHWATT_DATA"]) if "HASHWATT_DATA" in os.environ else None)
    if data is not None and not data.is_dir():
        _fail(WRONG_INPUT, f"--data {str(data)!r}: not a folder")
    from sim.validation import validate as all_checks

    try:
        with _told():
            made, left_out = all_checks(data, lambda check: _spin(check.check))
    except (FileNotFoundError, KeyError) as error:
        _fail(WRONG_INPUT, f"--data {str(data)!r}: {error}")
    missed = [c for c in made if not c.ok]
    if as_json:
        _json([c._asdict() for c in made])
    else:
        _validation_table(made)
        for what in left_out:
            print(f"left out, needs --data: {what}")
        print(f"{len(made) - len(missed)} of {len(made)} checks hold")
    if missed:
        raise typer.Exit(MISSED)


# How inputs are read.


def _load(scenario: str, sets: list[str] | None, days: float | None) -> Any:
    from sim.scenario import load

    path = Path(scenario)
    if not path.exists() and (CONFIGS / scenario).is_dir():
        path = CONFIGS / scenario
    overrides: dict[str, Any] = {}
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            _fail(WRONG_INPUT, f"--set {text!r}: write KEY=VALUE")
        overrides[key] = _value(value)
    if days is not None:
        overrides["horizon.days"] = days
    return load(path, overrides)


def _value(text: str) -> Any:
    """A TOML value, or a string where the text is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


@contextmanager
def _told() -> Iterator[None]:
    """Wrong input and failures of a run become one message and an exit code."""
    from sim.policy import PolicyError
    from sim.scenario import ScenarioError

    try:
        yield
    except (ScenarioError, PolicyError) as error:
        _fail(WRONG_INPUT, str(error))
    except (FileExistsError, PermissionError) as error:
        _fail(WRONG_INPUT, str(error))


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
    return _fail(WRONG_INPUT, f"list {what!r}: allowed: {', '.join(KINDS)}")


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


# How things are said.


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _fail(code: int, text: str) -> NoReturn:
    _say(text)
    raise typer.Exit(code)


def _json(document: object) -> None:
    print(json.dumps(document, indent=2, default=str))


def _spin(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr)


@contextmanager
def _progress(days: float, text: str) -> Iterator[Callable[[int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=days)
        yield lambda day: bar.update(task, completed=day)


def _kpi_table(result: Any) -> None:
    from sim.results.kpis_text import causes, rows

    print(f"{result.scenario.name} · {result.policy} · seed {result.seed}")
    for name, value, unit, meaning in rows(result.kpis):
        print(f"  {name:30s}{value:>16s} {unit:11s} {meaning}"[: _width()].rstrip())
    for line in causes(result.kpis):
        print(line)
    if result.recorder.serving is not None:
        _serving_table(result)


def _serving_table(result: Any) -> None:
    names = {"SLO kept %": "slo_attainment_pct", "TTFT p50 s": "ttft_p50_s",
             "p95": "ttft_p95_s", "p99": "ttft_p99_s", "TPOT p95 s": "tpot_p95_s",
             "E2E p95 s": "e2e_p95_s", "J/token": "joules_per_token",
             "USD/Mtoken": "energy_cost_usd_per_mtok"}  # fmt: skip
    counts = {"served": "requests_served", "sent back": "requests_returned",
              "refused": "requests_refused", "gave up": "requests_given_up"}  # fmt: skip
    print(f"{'':30s}" + "".join(f"{name:>12s}" for name in (*counts, *names)))
    for row in result.table("serving").to_pylist():
        cells = [f"{row[key]:,}" for key in counts.values()]
        cells += ["-" if row[k] is None else f"{row[k]:.4g}" for k in names.values()]
        name = f"{row['scope']} {row['name']}"
        print(f"  {name:28.28s}" + "".join(f"{cell:>12s}" for cell in cells))


def _width() -> int:
    """Columns of the terminal; text that goes to a file is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def _validation_table(checks: list[Any]) -> None:
    """Expected beside simulated; a long row of exact checks in one line, misses always shown."""
    groups: dict[str, list[Any]] = {}
    for check_ in checks:
        groups.setdefault(check_.check, []).append(check_)
    print(f"{'':44s}{'expected':>12s}{'simulated':>12s}")
    for name, group in groups.items():
        held = sum(c.ok for c in group)
        print(f"{name}: {held} of {len(group)} hold; {group[0].tolerance.split(';')[0]}")
        for c in group if len(group) <= 60 else [c for c in group if not c.ok]:
            values = "".join(
                f"{f'{v:,.6g}' if isinstance(v, float) else v:>12s}"
                for v in (c.expected, c.simulated)
            )
            print(f"  {c.item:42.42s}{values} {c.unit}{'' if c.ok else '   MISSED'}")
            if "explained" in c.tolerance or not c.ok:
                print(f"      {c.tolerance} ({c.source})")


def _table(title: str, rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows:
        print("nothing")
        return
    table = Table(title=title or None, box=None, pad_edge=False)
    for name, value in rows[0].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{v:,.6g}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()

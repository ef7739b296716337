"""A serving engine from a server's own record: calibrate-engine."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sim.cli.app import app, examples
from sim.cli.console import FAILED, WRONG_INPUT, echo, fail, say, say_json
from sim.cli.inputs import AllowPath, Json, load_scenario, report_errors
from sim.cli.progress import Progress, Quiet
from sim.cli.serving import (
    BlockTokens,
    ChunkedPrefill,
    KvBlocks,
    MaxBatchedTokens,
    MaxSeqs,
    OwnModels,
    ReserveFullPrompt,
    SpreadExperts,
    Stages,
)
from sim.types import OnProgress

if TYPE_CHECKING:  # what it leads to takes a second to load
    from sim.scenario.catalogue.serving import ServedModel
    from sim.serving.calibration import Calibration
    from sim.serving.engine import Engine
    from sim.serving.request_log import RequestLog


@app.command(
    "calibrate-engine",
    epilog=examples(
        "calibrate-engine requests.jsonl --engine llama-3.1-8b@rtx-4090 --meta meta.json "
        "--out mine.toml",
        "calibrate-engine log.csv --engine qwen3-32b@rtx-pro-6000:2 --max-seqs 128 --json",
        "serve-trace trace.csv --engine mine.toml",
    ),
)
def calibrate_engine(
    log: Annotated[
        Path,
        typer.Argument(help="Requests with queued, first and last token [s], prompt and output."),
    ],
    engine: Annotated[str, typer.Option(help="MODEL@GPU[:TP], from which the fit starts.")],
    meta: Annotated[
        Path | None, typer.Option(help="JSON of the server's settings (vLLM's engine_kwargs).")
    ] = None,
    train: Annotated[
        float, typer.Option(help="Share of the completions, by time, that is fitted.")
    ] = 0.4,
    pp: Stages = None,
    ep: SpreadExperts = None,
    max_batched_tokens: MaxBatchedTokens = None,
    max_seqs: MaxSeqs = None,
    kv_blocks: KvBlocks = None,
    block_tokens: BlockTokens = None,
    chunked_prefill: ChunkedPrefill = None,
    reserve_full_prompt: ReserveFullPrompt = None,
    scenario: OwnModels = None,
    allow_path: AllowPath = False,
    out: Annotated[
        Path | None, typer.Option(help="Engine file (.toml) for serve-trace and scenarios.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Host, compute and KV factors of an engine, from a server's request log.

    The rest of the log, by time of completion, says how well they predict.
    """
    from sim.scenario.catalogue.serving import served
    from sim.scenario.catalogue.specs import NONE_OWN
    from sim.scenario.engines import place_of, shares
    from sim.serving.request_log import ServerSettings, read_log, read_settings
    from sim.serving.trace_files import TraceError

    if not 0.0 < train < 1.0:
        fail(WRONG_INPUT, f"--train {train:g}: must be between 0 and 1")
    if out is not None and out.suffix != ".toml":
        fail(WRONG_INPUT, f"--out {out}: an engine file must end with .toml")
    given = {
        "max_batched_tokens": max_batched_tokens,
        "max_seqs": max_seqs,
        "kv_blocks": kv_blocks,
        "block_tokens": block_tokens,
        "chunked_prefill": chunked_prefill,
        "reserve_full_prompt": reserve_full_prompt,
    }
    shown = Progress(quiet)
    shown.stage(f"reading {log}")
    with report_errors():
        own = NONE_OWN
        if scenario is not None:
            own = load_scenario(scenario, None, None, allow_path).own
    try:
        for file in (log, meta):
            if file is not None and not file.is_file():
                fail(WRONG_INPUT, f"{file}: no such file")
        requests = read_log(log)
        server = read_settings(meta) if meta is not None else ServerSettings()
        model, gpu, tp = place_of(engine)
        if tp is not None and server.tp not in (None, tp):
            fail(WRONG_INPUT, f"--engine {engine}: {meta} says tensor parallelism {server.tp}")
        if pp is not None and server.pp not in (None, pp):
            fail(WRONG_INPUT, f"--pp {pp}: {meta} says {server.pp} stages")
        start = served(model, gpu, tp or server.tp, own, None, pp or server.pp or 1)
        if server.spread_experts is not None:
            told_ep = start.tp if server.spread_experts else 1
            if ep is not None and ep != told_ep:
                fail(WRONG_INPUT, f"--ep {ep}: {meta} says experts on {told_ep} GPUs")
            ep = told_ep
        start = served(model, gpu, start.tp, own, None, start.pp, ep or 1)
        settings = dict(server.engine) | {k: v for k, v in given.items() if v is not None}
        settings = shares(settings, start.pp)
        batches = server.replicas * start.pp
        with shown.cells("calibrating", "runs") as tell:
            found, notes = _calibrated(requests, start, settings, train, batches, tell)
    except (TraceError, ValueError) as error:
        fail(WRONG_INPUT, str(error))
    shown.end()
    if requests.dropped:
        notes.append(f"{requests.dropped} rows without all times or without output are left out")
    if start.pp > 1:
        notes.append(
            f"{start.pp} stages: requests taken round-robin by as many batches (approximate)"
        )
    if server.replicas > 1:
        notes.append(f"{server.replicas} replicas: requests taken round-robin, which is assumed")
    if out is not None:
        try:
            out.write_text(_toml(found, start, log.name, requests), encoding="utf-8")
        except OSError as error:
            fail(FAILED, f"{out}: cannot be written: {error.strerror}")
    if as_json:
        say_json(_document(found, start, log.name, out, notes))
        return
    _table(found, start, notes)
    if out is not None:
        say(f"{out}: written; serve-trace --engine {out}, or [engines.NAME] file = … in a scenario")


def _calibrated(
    log: "RequestLog",
    start: "ServedModel",
    settings: dict[str, Any],
    train: float,
    replicas: int,
    tell: OnProgress | None,
) -> "tuple[Calibration, list[str]]":
    """The fit, and what it had to assume. Unknown KV blocks are ample, or what the weights leave
    where that fits the log better.
    """
    from sim.serving.calibration import RUNS, calibrate, served

    engine = replace(start.engine, **settings)
    tries: dict[str, Engine] = {"": engine}
    if "kv_blocks" not in settings:
        longest = int((log.prompt_tokens + log.output_tokens).max())
        ample = engine.max_seqs * -(-longest // engine.block_tokens)
        tries = {f"KV blocks are not known: ample, {ample}": replace(engine, kv_blocks=ample)}
        other = f"KV blocks are not known: {engine.kv_blocks}, which the weights leave, fits best"
        bound = served(log, engine, replicas)
        if engine.kv_blocks < ample and (bound.rejected.any() or bound.preemptions.any()):
            tries[other] = engine
    fits = {}
    for number, (note, tried) in enumerate(tries.items()):

        def done(runs: int, total: int, before: int = number * RUNS) -> None:
            if tell is not None:
                tell(before + runs, RUNS * len(tries))

        fits[note] = calibrate(log, tried, train, start.measured, replicas, done)
    note = min(fits, key=lambda n: fits[n].train["e2e_mape_pct"])
    notes = [note] if note else []
    if not start.measured:
        notes.append("no measurement of this model on this GPU: the fit starts from a roofline")
    return fits[note], notes


def _settings(found: "Calibration", start: "ServedModel") -> dict[str, Any]:
    from sim.serving.engine import SIZES

    engine = found.engine
    place = {"model": start.model, "gpu": start.gpu, "tp": start.tp, "pp": start.pp, "ep": start.ep}
    return place | {name: getattr(engine, name) for name in SIZES}


def _document(
    found: "Calibration", start: "ServedModel", log: str, out: Path | None, notes: list[str]
) -> dict[str, Any]:
    from sim.serving.calibration import LEVEL, METHOD

    return {
        "log": log,
        "engine": _settings(found, start) | {"iteration": asdict(found.engine.iteration)},
        "factors": {name: factor._asdict() for name, factor in found.factors.items()},
        "interval": {"level": LEVEL, "method": METHOD},
        "train": found.train,
        "test": found.test,
        "start": start.source,
        "notes": notes,
        "out": None if out is None else str(out),
    }


def _table(found: "Calibration", start: "ServedModel", notes: list[str]) -> None:
    from sim.serving.calibration import LEVEL, METHOD

    echo(f"{start.model} on {start.tp * start.pp} × {start.gpu}; start: {start.source}")
    echo(f"{'':22s}{'value':>14s}{'low':>14s}{'high':>14s}   {LEVEL:.0%}, {METHOD}")
    for name, factor in found.factors.items():
        echo(f"  {name:20s}" + "".join(f"{value:14.5g}" for value in factor))
    echo(f"{'':26s}{'fitted':>10s}{'held out':>10s}")
    for name, value in found.train.items():
        cells = (value, found.test[name])
        echo(f"  {name:24s}" + "".join(f"{'-' if v is None else f'{v:.4g}':>10s}" for v in cells))
    for note in notes:
        echo(note)


def _toml(found: "Calibration", start: "ServedModel", log: str, requests: "RequestLog") -> str:
    """The engine file: settings, [iteration], and [calibration] for those who read it."""
    from sim.serving.calibration import LEVEL, METHOD

    count = len(requests.arrival_s)
    source = (
        f"calibrated on {found.train['n']} of {count} requests of {log}; end to end "
        f"{found.test['e2e_mape_pct']:.2f} % MAPE on the others; start: {start.source}"
    )
    tables = {
        "": _settings(found, start) | {"source": source},
        "iteration": asdict(found.engine.iteration),
        "calibration": {
            "interval": f"{LEVEL:.0%}, {METHOD}",
            **{name: list(factor) for name, factor in found.factors.items()},
            **{f"held_out_{name}": v for name, v in found.test.items() if v is not None},
        },
    }
    lines = ["# Written by hashwatt calibrate-engine; times in seconds."]
    for title, table in tables.items():
        lines += ["", f"[{title}]"] if title else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"

"""One serving engine alone: serve-trace."""

import time
from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, echo, fail, say, say_json
from sim.cli.inputs import AllowPath, Json, load_scenario, report_errors
from sim.cli.progress import Progress, Quiet

MaxBatchedTokens = Annotated[int | None, typer.Option(help="Budget of an iteration.")]
MaxSeqs = Annotated[int | None, typer.Option(help="Running sequences at most.")]
KvBlocks = Annotated[int | None, typer.Option(help="Blocks of the KV cache.")]
BlockTokens = Annotated[int | None, typer.Option(help="Tokens of a block.")]
ChunkedPrefill = Annotated[bool | None, typer.Option(help="Split long prompts.")]
ReserveFullPrompt = Annotated[
    bool | None, typer.Option(help="Admit only what fits whole (vLLM 0.19).")
]
Stages = Annotated[
    int | None,
    typer.Option(
        min=1, max=64, help="Pipeline stages of TP GPUs each, which share KV and sequences."
    ),
]
SpreadExperts = Annotated[
    int | None,
    typer.Option(min=1, max=64, help="1, or TP: experts stand whole on the GPUs."),
]
OwnModels = Annotated[
    str | None, typer.Option(help="A scenario whose own models and GPUs --engine may name.")
]


@app.command(
    "serve-trace",
    epilog=examples(
        "serve-trace trace.csv --engine llama-3.1-8b@h100-sxm",
        "serve-trace trace.jsonl.gz --engine llama-3.1-70b@h100-sxm:4 --engines 2 --plot load.png",
        "serve-trace trace.csv --engine llama-3.1-70b@h100-sxm:4 --pp 2",
        "serve-trace trace.csv --engine ours-7b@h100-sxm --scenario my-fleet",
    ),
)
def serve_trace(
    trace: Annotated[
        Path, typer.Argument(help="CSV, JSONL or Parquet; Azure, Mooncake, BurstGPT …")
    ],
    engine: Annotated[
        str, typer.Option(help="MODEL@GPU[:TP] of the catalogue, or a TOML file with an engine.")
    ],
    engines: Annotated[int, typer.Option(min=1, help="Replicas, served round-robin.")] = 1,
    pp: Stages = None,
    ep: SpreadExperts = None,
    rate_scale: Annotated[float, typer.Option(help="Arrivals this many times as dense.")] = 1.0,
    max_batched_tokens: MaxBatchedTokens = None,
    max_seqs: MaxSeqs = None,
    kv_blocks: KvBlocks = None,
    block_tokens: BlockTokens = None,
    chunked_prefill: ChunkedPrefill = None,
    reserve_full_prompt: ReserveFullPrompt = None,
    scenario: OwnModels = None,
    allow_path: AllowPath = False,
    prefix_caching: Annotated[
        bool,
        typer.Option(
            help="Keep KV blocks until overwritten (hash_ids); or take hit_tokens as told."
        ),
    ] = False,
    slo_ttft: Annotated[float | None, typer.Option(help="Promised TTFT [s].")] = None,
    slo_tpot: Annotated[float | None, typer.Option(help="Promised TPOT [s].")] = None,
    plot: Annotated[Path | None, typer.Option(help="Latency against load, as a picture.")] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file, a row per request.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """One serving engine against a request trace, every token."""
    from sim.scenario.catalogue.specs import NONE_OWN
    from sim.scenario.engines import engine_of
    from sim.serving.metrics import scaled, serve_on, summary, write_requests
    from sim.serving.traces import TraceError, read_trace

    if not rate_scale > 0.0:
        fail(WRONG_INPUT, f"--rate-scale {rate_scale:g}: must be above 0")
    began = time.perf_counter()
    shown = Progress(quiet)
    shown.stage(f"reading {trace}")
    changes = {
        "max_batched_tokens": max_batched_tokens,
        "max_seqs": max_seqs,
        "kv_blocks": kv_blocks,
        "block_tokens": block_tokens,
        "chunked_prefill": chunked_prefill,
        "reserve_full_prompt": reserve_full_prompt,
    }
    with report_errors():
        own = NONE_OWN
        if scenario is not None:
            own = load_scenario(scenario, None, None, allow_path).own
    try:
        given = {k: v for k, v in changes.items() if v is not None}
        chosen, about, stages = engine_of(engine, given, own, pp, ep)
        if not trace.is_file():
            fail(WRONG_INPUT, f"{trace}: no such file")
        requests = scaled(read_trace(trace), rate_scale)
        if prefix_caching and requests.hit_tokens is None:
            fail(WRONG_INPUT, f"--prefix-caching: {trace.name} has no hash_ids or hit_tokens")
        read_s = time.perf_counter() - began
        shown.stage(f"serving {trace.name} on {engine}")
        served = serve_on(requests, chosen, engines * stages, prefix_caching)
    except (TraceError, ValueError) as error:
        fail(WRONG_INPUT, str(error))
    served_s = time.perf_counter() - began - read_s
    figures = summary(requests, served, slo_ttft, slo_tpot)
    if not requests.sorted:
        say(f"{trace.name}: rows were out of order and have been sorted")
    if prefix_caching and requests.content is not None and requests.hit_tokens is not None:
        endless = 100.0 * requests.hit_tokens.sum() / requests.prompt_tokens.sum()
        say(f"{trace.name}: a cache that forgets nothing would find {endless:.1f} % of the prompts")
    if requests.dropped:
        say(f"{trace.name}: {requests.dropped} requests without output tokens left out")
    if out is not None:
        write_requests(requests, served, out)
    if plot is not None:
        shown.stage(f"drawing {plot}")
        from sim.report.load import draw_load

        draw_load(requests, chosen, engines * stages, f"{trace.name} on {engine}", plot)
    shown.end()
    if as_json:
        say_json({"trace": trace.name, "format": requests.format, "engine": engine,
               "engines": engines, "about": about, **figures})  # fmt: skip
    else:
        echo(f"{trace.name} ({requests.format}) on {engines} × {engine}: {about}")
        for name, value in figures.items():
            echo(f"  {name:22s}{'-' if value is None else f'{value:,.6g}':>14s}")
    say(f"read in {read_s:.3f} s, served in {served_s:.3f} s")

"""Latencies and throughput of a served trace."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.serving.engine import Engine, Served, serve
from sim.serving.traces import Trace
from sim.types import Bools, Floats, Ints

QUANTILES: Final = (50, 90, 95, 99)


class Latencies(NamedTuple):
    """Latencies of the served requests; shape (served,)."""

    ttft_s: Floats  # time to first token
    tpot_s: Floats  # time per output token after the first; NaN for outputs of one token
    e2e_s: Floats  # end to end


def latencies(arrival_s: Floats, output_tokens: Ints, out: Served) -> Latencies:
    """TTFT, TPOT and end-to-end time of each request that was served [s]."""
    done = ~out.rejected
    output = output_tokens[done]
    first, finish = out.first_token_s[done], out.finish_s[done]
    with np.errstate(invalid="ignore"):
        tpot = np.where(output > 1, (finish - first) / np.maximum(output - 1, 1), np.nan)
    return Latencies(first - arrival_s[done], tpot, finish - arrival_s[done])


def summary(
    trace: Trace, out: Served, slo_ttft_s: float | None = None, slo_tpot_s: float | None = None
) -> dict[str, Any]:
    """Key figures of a trace on an engine; names end in their unit."""
    found = latencies(trace.arrival_s, trace.output_tokens, out)
    done = ~out.rejected
    tokens, prompts = int(trace.output_tokens[done].sum()), int(trace.prompt_tokens[done].sum())
    last_s = float(np.max(out.finish_s[done])) if done.any() else float("nan")
    result: dict[str, Any] = {
        "requests": len(done),
        "rejected": int(out.rejected.sum()),
        "duration_s": last_s,
        "throughput_rps": int(done.sum()) / last_s,
        "input_tokens_per_s": prompts / last_s,
        "output_tokens_per_s": tokens / last_s,
    }
    for name, values in zip(("ttft", "tpot", "e2e"), found, strict=True):
        known = values[~np.isnan(values)]
        result[f"{name}_mean_s"] = float(known.mean()) if len(known) else None
        for q in QUANTILES:
            result[f"{name}_p{q}_s"] = float(np.percentile(known, q)) if len(known) else None
    if slo_ttft_s is not None or slo_tpot_s is not None:
        good = within(found, slo_ttft_s, slo_tpot_s)
        result["slo_attainment_pct"] = 100.0 * int(good.sum()) / len(done)
        result["goodput_rps"] = int(good.sum()) / last_s
    result |= {
        "prefix_hit_pct": 100.0 * float(out.hit_tokens[done].sum()) / prompts if prompts else None,
        "preemptions": int(out.preemptions.sum()),
        "iterations": out.iterations,
        "busy_pct": 100.0 * out.busy_s / last_s,
        "energy_j": out.energy_j,
        "joules_per_token": out.energy_j / tokens if tokens else None,
    }
    return result


def within(found: Latencies, slo_ttft_s: float | None, slo_tpot_s: float | None) -> Bools:
    """Whether each request met both targets (served,); an output of one token has no TPOT."""
    good = np.ones(len(found.ttft_s), dtype=np.bool_)
    if slo_ttft_s is not None:
        good &= found.ttft_s <= slo_ttft_s
    if slo_tpot_s is not None:
        good &= ~(found.tpot_s > slo_tpot_s)
    return good


def serve_on(
    trace: Trace, engine: Engine, engines: int = 1, prefix_caching: bool = False
) -> Served:
    """Serve a trace on replicas, round-robin; `energy_j` and `iterations` are summed.

    With `prefix_caching` each replica caches its KV blocks where the trace has hashes of its
    prompts; where it has only hits, those are used.
    """
    content = trace.content
    hits = trace.hit_tokens if prefix_caching and content is None else None
    if prefix_caching and content is not None:
        engine = replace(engine, prefix_cache=True)
    count = len(trace.arrival_s)
    parts = []
    for k in range(engines):
        mine = slice(k, None, engines)
        cached = None if hits is None else hits[mine]
        columns = (trace.arrival_s[mine], trace.prompt_tokens[mine], trace.output_tokens[mine])
        told = content and content._replace(leaf=content.leaf[mine], told=content.told[mine])
        parts.append(serve(*columns, engine, cached, content=told))
    if engines == 1:
        return parts[0]
    merged = Served(
        first_token_s=np.empty(count),
        finish_s=np.empty(count),
        preemptions=np.empty(count, dtype=np.int64),
        rejected=np.empty(count, dtype=np.bool_),
        iterations=sum(part.iterations for part in parts),
        energy_j=sum(part.energy_j for part in parts),
        busy_s=sum(part.busy_s for part in parts) / engines,
        hit_tokens=np.empty(count, dtype=np.int64),
    )
    for k, part in enumerate(parts):
        for name in ("first_token_s", "finish_s", "preemptions", "rejected", "hit_tokens"):
            getattr(merged, name)[k::engines] = getattr(part, name)
    return merged


def scaled(trace: Trace, factor: float) -> Trace:
    """The same requests at `factor` times the rate."""
    return trace._replace(arrival_s=trace.arrival_s / factor)


def saturation_rps(trace: Trace, engine: Engine, engines: int = 1) -> float:
    """Throughput when all requests wait from the start [1/s]."""
    at_once = trace._replace(arrival_s=np.zeros_like(trace.arrival_s))
    out = serve_on(at_once, engine, engines)
    return float((~out.rejected).sum() / np.nanmax(out.finish_s))


def write_requests(trace: Trace, out: Served, file: Path) -> None:
    """Write one Parquet row per request: what it asked for, and its outcome."""
    table = pa.table(
        {
            "arrival_s": trace.arrival_s,
            "prompt_tokens": trace.prompt_tokens,
            "output_tokens": trace.output_tokens,
            "first_token_s": out.first_token_s,
            "finish_s": out.finish_s,
            "hit_tokens": out.hit_tokens,
            "preemptions": out.preemptions,
            "rejected": out.rejected,
        }
    )
    pq.write_table(table, file, compression="zstd")

"""A server's own request log: when each request was queued, and its first and last token."""

import json
import math
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.serving.trace_files import Column, Columns, TraceError, plain, read_columns
from sim.serving.traces import MAX_TOKENS, NO_SECONDS, numbers
from sim.types import Bools, Floats, Ints

# Titles of each column, compared after `plain`; of several the first present is used. vLLM's stats
# (queued_ts, …) as LLMServingSim's recorder writes them, and what `serve-trace --out` writes.
COLUMNS: Final = {
    "queued": ("queued_ts", "queued_s", "arrival_s", "arrival_time"),
    "prompt": ("input_toks", "prompt_tokens", "num_prompt_tokens", "input_tokens"),
    "output": ("output_toks", "output_tokens", "num_generation_tokens", "completion_tokens"),
    "first": ("first_token_ts", "first_token_s", "first_token_time"),
    "last": ("last_token_ts", "last_token_s", "finish_s", "finished_time"),
}


class RequestLog(NamedTuple):
    """Served requests in order of arrival; times count from the first arrival [s]."""

    arrival_s: Floats  # (request,) sorted
    prompt_tokens: Ints  # (request,)
    output_tokens: Ints  # (request,)
    first_token_s: Floats  # (request,)
    finish_s: Floats  # (request,) the last token
    dropped: int  # rows without tokens or times: requests that failed


class ServerSettings(NamedTuple):
    """Settings stated in a server's record; None: not stated."""

    tp: int | None = None
    pp: int | None = None
    spread_experts: bool | None = None  # whole experts are spread over the tp GPUs
    replicas: int = 1
    engine: tuple[tuple[str, int | bool], ...] = ()  # settings of `Engine` that are known


def read_log(path: str | Path) -> RequestLog:
    """Read a request log from CSV, JSONL, JSON (each also gzipped) or Parquet.

    Raises:
        TraceError: for columns that are missing, times that are not in seconds or not in order
            (queued <= first token <= last token), and tokens that are no whole numbers, by row.
    """
    file = Path(path)
    columns = read_columns(file)
    at = {name: _column(file.name, columns, name) for name in COLUMNS}
    found, known = {}, np.array(True)
    for name, title in at.items():
        found[name], right = numbers(columns.of[title])
        empty = _empty(columns.of[title])
        if not (right | empty).all():
            i = int(np.argmin(right | empty))
            value = f"{columns.titles[title]} = {str(_cell(columns.of[title], i))[:60]!r}"
            raise TraceError(f"{file.name}: {columns.place(i)}, {value}: must be a number or empty")
        known = known & right & np.isfinite(found[name])
    if not np.any(known):
        raise TraceError(f"{file.name}: has no request with all of {', '.join(at.values())}")
    kept = known & (found["output"] > 0)
    _check(file.name, columns, at, found, kept)
    order = np.flatnonzero(kept)
    order = order[np.argsort(found["queued"][order], kind="stable")]
    zero_s = found["queued"][order[0]]
    return RequestLog(
        arrival_s=found["queued"][order] - zero_s,
        prompt_tokens=found["prompt"][order].astype(np.int64),
        output_tokens=found["output"][order].astype(np.int64),
        first_token_s=found["first"][order] - zero_s,
        finish_s=found["last"][order] - zero_s,
        dropped=int((~kept).sum()),
    )


def _column(file: str, columns: Columns, name: str) -> str:
    found = next((plain(t) for t in COLUMNS[name] if plain(t) in columns.of), None)
    if found is None:
        titles = ", ".join(list(columns.titles.values())[:20])
        raise TraceError(
            f"{file}: columns {titles}: none says {name}; a request log needs "
            + "; ".join(" or ".join(titles) for titles in COLUMNS.values())
        )
    return found


def _cell(column: Column, i: int) -> Any:
    value = column[i]
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _empty(column: Column) -> Bools:
    """Empty cells, as of requests that failed."""
    cells = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column
    return np.array([cell is None or str(cell).strip() == "" for cell in cells], dtype=np.bool_)


def _check(
    file: str, columns: Columns, at: dict[str, str], found: dict[str, Floats], kept: Bools
) -> None:
    """Raise TraceError for the first row with an invalid value, saying what is allowed."""
    with np.errstate(invalid="ignore"):
        for name in ("prompt", "output"):
            tokens = found[name]
            wrong = kept & ~((tokens >= 1) & (tokens <= MAX_TOKENS) & (tokens == np.floor(tokens)))
            allowed = f"must be a whole number of tokens, 1 to {MAX_TOKENS:,}"
            _refuse(file, columns, at[name], tokens, wrong, allowed)
        for name in ("queued", "first", "last"):
            wrong = kept & ~(np.abs(found[name]) < NO_SECONDS)
            allowed = f"cannot be seconds; must be below {NO_SECONDS:g}"
            _refuse(file, columns, at[name], found[name], wrong, allowed)
        for name, before in (("first", "queued"), ("last", "first")):
            wrong = kept & (found[name] < found[before])
            allowed = f"must not be before {columns.titles[at[before]]}, on one clock [s]"
            _refuse(file, columns, at[name], found[name], wrong, allowed)


def _refuse(
    file: str, columns: Columns, title: str, values: Floats, wrong: Bools, allowed: str
) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        value = f"{columns.titles[title]} = {values[i]:.15g}"
        raise TraceError(f"{file}: {columns.place(i)}, {value}: {allowed}")


def read_settings(path: str | Path) -> ServerSettings:
    """Read a server's settings from a vLLM record (`engine_kwargs`, `kv_cache`, …).

    Raises:
        TraceError: for a file that is no such record, and for invalid values.
    """
    file = Path(path)
    try:
        whole = json.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{file.name}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{file.name}: is not JSON: {error}") from None
    if not isinstance(whole, dict) or not isinstance(whole.get("engine_kwargs"), dict):
        raise TraceError(f"{file.name}: needs engine_kwargs: vLLM's arguments, as max_num_seqs")
    given, resolved = whole["engine_kwargs"], whole.get("resolved_config")
    scheduler = resolved.get("scheduler_config") if isinstance(resolved, dict) else None
    cache = whole.get("kv_cache")
    scheduler = scheduler if isinstance(scheduler, dict) else {}
    cache = cache if isinstance(cache, dict) else {}
    settings = {
        "max_batched_tokens": _whole(file, given, "max_num_batched_tokens"),
        "max_seqs": _whole(file, given, "max_num_seqs"),
        "kv_blocks": _whole(file, cache, "num_gpu_blocks"),
        "block_tokens": _whole(file, cache, "block_size"),
        "chunked_prefill": _flag(file, scheduler, "enable_chunked_prefill"),
        "prefix_cache": _flag(file, cache, "enable_prefix_caching"),
        "reserve_full_prompt": _flag(file, scheduler, "scheduler_reserve_full_isl"),
    }
    return ServerSettings(
        tp=_whole(file, given, "tensor_parallel_size"),
        pp=_whole(file, given, "pipeline_parallel_size"),
        spread_experts=_flag(file, given, "enable_expert_parallel"),
        replicas=_whole(file, given, "data_parallel_size") or 1,
        engine=tuple((name, value) for name, value in settings.items() if value is not None),
    )


def _whole(file: Path, table: dict[str, Any], key: str) -> int | None:
    value = table.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 < value < math.inf:
        raise TraceError(f"{file.name}: {key} = {value!r}: must be a whole number, at least 1")
    return value


def _flag(file: Path, table: dict[str, Any], key: str) -> bool | None:
    value = table.get(key)
    if value is not None and type(value) is not bool:
        raise TraceError(f"{file.name}: {key} = {value!r}: must be true or false")
    return value

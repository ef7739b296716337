"""Request traces as others publish them: Azure, Mooncake, BurstGPT, or plain columns."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sim.kernels.arrays import Floats, Ints

MOONCAKE_BLOCK_TOKENS: Final = 512  # its README: one hash for 512 tokens
KINDS: Final = (".csv", ".jsonl", ".parquet")


class TraceError(ValueError):
    """A trace that cannot be read: file, line, column, value and what is allowed."""


class Trace(NamedTuple):
    """Requests in order of arrival."""

    arrival_s: Floats  # (request,) from the first one on
    prompt_tokens: Ints  # (request,)
    output_tokens: Ints  # (request,)
    hit_tokens: Ints | None  # (request,) of the prompt, seen before; None: the trace does not say
    format: str
    dropped: int  # requests without output, which failed where the trace was taken
    sorted: bool  # False: rows were out of order, and have been sorted


class _Format(NamedTuple):
    arrival: str
    prompt: str
    output: str
    to_s: float  # seconds of one unit of arrival; 0: a date
    hits: Callable[[list[Any], Ints], Ints] | None = None
    hit: str = ""


def _prefix_hits(hashes: list[Any], prompt: Ints) -> Ints:
    """Tokens of each prompt whose blocks were all seen in earlier requests: an endless cache."""
    seen: set[int] = set()
    hits = np.zeros(len(prompt), dtype=np.int64)
    for i, blocks in enumerate(hashes):
        known = 0
        for block in blocks:
            if block not in seen:
                break
            known += 1
        seen.update(blocks)
        hits[i] = min(known * MOONCAKE_BLOCK_TOKENS, prompt[i])
    return hits


def _given_hits(hits: list[Any], prompt: Ints) -> Ints:
    return np.minimum(np.array(hits, dtype=np.int64), prompt)


FORMATS: Final = {
    "Azure": _Format("TIMESTAMP", "ContextTokens", "GeneratedTokens", 0.0),
    "Mooncake": _Format(
        "timestamp", "input_length", "output_length", 1e-3, _prefix_hits, "hash_ids"
    ),
    "BurstGPT": _Format("Timestamp", "Request tokens", "Response tokens", 1.0),
    "plain": _Format("arrival_s", "prompt_tokens", "output_tokens", 1.0, _given_hits, "hit_tokens"),
}


def read_trace(path: str | Path) -> Trace:
    """Read a trace from CSV, JSONL (each also gzipped) or Parquet; columns tell its format.

    Raises:
        TraceError: for a file that is none of these, unknown columns, or a bad row, which is named
            by its line (Parquet: row).
    """
    file = Path(path)
    name = file.name.removesuffix(".gz")
    kind = next((k for k in KINDS if name.endswith(k)), None)
    if kind is None:
        raise TraceError(f"{file.name}: must end with {', '.join(KINDS)}, text also with .gz")
    try:
        columns = _columns(file, kind)
    except (OSError, EOFError, UnicodeDecodeError, pa.ArrowException) as error:
        raise TraceError(f"{file.name}: {error}") from None
    found = [n for n, f in FORMATS.items() if {f.arrival, f.prompt, f.output} <= set(columns)]
    if not found:
        known = "; ".join(f"{n}: {f.arrival}, {f.prompt}, {f.output}" for n, f in FORMATS.items())
        raise TraceError(f"{file.name}: columns {', '.join(columns)}; recognised are {known}")
    shape = FORMATS[found[0]]
    where = "row" if kind == ".parquet" else "line"
    first = 2 if kind == ".csv" else 1

    def fail(i: int, column: str, value: object, allowed: str) -> TraceError:
        return TraceError(f"{file.name}: {where} {i + first}, {column} = {value!r}: {allowed}")

    if not columns[shape.arrival]:
        raise TraceError(f"{file.name}: has no request")
    arrival = _instants(columns[shape.arrival], shape, fail)
    prompt, output = (
        _tokens(columns[c], c, least, fail) for c, least in ((shape.prompt, 1), (shape.output, 0))
    )
    hits: Ints | None = None
    if shape.hits is not None and shape.hit in columns:
        hits = shape.hits(columns[shape.hit], prompt)
    kept = output > 0
    order = np.flatnonzero(kept)[np.argsort(arrival[kept], kind="stable")]
    if not len(order):
        raise TraceError(f"{file.name}: no request has output tokens")
    return Trace(
        arrival_s=arrival[order] - arrival[order[0]],
        prompt_tokens=prompt[order],
        output_tokens=output[order],
        hit_tokens=None if hits is None else hits[order],
        format=found[0],
        dropped=int((~kept).sum()),
        sorted=bool((np.diff(arrival[kept]) >= 0).all()),
    )


Fail = Callable[[int, str, object, str], TraceError]


def _columns(file: Path, kind: str) -> dict[str, list[Any]]:
    """All columns; rows of JSONL that lack a key have None."""
    if kind == ".parquet":
        table = pyarrow.parquet.read_table(file)
        return {name: table[name].to_pylist() for name in table.column_names}
    raw = file.read_bytes()
    text = gzip.decompress(raw).decode() if file.suffix == ".gz" else raw.decode()
    if kind == ".csv":
        rows = list(csv.reader(io.StringIO(text)))
        header = rows[0] if rows else []
        body = [row for row in rows[1:] if row]
        for i, row in enumerate(body):
            if len(row) != len(header):
                found = f"{len(row)} columns, the header has {len(header)}"
                raise TraceError(f"{file.name}: line {i + 2}: {found}")
        return (
            dict(zip(header, map(list, zip(*body, strict=True)), strict=True))
            if body
            else {name: [] for name in header}
        )
    return _json_columns(file.name, text)


def _json_columns(name: str, text: str) -> dict[str, list[Any]]:
    rows: list[dict[str, Any]] = []
    for i, line in enumerate(text.splitlines()):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TraceError(f"{name}: line {i + 1}: {error.msg}: {line[:60]!r}") from None
        if not isinstance(row, dict):
            raise TraceError(f"{name}: line {i + 1}: must be an object, not {line[:60]!r}")
        rows.append(row)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return {key: [row.get(key) for row in rows] for key in keys}


def _instants(values: list[Any], shape: _Format, fail: Fail) -> Floats:
    """Arrivals [s]: numbers in the format's unit, or dates (100 ns in the Azure traces)."""
    dates = shape.to_s == 0.0

    def convert(some: list[Any]) -> Floats:
        if dates:
            since = np.array(some, dtype="datetime64[ns]") - np.datetime64("2000-01-01")
            return np.asarray(since.astype(np.float64) * 1e-9)
        return np.array(some, dtype=np.float64) * shape.to_s

    seconds = _converted(values, convert)
    for i in [] if seconds is not None else range(len(values)):
        if _converted(values[i : i + 1], convert) is None:
            allowed = "a date and time" if dates else "a finite number"
            raise fail(i, shape.arrival, values[i], f"must be {allowed}")
    assert seconds is not None
    return seconds


def _tokens(values: list[Any], column: str, least: int, fail: Fail) -> Ints:
    def convert(some: list[Any]) -> Floats:
        numbers = np.array(some, dtype=np.float64)
        return np.where((numbers >= least) & (numbers == np.floor(numbers)), numbers, np.nan)

    tokens = _converted(values, convert)
    for i in [] if tokens is not None else range(len(values)):
        if _converted(values[i : i + 1], convert) is None:
            allowed = f"must be a whole number of tokens, at least {least}"
            raise fail(i, column, values[i], allowed)
    assert tokens is not None
    return tokens.astype(np.int64)


def _converted(values: list[Any], convert: Callable[[list[Any]], Floats]) -> Floats | None:
    """All values at once; None when one of them makes no sense."""
    try:
        found = convert(values)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found).all() else None


def formats() -> Iterator[str]:
    """The formats with their columns, for help texts."""
    for name, f in FORMATS.items():
        yield f"{name} ({f.arrival}, {f.prompt}, {f.output})"

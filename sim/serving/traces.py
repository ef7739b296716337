"""Reads published request traces, sorted by arrival and checked row by row."""

import math
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sim.serving.content import Content, content_of
from sim.serving.layouts import LACKING, LAYOUTS, Layout, layouts
from sim.serving.trace_files import Column, Columns, TraceError, read_columns
from sim.types import Bools, Floats, Ints

__all__ = ["MAX_TOKENS", "Trace", "TraceError", "read_trace"]

MAX_TOKENS: Final = 1 << 24  # of a prompt or an answer: largest the serving kernel counts exactly
MAX_SPAN_S: Final = 3.2e9  # a hundred years
NO_SECONDS: Final = 1e11  # since 1970: the year 5138
EPOCHS: Final = ((1e17, 1e-9), (1e14, 1e-6), (NO_SECONDS, 1e-3))  # smallest value, unit [s]
SECONDS_BLOCK: Final = 16  # Qwen-Bailian's
PLAIN_COLUMNS: Final = "a plain file: arrival_s, prompt_tokens, output_tokens"
BLOCKS: Final = (16, 32, 64, 128, 256, 512, 1024)  # tokens per hash in known traces


class Trace(NamedTuple):
    """Requests in order of arrival."""

    arrival_s: Floats  # (request,) counted from the first
    prompt_tokens: Ints  # (request,)
    output_tokens: Ints  # (request,)
    hit_tokens: Ints | None  # (request,) prompt tokens seen before; None: not in the trace
    format: str
    dropped: int  # requests without output, which failed where the trace was taken
    sorted: bool  # False: rows were out of order and were sorted
    content: Content | None = None  # shared prefixes of prompts; None: no hashes in the trace


class _Rows(NamedTuple):
    """A file's columns, and the error for a bad value in them."""

    file: str
    columns: Columns

    def fail(self, i: int, column: str, value: object, allowed: str) -> TraceError:
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "…"
        title = self.columns.titles[column]
        return TraceError(f"{self.file}: {self.columns.place(i)}, {title} = {shown}: {allowed}")


def read_trace(path: str | Path) -> Trace:
    """Read a trace from CSV, JSONL, JSON (each also gzipped) or Parquet; columns tell its layout.

    Rows are sorted by arrival before hits are counted. A prompt's `hit_tokens` are those of its
    leading blocks seen in earlier requests, as with an infinite cache. Hits in a cache of an
    engine's size are found by the engine, from `content`.

    Raises:
        TraceError: for a file that is none of these, unknown columns, or a bad row, which is named
            by its line (Parquet: row).
    """
    file = Path(path)
    columns = read_columns(file)
    rows = _Rows(file.name, columns)
    layout, (arrival_at, prompt_at, output_at) = _layout(rows)
    if not len(columns.of[arrival_at]):
        raise TraceError(f"{file.name}: has no request")
    for name in (prompt_at, output_at):
        if len(columns.of[name]) != len(columns.of[arrival_at]):
            lengths = f"{len(columns.of[name])} values of {columns.titles[name]}"
            raise TraceError(f"{file.name}: {lengths}; must be {len(columns.of[arrival_at])}")
    prompt = _tokens(rows, prompt_at, 1)
    output = _tokens(rows, output_at, 0)
    hashes = layout.hashes and _hashes(rows, layout.hashes)
    block = _block(rows, layout, hashes, prompt) if hashes else 0
    arrival = _instants(rows, arrival_at, layout, block)
    kept = output > 0
    if not kept.any():
        raise TraceError(f"{file.name}: no request has output tokens")
    order = np.argsort(arrival, kind="stable")
    hits: Ints | None = None
    content: Content | None = None
    if hashes:
        hits = _prefix_hits(hashes, prompt, order, block)
    elif given := next((name for name in layout.hits if name in columns.of), None):
        hits = np.minimum(_tokens(rows, given, 0), prompt)
    order = order[kept[order]]
    if hashes:
        content = content_of([hashes[i] for i in order], block, prompt[order])
    return Trace(
        arrival_s=arrival[order] - arrival[order[0]],
        prompt_tokens=prompt[order],
        output_tokens=output[order],
        hit_tokens=None if hits is None else hits[order],
        format=layout.name,
        dropped=int((~kept).sum()),
        sorted=bool((np.diff(arrival[kept]) >= 0).all()),
        content=content,
    )


def _layout(rows: _Rows) -> tuple[Layout, tuple[str, str, str]]:
    there = rows.columns.of
    for layout in LAYOUTS:
        found = layout.columns(there)
        if found is not None:
            return layout, found
    for mark, lack in LACKING.items():
        if mark in rows.columns.titles:
            raise TraceError(f"{rows.file}: {lack}; write {PLAIN_COLUMNS}")
    titles = [rows.columns.titles[name] for name in there]
    shown = ", ".join(f"{title[:60]}" for title in titles[:20]) + (", …" if titles[20:] else "")
    raise TraceError(f"{rows.file}: columns {shown}; recognised are {layouts()}")


def numbers(column: Column) -> tuple[Floats, Bools]:
    """Values as numbers, and a mask of those that are numbers."""
    if isinstance(column, pa.ChunkedArray):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            return _texts(column)
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            known = np.asarray(pc.is_valid(column).to_numpy())
            found = np.asarray(column.cast(pa.float64(), safe=False).to_numpy())
            return np.where(known, found, np.nan), known
        column = column.to_pylist()
    right = np.array([type(value) in (int, float) for value in column], dtype=np.bool_)
    found = np.full(len(column), np.nan)
    for i in np.flatnonzero(right):
        try:
            found[i] = column[i]
        except OverflowError:
            found[i] = math.inf
    return found, right


def _texts(column: pa.ChunkedArray) -> tuple[Floats, Bools]:
    """Numbers out of texts, surrounding blanks allowed, and a mask of valid ones."""
    bare = pc.utf8_trim_whitespace(column)
    plain_number = pc.match_substring_regex(bare, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    right = np.asarray(pc.fill_null(plain_number, False).to_numpy())
    signless = pc.replace_substring_regex(bare, r"^\+", "")
    masked = pc.if_else(plain_number, signless, pa.scalar(None, pa.string()))
    found = np.asarray(masked.cast(pa.float64()).to_numpy())
    return found.astype(np.float64), right


def _value(column: Column, i: int) -> Any:
    value = column[i]
    return value.as_py() if isinstance(value, pa.Scalar) else value


def _tokens(rows: _Rows, name: str, least: int) -> Ints:
    column = rows.columns.of[name]
    found, right = numbers(column)
    with np.errstate(invalid="ignore"):
        right = right & (found >= least) & (found <= MAX_TOKENS) & (found == np.floor(found))
    if not right.all():
        i = int(np.argmin(right))
        allowed = f"must be a whole number of tokens, at least {least}, at most {MAX_TOKENS:,}"
        raise rows.fail(i, name, _value(column, i), allowed)
    return found.astype(np.int64)


def _instants(rows: _Rows, name: str, layout: Layout, block: int) -> Floats:
    """Arrivals [s]: numbers in the layout's unit, or dates (100 ns in the Azure traces)."""
    column = rows.columns.of[name]
    given, right = numbers(column)
    allowed = "must be a finite number"
    if right[0]:
        found = given * _unit_s(rows, name, layout, block, given)
    else:
        found, right = _dates(column)
        allowed = "must be a date and time, or in all rows a finite number"
    right = right & np.isfinite(found)
    if not right.all():
        i = int(np.argmin(right))
        raise rows.fail(i, name, _value(column, i), allowed)
    if found.max() - found.min() > MAX_SPAN_S:
        i = int(np.argmax(found))
        raise rows.fail(i, name, _value(column, i), "is more than 100 years after the first")
    return found


def _unit_s(rows: _Rows, name: str, layout: Layout, block: int, given: Floats) -> float:
    """Seconds per unit of arrival; refused where numbers cannot be in the layout's unit."""
    first = float(given[0])
    if layout.whole:
        if block == SECONDS_BLOCK:  # Mooncake's columns, but Qwen-Bailian's blocks and seconds
            return 1.0
        fraction = np.isfinite(given) & (given != np.floor(given))
        if fraction.any():
            i = int(np.argmax(fraction))
            allowed = f"must be whole milliseconds; seconds are read as {PLAIN_COLUMNS}"
            raise rows.fail(i, name, _value(rows.columns.of[name], i), allowed)
    elif first >= NO_SECONDS:
        if not layout.epoch:
            allowed = f"cannot be seconds; must be below {NO_SECONDS:g}"
            raise rows.fail(0, name, _value(rows.columns.of[name], 0), allowed)
        return next(unit_s for least, unit_s in EPOCHS if first >= least)
    return layout.unit_s


def _dates(column: Column) -> tuple[Floats, Bools]:
    """Instants [s] since 2000, from dates that all lack a zone or all have one."""
    if isinstance(column, pa.ChunkedArray) and pa.types.is_timestamp(column.type):
        texts = column
    else:
        values = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column
        texts = pa.chunked_array([pa.array([v if isinstance(v, str) else None for v in values])])
        if not pa.types.is_string(texts.type):
            return np.full(len(values), np.nan), np.zeros(len(values), dtype=np.bool_)
    wanted = [pa.timestamp("ns"), pa.timestamp("ns", "UTC")]
    for kind in wanted:
        if (found := _cast(texts, kind)) is not None:
            since = found.cast(pa.int64()).to_numpy() - 946_684_800_000_000_000
            known = np.asarray(pc.is_valid(found).to_numpy())
            return np.asarray(since * 1e-9), known
    right = [any(_cast(texts.slice(i, 1), kind) is not None for kind in wanted)
             for i in range(len(texts))]  # fmt: skip
    if all(right):  # mixed zones: report the first that differs from the first row
        kind = next(kind for kind in wanted if _cast(texts.slice(0, 1), kind) is not None)
        right = [_cast(texts.slice(i, 1), kind) is not None for i in range(len(texts))]
    return np.zeros(len(texts)), np.array(right, dtype=np.bool_)


def _cast(texts: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | None:
    try:
        return texts.cast(kind)
    except pa.ArrowException:
        return None


def _hashes(rows: _Rows, name: str) -> list[list[Any]]:
    """Block hashes of each prompt; [] if the file has no such column."""
    column = rows.columns.of.get(name)
    if column is None:
        return []
    values = column.to_pylist() if isinstance(column, pa.ChunkedArray) else column
    if all(value is None for value in values):
        return []
    for i, value in enumerate(values):
        if not isinstance(value, list):
            raise rows.fail(i, name, value, "must be a list of numbers, one for each block")
        for one in value:
            if type(one) is not int and type(one) is not str:
                raise rows.fail(i, name, value, "must be a list of whole numbers or texts")
    return values


def _block(rows: _Rows, layout: Layout, hashes: list[list[Any]], prompt: Ints) -> int:
    """Tokens per hash: as published, or a size that fits all rows, or if only full blocks count."""
    count = np.array([len(one) for one in hashes])
    for block in (layout.block_tokens, *BLOCKS):
        if (count == -(-prompt // block)).all():
            return block
    block = layout.block_tokens
    if (count == prompt // block).all():
        return block
    i = int(np.argmax(count != -(-prompt // block)))
    allowed = f"{count[i]} hashes for {prompt[i]} tokens: must be {-(-prompt[i] // block)}, one "
    allowed += f"for {block} tokens (or in all rows for {', '.join(map(str, BLOCKS))})"
    raise rows.fail(i, layout.hashes, hashes[i], allowed)


def _prefix_hits(hashes: list[list[Any]], prompt: Ints, order: Ints, block: int) -> Ints:
    """Leading tokens of each prompt seen in earlier requests, as with an infinite cache."""
    seen: set[Any] = set()
    hits = np.zeros(len(prompt), dtype=np.int64)
    for i in order:
        blocks = hashes[i]
        known = 0
        for one in blocks:
            if one not in seen:
                break
            known += 1
        seen.update(blocks)
        hits[i] = min(known * block, prompt[i])
    return hits

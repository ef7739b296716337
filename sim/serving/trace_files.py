"""Reads the columns of a trace file of any supported format."""

import gzip
import io
import json
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from sim.text import decoded

KINDS: Final = (".csv", ".jsonl", ".json", ".parquet")
MAX_TEXT_BYTES: Final = 1_000_000_000  # unpacked: BurstGPT has 0.2 billion
MAX_JSON_BYTES: Final = 300_000_000  # unpacked: as objects about ten times that in memory
MAX_ROWS: Final = 50_000_000
_BLOCK_BYTES: Final = 1 << 24  # longest row of CSV
_SEPARATORS: Final = (",", ";", "\t")

Column: TypeAlias = pa.ChunkedArray | list[Any]


class TraceError(ValueError):
    """A trace cannot be read; names file, line, column, value and what is allowed."""


class Columns(NamedTuple):
    """The columns of a file by plain name, and how messages name its rows."""

    of: dict[str, Column]
    titles: dict[str, str]  # as written in the file
    lines: list[int] | None  # the line of each row; None: first + index
    where: str  # line or row
    first: int

    def place(self, i: int) -> str:
        """The place of row `i`, for messages."""
        return f"{self.where} {self.lines[i] if self.lines is not None else i + self.first}"


def plain(title: str) -> str:
    """Normalise a column title as in layouts: lower case, no quotes, `_` for blanks."""
    return "_".join(title.strip().strip('"').casefold().split())


def read_columns(file: Path) -> Columns:
    """All columns of a file.

    Raises:
        TraceError: for an unknown format, a file that is too large, or a broken one.
    """
    name = file.name.removesuffix(".gz")
    kind = next((k for k in KINDS if name.lower().endswith(k)), None)
    if kind is None:
        raise TraceError(f"{file.name}: must end with {', '.join(KINDS)}, text also with .gz")
    try:
        if kind == ".parquet":
            return _parquet(file)
        most = MAX_TEXT_BYTES if kind == ".csv" else MAX_JSON_BYTES
        raw = _utf8(_unpacked(file, most))
        return _csv(file.name, raw) if kind == ".csv" else _json(file.name, raw, kind)
    except (OSError, EOFError, zlib.error, UnicodeError, pa.ArrowException) as error:
        raise TraceError(f"{file.name}: cannot be read: {error}") from None


def _unpacked(file: Path, most: int) -> bytes:
    """The bytes of a file, gunzipped if need be; at most `most` of them."""
    parts: list[bytes] = []
    left = most
    with file.open("rb") as raw:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if file.suffix == ".gz" else raw
        while part := stream.read(1 << 24):
            left -= len(part)
            if left < 0:
                raise TraceError(f"{file.name}: must be at most {most:,} bytes of text, unpacked")
            parts.append(part)
    return b"".join(parts)


def _utf8(raw: bytes) -> bytes:
    """The same text as UTF-8 without a byte order mark, its lines ended by \\n."""
    if raw.isascii() and b"\0" not in raw[:4096]:  # most traces, and a gigabyte of them
        return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in raw else raw
    return decoded(raw).text.encode()


def _csv(name: str, raw: bytes) -> Columns:
    raw = raw.lstrip(b"\n")
    if raw.count(b"\n") > MAX_ROWS:
        raise TraceError(f"{name}: must be at most {MAX_ROWS:,} rows")
    header = raw[: raw.find(b"\n") if b"\n" in raw else len(raw)].decode(errors="replace")
    if len(header) > _BLOCK_BYTES or b"\x00" in raw[:_BLOCK_BYTES]:
        raise TraceError(f"{name}: is no CSV text")
    separator = max(_SEPARATORS, key=header.count)
    titles = [title.strip().strip('"') for title in header.split(separator)]
    _distinct(name, titles)
    if not header.strip() or not raw[len(header.encode()) :].strip(b"\n "):
        return Columns({plain(t): [] for t in titles}, {plain(t): t for t in titles}, None, "", 0)
    exact = b'"' not in raw and b"\n\n" not in raw  # every row is one line
    where = "line" if exact else "row"
    wrong: list[Any] = []

    def bad(row: Any) -> str:
        wrong.append(row)
        return "error"

    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(raw),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=_BLOCK_BYTES, column_names=titles, skip_rows=1
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=separator, newlines_in_values=not exact, invalid_row_handler=bad
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={title: pa.string() for title in titles}
            ),
        )
    except pa.ArrowException as error:
        if wrong:
            row = wrong[0]
            at = f"{where} {row.number}" if row.number is not None else "a row"
            found = f"{row.actual_columns} columns, the header has {row.expected_columns}"
            raise TraceError(f"{name}: {at}: {found}") from None
        raise TraceError(f"{name}: is no CSV text: {error}") from None
    return Columns(
        {plain(title): table[title] for title in titles},
        {plain(title): title for title in titles},
        None,
        where,
        2,
    )


def _distinct(name: str, titles: list[str]) -> None:
    seen: set[str] = set()
    for title in titles:
        if plain(title) in seen:
            raise TraceError(f"{name}: column {title!r:.80} more than once; names must differ")
        seen.add(plain(title))


def _parquet(file: Path) -> Columns:
    opened = pyarrow.parquet.ParquetFile(file)
    if opened.metadata.num_rows > MAX_ROWS:
        rows = f"{opened.metadata.num_rows:,} rows"
        raise TraceError(f"{file.name}: {rows}; must be at most {MAX_ROWS:,}")
    sizes = (opened.metadata.row_group(i).total_byte_size for i in range(opened.num_row_groups))
    if sum(sizes) > MAX_TEXT_BYTES:
        raise TraceError(f"{file.name}: must be at most {MAX_TEXT_BYTES:,} bytes, unpacked")
    table = opened.read()
    _distinct(file.name, table.column_names)
    of = {plain(title): table[title] for title in table.column_names}
    return Columns(of, {plain(title): title for title in table.column_names}, None, "row", 1)


def _json(name: str, raw: bytes, kind: str) -> Columns:
    text = raw.decode()
    if kind == ".json":
        whole = _parsed(name, text, "")
        if isinstance(whole, dict) and any(isinstance(value, list) for value in whole.values()):
            return _arrays(name, whole)
        rows = whole if isinstance(whole, list) else [whole]
        return _objects(name, list(enumerate(rows, 1)), "row")
    lines = [(i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _objects(name, [(i, _parsed(name, line, f"line {i}: ")) for i, line in lines], "line")


def _parsed(name: str, text: str, at: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise TraceError(f"{name}: {at}{error.msg}: {text[:60]!r}") from None
    except ValueError:  # Python limits the digits of an int
        raise TraceError(f"{name}: {at}a number has too many digits: {text[:60]!r}") from None
    except RecursionError:
        raise TraceError(f"{name}: {at}is nested too deeply: {text[:60]!r}") from None


def _arrays(name: str, whole: dict[str, Any]) -> Columns:
    """Columns of an object of arrays, one value per request, as vLLM's benchmark saves them."""
    of = {plain(key): value for key, value in whole.items() if isinstance(value, list)}
    return Columns(of, {plain(key): key for key in whole}, None, "entry", 0)


def _objects(name: str, rows: list[tuple[int, Any]], where: str) -> Columns:
    """Columns of a list of objects, nested keys joined by a dot; missing keys give None."""
    flat: list[dict[str, Any]] = []
    for i, row in rows:
        if not isinstance(row, dict):
            raise TraceError(f"{name}: {where} {i}: must be an object, not {str(row)[:60]!r}")
        flat.append(_flat(row))
    titles = dict.fromkeys(key for row in flat for key in row)
    if len(titles) > 1000:
        raise TraceError(f"{name}: {len(titles)} different keys; must be at most 1000")
    _distinct(name, list(titles))
    of: dict[str, Column] = {plain(key): [row.get(key) for row in flat] for key in titles}
    return Columns(of, {plain(key): key for key in titles}, [i for i, _ in rows], where, 1)


def _flat(row: dict[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, dict) and depth < 3:
            found |= _flat(value, f"{prefix}{key}.", depth + 1)
        else:
            found[f"{prefix}{key}"] = value
    return found

"""Interprets a market's own file, and writes it as a plain series."""

import csv
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from sim.scenario.model import SeriesSpec
from sim.scenario.series.files import read_sheet
from sim.scenario.series.reading import read_series
from sim.scenario.series.recorded import Series, SeriesError, utc

ALL_TIME: Final = (0, 2**40)


def understood(
    path: Path, layout: str | None, column: str | None, keys: dict[str, Any]
) -> tuple[Series, str, dict[str, Any]]:
    """The series of a file, its value column, and a description for the user.

    Raises:
        SeriesError: if it cannot be read, or holds several places and none is chosen.
    """
    given = {"file": path.name, **keys} | ({"layout": layout} if layout else {})
    sheet = read_sheet(path, keys.get("time_column"), layout)
    known = sheet.layout
    if known is not None and known.choose in sheet.table.column_names and not keys.get("where"):
        places = sorted({str(x) for x in sheet.table[known.choose].unique().to_pylist()})
        if len(places) > 1:
            some = ", ".join(places[:8]) + (
                f", … ({len(places)} in all)" if len(places) > 8 else ""
            )
            raise SeriesError(f'holds several places: say --where "{known.choose}=NAME"; {some}')
    series = read_series(path, SeriesSpec.model_validate(given))
    others: list[str] = []
    value = column or (known.value if known is not None else "")
    if not column and value not in series.table.column_names:
        times = {str(keys.get("time_column", "time_utc")), *(known.columns if known else ())}
        titles = [n for n in series.table.column_names if n not in times]
        if not titles:
            raise SeriesError("has no column of values")
        value = next((n for n in titles if numeric(series.table[n].type)), titles[0])
        others = [n for n in titles if n != value and numeric(series.table[n].type)]
    values = series.column(value)
    lengths, counts = np.unique(series.length_s, return_counts=True)
    gaps = series.gaps(*ALL_TIME)
    there = values[~np.isnan(values)]
    if not there.size:
        raise SeriesError(f"column {value!r} has no value")
    size = max(float(np.abs(there).max()), 1.0)  # values near 1e308 must not overflow a sum
    mean = size * float(np.average(there / size, weights=series.length_s[~np.isnan(values)]))
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    name = path.name.split(".")[0]
    snippet = [f"[series.{name}]", f'file = "{path.name}"']
    snippet += [f'layout = "{known.name}"'] if known is not None else []
    snippet += [f"{key} = {_toml(x)}" for key, x in keys.items()]
    snippet += ["", "# and if it is the price of a zone that sites.csv names:"]
    snippet += ["[prices.zones.ZONE]", 'model = "replay"', f'series = "{name}"']
    snippet += [f"column = {_toml(value)}"]
    return series, value, {
        "file": path.name,
        "layout": known.name if known is not None else "",
        "meaning": known.description if known is not None else "by its keys",
        "time": {"time_column": "time_utc", **(known.keys if known else {}), **keys},
        "value": value,
        "other_columns": others,
        "currency": series.currency,
        "rows": len(values),
        "span": series.span(),
        "step_s": {str(int(x)): int(n) for x, n in zip(lengths, counts, strict=True)},
        "gaps": [f"{utc(a)} to {utc(b)}" for _, a, b in gaps[:20]],
        "gap_count": len(gaps),
        "missing_values": int(np.isnan(values).sum()),
        "mean": mean,
        "lowest": f"{values[low]:g} at {utc(int(series.start_s[low]))}",
        "highest": f"{values[high]:g} at {utc(int(series.start_s[high]))}",
        "negative_share": float((there < 0.0).mean()),
        "notes": list(series.notes),
        "toml": "\n".join(snippet),
    }  # fmt: skip


def numeric(kind: pa.DataType) -> bool:
    """Whether a column is of a numeric type."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def write_plain(series: Series, column: str, out: Path) -> None:
    """Write a plain series: `time_utc` and the value; a row ends where the next one begins."""
    with out.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["time_utc", "value"])
        for start_s, value in zip(series.start_s, series.column(column), strict=True):
            when = np.datetime64(int(start_s), "s")
            writer.writerow([f"{when}Z", "" if np.isnan(value) else repr(float(value))])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{k}" = {_toml(v)}' for k, v in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else f"{value}"

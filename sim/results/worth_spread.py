"""Earnings of a megawatt in each use over many cells: table `worth_quantiles` of a study.

A row per use, policy and combination of levels, pooling seeds and sampled factors: `n` cells, the
share of them in which the use ranked first, and P5, P50 and P95 of margin and result per MWh and of
the result per MW-year. With few cells P5 and P95 are interpolated between them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

FILE: Final = "worth_quantiles.parquet"
OF: Final = ("margin_usd_per_mwh", "result_usd_per_mwh", "result_usd_per_mw_year")
QUANTILES: Final = (5, 50, 95)
MANY: Final = 20  # fewest cells for P5 and P95 without interpolation
MOST_GROUPS: Final = 6  # printed at most
NAME: Final = 37


def spread(folder: Path) -> None:
    """Write the table beside a study's `worth.parquet` and `cells.parquet`, if both exist."""
    worth, cells = folder / "worth.parquet", folder / "cells.parquet"
    if not (worth.is_file() and cells.is_file()):
        return
    schema = pq.read_schema(cells)
    named = schema.names[1 : schema.names.index("policy")]
    levels = [n for n in named if pa.types.is_string(schema.field(n).type)]
    groups = ", ".join(f'c."{n.replace(chr(34), chr(34) * 2)}"' for n in (*levels, "policy"))
    figures = ", ".join(
        f"quantile_cont({of}, {q / 100}) AS p{q}_{of}" for of in OF for q in QUANTILES
    )
    connection = duckdb.connect(config={"threads": 1})  # the same bytes every time
    connection.register("w", pq.read_table(worth))
    connection.register("c", pq.read_table(cells))
    rows = connection.sql(
        f"SELECT {groups}, use, count(*) AS n, avg((rank = 1)::INT) AS first_share, {figures} "
        f"FROM w JOIN c ON w.cell = c.key GROUP BY {groups}, use "
        f"ORDER BY {groups}, p50_result_usd_per_mw_year DESC NULLS LAST, use"
    ).to_arrow_table()
    pq.write_table(rows, folder / FILE, compression="zstd")


def read(folder: Path) -> list[dict[str, Any]]:
    """Rows of the table; empty if the study kept no `worth`."""
    file = folder / FILE
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist() if file.is_file() else []
    return rows


def lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Format the rows for an 80-column terminal."""
    if not rows:
        return
    names = list(rows[0])
    keys = names[: names.index("use")]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row[k]) for k in keys), []).append(row)
    yield "what a megawatt earns: USD per MWh after capital and tax"
    if len(groups) > MOST_GROUPS:
        yield f"  {len(groups)} groups: see table worth_quantiles (hashwatt query)"
        return
    for group, of in groups.items():
        yield f"{' '.join(group)}"
        yield f"  {'':{NAME}s}{'n':>5s}{'P5':>9s}{'P50':>9s}{'P95':>9s}{'first':>7s}"
        for row in of:
            use = row["use"] if len(row["use"]) < NAME else row["use"][: NAME - 2] + "…"
            figures = "".join(_figure(row[f"p{q}_result_usd_per_mwh"]) for q in QUANTILES)
            first = "-" if row["first_share"] is None else f"{row['first_share']:.0%}"
            yield f"  {use:{NAME}s}{row['n']:>5d}{figures}{first:>7s}"
    most = max(row["n"] for row in rows)
    if most < MANY:
        yield f"  P5 and P95 of {most} cells are interpolated between them"


def _figure(value: float | None) -> str:
    if value is None:
        return f"{'-':>9s}"
    return f"{value + 0.0:>9,.0f}" if abs(value) >= 1000.0 else f"{value + 0.0:>9.1f}"

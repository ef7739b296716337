"""How the firms of a study differ: `equity_differences` and `liquidity`, from the statements.

`equity_differences` splits the change in equity by line of the income statement, against the first
level of each axis and the first policy, cell by cell under the same luck. The lines of a
combination add up to its total. `liquidity` is cash and free bitcoin at market price by month: P5,
P50, P95, and the mean of the worst twentieth of the cells (at least one).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from textwrap import wrap
from typing import Any, Final, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.finance.chart import SUBTOTALS, USD_CHART, Account
from sim.finance.statements import BALANCE, BITCOIN, CLOSING_BTC, INCOME_STATEMENT, TOTAL_EQUITY
from sim.studies.statistics import t_interval

DIFFERENCES: Final = "equity_differences.parquet"
LIQUIDITY: Final = "liquidity.parquet"
TOTAL: Final = "equity"
OPENED: Final = USD_CHART[Account.OPENING].line
PUT_IN: Final = "equity put in"  # opening equity, shares issued, what creditors lost
WORST: Final = 0.05
MOST_GROUPS: Final = 12  # printed
MOST_LINES: Final = 5  # printed of each group
MILLION: Final = 1e6


class Group(NamedTuple):
    """Cells with the same levels and policy."""

    name: tuple[str, ...]
    cells: dict[tuple[Any, ...], str]  # cell key by luck (seed and sampled values)


def spread(folder: Path) -> None:
    """Write both tables beside `statements.parquet` and `cells.parquet`, if a study has both files.

    `liquidity` is left out if the firms have no opening balance.
    """
    statements, cells = folder / "statements.parquet", folder / "cells.parquet"
    if not (statements.is_file() and cells.is_file()):
        return
    table = pq.read_table(cells)
    names = _levels(table.schema)
    groups = _groups(table, names)
    connection = duckdb.connect(config={"threads": 1})  # reproducible bytes
    connection.register("s", pq.read_table(statements))
    _write(_differences(groups, _changes(connection)), names, folder / DIFFERENCES)
    if connection.sql(
        f"SELECT 1 FROM s WHERE line = '{OPENED}' AND amount <> 0 LIMIT 1"
    ).fetchall():
        _write(_months(groups, _liquid(connection)), names, folder / LIQUIDITY)


def document(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Both tables as plain values, by name."""
    return {Path(file).stem: read(folder, file) for file in (DIFFERENCES, LIQUIDITY)}


def read(folder: Path, file: str) -> list[dict[str, Any]]:
    """The rows of DIFFERENCES or LIQUIDITY; none if the study's firms keep no books."""
    path = folder / file
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path.is_file() else []
    return rows


def _levels(schema: pa.Schema) -> list[str]:
    named = schema.names[1 : schema.names.index("policy")]
    return [*(n for n in named if pa.types.is_string(schema.field(n).type)), "policy"]


def _groups(cells: pa.Table, names: Sequence[str]) -> list[Group]:
    """Groups in the order of the cells; the first is the reference of the others."""
    columns = cells.schema.names[1 : cells.schema.names.index("policy")]
    luck = [*(c for c in columns if c not in names), "seed"]
    found: dict[tuple[str, ...], Group] = {}
    for row in cells.to_pylist():
        if row["status"] == "done":
            name = tuple(row[n] for n in names)
            group = found.setdefault(name, Group(name, {}))
            group.cells[tuple(row[n] for n in luck)] = row["key"]
    return list(found.values())


def _changes(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, float]]:
    """By cell: contribution of each income line to equity, and final equity [USD]."""
    subtotals = ", ".join(f"'{name}'" for name in SUBTOTALS)
    rows = connection.sql(
        f"SELECT cell, line, sum(amount)::DOUBLE FROM s WHERE statement = '{INCOME_STATEMENT}' "
        f"AND line NOT IN ({subtotals}) GROUP BY ALL "
        f"UNION ALL SELECT cell, '{TOTAL}', arg_max(amount, month)::DOUBLE FROM s "
        f"WHERE statement = '{BALANCE}' AND line = '{TOTAL_EQUITY}' GROUP BY ALL"
    ).fetchall()
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for cell, line, usd in rows:
        found[cell][line] = usd
    for lines in found.values():
        lines[PUT_IN] = lines[TOTAL] - sum(usd for line, usd in lines.items() if line != TOTAL)
    return found


def _differences(
    groups: Sequence[Group], changes: dict[str, dict[str, float]]
) -> Iterator[dict[str, Any]]:
    """Rows: the lines that differ, the largest first, and the total last."""
    first = groups[0] if groups else None
    for group in groups[1:]:
        assert first is not None
        pairs = [(changes[group.cells[k]], changes[first.cells[k]])
                 for k in group.cells if k in first.cells]  # fmt: skip
        if not pairs:
            continue
        lines = dict.fromkeys(line for pair in pairs for side in pair for line in side)
        by_line = {
            line: np.array([a.get(line, 0.0) - b.get(line, 0.0) for a, b in pairs])
            for line in lines
        }
        total = by_line.pop(TOTAL)
        ranked = sorted(by_line.items(), key=lambda item: -abs(item[1].mean()))
        for line, usd in (*ranked, (TOTAL, total)):
            if line == TOTAL or np.abs(usd).max() >= 0.005:
                inside = t_interval(usd)
                yield {
                    "levels": group.name, "against": " ".join(first.name), "line": line,
                    "n": len(usd),
                    "mean_usd": float(usd.mean()), "low_usd": inside.low, "high_usd": inside.high,
                }  # fmt: skip


def _liquid(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, float]]:
    """By month and cell: cash plus free bitcoin at book price [USD]."""
    rows = connection.sql(
        "WITH m AS (SELECT month, cell, "
        f"sum(amount) FILTER (statement = '{BALANCE}' AND line = 'cash')::DOUBLE AS cash, "
        f"sum(amount) FILTER (statement = '{BALANCE}' AND line LIKE 'bitcoin%')::DOUBLE AS worth, "
        f"sum(amount) FILTER (statement = '{BITCOIN}' AND line = '{CLOSING_BTC}')::DOUBLE AS btc, "
        f"sum(amount) FILTER (statement = '{BITCOIN}' AND line = 'of which free')::DOUBLE AS free "
        "FROM s GROUP BY ALL) SELECT month, cell, coalesce(cash, 0) + "
        "CASE WHEN btc > 0 THEN coalesce(worth * free / btc, 0) ELSE 0 END FROM m ORDER BY ALL"
    ).fetchall()
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for month, cell, usd in rows:
        found[month][cell] = usd
    return found


def _months(
    groups: Sequence[Group], liquid: dict[str, dict[str, float]]
) -> Iterator[dict[str, Any]]:
    for group in groups:
        for month, by_cell in liquid.items():
            usd = np.sort([by_cell[key] for key in group.cells.values() if key in by_cell])
            if len(usd):
                p5, p50, p95 = (float(q) for q in np.quantile(usd, (0.05, 0.5, 0.95)))
                worst = usd[: max(1, int(WORST * len(usd)))]
                yield {
                    "levels": group.name, "month": month, "n": len(usd), "p5_usd": p5,
                    "p50_usd": p50, "p95_usd": p95, "worst_usd": float(worst.mean()),
                }  # fmt: skip


def _write(rows: Iterator[dict[str, Any]], names: Sequence[str], file: Path) -> None:
    flat = [{**dict(zip(names, row.pop("levels"), strict=True)), **row} for row in rows]
    if flat:
        pq.write_table(pa.Table.from_pylist(flat), file, compression="zstd")


def lines(folder: Path) -> Iterator[str]:
    """Both tables as text for a terminal of 80 columns."""
    yield from _difference_lines(read(folder, DIFFERENCES))
    yield from _liquidity_lines(read(folder, LIQUIDITY))


def by_group(rows: Sequence[dict[str, Any]], until: str) -> dict[str, list[dict[str, Any]]]:
    """Rows by levels and policy (the columns before `until`); a common policy is not named."""
    names = list(rows[0])
    keys = names[: names.index(until)]
    if len(keys) > 1 and len({row["policy"] for row in rows}) == 1:
        keys.remove("policy")
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[" ".join(str(row[key]) for key in keys)].append(row)
    return found


def _difference_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "where equity parts from the first's, million USD, paired, 95 % t of each alone:"
    yield f"  against {rows[0]['against']}"
    groups = by_group(rows, "against")
    for name, parts in islice(groups.items(), MOST_GROUPS):
        *inside, total = parts
        shown = inside[:MOST_LINES]
        rest = sum(p["mean_usd"] for p in inside[MOST_LINES:])
        texts = [f"{p['line']} {_million(p['mean_usd'])}" for p in shown]
        texts += [f"all else {_million(rest)}"] if len(inside) > MOST_LINES else []
        ends = f"[{_million(total['low_usd'])}, {_million(total['high_usd'])}]"
        yield f"  {name}: {_million(total['mean_usd'])} {ends}"
        yield from wrap(", ".join(texts), 80, initial_indent="    ", subsequent_indent="    ",
                        break_long_words=False, break_on_hyphens=False)  # fmt: skip
    if len(groups) > MOST_GROUPS:
        yield f"  … and {len(groups) - MOST_GROUPS} more: table equity_differences (hashwatt query)"


def _liquidity_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "cash and free bitcoin, million USD: the month in which the worst 5 % have least"
    groups = by_group(rows, "month")
    width = max(map(len, groups))
    for name, months in islice(groups.items(), MOST_GROUPS):
        least = min(months, key=lambda row: float(row["worst_usd"]))
        worst, median = (least[k] / MILLION for k in ("worst_usd", "p50_usd"))
        yield f"  {name:{width}s} {least['month']} {worst:9.1f} (median {median:.1f})"
    if len(groups) > MOST_GROUPS:
        yield f"  … and {len(groups) - MOST_GROUPS} more: table liquidity (hashwatt query)"


def _million(usd: float) -> str:
    return f"{usd / MILLION + 0.0:+,.1f}"

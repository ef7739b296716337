"""SQL over result folders: query."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import FAILED, WRONG_INPUT, fail, say, say_json, say_table
from sim.cli.inputs import Force, Json


def refuse_twins(columns: list[str]) -> None:
    """Fail where two columns share a name: of the two, JSON and tables could keep but one."""
    twice = next((name for k, name in enumerate(columns) if name in columns[:k]), None)
    if twice is not None:
        fail(WRONG_INPUT, f"query: two columns are called {twice!r}: name one of them with AS")


@app.command(
    epilog=examples(
        'query runs/tiny-merit-order-1 "SELECT site, sum(btc) AS btc FROM sites GROUP BY site"',
        'query runs/a runs/b "SELECT * FROM kpis" --out kpis.xlsx',
    ),
)
def query(
    arguments: Annotated[list[str], typer.Argument(help='DIR [DIR …] "SQL"')],
    out: Annotated[
        Path | None, typer.Option(help="FILE.csv, FILE.parquet or FILE.xlsx for the answer.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """SQL (DuckDB) over result folders: sites, fleet, ledger, events, kpis; of studies, cells."""
    if len(arguments) < 2:
        fail(WRONG_INPUT, 'query: write at least one folder and a statement: DIR "SELECT …"')
    import duckdb
    import pyarrow as pa

    from sim.results.export import ExportError, export
    from sim.results.manifest import DamagedError
    from sim.results.store import connect

    *folders, sql = arguments
    try:
        connection = connect([Path(f) for f in folders], sql)
        relation = connection.sql(sql)
        refuse_twins(relation.columns if relation is not None else [])
        if out is not None:
            export(relation.to_arrow_table() if relation else pa.table({}), out, force=force)
        names = relation.columns if relation is not None else []
        found = relation.fetchall() if relation is not None and out is None else []
        rows = [dict(zip(names, row, strict=True)) for row in found]
    except (FileNotFoundError, FileExistsError, DamagedError, ExportError) as error:
        fail(WRONG_INPUT, f"query: {error}")
    except OSError as error:
        fail(FAILED, f"query: {error}")
    except duckdb.Error as error:
        fail(WRONG_INPUT, f"query: {' '.join(str(error).split())}")
    if out is not None:
        say(f"written: {out}")
    elif as_json:
        say_json(rows)
    else:
        say_table("", rows)

"""SQL over result folders: query."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app
from sim.cli.inputs import Json
from sim.cli.words import WRONG_INPUT, fail, say_json, say_table


@app.command()
def query(
    arguments: Annotated[list[str], typer.Argument(help='DIR [DIR …] "SQL"')],
    as_json: Json = False,
) -> None:
    """SQL (DuckDB) over result folders: sites, fleet, ledger, events, kpis; of studies, cells."""
    if len(arguments) < 2:
        fail(WRONG_INPUT, 'query: write at least one folder and a statement: DIR "SELECT …"')
    import duckdb

    from sim.results.store import connect

    *folders, sql = arguments
    try:
        connection = connect([Path(f) for f in folders], sql)
        cursor = connection.execute(sql)
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    except FileNotFoundError as error:
        fail(WRONG_INPUT, f"query: {error}")
    except duckdb.Error as error:
        fail(WRONG_INPUT, f"query: {str(error).strip()}")
    if as_json:
        say_json(rows)
    else:
        say_table("", rows)

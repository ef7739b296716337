"""A market's own file as a series: import-series."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, echo, fail, say_json
from sim.cli.inputs import Json


@app.command(
    "import-series",
    epilog=examples(
        "import-series prices.csv",
        "import-series prices.csv --layout ercot-rtm --out series/prices.csv",
    ),
)
def import_series(
    file: Annotated[Path, typer.Argument(help="CSV (.gz, .bz2, .xz) or Parquet.")],
    layout: Annotated[
        str | None, typer.Option(help="A market's layout; default: recognised by its columns.")
    ] = None,
    column: Annotated[str | None, typer.Option(help="Column of values.")] = None,
    where: Annotated[str | None, typer.Option(help="Rows that are meant: COLUMN=VALUE.")] = None,
    timezone: Annotated[str | None, typer.Option(help="Zone of times without an offset.")] = None,
    time_column: Annotated[str | None, typer.Option(help="Column of times.")] = None,
    time_format: Annotated[str | None, typer.Option(help="strptime format.")] = None,
    stamps: Annotated[str | None, typer.Option(help="start | end of the interval.")] = None,
    scale: Annotated[float | None, typer.Option(help="All values times this.")] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of prices.")] = None,
    usd_per_currency: Annotated[float | None, typer.Option(help="Value of one in USD.")] = None,
    out: Annotated[Path | None, typer.Option(help="A plain series: time_utc, value.")] = None,
    as_json: Json = False,
) -> None:
    """What a market's own file is understood to be: span, step, gaps, extremes, the keys to use."""
    from sim.scenario.series import SeriesError
    from sim.scenario.series.importing import understood, write_plain

    keys: dict[str, Any] = {
        key: value
        for key, value in {
            "timezone": timezone, "time_column": time_column, "time_format": time_format,
            "stamps": stamps, "scale": scale, "currency": currency,
            "usd_per_currency": usd_per_currency,
        }.items()
        if value is not None
    }  # fmt: skip
    if where is not None:
        name, equals, wanted = where.partition("=")
        if not equals:
            fail(WRONG_INPUT, f"--where {where!r}: write COLUMN=VALUE")
        keys["where"] = {name: wanted}
    if not file.is_file():
        fail(WRONG_INPUT, f"{file}: no such file")
    try:
        series, value, about = understood(file, layout, column, keys)
        if out is not None:
            write_plain(series, value, out)
    except SeriesError as error:
        fail(WRONG_INPUT, f"{file.name}: {error}")
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        fail(WRONG_INPUT, f"{file.name}: {what}")
    except OSError as error:
        fail(WRONG_INPUT, f"--out {out}: {error}")
    about["out"] = str(out) if out is not None else None
    if as_json:
        say_json(about)
        return
    for key, found in about.items():
        if key != "toml" and found not in (None, [], {}, ""):
            pairs = found.items() if isinstance(found, dict) else ()
            echo(f"{key:16s} {', '.join(f'{k}: {v}' for k, v in pairs) or found}")
    echo(f"\nin scenario.toml, with the file beside it:\n\n{about['toml']}")

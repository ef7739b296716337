"""How the command line speaks: messages, JSON, tables."""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from sim.text import visible

if TYPE_CHECKING:  # what it leads to takes a second to load
    from sim.scenario.problems import Problem

FAILED, WRONG_INPUT, MISSED = 1, 2, 3
MOST_WARNINGS = 20
MOST_ASSUMED = 6  # of a file that are named


def say(text: str) -> None:
    """A message on stderr; on a terminal in place of what says that something is under way."""
    print("\r\033[K" if sys.stderr.isatty() else "", visible(text), sep="", file=sys.stderr)


def echo(text: str, end: str = "\n") -> None:
    """A line on stdout. Names come from files: what a terminal would obey is shown instead."""
    print(visible(text), end=end)


def say_warnings(warnings: "Sequence[Problem]") -> None:
    """What can be used but looks like a mistake, on stderr; a long list is cut, and says so."""
    for warning in warnings[:MOST_WARNINGS]:
        say(f"warning: {warning}")
    if len(warnings) > MOST_WARNINGS:
        say(f"… and {len(warnings) - MOST_WARNINGS} warnings more; --json lists all")


def put_assumed(assumed: "Sequence[Problem]") -> None:
    """What nobody knows, by file; all of it with reasons is in --json."""
    for file in dict.fromkeys(found.file for found in assumed):
        of_file = [found for found in assumed if found.file == file]
        rows = sum(found.where.startswith("row ") for found in of_file)
        named = [f"{rows} row{'s' if rows > 1 else ''} by their source"] if rows else []
        named += [f"{f.where} = {f.value}" for f in of_file if not f.where.startswith("row ")]
        more = f"; and {len(named) - MOST_ASSUMED} more" if len(named) > MOST_ASSUMED else ""
        echo(f"assumed in {file}: {'; '.join(named[:MOST_ASSUMED])}{more}")
    if assumed:
        echo("(--json says why for each, and lists all)")


def said(problems: "Iterable[Problem]") -> list[dict[str, str]]:
    """Problems or warnings as JSON values: file, where, value, message."""
    return [problem._asdict() for problem in problems]


def undrawn(pictures: "Mapping[str, str]") -> "list[Problem]":
    """Pictures that could not be drawn, each with the reason, as warnings; "" is none."""
    from sim.scenario.problems import Problem

    return [
        Problem(name, "", "", f"could not be drawn: {what}")
        for name, what in pictures.items()
        if what
    ]


def fail(code: int, text: str) -> NoReturn:
    """A message and an exit code."""
    say(text)
    raise typer.Exit(code)


def say_json(document: object) -> None:
    """One JSON document on stdout; numbers that JSON has no word for (NaN, infinity) as null."""
    text = json.dumps(document, default=str)
    print(json.dumps(json.loads(text, parse_constant=lambda _: None), indent=2))


def kpi_table(result: Any) -> None:
    """The KPIs of a run, and the causes of missing hashrate."""
    from sim.results.kpis_text import causes, rows

    echo(f"{result.scenario.name} · {result.policy} · seed {result.seed}")
    for name, value, unit, meaning in rows(result.kpis):
        echo(f"  {name:30s}{value:>16s} {unit:11s} {meaning}"[: _width()].rstrip())
    for line in causes(result.kpis):
        echo(line)
    if result.recorder.serving is not None:
        _serving_table(result)
        _use_table(result)
    worth_table(result.table("worth").to_pylist())


def worth_table(rows: list[dict[str, Any]]) -> None:
    """What each use of power earns, with what is assumed."""
    from sim.results.worth_text import lines

    for line in lines(rows, _width()):
        echo(line)


def _serving_table(result: Any) -> None:
    names = {"SLO kept %": "slo_attainment_pct", "TTFT p50 s": "ttft_p50_s",
             "p95": "ttft_p95_s", "p99": "ttft_p99_s", "TPOT p95 s": "tpot_p95_s",
             "E2E p95 s": "e2e_p95_s", "J/token": "joules_per_token",
             "USD/Mtoken": "energy_cost_usd_per_mtok"}  # fmt: skip
    counts = {"served": "requests_served", "sent back": "requests_returned",
              "refused": "requests_refused", "gave up": "requests_given_up"}  # fmt: skip
    echo(f"{'':30s}" + "".join(f"{name:>12s}" for name in (*counts, *names)))
    for row in result.table("serving").to_pylist():
        cells = [f"{row[key]:,}" for key in counts.values()]
        cells += ["-" if row[k] is None else f"{row[k]:.4g}" for k in names.values()]
        name = f"{row['scope']} {row['name']}"
        echo(f"  {name:28.28s}" + "".join(f"{cell:>12s}" for cell in cells))


def _use_table(result: Any) -> None:
    """What serving nodes did and earned; rents of other nodes stand in `worth`."""
    names = {"busy %": "gpu_utilisation_pct", "per seat": "requests_per_seat",
             "tokens USD": "revenue_usd", "USD/GPU-h": "token_revenue_usd_per_gpu_h",
             "USD/MWh": "token_revenue_usd_per_mwh", "margin USD": "margin_usd",
             "less capital": "margin_after_capital_usd", "J/token": "joules_per_token"}  # fmt: skip
    echo(f"{'':30s}" + "".join(f"{name:>13s}" for name in names))
    for row in result.table("serving_use").to_pylist():
        cells = ["-" if row[k] is None else _short(row[k]) for k in names.values()]
        title = " ".join(t for t in (row["scope"], row["model"], row["tenant"], row["site"]) if t)
        echo(f"  {title:28.28s}" + "".join(f"{cell:>13s}" for cell in cells))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _width() -> int:
    """Columns of the terminal; text that goes to a file is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000


def validation_table(checks: list[Any]) -> None:
    """Expected beside simulated, each row with its tolerance where a group's differ.

    A long group of exact checks is one line; what was missed is always shown, and why a row that
    is out of its tolerance holds all the same.
    """
    groups: dict[str, list[Any]] = {}
    for check_ in checks:
        groups.setdefault(check_.check, []).append(check_)
    echo(f"{'':44s}{'expected':>12s}{'simulated':>12s}")
    for name, group in groups.items():
        held = sum(c.ok for c in group)
        within = {c: c.tolerance.split(";")[0] for c in group}
        common = len(set(within.values())) == 1
        echo(
            f"{name}: {held} of {len(group)} hold; {within[group[0]] if common else 'each within'}"
        )
        for c in group if len(group) <= 60 else [c for c in group if not c.ok]:
            values = "".join(
                f"{f'{v:,.6g}' if isinstance(v, float) else v:>12s}"
                for v in (c.expected, c.simulated)
            )
            own = "" if common else f" ({within[c]})"
            echo(f"  {c.item:42.42s}{values} {c.unit}{own}{'' if c.ok else '   MISSED'}")
            if "explained" in c.tolerance or not c.ok:
                echo(f"      {c.tolerance} ({c.source})")


def say_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Rows of equal keys as a table; numbers to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        echo("nothing")
        return
    table = Table(title=Text(visible(title)) if title else None, box=None, pad_edge=False)
    for name, value in rows[0].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(
            Text(visible(name)), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        texts = (f"{v:,.6g}" if isinstance(v, float) else visible(str(v)) for v in row.values())
        table.add_row(*(Text(text) for text in texts))
    Console().print(table)

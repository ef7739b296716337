"""Commands about money: tornado."""

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, echo, fail, said, say, say_json, say_warnings, undrawn
from sim.cli.inputs import (
    AllowCode,
    AllowPath,
    Force,
    Json,
    PolicyOption,
    ScenarioArgument,
    Sets,
    decider,
    load_scenario,
    report_errors,
)
from sim.cli.progress import Progress, Quiet

SIDES = ("from", "to")


@app.command(
    epilog=examples(
        "tornado cango-pivot --workers 2",
        "tornado tiny --kpi gross_margin_usd --days 2",
    ),
)
def tornado(
    scenario: ScenarioArgument,
    kpi: Annotated[str, typer.Option(help="What is looked at.")] = "equity_usd",
    policy: PolicyOption = None,
    seed: Annotated[int, typer.Option(min=0, help="The luck of all runs.")] = 1,
    seeds: Annotated[
        int, typer.Option(min=1, help="So many seeds, from --seed on: means with intervals.")
    ] = 1,
    days: Annotated[float | None, typer.Option(help="Length of the runs [d].")] = None,
    set_: Sets = None,
    change: Annotated[float, typer.Option(help="Share by which each factor moves.")] = 0.10,
    factor: Annotated[
        list[str] | None, typer.Option(help="A factor of [what_if]; default: all that matter.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder.")] = None,
    force: Force = False,
    allow_code: AllowCode = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How far a KPI moves with each factor of [what_if]: a table and tornado.png."""
    shown = Progress(quiet)
    shown.stage(f"loading {scenario}")
    with report_errors():
        loaded = load_scenario(scenario, set_, days, allow_path)
        import pyarrow.parquet as pq

        from sim.report.tornado import draw_tornado
        from sim.results.folder import claim, free_name
        from sim.results.kpis_text import number
        from sim.results.provenance import provenance, sha256_of
        from sim.studies.sequential import may_miss
        from sim.studies.tornado import tornado as study

        chosen = tuple(factor) if factor else None
        policy = decider(policy, loaded, allow_code)
        who = policy or loaded.policy.name
        cell = sha256_of(
            scenario=loaded.sha256(),
            policy=who,
            seed=seed,
            seeds=seeds,
            kpi=kpi,
            change=change,
            factors=chosen,
        )
        stem = f"{loaded.name}-tornado-{seed}"
        changed = bool(set_) or days is not None
        folder = out or free_name(Path("runs"), stem, "tornado", cell, changed=changed)
        horizon = loaded.horizon
        luck = f"seed {seed}" if seeds == 1 else f"seeds {seed} to {seed + seeds - 1}"
        title = (
            f"{loaded.name} · {policy or loaded.policy.name} · {luck} · from "
            f"{horizon.start_utc:%Y-%m-%d}, {horizon.days:g} days: one factor at a time"
        )
        with claim(folder, "tornado", cell, force=force) as claimed:
            shown.stage(f"running {loaded.name}, a factor at a time")
            try:
                table = study(loaded, kpi, policy, seed, change, chosen, workers, seeds)
            except ValueError as error:
                fail(WRONG_INPUT, f"tornado: {error}")
            shown.stage(f"writing and drawing {folder}")
            pq.write_table(table, claimed.draft / "tornado.parquet", compression="zstd")
            named = {"scenario": loaded.name, "policy": who, "seed": seed, "seeds": seeds}
            claimed.commit({**named, **provenance()})
            problem = claimed.draw(lambda draft: draw_tornado(table, title, draft / "tornado.png"))
    shown.end()
    missing = undrawn({"tornado.png": problem})
    say_warnings(missing)
    rows = table.to_pylist()
    if as_json:
        say_json({"scenario": loaded.name, "seed": seed, "seeds": seeds, "out": str(folder),
                  "rows": rows,
                  "warnings": said([*loaded.warnings, *missing])})  # fmt: skip
        return
    echo(f"{kpi}, each factor {change:.0%} lower and higher")
    echo(f"  {'factor':22s}{'lower':>14s}{'as written':>14s}{'higher':>14s}{'span':>14s}")
    for row in rows:
        values = (row[name] for name in ("kpi_low", "kpi_base", "kpi_high", "span"))
        echo(f"  {row['factor']:22s}" + "".join(f"{number(value):>14s}" for value in values))
        if row["told"] is not None:
            ends = [number(row[f"{end}_{side}"]) for end in ("low", "high") for side in SIDES]
            unsure = "" if row["told"] else "; not told from zero"
            echo(f"    from the base: {ends[0]} to {ends[1]}, and {ends[2]} to {ends[3]}{unsure}")
    if seeds > 1:
        few = ", ".join(filter(None, (f"means of {seeds} seeds", may_miss(seeds))))
        echo(f"{few}; differences from the base: 95 % paired t, each for itself")
    say(f"written: {folder}")

"""What the planner wrote, before anything runs: check, schema."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, echo, fail, put_assumed, said, say_json, say_warnings
from sim.cli.inputs import (
    AllowCode,
    AllowPath,
    Json,
    Sets,
    experiment_file,
    load_scenario,
    report_errors,
)

if TYPE_CHECKING:  # what it leads to takes a second to load
    from sim.scenario.problems import Problem


@app.command(
    epilog=examples(
        "check tiny",
        "check policies-tiny",
        "check my-fleet --set horizon.days=30 --json",
    ),
)
def check(
    scenario: Annotated[
        str, typer.Argument(help="A scenario folder, an experiment or a build-out file.")
    ],
    set_: Sets = None,
    allow_code: AllowCode = False,
    allow_path: AllowPath = False,
    as_json: Json = False,
) -> None:
    """Every problem of a scenario, or of an experiment with all its scenarios, at once.

    Code that a file names is never run here: --allow-code only lets it be named.
    """
    experiment = experiment_file(scenario)
    if experiment is not None:
        if set_:
            fail(WRONG_INPUT, "--set: an experiment says its changes itself, in [changes]")
        from sim.studies.buildout.question import is_buildout

        one = check_buildout if is_buildout(experiment) else check_experiment
        one(experiment, allow_code, allow_path, as_json)
        return
    with report_errors():
        from sim.scenario import ScenarioError

        try:
            loaded = load_scenario(scenario, set_, None, allow_path)
        except ScenarioError as error:
            if as_json:
                found = {"problems": said(error.problems), "warnings": said(error.warnings)}
                say_json({"scenario": scenario, **found})
            else:
                say_warnings(error.warnings)
            raise
        from sim.policies import BUILTIN
        from sim.policy import load_policy, refuse_code

        chosen = loaded.policy
        refuse_code(chosen.name, BUILTIN, allowed=allow_code)
        unseen = unseen_code("scenario.toml", "policy.name", [chosen.name])
        if not unseen:
            load_policy(chosen.name, chosen.parameters, BUILTIN)
    from sim.scenario.assumptions import assumptions
    from sim.scenario.shipped import scenario_folder

    path = scenario_folder(scenario)
    given = {text.partition("=")[0] for text in set_ or ()}
    assumed = assumptions(loaded, path.parent if path.is_file() else path, given)
    sites, groups = len(loaded.sites), len(loaded.asics) + len(loaded.gpus)
    if as_json:
        say_json({"scenario": loaded.name, "problems": [],
                  "warnings": said([*loaded.warnings, *unseen]), "assumed": said(assumed),
                  "sha256": loaded.sha256()})  # fmt: skip
    else:
        say_warnings(unseen)  # those of the scenario were said when it was loaded
        count = len(loaded.warnings) + len(unseen)
        heed = f", {count} warning{'s' if count > 1 else ''}" if count else ""
        echo(f"{loaded.name}: no problem{heed}; {sites} sites, {groups} groups of machines, "
              f"{loaded.horizon.days:g} days in steps of {loaded.horizon.step_s} s")  # fmt: skip
        put_assumed(assumed)


def unseen_code(file: str, where: str, policies: Iterable[str]) -> "list[Problem]":
    """A warning for each policy that is code, which `check` never runs."""
    from sim.policies import BUILTIN
    from sim.scenario.problems import Problem

    what = "names code, which check never runs: whether it is a policy, a run will tell"
    named = dict.fromkeys(name for name in policies if name not in BUILTIN and ":" in name)
    return [Problem(file, where, name, what) for name in named]


def check_experiment(file: Path, allow_code: bool, allow_path: bool, as_json: bool) -> None:
    """Load every scenario that an experiment leads to, and the built-in policies."""
    with report_errors():
        from sim.studies.checked import check_experiment

        checked = check_experiment(
            file, allow_code=allow_code, allow_path=allow_path, run_code=False
        )
    counts = {"scenarios": len(checked.resolved), "cells": checked.cells}
    unseen = unseen_code(file.name, "policies", (row.cell.policy for row in checked.rows))
    if as_json:
        say_json({"experiment": checked.name, "problems": [], "warnings": said(unseen), **counts})
    else:
        say_warnings(unseen)
        echo(f"{checked.name}: no problem; {counts['scenarios']} scenarios, "
              f"{counts['cells']} cells")  # fmt: skip


def check_buildout(file: Path, allow_code: bool, allow_path: bool, as_json: bool) -> None:
    """Load what a build-out asks and its scenario."""
    with report_errors():
        from sim.studies.buildout.question import read_buildout

        asked = read_buildout(file, allow_code=allow_code, allow_path=allow_path, run_code=False)
    question = asked.question
    warnings = [*asked.scenario.warnings, *unseen_code(file.name, "policy", [asked.policy])]
    seeds = {"search_seeds": question.search.seeds, "held_out_seeds": question.held_out_seeds}
    if as_json:
        say_json({"buildout": asked.name, "problems": [], "warnings": said(warnings),
                  "budget_usd": question.budget_usd, **seeds})  # fmt: skip
    else:
        say_warnings(warnings)
        echo(
            f"{asked.name}: no problem; {question.budget_usd:,.0f} USD, "
            f"{question.search.seeds} seeds to search, {question.held_out_seeds} held out"
        )


KINDS = ("scenario", "experiment", "buildout", "tables")


@app.command(
    epilog=examples(
        "schema --markdown",
        "schema experiment > experiment.schema.json",
    ),
)
def schema(
    what: Annotated[str, typer.Argument(help=" | ".join(KINDS))] = "scenario",
    markdown: Annotated[bool, typer.Option("--markdown", help="A reference to read.")] = False,
) -> None:
    """JSON Schema of a scenario, experiment or build-out, for editors; or a reference of its keys.

    docs/ has the references: scenario.md, experiment.md, buildout.md, and tables.md of all tables
    that a run writes, as Markdown only.
    """
    if what not in KINDS:
        fail(WRONG_INPUT, f"schema {what!r}: allowed: {', '.join(KINDS)}")
    if what == "tables":
        from sim.results.tables import markdown as of_tables

        if not markdown:
            fail(WRONG_INPUT, "schema tables: a reference to read; add --markdown")
        echo(of_tables(), end="")
        return
    from pydantic import BaseModel

    from sim.scenario.reference import markdown as of_scenario
    from sim.scenario.reference import of_file
    from sim.scenario.scenario import ScenarioFile
    from sim.studies.buildout.question import BuildoutQuestion
    from sim.studies.experiment import Experiment

    files: dict[str, tuple[str, type[BaseModel]]] = {
        "scenario": ("Keys of a scenario", ScenarioFile),
        "experiment": ("Keys of an experiment file", Experiment),
        "buildout": ("Keys of a build-out file", BuildoutQuestion),
    }
    title, model = files[what]
    if not markdown:
        say_json(model.model_json_schema())
    elif what == "scenario":
        echo(of_scenario(), end="")
    else:
        echo(of_file(title, f"hashwatt schema {what} --markdown", model), end="")

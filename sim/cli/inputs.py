"""How the command line reads what it is given."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sim.cli.console import FAILED, WRONG_INPUT, fail, say_warnings
from sim.scenario.problems import suggest
from sim.scenario.shipped import EXPERIMENTS, experiments

ScenarioArgument = Annotated[str, typer.Argument(help="A scenario folder, or one of configs/.")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="KEY=VALUE, e.g. horizon.days=7, sites.alpha.power_limit_mw=20, asics.alpha#2.count=9 "
        "(second row of alpha), asics.*.count=9 (all rows).",
    ),
]


def _from_here(given: Any) -> Any:
    """Whoever names code on the command line may mean a module of the folder he stands in.

    At the end of the path: no file of this folder stands in for a library.
    """
    here = str(Path.cwd())
    if given and here not in sys.path:
        sys.path.append(here)
    return given


POLICY_HELP: Final = "Built-in name or module:Class; with parameters NAME:key=value,key=value"
PolicyOption = Annotated[
    str | None, typer.Option("--policy", callback=_from_here, help=POLICY_HELP)
]
PoliciesOption = Annotated[
    list[str] | None,
    typer.Option("--policy", callback=_from_here, help=f"{POLICY_HELP}; give two or more"),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        callback=_from_here,
        help="A file may name code as its policy: it will run.",
    ),
]
AllowPath = Annotated[
    bool, typer.Option("--allow-path", help="A file may name files outside of its folder.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the result of another cell.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def experiment_file(name: str) -> Path | None:
    """The file of an experiment: a path to a .toml, or a name in experiments/; None otherwise."""
    path = Path(name)
    if path.suffix == ".toml" and path.name != "scenario.toml":
        return path
    shipped = EXPERIMENTS / f"{name}.toml"
    return shipped if shipped.is_file() and not path.exists() else None


def no_experiment(name: str) -> str:
    """What may stand in place of an experiment that is not there."""
    return f"{name}: no such experiment; {suggest(name, experiments())}, or a file (.toml)"


def load_scenario(
    scenario: str, sets: list[str] | None, days: float | None, allow_path: bool = False
) -> Any:
    """A scenario by folder or shipped name, with changes; warnings go to stderr.

    Exits with 2 where the changes make no sense.
    """
    from sim.scenario import load

    overrides: dict[str, Any] = {}
    for text in sets or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            fail(WRONG_INPUT, f"--set {text!r}: write KEY=VALUE")
        overrides[key] = value_of(value)
    if days is not None:
        overrides["horizon.days"] = days
    loaded = load(scenario, overrides, allow_path=allow_path)
    say_warnings(loaded.warnings)
    return loaded


def decider(policy: str | None, scenario: Any, allow_code: bool) -> str | None:
    """The policy of the command line; with `--allow-code` also the one that a scenario names."""
    return scenario.policy.name if policy is None and allow_code else policy


def value_of(text: str) -> Any:
    """A TOML value, or a string where the text is none."""
    from sim.scenario.toml import TomlError, parse_toml

    try:
        return parse_toml(f"value = {text}")["value"]
    except TomlError:
        return text


def share_of(text: str, option: str) -> float:
    """`2%` or `0.02` as a share. Exits with 2 where it is neither."""
    try:
        value = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        value = -1.0
    if not 0.0 < value <= 1.0:
        fail(WRONG_INPUT, f"{option} {text!r}: write 2% or 0.02; above 0 and at most 100 %")
    return value


@contextmanager
def report_errors() -> Iterator[None]:
    """Wrong input and failures of a run become one message and an exit code."""
    from sim.arithmetic import RunError
    from sim.policy import PolicyError
    from sim.results.manifest import DamagedError
    from sim.scenario import ScenarioError
    from sim.studies.problems import ExecutorError, StudyError

    try:
        yield
    except (ScenarioError, PolicyError) as error:
        fail(WRONG_INPUT, str(error))
    except ExecutorError as error:
        fail(WRONG_INPUT, str(error))
    except (StudyError, RunError) as error:
        fail(FAILED, str(error))
    except (FileExistsError, DamagedError) as error:
        fail(WRONG_INPUT, str(error))
    except OSError as error:  # a full disk, a folder that cannot be written, one that is busy
        fail(FAILED, " ".join(str(error).split()))

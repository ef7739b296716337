"""The command line: the only room that prints or exits.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 3 a validation was missed. With `--json`
one document goes to stdout and nothing else; progress and messages go to stderr.
"""

import codecs
import io
import sys
from typing import Annotated, Final

import typer

PLAIN: Final = {"·": "-", "…": "...", "×": "x", "−": "-", "→": "->", "±": "+/-", "≥": ">=",
                "≤": "<=", "µ": "u", "²": "2", "°": " ", "█": "#", "–": "-", "—": "-",
                "‘": "'", "’": "'", "“": '"', "”": '"'}  # fmt: skip

app = typer.Typer(
    name="hashwatt",
    help="Simulate a fleet of grid-connected sites that mine Bitcoin and serve tokens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # square brackets are units and tables of a scenario, no markup
)


def examples(*lines: str) -> str:
    """What stands below the options of a command's help."""
    return "\b\n" + "\n".join(["Examples:", *(f"  hashwatt {line}" for line in lines)])


def _version(asked: bool) -> None:
    if asked:
        from sim import __version__

        print(f"hashwatt {__version__}")
        raise typer.Exit


@app.callback(epilog=examples("run tiny", "list scenarios", "run --help"))
def hashwatt(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which and end."),
    ] = False,
) -> None:
    """Simulate a fleet of grid-connected sites that mine Bitcoin and serve tokens."""


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    """What a terminal of few characters shows in place of one that it does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in missing), error.end


def main() -> None:
    """Entry point of the command `hashwatt`."""
    codecs.register_error("plain", _in_plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")
    app()

"""The command line: the only room that prints or exits.

Exit codes: 0 done, 1 the run failed, 2 the input is wrong, 3 a validation was missed. With `--json`
one document goes to stdout and nothing else; progress and messages go to stderr.
"""

import typer

app = typer.Typer(
    name="hashwatt",
    help="Simulate a fleet of grid-connected sites that mine Bitcoin and serve tokens.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Entry point of the command `hashwatt`."""
    app()

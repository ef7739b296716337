"""The command line: the only room that prints or exits."""

import sim.cli.studies  # noqa: F401  (registers sweep and compare)
from sim.cli.commands import app, main

__all__ = ["app", "main"]

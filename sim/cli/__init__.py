"""The command line: the only room that prints or exits."""

import sim.cli.money
import sim.cli.studies  # noqa: F401  (both register their commands)
from sim.cli.commands import app, main

__all__ = ["app", "main"]

"""The command line: the only room that prints or exits."""

import sim.cli.buildout
import sim.cli.money
import sim.cli.studies  # noqa: F401  (all register their commands)
from sim.cli.commands import app, main

__all__ = ["app", "main"]

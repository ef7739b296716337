"""The clock of a run, and what happens besides its control steps."""

from sim.engine.engine import Engine

__all__ = ["Engine"]

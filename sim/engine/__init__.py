"""The clock of a run, and the events besides its control steps."""

from sim.engine.engine import Engine

__all__ = ["Engine"]

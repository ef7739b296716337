"""The serving engine alone: one engine, one trace, every token."""

from sim.serving.engine import Engine, IterationTime, NodePower, Served, serve

__all__ = ["Engine", "IterationTime", "NodePower", "Served", "serve"]

"""The published figures and the theory that the model must reproduce."""

from sim.validation.check import Check, validate

__all__ = ["Check", "validate"]

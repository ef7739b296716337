"""The clairvoyant bound: what a firm that knows the future could have earned at most."""

from sim.studies.bound.clairvoyant import Bound, bound, left_out
from sim.studies.bound.replay import BoundError

__all__ = ["Bound", "BoundError", "bound", "left_out"]

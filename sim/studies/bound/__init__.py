"""The clairvoyant bound: the most that a firm with perfect foresight could have earned."""

from sim.studies.bound.clairvoyant import Bound, bound, left_out
from sim.studies.bound.replay import BoundError

__all__ = ["Bound", "BoundError", "bound", "left_out"]

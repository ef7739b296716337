"""The simulated fleet: owns every array and calls the kernels; advance, settle, observe, apply."""

from sim.plant.plant import Plant

__all__ = ["Plant"]

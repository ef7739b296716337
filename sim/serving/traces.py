"""Stub to be replaced."""

from pathlib import Path
from typing import NamedTuple

from sim.kernels.arrays import Floats, Ints


class TraceError(ValueError):
    """x"""


class Trace(NamedTuple):
    """x"""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints


def read_trace(path: Path) -> Trace:
    """x"""
    raise TraceError("not yet")

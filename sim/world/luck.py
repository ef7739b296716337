"""Daily random draws, in whole blocks of days so that the horizon does not change them."""

from typing import Final

import numpy as np

from sim.streams import Streams
from sim.types import Floats

LUCK_BLOCK_DAYS: Final = 30  # number of days drawn at once


def daily_normals(component: str, entity: str, count: int, streams: Streams) -> Floats:
    """Standard normals by day (count,)."""
    blocks = -(-count // LUCK_BLOCK_DAYS)
    drawn = [
        streams.generator(component, entity, b * LUCK_BLOCK_DAYS).standard_normal(LUCK_BLOCK_DAYS)
        for b in range(blocks)
    ]
    return np.concatenate(drawn)[:count]

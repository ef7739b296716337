"""Price and network from recorded days: a circular block bootstrap.

Blocks of consecutive days are drawn with replacement (Künsch 1989). The record is wrapped into a
circle, so that every day is equally likely (Politis and Romano 1992). Price and network that name
the same recorded days get the same draws, from one stream.
"""

from typing import NamedTuple

import numpy as np

from sim.scenario.bitcoin import BootstrapNetwork, RecordedDays
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats, Ints


class DrawnHashrate(NamedTuple):
    """Hashrate and fees of the drawn days. Shapes: `day`."""

    growth: Floats  # (day,) hashrate as a multiple of the first day's
    fees_btc: Floats  # (day,) mean fees of a block
    fees_before_btc: float  # those of the day before the first


def drawn_hashrate(
    network: BootstrapNetwork, series: Series, count: int, streams: Streams
) -> DrawnHashrate:
    """Growth of the smoothed hashrate, and fees per block, of `count` drawn days."""
    first, last = network.rows(series.start_s)
    names = (network.blocks_column, network.difficulty_column, network.fees_column)
    blocks, level, fees_btc = (series.column(name)[first - 1 : last] for name in names)
    hashrate = centred_mean(blocks * level, network.smooth_days)
    days = drawn_days(network, series, count, streams)
    per_block = fees_btc / blocks
    growth = growth_path(np.log(hashrate), days)
    return DrawnHashrate(growth, per_block[days], float(per_block[days[0] - 1]))


def drawn_days(days: RecordedDays, series: Series, count: int, streams: Streams) -> Ints:
    """The recorded day for each day of the run (count,): 1 is the first that may be drawn."""
    first, last = days.rows(series.start_s)
    drawn = []
    for day in range(0, count, days.block_days):
        begin = int(streams.generator("recorded-days", day=day).integers(last - first))
        drawn.append(1 + (begin + np.arange(days.block_days)) % (last - first))
    return np.concatenate(drawn)[:count]


def centred_mean(values: Floats, width: int) -> Floats:
    """Centred mean over `width` rows (row,), fewer at both ends; an even width counts one less."""
    half = (width - 1) // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    row = np.arange(len(values))
    low, high = np.maximum(row - half, 0), np.minimum(row + half + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low), dtype=np.float64)


def growth_path(logarithm: Floats, days: Ints) -> Floats:
    """Growth since the first day (day,): each later day grows as its recorded day did."""
    steps = logarithm[days] - logarithm[days - 1]
    return np.asarray(np.exp(np.cumsum(steps) - steps[0]), dtype=np.float64)

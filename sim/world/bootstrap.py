"""Price and network out of recorded days: a circular block bootstrap.

Blocks of consecutive days are drawn with replacement (Künsch 1989); the record is closed to a
circle, so that every day is as likely as any other (Politis and Romano 1992). Price and network
that name the same days get the same: one stream draws for both.
"""

from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario.bitcoin import BootstrapBtcPrice, BootstrapNetwork, RecordedDays
from sim.scenario.series import Series
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY


class BootstrapPrice:
    """Returns of the days drawn, from the price at the start; constant within the UTC day."""

    def __init__(
        self, price: BootstrapBtcPrice, series: Series, horizon_s: int, streams: Streams
    ) -> None:
        rows = drawn_rows(price, series, horizon_s // SECONDS_PER_DAY + 1, streams)
        usd = series.column(price.column)
        self.usd = price.usd_per_btc * _path(np.log(usd), rows)

    def at(self, t_s: Ints) -> Floats:
        """Price [USD/BTC]."""
        return np.asarray(self.usd[t_s // SECONDS_PER_DAY], dtype=np.float64)


class DrawnHashrate(NamedTuple):
    """Shapes: `day`."""

    growth: Floats  # (day,) hashrate, as a multiple of that of the first day
    fees_btc: Floats  # (day,) mean fees of a block


def drawn_hashrate(
    network: BootstrapNetwork, series: Series, days: int, streams: Streams
) -> DrawnHashrate:
    """Growth of the smoothed hashrate, and fees per block, of the days drawn."""
    rows = drawn_rows(network, series, days, streams)
    blocks = series.column(network.blocks_column)
    work = blocks * series.column(network.difficulty_column)
    fees_btc = series.column(network.fees_column) / np.maximum(blocks, 1.0)
    return DrawnHashrate(
        _path(np.log(centred_mean(work, network.smooth_days)), rows), fees_btc[rows]
    )


def drawn_rows(days: RecordedDays, series: Series, count: int, streams: Streams) -> Ints:
    """Rows of the series, one for each day of the run (count,)."""
    first, last = rows_to_draw(days, series)
    length = last - first
    drawn = []
    for day in range(0, count, days.block_days):
        begin = int(streams.generator("recorded-days", day=day).integers(length))
        drawn.append(first + (begin + np.arange(days.block_days)) % length)
    return np.concatenate(drawn)[:count]


def rows_to_draw(days: RecordedDays, series: Series) -> tuple[int, int]:
    """First row that may be drawn, and the first after them: each has a day before it."""
    first, last = 1, len(series.start_s)
    if days.from_utc is not None:
        first = max(first, int(np.searchsorted(series.start_s, days.from_utc.timestamp())))
    if days.until_utc is not None:
        last = int(np.searchsorted(series.start_s, days.until_utc.timestamp()))
    return first, last


def centred_mean(values: Floats, width: int) -> Floats:
    """Mean over `width` rows around each (row,), fewer at both ends (an even width is one less)."""
    half = (width - 1) // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    row = np.arange(len(values))
    low, high = np.maximum(row - half, 0), np.minimum(row + half + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low), dtype=np.float64)


def _path(logarithm: Floats, rows: Ints) -> Floats:
    """Growth since the first day (day,): each day after it grows as its recorded day did."""
    steps = logarithm[rows] - logarithm[rows - 1]
    return np.asarray(np.exp(np.cumsum(steps) - steps[0]), dtype=np.float64)

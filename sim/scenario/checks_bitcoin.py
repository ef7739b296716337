"""Checks of the network and the price of bitcoin."""

from collections.abc import Iterator

import numpy as np

from sim.scenario.bitcoin import (
    BootstrapBtcPrice,
    BootstrapNetwork,
    MinedNetwork,
    RecordedDays,
    ReplayBtcPrice,
)
from sim.scenario.problems import Problem, instant, shown, unknown
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series, SeriesError
from sim.units import SECONDS_PER_DAY

TOML = "scenario.toml"


def bitcoin(s: Scenario) -> Iterator[Problem]:
    """Check the epoch at the start, and the recorded days that price and network are drawn from."""
    network, price = s.network, s.btc_price
    if isinstance(network, MinedNetwork) and network.epoch_start_utc is not None:
        if network.epoch_start_utc > s.horizon.start_utc:
            yield Problem(
                TOML,
                "network.epoch_start_utc",
                instant(network.epoch_start_utc),
                f"must not be after horizon.start_utc, {instant(s.horizon.start_utc)}",
            )
    if isinstance(price, ReplayBtcPrice) and price.series in s.recorded:
        kind = s.recorded[price.series].kind
        if price.value_at == "end" and kind != "regular":
            what = f"rows of a series of kind {kind!r} hold from their instant: must be 'start'"
            yield Problem(TOML, "btc_price.value_at", "'end'", what)
        elif price.intraday == "bridge" and kind == "typical-year":
            what = "a typical year has no calendar to bridge; allowed: 'hold'"
            yield Problem(TOML, "btc_price.intraday", "'bridge'", what)
    if isinstance(price, BootstrapBtcPrice):
        yield from _days(s, "btc_price", price, [price.column], [])
    if isinstance(network, BootstrapNetwork):
        positive = [network.difficulty_column, network.blocks_column]
        yield from _days(s, "network", network, positive, [network.fees_column])
    if isinstance(network, BootstrapNetwork) and isinstance(price, BootstrapBtcPrice):
        for key in RecordedDays.model_fields:
            if (ours := getattr(price, key)) != (theirs := getattr(network, key)):
                yield Problem(
                    TOML,
                    f"btc_price.{key}",
                    _said(ours),
                    f"must be that of the network, {_said(theirs)}: price and network share the "
                    "days that are drawn",
                )


def _said(value: object) -> str:
    return "none" if value is None else shown(value)


def _days(
    s: Scenario, table: str, days: RecordedDays, positive: list[str], other: list[str]
) -> Iterator[Problem]:
    """Every day that may be drawn, and the day before it, must exist and have values."""
    yield from unknown(TOML, f"{table}.series", days.series, s.series)
    if days.series not in s.recorded:
        return  # unknown, or reported where it is read
    series = s.recorded[days.series]
    where = f"{table}.series (series {days.series!r}, {s.series[days.series].file})"
    first, last = days.rows(series.start_s)
    if series.kind != "regular" or (np.diff(series.start_s) != SECONDS_PER_DAY).any():
        yield Problem(TOML, where, "", "must have one row for each day, without a gap")
    elif last - first < days.block_days:
        yield Problem(
            TOML,
            f"{table}.block_days",
            str(days.block_days),
            f"must be <= the days that may be drawn, {max(last - first, 0)} of {series.span()}",
        )
    else:
        for column in positive + other:
            yield from _values(series, column, column in positive, first, last, where)


def _values(
    series: Series, column: str, positive: bool, first: int, last: int, where: str
) -> Iterator[Problem]:
    try:
        values = series.column(column)[first - 1 : last]
    except SeriesError as error:
        yield Problem(TOML, where, "", str(error))
        return
    wrong = np.flatnonzero(~(values > 0) if positive else ~(values >= 0))
    if wrong.size:
        day = np.datetime64(int(series.start_s[first - 1 + wrong[0]]), "s").astype("datetime64[D]")
        limit = "> 0" if positive else ">= 0"
        what = f"column {column!r} is {values[wrong[0]]:g} on {day}; must be {limit}"
        yield Problem(TOML, where, "", what)

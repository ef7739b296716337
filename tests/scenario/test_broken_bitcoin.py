"""Broken networks and prices of bitcoin: one clear message each, exit code 2."""

from pathlib import Path

import pytest

from tests.builders.broken import Change, both, extra, toml, write
from tests.builders.broken_energy import refuses
from tests.scenario.conftest import Check

SERIES = '[series.days]\nfile = "days.csv"\ntime_column = "date"\n'
COLUMNS = "date,price_usd,difficulty,blocks,fees_btc\n"
ROWS = [f"2025-01-{day:02d},{9e4 + day},1.4e14,144,3.1" for day in range(1, 31)]


def record(rows: list[str] | None = None, columns: str = COLUMNS) -> Change:
    """A recorded month of days, or what is left of it."""
    text = columns + "\n".join(ROWS if rows is None else rows) + "\n"
    return both(write("days.csv", text), extra(SERIES))


def price(text: str = "") -> Change:
    return toml('model = "gbm"', f'model = "bootstrap"\nblock_days = 7\nseries = "days"\n{text}')


def network(text: str = "", block_days: int = 7) -> Change:
    keys = f'series = "days"\nblock_days = {block_days}\n{text}'
    return toml('model = "growth"', f'model = "bootstrap"\n{keys}')


def supply(text: str) -> Change:
    return toml('model = "growth"', f'model = "supply-curve"\n{text}')


def storm(text: str) -> Change:
    return both(supply(""), extra(f"[[network.storms]]\n{text}\n"))


def with_row(row: int, text: str) -> list[str]:
    return [*ROWS[:row], text, *ROWS[row + 1 :]]


BROKEN: dict[str, tuple[Change, list[str]]] = {
    "price without a series": (
        toml('model = "gbm"', 'model = "bootstrap"'),
        ["scenario.toml", "btc_price.series", "is required"],
    ),
    "price of an unknown series": (
        both(record(), price(), toml('series = "days"', 'series = "dais"')),
        ["btc_price.series = 'dais'", "'days'"],
    ),
    "network of an unknown series": (network(), ["network.series = 'days'", "allowed"]),
    "no such column": (
        both(record(), price('column = "usd"')),
        ["btc_price.series (series 'days', days.csv)", "no column 'usd'", "price_usd"],
    ),
    "a price of nothing": (
        both(record(with_row(4, "2025-01-05,0,1.4e14,144,3.1")), price()),
        ["btc_price.series", "'price_usd' is 0 on 2025-01-05", "> 0"],
    ),
    "a day without its fees": (
        both(record(with_row(4, "2025-01-05,90000,1.4e14,144,")), network()),
        ["network.series", "'fees_btc' is nan on 2025-01-05", ">= 0"],
    ),
    "a day that is missing": (
        both(record([*ROWS[:4], *ROWS[5:]]), price()),
        ["btc_price.series", "one row for each day, without a gap"],
    ),
    "blocks longer than the record": (
        both(record(), network(block_days=31)),
        ["network.block_days = 31", "<= the days that may be drawn, 29"],
    ),
    "a window with no days": (
        both(record(), price("from_utc = 2026-01-01T00:00:00Z")),
        ["btc_price.block_days = 7", "may be drawn, 0"],
    ),
    "blocks of no days": (
        both(record(), network(block_days=0)),
        ["network.block_days = 0", ">= 1 d"],
    ),
    "days that are not shared": (
        both(record(), network(block_days=5), price()),
        ["btc_price.block_days = 7", "must be that of the network, 5", "share"],
    ),
    "windows that are not shared": (
        both(record(), network("until_utc = 2025-01-20T00:00:00Z"), price()),
        ["btc_price.until_utc = none", "must be that of the network, 2025-01-20T"],
    ),
    "series that are not shared": (
        both(record(), extra(SERIES.replace("series.days", "series.other")), network(),
             toml('[btc_price]\nmodel = "gbm"',
                  '[btc_price]\nmodel = "bootstrap"\nseries = "other"\nblock_days = 7')),
        ["btc_price.series = 'other'", "must be that of the network, 'days'"],
    ),
    "an epoch that begins after the run": (
        supply("epoch_start_utc = 2026-01-02T00:00:00Z"),
        ["network.epoch_start_utc", "must not be after horizon.start_utc"],
    ),
    "a height outside the epoch": (
        both(record(), network("start_height = 5\nepoch_start_utc = 2025-12-25T00:00:00Z")),
        ["network.start_height = 5", "929376 to 931390"],
    ),
    "nobody switches": (supply("switch_per_day = 0"), ["network.switch_per_day = 0", "> 0 1/d"]),
    "a whole band": (supply("hysteresis = 1"), ["network.hysteresis = 1", "< 1"]),
    "free power": (supply("power_usd_per_mwh = 0"), ["network.power_usd_per_mwh = 0", "USD/MWh"]),
    "a key of another model": (
        supply("drift_per_year = 0.1"),
        ["network.drift_per_year", "unknown key"],
    ),
    "a storm that takes all": (
        storm("start_utc = 2026-01-02T00:00:00Z\nhours = 5\nfraction = 1"),
        ["network.storms.0.fraction = 1", "< 1"],
    ),
    "a storm without an end": (
        storm("start_utc = 2026-01-02T00:00:00Z\nfraction = 0.2"),
        ["network.storms.0.hours", "is required [h]"],
    ),
    "storms of a growing network": (
        extra("[[network.storms]]\nhours = 5"),
        ["network.storms", "unknown key"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_message(name: str, folder: Path, check: Check) -> None:
    """Exit code 2; what is said names the key, the value and the rule."""
    change, words = BROKEN[name]
    change(folder)
    refuses(check, words)


@pytest.mark.parametrize("change", [
    both(record(), network(), price()),
    both(record(), price("from_utc = 2025-01-05T00:00:00Z")),
    storm("start_utc = 2026-01-02T00:00:00Z\nhours = 5\nfraction = 0.9"),
])  # fmt: skip
def test_what_is_broken_here_is_otherwise_allowed(
    change: Change, folder: Path, check: Check
) -> None:
    """Days drawn need not cover the horizon: they lie before it."""
    change(folder)
    code, said = check()
    assert code == 0, said

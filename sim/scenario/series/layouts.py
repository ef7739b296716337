"""How markets write their files: one entry for each layout, recognised by its columns.

A new market is a new entry of LAYOUTS and needs nothing else.
"""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Layout:
    """What a market's columns mean; `keys` are those of [series.NAME] that it stands for."""

    name: str
    description: str
    columns: tuple[str, ...]  # a file that has them all is of this layout
    value: str  # the column that people want
    keys: dict[str, Any]
    choose: str | None = None  # column of the place, if a file holds several
    names: tuple[str, ...] = ()  # of files without a header
    length_s: int | None = None  # what the market says, where its rows last alike


US_DAY: Final = "%m/%d/%Y"
KLINES: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
    "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
MTU: Final = {"time_format": "%d/%m/%Y %H:%M", "timezone": "Europe/Brussels"}
# Columns as the operators publish them: ERCOT report types 12331 and 12301, PJM Data Miner 2,
# NYISO mis.nyiso.com, CAISO OASIS PRC_LMP, ENTSO-E transparency exports, EIA open data v2,
# Nord Pool market data, Binance public data (klines).
LAYOUTS: Final = (
    Layout(
        "ercot-dam", "ERCOT day-ahead settlement point prices, by hour ending",
        ("DeliveryDate", "HourEnding", "SettlementPoint", "SettlementPointPrice"),
        "SettlementPointPrice",
        {"time_column": "DeliveryDate", "time_format": US_DAY, "hour_ending_column": "HourEnding",
         "repeat_column": "DSTFlag", "timezone": "America/Chicago"},
        "SettlementPoint", length_s=3600,
    ),
    Layout(
        "ercot-rtm", "ERCOT real-time settlement point prices, by quarter of an hour",
        ("Delivery Date", "Delivery Hour", "Delivery Interval"),
        "Settlement Point Price",
        {"time_column": "Delivery Date", "time_format": US_DAY,
         "hour_ending_column": "Delivery Hour", "interval_column": "Delivery Interval",
         "repeat_column": "Repeated Hour Flag", "timezone": "America/Chicago"},
        "Settlement Point Name", length_s=900,
    ),
    Layout(
        "ercot-rtm-api", "ERCOT real-time prices as its reports write them",
        ("DeliveryDate", "DeliveryHour", "DeliveryInterval"),
        "SettlementPointPrice",
        {"time_column": "DeliveryDate", "time_format": US_DAY,
         "hour_ending_column": "DeliveryHour", "interval_column": "DeliveryInterval",
         "repeat_column": "DSTFlag", "timezone": "America/Chicago"},
        "SettlementPointName", length_s=900,
    ),
    Layout(
        "pjm-da", "PJM Data Miner, day-ahead hourly LMPs",
        ("datetime_beginning_utc", "total_lmp_da"), "total_lmp_da",
        {"time_column": "datetime_beginning_utc", "time_format": "%m/%d/%Y %I:%M:%S %p"},
        "pnode_name", length_s=3600,
    ),
    Layout(
        "pjm-rt", "PJM Data Miner, real-time LMPs",
        ("datetime_beginning_utc", "total_lmp_rt"), "total_lmp_rt",
        {"time_column": "datetime_beginning_utc", "time_format": "%m/%d/%Y %I:%M:%S %p"},
        "pnode_name",
    ),
    Layout(
        "nyiso", "NYISO zonal or generator LBMPs (day-ahead; hours that begin)",
        ("Time Stamp", "Name", "PTID", "LBMP ($/MWHr)"), "LBMP ($/MWHr)",
        {"time_column": "Time Stamp", "time_format": "%m/%d/%Y %H:%M",
         "timezone": "America/New_York"},
        "Name",
    ),
    Layout(
        "caiso-oasis", "CAISO OASIS locational prices",
        ("INTERVALSTARTTIME_GMT", "NODE", "LMP_TYPE", "MW"), "MW",
        {"time_column": "INTERVALSTARTTIME_GMT", "where": {"LMP_TYPE": "LMP"}}, "NODE",
    ),
    Layout(
        "entso-e", "ENTSO-E transparency, day-ahead prices by market time unit",
        ("MTU (CET/CEST)", "Day-ahead Price [EUR/MWh]"), "Day-ahead Price [EUR/MWh]",
        {"time_column": "MTU (CET/CEST)", **MTU}, "Area",
    ),
    Layout(
        "entso-e-new", "ENTSO-E transparency, day-ahead prices, exports since 2024",
        ("MTU (CET/CEST)", "Day-ahead Price (EUR/MWh)"), "Day-ahead Price (EUR/MWh)",
        {"time_column": "MTU (CET/CEST)", **MTU}, "Area",
    ),
    Layout(
        "entso-e-utc", "ENTSO-E transparency, day-ahead prices in UTC",
        ("MTU (UTC)", "Day-ahead Price [EUR/MWh]"), "Day-ahead Price [EUR/MWh]",
        {"time_column": "MTU (UTC)", **MTU, "timezone": "UTC"}, "Area",
    ),
    Layout(
        "eia", "EIA open data, hourly grid monitor: period in UTC, hours that end",
        ("period", "respondent", "value"), "value",
        {"time_column": "period", "time_format": "%Y-%m-%dT%H", "timezone": "UTC",
         "stamps": "end"},
        "respondent", length_s=3600,
    ),
    Layout(
        "nord-pool", "Nord Pool day-ahead prices by delivery period",
        ("deliveryStart", "deliveryEnd", "price"), "price",
        {"time_column": "deliveryStart"}, "deliveryArea",
    ),
    Layout(
        "binance-klines", "Binance candles; the open is known when the interval begins",
        ("open_time", "open", "high", "low", "close", "volume"), "open",
        {"time_column": "open_time"}, names=KLINES,
    ),
    Layout("plain", "time_utc and columns of values", ("time_utc",), "", {}),
)  # fmt: skip


def layout_named(name: str) -> Layout | None:
    """The layout of a name; None where nobody knows it."""
    return next((x for x in LAYOUTS if x.name == name), None)


def recognised(columns: list[str]) -> Layout | None:
    """The first layout all of whose columns are there."""
    return next((x for x in LAYOUTS if set(x.columns) <= set(columns)), None)


def layouts() -> list[dict[str, str]]:
    """What is built in: names, descriptions and the columns they are recognised by."""
    return [
        {"layout": x.name, "description": x.description, "recognised by": ", ".join(x.columns)}
        for x in LAYOUTS
    ]

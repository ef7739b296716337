"""Layouts of market files: one entry each, recognised by its columns.

A new market needs only a new entry in LAYOUTS.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final


@dataclass(frozen=True)
class Layout:
    """Meaning of a market's columns; `keys` are the keys of [series.NAME] that it implies."""

    name: str
    description: str
    columns: tuple[str, ...]  # a file with all of them has this layout; the first is the time
    value: str  # the value column
    keys: dict[str, Any]
    choose: str | None = None  # column of the place, if a file has several places
    names: tuple[str, ...] = ()  # column names of files without a header
    length_s: int | None = None  # row length stated by the market, where all rows are equal
    looks: str = ""  # pattern of the first time, where layouts share columns
    thousands: str = ""  # thousands separator of this market

    def spelt(self, columns: Sequence[str]) -> "Layout | None":
        """This layout with the file's spelling of columns: deliveryDate for Delivery Date."""
        there = {_bare(name): name for name in reversed(columns)}
        if not all(_bare(name) in there for name in self.columns):
            return None

        def named(name: str) -> str:
            return there.get(_bare(name), name)

        keys: dict[str, Any] = {
            key: named(value) if key.endswith("_column") else value
            for key, value in self.keys.items()
        }
        if "where" in keys:
            keys["where"] = {named(column): value for column, value in keys["where"].items()}
        return replace(
            self,
            columns=tuple(named(name) for name in self.columns),
            value=named(self.value),
            keys=keys,
            choose=named(self.choose) if self.choose else None,
        )


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


US_DAY: Final = "%m/%d/%Y"
KLINES: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
    "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
# Day before month, separated by / or .; CET/CEST as in Brussels.
EUROPE: Final = {"time_format": "%d/%m/%Y %H:%M", "timezone": "Europe/Brussels"}
WITH_SECONDS: Final = r"^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d$"
# Columns as the operators publish them: ERCOT NP4-190-CD, NP6-905-CD and their yearly workbooks;
# PJM Data Miner 2 da_hrl_lmps, rt_hrl_lmps, rt_fivemin_hrl_lmps; NYISO P-2A, P-2B (hours that
# begin), P-24A, P-24B (5 minutes that end, with seconds in the stamp); CAISO OASIS PRC_LMP,
# PRC_INTVL_LMP, PRC_RTPD_LMP; ENTSO-E transparency exports until 2024 ([EUR/MWh]) and since;
# EIA open data v2 and EIA-930 balance files, both by the end of the hour in UTC; Nord Pool data
# portal; Binance public data (klines; µs since 2025).
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
        "ercot-dam-year", "ERCOT day-ahead settlement point prices of a year, as workbooks",
        ("Delivery Date", "Hour Ending", "Settlement Point", "Settlement Point Price"),
        "Settlement Point Price",
        {"time_column": "Delivery Date", "time_format": US_DAY, "hour_ending_column": "Hour Ending",
         "repeat_column": "Repeated Hour Flag", "timezone": "America/Chicago"},
        "Settlement Point", length_s=3600,
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
        ("DeliveryDate", "DeliveryHour", "DeliveryInterval", "SettlementPointName"),
        "SettlementPointPrice",
        {"time_column": "DeliveryDate", "time_format": US_DAY,
         "hour_ending_column": "DeliveryHour", "interval_column": "DeliveryInterval",
         "repeat_column": "DSTFlag", "timezone": "America/Chicago"},
        "SettlementPointName", length_s=900,
    ),
    Layout(
        "ercot-rtm-public-api", "ERCOT real-time prices as its public API names them",
        ("deliveryDate", "deliveryHour", "deliveryInterval", "settlementPoint"),
        "settlementPointPrice",
        {"time_column": "deliveryDate", "time_format": US_DAY,
         "hour_ending_column": "deliveryHour", "interval_column": "deliveryInterval",
         "repeat_column": "DSTFlag", "timezone": "America/Chicago"},
        "settlementPoint", length_s=900,
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
        "nyiso-rt", "NYISO real-time zonal or generator LBMPs (5 minutes that end)",
        ("Time Stamp", "Name", "PTID", "LBMP ($/MWHr)"), "LBMP ($/MWHr)",
        {"time_column": "Time Stamp", "time_format": "%m/%d/%Y %H:%M:%S",
         "timezone": "America/New_York", "stamps": "end"},
        "Name", length_s=300, looks=WITH_SECONDS,
    ),
    Layout(
        "nyiso", "NYISO zonal or generator LBMPs (day-ahead; hours that begin)",
        ("Time Stamp", "Name", "PTID", "LBMP ($/MWHr)"), "LBMP ($/MWHr)",
        {"time_column": "Time Stamp", "time_format": "%m/%d/%Y %H:%M",
         "timezone": "America/New_York"},
        "Name", looks=f"^(?!{WITH_SECONDS[1:]})",
    ),
    *(
        Layout(
            name, f"CAISO OASIS locational prices, {what}",
            ("INTERVALSTARTTIME_GMT", "NODE", "LMP_TYPE", value), value,
            {"time_column": "INTERVALSTARTTIME_GMT", "where": {"LMP_TYPE": "LMP"}}, "NODE",
        )
        for name, what, value in (
            ("caiso-oasis", "day-ahead and by 5 minutes", "MW"),
            ("caiso-oasis-rtpd", "by 15 minutes", "PRC"),
            ("caiso-oasis-value", "by 5 minutes", "VALUE"),
        )
    ),
    *(
        Layout(
            name, f"ENTSO-E transparency, day-ahead prices, {what}",
            (clock, f"Day-ahead Price {unit}"), f"Day-ahead Price {unit}",
            {"time_column": clock, **EUROPE, "timezone": zone}, "Area",
        )
        for name, what, clock, unit, zone in (
            ("entso-e", "until 2024", "MTU (CET/CEST)", "[EUR/MWh]", "Europe/Brussels"),
            ("entso-e-time", "until 2021", "Time (CET/CEST)", "[EUR/MWh]", "Europe/Brussels"),
            ("entso-e-utc", "until 2024, in UTC", "MTU (UTC)", "[EUR/MWh]", "UTC"),
            ("entso-e-new", "since 2024", "MTU (CET/CEST)", "(EUR/MWh)", "Europe/Brussels"),
            ("entso-e-new-utc", "since 2024, in UTC", "MTU (UTC)", "(EUR/MWh)", "UTC"),
        )
    ),
    Layout(
        "eia", "EIA open data, hourly grid monitor: period in UTC, hours that end",
        ("period", "respondent", "value"), "value",
        {"time_column": "period", "time_format": "%Y-%m-%dT%H", "timezone": "UTC",
         "stamps": "end"},
        "respondent", length_s=3600,
    ),
    Layout(
        "eia-930", "EIA-930 balance files: hours that end, in UTC",
        ("UTC Time at End of Hour", "Balancing Authority", "Demand (MW)"), "Demand (MW)",
        {"time_column": "UTC Time at End of Hour", "time_format": "%m/%d/%Y %I:%M:%S %p",
         "timezone": "UTC", "stamps": "end"},
        "Balancing Authority", length_s=3600, thousands=",",
    ),
    Layout(
        "nord-pool", "Nord Pool data portal, day-ahead prices, a column for each area",
        ("Delivery Start (CET)", "Delivery End (CET)"), "",
        {"time_column": "Delivery Start (CET)", **EUROPE},
    ),
    Layout(
        "nord-pool-utc", "day-ahead prices by delivery period in UTC",
        ("deliveryStart", "deliveryEnd", "price"), "price",
        {"time_column": "deliveryStart"}, "deliveryArea",
    ),
    Layout(
        "binance-klines", "Binance candles; the open is known when the interval begins",
        ("open_time", "open", "high", "low", "close", "volume"), "open",
        {"time_column": "open_time"}, names=KLINES,
    ),
    Layout(
        "plain", "time_utc and columns of values", ("time_utc",), "", {"time_column": "time_utc"}
    ),
)  # fmt: skip


def layout_named(name: str) -> Layout | None:
    """The layout of a name; None if unknown."""
    return next((x for x in LAYOUTS if x.name == name), None)


def layouts() -> list[dict[str, str]]:
    """Built-in layouts: names, descriptions and identifying columns."""
    return [
        {"layout": x.name, "description": x.description, "recognised by": ", ".join(x.columns)}
        for x in LAYOUTS
    ]

"""Prices and loads as market operators publish them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from experiments.strangers.series import (
    HOUR,
    QUARTER,
    ROWS,
    Draw,
    clock,
    each,
    series_file,
    some_day,
    some_prices,
    steps,
)
from experiments.strangers.trial import Kind, Trial


def _ercot(values: Sequence[float], start: datetime, form: str) -> list[str]:
    return [
        f"{clock(t):{form}},{clock(t).hour + 1},{clock(t).minute // 15 + 1},{clock(t).fold},{v}"
        for t, v in each(start, values, QUARTER)
    ]


def ercot_quarters(draw: Draw, number: int) -> Trial:
    """Through the long day, flagged; also as the public interface names its columns."""
    start = (
        datetime(2025, 11, 2, 5, tzinfo=UTC) if number % 2 else some_day(draw) + timedelta(hours=6)
    )
    values = some_prices(draw, 16)
    public = number % 3 == 2
    cells = [row.split(",") for row in _ercot(values, start, "%Y-%m-%d" if public else "%m/%d/%Y")]
    if public:
        header = ("deliveryDate,deliveryHour,deliveryInterval,settlementPoint,settlementPointType,"
                  "settlementPointPrice,DSTFlag")  # fmt: skip
        rows = [
            f"{d},{h},{k},LZ_WEST,LZ,{v},{('false', 'true')[int(f)]}" for d, h, k, f, v in cells
        ]
        return series_file(rows, steps(start, values, QUARTER), "settlementPointPrice", header)
    header = ("Delivery Date,Delivery Hour,Delivery Interval,Repeated Hour Flag,"
              "Settlement Point Name,Settlement Point Type,Settlement Point Price")  # fmt: skip
    rows = [f"{d},{h},{k},{'NY'[int(f)]},LZ_WEST,LZ,{v}" for d, h, k, f, v in cells]
    return series_file(rows, steps(start, values, QUARTER), "Settlement Point Price", header)


def ercot_day_ahead(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw) + timedelta(hours=6), some_prices(draw)
    rows = [
        f"{clock(t):%m/%d/%Y},{clock(t).hour + 1:02d}:00,HB_NORTH,{v},N"
        for t, v in each(start, values)
    ]
    names = ("DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag",
             "deliveryDate,hourEnding,settlementPoint,settlementPointPrice,DSTFlag")  # fmt: skip
    header = names[number % 2]
    return series_file(rows, steps(start, values), header.split(",")[3], header)


def pjm(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    kind = ("da", "rt")[number % 2]
    rows = [f"{t:%m/%d/%Y %I:%M:%S %p},x,1,HUB,{v}" for t, v in each(start, values)]
    header = f"datetime_beginning_utc,datetime_beginning_ept,pnode_id,pnode_name,total_lmp_{kind}"
    return series_file(rows, steps(start, values), f"total_lmp_{kind}", header)


def nyiso(draw: Draw, number: int) -> Trial:
    """Hours that begin; or five minutes that end, told by the seconds in the stamp."""
    start, values = some_day(draw) + timedelta(hours=5), some_prices(draw)
    header = '"Time Stamp","Name","PTID","LBMP ($/MWHr)"'
    real_time = number % 2
    step_s = 300 if real_time else HOUR
    late, form = (300, "%m/%d/%Y %H:%M:%S") if real_time else (0, "%m/%d/%Y %H:%M")
    zone = ZoneInfo("America/New_York")
    rows = [
        f'"{(t + timedelta(seconds=late)).astimezone(zone):{form}}","WEST",61752,{v}'
        for t, v in each(start, values, step_s)
    ]
    return series_file(rows, steps(start, values, step_s), "LBMP ($/MWHr)", header)


def caiso(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    value, step_s = (("MW", HOUR), ("PRC", QUARTER), ("VALUE", 300))[number % 3]
    rows = [
        f"{t:%Y-%m-%dT%H:%M:%S}-00:00,N,{kind},{v if kind == 'LMP' else 9999}"
        for t, v in each(start, values, step_s)
        for kind in ("LMP", "MCC")
    ]
    header = f"INTERVALSTARTTIME_GMT,NODE,LMP_TYPE,{value}"
    return series_file(rows, steps(start, values, step_s), value, header)


def entso_e(draw: Draw, number: int) -> Trial:
    """Old and new exports, also those whose rows stand in quotes as a whole."""
    start, values = some_day(draw), some_prices(draw)
    zone = ZoneInfo("Europe/Brussels")
    dot, unit = ((".", "[EUR/MWh]"), ("/", "(EUR/MWh)"))[number % 2]
    form = f"%d{dot}%m{dot}%Y %H:%M"
    rows = [
        f'"{t.astimezone(zone):{form}} - {(t + timedelta(hours=1)).astimezone(zone):{form}}","{v}"'
        for t, v in each(start, values)
    ]
    lines = [f'"MTU (CET/CEST)","Day-ahead Price {unit}"', *rows]
    if number % 3 == 2:
        lines = ['"' + line.replace('"', '""') + '"' for line in lines]
    return series_file(
        "\n".join(lines).encode(), steps(start, [v * 1.1 for v in values]),
        f"Day-ahead Price {unit}", currency="EUR", usd_per_currency=1.1,
    )  # fmt: skip


def eia(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), [float(x) for x in draw.integers(1000, 90_000, ROWS)]
    late = timedelta(hours=1)
    if number % 2:
        rows = [f'ERCO,{t + late:%m/%d/%Y %I:%M:%S %p},"{v:,.0f}"' for t, v in each(start, values)]
        header = "Balancing Authority,UTC Time at End of Hour,Demand (MW)"
        return series_file(rows, steps(start, values), "Demand (MW)", header)
    rows = [f"{t + late:%Y-%m-%dT%H},ERCO,D,{v:.0f}" for t, v in each(start, values)]
    return series_file(rows[::-1], steps(start, values), "value", "period,respondent,type,value")


def nord_pool(draw: Draw, number: int) -> Trial:
    start, values = some_day(draw), some_prices(draw)
    zone = ZoneInfo("Europe/Brussels")
    rows = [
        f"{t.astimezone(zone):%d.%m.%Y %H:%M:%S};"
        f"{(t + timedelta(hours=1)).astimezone(zone):%d.%m.%Y %H:%M:%S};"
        + f"{v:.2f}".replace(".", ",")
        for t, v in each(start, values)
    ]
    header = "Delivery Start (CET);Delivery End (CET);SE3 (EUR)"
    return series_file(
        rows, steps(start, values), "SE3 (EUR)", header,
        currency="EUR", usd_per_currency=1.0,
    )  # fmt: skip


def klines(draw: Draw, number: int) -> Trial:
    """Candles by milliseconds and microseconds: the open is what is known at their start."""
    start, values = some_day(draw), [abs(v) + 1.0 for v in some_prices(draw)]
    more = ("000", "000000")[number % 2]
    rows = [
        f"{t.timestamp():.0f}{more},{v},9,0.1,5,7,{t.timestamp() + 3599:.0f}{more},1,1,1,1,0"
        for t, v in each(start, values)
    ]
    return series_file("\n".join(rows).encode(), steps(start, values), "open")


KINDS: Final[dict[str, Kind]] = {
    "series: ERCOT by the quarter": ercot_quarters,
    "series: ERCOT day-ahead": ercot_day_ahead,
    "series: PJM": pjm,
    "series: NYISO": nyiso,
    "series: CAISO": caiso,
    "series: ENTSO-E": entso_e,
    "series: EIA": eia,
    "series: Nord Pool": nord_pool,
    "series: Binance candles": klines,
}

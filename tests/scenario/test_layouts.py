"""Files as markets write them: each layout is read by itself, or refused by row and value."""

import gzip
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from sim.cli import main
from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, SeriesError, layouts, read_series


def read(at: Path, text: str | bytes, name: str = "s.csv", **keys: Any) -> Series:
    file = at / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_series(file, SeriesSpec.model_validate({"file": name, **keys}))


# layout → (text, keys beside it, column, first start, values)
KNOWN: dict[str, tuple[str, dict[str, Any], str, str, list[float]]] = {
    "ercot-dam": (
        "DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice,DSTFlag\n"
        "06/01/2026,01:00,HB_A,20,N\n06/01/2026,01:00,HB_B,90,N\n06/01/2026,02:00,HB_A,21,N\n",
        {"where": {"SettlementPoint": "HB_A"}},
        "SettlementPointPrice", "2026-06-01T05:00", [20.0, 21.0],
    ),
    "ercot-rtm": (
        "Delivery Date,Delivery Hour,Delivery Interval,Repeated Hour Flag,Settlement Point Name,"
        "Settlement Point Type,Settlement Point Price\n"
        + "".join(f"06/01/2026,{h},{k},N,LZ_WEST,LZ,{h * 10 + k}\n" for h in (1, 2)
                  for k in (1, 2, 3, 4)),
        {}, "Settlement Point Price", "2026-06-01T05:00", [11, 12, 13, 14, 21, 22, 23, 24],
    ),
    "ercot-dam-year": (
        "Delivery Date,Hour Ending,Repeated Hour Flag,Settlement Point,Settlement Point Price\n"
        "11/01/2026,02:00,N,LZ_WEST,20\n11/01/2026,02:00,Y,LZ_WEST,21\n",
        {}, "Settlement Point Price", "2026-11-01T06:00", [20.0, 21.0],
    ),
    "ercot-rtm-api": (
        "DeliveryDate,DeliveryHour,DeliveryInterval,SettlementPointName,SettlementPointType,"
        "SettlementPointPrice,DSTFlag\n06/01/2026,1,1,HB_A,HU,20,N\n06/01/2026,1,2,HB_A,HU,21,N\n",
        {}, "SettlementPointPrice", "2026-06-01T05:00", [20.0, 21.0],
    ),
    "ercot-rtm-public-api": (
        "deliveryDate,deliveryHour,deliveryInterval,settlementPoint,settlementPointType,"
        "settlementPointPrice,DSTFlag\n"
        "2026-06-01,1,1,HB_A,HU,20,false\n2026-06-01,1,2,HB_A,HU,21,false\n",
        {}, "settlementPointPrice", "2026-06-01T05:00", [20.0, 21.0],
    ),
    "pjm-rt": (
        "datetime_beginning_utc,datetime_beginning_ept,pnode_id,pnode_name,total_lmp_rt\n"
        "1/1/2025 4:55:00 AM,12/31/2024 11:55:00 PM,1,X,31\n"
        "1/1/2025 4:50:00 AM,12/31/2024 11:50:00 PM,1,X,30\n",
        {}, "total_lmp_rt", "2025-01-01T04:50", [30.0, 31.0],
    ),
    "nyiso-rt": (
        '"Time Stamp","Name","PTID","LBMP ($/MWHr)"\n'
        '"01/01/2025 00:05:00","WEST",61752,30.5\n"01/01/2025 00:10:00","WEST",61752,31\n',
        {}, "LBMP ($/MWHr)", "2025-01-01T05:00", [30.5, 31.0],
    ),
    "pjm-da": (
        "datetime_beginning_utc,datetime_beginning_ept,pnode_name,total_lmp_da\n"
        "1/1/2025 5:00:00 AM,1/1/2025 12:00:00 AM,X,30\n"
        "1/1/2025 6:00:00 AM,1/1/2025 1:00:00 AM,X,31\n",
        {}, "total_lmp_da", "2025-01-01T05:00", [30.0, 31.0],
    ),
    "nyiso": (
        '"Time Stamp","Name","PTID","LBMP ($/MWHr)"\n'
        '"01/01/2025 00:00","WEST",61752,30.5\n"01/01/2025 01:00","WEST",61752,31\n',
        {}, "LBMP ($/MWHr)", "2025-01-01T05:00", [30.5, 31.0],
    ),
    "caiso-oasis": (
        "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,OPR_DT,OPR_HR,NODE,LMP_TYPE,MW\n"
        "2025-01-01T09:00:00-00:00,2025-01-01T10:00:00-00:00,2025-01-01,2,N,LMP,41\n"
        "2025-01-01T09:00:00-00:00,2025-01-01T10:00:00-00:00,2025-01-01,2,N,MCC,1\n"
        "2025-01-01T08:00:00-00:00,2025-01-01T09:00:00-00:00,2025-01-01,1,N,LMP,40\n",
        {}, "MW", "2025-01-01T08:00", [40.0, 41.0],
    ),
    "caiso-oasis-rtpd": (
        "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,OPR_DT,NODE,LMP_TYPE,PRC\n"
        "2025-01-01T08:15:00-00:00,2025-01-01T08:30:00-00:00,2025-01-01,N,LMP,41\n"
        "2025-01-01T08:00:00-00:00,2025-01-01T08:15:00-00:00,2025-01-01,N,LMP,40\n"
        "2025-01-01T08:30:00-00:00,2025-01-01T08:45:00-00:00,2025-01-01,N,LMP,42\n",
        {}, "PRC", "2025-01-01T08:00", [40.0, 41.0, 42.0],
    ),
    "caiso-oasis-value": (
        "INTERVALSTARTTIME_GMT,INTERVALENDTIME_GMT,NODE,LMP_TYPE,VALUE\n"
        "2025-01-01T08:00:00-00:00,2025-01-01T08:05:00-00:00,N,LMP,40\n",
        {}, "VALUE", "2025-01-01T08:00", [40.0],
    ),
    "entso-e-time": (
        '"Time (CET/CEST)","Day-ahead Price [EUR/MWh]"\n'
        + "".join(f'"26.10.2025 {h:02d}:00 - 26.10.2025 {h + 1:02d}:00","{i}"\n'
                  for i, h in enumerate((1, 2, 2, 3))),
        {"currency": "EUR", "usd_per_currency": 1.0},
        "Day-ahead Price [EUR/MWh]", "2025-10-25T23:00", [0.0, 1.0, 2.0, 3.0],
    ),
    "entso-e-utc": (
        '"MTU (UTC)","Day-ahead Price [EUR/MWh]"\n'
        '"01.01.2025 00:00 - 01.01.2025 01:00 (UTC)","10"\n'
        '"01.01.2025 01:00 - 01.01.2025 02:00 (UTC)","20"\n',
        {"currency": "EUR", "usd_per_currency": 1.0},
        "Day-ahead Price [EUR/MWh]", "2025-01-01T00:00", [10.0, 20.0],
    ),
    "entso-e-new-utc": (
        "MTU (UTC),Area,Sequence,Day-ahead Price (EUR/MWh)\n"
        "01/02/2025 00:00:00 - 01/02/2025 00:15:00,BZN|GR,Without Sequence,10\n"
        "01/02/2025 00:15:00 - 01/02/2025 00:30:00,BZN|GR,Without Sequence,20\n",
        {"currency": "EUR", "usd_per_currency": 1.0},
        "Day-ahead Price (EUR/MWh)", "2025-02-01T00:00", [10.0, 20.0],
    ),
    "entso-e": (
        '"MTU (CET/CEST)","Day-ahead Price [EUR/MWh]","Currency"\n'
        '"01/01/2025 00:00 - 01/01/2025 01:00","10","EUR"\n'
        '"01/01/2025 01:00 - 01/01/2025 02:00","20","EUR"\n',
        {"currency": "EUR", "usd_per_currency": 1.5},
        "Day-ahead Price [EUR/MWh]", "2024-12-31T23:00", [15.0, 30.0],
    ),
    "entso-e-new": (
        "MTU (CET/CEST),Area,Sequence,Day-ahead Price (EUR/MWh)\n"
        "01/01/2025 00:00:00 - 01/01/2025 00:15:00,BZN|DE,,10\n"
        "01/01/2025 00:15:00 - 01/01/2025 00:30:00,BZN|DE,,20\n",
        {"currency": "EUR", "usd_per_currency": 1.0},
        "Day-ahead Price (EUR/MWh)", "2024-12-31T23:00", [10.0, 20.0],
    ),
    "eia": (
        "period,respondent,type,value\n2025-01-01T02,ERCO,D,50\n2025-01-01T01,ERCO,D,40\n",
        {}, "value", "2025-01-01T00:00", [40.0, 50.0],
    ),
    "eia-930": (
        "Balancing Authority,Data Date,Hour Number,Local Time at End of Hour,"
        "UTC Time at End of Hour,Demand (MW)\n"
        'ERCO,01/01/2025,1,01/01/2025 1:00:00 AM,01/01/2025 7:00:00 AM,"45,123"\n'
        'ERCO,01/01/2025,2,01/01/2025 2:00:00 AM,01/01/2025 8:00:00 AM,999\n',
        {}, "Demand (MW)", "2025-01-01T06:00", [45_123.0, 999.0],
    ),
    "nord-pool": (
        "Delivery Start (CET);Delivery End (CET);SE3 Price (EUR)\n"
        "02.01.2026 00:00:00;02.01.2026 00:15:00;12,5\n"
        "02.01.2026 00:15:00;02.01.2026 00:30:00;-3,25\n",
        {"currency": "EUR", "usd_per_currency": 2.0},
        "SE3 Price (EUR)", "2026-01-01T23:00", [25.0, -6.5],
    ),
    "plain": ("time_utc,value\n2026-01-01,1\n", {}, "value", "2026-01-01T00:00", [1.0]),
    "nord-pool-utc": (
        "deliveryStart;deliveryEnd;price\n2025-01-01T00:00:00Z;2025-01-01T01:00:00Z;1,5\n"
        "2025-01-01T01:00:00Z;2025-01-01T02:00:00Z;2,5\n",
        {}, "price", "2025-01-01T00:00", [1.5, 2.5],
    ),
    "binance-klines": (
        "1735689600000000,1,2,0.5,1.5,9,1735693199999999,1,1,1,1,0\n"
        "1735693200000000,3,4,0.5,3.5,9,1735696799999999,1,1,1,1,0\n",
        {}, "open", "2025-01-01T00:00", [1.0, 3.0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", KNOWN)
def test_a_market_s_own_file_is_recognised(layout: str, tmp_path: Path) -> None:
    text, keys, column, first, values = KNOWN[layout]
    about = {known["layout"]: known for known in layouts()}
    assert set(KNOWN) == set(about), "a layout without a sample"
    for named in ({}, {"layout": layout}):
        series = read(tmp_path, text, **keys, **named)
        assert series.column(column).tolist() == values
        assert str(np.datetime64(int(series.start_s[0]), "s"))[:16] == first


def as_one_column(text: str) -> str:
    """As a spreadsheet saves a table that it has taken for one column."""
    return "".join('"' + line.replace('"', '""') + '"\n' for line in text.splitlines())


# the same files in other spellings: layout → (text, how it is called now)
SPELT: dict[str, tuple[str, str]] = {
    "ercot-dam": (
        KNOWN["ercot-dam"][0]
        .replace("DeliveryDate,HourEnding,SettlementPoint,SettlementPointPrice",
                 "deliveryDate,hourEnding,SettlementPoint,settlementPointPrice")
        .replace("06/01/2026", "2026-06-01"),
        "settlementPointPrice",
    ),
    "entso-e": (as_one_column(KNOWN["entso-e"][0]), "Day-ahead Price [EUR/MWh]"),
    "ercot-rtm": (as_one_column(KNOWN["ercot-rtm"][0]), "Settlement Point Price"),
    "nyiso": (KNOWN["nyiso"][0].replace("Time Stamp", "time_stamp"), "LBMP ($/MWHr)"),
    "binance-klines": (
        "Open time,Open,High,Low,Close,Volume\n"
        "1735689600000,1,2,0.5,1.5,9\n1735693200000,3,4,0.5,3.5,9\n",
        "Open",
    ),
    "plain": ("Time (UTC),value\n2026-01-01 00:00,1\n", "value"),
}  # fmt: skip


@pytest.mark.parametrize("layout", SPELT)
def test_columns_may_be_spelt_in_other_ways(layout: str, tmp_path: Path) -> None:
    text, column = SPELT[layout]
    _, keys, _, first, values = KNOWN[layout]
    series = read(tmp_path, text, **keys)
    assert series.column(column).tolist() == values
    assert str(np.datetime64(int(series.start_s[0]), "s"))[:16] == first


def preambled(text: str) -> bytes:
    return ("Report of the day\n\n" + text).encode("utf-16")


PLAIN = "time_utc,v\n2026-01-01T00:00:00Z,1\n2026-01-01T01:00:00Z,2\n"
STAMPS = ["1767225600", "1767225600.0", "1767225600000", "1767225600000000", "1767225600000000000"]


@pytest.mark.parametrize("stamp", STAMPS)
def test_epochs_in_any_unit(stamp: str, tmp_path: Path) -> None:
    series = read(tmp_path, f"time_utc,v\n{stamp},1\n")
    assert series.start_s.tolist() == [1_767_225_600]


@pytest.mark.parametrize(
    "content",
    [preambled(PLAIN), PLAIN.replace(",", ";").encode("cp1252"), b"\xef\xbb\xbf" + PLAIN.encode(),
     PLAIN.replace("\n", "\r").encode(), PLAIN.replace("v\n", "v\nUTC,USD/MWh\n").encode()],
)  # fmt: skip
def test_the_same_in_other_clothes(content: bytes, tmp_path: Path) -> None:
    assert read(tmp_path, content).column("v").tolist() == [1.0, 2.0]


def test_ends_serials_scale_and_order(tmp_path: Path) -> None:
    text = "t,v\n46023.083333333336,2\n46023.041666666664,1\n"  # 02:00 and 01:00 of 2026-01-01
    series = read(tmp_path, text, time_column="t", timezone="UTC", stamps="end", scale=10)
    assert (series.start_s - 1_767_225_600).tolist() == [0, 3_600]
    assert series.column("v").tolist() == [10.0, 20.0]


def test_hour_25_is_after_24_and_a_time_that_does_not_exist_is_left_out(tmp_path: Path) -> None:
    keys = {"time_column": "d", "time_format": "%m/%d/%Y", "hour_ending_column": "h"}
    zone = {"timezone": "America/Chicago"}
    series = read(tmp_path, "d,h,p\n11/03/2024,24,1\n11/03/2024,25,2\n", **keys, **zone)
    hours = ["2024-11-04T04", "2024-11-04T05"]
    assert [str(np.datetime64(int(s), "s"))[:13] for s in series.start_s] == hours
    text = "t,p\n" + "".join(f"2026-03-29 {h:02d}:00,{h if h != 2 else ''}\n" for h in range(24))
    series = read(tmp_path, text, time_column="t", timezone="Europe/Berlin")
    assert len(series.start_s) == 23
    assert set(np.diff(series.start_s).tolist()) == {3_600}
    assert "row 4 left out: clocks in Europe/Berlin go forward" in series.notes[0]


# what is wrong → (content, keys, what the message must say)
WRONG: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "no zone": ("t,v\n2026-01-01 01:00,1\n", {"time_column": "t"}, ["row 2", "say timezone"]),
    "hours of no zone": (
        "d,h,v\n01/02/2026,1,5\n",
        {"time_column": "d", "time_format": "%m/%d/%Y", "hour_ending_column": "h"},
        ["column 'h' counts hours of a clock", "say timezone"],
    ),
    "twice": (PLAIN + "2026-01-01T01:00:00Z,3\n", {}, ["row 4 (2026-01-01 01:00 UTC)"]),
    "far": ("time_utc,v\n3026-01-01T00:00:00Z,1\n", {}, ["row 2", "1970 to 2200"]),
    "nul": (PLAIN.encode() + b"\0", {}, ["row 4", "NUL"]),
    "bad layout": (PLAIN, {"layout": "nowhere"}, ["allowed: ercot-dam"]),
    "other layout": (PLAIN, {"layout": "nyiso"}, ["columns are Time Stamp"]),
    "no such place": (PLAIN, {"where": {"v": "7"}}, ["column 'v' is nowhere '7'; it has 1, 2"]),
    "half a gzip": (gzip.compress(PLAIN.encode() * 99)[:60], {}, ["cannot be read"]),
    "an endless cell": ("time_utc,v\n" + '"' + "x" * 140_000 + "\n", {}, ["row 2", "1 for 2"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_message(name: str, tmp_path: Path) -> None:
    content, keys, words = WRONG[name]
    with pytest.raises(SeriesError) as error:
        read(tmp_path, content, "s.csv.gz" if "gzip" in name else "s.csv", **keys)
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("inf", "row 3"),
        ("true", ""),
        ("1,234", "row 3 is '1,234': can be read as 1.234 or as 1234"),
        ("n.a.", "row 3 is 'n.a.'"),
    ],
)
def test_values_that_are_no_numbers(cell: str, word: str, tmp_path: Path) -> None:
    series = read(tmp_path, f'time_utc,v\n2026-01-01,1\n2026-01-02,"{cell}"\n')
    with pytest.raises(SeriesError, match="column 'v'") as error:
        series.column("v")
    assert word in str(error.value)


def test_euro_is_not_taken_for_dollars(tmp_path: Path) -> None:
    series = read(tmp_path, KNOWN["entso-e"][0])
    with pytest.raises(SeriesError, match="usd_per_currency"):
        series.column("Day-ahead Price [EUR/MWh]")


def test_every_third_hour_is_a_gap_and_named(tmp_path: Path) -> None:
    rows = [f"2026-01-01T{h:02d}:00:00Z,{h}\n" for h in range(24) if h % 3 != 2]
    series = read(tmp_path, "time_utc,v\n" + "".join(rows))
    assert len(series.gaps(0, 2**40)) == 7


def test_import_series_says_what_it_took_and_writes_it_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text(KNOWN["ercot-rtm"][0])
    out = tmp_path / "plain.csv"
    monkeypatch.setattr(
        sys,
        "argv",
        ["hashwatt", "import-series", str(tmp_path / "p.csv"), "--out", str(out), "--json"],
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    about = json.loads(capsys.readouterr().out)
    assert about["layout"] == "ercot-rtm"
    assert about["step_s"] == {"900": 8}
    plain = read_series(out, SeriesSpec(file="plain.csv"))
    assert plain.column("value").tolist() == KNOWN["ercot-rtm"][4]


def workbook(file: Path, **sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file.read_bytes()


HEADER = ["Delivery Date", "Delivery Hour", "Delivery Interval", "Settlement Point Name",
          "Settlement Point Price"]  # fmt: skip


def test_a_workbook_with_a_sheet_for_each_month_is_one_series(tmp_path: Path) -> None:
    """As an operator gives out a year: dates as text or as cells of the kind date."""
    june = [[datetime(2026, 6, 30), 24, k, "LZ_WEST", 10 + k] for k in (1, 2, 3, 4)]
    july = [[datetime(2026, 7, 1), 1, k, "LZ_WEST", 20.5] for k in (1, 2, 3, 4)]
    book = workbook(
        tmp_path / "b.xlsx", Jun=[HEADER, *june], Jul=[HEADER, *july, [None] * 5], Notes=[]
    )
    series = read(tmp_path, book, "p.xlsx")
    assert series.column("Settlement Point Price").tolist() == [11, 12, 13, 14] + [20.5] * 4
    assert series.span() == "2026-07-01 04:00 UTC to 2026-07-01 06:00 UTC"


def test_workbooks_that_cannot_be_one_series(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match="damaged"):
        read(tmp_path, b"no zip", "p.xlsx")
    with pytest.raises(SeriesError, match="old kind"):
        read(tmp_path, b"", "p.xls")
    rows = [["time_utc", "v"], ["2026-01-01", 1]]
    book = workbook(tmp_path / "b.xlsx", One=rows, Two=[["other"], [1]])
    with pytest.raises(SeriesError, match="'One' and 'Two' have other columns"):
        read(tmp_path, book, "p.xlsx")

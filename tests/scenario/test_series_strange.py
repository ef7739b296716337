"""Files that people have made themselves: read as they are meant, or refused by row and value."""

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, SeriesError, read_series

HOUR = [f"2026-01-01T{hour:02d}:00:00Z" for hour in range(24)]
CLOCK = {"time_column": "t", "timezone": "UTC"}
DAYS = {
    "time_column": "d", "time_format": "%m/%d/%Y", "hour_ending_column": "h", "timezone": "UTC",
}  # fmt: skip
QUARTERS = {**DAYS, "interval_column": "q"}
NYISO = '"Time Stamp","Name","PTID","LBMP ($/MWHr)"\n'


def of(*values: str, head: str = "time_utc,v", mark: str = ",") -> str:
    """A file of consecutive hours."""
    return "\n".join([head, *(f"{HOUR[i]}{mark}{value}" for i, value in enumerate(values))]) + "\n"


def read(at: Path, content: str | bytes, name: str = "s.csv", **keys: Any) -> Series:
    (at / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_series(at / name, SeriesSpec.model_validate({"file": name, **keys}))


# what is strange → (content, keys, column, values)
READ: dict[str, tuple[str | bytes, dict[str, Any], str, list[float]]] = {
    "a decimal comma": (of("1,5", "2,25", mark=";", head="time_utc;v"), {}, "v", [1.5, 2.25]),
    "points and commas": (of("1.234,5", "2,25", mark=";", head="time_utc;v"), {}, "v",
                          [1234.5, 2.25]),
    "points beside commas": (of("1.5", "2,25", mark=";", head="time_utc;v"), {}, "v", [1.5, 2.25]),
    "a decimal comma in quotes": (of('"1,5"', '"2,25"'), {}, "v", [1.5, 2.25]),
    "a minus of typographers": (of("\u22125", "2"), {}, "v", [-5.0, 2.0]),
    "rows of nothing at the end": (of("1", "2") + ",\n,\n", {}, "v", [1.0, 2.0]),
    "lines of nothing within": (of("1", "2").replace("\n", "\n\n"), {}, "v", [1.0, 2.0]),
    "UTC behind the time": (of("1", "2").replace("Z", " UTC"), {}, "v", [1.0, 2.0]),
    "an offset without a colon": (of("1", "2").replace("Z", "+0000"), {}, "v", [1.0, 2.0]),
    "another order": ("\n".join(["time_utc,v", *(f"{HOUR[h]},{h}" for h in (2, 0, 1))]), {}, "v",
                      [0.0, 1.0, 2.0]),
    "HE before the hour": ("d,h,v\n01/02/2026,HE01,5\n01/02/2026,HE02,6\n", DAYS, "v", [5.0, 6.0]),
    "the clock of noon": ("t,v\n01/02/2026 12 AM,1\n01/02/2026 1 AM,2\n",
                          {**CLOCK, "time_format": "%m/%d/%Y %I %p"}, "v", [1.0, 2.0]),
    "points for slashes": ("t,v\n02.01.2026 00:00,1\n02.01.2026 01:00,2\n",
                           {**CLOCK, "time_format": "%d/%m/%Y %H:%M"}, "v", [1.0, 2.0]),
    "dates without marks": ("t,v\n20260101,1\n20260102,2\n", {**CLOCK, "time_format": "%Y%m%d"},
                            "v", [1.0, 2.0]),
    "euros with a rate": (of("10", head="time_utc,price_eur_mwh"),
                          {"currency": "EUR", "usd_per_currency": 1.5}, "price_eur_mwh", [15.0]),
    "cents per kWh": (of("3", head="time_utc,cents/kWh"), {"scale": 10}, "cents/kWh", [30.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_it_is_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    content, keys, column, values = READ[name]
    assert read(tmp_path, content, **keys).column(column).tolist() == values


BITS = ["", ",", ";", "\n", '"', "nan", "1e999", "Z", "+25:00", "\0", "\u0663", "9" * 25, "24:00",
        "25", "true", "\r", "<", "\ufeff", "EUR", "1.234", "1,234", "\u2028"]  # fmt: skip


def test_mutated_files_are_read_or_refused_in_words(tmp_path: Path) -> None:
    """Seeded and bounded: nothing else but SeriesError comes out."""
    draw = random.Random(20260101)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(200):
        content, keys, column, _values = READ[draw.choice(list(READ))]
        text = str(content)
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(BITS) + text[at + draw.randint(0, 3) :]
        try:
            series = read(tmp_path, text, **keys)
            if column in series.table.column_names:
                series.column(column)
            outcomes["read"] += 1
        except SeriesError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10, outcomes


# what is wrong → (content, keys, what the message must say)
REFUSED: dict[str, tuple[str | bytes, dict[str, Any], list[str]]] = {
    "a cell too many": (of("1", "2,3"), {}, ["row 3", "3 for 2"]),
    "a cell too few": (of("1") + "\n" + HOUR[1] + "\n", {}, ["row 4", "1 for 2"]),
    "a source below the table": (of("1", "2") + "Source: ENTSO-E\n", {}, ["row 4", "'Source"]),
    "a total below the table": (of("1", "2") + "Total,3\n", {}, ["row 4 is 'Total'"]),
    "an offset here and none there": (of("1", "2").replace("01:00:00Z", "01:00:00"), {},
                                      ["row 3", "all with an offset, or none"]),
    "no such day": (of("1").replace("01-01", "02-30"), {}, ["row 2 is '2026-02-30T00:00:00Z'"]),
    "years as numbers": ("time_utc,v\n2025,1\n2026,2\n", {}, ["row 2 is 2025", "epoch"]),
    "numbers of rows": ("time_utc,v\n1,1\n2,2\n", {}, ["row 2 is 1", "epoch"]),
    "a day as a number": ("time_utc,v\n20260101,1\n", {}, ["row 2", "'%Y%m%d'"]),
    "an hour as a number": ("time_utc,v\n2026010100,1\n", {}, ["row 2", "'%Y%m%d%H'"]),
    "epochs of two units": ("time_utc,v\n1767225600,1\n1767229200000,2\n", {}, ["row 3", "unit"]),
    "a web page": ("<html><body>Not found</body></html>", {}, ["web page"]),
    "JSON": ('[{"time_utc": 1, "v": 2}]', {}, ["JSON"]),
    "a picture": (bytes(range(256)) * 9, {}, ["is no text"]),
    "no time in all rows": (of(",,\n").split("\n")[0] + "\n,\n,\n", {}, ["has no row"]),
    "half an interval": ("d,h,q,v\n01/02/2026,1,5,5\n", QUARTERS, ["column 'q' holds 5", "4, 6"]),
    "an interval 0": ("d,h,q,v\n01/02/2026,1,0,5\n", QUARTERS, ["column 'q' holds 0"]),
    "an hour in words": ("d,h,v\n01/02/2026,1,5\n01/02/2026,two,5\n", DAYS, ["row 3 is 'two'"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_by_row(name: str, tmp_path: Path) -> None:
    content, keys, words = REFUSED[name]
    with pytest.raises(SeriesError) as error:
        read(tmp_path, content, **keys)
    for word in words:
        assert word in str(error.value), str(error.value)


@pytest.mark.parametrize(
    ("content", "column", "words"),
    [
        (of("1,500", "2,250", mark=";", head="time_utc;v"), "v", ["row 2", "1.5 or as 1500"]),
        (of("45.123", "9", mark=";", head="time_utc;v"), "v", ["row 2", "45.123 or as 45123"]),
        (of("(5)", "2"), "v", ["row 2 is '(5)'"]),
        (of("2", "1_000"), "v", ["row 3 is '1_000'"]),
        (of("2", "#REF!"), "v", ["row 3 is '#REF!'"]),
        (of("true", "false"), "v", ["true and false", "row 2"]),
        (of("2", "1e400"), "v", ["row 3", "inf"]),
        (of("1", head="time_utc,price_eur_mwh"), "price_eur_mwh", ["EUR", "usd_per_currency"]),
        (of("1", head="time_utc,HOEP CAD/MWh"), "HOEP CAD/MWh", ["CAD", "usd_per_currency"]),
        (of("1,EUR", head="time_utc,price,Currency"), "price", ["EUR", "usd_per_currency"]),
        (of("0.03", head="time_utc,USD/kWh"), "USD/kWh", ["per kWh", "scale = 1000"]),
    ],
)  # fmt: skip
def test_a_value_is_refused_by_row_or_asked_about(
    content: str, column: str, words: list[str], tmp_path: Path
) -> None:
    series = read(tmp_path, content)
    with pytest.raises(SeriesError) as error:
        series.column(column)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_a_currency_other_than_that_of_the_scenario_is_refused(tmp_path: Path) -> None:
    pounds = of("1", head="time_utc,Price (GBP/MWh)")
    series = read(tmp_path, pounds, currency="EUR", usd_per_currency=1.1)
    with pytest.raises(SeriesError, match="another currency, GBP"):
        series.column("Price (GBP/MWh)")


def test_a_row_of_units_is_no_value_but_counts(tmp_path: Path) -> None:
    """As the Nord Pool data portal writes two rows of titles."""
    text = (
        "Delivery Start (CET);Delivery End (CET);SE3\n;;Price (EUR)\n"
        "02.01.2026 00:00:00;02.01.2026 00:15:00;12,5\n"
    )
    with pytest.raises(SeriesError, match="another currency, EUR"):
        read(tmp_path, text).column("SE3")
    series = read(tmp_path, text, currency="EUR", usd_per_currency=1)
    assert series.column("SE3").tolist() == [12.5]
    assert series.row_in_file(0) == 3


def test_lines_of_nothing_count_as_rows_of_the_file(tmp_path: Path) -> None:
    series = read(tmp_path, f"time_utc,v\n{HOUR[0]},1\n\n\n{HOUR[1]},2\n")
    assert [series.row_in_file(i) for i in range(2)] == [2, 5]


def test_rows_that_were_sorted_are_said(tmp_path: Path) -> None:
    series = read(tmp_path, f"time_utc,v\n{HOUR[2]},2\n{HOUR[0]},0\n{HOUR[1]},1\n")
    assert series.notes == ("rows are not in order of time and have been sorted",)
    assert [series.row_in_file(i) for i in range(3)] == [3, 4, 2]


def test_an_interval_that_ends_begins_where_the_one_before_has_ended(tmp_path: Path) -> None:
    """Real-time dispatch runs between the 5 minutes too, with a stamp of their own."""
    ends = [("05:00", 5), ("07:23", 7), ("10:00", 10)]
    text = NYISO + "".join(f'"01/01/2025 00:{when}","WEST",61752,{usd}\n' for when, usd in ends)
    series = read(tmp_path, text)
    assert (series.start_s - series.start_s[0]).tolist() == [0, 300, 443]
    assert series.length_s.tolist() == [300, 143, 157]
    mean = series.mean("LBMP ($/MWHr)", series.start_s[:1], 600)
    assert mean[0] == pytest.approx((5 * 300 + 7 * 143 + 10 * 157) / 600, rel=1e-12)


def zipped(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.csv", text)
    return content.getvalue()


def test_the_one_file_of_an_archive(tmp_path: Path) -> None:
    assert read(tmp_path, zipped(a=of("1", "2")), "s.zip").column("v").tolist() == [1.0, 2.0]
    with pytest.raises(SeriesError, match=r"holds 2 files \(a.csv, b.csv\)"):
        read(tmp_path, zipped(a=of("1"), b=of("2")), "s.zip")
    with pytest.raises(SeriesError, match="cannot be read"):
        read(tmp_path, zipped(a=of("1"))[:40], "s.zip")


def test_a_market_that_went_from_hours_to_quarters(tmp_path: Path) -> None:
    """Hours until the last day of September 2025 in local time, quarters from then on."""
    text = "MTU (CET/CEST),p\n"
    start = np.datetime64("2025-09-30T00:00")
    times = [start + np.timedelta64(h, "h") for h in range(24)]
    times += [start + np.timedelta64(24 * 60 + 15 * q, "m") for q in range(96)]
    text += "".join(f"{t},{i}\n" for i, t in enumerate(times))
    series = read(tmp_path, text, time_column="MTU (CET/CEST)", timezone="Europe/Brussels")
    assert series.length_s.tolist() == [3600] * 24 + [900] * 96
    assert series.gaps(0, 2**40) == []


# where a file says its unit → (content, what the refusal must say)
UNITS: dict[str, tuple[str, str]] = {
    "above the header": ("Prices in EUR/MWh\n" + of("1", "2"), "another currency, EUR"),
    "above it, per kWh": ("Spot, USD per kWh\n\n" + of("1", "2"), "is per kWh: say scale"),
    "in a row below it": (of("1", "2").replace("\n", "\n,EUR/MWh\n", 1), "another currency, EUR"),
    "in a column": (of("1,EUR/MWh", "2,EUR/MWh", head="time_utc,v,Unit"), "another currency, EUR"),
    "in a column, per kWh": (of("1,$/kWh", "2,$/kWh", head="time_utc,v,uom"), "is per kWh"),
    "in a column that changes": (
        of("1,USD", "2,EUR", head="time_utc,v,Currency"),
        "column 'Currency' holds 'USD', 'EUR': choose rows of one",
    ),
}


@pytest.mark.parametrize("what", UNITS)
def test_a_unit_counts_wherever_a_file_says_it(tmp_path: Path, what: str) -> None:
    content, words = UNITS[what]
    with pytest.raises(SeriesError) as refused:
        read(tmp_path, content).column("v")
    assert words in str(refused.value)


def test_a_currency_above_the_header_is_not_that_of_a_load(tmp_path: Path) -> None:
    text = "Prices in EUR/MWh\n" + of("1,20", "2,30", head="time_utc,load_mw,price")
    assert read(tmp_path, text).column("load_mw").tolist() == [1.0, 2.0]
    euros = read(tmp_path, text, currency="EUR", usd_per_currency=2.0)
    assert euros.column("price").tolist() == [40.0, 60.0]


def test_one_row_alone_is_taken_for_a_day_and_said(tmp_path: Path) -> None:
    series = read(tmp_path, of("7"))
    assert series.length_s.tolist() == [86_400]
    assert "taken for a day" in series.notes[0]
    assert read(tmp_path, of("7"), kind="events").notes == ()


def test_a_title_without_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SeriesError, match=r"column 1 has a title of 5,008 letters; at most 1,000"):
        read(tmp_path, of("1", "2", head="time_utc" + "x" * 5000 + ",v"))

"""Recorded hours as grid operators write them: a day, the hour that ends, local clocks."""

from pathlib import Path

import numpy as np
import pytest

from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, SeriesError, read_series

# ERCOT's file of actual loads, cut to a few hours around both changes of the clocks of 2024
HEAD = "OperDay,HourEnding,TOTAL,DSTFlag"
FORWARD = """\
03/09/2024,24:00,40,N
03/10/2024,01:00,41,N
03/10/2024,02:00,42,N
03/10/2024,04:00,44,N
03/10/2024,05:00,45,N
"""
BACK = """\
11/02/2024,24:00,50,N
11/03/2024,01:00,51,N
11/03/2024,02:00,52,N
11/03/2024,02:00,53,Y
11/03/2024,03:00,54,N
11/03/2024,04:00,55,N
"""
ERCOT = {
    "time_column": "OperDay",
    "time_format": "%m/%d/%Y",
    "hour_ending_column": "HourEnding",
    "timezone": "America/Chicago",
}


def read(tmp_path: Path, text: str, **keys: str | float) -> Series:
    file = tmp_path / "load.csv"
    file.write_text(text)
    return read_series(file, SeriesSpec.model_validate({"file": file.name, **keys}))


def unix(*times: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(times, dtype="datetime64[s]").astype(np.int64)


def test_an_hour_that_ends_at_one_began_at_midnight(tmp_path: Path) -> None:
    series = read(
        tmp_path,
        f"{HEAD}\n01/15/2024,01:00,10,N\n01/15/2024,02:00,11,N\n01/15/2024,03:00,12,N\n",
        **ERCOT,
    )
    hours = unix("2024-01-15T06:00", "2024-01-15T07:00", "2024-01-15T08:00")
    assert series.start_s.tolist() == hours.tolist()
    assert series.step_s == 3600
    assert series.sample("TOTAL", hours + 3599).tolist() == [10.0, 11.0, 12.0]


@pytest.mark.parametrize("hours", [("1", "2", "24"), ("01:00", "02:00", "24:00")])
def test_hours_are_numbers_or_times(tmp_path: Path, hours: tuple[str, ...]) -> None:
    rows = "".join(f"2024-01-15,{hour},7\n" for hour in hours)
    keys = {"time_column": "day", "hour_ending_column": "hour", "timezone": "UTC"}
    series = read(tmp_path, f"day,hour,x\n{rows}", **keys)
    assert (
        series.start_s.tolist()
        == unix("2024-01-15T00:00", "2024-01-15T01:00", "2024-01-15T23:00").tolist()
    )


def test_a_day_may_be_a_number(tmp_path: Path) -> None:
    series = read(
        tmp_path,
        "day,hour,x\n20240115,1,7\n20240115,2,8\n",
        time_column="day",
        time_format="%Y%m%d",
        hour_ending_column="hour",
        timezone="UTC",
    )
    assert series.start_s.tolist() == unix("2024-01-15T00:00", "2024-01-15T01:00").tolist()


def test_the_hour_that_clocks_leave_out_is_no_gap(tmp_path: Path) -> None:
    series = read(tmp_path, f"{HEAD}\n{FORWARD}", **ERCOT)
    assert np.diff(series.start_s).tolist() == [3600] * 4
    two_in_the_night = unix("2024-03-10T08:00")  # 02:00 standard time, 03:00 by the clock
    assert series.sample("TOTAL", two_in_the_night).tolist() == [44.0]


@pytest.mark.parametrize("minutes", [60, 30, 15])
@pytest.mark.parametrize("stamps", ["start", "end"])
@pytest.mark.parametrize("written", ["skipped", "skipped as it ends", "all the same"])
def test_a_local_series_whose_clock_skips_an_hour_has_no_gap(
    tmp_path: Path, minutes: int, stamps: str, written: str
) -> None:
    """Three days around 10 March 2024; a row that was no time of that day is left out, and said."""
    if (stamps, written) == ("start", "skipped as it ends"):
        return  # 02:00 as a start does not exist, and what begins at 03:00 is a gap
    rows, values = [], []
    for m in range(3 * 1440 // minutes):
        said = m * minutes + (minutes if stamps == "end" else 0)
        of_day = said - 1440  # minutes of the 10th
        real = said - minutes if stamps == "end" else said
        skipped = 1440 + 120 <= real < 1440 + 180
        gone = {"skipped": 120 <= of_day < 180, "skipped as it ends": 120 < of_day <= 180}
        if gone.get(written, False):
            continue
        rows.append(f"2024-03-{9 + said // 1440:02d} {said % 1440 // 60:02d}:{said % 60:02d},{m}")
        if not skipped or written == "skipped":
            values.append(float(m))
    series = read(
        tmp_path, "time,x\n" + "\n".join(rows) + "\n", time_column="time",
        timezone="America/Chicago", stamps=stamps,
    )  # fmt: skip
    first = unix("2024-03-09T06:00")[0]
    count = 71 * 60 // minutes
    assert series.start_s.tolist() == [first + 60 * minutes * i for i in range(count)]
    assert series.column("x").tolist() == values
    assert bool(series.notes) == (written == "all the same")


def test_the_hour_that_comes_twice_is_two_hours(tmp_path: Path) -> None:
    series = read(tmp_path, f"{HEAD}\n{BACK}", **ERCOT)
    assert np.diff(series.start_s).tolist() == [3600] * 5
    one_and_one_again = unix("2024-11-03T06:30", "2024-11-03T07:30")
    assert series.sample("TOTAL", one_and_one_again).tolist() == [52.0, 53.0]


def test_quarters_of_the_hour_that_comes_twice_come_twice(tmp_path: Path) -> None:
    times = [f"2024-11-03 {hour:02d}:{m:02d}:00" for hour in (0, 1, 1, 2) for m in (0, 15, 30, 45)]
    text = "time,x\n" + "".join(f"{time},{i}\n" for i, time in enumerate(times))
    series = read(tmp_path, text, time_column="time", timezone="America/Chicago")
    first = unix("2024-11-03T05:00")[0]
    assert series.start_s.tolist() == [first + 900 * i for i in range(16)]


def test_the_whole_recorded_year_has_no_gap(data: Path) -> None:
    file = data / "electricity_prices/ercot_actual_load_hourly_2024.csv.gz"
    series = read_series(file, SeriesSpec.model_validate({"file": file.name, **ERCOT}))
    assert series.start_s[0] == unix("2023-12-31T06:00")[0]
    assert set(np.diff(series.start_s).tolist()) == {3600}


# what is wrong → (text, keys, what the message must say)
WRONG: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "another format": (
        f"{HEAD}\n15-Jan-24,01:00,10,N\n",
        ERCOT,
        ["column 'OperDay' is not a time as time_format '%m/%d/%Y'", "'15-Jan-24'"],
    ),
    "day and month exchanged": (
        f"{HEAD}\n01/15/2024,01:00,10,N\n",
        {**ERCOT, "time_format": "%d/%m/%Y"},
        ["column 'OperDay' is not a time as time_format '%d/%m/%Y'", "'01/15/2024'"],
    ),
    "no format": (
        f"{HEAD}\n01/15/2024,01:00,10,N\n",
        {**ERCOT, "time_format": ""},
        ["column 'OperDay' is not a time as ISO 8601", "'01/15/2024'"],
    ),
    "no column of days": (
        f"{HEAD}\n01/15/2024,01:00,10,N\n",
        {**ERCOT, "time_column": "Day"},
        ["no time column 'Day'; it has OperDay, HourEnding, TOTAL, DSTFlag"],
    ),
    "no column of hours": (
        f"{HEAD}\n01/15/2024,01:00,10,N\n",
        {**ERCOT, "hour_ending_column": "Hour"},
        ["no column 'Hour'; it has OperDay, HourEnding, TOTAL, DSTFlag"],
    ),
    "hours that begin": (
        f"{HEAD}\n01/15/2024,00:00,10,N\n01/15/2024,01:00,11,N\n",
        ERCOT,
        ["column 'HourEnding': row 2 is 00:00:00; hours that end are 1 to 24"],
    ),
    "a 25th hour": (
        f"{HEAD}\n01/15/2024,24,10,N\n01/15/2024,25,11,N\n",
        ERCOT,
        ["column 'HourEnding': row 3 is 25; hours that end are 1 to 24"],
    ),
    "an hour that is missing": (
        f"{HEAD}\n01/15/2024,1,10,N\n01/15/2024,,11,N\n",
        ERCOT,
        ["column 'HourEnding': row 3 is None; hours that end are 1 to 24"],
    ),
    "hours that are words": (
        f"{HEAD}\n01/15/2024,first,10,N\n",
        ERCOT,
        ["column 'HourEnding' is not an hour", "first"],
    ),
    "an hour that comes three times": (
        f"{HEAD}\n{BACK.replace('02:00,53,Y', '02:00,53,Y' + chr(10) + '11/03/2024,02:00,53,Y')}",
        ERCOT,
        ["column 'OperDay': row 6 (2024-11-03 07:00 UTC) is not later than the row before"],
    ),
    "a zone that is none": (
        f"{HEAD}\n01/15/2024,01:00,10,N\n",
        {**ERCOT, "timezone": "America/Dallas"},
        ["timezone 'America/Dallas'", "not found in timezone database"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_message(name: str, tmp_path: Path) -> None:
    text, keys, words = WRONG[name]
    with pytest.raises(SeriesError) as error:
        read(tmp_path, text, **keys)
    for word in words:
        assert word in str(error.value), str(error.value)

"""Values of recorded series that a run would take for true: refused by row, instant and bound."""

from pathlib import Path

import pytest

from sim.scenario import ScenarioError, load

HOURS = 24
SCENARIO = """
[horizon]
start_utc = START
days = 1
step_s = 3600
[network]
model = "growth"
[prices.zones.z]
model = "replay"
series = "p"
column = "usd"
[series.p]
file = "p.csv"
"""
BTC = '[btc_price]\nmodel = "replay"\nseries = "b"\ncolumn = "close"\n[series.b]\nfile = "b.csv"\n'
FIXED = '[btc_price]\nmodel = "constant"\nusd_per_btc = 100000\n'


def rows(column: str, value: str, every_s: int = 300, **instead: str) -> str:
    """A day and an hour of a column; `instead` by the row's number within the file."""
    lines = [f"time_utc,{column}"]
    for i in range((HOURS + 1) * 3600 // every_s):
        hour, second = divmod(i * every_s, 3600)
        when = f"2026-03-{1 + hour // 24:02d}T{hour % 24:02d}:{second // 60:02d}:00Z"
        lines.append(f"{when},{instead.get(f'row_{i + 2}', value)}")
    return "\n".join(line for line in lines if not line.endswith(",gone")) + "\n"


def problems(
    at: Path,
    prices: str,
    btc: str | None = None,
    keys: str = "",
    start: str = "2026-03-01T00:00:00Z",
) -> str:
    (at / "sites.csv").write_text(
        "name,country,price_zone,climate,timezone,power_limit_mw\na,US,z,dallas-tx,America/Chicago,5\n",
        encoding="utf-8",
    )
    (at / "asics.csv").write_text("site,model,count\na,Antminer S21,1000\n", encoding="utf-8")
    text = (BTC if btc else FIXED) + SCENARIO.replace("START", start) + keys
    (at / "scenario.toml").write_text(text, encoding="utf-8")
    (at / "p.csv").write_text(prices, encoding="utf-8")
    (at / "b.csv").write_text(btc or "", encoding="utf-8")
    try:
        load(at)
    except ScenarioError as error:
        return str(error)
    return ""


def test_a_sound_record_loads(tmp_path: Path) -> None:
    assert problems(tmp_path, rows("usd", "30"), rows("close", "90000")) == ""


@pytest.mark.parametrize("value", ["1e300", "-20000"])
def test_a_price_beyond_its_bound_is_refused_even_within_a_step(value: str, tmp_path: Path) -> None:
    found = problems(tmp_path, rows("usd", "30", row_9=value))
    assert f"row 9 is {float(value):g} (2026-03-01 00:35 UTC)" in found
    assert "within 10000 USD/MWh (price_bound_usd_per_mwh)" in found


def test_the_bound_can_be_raised(tmp_path: Path) -> None:
    keys = "price_bound_usd_per_mwh = 30000\n"
    assert problems(tmp_path, rows("usd", "30", row_9="20000"), keys=keys) == ""


@pytest.mark.parametrize("value", ["-4", "0", "inf", "true", "NaN", "gone"])
def test_a_bitcoin_price_is_finite_and_above_zero(value: str, tmp_path: Path) -> None:
    found = problems(tmp_path, rows("usd", "30"), rows("close", "90000", row_14=value))
    assert "btc_price.series" in found
    assert "2026-03-01 01:00" in found or "row 14" in found or value == "true"
    assert "column 'close'" in found or "has no value" in found


def test_every_gap_within_the_horizon_is_named(tmp_path: Path) -> None:
    holes = {f"row_{i}": "gone" for i in (20, 21, 40)}
    found = problems(tmp_path, rows("usd", "30", **holes))
    assert "after row 19 (2026-03-01 01:30 UTC to 2026-03-01 01:40 UTC)" in found
    assert "2026-03-01 03:10 UTC to 2026-03-01 03:15 UTC" in found
    assert "max_gap_h" in found


def test_a_missing_value_within_a_step_is_refused_by_row(tmp_path: Path) -> None:
    found = problems(tmp_path, rows("usd", "30", row_30=""))
    assert "no value at 2026-03-01 02:20 UTC (row 30)" in found


def test_the_hour_that_clocks_repeat_is_named_where_it_is_missing(tmp_path: Path) -> None:
    hours = [f"2026-11-0{1 + h // 24} {h % 24:02d}:00,30" for h in range(48)]
    keys = 'time_column = "t"\ntimezone = "America/Chicago"\n'
    text = "\n".join(["t,usd", "2026-10-31 23:00,30", *hours]) + "\n"
    found = problems(tmp_path, text, keys=keys, start="2026-11-01T05:00:00Z")
    assert "after row 4 (2026-11-01 07:00 UTC to 2026-11-01 08:00 UTC" in found
    assert "clocks in America/Chicago change there" in found


def quarters(*days: str) -> str:
    """A file of an operator in Texas, by its own clock."""
    rows = [f"{d},{h},{q},N,{h}" for d in days for h in range(1, 25) for q in range(1, 5)]
    title = "Delivery Date,Delivery Hour,Delivery Interval,Repeated Hour Flag,usd"
    return "\n".join([title, *rows]) + "\n"


def test_a_day_by_the_clock_of_texas_is_not_a_day_in_utc(tmp_path: Path) -> None:
    """In summer it is that from 05:00 to 05:00 UTC, in winter from 06:00 to 06:00."""
    six = "2026-06-01T06:00:00Z"
    found = problems(tmp_path, quarters("06/01/2026"), start=six)
    assert "covers 2026-06-01 05:00 UTC to 2026-06-02 05:00 UTC" in found
    assert "the horizon needs 2026-06-01 06:00 UTC and 1 days from there" in found
    assert problems(tmp_path, quarters("06/01/2026"), start="2026-06-01T05:00:00Z") == ""
    assert problems(tmp_path, quarters("06/01/2026", "06/02/2026"), start=six) == ""
    assert problems(tmp_path, quarters("01/05/2026"), start="2026-01-05T06:00:00Z") == ""

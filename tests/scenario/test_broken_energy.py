"""Broken contracts, assets, programmes, peaks and carbon: one clear message each, exit code 2."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders.broken import Change, both, cell, extra, toml, write
from tests.builders.broken_energy import DAY, SHORT, WEEK, column, refuses, series
from tests.conftest import ROOT
from tests.scenario.conftest import Check

PPA = "site,kind,mw,strike_usd_per_mwh,take_or_pay_fraction,resell,start_utc,end_utc\n"
UNIT = "site,kind,mw,series,column\n"


def contract(row: str) -> Change:
    return write("power_contracts.csv", PPA + row + "\n")


def battery(row: str) -> Change:
    return write("batteries.csv", "site,power_mw,energy_mwh,initial_fraction\n" + row + "\n")


def generator(row: str) -> Change:
    return write("generators.csv", UNIT + row + "\n")


def emergency(text: str) -> Change:
    return extra('[programmes.ers]\nmodel = "emergency"\n' + text)


def reserve(text: str) -> Change:
    return extra('[programmes.rrs]\nmodel = "reserve"\n' + text)


def peaks(text: str, column: str = "x") -> Change:
    return extra(
        f'[coincident_peak]\nseries = "day"\ncolumn = "{column}"\nusd_per_mw_year = 60000\n{text}\n'
    )


# what is broken → (how, what the message must say)
BROKEN: dict[str, tuple[Change, list[str]]] = {
    "contract at no site": (
        contract("alpa,ppa,5,30,,,,"),
        ["power_contracts.csv: row 2 (alpa), site = 'alpa'", "did you mean 'alpha'?"],
    ),
    "battery at no site": (
        battery("zulu,5,10,0.5"),
        ["batteries.csv: row 2 (zulu), site = 'zulu'", "allowed: alpha, bravo"],
    ),
    "generator at no site": (
        generator("brovo,gas,5,,"),
        ["generators.csv: row 2 (brovo), site = 'brovo'", "did you mean 'bravo'?"],
    ),
    "PPA without a strike": (
        contract("alpha,ppa,5,,,,,"),
        ["power_contracts.csv: row 2 (alpha): strike_usd_per_mwh: a ppa contract needs it"],
    ),
    "day-ahead block with a strike": (
        contract("alpha,day-ahead,5,30,,,,"),
        ["row 2 (alpha): strike_usd_per_mwh", "day-ahead contract takes its price from the market"],
    ),
    "take-or-pay of what is resold": (
        contract("alpha,ppa,5,30,0.8,true,,"),
        ["power_contracts.csv: row 2 (alpha): take_or_pay_fraction = 0.8", "resell = false"],
    ),
    "take-or-pay of a day-ahead block": (
        contract("alpha,day-ahead,5,,0.8,false,,"),
        ["take_or_pay_fraction = 0.8: only a ppa"],
    ),
    "take-or-pay in percent": (
        contract("alpha,ppa,5,30,80,false,,"),
        ["row 2 (alpha), take_or_pay_fraction = '80': must be <= 1"],
    ),
    "contract that ends before it starts": (
        contract("alpha,ppa,5,30,,,2026-01-03T00:00:00Z,2026-01-02T00:00:00Z"),
        ["power_contracts.csv: row 2 (alpha): end_utc: must be after start_utc"],
    ),
    "contract without a zone of time": (
        contract("alpha,ppa,5,30,,,2026-01-03T00:00:00,"),
        ["row 2 (alpha), start_utc = '2026-01-03T00:00:00'", "timezone"],
    ),
    "unknown kind of contract": (
        contract("alpha,swap,5,30,,,,"),
        ["row 2 (alpha), kind = 'swap'", "'ppa' or 'day-ahead'"],
    ),
    "block of nothing": (contract("alpha,ppa,0,30,,,,"), ["mw = '0': must be > 0 MW"]),
    "block on a fixed price": (
        both(
            cell("sites", 2, "contract", "fixed"),
            cell("sites", 2, "energy_usd_per_mwh", "50"),
            contract("alpha,ppa,5,30,,,,"),
        ),
        ["row 2 (alpha), site = 'alpha': the site pays a fixed price", "contract = market"],
    ),
    "block on a hosted price": (
        both(
            cell("sites", 3, "contract", "hosted"),
            cell("sites", 3, "energy_usd_per_mwh", "50"),
            contract("bravo,ppa,5,30,,,,"),
        ),
        ["row 2 (bravo), site = 'bravo': the site pays a hosted price", "contract = market"],
    ),
    "day-ahead block where no day-ahead price is known": (
        contract("alpha,day-ahead,5,,,,,"),
        [
            "row 2 (alpha), kind = 'day-ahead': zone 'west' has no day-ahead price",
            "day_ahead_column",
        ],
    ),
    "export above the limit": (
        both(
            lambda folder: column(folder, "sites", "export_mw", "20"),
        ),
        ["sites.csv: row 2 (alpha): export_mw = 20: must be <= power_limit_mw, 12 MW"],
    ),
    "battery fuller than full": (
        battery("alpha,5,10,50"),
        ["batteries.csv: row 2 (alpha), initial_fraction = '50': must be <= 1"],
    ),
    "battery without energy": (
        battery("alpha,5,0,0.5"),
        ["batteries.csv: row 2 (alpha), energy_mwh = '0': must be > 0 MWh"],
    ),
    "unknown kind of generator": (
        generator("alpha,wind,5,,"),
        ["generators.csv: row 2 (alpha), kind = 'wind'", "'gas', 'flare' or 'solar'"],
    ),
    "sun without a place": (
        both(cell("sites", 2, "latitude", ""), generator("alpha,solar,5,,")),
        ["generators.csv: row 2 (alpha), series", "needs latitude and longitude of its site"],
    ),
    "generator with half a series": (
        generator("alpha,solar,5,day,"),
        ["generators.csv: row 2 (alpha): series and column: give both or none"],
    ),
    "generator with an unknown series": (
        both(WEEK, generator("alpha,solar,5,dag,x")),
        ["generators.csv: row 2 (alpha), series = 'dag'", "did you mean 'day'?"],
    ),
    "programme at no site": (
        emergency('sites = ["alpha", "bravoo"]'),
        ["scenario.toml: programmes.ers.sites = 'bravoo'", "did you mean 'bravo'?"],
    ),
    "programme for nobody": (
        emergency("sites = []"),
        ["scenario.toml: programmes.ers.sites = []: must name at least one site, and none twice"],
    ),
    "programme that names a site twice": (
        reserve('usd_per_mw_h = 5\nsites = ["alpha", "alpha"]'),
        ["programmes.rrs.sites = ['alpha', 'alpha']: must name at least one site, and none twice"],
    ),
    "reserve price that is no price": (
        both(series(8, 99_000), reserve('series = "day"\ncolumn = "x"')),
        ["programmes.rrs (series 'day', day.csv)", "row 2 is 99000", "within 10000 USD/MWh"],
    ),
    "unknown model of a programme": (
        extra('[programmes.x]\nmodel = "interruptible"'),
        ["programmes.x.model = 'interruptible'", "allowed: emergency, reserve, economic"],
    ),
    "reserve with two prices": (
        both(WEEK, reserve('series = "day"\ncolumn = "x"\nusd_per_mw_h = 9')),
        ["programmes.rrs: give one of series (with column), usd_per_mw_h and product"],
    ),
    "reserve without a price": (
        reserve("notice_s = 600"),
        ["programmes.rrs: give one of series (with column), usd_per_mw_h and product"],
    ),
    "reserve of a product that no region has": (
        reserve('product = "ercot-rss"'),
        ["programmes.rrs.product = 'ercot-rss'", "did you mean 'ercot-rrs'?"],
    ),
    "peaks of a region that nobody knows": (
        extra('[coincident_peak]\nregion = "ercott"\nusd_per_mw_year = 1.0'),
        ["coincident_peak.region = 'ercott'", "did you mean 'ercot'?"],
    ),
    "peaks of a region and of a series": (
        both(
            WEEK,
            extra(
                '[coincident_peak]\nregion = "ercot"\nseries = "day"\ncolumn = "x"\n'
                "usd_per_mw_year = 1.0"
            ),
        ),
        ["coincident_peak: give one of series (with column) and region"],
    ),
    "a zone of a region that it does not have": (
        both(
            cell("sites", 2, "price_zone", "east"),
            extra('[prices.zones.east]\nmodel = "regional"\nprofile = "ercot-hubb"'),
        ),
        ["prices.zones.east.profile = 'ercot-hubb'", "did you mean 'ercot-hub'?"],
    ),
    "reserve with half a series": (
        both(WEEK, reserve('series = "day"')),
        ["programmes.rrs: series and column: give both or none"],
    ),
    "economic programme without its threshold": (
        extra('[programmes.pjm]\nmodel = "economic"'),
        ["programmes.pjm.threshold_usd_per_mwh: is required [USD/MWh]"],
    ),
    "calls that overlap": (
        emergency(
            "calls = [{ start_utc = 2026-01-02T20:00:00Z, hours = 3 },"
            " { start_utc = 2026-01-02T22:00:00Z, hours = 1 }]"
        ),
        [
            "programmes.ers.calls = 2026-01-02T22:00:00Z",
            "before the call before it has ended",
            "1800 s (notice_s) after 2026-01-02T23:00:00Z or later",
        ],
    ),
    "call announced while another lasts": (
        emergency(
            "calls = [{ start_utc = 2026-01-02T20:00:00Z, hours = 2 },"
            " { start_utc = 2026-01-02T22:10:00Z, hours = 1 }]"
        ),
        [
            "programmes.ers.calls = 2026-01-02T22:10:00Z: its notice would come before",
            "1800 s (notice_s) after 2026-01-02T22:00:00Z or later",
        ],
    ),
    "call of no length": (
        emergency("calls = [{ start_utc = 2026-01-02T20:00:00Z, hours = 0 }]"),
        ["programmes.ers.calls.0.hours = 0: must be > 0 h"],
    ),
    "unknown carbon zone": (
        both(
            extra("[carbon.zones.grid]\nkg_per_mwh = 400\nmodel = 'fixed'"),
            lambda folder: column(folder, "sites", "carbon_zone", "gird"),
        ),
        ["sites.csv: row 2 (alpha), carbon_zone = 'gird'", "did you mean 'grid'?"],
    ),
    "carbon in tonnes of a thousand": (
        extra("[carbon.zones.grid]\nkg_per_mwh = 400000\nmodel = 'fixed'"),
        ["carbon.zones.grid.kg_per_mwh = 400000: must be <= 2000 kgCO2/MWh"],
    ),
    "thirteenth month": (
        both(WEEK, peaks("months = [6, 13]")),
        ["coincident_peak.months = [6, 13]", "numbers from 1 to 12"],
    ),
    "no month": (both(WEEK, peaks("months = []")), ["coincident_peak.months = []", "at least one"]),
    "a month twice": (
        both(WEEK, peaks("months = [6, 6]")),
        ["coincident_peak.months = [6, 6]", "none twice"],
    ),
    "forecast series without its column": (
        both(WEEK, peaks('forecast_series = "day"')),
        ["coincident_peak: forecast_series and forecast_column: give both or none"],
    ),
    "forecast column without its series": (
        both(WEEK, peaks('forecast_column = "x"')),
        ["coincident_peak: forecast_series and forecast_column: give both or none"],
    ),
    "carbon beyond its series": (
        both(DAY, extra('[carbon.zones.g]\nmodel = "replay"\nseries = "day"\ncolumn = "x"')),
        ["scenario.toml: carbon.zones.g", *SHORT],
    ),
    "reserve price beyond its series": (
        both(DAY, reserve('series = "day"\ncolumn = "x"')),
        ["scenario.toml: programmes.rrs", *SHORT],
    ),
    "reserve price of no column": (
        both(WEEK, reserve('series = "day"\ncolumn = "price"')),
        ["scenario.toml: programmes.rrs", "no column 'price'; it has time_utc, x"],
    ),
    "generation beyond its series": (
        both(DAY, generator("alpha,solar,5,day,x")),
        ["generators.csv: row 2 (alpha), series (series 'day', day.csv)", *SHORT[1:]],
    ),
    "system load beyond its series": (
        both(DAY, peaks("")),
        ["scenario.toml: coincident_peak", *SHORT],
    ),
    "forecast beyond its series": (
        both(DAY, peaks('forecast_series = "day"\nforecast_column = "x"')),
        ["scenario.toml: coincident_peak.forecast", *SHORT, "2 problems"],
    ),
    "day-ahead price beyond its series": (
        both(
            DAY,
            extra(
                '[prices.zones.east]\nmodel = "replay"\nseries = "day"\ncolumn = "x"\n'
                'day_ahead_column = "x"'
            ),
        ),
        ["scenario.toml: prices.zones.east.day_ahead_column", *SHORT, "2 problems"],
    ),
    "generation in megawatts": (
        both(series(7, 350.0), generator("alpha,solar,5,day,x")),
        [
            "generators.csv: row 2 (alpha), series (series 'day', day.csv)",
            "column 'x': row 2 is 350",
            "(2026-01-01 00:00 UTC), row 3 is 350",
            "(168 in all); a share of the capacity is 0 to 1",
        ],
    ),
    "a system without load": (
        both(series(7, 0.0), peaks("")),
        ["coincident_peak (series 'day', day.csv): column 'x': row 2 is 0", "load is above 0 MW"],
    ),
    "times for loads": (
        both(WEEK, peaks("", column="time_utc")),
        ["coincident_peak (series 'day', day.csv)", "column 'time_utc' is not a number"],
    ),
    "series with a row without time": (
        both(WEEK, write("day.csv", "time_utc,x\n2026-01-01T00:00:00Z,1\n,2\n")),
        ["series.day (day.csv)", "column 'time_utc': row 3 has no time"],
    ),
    "series that is not even text": (
        both(WEEK, lambda folder: (folder / "day.csv").write_bytes(b"\x93\xff,x\n1,2\n") and None),
        ["series.day (day.csv)", "no time column 'time_utc'"],
    ),
    "column that stands twice": (
        write("batteries.csv", "site,power_mw,power_mw,energy_mwh\nalpha,1,2,3\n"),
        ["batteries.csv: column 'power_mw': stands there more than once"],
    ),
    "programme without a model": (
        extra("[programmes.ers]\nnotice_s = 600"),
        ["programmes.ers.model: is required; allowed: emergency, reserve, economic"],
    ),
    "one site where a list is wanted": (
        emergency('sites = "alpha"'),
        ["programmes.ers.sites = 'alpha': must be a list"],
    ),
    "number where a table is wanted": (
        extra("[programmes]\ners = 30"),
        ["programmes.ers = 30: must be a table"],
    ),
    "call without a zone of time": (
        emergency("calls = [{ start_utc = 2026-01-02T20:00:00, hours = 3 }]"),
        ["programmes.ers.calls.0.start_utc = 2026-01-02T20:00:00: must have a timezone"],
    ),
    "series with a hole between the hours": (
        both(
            DAY,
            toml("days = 7", "days = 1"),
            write(
                "day.csv",
                "time_utc,x\n"
                + "".join(
                    f"2026-01-01T{m // 60:02d}:{m % 60:02d}:00Z,{'' if m == 315 else 1}\n"
                    for m in range(0, 1440, 15)
                ),
            ),
            extra('[carbon.zones.g]\nmodel = "replay"\nseries = "day"\ncolumn = "x"'),
        ),
        ["carbon.zones.g", "column 'x' has no value at 2026-01-01 05:15 UTC"],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_message(name: str, folder: Path, check: Check) -> None:
    """Exit code 2; what is said names file, row or key, value and rule."""
    change, words = BROKEN[name]
    change(folder)
    refuses(check, words)


def test_a_process_of_its_own_ends_with_two(folder: Path) -> None:
    BROKEN["unknown carbon zone"][0](folder)
    command = [sys.executable, "-c", "from sim.cli import main; main()", "check", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "carbon_zone = 'gird'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_broken_here_is_otherwise_allowed(folder: Path, check: Check) -> None:
    for change in (
        contract("alpha,ppa,5,30,,,,"),
        battery("alpha,5,10,0.5"),
        generator("alpha,solar,5,,"),
        emergency("calls = [{ start_utc = 2026-01-02T20:00:00Z, hours = 3 }]"),
        reserve("usd_per_mw_h = 9"),
    ):
        change(folder)
    code, said = check()
    assert code == 0, said

"""What spreadsheets leave behind is said: totals, prices per kWh, marks of no value, odd names."""

from pathlib import Path

import pytest

from sim.scenario import Scenario, ScenarioError, load
from sim.scenario.countries import code_meant
from sim.scenario.filling import filled
from sim.scenario.problems import Problem
from sim.scenario.series.importing import understood

SITES = """name,country,climate,price_zone,utc_offset_h,power_limit_mw
alpha,US,midland-tx,z,-6,5
bravo,US,midland-tx,z,-6,5
"""
ASICS = "site,model,count\nalpha,Antminer S21,900\nbravo,Antminer S21,900\n"
TOML = """
[horizon]
start_utc = 2026-01-01T00:00:00Z
days = 1
[prices.zones.z]
model = "replay"
series = "p"
column = "usd"
[series.p]
file = "p.csv"
"""


def prices(**instead: str) -> str:
    """Two days of hours at 40 USD/MWh; `instead` by the row in the file."""
    rows = [f"2026-01-{1 + i // 24:02d}T{i % 24:02d}:00:00Z" for i in range(48)]
    cells = [f"{t},{instead.get(f'row_{i}', '40')}" for i, t in enumerate(rows, 2)]
    return "\n".join(["time_utc,usd", *cells]) + "\n"


def scenario(folder: Path, keys: str = "", **files: str) -> Scenario:
    given = {"scenario.toml": TOML + keys, "sites.csv": SITES, "asics.csv": ASICS,
             "p.csv": prices()} | {f"{name}.csv": text for name, text in files.items()}  # fmt: skip
    for name, text in given.items():
        (folder / name).write_text(text, encoding="utf-8")
    return load(folder)


def warned(folder: Path, **files: str) -> list[str]:
    """Warnings, but for that real prices stand beside synthetic weather."""
    said = [str(w) for w in scenario(folder, **files).warnings]
    return [w for w in said if "synthetic weather" not in w]


def test_a_plain_fleet_warns_of_nothing(tmp_path: Path) -> None:
    assert warned(tmp_path) == []


def test_a_total_below_the_sites_is_said(tmp_path: Path) -> None:
    said = warned(tmp_path, sites=SITES + "Total:,US,midland-tx,z,-6,10\n")
    assert any(w.startswith("sites.csv: row 4 (Total:), name = 'Total:': looks like") for w in said)
    renamed = SITES.replace("alpha", "Total"), ASICS.replace("alpha", "Total")
    assert warned(tmp_path, sites=renamed[0], asics=renamed[1]) == []  # above which are no rows


def test_a_strike_per_kwh_is_said(tmp_path: Path) -> None:
    head = "site,kind,mw,strike_usd_per_mwh\n"
    (said,) = warned(tmp_path, power_contracts=head + "alpha,ppa,2,0.035\n")
    assert said == (
        "power_contracts.csv: row 2 (alpha), strike_usd_per_mwh = 0.035: "
        "USD/MWh is meant: 0.035 USD/kWh would be 35"
    )
    assert warned(tmp_path, power_contracts=head + "alpha,ppa,2,0.2\n") == []
    assert warned(tmp_path, power_contracts=head + "alpha,ppa,2,0\n") == []


def test_energy_in_kwh_of_a_battery_is_said(tmp_path: Path) -> None:
    head = "site,power_mw,energy_mwh\n"
    (said,) = warned(tmp_path, batteries=head + "alpha,2,8000\n")
    assert said.endswith("energy_mwh = 8000: at 2 MW it lasts 4,000 h: write MWh, not kWh")
    assert warned(tmp_path, batteries=head + "alpha,2,200\n") == []


def test_an_offset_of_the_other_side_of_the_world_is_said(tmp_path: Path) -> None:
    (said,) = warned(
        tmp_path, sites=SITES.replace("bravo,US,midland-tx,z,-6", "bravo,US,midland-tx,z,6")
    )
    assert said.startswith("sites.csv: row 3 (bravo), utc_offset_h = 6.0: is no time of United")
    places = SITES.replace("bravo,US,midland-tx,z,-6", "bravo,CN,midland-tx,z,8")
    assert warned(tmp_path, sites=places) == []


@pytest.mark.parametrize("mark", ["-9999", "-999", "9999"])
def test_a_mark_of_no_value_is_said(tmp_path: Path, mark: str) -> None:
    said = [w for w in warned(tmp_path, p=prices(row_7=mark, row_9=mark)) if "mark" in w]
    assert said == [
        f"scenario.toml: prices.zones.z.column = 'usd': row 7 (2026-01-01 05:00 UTC) is {mark}, "
        "2 in all: so do files mark a missing value; empty the cells if they are, and say "
        "max_gap_h"
    ]


def test_a_mark_of_no_value_is_seen_before_it_is_scaled(tmp_path: Path) -> None:
    file = prices(row_7="-999").replace(",40", ",4")
    said = [str(w) for w in scenario(tmp_path, "scale = 10\n", p=file).warnings]
    assert any("row 7 (2026-01-01 05:00 UTC) is -999, 1 in all" in w for w in said)
    assert not any("mark" in w for w in warned(tmp_path, p=prices(row_7="-998.5")))


def test_columns_that_were_not_taken_are_named(tmp_path: Path) -> None:
    text = prices().replace("usd\n", "north,south,note\n").replace(",40", ",40,41,x")
    (tmp_path / "two.csv").write_text(text, encoding="utf-8")
    _, column, about = understood(tmp_path / "two.csv", None, None, {})
    assert (column, about["other_columns"]) == ("north", ["south"])
    _, column, about = understood(tmp_path / "two.csv", None, "south", {})
    assert (column, about["other_columns"]) == ("south", [])


def test_a_rate_without_a_currency_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"usd_per_currency = 1\.1: the currency is USD"):
        scenario(tmp_path, "usd_per_currency = 1.1\n")
    scenario(tmp_path, "usd_per_currency = 1.0\n")


def test_a_zone_that_no_row_needs_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="timezone 'US/Texas' is not found"):
        scenario(tmp_path, 'timezone = "US/Texas"\n')
    scenario(tmp_path, 'timezone = "America/Chicago"\n')


def test_a_name_of_two_letters_of_one_look_is_one_name(tmp_path: Path) -> None:
    """é is one sign or two, by the keyboard."""
    sites, asics = SITES.replace("bravo", "Montr\u00e9al"), ASICS.replace("bravo", "Montre\u0301al")
    assert [a.site for a in scenario(tmp_path, sites=sites, asics=asics).asics][1] == "Montréal"


@pytest.mark.parametrize(
    ("written", "code"),
    [("UK", "GB"), ("usa", "US"), ("no", "NO"), ("Canada", "CA"), ("El", "GR"), ("Atlantis", "")],
)
def test_countries_as_people_write_them(written: str, code: str) -> None:
    assert code_meant(written) == code


def test_uk_is_britain(tmp_path: Path) -> None:
    (said,) = warned(tmp_path, sites=SITES.replace("bravo,US", "bravo,UK"))
    assert said.endswith("did you mean 'GB'?")
    row = {"name": "a", "country": "UK", "power_limit_mw": "5"}
    assert filled({"sites": [row]}).sheets["sites"][0]["country"] == "GB"


def test_names_in_messages_are_short_and_on_one_line() -> None:
    long = str(Problem("sites.csv", f"row 3 ({'b' * 40_000}), name", "", "is too long"))
    assert long == f"sites.csv: row 3 ({'b' * 97}…), name: is too long"
    assert str(Problem("a.csv", "row 2 (al\npha\x1b[31m)", "", "no")) == (
        "a.csv: row 2 (al\\npha\\x1b[31m): no"
    )


@pytest.mark.parametrize(
    ("column", "cell", "words"),
    [
        ("start_utc", "01/02/2026", "must be an instant, as 2026-01-01T00:00:00Z"),
        ("start_utc", "2026-02-30", "must be an instant, as 2026-01-01T00:00:00Z"),
        ("resell", "ja", "must be true or false"),
    ],
)
def test_a_refusal_says_what_is_allowed(tmp_path: Path, column: str, cell: str, words: str) -> None:
    sheet = f"site,kind,mw,strike_usd_per_mwh,{column}\nalpha,ppa,2,35,{cell}\n"
    with pytest.raises(ScenarioError) as refused:
        scenario(tmp_path, power_contracts=sheet)
    assert f"row 2 (alpha), {column} = '{cell}': {words}" in str(refused.value)

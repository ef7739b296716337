"""Tables of a scenario, the series that they name, and rates of return."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from experiments.strangers.trial import Kind, Trial
from sim.finance.valuation import irr_per_year
from sim.scenario import load

Draw = np.random.Generator

TOML: Final = """
[horizon]
start_utc = 2026-03-01T00:00:00Z
days = 1
step_s = 3600
[prices.zones.zone]
model = "fixed"
usd_per_mwh = 40
"""
SITE: Final = "name,climate,price_zone,utc_offset_h,power_limit_mw\nalpha,midland-tx,zone,-6,10\n"
GROUP: Final = "site,model,count\nalpha,Antminer S21,%s\n"


def _scenario(
    toml: str, says: Sequence[str] = (), right: object = None, count: object = 900, **files: str
) -> Trial:
    """What comes out is days, and the number of machines."""
    named = {"scenario.toml": toml, "sites.csv": SITE, "asics.csv": GROUP % count}
    named |= {f"{name}.csv": text for name, text in files.items()}

    def read(folder: Path) -> object:
        scenario = load(folder)
        return [scenario.horizon.days, scenario.asics[0].count]

    return Trial(named, read, right, tuple(says))


def networks(draw: Draw, number: int) -> Trial:
    """Bits that are no target, and fleets that are larger than their network."""
    nonce = int(draw.integers(1, 0x7FFF))
    bits, words = (
        ("0x00000000", ["network.bits"]), (f"0x0492{nonce:04x}", ["network.bits"]),
        ("0x", ["network.bits"]), (f"0x207fffff{nonce}", ["network.bits"]),
    )[number % 4]  # fmt: skip
    if number % 5 == 4:
        toml = (
            f'{TOML}[network]\nmodel = "growth"\nbits = "0x1d00ffff"\nhashrate_ehs = {nonce}e-12\n'
        )
        return _scenario(toml, ["network.hashrate_ehs", "the fleet alone has"])
    return _scenario(f'{TOML}[network]\nmodel = "growth"\nbits = "{bits}"\n', words)


def horizons(draw: Draw, number: int) -> Trial:
    change, words = (
        ("2026-03-01T00:00:00Z|0001-01-01T00:00:00Z", ["horizon.start_utc", "1970 to 2200"]),
        ("2026-03-01T00:00:00Z|9999-12-31T00:00:00Z", ["horizon.start_utc", "1970 to 2200"]),
        ("2026-03-01T00:00:00Z|46024", ["horizon.start_utc = 46024", "an instant"]),
        ("days = 1|days = 1e-9", ["horizon.days"]),
        ("days = 1|days = true", ["horizon.days = 'true'"]),
        ("step_s = 3600|step_s = 0", ["horizon.step_s = 0"]),
    )[number % 6]  # fmt: skip
    return _scenario(TOML.replace(*change.split("|")), words)


def truths_within(draw: Draw, number: int) -> Trial:
    """True is no number, also within lists and tables."""
    table, where = (
        ("[coincident_peak]\nmonths = [6, true]\n", "coincident_peak.months.1 = 'true'"),
        ("[projects.p.substations_mw]\nx = true\n", "projects.p.substations_mw.x = 'true'"),
        ("[faults.asic]\nmtbf_h = false\n", "faults.asic.mtbf_h = 'false'"),
    )[number % 3]  # fmt: skip
    return _scenario(TOML + table, [where, "number"])


def sizes(draw: Draw, number: int) -> Trial:
    """What would fill the memory or never end is refused first."""
    count: object = 900
    toml, words = TOML, list[str]()
    match number % 6:
        case 0:
            count, words = 10**18, ["asics.csv: row 2 (alpha), count", "10"]
        case 1:
            toml, words = TOML + f"x = {'9' * 5000}\n", ["5000 digits"]
        case 2:
            toml, words = TOML + f"x = {'[' * 100_000}\n", ["nested too deeply"]
        case 3:
            toml, words = TOML + "a" + ".a" * 5000 + " = 1\n", ["at most 32 parts"]
        case 4:
            toml, words = f'name = "{"x" * 5000}"\n{TOML}', ["name"]
        case _:
            count, toml = 9_000_000, TOML + "[faults.asic]\nmtbf_h = 1\n"
            words = ["faults.asic.mtbf_h", "longer mtbf_h"]
    return _scenario(toml, words, count=count)


def toml_dressed(draw: Draw, number: int) -> Trial:
    """A byte order mark and other line ends change nothing; other encodings are refused."""
    count = int(draw.integers(10, 900))
    trial = _scenario(TOML, right=[1.0, count], count=count)
    end = ("\n", "\r\n")[number % 2]
    coding = ("utf-8-sig", "utf-8", "utf-16")[number % 3]
    content = TOML.replace("\n", end).encode(coding)
    says = ("scenario.toml: is not TOML",) if coding == "utf-16" else ()
    return trial._replace(files={**trial.files, "scenario.toml": content}, says=says)


def names(draw: Draw, number: int) -> Trial:
    name = ("../x", "CON", "con.txt", "a/b", "x" * 400, "..")[number % 6]
    return _scenario(f'name = "{name}"\n{TOML}', ["scenario.toml: name"])


def recorded_money(draw: Draw, number: int) -> Trial:
    """Prices of a bitcoin that are not above zero, prices of energy beyond the bound."""
    value = -float(draw.integers(1, 90_000))
    cell = (str(value), "0", "inf", "1e300", "-1e300", "20000")[number % 6]
    energy = number % 6 > 2
    rows = "".join(f"2026-03-01T{h:02d}:00:00Z,{cell if h == 7 else 90}\n" for h in range(24))
    series = '[series.p]\nfile = "p.csv"\n'
    if energy:
        toml = TOML.replace('"fixed"\nusd_per_mwh = 40', '"replay"\nseries = "p"\ncolumn = "v"')
        return _scenario(toml + series, ["row 9", "price_bound"], p="time_utc,v\n" + rows)
    toml = f'{TOML}[btc_price]\nmodel = "replay"\nseries = "p"\ncolumn = "v"\n{series}'
    return _scenario(toml, ["row 9"], p="time_utc,v\n" + rows)


def missing_hours(draw: Draw, number: int) -> Trial:
    """A gap in the horizon is refused, named as the change of the clock if it is one."""
    gone = int(draw.integers(3, 20))
    hours = [h for h in range(24) if h != gone]
    toml = TOML.replace('"fixed"\nusd_per_mwh = 40', '"replay"\nseries = "p"\ncolumn = "v"')
    rows = "".join(f"2026-03-01T{h:02d}:00:00Z,{h}\n" for h in hours)
    gap = f"2026-03-01 {gone:02d}:00 UTC"
    says = [] if number % 3 == 2 else [gap, "max_gap_h"]
    filled = "max_gap_h = 1\n" if number % 3 == 2 else ""
    series = f'[series.p]\nfile = "p.csv"\n{filled}'
    return _scenario(toml + series, says, [1.0, 900], p="time_utc,v\n" + rows)


def returns(draw: Draw, number: int) -> Trial:
    """The rate of return of late flows, and of a double root."""
    rate = round(float(draw.uniform(0.02, 0.4)), 3)
    growth = 1.0 + rate
    if number % 2:
        cash, days = [-1000.0, 2000.0 * growth, -1000.0 * growth**2], [0.0, 365.0, 730.0]
    else:
        cash = [0.0] * 470 + [-100.0, 100.0 * growth]
        days = [*(30.4375 * i for i in range(470)), 15_000.0, 15_365.0]

    def read(folder: Path) -> object:
        found = irr_per_year(np.array(cash), np.array(days))
        return found is not None and round(found, 5)

    return Trial({}, read, round(rate, 5))


KINDS: Final[dict[str, Kind]] = {
    "scenarios: networks": networks,
    "scenarios: horizons": horizons,
    "scenarios: true for a number": truths_within,
    "scenarios: sizes": sizes,
    "scenarios: a byte order mark": toml_dressed,
    "scenarios: names that no folder has": names,
    "scenarios: prices that cannot be": recorded_money,
    "scenarios: missing hours": missing_hours,
    "money: rates of return": returns,
}

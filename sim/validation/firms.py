"""Two firms as shipped scenarios: Cango's bitcoin month by month, and the order of NFN8's end."""

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from sim.results.result import RunResult
from sim.runner import run
from sim.scenario import Scenario, load
from sim.validation.check import Check

NEEDS_DATA: Final = [
    "Cango's production and holdings of 2026 (configs/cango-pivot)",
    "the order of events at NFN8 (configs/nfn8-stress)",
]
MONTHLY: Final = "miner_reports/miner_monthly.csv"
QUARTERLY: Final = "miner_reports/miner_quarterly.csv"
GIVEN_HASHRATE: Final = 0.015
BY_POLICY: Final = 0.05
ROUNDING_BTC: Final = 8.0  # 1.5 % of January's production
PATH_DAYS: Final = 90  # January to March
HELD: Final = {  # BTC at month ends that the file of monthly reports does not have
    "2026-02": (3313.4, "company's update of 2026-02, configs/cango-pivot"),
    "2026-03": (1025.69, QUARTERLY),
}
HALVING_HEIGHT: Final = 840_000
# Prices of power never change there, so a day is one decision; single failures do not matter.
COARSE: Final[dict[str, Any]] = {"horizon.step_s": 86_400, "faults.enabled": False}


class Month(NamedTuple):
    """What a run gives for a calendar month."""

    produced_btc: float  # net of the pool's fee, as companies report it
    held_btc: float  # at its end
    operating_ehs: float  # mean


def checks(data: Path | None) -> Iterator[Check]:
    """Both firms; the scenarios say what is published and what is assumed."""
    if data is None:
        return
    yield from _cango(data)
    yield from _nfn8(data)


def cango(data: Path, days: float = PATH_DAYS) -> Scenario:
    """The first days of Cango's year."""
    return load("cango-pivot", {"data_dir": str(data), "horizon.days": days})


def nfn8(data: Path, changes: dict[str, Any] | None = None) -> Scenario:
    """NFN8's three years in steps of a day, with changes."""
    return load("nfn8-stress", {"data_dir": str(data), **COARSE, **(changes or {})})


def months(result: RunResult) -> dict[str, Month]:
    """Calendar months of a run that records days, from the fleet's table."""
    net = 1.0 - result.scenario.pool.fee_fraction
    days: dict[str, list[dict[str, float]]] = {}
    for row in result.table("fleet").to_pylist():
        day = result.scenario.horizon.start_utc + timedelta(seconds=row["t_s"])
        days.setdefault(f"{day:%Y-%m}", []).append(row)
    return {
        month: Month(
            net * sum(r["btc"] for r in rows),
            rows[-1]["btc_held"],
            sum(r["operating_ehs"] for r in rows) / len(rows),
        )
        for month, rows in days.items()
    }


def first_events(result: RunResult) -> dict[str, datetime]:
    """When each kind of event happened first; the halving is read from the chain."""
    start = result.scenario.horizon.start_utc
    found: dict[str, datetime] = {}
    for row in result.table("events").to_pylist():
        found.setdefault(row["event"], start + timedelta(seconds=row["t_s"]))
    for row in result.table("fleet").to_pylist():
        if row["height"] >= HALVING_HEIGHT:
            found["halving"] = start + timedelta(seconds=row["t_s"])
            break
    return found


def _cango(data: Path) -> Iterator[Check]:
    simulated = months(run(cango(data)))
    january = _row(data / MONTHLY, "month", "2026-01")
    yield _produced(january, simulated["2026-01"])
    quarter = float(_row(data / QUARTERLY, "quarter", "2026Q1")["btc_produced"])
    total = sum(m.produced_btc for m in simulated.values())
    yield Check(
        "Cango 2026, production of the quarter",
        "2026Q1, hashrate after January as the policy chooses",
        quarter,
        round(total, 1),
        "BTC",
        f"{BY_POLICY:.0%}",
        abs(total / quarter - 1.0) <= BY_POLICY,
        QUARTERLY,
    )
    held = {"2026-01": (float(january["btc_held"]), MONTHLY), **HELD}
    mined = 0.0
    for name, (published, source) in held.items():
        mined += simulated[name].produced_btc if name > "2026-01" else 0.0
        yield _holding(name, published, source, simulated[name].held_btc, mined)


def _produced(published: dict[str, str], simulated: Month) -> Check:
    """Given the hashrate: the storm's depth is set so that its mean is the published one."""
    btc = float(published["btc_produced"])
    return Check(
        "Cango 2026, production",
        f"2026-01 at {simulated.operating_ehs:.2f} EH/s "
        f"({float(published['avg_operating_ehs']):.2f} published)",
        btc,
        round(simulated.produced_btc, 1),
        "BTC",
        f"{GIVEN_HASHRATE:.1%}; the mean hashrate is set, production follows",
        abs(simulated.produced_btc / btc - 1.0) <= GIVEN_HASHRATE,
        published["source"],
    )


def _holding(month: str, published: float, source: str, held_btc: float, mined_btc: float) -> Check:
    """Announced sales are in the scenario; others can only have been of what was mined since.

    From February on the company sold bitcoin for its operating expenses, amounts not published.
    """
    gap = held_btc - published
    return Check(
        "Cango 2026, bitcoin held",
        f"end of {month}",
        published,
        round(held_btc, 1),
        "BTC",
        f"{ROUNDING_BTC:g} BTC, and at most the {mined_btc:.0f} BTC mined since January; other "
        f"sales of {gap:.0f} BTC explain the rest",
        -ROUNDING_BTC <= gap <= mined_btc + ROUNDING_BTC,
        source,
    )


def _row(file: Path, column: str, value: str) -> dict[str, str]:
    """Cango's row of a month or a quarter."""
    with file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if row["company"] == "Cango" and row[column] == value:
                return row
    raise ValueError(f"{file}: no row of Cango with {column} {value!r}")


def _nfn8(data: Path) -> Iterator[Check]:
    events = first_events(run(nfn8(data)))
    order = ("termination", "halving", "fire", "insolvency")
    known = [name for name in order if name in events]
    simulated = sorted(known, key=lambda name: events[name])
    yield Check(
        "NFN8, order of events",
        "dated from outside but the last; cash at the start is set so that it lasts until the fire",
        " < ".join(order),
        " < ".join(simulated),
        "",
        "the same order",
        tuple(simulated) == order,
        "theminermag.com, 2026-02-09",
    )

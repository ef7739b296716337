"""Two shipped scenarios: Cango's monthly bitcoin, and the order of events in NFN8's failure."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from sim.finance.chart import Account
from sim.results.result import RunResult
from sim.runner import run
from sim.scenario import Scenario, load
from sim.validation.check import Check, Found, guarded
from sim.validation.recordings import Recorded, recorded

NEEDS_DATA: Final = [
    "Cango's production and holdings of 2026 (configs/cango-pivot)",
    "the order of events at NFN8 (configs/nfn8-stress)",
]
MONTHLY: Final = "miner_reports/miner_monthly.csv"
QUARTERLY: Final = "miner_reports/miner_quarterly.csv"
SET_HASHRATE: Final = 0.005  # EH/s, given the storm's depth
GIVEN_HASHRATE: Final = 0.015
BY_POLICY: Final = 0.05
ROUNDING_BTC: Final = 8.0  # 1.5 % of January's production
PATH_DAYS: Final = 90  # January to March
HELD: Final = {  # BTC at month ends missing from the file of monthly reports
    "2026-02": (3313.4, "company's update of 2026-02, configs/cango-pivot"),
    "2026-03": (1025.69, QUARTERLY),
}
FILED_UTC: Final = datetime(2026, 2, 2, tzinfo=UTC)  # chapter 11
FILED_WITHIN_DAYS: Final = 14.0
HALVING_HEIGHT: Final = 840_000
# Power prices are constant there, so one decision a day is enough; single failures do not matter.
COARSE: Final[dict[str, Any]] = {"horizon.step_s": 86_400, "faults.enabled": False}


class Month(NamedTuple):
    """A run's figures for a calendar month."""

    produced_btc: float  # net of the pool's fee, as companies report it
    held_btc: float  # at its end
    operating_ehs: float  # mean


def checks(data: Path | None) -> Iterator[Found]:
    """Checks of both firms; the scenarios say what is published and what is assumed."""
    if data is None:
        return
    yield from guarded("Cango 2026 (configs/cango-pivot)", partial(_cango, data))
    yield from guarded("NFN8 (configs/nfn8-stress)", partial(_nfn8, data))


def cango(data: Path, days: float = PATH_DAYS) -> Scenario:
    """The first days of Cango's year."""
    return load("cango-pivot", {"data_dir": str(data), "horizon.days": days})


def nfn8(data: Path, changes: dict[str, Any] | None = None) -> Scenario:
    """NFN8's three years in daily steps, with changes."""
    return load("nfn8-stress", {"data_dir": str(data), **COARSE, **(changes or {})})


def months(result: RunResult) -> dict[str, Month]:
    """Calendar months of a run with daily records, from the fleet's table."""
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
    """First time of each kind of event; the halving is read from the chain."""
    start = result.scenario.horizon.start_utc
    found: dict[str, datetime] = {}
    for row in result.table("events").to_pylist():
        found.setdefault(row["event"], start + timedelta(seconds=row["t_s"]))
    for row in result.table("fleet").to_pylist():
        if row["height"] >= HALVING_HEIGHT:
            found["halving"] = start + timedelta(seconds=row["t_s"])
            break
    return found


def _cango(data: Path) -> Iterator[Found]:
    result = run(cango(data))
    simulated = months(result)
    yield from guarded("Cango 2026-01", partial(_january, data, simulated["2026-01"]))
    yield from guarded("Cango 2026Q1", partial(_quarter, data, simulated))
    yield from guarded("Cango's holdings", partial(_holdings, data, result))


def _january(data: Path, simulated: Month) -> Iterator[Check]:
    """January's production. Hashrate is given: the storm's depth is set to the published mean."""
    row = _row(data, MONTHLY, "month", "2026-01")
    btc = row.positive("btc_produced")
    published_ehs = row.positive("avg_operating_ehs")
    for item, expected, got, unit, within in (
        ("2026-01, operating", published_ehs, simulated.operating_ehs, "EH/s", SET_HASHRATE),
        ("2026-01", btc, simulated.produced_btc, "BTC", GIVEN_HASHRATE),
    ):
        yield Check(
            "Cango 2026, production",
            item,
            expected,
            round(got, 2),
            unit,
            f"{within:.1%}; the mean hashrate is set, production follows",
            abs(got / expected - 1.0) <= within,
            row.text("source"),
        )


def _quarter(data: Path, simulated: dict[str, Month]) -> Iterator[Check]:
    quarter = _row(data, QUARTERLY, "quarter", "2026Q1").positive("btc_produced")
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


def _holdings(data: Path, result: RunResult) -> Iterator[Check]:
    """Bitcoin at month ends, with unannounced sales inferred from published figures.

    Announced sales are in the scenario. From February on the company sold bitcoin for its operating
    expenses and published no amounts. They follow from its own figures: opening holdings plus
    production, less announced sales, less closing holdings. Production is spread evenly over the
    days of a quarter.
    """
    january = _row(data, MONTHLY, "month", "2026-01")
    quarter_btc = _row(data, QUARTERLY, "quarter", "2026Q1").positive("btc_produced")
    january_btc = january.positive("btc_produced")
    rest_btc = quarter_btc - january_btc
    produced = {
        "2026-01": january_btc,
        "2026-02": january_btc + rest_btc * 28 / 59,
        "2026-03": quarter_btc,
    }
    held = {"2026-01": (january.positive("btc_held"), MONTHLY), **HELD}
    ends = months(result)
    announced_btc = announced(result.scenario)
    for name, (published, source) in held.items():
        other = result.scenario.treasury.opening_btc + produced[name]
        other -= announced_btc[name] + published
        own = _unannounced(result, name)
        got = ends[name].held_btc + own - other
        within = ROUNDING_BTC + BY_POLICY * produced[name]
        yield Check(
            "Cango 2026, bitcoin held",
            f"end of {name}, run {ends[name].held_btc:,.1f}, other sales made",
            published,
            round(got, 1),
            "BTC",
            f"± {within:.0f} BTC; {other:.1f} BTC sold beside what was announced, by the "
            f"published figures; the run sold {own:.1f} of them",
            abs(got - published) <= within,
            source,
        )


def announced(scenario: Scenario) -> dict[str, float]:
    """Cumulative planned sales at the end of each month, from the scenario's dates [BTC]."""
    found = {}
    for name in ("2026-01", "2026-02", "2026-03"):
        year, month = (int(part) for part in name.split("-"))
        end = datetime(year, month + 1, 1, tzinfo=UTC)
        found[name] = sum(
            (sale.btc or 0.0) * min(max((end - sale.start_utc).days / sale.days, 0.0), 1.0)
            for sale in scenario.treasury.sales
        )
    return found


def _unannounced(result: RunResult, month: str) -> float:
    """Cumulative sales other than planned ones at a month's end, from the run's ledger [BTC]."""
    start = result.scenario.horizon.start_utc
    year, number = (int(part) for part in month.split("-"))
    end_s = (datetime(year, number + 1, 1, tzinfo=UTC) - start).total_seconds()
    ledger = result.table("ledger").to_pylist()
    return float(
        sum(
            row["amount"]
            for row in ledger
            if row["account"] == Account.EXCHANGE
            and row["commodity"] == "BTC"
            and row["memo"] != "planned sale"
            and row["t_s"] <= end_s
        )
    )


def _row(data: Path, file: str, column: str, value: str) -> Recorded:
    """Cango's row for a month or a quarter."""
    for row in recorded(data, file, "company", column, "btc_produced"):
        if row.text("company") == "Cango" and row.text(column) == value:
            return row
    raise ValueError(f"{file}: no row of Cango with {column} {value!r}")


def _nfn8(data: Path) -> Iterator[Found]:
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
    if "insolvency" not in events:
        return
    late_days = (events["insolvency"] - FILED_UTC) / timedelta(days=1)
    yield Check(
        "NFN8, day without money",
        "after the filing of 2026-02-02; cash at the start is set so",
        0.0,
        round(late_days, 1),
        "d",
        f"± {FILED_WITHIN_DAYS:g} d; half a million USD more or no fire give a month",
        abs(late_days) <= FILED_WITHIN_DAYS,
        "theminermag.com, 2026-02-09",
    )

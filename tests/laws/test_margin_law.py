"""Law: the gross margin of the KPIs is the sum of the lines above it in the statements."""

from collections.abc import Callable
from typing import Any

import pytest

import sim
from sim.finance.chart import SUBTOTALS
from sim.finance.statements import INCOME_LINES
from sim.results.result import RunResult
from sim.scenario import Scenario

Build = Callable[..., Scenario]
LINES = INCOME_LINES[: INCOME_LINES.index(SUBTOTALS["gross margin"]) + 1]
HOST: dict[str, Any] = {
    "sites": ["alpha"],
    "usd_per_machine_month": 40.0,
    "profit_share": 0.3,
    "minimum_uptime": 0.99,
    "credit_usd_per_mwh": 50.0,
}
SITES = [
    {"name": "alpha", "contract": "hosted", "energy_usd_per_mwh": 50},
    {"name": "bravo", "climate": "massena-ny"},
]


def of_statements(result: RunResult) -> dict[str, float]:
    """Income of the run by line [USD]; expenses stand below zero."""
    rows = [r for r in result.table("statements").to_pylist() if r["statement"] == "income"]
    found: dict[str, float] = {}
    for row in rows:
        found[row["line"]] = found.get(row["line"], 0.0) + float(row["amount"])
    return found


@pytest.fixture(scope="module")
def hosted(build: Build) -> RunResult:
    """45 days with a host whose service ends within February, and hours without power."""
    outage = {
        "kind": "outage",
        "sites": ["alpha"],
        "start_utc": "2026-01-10T00:00:00Z",
        "hours": 60,
    }
    return sim.run(
        build(
            {
                "horizon": {"days": 45, "step_s": 10_800, "record_s": 10_800},
                "hosts": {"co": {**HOST, "ends_utc": "2026-02-07T00:00:00Z"}},
                "faults": {"incidents": [outage]},
            },
            sites=SITES,
        ),
        "static",
    )


def test_kpis_say_what_the_statements_say(hosted: RunResult) -> None:
    lines = of_statements(hosted)
    assert hosted.kpis["gross_margin_usd"] == pytest.approx(lines["gross margin"], abs=0.5)
    assert sum(lines.get(line, 0.0) for line in LINES) == pytest.approx(lines["gross margin"])
    for name, line in (
        ("mining_revenue_usd", "mining"),
        ("inference_revenue_usd", "inference"),
        ("hosting_cost_usd", "hosting"),
        ("pool_fees_usd", "pool fees"),
        ("credits_usd", "credits"),
    ):
        assert hosted.kpis[name] == pytest.approx(abs(lines.get(line, 0.0)), abs=0.5), name


def test_credits_of_an_offtake_reach_the_margin(build: Build) -> None:
    """A day without power in a month of four nodes: a tenth of its invoice comes off."""
    dark = {"kind": "outage", "sites": ["alpha"], "start_utc": "2026-01-10T00:00:00Z", "hours": 24}
    sold = {"sites": ["alpha"], "uptime_sla": 0.99, "credit_fraction": 0.1}
    horizon = {
        "days": 31, "step_s": 10_800, "record_s": 10_800, "start_utc": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    tables = {"horizon": horizon, "faults": {"enabled": False, "incidents": [dark]}}
    sheets = {"gpus": [{"site": "alpha", "gpu": "h100-sxm", "nodes": 4}], "asics": []}
    found = sim.run(build({**tables, "offtakes": {"buyer": sold}}, **sheets), "static")
    plain = sim.run(build(tables, **sheets), "static")
    lines, k = of_statements(found), found.kpis
    credit = 0.1 * lines["inference"]
    more = (k["credits_usd"] or 0.0) - (plain.kpis["credits_usd"] or 0.0)
    assert more == pytest.approx(credit, abs=0.02)
    assert k["credits_usd"] == pytest.approx(-lines["credits"], abs=0.02)
    assert k["gross_margin_usd"] == pytest.approx(sum(lines.get(x, 0.0) for x in LINES), abs=0.1)


def test_a_month_in_which_a_host_leaves_is_paid_for_its_part(hosted: RunResult) -> None:
    """900 and 400 machines at 40 USD: January whole, 6 of February's 28 days."""
    ledger = hosted.table("ledger").to_pylist()
    fees = [float(r["amount"]) for r in ledger if r["memo"] == "co: machine fee"]
    paid = [usd for usd in fees if usd > 0.0]
    assert paid == pytest.approx([1300 * 40.0, 1300 * 40.0 * 6 / 28], abs=0.01)
    shares = [float(r["amount"]) for r in ledger if r["memo"] == "co: profit share"]
    assert len([usd for usd in shares if usd > 0.0]) == 2, "of what February's six days earned"


def test_the_host_owes_for_the_outage(hosted: RunResult) -> None:
    ledger = hosted.table("ledger").to_pylist()
    credits = [float(r["amount"]) for r in ledger if r["memo"] == "co: uptime credit"]
    assert max(credits) > 0.0
    assert hosted.firm.hosting.charged_usd > 0.0


def test_overhead_of_a_firm_with_one_site_is_the_firms(build: Build) -> None:
    scenario = build(
        {"horizon": {"days": 3}, "firm": {"overhead_usd_per_month": 310_000}},
        sites=[{"name": "alpha"}],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 10}],
        gpus=[],
    )
    ledger = sim.run(scenario, "static").table("ledger").to_pylist()
    overhead = [r for r in ledger if r["account"] == "expenses:overhead"]
    assert [(r["site"], float(r["amount"])) for r in overhead] == [("", 30_000.0)]
    power = [r for r in ledger if r["account"] == "expenses:power"]
    assert {r["site"] for r in power} == {"alpha"}


def test_uptime_of_an_overclocked_fleet_is_a_share(build: Build) -> None:
    scenario = build(
        {"horizon": {"days": 2}, "faults": {"enabled": False}},
        sites=[{"name": "alpha"}],
        asics=[{"site": "alpha", "model": "Antminer S19 XP", "count": 10, "mode": "high"}],
        gpus=[],
    )
    kpis = sim.run(scenario, "static").kpis
    assert kpis["operating_ehs"] > kpis["deployed_ehs"]  # type: ignore[operator]  # both are there
    assert kpis["uptime_pct"] == pytest.approx(100.0)

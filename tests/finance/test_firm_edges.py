"""Money at its edges, each worked out by hand: rates, part months, ends, the first instant."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.finance.statements import tie_out
from sim.finance.tax import TAXES
from sim.results.result import RunResult
from tests.builders.firms import DAY, GPU_PROJECT, LEASE, MONTH, S21, SITES, firm, posted, told
from tests.conftest import Build

START = "2026-01-01T00:00:00Z"


def began(start_utc: str, days: int = 31) -> dict[str, Any]:
    return {"horizon": {**MONTH["horizon"], "start_utc": start_utc, "days": days}}


def earned(result: RunResult, from_day: int, to_day: int) -> float:
    """Income less expenses before tax of the days after one and up to another [USD]."""
    return -sum(
        float(row["amount"])
        for row in result.table("ledger").to_pylist()
        if row["commodity"] == "USD"
        and row["account"].startswith(("income:", "expenses:"))
        and row["account"] not in TAXES
        and from_day * DAY < row["t_s"] <= to_day * DAY
    )


def test_tax_is_a_share_of_each_years_profit(build: Build) -> None:
    tables = {**began("2025-12-20T00:00:00Z"), "firm": {"tax_fraction": 0.25}}
    result = firm(build, tables)
    years = earned(result, 0, 12), earned(result, 12, 31)
    assert min(years) > 1_000.0
    cents = pytest.approx
    assert posted(result, "expenses:tax", "") == [
        (12, cents(0.25 * years[0], abs=0.011)),
        (31, cents(0.25 * years[1], abs=0.011)),
    ]
    free = firm(build, began("2025-12-20T00:00:00Z"))
    paid = (free.kpis["cash_usd"] or 0.0) - (result.kpis["cash_usd"] or 0.0)
    assert paid == pytest.approx(0.25 * years[0], abs=0.02)  # on day 27; the last month is owed
    assert posted(result, "liabilities:tax", "tax of the quarter")[0][0] == 27
    owed = sum(usd for _, usd in posted(result, "liabilities:tax", ""))
    assert owed == pytest.approx(-0.25 * years[1], abs=0.02)
    net, before = result.kpis["net_income_usd"], free.kpis["net_income_usd"]
    assert net == pytest.approx(0.75 * (before or 0.0), abs=0.03)


def test_a_loss_is_set_against_the_profit_of_the_next_year(build: Build) -> None:
    tables = {
        **began("2025-12-20T00:00:00Z"),
        "firm": {"tax_fraction": 0.25, "asic_usd_per_th": 10},
        "faults": {
            "enabled": False,
            "incidents": [
                {
                    "kind": "fire",
                    "sites": ["alpha"],
                    "start_utc": "2025-12-22T00:00:00Z",
                    "destroyed_fraction": 0.03,  # 3 machines of 2,000 USD
                }
            ],
        },
    }
    result = firm(build, tables)
    lost, won = earned(result, 0, 12), earned(result, 12, 31)
    assert -won < lost < 0.0
    used = min(-lost, 0.8 * won)
    assert posted(result, "expenses:tax", "") == [
        (31, pytest.approx(0.25 * (won - used), abs=0.02))
    ]


def test_a_host_is_paid_for_the_part_of_a_month_that_is_run(build: Build) -> None:
    hosts = {"dome": {"sites": ["alpha"], "usd_per_machine_month": 10}}
    result = firm(build, {**began("2026-01-11T00:00:00Z"), "hosts": hosts})
    assert posted(result, "expenses:hosting:charges", "machine fee") == [
        (21, pytest.approx(1000 * 21 / 31, abs=0.01)),
        (31, pytest.approx(1000 * 10 / 28, abs=0.01)),
    ]


def test_overhead_and_premiums_of_part_months(build: Build) -> None:
    tables = {
        **began("2026-01-11T00:00:00Z"),
        "firm": {"overhead_usd_per_month": 3100},
        "insurance": {"mutual": {"premium_usd_per_month": 620}},
    }
    result = firm(build, tables)
    for account, usd in (("expenses:overhead", 3100.0), ("expenses:insurance", 620.0)):
        assert posted(result, account, "") == [
            (21, pytest.approx(usd * 21 / 31, abs=0.01)),
            (31, pytest.approx(usd * 10 / 28, abs=0.01)),
        ]


@pytest.mark.parametrize(
    ("terms", "days"),
    [
        ({"end_utc": "2026-01-08T00:00:00Z"}, 7),
        ({"start_utc": "2025-06-01T00:00:00Z", "end_utc": "2026-01-02T00:00:00Z"}, 1),
        ({"start_utc": "2026-01-04T00:00:00Z", "end_utc": "2026-01-09T00:00:00Z"}, 5),
        ({"start_utc": START}, 31),
        ({"start_utc": "2026-03-01T00:00:00Z"}, 0),
    ],
)
def test_rent_is_due_from_the_start_of_a_lease_to_its_end(
    build: Build, terms: dict[str, str], days: int
) -> None:
    leased = [{**S21, "owner": "leased"}]
    result = firm(build, {}, asics=leased, leases=[{**LEASE, **terms}])
    assert (result.kpis["rent_usd"] or 0.0) == pytest.approx(80 * 50 * days / 31, abs=0.01)


def test_a_lease_that_begins_at_the_first_instant_sells_the_machines_at_once(build: Build) -> None:
    lease = {**LEASE, "start_utc": START, "sale_usd_per_machine": 1500}
    leased = [{**S21, "owner": "leased"}]
    result = firm(build, {"firm": {"asic_usd_per_th": 10}}, asics=leased, leases=[lease])
    sold = [(d, usd) for d, usd in posted(result, "assets:cash", "lease many: sold") if usd]
    assert {day for day, _ in sold} == {0}
    assert sum(usd for _, usd in sold) == pytest.approx(80 * 1500.0)
    assert sum(u for _, u in posted(result, "assets:asics", "lease many")) == -80 * 2000.0
    assert sum(u for _, u in posted(result, "income:machine-sales", "")) == 80 * 500.0  # a loss
    assert (0.0, "sale and leaseback") in told(result)
    # the other 20 stay in the books and wear over three years
    assert result.kpis["depreciation_usd"] == pytest.approx(20 * 2000 * 31 / (3 * 365.25), rel=1e-4)


def test_lessors_claim_the_rents_to_the_end_of_leases_that_run(build: Build) -> None:
    ruin = {
        "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 200}}},
        "treasury": {"opening_usd": 5_000},
    }
    many = {**LEASE, "machines": 40, "usd_per_machine_month": 60}
    leases = [
        {**many, "end_utc": "2026-07-01T00:00:00Z"},
        {**many, "name": "endless"},
        {**many, "name": "to come", "machines": 20, "start_utc": "2026-03-01T00:00:00Z",
         "end_utc": "2026-09-01T00:00:00Z"},
    ]  # fmt: skip
    result = firm(build, ruin, asics=[{**S21, "owner": "leased"}], leases=leases)
    day = result.kpis["insolvent_after_days"]
    assert day is not None
    claims = {c["creditor"]: c for c in result.table("creditors").to_pylist()}
    owed = claims["lessors, rents to the end of their leases"]["owed_usd"]
    assert owed == pytest.approx(40 * 60 * (181 - day) / (365.25 / 12), abs=0.006)
    bills = claims["bills of the last day"]
    share = bills["paid_usd"] / bills["owed_usd"]
    assert claims["lessors, rents to the end of their leases"]["paid_usd"] == pytest.approx(
        share * owed
    )


def test_a_project_of_asics_hashes_from_the_day_it_is_live(build: Build) -> None:
    asics = [S21, {**S21, "site": "bravo", "project": "hall"}]
    for terms, first in (
        ({}, 9),
        ({"order_utc": START, "lead_days": 0, "commissioning_days": 0}, 0),
        ({"order_utc": "2025-12-01T00:00:00Z"}, 0),
    ):
        projects = {"hall": {**GPU_PROJECT, **terms}}
        result = firm(build, {"projects": projects}, asics=asics)
        deployed = result.table("sites")["deployed_phs"].to_numpy().reshape(-1, 2)
        hashed = result.table("sites")["hashrate_phs"].to_numpy().reshape(-1, 2)
        np.testing.assert_allclose(deployed[:, 1], [0.0] * first + [20.0] * (31 - first))
        np.testing.assert_allclose(deployed[:, 0], 20.0)
        assert (hashed[:first, 1] == 0.0).all()
        assert (hashed[first:, 1] > 19.9).all()


def test_all_that_may_begin_at_the_first_instant_does(build: Build) -> None:
    """A fire, an outage, a loan, a deposit and a sale of bitcoin at second 0."""
    faults = {
        "enabled": False,
        "incidents": [
            {"kind": "fire", "sites": ["alpha"], "start_utc": START, "destroyed_fraction": 0.5},
            {"kind": "outage", "sites": ["bravo"], "start_utc": START, "hours": 48},
        ],
    }
    tables = {
        "faults": faults,
        "firm": {"asic_usd_per_th": 10},
        "treasury": {
            "opening_usd": 1e6, "opening_btc": 20, "impact_factor": 0, "fee_fraction": 0,
            "sales": [{"start_utc": START, "btc": 4.0, "days": 2}],
        },
        "loans": {"bank": {"principal_usd": 1e5, "collateral_btc": 5, "start_utc": START,
                           "rate_per_year": 0.0}},
        "deposits": {"bond": {"usd": 7_000, "paid_utc": START}},
    }  # fmt: skip
    result = firm(build, tables, asics=[S21, {**S21, "site": "bravo"}])
    deployed = result.table("sites")["deployed_phs"].to_numpy().reshape(-1, 2)
    hashed = result.table("sites")["hashrate_phs"].to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(deployed[:, 0], 10.0)
    np.testing.assert_allclose(deployed[:, 1], 20.0)
    assert (hashed[:2, 1] == 0.0).all()
    assert (hashed[2:, 1] > 19.9).all()
    k = result.kpis
    assert k["impairment_usd"] == pytest.approx(50 * 2000.0, abs=0.01)  # nothing worn yet
    assert k["btc_sold_btc"] == pytest.approx(4.0)
    assert k["debt_usd"] == pytest.approx(1e5)
    assert sum(u for _, u in posted(result, "assets:deposits", "bond")) == 7_000.0
    assert [kind for day, kind in told(result) if day == 0.0].count("fire") == 1


def test_a_price_a_thousand_times_the_usual_is_billed_to_the_cent(build: Build) -> None:
    for price in (9_000.0, -500.0):
        zone = {"model": "fixed", "usd_per_mwh": price}
        scenario = build(
            {**MONTH, "prices": {"zones": {"zone": zone}}, **began(START, 2)},
            sites=SITES, asics=[S21], gpus=[],
        )  # fmt: skip
        result = sim.run(scenario, "static")
        assert tie_out(result.table("statements")) == []
        mwh = float(result.table("sites")["meter_mw"].to_numpy().sum()) * 24
        assert mwh > 20.0
        assert result.kpis["power_cost_usd"] == pytest.approx(price * mwh, rel=1e-9)

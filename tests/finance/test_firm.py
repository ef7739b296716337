"""The firm in whole runs: projects, hosts, leases, offtakes, insurance, insolvency."""

import numpy as np
import pytest

import sim
from tests.builders.firms import (
    BOUGHT,
    DAY,
    GPU_PROJECT,
    HOST,
    LEASE,
    MONTH,
    S21,
    SITES,
    Build,
    firm,
    posted,
    told,
)


def test_a_project_is_paid_in_three_parts_and_runs_when_live(build: Build) -> None:
    result = firm(build, {"projects": {"pod": GPU_PROJECT}}, gpus=BOUGHT)
    assert posted(result, "assets:cash", "pod:") == [
        (2, -300_000.0),
        (7, -500_000.0),
        (9, -200_000.0),
    ]
    table = result.table("sites")
    there = np.array(table["site"].to_pylist()) == "alpha"
    np.testing.assert_allclose(
        table["gpu_nodes"].to_numpy()[there], [0.0] * 9 + [4.0] * 22, atol=1e-9
    )
    k = result.kpis
    assert k["depreciation_usd"] == pytest.approx(1e6 * 22 / (5 * 365.25), rel=1e-6)
    assert [e for e in told(result) if "project" in e[1]] == [
        (2.0, "project ordered"),
        (7.0, "project delivered"),
        (9.0, "project live"),
    ]


def test_a_delay_counts_while_the_project_is_not_delivered(build: Build) -> None:
    delay = {"kind": "delivery-delay", "projects": ["pod"], "days": 10}
    for start, live in (("2026-01-07T12:00:00Z", 19.0), ("2026-01-08T12:00:00Z", 9.0)):
        faults = {"enabled": False, "incidents": [{**delay, "start_utc": start}]}
        result = firm(build, {"projects": {"pod": GPU_PROJECT}, "faults": faults}, gpus=BOUGHT)
        assert (live, "project live") in told(result)


def test_a_project_that_is_called_off_gives_part_of_the_money_back(build: Build) -> None:
    cancelled = {**GPU_PROJECT, "cancel_utc": "2026-01-05T00:00:00Z", "refund_fraction": 0.4}
    result = firm(build, {"projects": {"pod": cancelled}}, gpus=BOUGHT)
    assert posted(result, "assets:cash", "pod: refund") == [(4, 120_000.0)]
    assert result.kpis["impairment_usd"] == pytest.approx(180_000.0)
    assert result.kpis["gpu_delivered_pct"] is None


def test_units_that_never_run_and_a_project_that_is_never_ordered(build: Build) -> None:
    for change, nodes in (({"failed_fraction": 0.25}, 3.0), ({"enabled": False}, 0.0)):
        result = firm(build, {"projects": {"pod": {**GPU_PROJECT, **change}}}, gpus=BOUGHT)
        assert result.table("sites")["gpu_nodes"].to_numpy().max() == pytest.approx(nodes)


def test_lead_times_have_their_mean_and_variation(build: Build) -> None:
    from sim.streams import Streams
    from sim.world.incidents import lead_times_s

    project = {**GPU_PROJECT, "lead_days": 100, "lead_cv": 0.5}
    scenario = build({**MONTH, "projects": {"pod": project}}, sites=SITES, asics=[S21], gpus=BOUGHT)
    days = [lead_times_s(scenario, Streams(seed))["pod"] / DAY for seed in range(2000)]
    assert np.mean(days) == pytest.approx(100.0, rel=0.05)
    assert np.std(days) == pytest.approx(50.0, rel=0.12)


def test_a_substation_lifts_the_limit_of_its_site(build: Build) -> None:
    projects = {"yard": {**GPU_PROJECT, "substations_mw": {"alpha": 2.0}}}
    asics = [{**S21, "count": 2000}]  # 7 MW
    sites = [{**SITES[0], "power_limit_mw": 3}, SITES[1]]
    scenario = build({**MONTH, "projects": projects}, sites=sites, asics=asics, gpus=[])
    table = sim.run(scenario, "static").table("sites")
    meter = table["meter_mw"].to_numpy()[::2]
    np.testing.assert_allclose(meter[:9], 3.0)
    np.testing.assert_allclose(meter[9:], 5.0)


def test_a_payment_may_come_from_bitcoin_or_from_a_loan(build: Build) -> None:
    treasury = {"opening_usd": 1_000_000, "opening_btc": 100, "impact_factor": 0, "fee_fraction": 0}
    price = 87_292.0
    result = firm(
        build,
        {"projects": {"pod": {**GPU_PROJECT, "finance": "btc"}}, "treasury": treasury},
        gpus=BOUGHT,
    )
    assert result.kpis["btc_sold_btc"] == pytest.approx(1e6 / price, rel=1e-6)
    loans = {
        "line": {
            "principal_usd": 0,
            "limit_usd": 900_000,
            "collateral_btc": 1,
            "start_utc": "2026-01-02T00:00:00Z",
            "rate_per_year": 0.0,
        }
    }
    result = firm(
        build,
        {
            "projects": {"pod": {**GPU_PROJECT, "finance": "line"}},
            "treasury": treasury,
            "loans": loans,
        },
        gpus=BOUGHT,
    )
    assert result.kpis["debt_usd"] == pytest.approx(900_000.0)
    assert result.kpis["btc_sold_btc"] == 0.0
    assert (9.0, "loan falls short") in told(result)  # the last part was 100,000 short
    assert result.kpis["highest_ltv_pct"] == pytest.approx(50.0, abs=0.1)


NOTICE = {"kind": "termination", "hosts": ["dome"], "start_utc": "2026-01-06T00:00:00Z"}


def test_a_terminated_host_costs_downtime_moving_and_the_deposit(build: Build) -> None:
    result = firm(
        build,
        {
            "hosts": {"dome": HOST},
            "deposits": {"bond": {"usd": 50_000, "host": "dome"}},
            "faults": {"enabled": False, "incidents": [NOTICE]},
        },
    )
    table = result.table("sites")
    deployed = table["deployed_phs"].to_numpy().reshape(-1, 2)
    np.testing.assert_allclose(deployed[:, 0], [20.0] * 10 + [0.0] * 21)
    np.testing.assert_allclose(deployed[:, 1], [0.0] * 17 + [20.0] * 14)
    assert posted(result, "expenses:moving", "") == [(10, 10_000.0)]
    assert posted(result, "expenses:impairment", "bond") == [(10, 50_000.0)]
    ten_days = pytest.approx(1000 * 10 / 31, abs=0.01)
    assert posted(result, "expenses:hosting:charges", "machine fee") == [(31, ten_days)]
    kinds = [kind for _, kind in told(result) if kind != "retarget"]
    assert kinds == ["termination", "host ended", "machines moved"]


def test_a_host_shares_profit_and_pays_for_what_it_did_not_deliver(build: Build) -> None:
    host = {"sites": ["alpha"], "profit_share": 0.3, "minimum_uptime": 0.98}
    outage = {
        "kind": "outage",
        "sites": ["alpha"],
        "start_utc": "2026-01-10T00:00:00Z",
        "hours": 37.2,  # 5 % of the month
    }
    faults = {"enabled": False, "incidents": [outage]}
    result = firm(build, {"hosts": {"dome": {**host, "credit_usd_per_mwh": 40}}, "faults": faults})
    table = result.table("sites")
    at = np.array(table["site"].to_pylist()) == "alpha"
    got = {n: float(table[n].to_numpy()[at].sum()) for n in ("btc_usd", "energy_usd")}
    profit = got["btc_usd"] * (1 - 0.005) - got["energy_usd"]
    assert posted(result, "expenses:hosting:charges", "profit share") == [
        (31, pytest.approx(0.3 * profit, rel=1e-4))
    ]
    nominal_mwh = 100 * 3500 * 24 * 31 / 1e6
    assert posted(result, "expenses:hosting:charges", "uptime credit") == [
        (31, pytest.approx(-40 * (0.98 - 0.95) * nominal_mwh, rel=1e-4))
    ]


def test_rents_follow_the_calendar_and_may_outlive_the_machines(build: Build) -> None:
    fire = {
        "kind": "fire",
        "sites": ["alpha"],
        "start_utc": "2026-01-02T00:00:00Z",
        "destroyed_fraction": 0.5,
    }
    leased = [{**S21, "owner": "leased"}]
    faults = {"enabled": False, "incidents": [fire]}
    whole = firm(build, {"faults": faults}, asics=leased, leases=[LEASE])
    assert whole.kpis["rent_usd"] == pytest.approx(4000.0)
    forgiven = [{**LEASE, "rent_when_lost": "false"}]
    half = firm(build, {"faults": faults}, asics=leased, leases=forgiven)
    assert half.kpis["rent_usd"] == pytest.approx(2000.0)
    late = [{**LEASE, "start_utc": "2026-01-25T19:12:00Z"}]  # a fifth of the month is left
    part = firm(build, {}, asics=leased, leases=late)
    assert part.kpis["rent_usd"] == pytest.approx(800.0)


def test_machines_sold_to_a_lessor_leave_the_books(build: Build) -> None:
    lease = {**LEASE, "start_utc": "2026-01-11T00:00:00Z", "sale_usd_per_machine": 1500}
    result = firm(
        build,
        {"firm": {"asic_usd_per_th": 10}},
        asics=[{**S21, "owner": "leased"}],
        leases=[lease],
    )
    book_usd = 80 * 200 * 10 * (1 - 10 / (3 * 365.25))
    cash = sum(usd for _, usd in posted(result, "assets:cash", "lease many"))
    assert cash == pytest.approx(80 * 1500.0)
    gain = -sum(usd for _, usd in posted(result, "income:machine-sales", "many"))
    assert gain == pytest.approx(80 * 1500.0 - book_usd, abs=0.02)


def test_an_offtaker_pays_late_after_what_was_prepaid_and_less_where_the_sla_is_missed(
    build: Build,
) -> None:
    nodes = [{"site": "bravo", "gpu": "h100-sxm", "nodes": 4, "usd_per_gpu_h": 2.0}]
    deal = {"sites": ["bravo"], "prepaid_usd": 10_000, "payment_days": 10, "credit_fraction": 0.1}
    horizon = {**MONTH["horizon"], "days": 45}
    month_usd = 4 * 8 * 2.0 * 24 * 31
    kept = firm(build, {"offtakes": {"buyer": deal}, "horizon": horizon}, gpus=nodes)
    assert posted(kept, "assets:cash", "buyer") == [
        (0, 10_000.0),
        (41, pytest.approx(month_usd - 10_000, abs=0.02)),
    ]
    outage = {
        "kind": "outage",
        "sites": ["bravo"],
        "start_utc": "2026-01-05T00:00:00Z",
        "hours": 24,
    }
    faults = {"enabled": False, "incidents": [outage]}
    tables = {"offtakes": {"buyer": deal}, "horizon": horizon, "faults": faults}
    missed = firm(build, tables, gpus=nodes)
    earned = month_usd * 30 / 31
    assert posted(missed, "assets:cash", "buyer: paid") == [
        (41, pytest.approx(0.9 * earned - 10_000, abs=0.02))
    ]
    assert (31.0, "SLA missed") in told(missed)


def test_an_insurer_pays_late_less_the_deductible_and_no_more_than_its_limit(build: Build) -> None:
    fire = {
        "kind": "fire",
        "sites": ["alpha"],
        "start_utc": "2026-01-02T00:00:00Z",
        "destroyed_fraction": 0.5,
    }
    book_usd = 50 * 200 * 10 * (1 - 1 / (3 * 365.25))
    for terms, paid in (
        ({"deductible_usd": 30_000}, book_usd - 30_000),
        ({"limit_usd": 20_000}, 20_000.0),
        ({"asic_usd_per_th": 20}, 200_000.0),
        ({"sites": ["bravo"]}, None),
    ):
        result = firm(
            build,
            {
                "firm": {"asic_usd_per_th": 10},
                "insurance": {"mutual": {"delay_days": 20, **terms}},
                "faults": {"enabled": False, "incidents": [fire]},
            },
        )
        claims = posted(result, "assets:cash", "claim paid")
        assert claims == ([] if paid is None else [(21, pytest.approx(paid, abs=0.02))])
        assert result.kpis["impairment_usd"] == pytest.approx(book_usd, abs=0.02)


def test_a_firm_that_cannot_pay_stops_and_its_creditors_are_ranked(build: Build) -> None:
    ruin = {
        "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 200}}},
        "treasury": {"opening_usd": 5_000, "opening_btc": 10},
        "loans": {
            "bank": {"principal_usd": 430_000, "collateral_btc": 10, "rate_per_year": 0.1},
        },
        "firm": {"asic_usd_per_th": 10, "distressed_fraction": 0.2},
        "funding": {"steps": ["bitcoin"]},
    }
    result = firm(build, ruin)
    k = result.kpis
    assert k["insolvent"] == 1.0
    day = k["insolvent_after_days"]
    assert day is not None
    assert 3 <= day <= 15  # 100 machines lose about 1,000 USD a day
    meter = result.table("sites")["meter_mw"].to_numpy().reshape(-1, 2)
    assert (meter[int(day) :] == 0.0).all()
    assert (meter[: int(day), 0] > 0.0).all()
    assert max(t for t, _ in posted(result, "assets:cash", "")) == day
    claims = result.table("creditors").to_pylist()
    assert [c["rank"] for c in claims] == sorted(c["rank"] for c in claims)
    lender = claims[0]
    assert lender["creditor"] == "lender bank"
    assert lender["paid_usd"] == lender["owed_usd"] >= 430_000.0
    assert claims[-1]["creditor"] == "owners"
    assert k["runway_days"] == 0.0


def test_a_firm_in_need_asks_for_the_collateral_that_is_too_much(build: Build) -> None:
    """Lenders give back what is beyond their initial LTV before a firm fails."""
    tables = {
        "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 200}}},
        "treasury": {"opening_usd": 5_000, "opening_btc": 10},
        "loans": {"bank": {"principal_usd": 100_000, "collateral_btc": 10}},
    }
    result = firm(build, tables)
    assert result.kpis["insolvent"] == 0.0
    assert "collateral released" in {kind for _, kind in told(result)}
    assert (result.kpis["highest_ltv_pct"] or 0.0) < 51.0  # interest since


def test_machines_sold_before_the_run_are_not_on_the_books(build: Build) -> None:
    """Of 100 leased machines 60 were sold before; 40 stand in the books until they are sold."""
    before = {**LEASE, "name": "old", "machines": 60}
    later = {**LEASE, "name": "new", "machines": 40, "sale_usd_per_machine": 1500}
    result = firm(
        build,
        {"firm": {"asic_usd_per_th": 10}},
        asics=[{**S21, "owner": "leased"}],
        leases=[before, {**later, "start_utc": "2026-01-11T00:00:00Z"}],
    )
    assert posted(result, "assets:asics", "opening") == [(0, pytest.approx(40 * 200 * 10.0))]
    left = sum(usd for _, usd in posted(result, "assets:asics", ""))
    assert left == pytest.approx(0.0, abs=0.05)


def test_nobody_asks_for_solvency_where_no_cash_is_given(build: Build) -> None:
    free = {"treasury": {}, "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 200}}}}
    result = firm(build, free)
    assert result.kpis["insolvent"] is None
    assert (result.kpis["cash_usd"] or 0.0) < -10_000.0
    assert result.kpis["btc_sold_btc"] == 0.0

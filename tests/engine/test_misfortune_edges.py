"""Odd but legal: runs that begin at noon, what lies before a run, what meets at one instant."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

import sim
from sim.finance.calendar import Calendar
from sim.finance.statements import tie_out
from sim.results.result import RunResult
from sim.scenario import Scenario
from tests.builders.firms import (
    BOUGHT,
    DAY,
    GPU_PROJECT,
    HOST,
    LEASE,
    MONTH,
    S21,
    firm,
    posted,
    told,
)
from tests.builders.quiet import column, quiet

Build = Callable[..., Scenario]
LEASED = [{**S21, "owner": "leased"}]
BOOKS = {"firm": {"asic_usd_per_th": 10, "overhead_usd_per_month": 31_000}}


def overheads(result: RunResult) -> list[tuple[int, float]]:
    return posted(result, "expenses:overhead", "")


def lawful(result: RunResult) -> None:
    """Statements tie out; whatever is deployed hashes or is lost to one reason."""
    assert tie_out(result.table("statements")) == []
    table = result.table("sites")
    lost = sum(
        (table[name].to_numpy() for name in table.column_names if name.startswith("lost_")),
        np.zeros(table.num_rows),
    )
    np.testing.assert_allclose(
        table["hashrate_phs"].to_numpy() + lost, table["deployed_phs"].to_numpy(), atol=1e-9
    )


# Months.


@pytest.mark.parametrize(
    ("start", "days"),
    [(datetime(2026, 1, 1, tzinfo=UTC), d) for d in (0.5, 1.0, 31.0, 31.5, 59.25, 400.0)]
    + [(datetime(2026, 1, 15, 12, tzinfo=UTC), d) for d in (0.5, 16.0, 17.0, 17.5, 40.0)],
)
def test_months_cover_a_run_without_gap_or_overlap(start: datetime, days: float) -> None:
    calendar = Calendar(start, round(days * DAY))
    closes = [*range(DAY, calendar.seconds, DAY), calendar.seconds]
    months = [m for t_s in closes for m in calendar.months_ended(t_s)]
    assert [m.start_s for m in months] == [0, *(m.end_s for m in months[:-1])]
    assert months[-1].end_s == calendar.seconds
    for m in months:
        assert m.share == pytest.approx(m.overlap(-1e9, 1e9))
        assert 0.0 < m.share <= 1.0
        first, last = calendar.at(m.start_s), calendar.at(m.end_s - 1)
        assert (first.year, first.month) == (last.year, last.month)


def test_a_month_is_paid_once_where_a_run_ends_within_a_day(build: Build) -> None:
    horizon = {**MONTH["horizon"], "days": 31.5, "record_s": 43_200}
    result = firm(build, {**BOOKS, "horizon": horizon})
    assert overheads(result) == [(31, 31_000.0), (31, pytest.approx(31_000 * 0.5 / 28, abs=0.01))]


def test_a_run_of_half_a_day_owes_half_a_day(build: Build) -> None:
    horizon = {**MONTH["horizon"], "days": 0.5, "record_s": 43_200}
    result = firm(build, {**BOOKS, "horizon": horizon}, asics=LEASED, leases=[LEASE])
    assert overheads(result) == [(0, 500.0)]
    assert result.kpis["rent_usd"] == pytest.approx(4000.0 * 0.5 / 31, abs=0.01)


def test_a_run_from_noon_to_noon_owes_the_half_days_of_both_months(build: Build) -> None:
    horizon = {**MONTH["horizon"], "days": 17, "start_utc": "2026-01-15T12:00:00Z"}
    result = firm(build, {**BOOKS, "horizon": horizon})
    assert overheads(result) == [(17, 16_500.0), (17, pytest.approx(31_000 * 0.5 / 28, abs=0.01))]


def test_a_planned_sale_falls_on_the_day_of_the_run_that_holds_it(build: Build) -> None:
    """Days of a run from noon to noon; the last half day is not a second one."""
    horizon = {**MONTH["horizon"], "days": 2.5, "record_s": 43_200}
    for start, sale, days in (
        ("2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z", [1]),
        ("2026-01-01T12:00:00Z", "2026-01-02T09:00:00Z", [1]),
        ("2026-01-01T12:00:00Z", "2026-01-02T13:00:00Z", [2]),
        ("2026-01-01T12:00:00Z", "2026-01-04T13:00:00Z", []),
        ("2026-01-01T00:00:00Z", "2026-01-01T23:00:00Z", [1]),
    ):
        treasury = {"opening_btc": 5, "sales": [{"start_utc": sale, "btc": 1}]}
        tables = {"horizon": {**horizon, "start_utc": start}, "treasury": treasury}
        result = firm(build, tables)
        assert [day for day, _ in posted(result, "assets:cash", "planned sale")] == days, sale


def test_a_lease_that_begins_on_the_last_day_but_one_is_sold_once(build: Build) -> None:
    horizon = {**MONTH["horizon"], "days": 2.5, "record_s": 43_200}
    lease = {**LEASE, "start_utc": "2026-01-02T18:00:00Z", "sale_usd_per_machine": 1000}
    result = firm(build, {**BOOKS, "horizon": horizon}, asics=LEASED, leases=[lease])
    assert [kind for _, kind in told(result)].count("sale and leaseback") == 1


# What lies before the run.


def test_what_was_paid_before_the_run_is_in_the_books_not_in_its_cash(build: Build) -> None:
    deposits = {
        "old": {"usd": 700, "paid_utc": "2025-06-01T00:00:00Z"},
        "gone": {"usd": 900, "returned_utc": "2025-06-01T00:00:00Z"},
        "back": {"usd": 500, "returned_utc": "2026-01-05T00:00:00Z"},
    }
    result = firm(build, {"deposits": deposits})
    assert posted(result, "assets:deposits", "") == [(0, 700.0), (0, 500.0), (4, -500.0)]
    assert posted(result, "assets:cash", "deposit") == [(4, 500.0)]


def test_a_project_under_way_goes_on_from_where_it_is(build: Build) -> None:
    for order, live, paid in (
        ("2025-12-28T00:00:00Z", 3.0, [(1, -500_000.0), (3, -200_000.0)]),
        ("2025-12-27T00:00:00Z", 2.0, [(0, -500_000.0), (2, -200_000.0)]),
        ("2025-12-25T12:00:00Z", 0.5, [(0, -200_000.0)]),  # delivered half a day ago
    ):
        project = {**GPU_PROJECT, "order_utc": order}
        result = firm(build, {"projects": {"pod": project}}, gpus=BOUGHT)
        assert (live, "project live") in told(result), order
        assert posted(result, "assets:cash", "pod:") == paid, order
        opened = sum(usd for _, usd in posted(result, "equity:opening", "pod: paid before"))
        assert opened == pytest.approx(-1e6 - sum(usd for _, usd in paid)), order


def test_a_project_called_off_before_the_run_is_forgotten(build: Build) -> None:
    project = {
        **GPU_PROJECT,
        "order_utc": "2025-12-01T00:00:00Z",
        "lead_days": 90,
        "cancel_utc": "2025-12-20T00:00:00Z",
    }
    result = firm(build, {"projects": {"pod": project}}, gpus=BOUGHT)
    assert posted(result, "assets:projects", "") == []
    assert not [kind for _, kind in told(result) if "project" in kind]


def test_machines_sold_to_a_lessor_before_the_run_bring_no_cash_in_it(build: Build) -> None:
    lease = {**LEASE, "start_utc": "2025-12-01T00:00:00Z", "sale_usd_per_machine": 1000}
    result = firm(build, BOOKS, asics=LEASED, leases=[lease])
    assert posted(result, "assets:cash", ": sold") == []
    opened = sum(usd for _, usd in posted(result, "assets:asics", "opening"))
    assert opened == pytest.approx(20 * 200 * 10.0)


# Projects at the edges of a run.


@pytest.mark.parametrize(
    ("change", "nodes_at_the_end", "lost_usd"),
    [
        ({"lead_days": 20, "commissioning_days": 9}, 0.0, None),  # live at the last instant
        ({"cancel_utc": "2026-01-20T00:00:00Z"}, 4.0, None),  # delivered long before
        ({"cancel_utc": "2026-01-03T00:00:00Z", "refund_fraction": 0.0}, 0.0, 300_000.0),
        ({"failed_fraction": 1.0}, 0.0, None),
        ({"order_utc": "2026-06-01T00:00:00Z"}, 0.0, None),
        ({"capex_usd": 0}, 4.0, None),
    ],
)
def test_projects_at_the_edge(
    build: Build, change: dict[str, Any], nodes_at_the_end: float, lost_usd: float | None
) -> None:
    result = firm(build, {"projects": {"pod": {**GPU_PROJECT, **change}}}, gpus=BOUGHT)
    lawful(result)
    nodes = result.table("sites")["gpu_nodes"].to_numpy().reshape(-1, 2)[-1, 0]
    assert nodes == pytest.approx(nodes_at_the_end, abs=1e-9)
    assert (result.kpis["impairment_usd"] or 0.0) == pytest.approx(lost_usd or 0.0)


# Incidents at one instant, and again.


@pytest.mark.parametrize("kind", ["outage", "network-cut", "cooling", "curtailment"])
def test_an_incident_at_the_first_instant_acts_at_once(build: Build, kind: str) -> None:
    for start in ("2026-01-01T00:00:00Z", "2025-12-31T23:00:00Z"):
        hours = 3 if start.startswith("2026") else 4
        hit = {"kind": kind, "sites": ["alpha"], "start_utc": start, "hours": hours}
        result = quiet(build, hit)
        lawful(result)
        assert (column(result, "alpha", "hashrate_phs")[:3] == 0.0).all()
        assert column(result, "alpha", "hashrate_phs")[3] > 0.0


def test_fires_that_overlap_leave_nothing_and_no_less(build: Build) -> None:
    fires = [
        {
            "kind": "fire",
            "sites": ["*"],
            "start_utc": f"2026-01-01T0{hour}:10:07Z",
            "destroyed_fraction": share,
            "hours": 5,
        }
        for hour, share in ((2, 0.5), (3, 0.9), (4, 1.0), (5, 1.0))
    ]
    result = quiet(build, *fires)
    lawful(result)
    for site in ("alpha", "bravo"):
        assert (column(result, site, "deployed_phs")[5:] == 0.0).all()
        assert (column(result, site, "hashrate_phs")[3:] == 0.0).all()
        assert column(result, site, "meter_mw")[12] > 0.0  # the site is open again


def test_an_incident_at_the_last_second_and_one_after_the_run(build: Build) -> None:
    calm = quiet(build)
    hit = {"kind": "outage", "sites": ["alpha"], "hours": 5}
    late = quiet(build, {**hit, "start_utc": "2026-01-02T23:59:59Z"})
    lawful(late)
    lost = column(calm, "alpha", "hashrate_phs")[-1] - column(late, "alpha", "hashrate_phs")[-1]
    assert 0.0 < lost < 1e-3 * column(calm, "alpha", "hashrate_phs")[-1]
    after = quiet(build, {**hit, "start_utc": "2026-02-02T00:00:00Z"})
    assert after.table("sites").equals(calm.table("sites"))


# Hosts, leases and deposits that meet.


def test_a_host_that_ends_twice_ends_once(build: Build) -> None:
    notice = {"kind": "termination", "hosts": ["dome"], "start_utc": "2026-01-06T00:00:00Z"}
    tables = {
        "hosts": {"dome": {**HOST, "ends_utc": "2026-01-20T00:00:00Z"}},
        "faults": {"enabled": False, "incidents": [notice, notice]},
    }
    result = firm(build, tables, gpus=[{"site": "alpha", "gpu": "h100-sxm", "nodes": 4}])
    lawful(result)
    assert [kind for _, kind in told(result)].count("host ended") == 1
    meter = result.table("sites")["meter_mw"].to_numpy().reshape(-1, 2)
    assert (meter[10:, 0] == 0.0).all()  # the nodes that stay are dark


def test_a_deposit_that_was_never_paid_is_not_lost_with_the_host(build: Build) -> None:
    notice = {"kind": "termination", "hosts": ["dome"], "start_utc": "2026-01-06T00:00:00Z"}
    bond = {"usd": 5000, "host": "dome", "paid_utc": "2026-01-25T00:00:00Z"}
    tables = {
        "hosts": {"dome": HOST},
        "deposits": {"bond": bond},
        "faults": {"enabled": False, "incidents": [notice]},
    }
    assert posted(firm(build, tables), "assets:deposits", "") == []


def test_machines_that_moved_are_sold_where_they_stand_and_burnt_ones_are_not(build: Build) -> None:
    lease = {
        **LEASE,
        "machines": 100,
        "sale_usd_per_machine": 1000,
        "start_utc": "2026-01-25T00:00:00Z",
    }
    notice = {"kind": "termination", "hosts": ["dome"], "start_utc": "2026-01-02T00:00:00Z"}
    fire = {
        "kind": "fire",
        "sites": ["*"],
        "start_utc": "2026-01-20T00:00:00Z",
        "destroyed_fraction": 0.4,
    }
    tables = {
        **BOOKS,
        "hosts": {"dome": HOST},
        "faults": {"enabled": False, "incidents": [notice, fire]},
    }
    result = firm(build, tables, asics=LEASED, leases=[lease])
    lawful(result)
    cash = sum(usd for _, usd in posted(result, "assets:cash", "lease many"))
    assert cash == pytest.approx(60 * 1000.0)
    left = sum(usd for _, usd in posted(result, "assets:asics", ""))
    assert left == pytest.approx(0.0, abs=0.05)


def test_one_seed_gives_the_same_ruin_twice(build: Build) -> None:
    incidents = [
        {"kind": "fire", "sites": ["*"], "per_year": 40, "destroyed_fraction": 0.2, "hours": 20},
        {"kind": "outage", "sites": ["*"], "per_year": 40, "hours": 20},
        {"kind": "pool-outage", "per_year": 40, "hours": 20},
    ]
    tables = {**BOOKS, "faults": {"enabled": True, "incidents": incidents}}
    scenario = build({**MONTH, **tables}, asics=[S21], gpus=[])
    first, second = (sim.run(scenario, "static", seed=3) for _ in range(2))
    lawful(first)
    for name in ("sites", "ledger", "events", "statements"):
        assert first.table(name).equals(second.table(name))

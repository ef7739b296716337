"""What serving nodes did, by model, site, pool and tenant: recomputed from the other tables."""

import numpy as np
import pytest

from sim.serving_fleet.work import Work
from tests.builders.stored_runs import Stored

pytestmark = pytest.mark.xdist_group("kpi_twin")  # the runs are made once
KINDS = ("exact", "fluid")


@pytest.mark.parametrize("kind", KINDS)
def test_pools_are_what_uses_and_worth_say(stored: dict[str, Stored], kind: str) -> None:
    """Every sum of a pool again, from `uses` (by interval) and `worth_sites`."""
    worst = stored[kind].value(
        """(
        WITH pool AS (SELECT * FROM serving_use WHERE scope = 'pool'),
        used AS (SELECT site, "use", sum(gpu_h) AS gpu_h, sum(busy_gpu_h) AS busy_gpu_h,
                        sum(powered_gpu_h) AS powered_gpu_h, sum(request_h) AS request_h,
                        sum(seat_h) AS seat_h, sum(machine_mwh) AS machine_mwh,
                        sum(machine_mwh + cooling_mwh) AS energy_mwh,
                        sum(revenue_usd) AS revenue_usd
                 FROM uses WHERE kind = 'tokens' GROUP BY ALL)
        SELECT max(greatest(abs(pool.gpu_h - used.gpu_h), abs(pool.busy_gpu_h - used.busy_gpu_h),
                            abs(pool.powered_gpu_h - used.powered_gpu_h),
                            abs(pool.request_h - used.request_h), abs(pool.seat_h - used.seat_h),
                            abs(pool.energy_mwh - used.energy_mwh),
                            abs(pool.machine_mwh - used.machine_mwh),
                            abs(pool.revenue_usd - used.revenue_usd),
                            abs(pool.margin_usd - worth_sites.margin_usd),
                            abs(pool.capital_usd - worth_sites.capital_usd),
                            abs(pool.margin_after_capital_usd
                                - (worth_sites.margin_usd - worth_sites.capital_usd))))
        FROM used JOIN pool ON used.site = pool.site AND used."use" = 'tokens ' || pool.model
        JOIN worth_sites ON worth_sites.site = pool.site AND worth_sites."use" = used."use")"""
    )
    assert worst is not None
    assert worst < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scope", ["model", "site", "pool", "tenant"])
def test_rows_of_a_scope_add_up_to_the_fleet(
    stored: dict[str, Stored], kind: str, scope: str
) -> None:
    run = stored[kind]
    assert (run.value("SELECT count(*) FROM serving_use WHERE scope = 'pool'") or 0) >= 2
    for column in ("tokens_out_mtok", "gpu_h", "energy_mwh", "revenue_usd", "capital_usd"):
        parts, whole = (
            run.value(f"SELECT sum({column}) FROM serving_use WHERE scope = '{x}'")
            for x in (scope, "fleet")
        )
        assert whole
        assert parts == pytest.approx(whole), column


@pytest.mark.parametrize("kind", KINDS)
def test_a_tenant_has_its_own_tokens_and_what_they_paid(
    stored: dict[str, Stored], kind: str
) -> None:
    run = stored[kind]
    rows = run.sql.sql("SELECT * FROM serving_use WHERE scope = 'tenant'").to_arrow_table()
    for said in rows.to_pylist():
        name = said["tenant"]
        true = run.value(f"SELECT token_revenue_usd FROM serving WHERE name = '{name}'")
        assert said["revenue_usd"] == pytest.approx(true)
    out = run.value(
        "SELECT max(abs(u.tokens_out_mtok - s.tokens_out / 1e6)) FROM serving_use u "
        "JOIN serving s ON s.scope = 'tenant' AND s.name = u.tenant WHERE u.scope = 'tenant'"
    )
    assert out is not None
    assert out < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_the_fleets_row_says_what_the_kpis_say(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    for name in (
        "gpu_utilisation_pct", "requests_per_seat", "joules_per_token",
        "token_revenue_usd_per_gpu_h", "token_revenue_usd_per_mwh",
    ):  # fmt: skip
        said = run.value(f"SELECT {name} FROM serving_use WHERE scope = 'fleet'")
        assert said == pytest.approx(run.kpis[name]), name


def test_work_by_hand() -> None:
    """Two engines of 4 GPUs and 10 seats, one without power for half of an hour."""
    work = Work(np.array([0, 0]), np.array([4.0, 4.0]), np.array([10.0, 10.0]), 1)
    work.run(np.array([True, True]), 1800.0)
    work.run(np.array([True, False]), 1800.0)
    busy_s = np.array([900.0, 1801.0])  # the second's last iteration ended after its power
    first = work.since(busy_s, np.array([3.0]), 3600.0)
    assert first[:, 0].tolist() == [4 * 5400.0, 4 * 2700.0, 10 * 5400.0, 3 * 3600.0]
    work.run(np.array([True, True]), 100.0)
    then = work.since(busy_s + 50.0, np.array([1.0]), 3700.0)
    assert then[:, 0].tolist() == [4 * 200.0, 4 * 101.0, 10 * 200.0, 100.0]

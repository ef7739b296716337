"""What a megawatt earns in each use: twins in SQL, ties to the statements, cases by hand."""

from typing import Final

import pytest

from sim.finance.chart import EXPENSE, INCOME, USD_CHART
from sim.results.worth import ACCOUNTS, APART
from tests.builders.stored_runs import RUNS, Stored

pytestmark = pytest.mark.xdist_group("kpi_twin")  # the runs are made once

SOLVENT: Final = [k for k in RUNS if k != "ruined"]
# Uses with their energy in each interval, the whole of their site, and its bills.
METERED: Final = """
    WITH run_sites AS (
        SELECT *, asic_mw + gpu_mw + coalesce(exported_mw, 0) AS out_mw,
            CASE WHEN exported_mw > 0 THEN exported_mw / (exported_mw + asic_mw + gpu_mw)
                 ELSE 0 END AS back
        FROM sites),
    bills AS (
        SELECT t_s, site, back * (fuel_usd + wear_usd) + resold_cost_usd AS back_usd,
            energy_usd + exported_usd + contract_usd + resold_usd - resold_cost_usd
                + (1 - back) * (fuel_usd + wear_usd) AS usd,
            btc_usd, pool_fee_usd
        FROM run_sites),
    of_month AS (SELECT site, sum(demand_usd + peak_usd) AS usd FROM sites GROUP BY site),
    parts AS (
        SELECT *, machine_mwh + cooling_mwh AS mwh,
            sum(machine_mwh + cooling_mwh) OVER (PARTITION BY t_s, site) AS site_mwh,
            sum(ph_days) OVER (PARTITION BY t_s, site) AS site_ph_days,
        FROM uses),
    whole AS (SELECT site, sum(mwh) AS site_mwh FROM parts GROUP BY site),
    shared AS (
        SELECT site, use, kind, sum(mwh) AS mwh, sum(revenue_usd) AS sold_usd,
            sum(credit_usd) AS credit_usd,
            sum(CASE WHEN parts.site_mwh > 0 THEN usd * mwh / parts.site_mwh END) AS energy_usd,
            sum(CASE WHEN site_ph_days > 0 THEN btc_usd * ph_days / site_ph_days END) AS btc_usd,
            sum(CASE WHEN site_ph_days > 0 THEN pool_fee_usd * ph_days / site_ph_days END)
                AS fee_usd
        FROM parts JOIN bills USING (t_s, site) GROUP BY ALL)"""


def twin(run: Stored, what: str, rest: str = "") -> dict[tuple[str, str], float]:
    rows = run.sql.sql(f"{METERED} SELECT site, use, {what} FROM shared {rest}").fetchall()
    return {(site, use): value or 0.0 for site, use, value in rows}


def said(run: Stored, column: str, kinds: str) -> dict[tuple[str, str], float]:
    rows = run.sql.sql(f"SELECT site, use, {column} FROM worth_sites WHERE {kinds}").fetchall()
    return {(site, use): value for site, use, value in rows}


METERED_KINDS: Final = "kind IN ('mining', 'GPU hours', 'tokens')"


@pytest.mark.parametrize("kind", SOLVENT)
def test_revenue_and_energy_are_what_was_metered(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    energy = twin(
        run,
        "coalesce(energy_usd, 0) + coalesce(of_month.usd * mwh / nullif(site_mwh, 0), 0)",
        "JOIN whole USING (site) JOIN of_month USING (site)",
    )
    revenue = twin(run, "CASE WHEN kind = 'mining' THEN btc_usd ELSE sold_usd END")
    for column, of in (("energy_usd", energy), ("revenue_usd", revenue)):
        got = said(run, column, METERED_KINDS)
        assert got, column
        assert got == {k: pytest.approx(of[k], rel=1e-6, abs=0.3) for k in got}, column
        missing = {k: v for k, v in of.items() if k not in got}
        assert all(abs(v) < 0.3 for v in missing.values()), column


@pytest.mark.parametrize("kind", SOLVENT)
def test_what_is_sold_back_or_waits(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    hours = "(SELECT record_s / 3600 FROM run)"
    for column, of_kind, sql in (
        ("revenue_usd", "sold back", "sum(exported_usd + resold_usd)"),
        ("energy_mwh", "sold back", f"sum(exported_mw + resold_mw) * {hours}"),
        ("revenue_usd", "waiting", "sum(programme_usd)"),
        ("other_usd", "waiting", "sum(penalty_usd)"),
        ("energy_mwh", "waiting", f"sum(curtailed_mw) * {hours}"),
    ):
        got = run.value(f"SELECT coalesce(sum({column}), 0) FROM worth WHERE kind = '{of_kind}'")
        assert got == pytest.approx(run.value(f"SELECT {sql} FROM sites"), rel=1e-9, abs=0.05)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("table", ["worth", "worth_sites"])
def test_all_uses_together_are_the_operating_statement(
    stored: dict[str, Stored], kind: str, table: str
) -> None:
    """Law: the margins of all rows sum to income less expenses of operations, to the cent."""
    run = stored[kind]
    lines = [p.line for a, p in USD_CHART.items() if p.kind in (INCOME, EXPENSE) and a not in APART]
    listed = ", ".join(f"'{line}'" for line in lines)
    posted = run.value(
        f"SELECT sum(amount) FROM statements WHERE statement = 'income' AND line IN ({listed})"
    )
    assert run.value(f"SELECT sum(margin_usd) FROM {table}") == pytest.approx(posted, abs=0.01)


def test_every_account_of_income_stands_somewhere() -> None:
    """Who adds an account says whose it is: operations (by use or not) or apart."""
    firm = {"expenses:overhead", "expenses:insurance", "expenses:moving"}
    of_income = {a for a, p in USD_CHART.items() if p.kind in (INCOME, EXPENSE)}
    assert of_income == set(ACCOUNTS) | APART | firm


@pytest.mark.parametrize("kind", RUNS)
def test_other_cost_is_fees_credits_rents_and_hosts(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    posted = run.value(
        "SELECT coalesce(sum(amount), 0) FROM ledger WHERE commodity = 'USD' AND ("
        "account IN ('expenses:pool-fees', 'expenses:rent', 'expenses:overhead', "
        "'expenses:insurance', 'expenses:moving', 'expenses:credits', 'expenses:penalties', "
        "'expenses:gpu-operations') "
        "OR (account = 'expenses:hosting' AND memo <> 'hosting, energy included'))"
    )
    assert run.value("SELECT sum(other_usd) FROM worth") == pytest.approx(posted, abs=0.2)


@pytest.mark.parametrize("kind", RUNS)
def test_capital_and_tax_can_be_worked_again(stored: dict[str, Stored], kind: str) -> None:
    """Annuity over the life that is left, less the discounted residual; tax on what remains."""
    run = stored[kind]
    firm = run.firm
    r, tax = firm["discount_rate_per_year"], firm["tax_fraction"]
    charge = (
        f"(usd_each - residual_usd_each * (1 + {r}) ** -life_years)"
        f" * {r} / (1 - (1 + {r}) ** -life_years)"
    )
    assert (run.value(f"SELECT max(abs({charge} - charge_usd_per_year)) FROM capital") or 0) < 1e-6
    sums = run.sql.sql(
        "WITH c AS (SELECT use, sum(machine_years * charge_usd_per_year) AS capital, "
        "sum(machine_years * (usd_each - residual_usd_each) / life_years) AS worn, "
        "sum(machine_years) AS years FROM capital GROUP BY use), "
        "u AS (SELECT use, sum(machine_h) / 8766 AS years FROM uses GROUP BY use) "
        "SELECT use, capital, capital_usd, c.years, u.years, "
        f"tax_usd, {tax} * (margin_usd - worn) FROM worth JOIN c USING (use) JOIN u USING (use)"
    ).fetchall()
    assert sums
    for _, capital, capital_usd, years, machine_years, tax_usd, twin_tax in sums:
        assert capital_usd == pytest.approx(capital, rel=1e-9)
        assert years == pytest.approx(machine_years, rel=1e-9)
        assert tax_usd == pytest.approx(twin_tax, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("kind", RUNS)
def test_the_result_is_what_is_left_and_orders_the_rows(
    stored: dict[str, Stored], kind: str
) -> None:
    run = stored[kind]
    rows = run.sql.sql("SELECT * FROM worth").to_arrow_table().to_pylist()
    assert len(rows) >= 3
    for row in rows:
        margin = row["revenue_usd"] - row["energy_usd"] - row["other_usd"]
        assert row["margin_usd"] == pytest.approx(margin)
        left = margin - row["capital_usd"] - row["tax_usd"]
        assert row["result_usd"] == pytest.approx(left)
        if row["energy_mwh"]:
            assert row["result_usd_per_mwh"] == pytest.approx(left / row["energy_mwh"])
        if row["mw_years"]:
            assert row["result_usd_per_mw_year"] == pytest.approx(left / row["mw_years"])
    best = [row["result_usd_per_mw_year"] for row in rows if row["rank"] is not None]
    assert best == sorted(best, reverse=True)
    assert [r["rank"] for r in rows if r["rank"]] == list(range(1, len(best) + 1))

"""Every KPI computed again: SQL over the stored tables, the ledger and the manifest's scenario."""

from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.results.kpis import KPIS
from sim.results.kpis_text import number
from sim.results.store import TABLES
from tests.builders.stored_runs import RUNS, SERVED_TWINS, TWINS, Stored, account, last

pytestmark = pytest.mark.xdist_group("kpi_twin")  # the runs are made once


# The same by the ledger, to the cent for each site and account. Not after an insolvency.
BOOKED: Final = {
    "mining_revenue_usd": f"- {account('income:mining')}",
    "btc_mined_btc": f"- {account('income:mining', 'BTC')}",
    "inference_revenue_usd": f"- {account('income:inference')}",
    "pool_fees_usd": account("expenses:pool-fees"),
    "credits_usd": account("expenses:credits"),
    "hosting_cost_usd": account("expenses:hosting%"),
    "gpu_opex_usd": account("expenses:gpu-operations"),
    "power_cost_usd": " + ".join(
        account(f"expenses:{name}")
        for name in ("power", "demand", "transmission", "fuel", "battery-wear")
    ),
    "grid_services_usd": f"- {account('income:grid-services')}",
    "penalties_usd": account("expenses:penalties"),
    "demand_charges_usd": account("expenses:demand"),
    "coincident_peaks_usd": account("expenses:transmission"),
    "fuel_usd": account("expenses:fuel"),
    "battery_wear_usd": account("expenses:battery-wear"),
    "cash_usd": last("cash_usd"),
    "btc_held_btc": last("btc_held"),
    "equity_usd": last("equity_usd"),
    "btc_collateral_btc": last("btc_collateral"),
}  # fmt: skip
SHARES: Final = tuple(n for n in KPIS if n.endswith("_pct") and n != "highest_ltv_pct")


def test_no_kpi_is_left_out(stored: dict[str, Stored]) -> None:
    assert set(TWINS) == set(KPIS)
    for run in stored.values():
        assert list(run.kpis) == list(KPIS)
    unused = {n for n in KPIS if not any(run.kpis[n] for run in stored.values())}
    assert unused == set()


def test_sql_finds_every_table(stored: dict[str, Stored]) -> None:
    for run in stored.values():
        assert {file.stem for file in run.files} <= set(TABLES)


@pytest.mark.parametrize("kind", RUNS)
def test_every_kpi_is_what_its_tables_say(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    wrong = {n for n in KPIS if not same(run.kpis[n], run.twins[n])}
    assert {n: (run.kpis[n], run.twins[n]) for n in wrong} == {}


@pytest.mark.parametrize(
    "alter",
    [
        pytest.param(lambda kpi: -3 * kpi, id="times -3"),
        pytest.param(lambda kpi: 0.9999 * kpi, id="a ten-thousandth less"),
        pytest.param(lambda kpi: 1 / kpi if kpi != 1 else 0.0, id="inverted"),
        pytest.param(lambda _: 0.0, id="zero"),
        pytest.param(lambda _: None, id="missing"),
    ],
)
def test_each_kpi_that_is_wrong_is_noticed(
    stored: dict[str, Stored], alter: Callable[[float], float | None]
) -> None:
    """One after another: no run leaves a KPI without a value that tells."""
    noticed = {
        name
        for run in stored.values()
        for name, kpi in run.kpis.items()
        if kpi and not same(alter(kpi), run.twins[name])
    }
    assert set(KPIS) - noticed == set()


def same(kpi: float | None, twin: float | None) -> bool:
    """Whether a KPI is what its twin says."""
    if kpi is None or twin is None:
        return kpi is twin
    return bool(twin == pytest.approx(kpi, rel=1e-8, abs=1e-9))


@pytest.mark.parametrize("kind", [k for k in RUNS if k != "ruined"])
def test_the_ledger_has_booked_what_the_kpis_say(stored: dict[str, Stored], kind: str) -> None:
    run = stored[kind]
    booked = {name: run.value(sql) for name, sql in BOOKED.items()}
    assert booked == {n: pytest.approx(run.kpis[n] or 0.0, abs=0.1) for n in BOOKED}


@pytest.mark.parametrize("kind", RUNS)
def test_kpis_stay_in_their_ranges(stored: dict[str, Stored], kind: str) -> None:
    k = stored[kind].kpis
    assert k["pue"] >= 1.0
    for name in SHARES:
        assert k[name] is None or 0.0 <= k[name] <= 100.0, name
    signed = {
        "gross_margin_usd", "lost_mode_ehs", "cash_usd", "equity_usd", "net_income_usd",
        "lowest_cash_usd", "contracts_usd", "net_power_cost_usd_per_kwh", "energy_mwh",
        "mean_power_mw", "runway_days", "tax_usd",  # below zero: deferred tax that lapses
    }  # fmt: skip
    for name in KPIS:
        assert name in signed or k[name] is None or k[name] >= -1e-9, name


@pytest.mark.parametrize("kind", RUNS)
def test_names_stand_once_in_their_dictionaries(stored: dict[str, Stored], kind: str) -> None:
    """Parquet gives up a dictionary with doubles, and writes other bytes from time to time."""
    seen = 0
    for file in stored[kind].files:
        read = pq.ParquetFile(file)
        if not read.metadata.num_rows:
            continue
        columns = [read.metadata.row_group(0).column(k) for k in range(read.metadata.num_columns)]
        for field, column in zip(read.schema_arrow, columns, strict=True):
            if pa.types.is_dictionary(field.type):
                seen += 1
                assert "RLE_DICTIONARY" in column.encodings, (file.name, field.name)
    assert seen > 5


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.349, "0.349"), (1_234_567.8, "1,234,568"), (0.00001, "1e-05"), (0.0453, "0.0453"),
        (-0.349, "-0.349"), (-1_234_567.8, "-1,234,568"), (0.0, "0"), (12.3456, "12.346"),
        (999.9996, "1,000.000"), (42.0, "42"),
    ],
)  # fmt: skip
def test_figures_as_they_are_printed(value: float, printed: str) -> None:
    assert number(value) == printed


@pytest.mark.parametrize("kind", ["exact", "fluid"])
def test_the_serving_table_says_of_the_fleet_what_the_kpis_say(
    stored: dict[str, Stored], kind: str
) -> None:
    run = stored[kind]
    row = run.sql.sql("SELECT * FROM serving WHERE scope = 'fleet'").to_arrow_table()
    said = row.to_pylist()[0]
    both = {n: said[n] for n in SERVED_TWINS if n in said}
    assert len(both) >= 15
    assert both == {n: pytest.approx(run.kpis[n], rel=1e-9) for n in both}

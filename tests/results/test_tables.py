"""The reference of tables: not stale, and every column that a run writes stands in it."""

from pathlib import Path

import pytest

import sim
from sim.finance.books import PART_OF, POSTED
from sim.finance.chart import Account
from sim.kernels import flows
from sim.results.store import TABLES as KNOWN
from sim.results.tables import TABLES, markdown, undocumented
from sim.scenario.shipped import scenarios
from tests.conftest import ROOT

STUDIES = {"worth_quantiles", "equity_differences", "liquidity"}


def test_the_page_is_what_the_tables_say() -> None:
    """`hashwatt schema tables --markdown > docs/tables.md`"""
    assert (ROOT / "docs/tables.md").read_text("utf-8") == markdown()


def test_every_table_of_a_run_is_there() -> None:
    assert set(TABLES) == set(KNOWN) - STUDIES


@pytest.mark.parametrize("name", scenarios())
def test_every_column_of_a_shipped_scenario_stands_in_it(name: str, data: Path) -> None:
    scenario = sim.load(ROOT / "configs" / name, {"horizon.days": 1})
    for table, made in sim.run(scenario).tables.items():
        assert undocumented(table, made.column_names) == [], table


def test_a_column_that_nobody_described_is_found() -> None:
    assert undocumented("limits", ["t_s", "site", "colour"]) == ["colour"]
    assert undocumented("colours", ["t_s"]) == ["t_s"]


def test_names_of_columns_stand_once() -> None:
    for name, table in TABLES.items():
        names = [c.name for c in table.columns]
        assert len(names) == len(set(names)), name


def test_rows_are_numbered_in_the_order_of_their_columns() -> None:
    assert len(flows.SITE) == flows.SITE_FLOWS
    assert flows.SITE[flows.METER_J].column == "meter_mw"
    assert flows.SITE[flows.FATES + flows.LOST_OUTAGE].column == "lost_outage_phs"
    assert flows.SITE[flows.POOL_FEE_USD].column == "pool_fee_usd"
    assert [flows.SITE[r].per for r in (flows.METER_J, flows.FATES, flows.BTC)] == [1e6, 1e3, 1.0]


def test_all_money_is_posted_once_or_is_part_of_what_is() -> None:
    money = {k for k, f in enumerate(flows.SITE) if f.unit in ("USD", "BTC")}
    posted = {p.row for p in POSTED}
    assert posted | set(PART_OF) == money
    assert not posted & set(PART_OF)
    assert set(PART_OF.values()) <= posted


def test_a_row_in_parts_is_posted_whole() -> None:
    parts = {p.row: {q.sites for q in POSTED if q.row == p.row} for p in POSTED}
    assert parts.pop(flows.ENERGY_USD) == {"own", "hosted"}
    assert parts.pop(flows.GPU_USD) == {"at once", "invoiced"}
    assert set(map(frozenset, parts.values())) == {frozenset({"every"})}


def test_the_page_names_all_accounts() -> None:
    page = Path(ROOT / "docs/tables.md").read_text("utf-8")
    assert all(f"| `{a}` |" in page for a in Account)

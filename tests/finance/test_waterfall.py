"""The funding waterfall by hand: what a firm does that is short of money, and who gets what."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sim
from sim.finance.statements import sheet_of, tie_out
from sim.results.result import RunResult
from sim.scenario import Scenario, ScenarioError

DAY = 86_400
Build = Callable[..., Scenario]

# January of a firm whose machines idle, as power costs 5,000 USD/MWh: only overhead is spent, at
# the month's end. A bitcoin is worth 100,000 USD, selling it costs nothing.
IDLE: dict[str, Any] = {
    "horizon": {
        "days": 31, "step_s": 21_600, "record_s": DAY, "start_utc": "2026-01-01T00:00:00Z",
    },
    "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 5_000}}},
    "btc_price": {"model": "constant", "usd_per_btc": 100_000},
    "faults": {"enabled": False},
}  # fmt: skip
NO_COSTS = {"fee_fraction": 0, "impact_factor": 0}
S21 = {"site": "alpha", "model": "Antminer S21", "count": 100}


def firm(
    build: Build, cash_usd: float, btc: float, overhead_usd: float, **tables: Any
) -> RunResult:
    asics = tables.pop("asics", [S21])
    gpus = tables.pop("gpus", [])
    books = tables.pop("firm", {})
    scenario = build(
        {
            **IDLE,
            "treasury": {"opening_usd": cash_usd, "opening_btc": btc, **NO_COSTS},
            "firm": {"overhead_usd_per_month": overhead_usd, **books},
            **tables,
        },
        sites=[{"name": "alpha", "overhead_mw": 0}],
        asics=asics,
        gpus=gpus,
    )
    result = sim.run(scenario, "merit-order")
    assert tie_out(result.table("statements")) == []
    assert result.kpis["btc_mined_btc"] == 0.0
    return result


def told(result: RunResult, *kinds: str) -> list[tuple[float, str]]:
    rows = result.table("events").to_pylist()
    return [(r["t_s"] / DAY, r["event"]) for r in rows if r["event"] in kinds]


def stands(result: RunResult, **amounts: float) -> None:
    for name, usd in amounts.items():
        assert result.kpis[name] == pytest.approx(usd, abs=0.011), name


POD = {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "project": "pod"}


def pod(usd: float, **keys: Any) -> dict[str, Any]:
    paid = {"deposit_fraction": 1.0, "delivery_fraction": 0.0, "lead_days": 100}
    order = {"order_utc": "2026-01-03T00:00:00Z", "capex_usd": usd}
    return {"projects": {"pod": {**order, **paid, **keys}}, "gpus": [POD]}


def test_first_firm_a_voluntary_payment_waits_and_nothing_is_sold_for_it(build: Build) -> None:
    """2,000,000 USD are due, 1,000,000 are there, and 50 BTC: the deposit waits."""
    result = firm(build, 1e6, 50, 310_000, **pod(2e6))
    assert told(result, "payment deferred", "insolvency") == [(2.0, "payment deferred")]
    stands(result, cash_usd=690_000, btc_held_btc=50, equity_usd=5_690_000, insolvent=0)

    # Where bitcoin comes before deferring, 10 are sold, and the deposit is paid on its day.
    funding = {"steps": ["bitcoin", "defer"]}
    result = firm(build, 1e6, 50, 0, funding=funding, **pod(2e6))
    assert not told(result, "payment deferred")
    stands(result, cash_usd=0, btc_held_btc=40, equity_usd=6_000_000)

    # It is called off when it has waited for too long, and nothing has been paid.
    result = firm(build, 1e6, 50, 0, funding={"defer_days": 5}, **pod(2e6))
    assert told(result, "project called off") == [(7.0, "project called off")]
    stands(result, cash_usd=1_000_000, btc_held_btc=50)


def test_a_deposit_of_300_million_is_not_paid_from_5_million(build: Build) -> None:
    result = firm(build, 5e6, 0, 0, **pod(300e6))
    stands(result, cash_usd=5_000_000, insolvent=0)
    assert min(result.table("fleet")["cash_usd"].to_pylist()) >= 0.0

    # A firm that is committed to it owes it, and fails at the close of the day.
    result = firm(build, 5e6, 0, 0, **pod(300e6, committed=True), firm={"distressed_fraction": 0.5})
    assert result.kpis["insolvent_after_days"] == 2.0
    (supplier, owners) = result.table("creditors").to_pylist()
    assert supplier["owed_usd"] == pytest.approx(300e6)
    assert supplier["paid_usd"] == pytest.approx(5e6 + 150e6)  # cash, half of what is being built
    assert owners["paid_usd"] == 0.0


def test_a_payment_that_waited_is_made_when_money_is_there_and_all_comes_later(
    build: Build,
) -> None:
    """The utility gives 1,500,000 USD back at the close of day 9; the deposit is paid on day 10."""
    deposit = {"usd": 1_500_000, "returned_utc": "2026-01-10T00:00:00Z"}
    late = pod(2e6, deposit_fraction=0.5, delivery_fraction=0.5, lead_days=10)
    result = firm(build, 600_000, 0, 0, deposits={"utility": deposit}, **late)
    assert told(result, "payment deferred", "project ordered", "project delivered") == [
        (2.0, "payment deferred"), (10.0, "project ordered"), (20.0, "project delivered"),
    ]  # fmt: skip
    stands(result, cash_usd=100_000)


def test_second_firm_free_bitcoin_is_sold(build: Build) -> None:
    """310,000 of overhead against 10,000 of cash: 3 of 10 BTC."""
    result = firm(build, 10_000, 10, 310_000)
    stands(result, cash_usd=0, btc_held_btc=7, equity_usd=700_000, insolvent=0)


def test_third_firm_a_lender_is_paid_down_with_pledged_bitcoin(build: Build) -> None:
    """5,000,000 owed against 100 BTC, initial LTV 0.5, nothing free, 300,000 USD short.

    x = (D - L C p + L s) / (p (1 - L)) = 150,000 / 50,000 = 3 BTC pay down 300,000; 4,700,000
    need 94 BTC, so 3 of the 97 left come back and are sold.
    """
    bank = {"principal_usd": 5e6, "collateral_btc": 100, "rate_per_year": 0, "initial_ltv": 0.5}
    result = firm(build, 10_000, 100, 310_000, loans={"bank": bank})
    stands(result, cash_usd=0, btc_held_btc=94, equity_usd=4_700_000, insolvent=0, liquidated_btc=0)
    # Each of the two sales is rounded down to cents, so two cents more are paid down.
    assert result.kpis["debt_usd"] == pytest.approx(4_700_000, abs=0.03)
    assert result.kpis["btc_collateral_btc"] == pytest.approx(94, abs=1e-6)
    kinds = ("collateral sold", "collateral released", "bitcoin sold")
    assert told(result, *kinds) == [(31.0, kind) for kind in kinds]

    # What is pledged beyond the initial LTV comes first: at 20 % nothing has to be paid down.
    low = firm(build, 10_000, 100, 310_000, loans={"bank": {**bank, "principal_usd": 2e6}})
    stands(low, cash_usd=0, btc_held_btc=97, btc_collateral_btc=40, debt_usd=2_000_000)

    # A firm of 7,592 BTC and 389 million of debt at 65 % does not fail for 3.4 million.
    large = {**bank, "principal_usd": 389e6, "collateral_btc": 7592, "call_ltv": 0.8}
    terms = {"btc_price": {"model": "constant", "usd_per_btc": 78_489.63}, "loans": {"bank": large}}
    result = firm(build, 0, 7592, 3.4e6, **terms)
    stands(result, cash_usd=0, insolvent=0)
    assert result.kpis["equity_usd"] == pytest.approx(7592 * 78_489.63 - 389e6 - 3.4e6, abs=0.02)
    assert result.kpis["highest_ltv_pct"] == pytest.approx(65.281, abs=1e-3)


def test_fourth_firm_a_revolver_is_drawn_until_it_ends(build: Build) -> None:
    """300,000 in January at 12 %; February owes 2,761.64 of interest and 310,000: limit 500,000."""
    year = {"horizon": {**IDLE["horizon"], "days": 59}}
    line = {"limit_usd": 500_000, "rate_per_year": 0.12, "commitment_per_year": 0}
    result = firm(build, 10_000, 0, 310_000, funding={"revolver": line}, **year)
    assert told(result, "revolver drawn", "insolvency") == [
        (31.0, "revolver drawn"), (59.0, "revolver drawn"), (59.0, "insolvency"),
    ]  # fmt: skip
    interest_usd = 300_000 * 0.12 * 28 / 365
    stands(result, interest_usd=round(interest_usd, 2), equity_usd=0, cash_usd=0)
    bills, lender, owners = result.table("creditors").to_pylist()
    if bills["creditor"] == "lender of the revolver":
        bills, lender = lender, bills
    assert lender["owed_usd"] == pytest.approx(500_000)
    assert bills["owed_usd"] == pytest.approx(310_000 + interest_usd - 200_000, abs=0.011)
    assert bills["paid_usd"] == lender["paid_usd"] == owners["paid_usd"] == 0.0


def test_a_revolver_is_paid_back_from_what_is_there_and_costs_what_is_not_drawn(
    build: Build,
) -> None:
    """Drawn for 300,000 at the end of January, paid back when 400,000 come on 11 February."""
    year = {"horizon": {**IDLE["horizon"], "days": 45}}
    line = {"limit_usd": 500_000, "rate_per_year": 0.12, "commitment_per_year": 0.01}
    deposit = {"utility": {"usd": 400_000, "returned_utc": "2026-02-11T00:00:00Z"}}
    result = firm(
        build, 10_000, 0, 310_000, funding={"revolver": line}, deposits=deposit, **year
    )  # the fee of January, 424.66, is a bill of its end, too
    fee_usd = 500_000 * 0.01 * 31 / 365
    drawn_usd = 300_000 + round(fee_usd, 2)
    interest_usd = (drawn_usd * 0.12 + (500_000 - drawn_usd) * 0.01) * 10 / 365
    rest_usd = 500_000 * 0.01 * 4 / 365  # to the run's end, a month's end
    overhead_usd = 310_000 * 14 / 28
    assert result.kpis["interest_usd"] == pytest.approx(fee_usd + interest_usd + rest_usd, abs=0.03)
    cash_usd = 400_000 - drawn_usd - interest_usd - overhead_usd - rest_usd
    stands(result, debt_usd=-cash_usd)  # overhead of February is drawn again
    sheet = sheet_of(result.table("statements"), "balance")
    assert sheet["loans"] == pytest.approx([drawn_usd, -cash_usd], abs=0.011)
    debt_usd = result.table("fleet")["debt_usd"].to_pylist()
    assert debt_usd[41] == 0.0  # at the close of 11 February
    assert result.kpis["cash_usd"] == 0.0


def test_fifth_firm_new_shares_are_sold_at_a_discount(build: Build) -> None:
    """300,000 short: 312,500 are paid, of which banks keep 4 %, at 20 % below equity.

    Equity is then 10 BTC less the bill, 700,000; new owners get what leaves the first ones
    0.8 * 700,000 / (0.8 * 700,000 + 312,500) = 64.18 %.
    """
    funding = {
        "steps": ["equity", "bitcoin"],
        "equity": {"limit_usd": 1e6, "discount_fraction": 0.2, "fee_fraction": 0.04},
    }
    result = firm(build, 10_000, 10, 310_000, funding=funding)
    stands(
        result, cash_usd=0, btc_held_btc=10, equity_usd=1_000_000, shares_issued_usd=300_000,
        net_income_usd=-310_000,
    )  # fmt: skip
    assert result.kpis["first_owners_pct"] == pytest.approx(100 * 560_000 / 872_500)
    assert sheet_of(result.table("statements"), "balance")["shares issued"] == [300_000.0]

    # Up to what is allowed: 100,000 bring 96,000, and the other 204,000 are bitcoin.
    less = {**funding, "equity": {**funding["equity"], "limit_usd": 100_000}}
    stands(firm(build, 10_000, 10, 310_000, funding=less), btc_held_btc=7.96, cash_usd=0)

    # Nobody buys shares of a firm that owes more than it has.
    bank = {
        "principal_usd": 990_000, "collateral_btc": 10, "initial_ltv": 0.99, "warning_ltv": 0.99,
        "call_ltv": 1, "cure_ltv": 0.99, "liquidation_ltv": 1, "automatic_ltv": 2,
        "rate_per_year": 0,
    }  # fmt: skip
    result = firm(build, 10_000, 10, 310_000, funding=funding, loans={"bank": bank})
    assert (result.kpis["insolvent"], result.kpis["shares_issued_usd"]) == (1.0, None)


def test_sixth_firm_machines_are_sold_used(build: Build) -> None:
    """80,000 short, no bitcoin: 2,000 USD a machine, the market holds, haste costs 20 %: 50."""
    books = {"asic_usd_per_th": 10}
    market = {"residuals": {"asic": [1.0]}}
    result = firm(build, 10_000, 0, 90_000, firm=books, **market)
    book_usd = 200_000 * (1 - 31 / (3 * 365.25))
    stands(result, cash_usd=0, sold_machines_usd=80_000, insolvent=0)
    assert result.kpis["equity_usd"] == pytest.approx(book_usd / 2, abs=0.03)
    asics = result.table("fleet")["asics"].to_pylist()
    assert asics[-1] == 100  # they leave at the close of the last day

    # The oldest go first: S19j Pro at 30 J/TH before S21, and they hash no more.
    two = [S21, {"site": "alpha", "model": "Antminer S19j Pro 104T", "count": 20, "age_years": 4}]
    result = firm(
        build, 10_000, 0, 30_000, firm=books, asics=two, **market,
        horizon={**IDLE["horizon"], "days": 33},
    )  # fmt: skip
    # 20,000 in January: 20 of 832 USD bring 16,640, 3 of 1,600 the rest and 1,440 beyond it.
    spent_usd = 30_000 * 2 / 28
    stands(result, sold_machines_usd=16_640 + 4_800 + 1_600)
    stands(result, cash_usd=1_440 + 1_600 - spent_usd)
    assert result.table("fleet")["asics"].to_pylist()[-2:] == [97, 97]


def test_a_firm_that_used_up_everything_is_its_estate(build: Build) -> None:
    """2,000,000 due, 10,000 there, 2 BTC free, 20 pledged for 1,500,000, machines at a quarter."""
    bank = {
        "principal_usd": 1.5e6, "collateral_btc": 20, "rate_per_year": 0, "initial_ltv": 0.75,
        "warning_ltv": 0.8, "call_ltv": 0.85, "cure_ltv": 0.75, "liquidation_ltv": 0.9,
        "automatic_ltv": 0.95,
    }  # fmt: skip
    result = firm(
        build, 10_000, 22, 2e6, loans={"bank": bank}, funding={"steps": ["bitcoin"]},
        firm={"asic_usd_per_th": 10, "distressed_fraction": 0.25},
    )  # fmt: skip
    lender, bills, owners = result.table("creditors").to_pylist()
    machines_usd = 0.25 * 200_000 * (1 - 31 / (3 * 365.25))
    estate_usd = 20 * 100_000 - 1_500_000 + machines_usd
    assert (lender["owed_usd"], lender["paid_usd"]) == (1_500_000.0, 1_500_000.0)
    assert bills["owed_usd"] == pytest.approx(2_000_000 - 10_000 - 200_000, abs=0.011)
    assert bills["paid_usd"] == pytest.approx(estate_usd, abs=0.03)
    assert owners["paid_usd"] == 0.0
    stands(result, equity_usd=0, cash_usd=0)
    sheet = sheet_of(result.table("statements"), "balance")
    assert sheet["payables"] == pytest.approx([estate_usd], abs=0.03)
    assert sheet["borne by creditors"] == pytest.approx([1_790_000 - estate_usd], abs=0.03)


def test_owners_of_a_firm_that_fails_may_get_something(build: Build) -> None:
    """Owed 100,000, and 300,000 with a host that come back next year: the owners have 210,000."""
    deposit = {"host": {"usd": 300_000, "returned_utc": "2027-01-01T00:00:00Z"}}
    result = firm(build, 10_000, 0, 100_000, deposits=deposit)
    stands(result, insolvent=1, equity_usd=210_000)


# Deficiencies.


def crashed(build: Build, at: Path, cash_usd: float) -> RunResult:
    """25,000,000 owed against 400 BTC, which fall from 100,000 to 40,000 on 3 January."""
    lines = ["time_utc,open_usd"]
    for day in range(1, 32):
        lines.append(f"2026-01-{day:02d}T00:00:00Z,{100_000 if day < 3 else 40_000}")
    (at / "btc.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    bank = {
        "principal_usd": 25e6, "collateral_btc": 400, "rate_per_year": 0, "initial_ltv": 0.65,
        "cure_ltv": 0.65, "answer": "none",
    }  # fmt: skip
    return firm(
        build, cash_usd, 400, 0, loans={"bank": bank},
        btc_price={"model": "replay", "series": "btc", "column": "open_usd"},
        series={"btc": {"file": str(at / "btc.csv")}},
    )  # fmt: skip


def test_what_the_collateral_leaves_owed_is_enforced(build: Build, tmp_path: Path) -> None:
    """400 BTC bring 16,000,000 less 2 %: 9,320,000 USD are still owed, and due."""
    poor = crashed(build, tmp_path, 5_160_000)
    assert told(poor, "liquidation", "deficiency", "insolvency") == [
        (2.0, "liquidation"), (2.0, "deficiency"), (2.0, "insolvency"),
    ]  # fmt: skip
    lender, shortfall, owners = poor.table("creditors").to_pylist()
    assert (lender["owed_usd"], lender["paid_usd"]) == (pytest.approx(9_320_000), 0.0)
    assert shortfall["paid_usd"] == pytest.approx(5_160_000)
    assert owners["paid_usd"] == 0.0
    stands(poor, equity_usd=0, liquidated_btc=400)

    rich = crashed(build, tmp_path, 10_000_000)
    stands(rich, insolvent=0, cash_usd=680_000, debt_usd=0)


def test_steps_and_their_tables_belong_together(build: Build) -> None:
    for funding, said in (
        ({"steps": ["bitcoin"], "equity": {"limit_usd": 1}}, "has no effect"),
        ({"steps": ["bitcoin", "bitcoin"]}, "bitcoin twice"),
        ({"steps": ["gold"]}, "gold"),
        ({"equity": {"limit_usd": -1}}, "limit_usd"),
    ):
        with pytest.raises(ScenarioError, match=said):
            build({**IDLE, "funding": funding})

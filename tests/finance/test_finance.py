"""The ledger to the cent and the satoshi; pools; contracts."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sim
from sim.finance.ledger import Ledger
from tests.conftest import build_scenario


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=60))
def test_rounding_never_drifts(amounts: list[float]) -> None:
    ledger = Ledger(["alpha"])
    for t, amount in enumerate(amounts):
        ledger.post(t, "expenses:power", "assets:cash", "USD", np.array([amount]), "energy")
    assert ledger.balance("expenses:power", "USD") == pytest.approx(sum(amounts), abs=0.0051)
    rows = ledger.table().to_pylist()
    total = sum((r["amount"] for r in rows if r["account"] == "assets:cash"), Decimal(0))
    assert float(total) == ledger.balance("assets:cash", "USD")
    assert all(r["amount"] == r["amount"].quantize(Decimal("0.01")) for r in rows)


def test_decimals_are_exact_also_below_zero() -> None:
    ledger = Ledger(["alpha", "bravo"])
    ledger.post(
        0, "assets:btc", "income:mining", "BTC", np.array([0.00000001, 123.45678901]), "pay"
    )
    amounts = sorted(r["amount"] for r in ledger.table().to_pylist())
    assert amounts == [
        Decimal("-123.45678901"),
        Decimal("-0.00000001"),
        Decimal("0.00000001"),
        Decimal("123.45678901"),
    ]


def test_commodities_are_dollars_and_bitcoin() -> None:
    with pytest.raises(ValueError, match="allowed: USD, BTC"):
        Ledger(["alpha"]).post(0, "a", "b", "EUR", np.array([1.0]), "")


def test_an_empty_ledger_is_a_table() -> None:
    assert Ledger(["alpha"]).table().num_rows == 0


def margin(**site: Any) -> dict[str, float | None]:
    scenario = build_scenario(
        {
            "horizon": {"days": 1},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30.0}}},
            "faults": {"enabled": False},
        },
        sites=[{"name": "alpha", "overhead_mw": 0, "climate": "reykjavik-is", **site}],
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[],
    )
    return sim.run(scenario, "static").kpis


def test_contracts_by_hand() -> None:
    """100 S21 of 3,500 W at a PUE of 1.05 draw 8.82 MWh in a day."""
    mwh = 100 * 3500e-6 * 1.05 * 24
    market = margin(adder_usd_per_mwh=7)
    assert market["energy_mwh"] == pytest.approx(mwh)
    assert market["power_cost_usd"] == pytest.approx(mwh * 37)
    assert market["hosting_cost_usd"] == 0
    fixed = margin(contract="fixed", energy_usd_per_mwh=44)
    assert fixed["power_cost_usd"] == pytest.approx(mwh * 44)
    hosted = margin(contract="hosted", energy_usd_per_mwh=70)
    assert hosted["power_cost_usd"] == pytest.approx(0, abs=1e-9)
    assert hosted["hosting_cost_usd"] == pytest.approx(mwh * 70)


def test_fpps_by_hand() -> None:
    """100 S21 hash 20 PH/s: a day's bitcoin is hashes / (D · 2^48 / 65535) · (subsidy + fees)."""
    kpis = margin()
    expected = 20e15 * 86_400 / (148_258_433_855_481.3 * 2**48 / 65535) * (3.125 + 0.02)
    assert kpis["btc_mined_btc"] == pytest.approx(expected, rel=1e-9)
    assert kpis["operating_ehs"] == pytest.approx(0.02)

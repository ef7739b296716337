"""Machines on the books: whatever befalls them, nothing is left of what is gone, to the cent."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.finance.assets import ACCOUNTS, FixedAssets
from sim.finance.ledger import Ledger
from sim.plant.inventory import ASIC, GPU, Change
from sim.units import SECONDS_PER_YEAR
from tests.conftest import build_scenario

DAY = 86_400
SCENARIO = build_scenario(
    {"firm": {"asic_usd_per_th": 1.003, "gpu_usd_per_gpu": 777.77}},
    asics=[
        {"site": "alpha", "model": "Antminer S21", "count": 7},
        {"site": "bravo", "model": "Antminer S19 XP", "count": 13},
    ],
    gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": 3}],
)
steps = st.one_of(
    st.tuples(st.just("days"), st.integers(1, 200)),
    st.tuples(st.just("sell"), st.floats(0.1, 5.0)),
    st.tuples(st.just("burn"), st.floats(0.01, 0.9)),
    st.tuples(st.just("impair"), st.floats(0.01, 0.9)),
    st.tuples(st.just("buy"), st.floats(1.0, 9_999.0)),
)


@given(st.lists(steps, max_size=25))
def test_what_is_worn_out_leaves_no_cent(story: list[tuple[str, float]]) -> None:
    ledger = Ledger(["alpha", "bravo"])
    assets = FixedAssets(SCENARIO, ledger)
    assets.open()
    day = 0
    for k, (kind, value) in enumerate(story):
        group, t_s = k % 2, day * DAY
        assets.depreciate(t_s)
        if kind == "days":
            day += int(value)
        elif kind == "sell":
            assets.sell(t_s, group, value, 100.0 * value, "sold")
        elif kind == "burn":
            assets.lose(t_s, Change(ASIC, group, 100, round(100 - 100 * value), ()), "fire")
        elif kind == "impair":
            book_usd = assets.book_usd(GPU, 0)
            if book_usd > 1.0:
                assets.impair(t_s, GPU, 0, value * book_usd, "idle")
        else:
            usd = np.array([value])
            ledger.post(t_s, "assets:projects", "assets:cash", "USD", usd, "bought")
            assets.add(t_s, GPU, 0, 1, value)
        for name, account in ACCOUNTS.items():  # the ledger follows the lots
            assert abs(ledger.balance(account, "USD") - assets.book_usd(name)) < 0.06
    assets.depreciate(day * DAY + round(20 * SECONDS_PER_YEAR))
    assert [ledger.units(account, "USD") for account in ACCOUNTS.values()] == [0, 0, 0]


def test_rounding_leaves_no_cent_by_hand() -> None:
    """0.506 USD are 0.51 in the books; half impaired and half worn, 0.25 each, leave a cent."""
    scenario = build_scenario(
        {"firm": {"gpu_usd_per_gpu": 0.506}},
        asics=[],
        gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": 1, "gpus_per_node": 1}],
    )
    ledger = Ledger(["alpha", "bravo"])
    assets = FixedAssets(scenario, ledger)
    assets.open()
    assert ledger.units("assets:gpus", "USD") == 51
    assets.impair(0, GPU, 0, 0.253, "idle")
    assert ledger.units("assets:gpus", "USD") == 26
    assets.depreciate(round(20 * SECONDS_PER_YEAR))
    assert ledger.units("assets:gpus", "USD") == 0
    assert ledger.units("expenses:depreciation", "USD") == 26

"""Machines that stand idle, tested by hand: indicator, recoverability, loss, life afterwards."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import sim
from sim.finance.assets import FixedAssets
from sim.finance.impairment import Impairment, Loss
from sim.finance.ledger import Ledger
from sim.finance.meters import Meters
from sim.finance.statements import tie_out
from sim.plant.inventory import ASIC, GPU
from tests.conftest import build_scenario

DAY = 86_400
QUARTER = 90 * DAY  # 2026-01-01 to 2026-03-31
YEAR = 365.25 * DAY
COST = 100 * 200.0 * 10.0  # 100 S21 of 200 TH/s at 10 USD/TH
LIFE = 4 * YEAR
MARKET = COST * (1.0 - 0.5 * QUARTER / YEAR)  # the curve falls to a half in its first year
BOOK = COST * (1.0 - QUARTER / LIFE)
SCRAP = COST * 0.055  # after four years: between 0.07 at 3.4 and 0.03 at 5 years


@dataclass
class Yard:
    """A hundred S21, eight H100 nodes and their books, without an engine."""

    ledger: Ledger
    assets: FixedAssets
    meters: Meters
    test: Impairment

    def month(self, number: int, hashed: float, cash_usd: float = 0.0) -> None:
        """A month of the S21: the share of its hashes that was hashed, and what was left of it."""
        seconds = (31, 28, 31, 30, 31, 30)[number] * DAY
        self.meters.there_s[number, 0] = 100.0 * seconds
        self.meters.hashed_th[number, 0] = hashed * 100.0 * 200.0 * seconds
        self.meters.mined_usd[number, 0] = cash_usd

    def close(self, t_s: int) -> list[Loss]:
        self.assets.depreciate(t_s)
        return self.test.close_quarter(t_s)

    def usd(self, account: str) -> float:
        return self.ledger.balance(account, "USD")


def yard(tables: dict[str, Any] | None = None, **firm: Any) -> Yard:
    scenario = build_scenario(
        {
            **(tables or {}),
            "horizon": {"days": 181, "start_utc": "2026-01-01T00:00:00Z"},
            "firm": {"asic_usd_per_th": 10.0, "asic_life_years": 4.0, **firm},
        },
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": 8}],
    )
    ledger = Ledger(["alpha", "bravo"])
    assets, meters = FixedAssets(scenario, ledger), Meters(scenario, [])
    assets.open()
    return Yard(ledger, assets, meters, Impairment(scenario, ledger, assets, meters))


def idle(at: Yard, shares: tuple[float, ...], cash_usd: float = 0.0) -> Yard:
    for number, hashed in enumerate(shares):
        at.month(number, hashed, cash_usd)
    return at


def test_a_quarter_of_rest_brings_machines_down_to_what_they_fetch() -> None:
    """Nothing earned, so that only their scrap value would come: the rest above market is lost."""
    books = idle(yard(), (0.0, 0.0, 0.0))
    (loss,) = books.close(QUARTER)
    assert (loss.kind, loss.group) == (ASIC, 0)
    assert loss.book_usd == pytest.approx(BOOK)
    assert loss.undiscounted_usd == pytest.approx(SCRAP)
    assert loss.fair_usd == pytest.approx(MARKET)
    assert books.usd("expenses:impairment:unrecoverable") == pytest.approx(BOOK - MARKET, abs=0.01)
    assert books.usd("assets:asics") == pytest.approx(MARKET, abs=0.01)


@pytest.mark.parametrize(
    ("shares", "firm", "tested"),
    [
        pytest.param((0.0, 0.0, 0.6), {}, False, id="the last month it ran"),
        pytest.param((0.6, 0.0, 0.0), {}, False, id="two months only"),
        pytest.param((0.6, 0.0, 0.0), {"idle_months": 2}, True, id="two are enough"),
        pytest.param((0.49, 0.49, 0.49), {}, True, id="just less than half"),
        pytest.param((0.5, 0.5, 0.5), {}, False, id="half"),
        pytest.param((0.5, 0.5, 0.5), {"idle_fraction": 0.6}, True, id="less than 60 %"),
        pytest.param((0.0, 0.0), {}, False, id="not that long a run"),
    ],
)
def test_idle_is_less_than_a_share_of_the_hashes_in_months_in_a_row(
    shares: tuple[float, ...], firm: dict[str, Any], tested: bool
) -> None:
    """A dollar a month is earned, so that rest alone can be the indicator."""
    t_s = int(np.cumsum((31, 28, 31))[len(shares) - 1]) * DAY
    assert bool(idle(yard(**firm), shares, 1.0).close(t_s)) is tested


def test_a_machine_that_earns_nothing_is_tested_though_it_runs() -> None:
    assert idle(yard(), (1.0, 1.0, 1.0), -5.0).close(QUARTER)
    assert not idle(yard(), (1.0, 1.0, 1.0), 5.0).close(QUARTER)


@pytest.mark.parametrize(
    ("factor", "keys", "lost"),
    [
        pytest.param(0.85, {}, True, id="0.745 of the price against books of 0.938: 0.795"),
        pytest.param(0.87, {}, False, id="0.813: less than a fifth below the books"),
        pytest.param(0.87, {"market_fall_fraction": 0.1}, True, id="a tenth is enough"),
        pytest.param(0.2, {"market_fall_fraction": 1.0}, False, id="never for that reason"),
        pytest.param(0.85, {"idle_months": 4}, False, id="not long enough in the books"),
    ],
)
def test_a_fall_of_the_market_alone_is_an_indicator(
    factor: float, keys: dict[str, Any], lost: bool
) -> None:
    """They run and earn a dollar a month, but used machines fetch a share less than they did."""
    books = yard({"what_if": {"residual_factor": factor}}, **keys)
    found = idle(books, (1.0, 1.0, 1.0), 1.0).close(QUARTER)
    assert bool(found) is lost
    if found:
        assert found[0].fair_usd == pytest.approx(factor * MARKET)
        assert books.usd("assets:asics") == pytest.approx(factor * MARKET, abs=0.01)
        assert books.close(QUARTER) == []  # the books stand at the market now


def test_a_fall_of_the_market_does_not_touch_what_earns_its_books() -> None:
    books = yard({"residuals": {"asic": [0.05]}, "what_if": {"residual_factor": 0.5}})
    assert idle(books, (1.0, 1.0, 1.0), 1e6).close(QUARTER) == []


def test_nodes_whose_market_halves_are_tested_though_they_earn() -> None:
    """64 GPUs at 20,000 USD whose year brings less than their books, market at half the curve."""
    for factor, lost in ((1.0, False), (0.5, True)):
        books = yard(
            {"what_if": {"residual_factor": factor}},
            gpu_usd_per_gpu=20_000.0, asic_usd_per_th=0.0, gpu_life_years=5.0,
        )  # fmt: skip
        books.meters.sold_usd[:3, 1] = 1_000.0
        found = books.close(QUARTER)
        assert bool(found) is lost
        if found:
            fair = 64 * 20_000.0 * (1.0 - 0.22 * QUARTER / YEAR) * factor
            assert found[0].fair_usd == pytest.approx(fair)


def test_what_its_cash_recovers_is_not_written_down() -> None:
    """A year like the quarter, over the 3.75 years that are left and each a tenth less."""
    left = 4.0 - QUARTER / YEAR
    years = (1.0 - 0.9**left) / 0.1  # closed form of 1 + 0.9 + 0.81 + ..., the last in part
    needed = (BOOK - SCRAP) / years  # a year
    scale = QUARTER / YEAR / 3.0  # a month of it
    fade = {"residuals": {"fade_per_year": 0.1}}
    assert build_scenario(fade).residuals.fade_per_year == 0.1
    for part, lost in ((1.001, False), (0.999, True)):
        books = yard()
        books.test.scenario = books.test.scenario.model_copy(
            update={"residuals": build_scenario(fade).residuals}
        )
        found = idle(books, (0.4, 0.4, 0.4), part * needed * scale).close(QUARTER)
        assert bool(found) is lost
        if found:
            assert found[0].undiscounted_usd == pytest.approx(0.999 * (BOOK - SCRAP) + SCRAP)


def test_a_loss_of_cash_does_not_count_against_scrap() -> None:
    """Whoever would lose money lets the machine rest: never less than nothing a year."""
    (loss,) = idle(yard(), (1.0, 1.0, 1.0), -9_000.0).close(QUARTER)
    assert loss.undiscounted_usd == pytest.approx(SCRAP)


def test_what_is_left_is_the_new_cost_over_the_life_that_is_left() -> None:
    books = idle(yard(), (0.0, 0.0, 0.0))
    books.close(QUARTER)
    before = books.usd("expenses:depreciation")
    later = QUARTER + 50 * DAY
    books.assets.depreciate(later)
    worn = books.usd("expenses:depreciation") - before
    assert worn == pytest.approx(MARKET * 50 * DAY / (LIFE - QUARTER), abs=0.01)
    books.assets.depreciate(round(LIFE))
    assert books.usd("assets:asics") == pytest.approx(0.0, abs=0.01)


def test_nothing_comes_back() -> None:
    """A quarter later it runs and earns a fortune: the book value stays what it was, less wear."""
    books = idle(yard(), (0.0, 0.0, 0.0))
    books.close(QUARTER)
    for number in (3, 4, 5):
        books.month(number, 1.0, 1e6)
    assert books.close(181 * DAY) == []
    left = (LIFE - 181 * DAY) / (LIFE - QUARTER)
    assert books.usd("assets:asics") == pytest.approx(MARKET * left, abs=0.01)


def test_a_market_above_the_books_saves_them() -> None:
    """Written off in half a year, machines stand below what they fetch: no loss to book."""
    books = idle(yard(asic_life_years=0.5), (0.0, 0.0, 0.0))
    assert books.close(QUARTER) == []


def test_nodes_are_tested_by_their_cash() -> None:
    """64 GPUs at 20,000 USD; sold at a loss, their curve is 0.85 after a year."""
    for cash_usd, lost in ((-1.0, True), (0.0, True), (1e9, False)):
        books = yard(gpu_usd_per_gpu=20_000.0, asic_usd_per_th=0.0, gpu_life_years=15.0)
        books.meters.sold_usd[:3, 1] = cash_usd
        found = books.close(QUARTER)
        assert [(x.kind, x.group) for x in found] == ([(GPU, 0)] if lost else [])


def test_machines_that_came_later_are_not_yet_tested() -> None:
    books = yard(asic_usd_per_th=0.0, gpu_life_years=15.0)
    books.assets.add(40 * DAY, GPU, 0, 1, 1e6)
    assert books.close(QUARTER) == []


def test_tax_knows_no_impairment() -> None:
    """Nodes earn, machines idle: the same tax now and later, tested or not."""
    taxes = []
    for months, written_off in ((3, True), (12, False)):
        scenario = build_scenario(
            {
                "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 250}}},
                "firm": {
                    "asic_usd_per_th": 10.0, "asic_life_years": 4.0, "tax_fraction": 0.25,
                    "idle_months": months,
                },
                "horizon": {
                    "days": 95, "step_s": 21_600, "record_s": 86_400,
                    "start_utc": "2026-01-01T00:00:00Z",
                },
            },
            asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
            gpus=[{"site": "bravo", "gpu": "h100-sxm", "nodes": 8}],
        )  # fmt: skip
        result = sim.run(scenario, "merit-order")
        assert (result.kpis["unrecoverable_usd"] is not None) is written_off
        taxes.append(result.ledger.balance("expenses:tax", "USD"))
    assert taxes[0] > 10_000.0
    assert taxes[0] == pytest.approx(taxes[1], abs=0.02)


def test_in_a_run_it_is_told_and_all_statements_tie_out() -> None:
    """A quarter of 4,000 USD/MWh: a policy that looks at prices never mines."""
    dear = {"zone": {"model": "fixed", "usd_per_mwh": 4_000}}
    scenario = build_scenario(
        {
            "horizon": {
                "days": 90, "step_s": 21_600, "record_s": 86_400,
                "start_utc": "2026-01-01T00:00:00Z",
            },
            "prices": {"zones": dear},
            "firm": {"asic_usd_per_th": 10.0, "asic_life_years": 4.0, "tax_fraction": 0.25},
        },
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[],
    )  # fmt: skip
    result = sim.run(scenario, "merit-order")
    assert result.kpis["unrecoverable_usd"] == pytest.approx(BOOK - MARKET, abs=0.02)
    assert result.kpis["impairment_usd"] == result.kpis["unrecoverable_usd"]
    assert tie_out(result.table("statements")) == []
    told = [r for r in result.table("events").to_pylist() if r["event"] == "impairment"]
    assert [(r["t_s"], r["subject"]) for r in told] == [(QUARTER, "firm")]
    assert f"{BOOK - MARKET:,.2f} USD on 1 row of machines: book value" in told[0]["detail"]
    memos = [r["memo"] for r in result.table("ledger").to_pylist()]
    assert "asics.csv row 2 is not recoverable: ASC 360-10-35-17" in memos
    static = sim.run(scenario, "static")  # runs, at a loss: tested and written down as well
    assert static.kpis["unrecoverable_usd"] == pytest.approx(BOOK - MARKET, abs=0.02)
    cheap = {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 20}}}
    paid = sim.run(scenario.model_copy(update={"prices": build_scenario({"prices": cheap}).prices}))
    assert paid.kpis["unrecoverable_usd"] is None

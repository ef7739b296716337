"""A close is known from its instant on: what holds before it, what leads to it, what it values."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine
from sim.finance.statements import sheet_of
from sim.policies import BUILTIN
from sim.policy import Decision, Observation, load_policy
from sim.scenario import Scenario, ScenarioError
from sim.scenario.warnings import warnings_of
from sim.streams import Streams
from sim.units import SATOSHI_PER_BTC
from sim.world.bitcoin import build_chain
from sim.world.btc_price import btc_signal
from tests.conftest import build_scenario

DAY, HOUR = 86_400, 3600
# Published closes of 2026-01-29 to 2026-02-02 [USD].
CLOSES = (84_650.0, 84_086.21, 78_489.63, 76_840.37, 78_564.03)
FIRST = datetime(2026, 1, 29, tzinfo=UTC)


def recorded(at: Path, usd: Sequence[float], every_h: int = 24, column: str = "price_usd") -> str:
    lines = [f"time_utc,{column}"]
    for k, value in enumerate(usd):
        when = FIRST + timedelta(hours=k * every_h)
        lines.append(f"{when:%Y-%m-%dT%H:%M:%SZ},{value}")
    file = at / f"{column}-{every_h}.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def replayed(
    file: str, start: str = "2026-01-30T00:00:00Z", days: float = 3, **price: Any
) -> Scenario:
    column = Path(file).stem.rpartition("-")[0]
    return build_scenario(
        {
            "horizon": {"start_utc": start, "days": days, "step_s": HOUR},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30}}},
            "btc_price": {"model": "replay", "series": "btc", "column": column, **price},
            "series": {"btc": {"file": file}},
            "treasury": {"opening_usd": 1e6, "opening_btc": 1000.0, "sales": []},
            "faults": {"enabled": False},
        },
        gpus=[],
    )


def prices(scenario: Scenario, hours: Sequence[int], seed: int = 1) -> list[float]:
    t_s = np.array(hours, dtype=np.int64) * HOUR
    return [float(x) for x in btc_signal(scenario, Streams(seed)).at(t_s)]


def test_a_close_holds_from_its_instant(tmp_path: Path) -> None:
    daily = replayed(recorded(tmp_path, CLOSES))
    assert prices(daily, [0, 23, 24, 47, 48, 71, 72]) == [
        CLOSES[0], CLOSES[0], CLOSES[1], CLOSES[1], CLOSES[2], CLOSES[2], CLOSES[3],
    ]  # fmt: skip
    start = replayed(recorded(tmp_path, CLOSES), value_at="start")
    assert prices(start, [0, 23, 24, 72]) == [CLOSES[1], CLOSES[1], CLOSES[2], CLOSES[4]]


def test_a_column_of_opens_holds_from_the_start_of_its_row(tmp_path: Path) -> None:
    hourly = [80_000.0 + k for k in range(120)]
    opens = replayed(recorded(tmp_path, hourly, 1, "open_usd"))
    closes = replayed(recorded(tmp_path, hourly, 1, "close_usd"))
    assert prices(opens, [0, 1, 72]) == [80_024.0, 80_025.0, 80_096.0]
    assert prices(closes, [0, 1, 72]) == [80_023.0, 80_024.0, 80_095.0]


def test_bitcoin_at_a_month_end_is_worth_the_close_of_its_last_day(tmp_path: Path) -> None:
    """31 January at 78,489.63, not at the close of 1 February: 1,000 BTC and what was mined."""
    result = sim.run(replayed(recorded(tmp_path, CLOSES)), "static")
    balance = sheet_of(result.table("statements"), "balance")
    bitcoin = sheet_of(result.table("statements"), "bitcoin")["closing"]
    market = balance["bitcoin at cost"] + balance["bitcoin revaluation to market"]
    assert market == pytest.approx(bitcoin * [CLOSES[2], CLOSES[3]], abs=0.02)
    last = result.table("fleet").to_pylist()[-1]
    assert last["usd_per_btc"] == CLOSES[3]  # of the end of the run, not of its last step


def test_a_bridge_moves_by_the_hour_and_ends_at_the_closes(tmp_path: Path) -> None:
    file = recorded(tmp_path, CLOSES)
    bridged = replayed(file, intraday="bridge")
    path = np.array(prices(bridged, range(73)))
    assert path[[0, 24, 48, 72]] == pytest.approx(CLOSES[:4])
    assert len(set(path)) == 73
    later = replayed(file, "2026-01-31T00:00:00Z", 2, intraday="bridge")
    assert prices(later, range(49)) == list(path[24:])  # luck belongs to the hour
    assert prices(bridged, range(73), seed=2) != list(path)
    straight = replayed(file, intraday="bridge", bridge_volatility_per_year=0.0)
    assert prices(straight, [6])[0] == pytest.approx(CLOSES[0] ** 0.75 * CLOSES[1] ** 0.25)


def test_a_bridge_has_the_variance_of_its_process(tmp_path: Path) -> None:
    """Halfway between two prices a day apart: sigma^2 * (1/2) * (1/2) of a day."""
    bridged = replayed(recorded(tmp_path, [1e5] * 5), intraday="bridge")
    middle = np.log([prices(bridged, [12], seed)[0] / 1e5 for seed in range(1500)])
    assert middle.std() == pytest.approx(0.468 * np.sqrt(0.25 / 365.25), rel=0.06)
    assert abs(middle.mean()) < 4 * middle.std() / np.sqrt(1500)


class Watcher:
    """Keeps what a policy could see of the price and the hashprice."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []
        self.static = load_policy("static", {}, BUILTIN)

    def decide(self, observation: Observation) -> Decision:
        self.seen.append((observation.usd_per_btc, observation.hashprice_usd_per_ph_day))
        return self.static.decide(observation)


def test_nobody_sees_a_close_before_its_instant(tmp_path: Path) -> None:
    """Another close of 31 January changes nothing until 1 February, and all from there."""
    seen = []
    for third in (CLOSES[2], 60_000.0):
        watcher = Watcher()
        Engine(replayed(recorded(tmp_path, (*CLOSES[:2], third, *CLOSES[3:]))), watcher, 1).run()
        seen.append(watcher.seen)
    same = [a == b for a, b in zip(*seen, strict=True)]
    assert same == [True] * 48 + [False] * 24


def test_a_price_without_a_close_before_the_start_is_said(tmp_path: Path) -> None:
    file = recorded(tmp_path, CLOSES)
    early = replayed(file, "2026-01-29T00:00:00Z")
    assert prices(early, [0, 24, 48]) == [CLOSES[0], CLOSES[0], CLOSES[1]]
    (said,) = [w for w in warnings_of(early) if w.where.startswith("btc_price")]
    assert "2026-01-30 00:00 UTC" in said.message
    assert not [w for w in warnings_of(replayed(file)) if w.where.startswith("btc_price")]


def test_an_event_is_no_close(tmp_path: Path) -> None:
    file = recorded(tmp_path, CLOSES)
    with pytest.raises(ScenarioError, match=r"btc_price\.value_at"):
        build_scenario(
            {
                "horizon": {"start_utc": "2026-01-30T00:00:00Z", "days": 2},
                "btc_price": {"model": "replay", "series": "btc", "value_at": "end"},
                "series": {"btc": {"file": file, "kind": "events"}},
            }
        )


# The day's mean fees.

FEES = (0.1, 0.4, 8.0, 0.2, 0.1)  # BTC a block, mean of each day


def mined(at: Path) -> Scenario:
    lines = ["date,price_usd,difficulty,blocks,fees_btc"]
    for k, fees in enumerate(FEES):
        lines.append(f"{FIRST + timedelta(days=k):%Y-%m-%d},80000,1e14,144,{144 * fees}")
    (at / "days.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (at / "retargets.csv").write_text(
        "time_utc,difficulty,height\n2026-01-20T00:00:00Z,1e14,931392\n", encoding="utf-8"
    )
    return build_scenario(
        {
            "horizon": {"start_utc": "2026-01-30T00:00:00Z", "days": 3, "step_s": HOUR},
            "btc_price": {"model": "constant", "usd_per_btc": 80_000},
            "network": {"model": "replay", "retargets": "retargets", "daily": "days"},
            "series": {
                "days": {"file": str(at / "days.csv"), "time_column": "date"},
                "retargets": {"file": str(at / "retargets.csv"), "kind": "events"},
            },
            "pool": {"fee_fraction": 0.0},
            "faults": {"enabled": False},
        },
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[],
    )


def test_the_fees_of_a_day_are_paid_by_the_pool_and_known_when_it_is_over(tmp_path: Path) -> None:
    scenario = mined(tmp_path)
    chain = build_chain(scenario, Streams(1), btc_signal(scenario, Streams(1)))
    known = [chain.known_reward_btc(d * DAY) for d in range(3)]
    assert known == pytest.approx([3.125 + fees for fees in FEES[:3]])
    watcher = Watcher()
    engine = Engine(scenario, watcher, 1)
    engine.run()
    hashprice = [watcher.seen[h][1] for h in (0, 24, 48)]
    assert np.divide(hashprice, hashprice[0]) == pytest.approx(np.divide(known, known[0]))
    rows = engine.firm.ledger.table().to_pylist()
    mined_btc = [
        -float(r["amount"]) * SATOSHI_PER_BTC
        for r in rows
        if (r["account"], r["commodity"]) == ("income:mining", "BTC")
    ]
    paid = [3.125 + fees for fees in FEES[1:4]]
    assert np.divide(mined_btc, mined_btc[0]) == pytest.approx(np.divide(paid, paid[0]), rel=1e-5)


def test_without_fees_of_the_day_before_that_is_said(tmp_path: Path) -> None:
    scenario = mined(tmp_path)
    assert not [w for w in warnings_of(scenario) if w.where == "network.daily"]
    early = scenario.model_copy(
        update={"horizon": scenario.horizon.model_copy(update={"start_utc": FIRST})}
    )
    assert [w.where for w in warnings_of(early) if w.where == "network.daily"]
    chain = build_chain(early, Streams(1), btc_signal(early, Streams(1)))
    assert chain.known_reward_btc(0) == chain.reward_btc(0)


# What is paid and pledged within a day.


def test_a_payment_is_made_at_the_price_of_its_instant(tmp_path: Path) -> None:
    """100,000 until 06:00, then 50,000: a deposit of 1,000,000 USD at 12:00 takes 20 BTC."""
    hourly = [1e5] * 30 + [5e4] * 90
    for step_s in (900, 6 * HOUR):
        scenario = paid_at_noon(recorded(tmp_path, hourly, 1), step_s, "btc", {})
        result = sim.run(scenario, "static")
        assert result.kpis["btc_sold_btc"] == pytest.approx(20.0, abs=1e-7)


def test_a_loan_is_pledged_at_the_price_of_its_instant(tmp_path: Path) -> None:
    """Half of the collateral's value is lent: 40 BTC at 50,000, and nobody is liquidated."""
    hourly = [1e5] * 30 + [5e4] * 90
    bank = {
        "principal_usd": 0, "limit_usd": 2e6, "collateral_btc": 0.00000001, "initial_ltv": 0.5,
        "start_utc": "2026-01-30T01:00:00Z",
    }  # fmt: skip
    scenario = paid_at_noon(recorded(tmp_path, hourly, 1), 3600, "bank", {"bank": bank})
    result = sim.run(scenario, "static")
    assert result.kpis["btc_collateral_btc"] == pytest.approx(40.0, abs=1e-6)
    assert result.kpis["liquidated_btc"] == 0.0
    assert result.kpis["margin_calls"] == 0.0


def paid_at_noon(file: str, step_s: int, finance: str, loans: dict[str, Any]) -> Scenario:
    return build_scenario(
        {
            "horizon": {
                "start_utc": "2026-01-30T00:00:00Z", "days": 2, "step_s": step_s, "record_s": DAY,
            },
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30}}},
            "btc_price": {"model": "replay", "series": "btc"},
            "series": {"btc": {"file": file}},
            "treasury": {
                "opening_usd": 1e6, "opening_btc": 1000.0, "fee_fraction": 0, "impact_factor": 0,
            },
            "loans": loans,
            "projects": {
                "pod": {
                    "capex_usd": 1e6, "order_utc": "2026-01-30T12:00:00Z", "deposit_fraction": 1.0,
                    "delivery_fraction": 0.0, "lead_days": 100, "finance": finance,
                }
            },
            "faults": {"enabled": False},
        },
        asics=[{"site": "alpha", "model": "Antminer S21", "count": 100}],
        gpus=[{"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "project": "pod"}],
    )  # fmt: skip

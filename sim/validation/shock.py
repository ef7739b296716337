"""The shock of February 2026: the effect of price and storm on the supply curve.

The price fell from 88,000 to 64,000 USD between 2026-01-29 and 02-05, after winter storm Fern had
taken a part of the network off the grid: the retarget of 02-07 was -11.16 %, that of 02-19 +14.73.
Chains are mined from 2026-01-01 on, at the recorded price, in three variants: without a storm, with
the storm as published, and with the storm inferred from the hashrate recorded until 02-05. With the
inferred storm the retarget of 02-07 is no test; price, rebound and hashprice still are. Published
figures end on 01-27: alone they give about a third of the fall, and the price gives none.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.csv

from sim.scenario.bitcoin import Storm
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY
from sim.validation.check import Check
from sim.validation.month import MACHINE, one_site
from sim.world.bitcoin import build_chain
from sim.world.btc_price import btc_signal
from sim.world.difficulty import EPOCH_BLOCKS, hashprice_usd_per_ph_day

NETWORK: Final = "bitcoin_network/btc_network_daily.csv.gz"
NEEDS_DATA: Final = [f"shock of February 2026 ({NETWORK})"]

SEEDS: Final = 40
SHOCK_HEIGHT: Final = 935_424  # 2026-02-07, closes the epoch of the storm
SHOCK_PCT: Final = -11.16
REBOUND_PCT: Final = 14.73  # 2026-02-19, 2,016 blocks later
EPOCH_DAYS: Final = 1_361_477 / SECONDS_PER_DAY  # recorded, of the epoch of the storm
# A change of difficulty compares the times of two epochs; in the record both are random.
CHANCE_POINTS: Final = 2.0 * 100.0 * sqrt(2.0 / EPOCH_BLOCKS)

# Pool figures of TheMinerMag, 2026-01-24 and 25: Foundry USA down by nearly 200 EH/s since Friday,
# Luxor from 45 to 26; of the 1,048 EH/s of early January. CoinWarz: 854 EH/s when it eased, on the
# 26th and 27th. No figure for the days after that was found.
PUBLISHED: Final = (
    Storm(start_utc=datetime(2026, 1, 24, tzinfo=UTC), hours=60, fraction=219 / 1048),
    Storm(start_utc=datetime(2026, 1, 26, 12, tzinfo=UTC), hours=36, fraction=1 - 854 / 1048),
)
BEFORE: Final = ("2026-01-08", "2026-01-24")  # recorded days, the reference for the storm's days
INFERRED: Final = (("2026-01-24", "2026-01-29"), ("2026-01-29", "2026-02-06"))


class Shock(NamedTuple):
    """The result of one chain: changes of difficulty, hashprice before and after."""

    shock_pct: float
    rebound_pct: float
    lowest: float  # [USD/PH/day] over the days of the shock's epoch, before its retarget
    highest: float  # [USD/PH/day] over the days of the next epoch


def checks(data: Path | None) -> Iterator[Check]:
    """Checks of medians over seeds."""
    if data is None:
        return
    price = _median(data, ())
    published = _median(data, PUBLISHED)
    storms = inferred(data)
    both = _median(data, storms)
    storm_pct, inferred_pct = (
        -100.0 * sum(s.fraction * s.hours / 24.0 for s in part) / EPOCH_DAYS
        for part in (PUBLISHED, storms)
    )
    part = "a part: published figures end on 01-27; no deeper than recorded, within ± "
    yield _line(
        "retarget of 2026-02-07, storm as published",
        SHOCK_PCT,
        round(published.shock_pct, 2),
        "%",
        f"{part}{CHANCE_POINTS:.1f} points, deeper than without a storm",
        SHOCK_PCT - CHANCE_POINTS <= published.shock_pct < price.shock_pct,
    )
    for item, expected, got in (
        ("of it by the published storm", storm_pct, published.shock_pct - price.shock_pct),
        ("of it by the price, recorded less inferred storm", SHOCK_PCT - inferred_pct,
         price.shock_pct),
        ("retarget of 2026-02-19, storm as inferred", REBOUND_PCT, both.rebound_pct),
    ):  # fmt: skip
        points = (
            f"± {CHANCE_POINTS:.1f} points: 2 s.d. of the times of two epochs, which are chance"
        )
        ok = abs(got - expected) <= CHANCE_POINTS
        yield _line(item, round(expected, 2), round(got, 2), "%", points, ok)
    for item, wanted, usd in (
        ("lowest hashprice before the retarget, storm as inferred", 27.0, both.lowest),
        ("highest in the epoch after it, storm as inferred", 35.0, both.highest),
    ):
        how = "10 %: daily closes, the low was within a day"
        yield _line(item, wanted, round(usd, 2), "USD/PH/day", how, abs(usd / wanted - 1.0) <= 0.1)


def inferred(data: Path) -> tuple[Storm, ...]:
    """Shortfall of the recorded hashrate of the storm's days against the two weeks before."""
    table = pyarrow.csv.read_csv(data / NETWORK)
    day = np.array(table["date"].to_numpy(), dtype="datetime64[D]")
    rate = np.asarray(table["hashrate_ehs"].to_numpy(), dtype=np.float64)

    def mean(first: str, until: str) -> float:
        found = rate[(day >= np.datetime64(first)) & (day < np.datetime64(until))]
        if not (found.size and np.isfinite(found).all()):
            raise ValueError(f"{NETWORK}: no hashrate_ehs on each day from {first} to {until}")
        return float(found.mean())

    return tuple(
        Storm(
            start_utc=datetime.fromisoformat(first).replace(tzinfo=UTC),
            hours=float((np.datetime64(until) - np.datetime64(first)) / np.timedelta64(1, "h")),
            fraction=1.0 - mean(first, until) / mean(*BEFORE),
        )
        for first, until in INFERRED
    )


def _line(item: str, expected: float, got: float, unit: str, how: str, ok: bool) -> Check:
    source = "bitcoin_network/retargets.csv; storm: TheMinerMag and CoinWarz, 2026-01-24 to 27"
    if unit != "%":
        source = "reported: about 27, then about 35 USD/PH/day after the retarget of -11 %"
    return Check("shock of February 2026", item, expected, got, unit, how, ok, source)


def _median(data: Path, storms: tuple[Storm, ...]) -> Shock:
    scenario = scenario_of(data, storms)
    made = np.array([shock(scenario, seed) for seed in range(SEEDS)])
    return Shock(*(float(value) for value in np.median(made, axis=0)))


def scenario_of(data: Path, storms: tuple[Storm, ...]) -> Scenario:
    """The supply curve from 2026-01-01 on, at the recorded price."""
    tables: dict[str, Any] = {
        "data_dir": str(data),
        "horizon": {"start_utc": "2026-01-01T00:00:00Z", "days": 66, "step_s": 3600},
        "network": {
            "model": "supply-curve",
            "epoch_start_utc": "2025-12-25T03:40:06Z",
            "start_height": 930_340,
            "storms": [storm.model_dump() for storm in storms],
        },
        "btc_price": {"model": "replay", "series": "network"},
        "series": {
            "network": {
                "file": "{data_dir}/bitcoin_network/btc_network_daily.csv.gz",
                "time_column": "date",
            }
        },
    }
    return one_site(tables, 1, MACHINE)


def shock(scenario: Scenario, seed: int) -> Shock:
    """Run one chain."""
    streams = Streams(seed)
    price = btc_signal(scenario, streams)
    chain = build_chain(scenario, streams, price)
    level = chain.epoch_difficulty
    k = int(np.flatnonzero(chain.epoch_height == SHOCK_HEIGHT)[0])
    change = 100.0 * (level[1:] / level[:-1] - 1.0)
    day_s = np.arange(66, dtype=np.int64) * SECONDS_PER_DAY
    hashprice = np.array(
        [
            hashprice_usd_per_ph_day(level[chain.epoch_at(int(t))], chain.reward_btc(int(t)), usd)
            for t, usd in zip(day_s, price.at(day_s), strict=True)
        ]
    )
    epoch = np.array([chain.epoch_at(int(t)) for t in day_s])
    lowest = float(hashprice[epoch == k - 1].min())
    return Shock(change[k - 1], change[k], lowest, float(hashprice[epoch == k].max()))

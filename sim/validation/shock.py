"""The shock of February 2026, by a supply curve that is given the price and the storm alone.

The price fell from 88,000 to 64,000 USD between 2026-01-29 and 02-05, while winter storm Fern had
taken a part of the network off the grid: the retarget of 02-07 was -11.16 %, that of 02-19 +14.73 %.
The chain is mined from 2026-01-01 on; nothing recorded after that but the price goes in.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sim.scenario.bitcoin import Storm
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY
from sim.validation.check import Check
from sim.validation.month import MACHINE, one_site
from sim.world.bitcoin import build_chain
from sim.world.difficulty import EPOCH_BLOCKS, hashprice_usd_per_ph_day
from sim.world.signals import btc_signal

NEEDS_DATA: Final = ["shock of February 2026 (bitcoin_network/btc_network_daily.csv.gz)"]

SEEDS: Final = 40
SHOCK_HEIGHT: Final = 935_424  # 2026-02-07, closes the epoch of the storm
SHOCK_PCT: Final = -11.16
REBOUND_PCT: Final = 14.73  # 2026-02-19, 2,016 blocks later
EPOCH_DAYS: Final = 1_361_477 / SECONDS_PER_DAY  # recorded, of the epoch of the storm
# A change of the difficulty compares the times of two epochs: both are chance in the record.
CHANCE_POINTS: Final = 2.0 * 100.0 * sqrt(2.0 / EPOCH_BLOCKS)

# Pool figures of TheMinerMag, 2026-01-24 and 25: Foundry USA down by nearly 200 EH/s since Friday,
# Luxor from 45 to 26; of the 1,048 EH/s of early January. CoinWarz: 854 EH/s when it eased, on the
# 26th and 27th. After that day no published figure was found, and none is assumed.
STORMS: Final = (
    Storm(start_utc=datetime(2026, 1, 24, tzinfo=UTC), hours=60, fraction=219 / 1048),
    Storm(start_utc=datetime(2026, 1, 26, 12, tzinfo=UTC), hours=36, fraction=1 - 854 / 1048),
)


class Shock(NamedTuple):
    """What a chain made of it: changes of difficulty, hashprice before and after."""

    shock_pct: float
    rebound_pct: float
    lowest: float  # [USD/PH/day] of the days before the retarget of the shock, in its epoch
    highest: float  # of the days of the epoch after it


def checks(data: Path | None) -> Iterator[Check]:
    """Medians over seeds, with the storm and without."""
    if data is None:
        return
    both = _median(data, STORMS)
    price_alone = _median(data, ())
    storm_pct = -100.0 * sum(s.fraction * s.hours / 24.0 for s in STORMS) / EPOCH_DAYS
    points = f"± {CHANCE_POINTS:.1f} points: 2 s.d. of the time of two epochs, which is chance"
    for item, expected, got in (
        ("retarget of 2026-02-07, storm and price", SHOCK_PCT, both.shock_pct),
        ("of it by the storm", storm_pct, both.shock_pct - price_alone.shock_pct),
        ("of it by the price", SHOCK_PCT - storm_pct, price_alone.shock_pct),
        ("retarget of 2026-02-19", REBOUND_PCT, both.rebound_pct),
    ):
        ok = abs(got - expected) <= CHANCE_POINTS
        yield _line(item, round(expected, 2), round(got, 2), "%", points, ok)
    for item, wanted, price in (
        ("lowest hashprice before the retarget", 27.0, both.lowest),
        ("highest hashprice in the epoch after it", 35.0, both.highest),
    ):
        ok = abs(price / wanted - 1.0) <= 0.1
        how = "10 %: daily closes, the low was within a day"
        yield _line(item, wanted, round(price, 2), "USD/PH/day", how, ok)


def _line(item: str, expected: float, got: float, unit: str, how: str, ok: bool) -> Check:
    source = "bitcoin_network/retargets.csv; storm: TheMinerMag and CoinWarz, 2026-01-24 to 27"
    if unit != "%":
        source = "reported: about 27, then about 35 USD/PH/day after the retarget of -11 %"
    return Check("shock of February 2026", item, expected, got, unit, how, ok, source)


def _median(data: Path, storms: tuple[Storm, ...]) -> Shock:
    made = np.array([shock(data, storms, seed) for seed in range(SEEDS)])
    return Shock(*(float(value) for value in np.median(made, axis=0)))


def shock(data: Path, storms: tuple[Storm, ...], seed: int) -> Shock:
    """One chain from 2026-01-01 on."""
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
    scenario = one_site(tables, 1, MACHINE)
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

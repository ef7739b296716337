"""Price and network out of recorded days: joint, in blocks, with the moments of the record."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.scenario import Scenario
from sim.scenario.bitcoin import BootstrapBtcPrice, BootstrapNetwork
from sim.scenario.model import SeriesSpec
from sim.scenario.series import Series, read_series
from sim.streams import Streams
from sim.units import SECONDS_PER_DAY
from sim.world.bitcoin import build_chain
from sim.world.bootstrap import centred_mean, drawn_days, drawn_hashrate
from sim.world.btc_price import bootstrap_price, btc_signal
from sim.world.difficulty import next_bits
from tests.conftest import build_scenario

DAYS = 400
TIE = 0.3  # the synthetic hashrate grows by this share of what the price grows


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A made record in which hashrate and fees follow the price exactly."""
    steps = np.random.default_rng(1).normal(0.001, 0.03, DAYS)
    price = 1000.0 * np.exp(np.cumsum(steps))
    rows = ["date,price_usd,difficulty,blocks,fees_btc"]
    for day, usd in enumerate(price):
        date = np.datetime64("2024-01-01") + day
        rows.append(f"{date},{usd!r},{1e14 * (usd / 1000) ** TIE!r},144,{144 * day!r}")
    file = tmp_path_factory.mktemp("record") / "days.csv"
    file.write_text("\n".join(rows).replace("np.float64(", "").replace(")", "") + "\n")
    return read_series(file, SeriesSpec(file="days.csv", time_column="date"))


def price_of(recorded: Series, days: int, seed: int, **keys: Any) -> np.ndarray:
    """Price of each day (day,)."""
    table = BootstrapBtcPrice(series="days", usd_per_btc=1.0, **keys)
    path = bootstrap_price(table, recorded, days * SECONDS_PER_DAY, Streams(seed))
    return path.at(np.arange(days, dtype=np.int64) * SECONDS_PER_DAY)


def test_price_and_network_live_the_same_days(recorded: Series) -> None:
    usd = price_of(recorded, 901, 5)  # what a day returns is there when it is over
    network = BootstrapNetwork(series="days", smooth_days=1)
    growth, fees_btc, before_btc = drawn_hashrate(network, recorded, 900, Streams(5))
    np.testing.assert_allclose(growth, (usd[1:] / usd[1]) ** TIE, rtol=1e-9)
    drawn = np.rint(fees_btc).astype(int)  # fees of the record count its days
    assert round(before_btc) == drawn[0] - 1
    whole = np.log(recorded.column("price_usd"))
    np.testing.assert_allclose(np.diff(np.log(usd)), whole[drawn] - whole[drawn - 1], atol=1e-9)
    other = drawn_hashrate(network, recorded, 900, Streams(6)).growth
    assert abs(np.corrcoef(np.diff(np.log(other)), np.diff(np.log(usd))[1:])[0, 1]) < 0.15


def test_days_within_a_block_follow_each_other_in_a_circle(recorded: Series) -> None:
    table = BootstrapBtcPrice(series="days", block_days=50)
    days = drawn_days(table, recorded, 5000, Streams(1)).reshape(-1, 50)
    assert set(np.unique(np.diff(days, axis=1))) == {1, 2 - DAYS}
    assert (days.min(), days.max()) == (1, DAYS - 1)
    counts = np.bincount(
        np.concatenate([drawn_days(table, recorded, 2000, Streams(s)) for s in range(60)])
    )
    # every day as likely as any other: the first and the last week too
    expected = 120_000 / (DAYS - 1)
    spread = expected * np.sqrt(50 / expected)  # of 50 days that come together
    assert np.abs(counts[1:] - expected).max() < 5 * spread
    assert np.abs(counts[[1, 2, 3, -3, -2, -1]] - expected).max() < 4 * spread


def test_moments_are_those_of_the_record(recorded: Series) -> None:
    steps = np.diff(np.log(recorded.column("price_usd")))
    drawn = np.concatenate(
        [np.diff(np.log(price_of(recorded, 2000, seed, block_days=7))) for seed in range(40)]
    )
    assert drawn.mean() == pytest.approx(steps.mean(), abs=4 * steps.std() / np.sqrt(len(drawn)))
    assert drawn.std() == pytest.approx(steps.std(), rel=0.02)
    assert set(np.round(drawn, 9)) <= set(np.round(steps, 9))


def test_seed_decides_and_a_longer_horizon_changes_nothing(recorded: Series) -> None:
    np.testing.assert_array_equal(price_of(recorded, 100, 3), price_of(recorded, 300, 3)[:100])
    np.testing.assert_array_equal(price_of(recorded, 100, 3), price_of(recorded, 100, 3))
    assert (price_of(recorded, 100, 3) != price_of(recorded, 100, 4)).any()


def test_only_the_days_asked_for_are_drawn(recorded: Series) -> None:
    table = BootstrapBtcPrice.model_validate(
        {
            "series": "days",
            "block_days": 5,
            "from_utc": "2024-03-01T00:00:00Z",
            "until_utc": "2024-03-11T00:00:00Z",
        }
    )
    whole = np.diff(np.log(recorded.column("price_usd")))
    path = bootstrap_price(table, recorded, 300 * SECONDS_PER_DAY, Streams(1))
    steps = np.diff(np.log(path.at(np.arange(300, dtype=np.int64) * SECONDS_PER_DAY)))
    assert set(np.round(steps, 9)) == set(np.round(whole[59:69], 9))


def test_smoothing_keeps_the_mean_and_takes_the_chance() -> None:
    """Blocks of a day are Poisson: over 29 days their spread falls by the root of 29."""
    counts = np.random.default_rng(2).poisson(144, 20_000).astype(float)
    smooth = centred_mean(counts, 29)
    assert smooth.mean() == pytest.approx(counts.mean(), rel=1e-3)
    assert smooth.std() == pytest.approx(12 / np.sqrt(29), rel=0.1)
    np.testing.assert_array_equal(centred_mean(counts, 1), counts)
    np.testing.assert_allclose(
        centred_mean(np.arange(5.0), 3), [0.5, 1.0, 2.0, 3.0, 3.5], rtol=1e-12
    )


def joint(data: Path, days: float) -> Scenario:
    drawn = {"model": "bootstrap", "series": "network", "from_utc": "2021-01-01T00:00:00Z"}
    return build_scenario(
        {
            "data_dir": str(data),
            "horizon": {"days": days},
            "network": drawn,
            "btc_price": drawn,
            "series": {
                "network": {
                    "file": "{data_dir}/bitcoin_network/btc_network_daily.csv.gz",
                    "time_column": "date",
                }
            },
        }
    )


def test_a_chain_of_recorded_days_keeps_consensus_and_fees(data: Path) -> None:
    short, long = joint(data, 60), joint(data, 150)
    streams = Streams(4)
    c = build_chain(long, streams, btc_signal(long, streams))
    for k in range(1, len(c.epoch_bits) - 1):
        first = int(c.block_s[c.epoch_height[k] - c.first_height])
        assert c.epoch_bits[k + 1] == next_bits(c.epoch_bits[k], first, int(c.epoch_s[k + 1]))
    assert c.network_ths[0] == pytest.approx(1048e6)
    assert (c.fees_btc > 0).all()
    assert len(set(c.fees_btc[:150])) > 100
    early = build_chain(short, streams, btc_signal(short, streams))
    n = int(np.searchsorted(early.block_s, 60 * SECONDS_PER_DAY))
    np.testing.assert_array_equal(early.block_s[:n], c.block_s[:n])

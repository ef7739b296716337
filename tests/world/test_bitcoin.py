"""Consensus arithmetic, the growing chain, the replayed chain."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.streams import Streams
from sim.validation.chain import VECTORS
from sim.validation.month import fleet_of
from sim.world.bitcoin import Chain, build_chain
from sim.world.btc_price import btc_signal
from sim.world.difficulty import (
    EPOCH_BLOCKS,
    POW_LIMIT,
    TARGET_TIMESPAN_S,
    bits_from_target,
    difficulty,
    hashprice_usd_per_ph_day,
    next_bits,
    subsidy_btc,
    target_from_bits,
)
from tests.conftest import build_scenario


@pytest.mark.parametrize(("first", "last", "bits", "wanted"), VECTORS)
def test_reference_vectors(first: int, last: int, bits: int, wanted: int) -> None:
    assert next_bits(bits, first, last) == wanted


@given(st.integers(1, POW_LIMIT))
def test_compact_form_cuts_off_and_never_rounds_up(target: int) -> None:
    bits = bits_from_target(target)
    back = target_from_bits(bits)
    assert back <= target
    assert target - back < max(1, target >> 15)
    assert bits_from_target(back) == bits
    assert not bits & 0x00800000


@given(st.integers(0x17010000, 0x1C7FFFFF), st.integers(-(10**6), 10**7))
def test_a_retarget_is_clamped_to_a_factor_of_four(bits: int, span_s: int) -> None:
    if not bits & 0x007FFFFF or bits & 0x00800000:
        return
    ratio = difficulty(bits) / difficulty(next_bits(bits, 0, span_s))
    assert 0.2499 <= ratio <= 4.001
    expected = min(max(span_s, TARGET_TIMESPAN_S // 4), TARGET_TIMESPAN_S * 4) / TARGET_TIMESPAN_S
    assert ratio == pytest.approx(expected, rel=1e-2)


def test_subsidy_and_hashprice() -> None:
    assert subsidy_btc(839_999) == 6.25
    assert subsidy_btc(840_000) == 3.125
    assert subsidy_btc(1_050_000) == 1.5625
    assert subsidy_btc(64 * 210_000) == 0.0
    # difficulty of 2026-02-09 at the close of that day: about 35 USD/PH/day were reported
    assert hashprice_usd_per_ph_day(125_864_590_119_494.3, 3.143, 70_130.11) == pytest.approx(
        35.2, abs=0.2
    )


def chain(days: float = 60, seed: int = 1, **network: object) -> Chain:
    tables = {"horizon": {"days": days}, "network": {"model": "growth", **network}}
    scenario = build_scenario(tables)
    return build_chain(scenario, Streams(seed), btc_signal(scenario, Streams(seed)))


def test_blocks_come_as_a_poisson_process() -> None:
    """At a hashrate that fits the difficulty gaps are exponential with a mean of 600 s."""
    gaps = np.concatenate(
        [
            np.diff(chain(13, seed, hashrate_ehs=1061.3, volatility_per_year=0.0).block_s[:1800])
            for seed in range(8)
        ]
    )
    error = 600 / np.sqrt(len(gaps))
    assert gaps.mean() == pytest.approx(600, abs=4 * error)
    assert gaps.std() == pytest.approx(600, rel=0.05)
    assert (gaps > 1200).mean() == pytest.approx(np.exp(-2), abs=0.02)


def test_retargets_follow_from_the_time_stamps() -> None:
    c = chain(60, 3, drift_per_year=1.0)
    height = c.first_height
    for k in range(1, len(c.epoch_bits) - 1):
        first = int(c.block_s[c.epoch_height[k] - height])
        last = int(c.block_s[c.epoch_height[k + 1] - 1 - height])
        assert c.epoch_bits[k + 1] == next_bits(c.epoch_bits[k], first, last)
        assert c.epoch_s[k + 1] == last
    assert (np.diff(c.epoch_height) == EPOCH_BLOCKS).all()
    assert c.epoch_difficulty[-1] > c.epoch_difficulty[1]


def test_every_epoch_has_luck_of_its_own() -> None:
    c = chain(60)
    first, second = (int(h) - c.first_height for h in c.epoch_height[1:3])
    assert (c.luck[first : first + 100] != c.luck[second : second + 100]).all()
    gaps = [np.diff(c.block_s[k : k + 2000]) for k in (first, second)]
    assert abs(np.corrcoef(gaps[0], gaps[1])[0, 1]) < 0.1


def test_the_tip_rises_by_one_with_each_block() -> None:
    c = chain(20)
    assert c.height_at(int(c.block_s[0]) - 1) == c.first_height - 1
    alone = [k for k in range(50) if c.block_s[k] < c.block_s[k + 1]]  # none in the same second
    assert [c.height_at(int(c.block_s[k])) for k in alone] == [c.first_height + k for k in alone]
    assert c.height_at(20 * 86_400) > c.first_height + 2000
    assert ("retarget", 0) not in {(what, t) for t, what in c.changes_s()}


def test_a_longer_horizon_does_not_change_the_blocks() -> None:
    short, long = chain(20), chain(50)
    n = int(np.searchsorted(short.block_s, 20 * 86_400))
    np.testing.assert_array_equal(short.block_s[:n], long.block_s[:n])
    np.testing.assert_array_equal(short.luck[:n], long.luck[:n])


def test_a_chain_that_begins_inside_an_epoch_ends_it_in_time() -> None:
    c = chain(
        20, 2, epoch_start_utc="2025-12-25T03:40:06Z", start_height=930_340, volatility_per_year=0.0
    )
    assert c.height_at(0) == 930_340
    assert c.epoch_height[1] == 929_376 + 2016
    days = c.epoch_s[1] / 86_400
    assert 6 < days < 9  # the real one came on 2026-01-08


def test_halving_is_an_event() -> None:
    c = chain(
        10,
        1,
        epoch_height=1_049_328 - 1_049_328 % 2016,
        start_height=1_049_328 - 1_049_328 % 2016 + 1500,
        epoch_start_utc="2025-12-22T00:00:00Z",
    )
    events = [kind for _, kind in c.changes_s()]
    assert ("halving" in events) == (c.first_height <= 1_050_000 <= c.first_height + len(c.block_s))


def test_replay_has_the_recorded_difficulty(data: Path) -> None:
    scenario = fleet_of(1.0, "2024-04", data)
    c = build_chain(scenario, Streams(1), btc_signal(scenario, Streams(1)))
    events = [e for e in c.changes_s() if e[0] < scenario.horizon.seconds]
    assert [kind for _, kind in events] == ["retarget", "halving", "retarget"]
    halving_day = events[1][0] / 86_400
    assert halving_day == pytest.approx(19.0, abs=0.4)  # 2024-04-20 00:09 UTC; blocks are drawn
    assert c.height_at(0) == pytest.approx(837_180, abs=80)
    assert c.reward_btc(0) == pytest.approx(6.25 + 0.6, abs=0.5)

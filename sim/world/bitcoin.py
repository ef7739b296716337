"""The chain over the horizon: when blocks come, what difficulty is in force, what a block pays.

Nothing here depends on what the fleet does: the fleet's own hashes are part of the network's.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.scenario.bitcoin import GrowthNetwork, ReplayNetwork
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.units import (
    DAYS_PER_YEAR,
    HASHES_PER_TH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    TH_PER_EH,
)
from sim.world.difficulty import (
    BLOCK_S,
    EPOCH_BLOCKS,
    HALVING_BLOCKS,
    HASHES_PER_DIFFICULTY,
    difficulty,
    next_bits,
    subsidy_btc,
)

LUCK_BLOCK_DAYS: Final = 30  # randomness by day is drawn for so many days at once


@dataclass(frozen=True)
class Chain:
    """Blocks and epochs of a run. Shapes: `block`, `epoch`, `day`; times are run seconds."""

    epoch_s: Ints  # (epoch,) from when the epoch's difficulty is in force; the first is <= 0
    epoch_height: Ints  # (epoch,) height of its first block
    epoch_difficulty: Floats  # (epoch,)
    epoch_bits: tuple[int, ...]  # (epoch,) compact targets, empty where only difficulty is known
    block_s: Ints  # (block,) time of each block from the start on
    first_height: int  # of block_s[0]
    luck: Floats  # (block,) uniform: decides whose block it is
    fees_btc: Floats  # (day,) mean fees of a block
    network_ths: Floats  # (day,) network hashrate

    def height_at(self, t_s: int) -> int:
        """Height of the tip."""
        return self.first_height - 1 + int(np.searchsorted(self.block_s, t_s, side="right"))

    def epoch_at(self, t_s: int) -> int:
        """Index of the epoch whose difficulty is in force."""
        return int(np.searchsorted(self.epoch_s, t_s, side="right")) - 1

    def reward_btc(self, t_s: int) -> float:
        """Subsidy of the next block and mean fees of the day [BTC]."""
        return subsidy_btc(self.height_at(t_s) + 1) + float(self.fees_btc[t_s // SECONDS_PER_DAY])

    def changes_s(self) -> list[tuple[int, str]]:
        """Retargets and halvings after the start, in order of time."""
        events = [(int(t), "retarget") for t in self.epoch_s if t > 0]
        last = self.first_height + len(self.block_s) - 1
        first = -(-self.first_height // HALVING_BLOCKS) * HALVING_BLOCKS
        for height in range(first, last + 1, HALVING_BLOCKS):
            # the smaller subsidy is in force once the block before has been found
            before = max(height - 1 - self.first_height, 0)
            events.append((int(self.block_s[before]), "halving"))
        return sorted(events)


def build_chain(scenario: Scenario, streams: Streams) -> Chain:
    """The chain of a scenario, a little past its horizon."""
    if isinstance(scenario.network, GrowthNetwork):
        return _growth(scenario, scenario.network, streams)
    return _replay(scenario, scenario.network, streams)


def _growth(scenario: Scenario, network: GrowthNetwork, streams: Streams) -> Chain:
    """Blocks as a Poisson process at the network's hashrate; retargets by the consensus rule.

    The n-th block after the start falls where the hashes done reach the sum of n exponential
    demands: exact for any hashrate that changes from day to day.
    """
    horizon_s = scenario.horizon.seconds + SECONDS_PER_DAY
    days = -(-horizon_s // SECONDS_PER_DAY) + 60  # room for the epoch that straddles the end
    network_ths = _growth_ths(network, days, streams)
    done_th = np.concatenate([[0.0], np.cumsum(network_ths * SECONDS_PER_DAY)])
    edges_s = np.arange(days + 1) * float(SECONDS_PER_DAY)

    bits = int(network.bits, 16)
    height = network.epoch_height
    tip = network.epoch_height if network.start_height is None else network.start_height
    start = scenario.horizon.start_utc
    began = network.epoch_start_utc or start
    first_time_s = round((began - start).total_seconds())
    epochs = [(min(first_time_s, 0), height, bits)]
    blocks: list[Ints] = []
    luck: list[Floats] = []
    clock_th = 0.0
    last_s = 0
    while last_s < horizon_s:
        draw = streams.generator("blocks", day=height)
        demand = draw.standard_exponential(EPOCH_BLOCKS)
        uniform = draw.random(EPOCH_BLOCKS)
        skip = tip + 1 - height if not blocks else 0  # found before the run began
        th_per_block = difficulty(bits) * HASHES_PER_DIFFICULTY / HASHES_PER_TH
        reached = clock_th + np.cumsum(demand[skip:]) * th_per_block
        times = np.interp(reached, done_th, edges_s)
        if reached.size and reached[-1] > done_th[-1]:  # far past the horizon: at the last rate
            late = reached > done_th[-1]
            times[late] = edges_s[-1] + (reached[late] - done_th[-1]) / network_ths[-1]
        seconds = times.astype(np.int64)
        blocks.append(seconds)
        luck.append(uniform[skip:])
        clock_th = float(reached[-1])
        last_s = int(seconds[-1])
        if height != network.epoch_height:
            first_time_s = int(seconds[0])
        bits = next_bits(bits, first_time_s, last_s)
        height += EPOCH_BLOCKS
        epochs.append((last_s, height, bits))
    return Chain(
        epoch_s=np.array([e[0] for e in epochs], dtype=np.int64),
        epoch_height=np.array([e[1] for e in epochs], dtype=np.int64),
        epoch_difficulty=np.array([difficulty(e[2]) for e in epochs]),
        epoch_bits=tuple(e[2] for e in epochs),
        block_s=np.concatenate(blocks),
        first_height=tip + 1,
        luck=np.concatenate(luck),
        fees_btc=np.full(days, network.fees_btc_per_block),
        network_ths=network_ths,
    )


def _growth_ths(network: GrowthNetwork, days: int, streams: Streams) -> Floats:
    """Daily hashrate [TH/s]: a geometric Brownian motion with the given drift of its logarithm."""
    shocks = daily_normals("network-hashrate", "", days, streams)
    steps = network.drift_per_year / DAYS_PER_YEAR
    steps = steps + network.volatility_per_year / np.sqrt(DAYS_PER_YEAR) * shocks
    logarithm = np.concatenate([[0.0], np.cumsum(steps[1:])])
    return np.asarray(network.hashrate_ehs * TH_PER_EH * np.exp(logarithm), dtype=np.float64)


def daily_normals(component: str, entity: str, count: int, streams: Streams) -> Floats:
    """Standard normals by day (count,), drawn in whole blocks so that no horizon changes them."""
    blocks = -(-count // LUCK_BLOCK_DAYS)
    drawn = [
        streams.generator(component, entity, b * LUCK_BLOCK_DAYS).standard_normal(LUCK_BLOCK_DAYS)
        for b in range(blocks)
    ]
    return np.concatenate(drawn)[:count]


def _replay(scenario: Scenario, network: ReplayNetwork, streams: Streams) -> Chain:
    """Recorded retargets and fees.

    Given how many blocks an epoch had, the times of a Poisson process are uniform in it: so the
    blocks between two recorded retargets are drawn.
    """
    start = round(scenario.horizon.start_utc.timestamp())
    end = start + scenario.horizon.seconds
    table = scenario.recorded[network.retargets]
    times = table.start_s
    heights = table.column(network.height_column).astype(np.int64)
    levels = table.column(network.difficulty_column)
    first = int(np.searchsorted(times, start, side="right")) - 1
    last = int(np.searchsorted(times, end, side="left"))
    blocks: list[Ints] = []
    luck: list[Floats] = []
    rates: list[tuple[int, float]] = []
    for k in range(first, last):
        begins = int(times[k])
        if k + 1 < len(times):
            count, until = int(heights[k + 1] - heights[k]), int(times[k + 1])
        else:  # after the last recorded retarget its difficulty stays, at a block in 600 s
            until = max(begins + EPOCH_BLOCKS * BLOCK_S, end + SECONDS_PER_DAY)
            count = (until - begins) // BLOCK_S
        draw = streams.generator("blocks", day=int(heights[k]))
        inside = np.sort(draw.uniform(begins, until, count - 1)).astype(np.int64)
        blocks.append(np.concatenate([times[k : k + 1], inside]))
        luck.append(draw.random(count))
        hashes = count * levels[k] * HASHES_PER_DIFFICULTY
        rates.append((begins, hashes / (until - begins) / HASHES_PER_TH))
    block_s = np.concatenate(blocks) - start
    from_start = block_s > 0
    day_s = start + np.arange(-(-scenario.horizon.seconds // SECONDS_PER_DAY) + 1) * SECONDS_PER_DAY
    inside_s = np.minimum(day_s, end - SECONDS_PER_HOUR)
    daily = scenario.recorded[network.daily]
    fees = daily.sample(network.fees_column, inside_s)
    per_block = fees / np.maximum(daily.sample(network.blocks_column, inside_s), 1.0)
    rate_row = np.searchsorted([r[0] for r in rates], day_s, side="right") - 1
    return Chain(
        epoch_s=times[first:last] - start,
        epoch_height=heights[first:last],
        epoch_difficulty=levels[first:last],
        epoch_bits=(),
        block_s=block_s[from_start],
        first_height=int(heights[first] + np.argmax(from_start)),
        luck=np.concatenate(luck)[from_start],
        fees_btc=per_block,
        network_ths=np.array([rates[r][1] for r in rate_row]),
    )

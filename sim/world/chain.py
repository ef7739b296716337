"""A blockchain, and its simulation day by day.

Nothing here depends on what the fleet does: its own hashes are part of the network's.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.scenario.bitcoin import MinedNetwork
from sim.scenario.model import Horizon
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import HASHES_PER_TH, SECONDS_PER_DAY
from sim.world.difficulty import (
    EPOCH_BLOCKS,
    HALVING_BLOCKS,
    HASHES_PER_DIFFICULTY,
    difficulty,
    next_bits,
    subsidy_btc,
)

PATIENCE_S: Final = 60 * SECONDS_PER_DAY


@dataclass(frozen=True)
class Chain:
    """Blocks and epochs of a run. Shapes: `block`, `epoch`, `day`; times are run seconds."""

    epoch_s: Ints  # (epoch,) start of the epoch's difficulty; the first is <= 0
    epoch_height: Ints  # (epoch,) height of its first block
    epoch_difficulty: Floats  # (epoch,)
    epoch_bits: tuple[int, ...]  # (epoch,) compact targets, empty where only difficulty is known
    block_s: Ints  # (block,) time of each block after the start
    first_height: int  # of block_s[0]
    luck: Floats  # (block,) uniform: decides who finds the block
    fees_btc: Floats  # (day,) mean fees of a block, known when the day is over
    fees_before_btc: float  # those of the day before the run
    network_ths: Floats  # (day,) network hashrate

    def height_at(self, t_s: int) -> int:
        """Height of the tip."""
        return self.first_height - 1 + int(np.searchsorted(self.block_s, t_s, side="right"))

    def epoch_at(self, t_s: int) -> int:
        """Index of the epoch whose difficulty is in force."""
        return int(np.searchsorted(self.epoch_s, t_s, side="right")) - 1

    def reward_btc(self, t_s: int) -> float:
        """Subsidy of the next block and mean fees of the day [BTC]: the basis of pool payouts."""
        return subsidy_btc(self.height_at(t_s) + 1) + float(self.fees_btc[t_s // SECONDS_PER_DAY])

    def known_reward_btc(self, t_s: int) -> float:
        """Subsidy of the next block and mean fees of the day before [BTC]: known at the time."""
        day = t_s // SECONDS_PER_DAY
        fees_btc = float(self.fees_btc[day - 1]) if day else self.fees_before_btc
        return subsidy_btc(self.height_at(t_s) + 1) + fees_btc

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


class ForwardChain:
    """Blocks as a Poisson process at each day's hashrate; retargets by the consensus rule.

    The n-th block after the start is found when the hashes done reach the sum of n exponential
    demands. This is exact for any hashrate that changes from day to day. Demands are drawn by
    epoch.
    """

    def __init__(self, network: MinedNetwork, horizon: Horizon, streams: Streams) -> None:
        self.streams = streams
        self.needed_s = horizon.seconds + SECONDS_PER_DAY
        self.bits = int(network.bits, 16)
        self.height = network.epoch_height  # of the first block of the epoch in force
        tip = network.epoch_height if network.start_height is None else network.start_height
        self.first_height = self.next_height = tip + 1
        began = network.epoch_start_utc or horizon.start_utc
        self.first_time_s = round((began - horizon.start_utc).total_seconds())
        self.network_ths: list[float] = []  # of the days mined
        self.done_th = 0.0
        self.epochs = [(min(self.first_time_s, 0), self.height, self.bits)]
        self.blocks: list[Ints] = []
        self.luck: list[Floats] = []
        self.reached_th: Floats = np.empty(0)  # work at which each block of the epoch is found
        self.found = 0  # blocks of the epoch found so far
        self._draw(0.0, skip=tip + 1 - self.height)  # the others came before the run began

    @property
    def difficulty(self) -> float:
        """Difficulty in force."""
        return difficulty(self.bits)

    @property
    def complete(self) -> bool:
        """Whether the run is covered, with the last block of the epoch that straddles its end.

        If too little hashrate is left to find that block, mining stops two months after the end.
        """
        mined_s = len(self.network_ths) * SECONDS_PER_DAY
        return self.epochs[-1][0] >= self.needed_s or mined_s >= self.needed_s + PATIENCE_S

    def mine(self, network_ths: float) -> None:
        """Mine one more day, at the mean hashrate of that day [TH/s]."""
        day_s = len(self.network_ths) * SECONDS_PER_DAY
        until_th = self.done_th + network_ths * SECONDS_PER_DAY
        work = np.array([self.done_th, until_th])
        clock_s = np.array([day_s, day_s + SECONDS_PER_DAY], dtype=np.float64)
        while True:
            found = int(np.searchsorted(self.reached_th, until_th, side="right"))
            times_s = np.interp(self.reached_th[self.found : found], work, clock_s).astype(np.int64)
            self.blocks.append(times_s)
            self.next_height += times_s.size
            if self.found == 0 and self.height != self.epochs[0][1] and times_s.size:
                self.first_time_s = int(times_s[0])
            self.found = found
            if found < len(self.reached_th):
                break
            self._retarget(int(times_s[-1]))
        self.network_ths.append(network_ths)
        self.done_th = until_th

    def _retarget(self, last_s: int) -> None:
        self.bits = next_bits(self.bits, self.first_time_s, last_s)
        self.height += EPOCH_BLOCKS
        self.epochs.append((last_s, self.height, self.bits))
        self._draw(float(self.reached_th[-1]), skip=0)

    def _draw(self, from_th: float, skip: int) -> None:
        """Draw the work that each block of the epoch takes, and what decides who finds it."""
        draw = self.streams.generator("blocks", day=self.height)
        demand = draw.standard_exponential(EPOCH_BLOCKS)[skip:]
        th_per_block = self.difficulty * HASHES_PER_DIFFICULTY / HASHES_PER_TH
        self.reached_th = from_th + np.cumsum(demand) * th_per_block
        self.luck.append(draw.random(EPOCH_BLOCKS)[skip:])
        self.found = 0

    def chain(self, fees_btc: Floats, fees_before_btc: float) -> Chain:
        """The chain as mined so far, with the mean fees of a block (day,) and of the day before."""
        block_s = np.concatenate(self.blocks)
        return Chain(
            epoch_s=np.array([e[0] for e in self.epochs], dtype=np.int64),
            epoch_height=np.array([e[1] for e in self.epochs], dtype=np.int64),
            epoch_difficulty=np.array([difficulty(e[2]) for e in self.epochs]),
            epoch_bits=tuple(e[2] for e in self.epochs),
            block_s=block_s,
            first_height=self.first_height,
            luck=np.concatenate(self.luck)[: len(block_s)],
            fees_btc=fees_btc,
            fees_before_btc=fees_before_btc,
            network_ths=np.array(self.network_ths),
        )

"""Pool payout schemes: FPPS, PPLNS, solo. Before fees all have the same expected payout."""

from typing import Protocol

import numpy as np

from sim.scenario.bitcoin import Pool as PoolSpec
from sim.types import Floats
from sim.units import HASHES_PER_TH, SECONDS_PER_DAY, TH_PER_EH
from sim.world.bitcoin import Chain
from sim.world.difficulty import HASHES_PER_DIFFICULTY, subsidy_btc


class Pool(Protocol):
    """Pays for hashes of an interval with constant difficulty and subsidy."""

    def pay(self, hashed_th: Floats, from_s: int, to_s: int, btc_per_th: float) -> Floats:
        """Gross bitcoin by site (site,) for the hashes [TH] (site,) of the interval.

        `btc_per_th` is the expected value of a hash in it [BTC/TH].
        """
        ...


class Fpps:
    """Full pay per share: the expected value of every hash, subsidy and mean fees."""

    def pay(self, hashed_th: Floats, from_s: int, to_s: int, btc_per_th: float) -> Floats:
        """Expected bitcoin of the interval."""
        return hashed_th * btc_per_th


class Solo:
    """Solo mining: blocks thinned by the fleet's share of the network, full reward or none."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain

    def pay(self, hashed_th: Floats, from_s: int, to_s: int, btc_per_th: float) -> Floats:
        """Rewards of the blocks the fleet finds, split over its sites by hashes."""
        paid = np.zeros_like(hashed_th)
        total_th = float(hashed_th.sum())
        if total_th > 0.0:
            day = from_s // SECONDS_PER_DAY
            share = total_th / (float(self.chain.network_ths[day]) * (to_s - from_s))
            for reward_btc in _found(self.chain, from_s, to_s, share):
                paid += hashed_th * (reward_btc / total_th)
        return paid


class Pplns:
    """Pay per last N shares: each pool block is split over the window of hashes before it.

    The window is `window_blocks` times the expected hashes of a block. Before the run the
    window is assumed filled as in its known part, so that payouts do not start with a gap.
    """

    def __init__(self, chain: Chain, spec: PoolSpec) -> None:
        self.chain = chain
        self.spec = spec
        self.others_ths = spec.hashrate_ehs * TH_PER_EH
        self.window: list[tuple[Floats, float]] = []  # hashes by site, hashes of the whole pool

    def pay(self, hashed_th: Floats, from_s: int, to_s: int, btc_per_th: float) -> Floats:
        """Rewards of the pool's blocks times each site's share of the window."""
        seconds = to_s - from_s
        pool_th = float(hashed_th.sum()) + self.others_ths * seconds
        self.window.append((hashed_th.copy(), pool_th))
        paid = np.zeros_like(hashed_th)
        network_th = float(self.chain.network_ths[from_s // SECONDS_PER_DAY]) * seconds
        for reward_btc in _found(self.chain, from_s, to_s, pool_th / network_th):
            paid += reward_btc * self._shares(from_s)
        return paid

    def _shares(self, t_s: int) -> Floats:
        """Share of each site in the window (site,); hashes outside the window are dropped."""
        level = float(self.chain.epoch_difficulty[self.chain.epoch_at(t_s)])
        left_th = self.spec.window_blocks * level * HASHES_PER_DIFFICULTY / HASHES_PER_TH
        mine = np.zeros_like(self.window[0][0])
        counted_th = 0.0
        keep = len(self.window)
        while keep > 0 and left_th > 0.0:
            keep -= 1
            hashed_th, pool_th = self.window[keep]
            part = min(1.0, left_th / pool_th)
            mine += hashed_th * part
            counted_th += pool_th * part
            left_th -= pool_th
        del self.window[:keep]
        return mine / counted_th


def build_pool(spec: PoolSpec, chain: Chain) -> Pool:
    """Build the pool of a scenario."""
    if spec.model == "pplns":
        return Pplns(chain, spec)
    return Solo(chain) if spec.model == "solo" else Fpps()


def _found(chain: Chain, from_s: int, to_s: int, share: float) -> list[float]:
    """Rewards [BTC] of blocks in (from_s, to_s] found by a share of the network."""
    first, last = np.searchsorted(chain.block_s, [from_s, to_s], side="right")
    mine = np.flatnonzero(chain.luck[first:last] < share) + first
    return [
        subsidy_btc(chain.first_height + int(k))
        + float(chain.fees_btc[int(chain.block_s[k]) // SECONDS_PER_DAY])
        for k in mine
    ]

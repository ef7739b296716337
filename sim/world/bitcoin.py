"""The blockchain of a scenario: recorded, or mined forward at the hashrate of its model."""

import numpy as np

from sim.scenario.bitcoin import (
    BootstrapNetwork,
    GrowthNetwork,
    MinedNetwork,
    ReplayNetwork,
    SupplyCurveNetwork,
)
from sim.scenario.scenario import Scenario
from sim.scenario.series import Series
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import (
    DAYS_PER_YEAR,
    HASHES_PER_TH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    TH_PER_EH,
)
from sim.world.bootstrap import drawn_hashrate
from sim.world.chain import Chain, ForwardChain
from sim.world.difficulty import BLOCK_S, EPOCH_BLOCKS, HASHES_PER_DIFFICULTY
from sim.world.luck import daily_normals
from sim.world.signals import Signal
from sim.world.supply import supply_chain

__all__ = ["Chain", "build_chain"]


def build_chain(scenario: Scenario, streams: Streams, usd_per_btc: Signal) -> Chain:
    """Build the chain, to a little past the horizon; owners may respond to the price."""
    network = scenario.network
    if isinstance(network, ReplayNetwork):
        return _replay(scenario, network, streams)
    if isinstance(network, SupplyCurveNetwork):
        return supply_chain(network, scenario.horizon, usd_per_btc, streams)
    days = -(-scenario.horizon.seconds // SECONDS_PER_DAY) + 1 + 60  # the last epoch's end
    if isinstance(network, BootstrapNetwork):
        recorded = scenario.recorded[network.series]
        drawn = drawn_hashrate(network, recorded, days, streams)
        ths = network.hashrate_ehs * TH_PER_EH * drawn.growth
        chain = _mined(scenario, network, ths, streams)
        return chain.chain(drawn.fees_btc, drawn.fees_before_btc)
    chain = _mined(scenario, network, _growth_ths(network, days, streams), streams)
    return chain.chain(np.full(days, network.fees_btc_per_block), network.fees_btc_per_block)


def _mined(
    scenario: Scenario, network: MinedNetwork, ths: Floats, streams: Streams
) -> ForwardChain:
    """Mine a chain at a given hashrate (day,) [TH/s]; the last value holds on."""
    chain = ForwardChain(network, scenario.horizon, streams)
    while not chain.complete:
        chain.mine(float(ths[min(len(chain.network_ths), len(ths) - 1)]))
    return chain


def _growth_ths(network: GrowthNetwork, days: int, streams: Streams) -> Floats:
    """Daily hashrate [TH/s]: a geometric Brownian motion with the given drift of its logarithm."""
    shocks = daily_normals("network-hashrate", "", days, streams)
    steps = network.drift_per_year / DAYS_PER_YEAR
    steps = steps + network.volatility_per_year / np.sqrt(DAYS_PER_YEAR) * shocks
    logarithm = np.concatenate([[0.0], np.cumsum(steps[1:])])
    return np.asarray(network.hashrate_ehs * TH_PER_EH * np.exp(logarithm), dtype=np.float64)


def _replay(scenario: Scenario, network: ReplayNetwork, streams: Streams) -> Chain:
    """A chain from recorded retargets and fees.

    Given the number of blocks in an epoch, the block times of a Poisson process are uniform in it:
    the blocks between two recorded retargets are drawn that way.
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
        else:  # the last recorded difficulty stays in force, with a block every 600 s
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
    per_block = _fees_per_block(network, daily, inside_s)
    before = per_block[0]  # if the record begins with the run
    if daily.start_s[0] <= start - SECONDS_PER_DAY:
        before = _fees_per_block(network, daily, np.array([start - SECONDS_PER_DAY]))[0]
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
        fees_before_btc=float(before),
        network_ths=np.array([rates[r][1] for r in rate_row]),
    )


def _fees_per_block(network: ReplayNetwork, daily: Series, unix_s: Ints) -> Floats:
    """Mean fees of a block in the rows in force at each instant (instant,) [BTC]."""
    fees_btc = daily.sample(network.fees_column, unix_s)
    blocks = daily.sample(network.blocks_column, unix_s)
    return np.asarray(fees_btc / np.maximum(blocks, 1.0), dtype=np.float64)

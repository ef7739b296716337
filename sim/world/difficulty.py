"""Bitcoin's consensus arithmetic on integers: targets, retargets, subsidy, hashprice.

Sources: the reference client's `arith_uint256.cpp` (compact form) and `pow.cpp` (retarget).
"""

from typing import Final

from sim.units import HASHES_PER_TH, SATOSHI_PER_BTC, SECONDS_PER_DAY

EPOCH_BLOCKS: Final = 2016
TARGET_TIMESPAN_S: Final = 1_209_600  # two weeks
BLOCK_S: Final = 600
HALVING_BLOCKS: Final = 210_000
POW_LIMIT: Final = (1 << 224) - 1  # mainnet, chainparams
MAX_TARGET: Final = 0xFFFF << 208  # difficulty 1
HASHES_PER_DIFFICULTY: Final = 2**48 / 65535  # expected hashes of a block at difficulty 1


def target_from_bits(bits: int) -> int:
    """Target of a compact form (mantissa of 23 bits, sign bit, exponent in bytes).

    Raises:
        ValueError: if the sign bit makes the target negative.
    """
    exponent = bits >> 24
    mantissa = bits & 0x007FFFFF
    if bits & 0x00800000 and mantissa:
        raise ValueError(f"compact target {bits:#010x} is negative")
    return mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)


def bits_from_target(target: int) -> int:
    """Compact form of a target; digits that do not fit are cut off, as consensus requires."""
    size = (target.bit_length() + 7) // 8
    mantissa = target >> 8 * (size - 3) if size > 3 else target << 8 * (3 - size)
    if mantissa & 0x00800000:  # the bit that would be the sign
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(bits: int, first_time_s: int, last_time_s: int) -> int:
    """Compact target of the next epoch, from the time stamps of this epoch's first and last block.

    2,015 gaps are measured against the time for 2,016: the consensus code's off-by-one.
    """
    span_s = last_time_s - first_time_s
    span_s = min(max(span_s, TARGET_TIMESPAN_S // 4), TARGET_TIMESPAN_S * 4)
    target = target_from_bits(bits) * span_s // TARGET_TIMESPAN_S
    return bits_from_target(min(target, POW_LIMIT))


def difficulty(bits: int) -> float:
    """Difficulty of a compact target: max target / target."""
    return MAX_TARGET / target_from_bits(bits)


def subsidy_btc(height: int) -> float:
    """New bitcoin in the block at a height [BTC]."""
    halvings = height // HALVING_BLOCKS
    return (50 * SATOSHI_PER_BTC >> halvings) / SATOSHI_PER_BTC if halvings < 64 else 0.0


def btc_per_th(difficulty: float, reward_btc: float) -> float:
    """Expected bitcoin per terahash [BTC/TH]; `reward_btc` is subsidy plus fees of a block."""
    return HASHES_PER_TH / (difficulty * HASHES_PER_DIFFICULTY) * reward_btc


def hashprice_usd_per_ph_day(difficulty: float, reward_btc: float, usd_per_btc: float) -> float:
    """Earnings of a PH/s in a day, before the pool's fee [USD/PH/day]."""
    return btc_per_th(difficulty, reward_btc) * usd_per_btc * 1e3 * SECONDS_PER_DAY

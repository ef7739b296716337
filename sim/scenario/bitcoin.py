"""Tables of `scenario.toml` about Bitcoin: the network, the price, the pool."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity


class GrowthNetwork(Table):
    """Hashrate with drift and volatility; blocks, time stamps and retargets follow from it."""

    model: Literal["growth"] = "growth"
    hashrate_ehs: float = quantity(
        1048.0,
        "EH/s",
        "network hashrate at the start",
        source="2,016 blocks in 1,224,348 s (to 2026-01-08) at the difficulty then in force",
        gt=0,
    )
    drift_per_year: float = quantity(
        0.0, "1/y", "drift of the logarithm of the network hashrate", source="assumed"
    )
    volatility_per_year: float = quantity(
        0.15, "1/sqrt(y)", "volatility of the logarithm of the hashrate", source="assumed", ge=0
    )
    bits: str = quantity(
        "0x1701e605",
        "",
        "compact target in force at the start",
        source="mainnet header at height 929,376",
        pattern=r"^0x[0-9a-fA-F]{8}$",
    )
    epoch_height: int = quantity(
        929_376,
        "blocks",
        "height of the first block of the epoch in force at the start",
        source="mainnet, retarget of 2025-12-25",
        ge=0,
        multiple_of=2016,
    )
    epoch_start_utc: Instant | None = quantity(
        None,
        "UTC",
        "time of the epoch's first block; default: the run's start",
        source="mainnet header",
    )
    start_height: int | None = quantity(
        None,
        "blocks",
        "height of the chain at the start of the run; default: epoch_height",
        ge=0,
    )
    fees_btc_per_block: float = quantity(
        0.02,
        "BTC",
        "mean transaction fees in a block",
        source="mean of 2026-01: 0.0189 BTC, public chain facts",
        ge=0,
    )

    @model_validator(mode="after")
    def _inside_epoch(self) -> "GrowthNetwork":
        if self.start_height is None:
            return self
        if not self.epoch_height <= self.start_height <= self.epoch_height + 2014:
            raise ValueError(
                f"network.start_height = {self.start_height}: must lie in the epoch, "
                f"{self.epoch_height} to {self.epoch_height + 2014}"
            )
        if self.epoch_start_utc is None:
            raise ValueError("network.epoch_start_utc: start_height needs it")
        return self


class ReplayNetwork(Table):
    """The real chain: retargets as they were, fees per day; blocks between retargets."""

    model: Literal["replay"] = "replay"
    retargets: str = quantity(REQUIRED, "", "event series: a row for each retarget")
    difficulty_column: str = quantity("difficulty", "", "difficulty from this retarget on")
    height_column: str = quantity("height", "", "height of the retarget's first block")
    daily: str = quantity(REQUIRED, "", "regular series with the fees")
    fees_column: str = quantity("fees_btc", "", "transaction fees of the interval [BTC]")
    blocks_column: str = quantity("blocks", "", "blocks of the interval")


Network = Annotated[GrowthNetwork | ReplayNetwork, Field(discriminator="model")]


class ConstantBtcPrice(Table):
    """A price that never moves: for tests and what-if questions."""

    model: Literal["constant"] = "constant"
    usd_per_btc: float = quantity(
        87_292.0, "USD/BTC", "price of a bitcoin", source="UTC close of 2025-12-31", gt=0
    )


class GbmBtcPrice(Table):
    """Geometric Brownian motion with hourly steps."""

    model: Literal["gbm"] = "gbm"
    usd_per_btc: float = quantity(
        87_292.0, "USD/BTC", "price at the start", source="UTC close of 2025-12-31", gt=0
    )
    drift_per_year: float = quantity(
        0.0, "1/y", "drift of the expected price", source="assumed: no view"
    )
    volatility_per_year: float = quantity(
        0.468,
        "1/sqrt(y)",
        "volatility of the logarithm",
        source="realised, hourly returns of 2023 to 2025",
        ge=0,
    )


class JumpDiffusionBtcPrice(Table):
    """Merton's jump diffusion with hourly steps: a diffusion, and normal jumps of the logarithm.

    The likeliest fit has nearly a jump a day: days are much less alike than a diffusion makes them.
    """

    model: Literal["jump-diffusion"] = "jump-diffusion"
    usd_per_btc: float = quantity(
        87_292.0, "USD/BTC", "price at the start", source="UTC close of 2025-12-31", gt=0
    )
    drift_per_year: float = quantity(
        0.0, "1/y", "drift of the expected price, jumps included", source="assumed: no view"
    )
    volatility_per_year: float = quantity(
        0.198,
        "1/sqrt(y)",
        "volatility of the logarithm between jumps",
        source="daily returns of 2021 to 2026, experiments/calibrate_btc_price.py",
        ge=0,
    )
    jumps_per_year: float = quantity(
        341.0,
        "1/y",
        "jumps (Poisson)",
        source="daily returns of 2021 to 2026, experiments/calibrate_btc_price.py",
        ge=0,
        le=10_000,
    )
    jump_mean: float = quantity(
        0.0003,
        "-",
        "mean jump of the logarithm",
        source="daily returns of 2021 to 2026, experiments/calibrate_btc_price.py",
        ge=-1,
        le=1,
    )
    jump_deviation: float = quantity(
        0.0281,
        "-",
        "standard deviation of a jump",
        source="daily returns of 2021 to 2026, experiments/calibrate_btc_price.py",
        ge=0,
        le=1,
    )


class ReplayBtcPrice(Table):
    """A recorded price."""

    model: Literal["replay"] = "replay"
    series: str = quantity(REQUIRED, "", "regular series that holds the price")
    column: str = quantity("price_usd", "", "column with the price [USD/BTC]")


BtcPrice = Annotated[
    ConstantBtcPrice | GbmBtcPrice | JumpDiffusionBtcPrice | ReplayBtcPrice,
    Field(discriminator="model"),
]


class Pool(Table):
    """How the fleet's hashes become bitcoin."""

    model: Literal["fpps", "pplns", "solo"] = quantity(
        "fpps", "", "fpps: expected value of every hash; pplns: share of found blocks; solo"
    )
    fee_fraction: float = quantity(
        0.005,
        "-",
        "share of the payout that the pool keeps",
        source="Cango's production is 0.995 of what its hashrate should yield, 2025-02 to 2026-01",
        ge=0,
        lt=1,
    )
    hashrate_ehs: float = quantity(
        200.0,
        "EH/s",
        "pplns: hashrate of the pool's other members",
        source="assumed: a large pool",
        gt=0,
    )
    window_blocks: float = quantity(
        1.0,
        "blocks",
        "pplns: shares that count, in units of the expected hashes of one block",
        source="assumed",
        gt=0,
    )

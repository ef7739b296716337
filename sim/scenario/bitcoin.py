"""Tables of `scenario.toml` about Bitcoin: the network, the price, the pool."""

from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity

POW_LIMIT: Final = 0xFFFF << 208  # easiest mainnet target in compact form


class MinedNetwork(Table):
    """What every chain that is mined forward begins with; its hashrate follows by the model."""

    model: str
    hashrate_ehs: float = quantity(
        1048.0,
        "EH/s",
        "network hashrate at the start",
        source="2,016 blocks in 1,224,348 s (to 2026-01-08) at the difficulty then in force",
        gt=0,
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

    @field_validator("bits")
    @classmethod
    def _a_target(cls, bits: str) -> str:
        """Check as the reference client: not zero, not negative, no easier than difficulty 1."""
        compact = int(bits, 16)
        exponent, mantissa = compact >> 24, compact & 0x007FFFFF
        target = mantissa << 8 * (exponent - 3) if exponent > 3 else mantissa >> 8 * (3 - exponent)
        if compact & 0x00800000 or not 0 < target <= POW_LIMIT:
            raise ValueError(
                f"network.bits = {bits!r}: must be the compact form of a target above 0 and at "
                "most that of difficulty 1, 0x1d00ffff"
            )
        return bits

    @model_validator(mode="after")
    def _inside_epoch(self) -> "MinedNetwork":
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


class SteadyFees(MinedNetwork):
    """Fees that are the same in every block."""

    fees_btc_per_block: float = quantity(
        0.02,
        "BTC",
        "mean transaction fees in a block",
        source="mean of 2026-01: 0.0189 BTC, public chain facts",
        ge=0,
    )


class GrowthNetwork(SteadyFees):
    """Hashrate with drift and volatility; blocks, time stamps and retargets follow from it."""

    model: Literal["growth"] = "growth"
    drift_per_year: float = quantity(
        0.0, "1/y", "drift of the logarithm of the network hashrate", source="assumed"
    )
    volatility_per_year: float = quantity(
        0.15, "1/sqrt(y)", "volatility of the logarithm of the hashrate", source="assumed", ge=0
    )


class Storm(Table):
    """Hours in which a part of the network is off, whatever it would earn."""

    start_utc: Instant = quantity(REQUIRED, "UTC", "first instant")
    hours: float = quantity(REQUIRED, "h", "how long it lasts", gt=0, le=8766)
    fraction: float = quantity(
        REQUIRED, "-", "share of what runs that is off; of storms that overlap each", ge=0, lt=1
    )


class SupplyCurveNetwork(SteadyFees):
    """Owners with a spread of efficiency and of power cost, who run while it pays.

    Price and difficulty decide day by day who runs; blocks and retargets follow, and feed back.

    The record does not identify it: out of sample it foretells retargets no better than "no change"
    (experiments/calibrate_network.py). What hangs on it, by the mean hashprice of twelve drawn
    years of configs/cango-strategies, 33.4 USD/PH/day: -2 % and +2 % with `power_usd_per_mwh` 35
    and 55, +7 % and -3 % with `arrivals_ehs_per_year` 0 and 400, under 1 % with half and double
    the spreads or `switch_per_day`.
    """

    model: Literal["supply-curve"] = "supply-curve"
    fleet_j_per_th: float = quantity(
        18.7,
        "J/TH",
        "median efficiency of the machines installed at the start",
        source="28.2 in mid-2024, 24 % less each year: Cambridge Digital Mining Industry "
        "Report 2025 (survey of 48 % of the network), carried on to 2026-01",
        gt=0,
        le=1000,
    )
    fleet_spread: float = quantity(
        0.34,
        "-",
        "standard deviation of the logarithm of the efficiency",
        source="machines from 2020 on, experiments/calibrate_network.py",
        ge=0,
        le=2,
    )
    power_usd_per_mwh: float = quantity(
        45.0,
        "USD/MWh",
        "median cost of running, by the energy used",
        source="median of the electricity cost, Cambridge Digital Mining Industry Report 2025",
        gt=0,
        le=1000,
    )
    power_spread: float = quantity(
        0.2,
        "-",
        "standard deviation of the logarithm of that cost",
        source="retargets of 2022 to 2025, experiments/calibrate_network.py",
        ge=0,
        le=2,
    )
    lag_days: float = quantity(
        1.0,
        "d",
        "time constant of the revenue that owners look at",
        source="fits a little better than 7 or 21, experiments/calibrate_network.py",
        ge=0,
        le=365,
    )
    switch_per_day: float = quantity(
        0.039,
        "1/d",
        "share of the machines on the wrong side that are switched in a day",
        source="retargets of 2022 to 2025, experiments/calibrate_network.py",
        gt=0,
        le=1,
    )
    hysteresis: float = quantity(
        0.05,
        "-",
        "off below cost x (1 - this), on again above cost x (1 + this)",
        source="assumed: 0 to 0.1 fit alike, experiments/calibrate_network.py",
        ge=0,
        lt=1,
    )
    arrivals_ehs_per_year: float = quantity(
        258.0,
        "EH/s/y",
        "new machines, while they earn what they earn at the start or more; in proportion below",
        source="growth of 2025, experiments/calibrate_network.py",
        ge=0,
    )
    arrivals_j_per_th: float = quantity(
        15.0,
        "J/TH",
        "efficiency of new machines",
        source="Antminer S21 Pro: 15 J/TH, catalogue",
        gt=0,
        le=1000,
    )
    storms: tuple[Storm, ...] = quantity((), "", "network-wide curtailments")


class RecordedDays(Table):
    """Blocks of recorded days, drawn with replacement: circular, so that all days are as likely."""

    series: str = quantity(REQUIRED, "", "regular series with a row for each UTC day")
    block_days: int = quantity(
        28,
        "d",
        "consecutive days that are drawn together",
        source="assumed: two epochs, so that the hashrate's answer to a price is within",
        ge=1,
        le=3660,
    )
    from_utc: Instant | None = quantity(
        None, "UTC", "first recorded day that may be drawn; default: the second of the series"
    )
    until_utc: Instant | None = quantity(
        None, "UTC", "days from here on are not drawn; default: the end of the series"
    )

    def rows(self, start_s: npt.NDArray[np.int64]) -> tuple[int, int]:
        """First row that may be drawn, and the end of the range; `start_s` (row,) [Unix s].

        A row precedes the first one, because growth is relative to the day before.
        """
        first, last = 1, len(start_s)
        if self.from_utc is not None:
            first = max(first, int(np.searchsorted(start_s, self.from_utc.timestamp())))
        if self.until_utc is not None:
            last = int(np.searchsorted(start_s, self.until_utc.timestamp()))
        return first, last


class BootstrapNetwork(MinedNetwork, RecordedDays):
    """Growth of the hashrate, and fees, out of recorded days; the price may share the days."""

    model: Literal["bootstrap"] = "bootstrap"
    difficulty_column: str = quantity("difficulty", "", "difficulty of the day")
    blocks_column: str = quantity("blocks", "", "blocks of the day")
    fees_column: str = quantity("fees_btc", "", "transaction fees of the day [BTC]")
    smooth_days: int = quantity(
        29,
        "d",
        "centred days over which recorded work is averaged: a day's count of blocks is chance",
        source="assumed: two epochs, a standard error of 1.5 % at 144 blocks a day",
        ge=1,
        le=365,
    )


class ReplayNetwork(Table):
    """The real chain: retargets as they were, fees per day; blocks between retargets."""

    model: Literal["replay"] = "replay"
    retargets: str = quantity(REQUIRED, "", "event series: a row for each retarget")
    difficulty_column: str = quantity("difficulty", "", "difficulty from this retarget on")
    height_column: str = quantity("height", "", "height of the retarget's first block")
    daily: str = quantity(REQUIRED, "", "regular series with the fees")
    fees_column: str = quantity("fees_btc", "", "transaction fees of the interval [BTC]")
    blocks_column: str = quantity("blocks", "", "blocks of the interval")


Network = Annotated[
    GrowthNetwork | ReplayNetwork | SupplyCurveNetwork | BootstrapNetwork,
    Field(discriminator="model"),
]


class ConstantBtcPrice(Table):
    """A price that never moves: for tests and what-if questions."""

    model: Literal["constant"] = "constant"
    usd_per_btc: float = quantity(
        87_292.0, "USD/BTC", "price of a bitcoin", source="UTC close of 2025-12-31", gt=0
    )


class GbmBtcPrice(Table):
    """Geometric Brownian motion with hourly steps.

    0.468 is what hours of 2023 to 2025 realised; the jump diffusion, fitted to days of 2021 to
    2026, comes to 0.555 in all, 19 % more: it has the wild years before. Both hold of their years;
    `volatility_per_year = 0.555` brings the two together.
    """

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
    In all it moves by sqrt(volatility^2 + jumps (mean^2 + deviation^2)) = 0.555 a year, 19 % more
    than the default of `gbm`, whose years are calmer (see there).
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


class Intraday(Table):
    """What the price does between two recorded ones."""

    intraday: Literal["hold", "bridge"] = quantity(
        "hold",
        "",
        "hold: a price holds until the next; bridge: hourly, a Brownian bridge of the logarithm "
        "from each price to the next",
    )
    bridge_volatility_per_year: float = quantity(
        0.468,
        "1/sqrt(y)",
        "bridge: volatility of the logarithm, without the pull of its end; 0: a straight line",
        source="realised, hourly returns of 2023 to 2025",
        ge=0,
    )


class ReplayBtcPrice(Intraday):
    """A recorded price, known from its instant on: a close is the price at the end of its row."""

    model: Literal["replay"] = "replay"
    series: str = quantity(REQUIRED, "", "regular series that holds the price")
    column: str = quantity("price_usd", "", "column with the price [USD/BTC]")
    value_at: Literal["start", "end"] | None = quantity(
        None,
        "",
        "instant of a row's price: end of its interval (a close) or start; default: start where "
        "the column's name has `open` in it or each row is an event, else end",
    )

    @property
    def at_end(self) -> bool:
        """Whether the price of a regular row holds at the end of its interval."""
        return (self.value_at or ("start" if "open" in self.column.casefold() else "end")) == "end"


class BootstrapBtcPrice(RecordedDays, Intraday):
    """Returns of recorded days from close to close; what a day returns is there at its end."""

    model: Literal["bootstrap"] = "bootstrap"
    usd_per_btc: float = quantity(
        87_292.0, "USD/BTC", "price at the start", source="UTC close of 2025-12-31", gt=0
    )
    column: str = quantity("price_usd", "", "column with the day's price [USD/BTC]")


BtcPrice = Annotated[
    ConstantBtcPrice | GbmBtcPrice | JumpDiffusionBtcPrice | ReplayBtcPrice | BootstrapBtcPrice,
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

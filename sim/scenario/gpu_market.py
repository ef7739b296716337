"""The market for GPU hours and tokens: price paths, occupancy, contracts with tenants.

Published one-year rents of an H100 [USD per GPU and hour], to show the range and speed of change:
above 8 in 2023 (chaincatcher.com, 2024-10-22), 2.85 in early 2024
(latent.space), 2.99 on demand in October 2024, 1.70 in October 2025, the trough, and 2.35 in March
2026 (SemiAnalysis; techreaderdaily.com). Posted by the hour in May 2026: 2.95, the median of 37
providers, and 0.97 for machines of earlier generations (aimultiple.com). Tokens of equal quality
became cheaper by a factor of ten a year from 2021 to 2024 (a16z.com, 2024-11-12); a contract for a
model named in it need not.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from sim.scenario.problems import instant
from sim.scenario.quantity import REQUIRED, Instant, Table, quantity

USD_PER_GPU_H: Final = 2.0  # default for a row without a price whose GPU has no path


class _Let(Table):
    """How much of what is offered by the hour finds somebody who pays."""

    occupancy: float = quantity(
        0.8,
        "-",
        "share of the node-hours on that is let by the hour, mean",
        source="assumed: what a well-run provider needs at least (disintermediate.global)",
        ge=0,
        le=1,
    )
    occupancy_deviation: float = quantity(
        0.0, "-", "standard deviation of that share, day by day", source="assumed: none", ge=0, le=1
    )
    occupancy_reversion_per_year: float = quantity(
        6.0,
        "1/y",
        "how fast it comes back to the mean",
        source="assumed: half in six weeks",
        gt=0,
        le=400,
    )


class _Declining(Table):
    change_per_year: float = quantity(
        REQUIRED, "1/y", "-0.2: a fifth less after a year", gt=-1, le=10
    )


class _Reverting(Table):
    change_per_year: float = quantity(
        -0.09,
        "1/y",
        "change of the trend: a fifth less after a year is -0.2",
        source="H100: 2.85 USD in early 2024 to 2.35 in March 2026",
        gt=-1,
        le=10,
    )
    volatility_per_year: float = quantity(
        0.4,
        "1/sqrt(y)",
        "of the logarithm of the price",
        source="assumed; H100: 2.99 to 1.70 USD in a year, 1.70 to 2.35 in five months",
        ge=0,
        le=5,
    )
    reversion_per_year: float = quantity(
        2.0,
        "1/y",
        "how fast a deviation from the trend goes: its share in a year is exp(-this)",
        source="assumed: half in four months",
        gt=0,
        le=400,
    )


class _Recorded(Table):
    series: str = quantity(REQUIRED, "", "series that holds the price")
    column: str = quantity(REQUIRED, "", "its column")


class _Priced(_Let):
    usd_per_gpu_h: float = quantity(
        REQUIRED, "USD/GPU/h", "price at the start of the run", gt=0, le=1000
    )


class ConstantGpuPrice(_Priced):
    """A price that stays."""

    model: Literal["constant"] = "constant"


class DecayGpuPrice(_Declining, _Priced):
    """A price that changes by an equal share each year."""

    model: Literal["decay"] = "decay"


class RevertingGpuPrice(_Reverting, _Priced):
    """A price that swings around a trend, which declines."""

    model: Literal["mean-reverting"] = "mean-reverting"
    trend_usd_per_gpu_h: float | None = quantity(
        None, "USD/GPU/h", "the trend at the start; default: the price", gt=0, le=1000
    )


class ReplayGpuPrice(_Recorded, _Let):
    """A recorded price [USD/GPU/h]: that at the beginning of a day holds for the day."""

    model: Literal["replay"] = "replay"


class ConstantTokenPrice(Table):
    """Prices that stay."""

    model: Literal["constant"] = "constant"


class DecayTokenPrice(_Declining):
    """Prices that change by an equal share each year."""

    model: Literal["decay"] = "decay"


class RevertingTokenPrice(_Reverting):
    """Prices that swing around a trend, which declines from what tenants pay at the start."""

    model: Literal["mean-reverting"] = "mean-reverting"


class ReplayTokenPrice(_Recorded):
    """Prices that go as a recorded one goes, in proportion."""

    model: Literal["replay"] = "replay"


GpuPrice = Annotated[
    ConstantGpuPrice | DecayGpuPrice | RevertingGpuPrice | ReplayGpuPrice,
    Field(discriminator="model"),
]
TokenPrice = Annotated[
    ConstantTokenPrice | DecayTokenPrice | RevertingTokenPrice | ReplayTokenPrice,
    Field(discriminator="model"),
]


class GpuMarket(Table):
    """What GPU hours and tokens fetch, day by day; the luck of a path is its own, by its name."""

    gpus: dict[str, GpuPrice] = quantity(
        {}, "", "price of an hour, by GPU; it holds for rows of gpus.csv that give no price"
    )
    tokens: dict[str, TokenPrice] = quantity(
        {}, "", "course of tenants' prices, by a name that tenants.csv uses (price_path)"
    )


class GpuContract(Table):
    """Terms on which nodes are let as a whole, tenant after tenant: rows of gpus.csv name them.

    Days are whole days of 24 hours. A change comes into force with the control step that follows.
    """

    start_utc: Instant | None = quantity(
        None, "UTC", "when the first tenant comes, but never before the nodes; default: with them"
    )
    usd_per_gpu_h: float | None = quantity(
        None,
        "USD/GPU/h",
        "price of the first tenant; default: the market's on the day, or what the row says",
        ge=0,
        le=1000,
    )
    term_days: int = quantity(
        365,
        "d",
        "length of a tenancy",
        source="assumed: published rates are for a year",
        ge=1,
        le=36_600,
    )
    taken_fraction: float = quantity(
        1.0, "-", "share of the hours that the tenant takes", source="assumed: all", ge=0, le=1
    )
    take_or_pay_fraction: float = quantity(
        1.0,
        "-",
        "share of the hours offered that is paid in any case",
        source="assumed: contracts of a year and more are take-or-pay (useluminix.com, 2026)",
        ge=0,
        le=1,
    )
    escalator_per_year: float = quantity(
        0.0,
        "1/y",
        "rise of the price at each anniversary of 365 days",
        source="assumed: none",
        gt=-1,
        le=1,
    )
    renewal: Literal["reprice", "end"] = quantity(
        "reprice",
        "",
        "after the term: a new tenant at the market's price of his first day, or none ever",
    )
    gap_days: float = quantity(
        30.0, "d", "from one tenant to the next, empty", source="assumed", ge=0, le=3650
    )
    gap: Literal["fixed", "exponential"] = quantity(
        "fixed", "", "exponential: gap_days is the mean, and every gap has luck of its own"
    )
    price_factor: float = quantity(
        1.0,
        "-",
        "price of later tenants over the market's",
        source="assumed: the market's",
        gt=0,
        le=10,
    )
    end_utc: Instant | None = quantity(
        None, "UTC", "when the last tenant leaves; default: beyond the run"
    )
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _in_order(self) -> "GpuContract":
        if self.start_utc and self.end_utc and self.end_utc <= self.start_utc:
            raise ValueError(
                f"end_utc = {instant(self.end_utc)}: must be after start_utc = "
                f"{instant(self.start_utc)}"
            )
        return self

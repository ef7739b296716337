"""Models of `scenario.toml`: one class per table."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sim.scenario.incidents import Incident
from sim.scenario.quantity import REQUIRED, Instant, Table, inherited, quantity
from sim.units import SECONDS_PER_DAY


def factor(meaning: str) -> Any:
    """Declare a key of [what_if]."""
    return quantity(1.0, "-", meaning, source="1: the scenario as written", gt=0, le=1000)


class Horizon(Table):
    """When the run begins, how long it lasts, and how finely it is decided and recorded."""

    start_utc: Instant = quantity(
        datetime(2026, 1, 1, tzinfo=UTC), "UTC", "first instant of the run", source="assumed"
    )
    days: float = quantity(365, "d", "length of the run", source="assumed", gt=0, le=36_600)
    step_s: int = quantity(
        900,
        "s",
        "control step: one decision for each",
        source="settlement interval of most real-time markets",
        ge=60,
        le=86_400,
    )
    record_s: int = quantity(
        3600,
        "s",
        "recording interval: sums and means over its steps",
        source="assumed",
        ge=60,
        le=86_400,
    )

    @property
    def seconds(self) -> int:
        """Length of the run [s]."""
        return round(self.days * SECONDS_PER_DAY)

    @property
    def steps(self) -> int:
        """Number of control steps."""
        return self.seconds // self.step_s

    @model_validator(mode="after")
    def _intervals_divide(self) -> "Horizon":
        if SECONDS_PER_DAY % self.step_s:
            raise ValueError(f"horizon.step_s = {self.step_s}: must divide 86400 s (a day)")
        if self.record_s % self.step_s or SECONDS_PER_DAY % self.record_s:
            raise ValueError(
                f"horizon.record_s = {self.record_s}: must be a multiple of step_s = "
                f"{self.step_s} s and divide 86400 s (a day)"
            )
        if self.seconds % self.record_s or not self.seconds:
            raise ValueError(
                f"horizon.days = {self.days:g}: must be a whole number of recording intervals "
                f"of {self.record_s} s, at least one"
            )
        return self


class FixedPrice(Table):
    """One price for all hours, or a tariff."""

    model: Literal["fixed"] = "fixed"
    usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "price of energy; or tariff", ge=-1000, le=10_000
    )
    tariff: str | None = quantity(None, "", "a name of [tariffs], instead of usd_per_mwh")

    @model_validator(mode="after")
    def _one_price(self) -> "FixedPrice":
        if (self.usd_per_mwh is None) == (self.tariff is None):
            raise ValueError("give one of usd_per_mwh and tariff")
        return self


class ReplayPrice(Table):
    """Recorded prices of a zone."""

    model: Literal["replay"] = "replay"
    series: str = quantity(REQUIRED, "", "regular series that holds the price")
    column: str = quantity(REQUIRED, "", "column with the price [USD/MWh]")
    day_ahead_series: str | None = quantity(
        None, "", "regular series that holds the day-ahead price; default: the same series"
    )
    day_ahead_column: str | None = quantity(
        None, "", "column with the day-ahead price [USD/MWh]; default: none is known"
    )


class DcOpfPrice(Table):
    """Locational marginal prices of a DC optimal power flow over `grid.case`.

    The fleet is a price-maker: its own load of the moment is part of the flow.
    """

    model: Literal["dc-opf"] = "dc-opf"
    update_s: int = quantity(
        900, "s", "how often the power flow is solved", source="assumed", ge=60, le=86_400
    )
    voll_usd_per_mwh: float = quantity(
        5000.0,
        "USD/MWh",
        "price where load must be shed",
        source="ERCOT system-wide offer cap since 2022, 16 TAC 25.509",
        gt=0,
        le=100_000,
    )
    n_minus_1: bool = quantity(
        False,
        "",
        "dispatch so that after the outage of any single line that cuts nothing off no other is "
        "above its rating (rate A, assumed after an outage too); what machines are granted follows "
        "the lines in service",
    )


class SeasonalJumpPrice(Table):
    """Seasonal mean-reverting jump process, calibrated on ERCOT (see `experiments/`)."""

    model: Literal["seasonal-jump"] = "seasonal-jump"
    profile: str = quantity("ercot-hub", "", "calibrated profile of the catalogue")
    mean_usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "long-run mean; default: that of the profile", gt=0, le=1000
    )
    utc_offset_h: float = quantity(
        -6.0, "h", "local standard time of the market", source="ERCOT", ge=-12, le=14
    )


class RegionalPrice(Table):
    """A zone of a region whose prices, heat, load and reserves are one synthetic process.

    Zones of one region share their luck; the day-ahead price is part of it, and sites on such a
    zone have the region's warm and cold days. Calibrated by `experiments/calibrate_region.py`.
    """

    model: Literal["regional"] = "regional"
    profile: str = quantity("ercot-hub", "", "a zone of a calibrated region: REGION-ZONE")
    mean_usd_per_mwh: float | None = quantity(
        None,
        "USD/MWh",
        "long-run mean of the real-time price; default: that of the profile",
        gt=0,
        le=1000,
    )


Price = Annotated[
    FixedPrice | ReplayPrice | SeasonalJumpPrice | RegionalPrice | DcOpfPrice,
    Field(discriminator="model"),
]


class Prices(Table):
    """Energy price by zone. Keys beside `zones` are defaults for zones of the same model."""

    zones: dict[str, Price] = quantity(
        {}, "", "price process of each zone; sites with a price of their own need none"
    )

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        return inherited(data, "zones")


class SeasonalWeather(Table):
    """Temperature of a typical year: season, day, and air masses by the quantiles of each month.

    With a driver, warm and cold days are those of a region's recorded temperature: so the heat
    comes on the days on which it made recorded prices.
    """

    model: Literal["seasonal"] = "seasonal"
    climate: str = quantity(REQUIRED, "", "fitted climate of the catalogue")
    driver_series: str | None = quantity(
        None, "", "regular series, a year or longer, of the temperature of the place's region"
    )
    driver_column: str | None = quantity(None, "", "its column with the temperature [C]")

    @model_validator(mode="after")
    def _whole(self) -> "SeasonalWeather":
        if (self.driver_series is None) != (self.driver_column is None):
            raise ValueError("driver_series and driver_column: give both or none")
        return self


class ReplayWeather(Table):
    """A recorded temperature."""

    model: Literal["replay"] = "replay"
    series: str = quantity(REQUIRED, "", "regular or typical-year series")
    column: str = quantity("dry_bulb_c", "", "column with the temperature [C]")
    humidity_column: str | None = quantity(
        None, "", "column with the relative humidity [%]; default: relative_humidity_pct holds"
    )
    relative_humidity_pct: float = quantity(
        50.0, "%", "relative humidity without a column", source="assumed", ge=0, le=100
    )


Climate = Annotated[SeasonalWeather | ReplayWeather, Field(discriminator="model")]


class Weather(Table):
    """Temperature by climate. A site's climate not named here is one of the catalogue's."""

    climates: dict[str, Climate] = quantity({}, "", "temperature process of each climate")

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        return inherited(data, "climates")


class Mining(Table):
    """How ASICs start and stop."""

    restart_s: int = quantity(
        300,
        "s",
        "from power-on to hashing; full power is drawn meanwhile",
        source="assumed; a soft restart takes 15 to 20 s (measured, VNish), a cold one minutes",
        ge=0,
        le=86_400,
    )
    min_off_s: int = quantity(
        900, "s", "shortest pause of a group that was lowered", source="assumed", ge=0, le=86_400
    )
    ramp_up_per_min: float = quantity(
        0.2,
        "1/min",
        "share of a group that may be powered up in a minute (staggered starts)",
        source="assumed",
        gt=0,
    )


class Faults(Table):
    """Failures and repairs of one kind of machine."""

    mtbf_h: float = quantity(
        100_000.0,
        "h",
        "mean time between failures of a machine (exponential), or the Weibull scale",
        source="assumed: no published figure was found",
        gt=0,
    )
    weibull_shape: float = quantity(
        1.0,
        "-",
        "1: constant rate; above: the rate grows with age",
        source="assumed",
        gt=0,
        le=10,
    )
    repair_h: float = quantity(
        1.0, "h", "mean hands-on time of a technician (exponential)", source="assumed", gt=0
    )
    spare_share: float = quantity(
        0.5, "-", "share of repairs that wait for a part", source="assumed", ge=0, le=1
    )
    spare_lead_h: float = quantity(
        336.0, "h", "mean lead time of a part (exponential)", source="assumed", ge=0
    )


class FaultTables(Table):
    """Whether machines fail, and how; and what else goes wrong."""

    enabled: bool = quantity(True, "", "false: no machine fails by itself")
    asic: Faults = quantity(Faults(), "", "ASICs, per machine")
    gpu: Faults = quantity(
        Faults(mtbf_h=8_960.0, repair_h=4.0, spare_share=0.3, spare_lead_h=72.0),
        "",
        "GPU servers, per node of eight",
        source="296 of the 419 interruptions of the Llama 3 run (54 days on 16,384 H100): without "
        "those of software (54), network (35), host maintenance (32) and dependencies (2), which "
        "break no node; repair and spares assumed",
    )
    restart_failure_fraction: float = quantity(
        0.0,
        "-",
        "of ASICs that are switched on after a pause (price, call, limit, outage of the site), "
        "those that fail at it and are repaired as [faults.asic] says",
        source="assumed: none; some models are said to lose about 10 % of their machines",
        ge=0,
        le=1,
    )
    incidents: tuple[Incident, ...] = quantity((), "", "what goes wrong, by date or by rate")


class Inference(Table):
    """GPU nodes as reserved capacity."""

    credit_fraction: float = quantity(
        0.5,
        "-",
        "credit for a contracted node-hour not delivered, as a share of its price",
        source="assumed",
        ge=0,
        le=10,
    )


class WhatIf(Table):
    """Factors on what the planner does not know. 1 everywhere: the scenario as it is written.

    They change what things cost or pay, never the luck: the same seed gives the same weather,
    failures, requests and block times.
    """

    btc_price_factor: float = factor("on the market's price of a bitcoin, at every instant")
    network_factor: float = factor(
        "on the network's hashrate and difficulty; blocks come when they came"
    )
    energy_price_factor: float = factor(
        "on prices of zones, real-time and day-ahead, and on energy_usd_per_mwh of sites.csv; "
        "adders, charges and strikes of power contracts stay"
    )
    gpu_price_factor: float = factor(
        "on prices of GPU hours (gpus.csv, [gpu_market], [gpu_contracts]) and on what tenants pay "
        "for tokens"
    )
    gpu_occupancy_factor: float = factor(
        "on the share of GPU hours that is let, which stays below 1: occupancy, taken_fraction"
    )
    gpu_opex_factor: float = factor("on what it costs to operate GPU nodes, energy aside")
    capex_factor: float = factor("on capex_usd of projects")
    interest_factor: float = factor("on rate_per_year of loans")
    residual_factor: float = factor("on what used machines, batteries and works fetch")


class PolicySpec(Table):
    """Who decides."""

    name: str = quantity("merit-order", "", 'a built-in policy, or "package.module:Class"')
    parameters: dict[str, Any] = quantity({}, "", "keyword arguments of the policy")


class SeriesSpec(Table):
    """A file of recorded values."""

    file: str = quantity(
        REQUIRED, "", "path within the scenario's folder, or beginning with {data_dir}"
    )
    kind: Literal["regular", "events", "typical-year"] = quantity(
        "regular",
        "",
        "regular: equal intervals; events: a value holds until the next; typical-year: "
        "columns month, day, hour ending",
    )
    layout: str | None = quantity(
        None, "", "a market's own layout (hashwatt import-series shows it); default: recognised"
    )
    stamps: Literal["start", "end"] = quantity(
        "start", "", "whether time_column is the start or the end of the interval"
    )
    interval_column: str | None = quantity(
        None, "", "column with the interval of the hour, from 1; beside hour_ending_column"
    )
    repeat_column: str | None = quantity(
        None, "", "column that is Y where an hour comes the second time; default: by order"
    )
    where: dict[str, str | int] = quantity(
        {}, "", 'rows that are meant, e.g. { "Settlement Point Name" = "LZ_WEST" }'
    )
    scale: float = quantity(
        1.0,
        "-",
        "all values times this: 1000 for USD/kWh, 10 for cents/kWh",
        source="1: as written",
        gt=0,
    )
    currency: str = quantity("USD", "", "currency of prices; another needs usd_per_currency")
    usd_per_currency: float | None = quantity(
        None, "USD", "value of one unit of the currency; multiplies all values", gt=0
    )
    price_bound_usd_per_mwh: float = quantity(
        10_000.0,
        "USD/MWh",
        "prices beyond this, either way, are refused",
        source="assumed: above ERCOT's cap of 9,000 USD/MWh until 2021, 16 TAC 25.505",
        gt=0,
        le=1e6,
    )
    time_column: str = quantity(
        "time_utc", "", "start of the interval; typical-year: the hour-ending column"
    )
    time_format: str = quantity(
        "", "", "strptime format of time_column, e.g. %m/%d/%Y; default: ISO 8601"
    )
    hour_ending_column: str | None = quantity(
        None, "", "column with the hour ending, 1 to 24 or 01:00 to 24:00; time_column is the day"
    )
    timezone: str | None = quantity(
        None, "", "IANA name of the zone of times without an offset; dates alone are UTC days"
    )
    utc_offset_h: float = quantity(
        0.0, "h", "typical-year: local standard time", source="assumed", ge=-12, le=14
    )
    max_gap_h: float = quantity(
        0.0, "h", "longest gap that the value before may fill", source="assumed", ge=0
    )

    @model_validator(mode="after")
    def _rate(self) -> "SeriesSpec":
        if self.currency.upper() != "USD" and self.usd_per_currency is None:
            raise ValueError(
                f"currency = {self.currency!r}: say usd_per_currency, what one is worth in USD"
            )
        return self

"""TOML tables about the grid, programmes, peaks and carbon."""

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, inherited, quantity


class LinkOutage(Table):
    """A link that is out, or carries less, from a date on: an entry of `[[grid.outages]]`."""

    from_node: str = quantity(REQUIRED, "", "node or bus the link starts at")
    to_node: str = quantity(REQUIRED, "", "node or bus the link ends at")
    circuit: int | None = quantity(
        None, "-", "which of several between the two, 1 the first; default: all of them", ge=1
    )
    start_utc: Instant = quantity(REQUIRED, "UTC", "when it goes out")
    hours: float = quantity(REQUIRED, "h", "how long it stays out", gt=0, le=87_600)
    left_fraction: float = quantity(
        0.0,
        "-",
        "share of the capacity that is left; 0: the link is out",
        source="assumed",
        ge=0,
        le=1,
    )


class Grid(Table):
    """The grid beside its sheets: a MATPOWER case instead of them, and links that go out."""

    case: str | None = quantity(
        None,
        "",
        "MATPOWER file (.m) whose buses the sites name in grid_node; path within the folder, or "
        "beginning with {data_dir}",
    )
    susceptance: Literal["pglib", "matpower"] = quantity(
        "pglib",
        "",
        "pglib: x/(r²+x²), taps and shifts ignored; matpower: 1/(x tap) with phase shifts",
        source="PGLib-OPF baseline (PowerModels), MATPOWER manual",
    )
    load_series: str | None = quantity(
        None, "", "series whose value, over its largest, scales all loads of the case"
    )
    load_column: str | None = quantity(None, "", "column of load_series")
    load_fraction: float = quantity(
        1.0,
        "-",
        "the case's loads times this, at the top of load_series",
        source="assumed: as in the case",
        gt=0,
        le=2,
    )
    outages: tuple[LinkOutage, ...] = quantity((), "", "links that go out on a date")
    fleet_ramp_mw_per_min: float | None = quantity(
        None,
        "MW/min",
        "how fast decisions may move the meters of all sites together; default: at once",
        gt=0,
    )

    @model_validator(mode="after")
    def _pairs(self) -> "Grid":
        if (self.load_series is None) != (self.load_column is None):
            raise ValueError("load_series and load_column: give both or none")
        return self


class CoincidentPeak(Table):
    """Transmission cost by the load at the system's monthly peaks (ERCOT's 4CP).

    The load of a site in the system's highest interval of each of `months`, averaged, times the
    tariff, is what it pays in the next calendar year, in twelve parts.
    """

    series: str | None = quantity(None, "", "series of the system's load")
    column: str | None = quantity(None, "", "column with the load [MW]")
    region: str | None = quantity(
        None, "", "a calibrated region (model regional) whose load it is, instead of a series"
    )
    forecast_series: str | None = quantity(
        None, "", "series of what was forecast the day before; default: yesterday's load"
    )
    forecast_column: str | None = quantity(None, "", "column of forecast_series [MW]")
    months: tuple[int, ...] = quantity(
        (6, 7, 8, 9), "-", "months whose peaks count", source="ERCOT Nodal Protocols, 4CP"
    )
    usd_per_mw_year: float = quantity(
        REQUIRED, "USD/MW/y", "transmission tariff on the mean of the peaks", ge=0, le=1e6
    )
    utc_offset_h: float = quantity(
        -6.0, "h", "local standard time that days and months follow", source="ERCOT", ge=-12, le=14
    )
    shape_error: float = quantity(
        0.010,
        "-",
        "scale of forecast errors between the hours of a day, as a share of its peak",
        source="fit by experiments/coincident_peaks.py to ERCOT 2024",
        gt=0,
        le=0.5,
    )
    level_error: float = quantity(
        0.016,
        "-",
        "scale of errors of a forecast day's peak, as a share of it",
        source="fit by experiments/coincident_peaks.py to ERCOT 2024",
        gt=0,
        le=0.5,
    )

    @model_validator(mode="after")
    def _one_load(self) -> "CoincidentPeak":
        if (self.series is None) == (self.region is None):
            raise ValueError("give one of series (with column) and region")
        if (self.series is None) != (self.column is None):
            raise ValueError("series and column: give both or none")
        return self


class FixedCarbon(Table):
    """One intensity for all hours."""

    model: Literal["fixed"] = "fixed"
    kg_per_mwh: float = quantity(REQUIRED, "kgCO2/MWh", "carbon intensity", ge=0, le=2000)


class ReplayCarbon(Table):
    """Recorded intensities."""

    model: Literal["replay"] = "replay"
    series: str = quantity(REQUIRED, "", "regular or typical-year series")
    column: str = quantity(REQUIRED, "", "column with the intensity [kgCO2/MWh = gCO2/kWh]")


class RegionalCarbon(Table):
    """Intensity of a calibrated region: it goes with its prices and its weather.

    Of what is generated, at life-cycle medians; calibrated by `experiments/calibrate_region.py`.
    """

    model: Literal["regional"] = "regional"
    region: str = quantity(REQUIRED, "", "a calibrated region")


CarbonZone = Annotated[FixedCarbon | ReplayCarbon | RegionalCarbon, Field(discriminator="model")]


class Carbon(Table):
    """Carbon intensity by zone; sites.csv names the zone in `carbon_zone`."""

    zones: dict[str, CarbonZone] = quantity({}, "", "carbon intensity of each zone")

    @model_validator(mode="before")
    @classmethod
    def _inherit(cls, data: Any) -> Any:
        return inherited(data, "zones")


class Call(Table):
    """A call on a date: an entry of `calls`."""

    start_utc: Instant = quantity(REQUIRED, "UTC", "from when the response is due")
    hours: float = quantity(REQUIRED, "h", "how long", gt=0, le=168)


class Programme(Table):
    """What all programmes that call for less load share."""

    sites: tuple[str, ...] = quantity(("*",), "", "sites enrolled; * is every site")
    calls: tuple[Call, ...] = quantity((), "", "calls on dates")
    calls_per_year: float = quantity(
        0.0, "1/y", "random calls on top (Poisson)", source="assumed", ge=0, le=1000
    )
    call_h: float = quantity(1.0, "h", "length of a random call", source="assumed", gt=0, le=168)
    offer_fraction: float = quantity(
        0.0,
        "-",
        "standing offer, as a share of the site's ASIC load (of a reserve: at gate closure, for "
        "every hour of the next day): a policy may bid more, not less",
        source="assumed",
        ge=0,
        le=1,
    )
    max_mw: float = quantity(
        1e6, "MW", "most that is taken of a site", source="assumed: no cap", ge=0
    )
    response: Literal["automatic", "manual"] = quantity(
        "automatic",
        "",
        "automatic: a relay holds the site to its obligation; manual: the policy must",
    )
    penalty_usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "for what is owed and not delivered", source="assumed", ge=0, le=1e5
    )


class EmergencyProgramme(Programme):
    """Emergency calls: load that stands by for a fee and steps back when the grid is short."""

    model: Literal["emergency"] = "emergency"
    notice_s: int = quantity(
        1800, "s", "from the call to the response", source="ERCOT ERS-30", ge=0, le=86_400
    )
    usd_per_mw_h: float = quantity(
        0.0, "USD/MW/h", "for standing by", source="assumed", ge=0, le=10_000
    )
    usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "for what is delivered in a call", source="assumed", ge=0, le=10_000
    )
    minimum_response: float = quantity(
        0.95,
        "-",
        "share of the obligation below which a call has failed and the penalty is due",
        source="ERCOT Nodal Protocols 8.1.3: ERS event performance factor",
        ge=0,
        le=1,
    )


class ReserveProgramme(Programme):
    """A reserve product, sold by the hour the day before.

    A policy offers until gate closure for the hours of the next day. What the market takes is paid
    at the price at which it clears and must be held: what is not is settled at the real-time price.
    Of a day whose deployments fell short availability is paid in proportion. Calls on dates and
    random ones stand for losses of frequency, which follow no price.
    """

    model: Literal["reserve"] = "reserve"
    series: str | None = quantity(None, "", "series of the availability price")
    column: str | None = quantity(None, "", "column of the series [USD/MW/h]")
    usd_per_mw_h: float | None = quantity(
        None, "USD/MW/h", "availability price, instead of a series", ge=0, le=10_000
    )
    product: str | None = quantity(
        None, "", "REGION-PRODUCT of a calibrated region (model regional), instead of a series"
    )
    notice_s: int = quantity(
        600, "s", "response time", source="ERCOT RRS and ECRS: ten minutes", ge=0, le=86_400
    )
    usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "for what is delivered in a deployment", source="assumed", ge=0, le=10_000
    )
    gate_closure_h: float = quantity(
        10.0,
        "h",
        "hour of the day before until which offers stand, by the clock of timezone",
        source="ERCOT Nodal Protocols 4.4.7: 10:00 in the day-ahead",
        ge=0,
        lt=24,
    )
    timezone: str = quantity(
        "America/Chicago", "", "clock of the market's days and gate", source="ERCOT"
    )
    market_mw: float = quantity(
        1e6,
        "MW",
        "most that the market takes of the fleet in an hour",
        source="assumed: no cap",
        gt=0,
        le=1e6,
    )
    price_response: float = quantity(
        0.0,
        "-",
        "share of its price that is gone when market_mw is sold, less of it in proportion",
        source="assumed",
        ge=0,
        le=1,
    )
    duration_h: float = quantity(
        1.0,
        "h",
        "for which a battery must be able to give what it stands by with",
        source="ERCOT NPRR1096: RRS one hour, ECRS two hours, Non-Spin four",
        gt=0,
        le=24,
    )
    real_time_series: str | None = quantity(
        None,
        "",
        "series of the real-time price, at which what is not held is settled; default: the "
        "availability price plus what energy costs beyond its day-ahead price",
    )
    real_time_column: str | None = quantity(None, "", "column of real_time_series [USD/MW/h]")
    deploy_above_usd_per_mw_h: float | None = quantity(
        None,
        "USD/MW/h",
        "real-time price from which the product is deployed, once in each spell, for call_h at "
        "most; default: scarcity deploys nothing",
        ge=0,
        le=10_000,
    )

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("must be a name of the tz database, as America/Chicago") from None
        return name

    @model_validator(mode="after")
    def _real_time_pair(self) -> "ReserveProgramme":
        if (self.real_time_series is None) != (self.real_time_column is None):
            raise ValueError("real_time_series and real_time_column: give both or none")
        return self

    @model_validator(mode="after")
    def _one_price(self) -> "ReserveProgramme":
        if [self.series, self.usd_per_mw_h, self.product].count(None) != 2:
            raise ValueError("give one of series (with column), usd_per_mw_h and product")
        if (self.series is None) != (self.column is None):
            raise ValueError("series and column: give both or none")
        return self


class EconomicProgramme(Table):
    """Economic curtailment: what a site draws less than its baseline is paid at the zone's price.

    For sites whose own contract does not feel the market (PJM's economic demand response). The
    baseline is the mean load at the same time of day over the last days without an event.
    """

    model: Literal["economic"] = "economic"
    sites: tuple[str, ...] = quantity(("*",), "", "sites enrolled; * is every site")
    threshold_usd_per_mwh: float = quantity(
        REQUIRED, "USD/MWh", "price of the zone from which reductions are paid", ge=0, le=10_000
    )
    baseline_days: int = quantity(
        5, "d", "days of the baseline", source="PJM Manual 11: CBL of 5 days", ge=1, le=60
    )
    less_usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "kept back from the price for a reduction", source="assumed", ge=0, le=1000
    )


AnyProgramme = Annotated[
    EmergencyProgramme | ReserveProgramme | EconomicProgramme, Field(discriminator="model")
]

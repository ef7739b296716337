"""Prices by date and hour: `[tariffs.NAME]` of energy, `[demand_charges.NAME]` of power."""

from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity
from sim.units import SECONDS_PER_HOUR

PIECE_S: Final = 900  # prices change at quarter hours
DAY_H: Final = 24.0


class Window(Table):
    """Hours of the day, days of the week and months of the year, by a local clock."""

    from_hour: float = quantity(
        0.0,
        "h",
        "of the day, local time: from when, in quarters",
        source="0 and 24: the whole day",
        ge=0,
        lt=24,
    )
    to_hour: float = quantity(
        24.0,
        "h",
        "until when; at or before from_hour: over midnight",
        source="0 and 24: the whole day",
        ge=0,
        le=24,
    )
    days: Literal["all", "workdays", "weekend"] = quantity(
        "all", "", "days on which the hours begin; workdays: Monday to Friday"
    )
    months: tuple[int, ...] = quantity((), "-", "months 1 to 12, local time; default: all")

    @property
    def at_any_hour(self) -> bool:
        """Whether it applies at all hours of all days."""
        return (self.from_hour, self.to_hour, self.days) == (0.0, DAY_H, "all")

    @property
    def always(self) -> bool:
        """Whether it applies at all hours of all days of all months."""
        return self.at_any_hour and not self.months

    @property
    def window(self) -> tuple[float, float, str, tuple[int, ...]]:
        """Its hours, days and months."""
        return self.from_hour, self.to_hour, self.days, self.months

    @field_validator("from_hour", "to_hour")
    @classmethod
    def _quarters(cls, hour: float) -> float:
        if (hour * SECONDS_PER_HOUR) % PIECE_S:
            raise ValueError(f"{hour:g}: must be a quarter of an hour, as 17.25")
        return hour

    @field_validator("months")
    @classmethod
    def _of_a_year(cls, months: tuple[int, ...]) -> tuple[int, ...]:
        return of_a_year(months)


def of_a_year(months: tuple[int, ...]) -> tuple[int, ...]:
    """Check numbers of months. Raises ValueError for one outside 1 to 12."""
    wrong = [m for m in months if not 1 <= m <= 12]
    if wrong:
        raise ValueError(f"{wrong[0]}: months are 1 to 12")
    return months


class TariffPrice(Window):
    """One price and when it holds: an entry of `prices`."""

    usd_per_mwh: float = quantity(REQUIRED, "USD/MWh", "price of energy", ge=-1000, le=10_000)
    start_utc: Instant | None = quantity(None, "UTC", "from when on; default: since ever")
    above_mwh_month: float = quantity(
        0.0,
        "MWh",
        "a tier: it holds for what a site uses in a billing month beyond this",
        source="0: no tier",
        ge=0,
    )

    @model_validator(mode="after")
    def _on_a_quarter(self) -> "TariffPrice":
        if self.start_utc is not None and self.start_utc.timestamp() % PIECE_S:
            raise ValueError(f"start_utc = {self.start_utc.isoformat()}: must be a quarter-hour")
        return self


class DemandCharge(Window):
    """A charge on the highest mean power of an interval within each billing month.

    Billing months follow the local standard time of the site, its hours the clock of the site
    (with daylight saving where sites.csv gives a `timezone`). An interval counts if it begins
    within the hours, and belongs to the month in which it begins.
    """

    sites: tuple[str, ...] = quantity(("*",), "", "sites that pay it, each its own peak; * is all")
    usd_per_mw_month: float = quantity(
        REQUIRED, "USD/MW/month", "on what is billed of a month", ge=0, le=100_000
    )
    interval_min: float | None = quantity(
        None,
        "min",
        "what is measured is the mean over it; default: the control step",
        ge=1,
        le=60,
    )
    ratchet_fraction: float = quantity(
        0.0,
        "-",
        "billed is at least this share of the highest peak of the months before",
        source="assumed: no ratchet",
        ge=0,
        le=1,
    )
    ratchet_months: int = quantity(
        11, "months", "how many months before", source="assumed: a year with this one", ge=1, le=59
    )
    ratchet_from: tuple[int, ...] = quantity(
        (),
        "-",
        "months 1 to 12 whose peaks a ratchet remembers, also where they are none of `months`; "
        "default: all that are measured",
    )
    peak_before_mw: float = quantity(
        0.0,
        "MW",
        "highest peak of the months before the run, as if of the last one: for the ratchet",
        source="assumed: none",
        ge=0,
    )
    prorate: bool = quantity(
        True, "", "of a month that the run cuts off its share is charged; false: all of it"
    )
    source: str = quantity("", "", "where the figures come from")

    @field_validator("ratchet_from")
    @classmethod
    def _remembered(cls, months: tuple[int, ...]) -> tuple[int, ...]:
        return of_a_year(months)

    @field_validator("interval_min")
    @classmethod
    def _divides_an_hour(cls, minutes: float | None) -> float | None:
        if minutes is not None and (minutes % 1 or 60 % minutes):
            raise ValueError(f"{minutes:g}: must divide 60 minutes, as 15 or 30")
        return minutes

    @model_validator(mode="after")
    def _ratchet(self) -> "DemandCharge":
        set_ = self.model_fields_set & {"ratchet_months", "ratchet_from", "peak_before_mw"}
        if set_ and not self.ratchet_fraction:
            raise ValueError(f"{min(set_)} needs ratchet_fraction: without one nothing is kept")
        return self


class Tariff(Table):
    """Prices of energy; of several that hold at an instant the last one counts.

    Tiers: a price with `above_mwh_month` holds, in its hours, once the month of the site has used
    so much; bounds of a month that the run cuts off count by its share. Months follow the site's
    local standard time.
    """

    utc_offset_h: float | None = quantity(
        None, "h", "local time in which hours, days and months are meant", ge=-12, le=14
    )
    timezone: str | None = quantity(
        None, "", "IANA name, instead of utc_offset_h: hours follow daylight saving"
    )
    prices: tuple[TariffPrice, ...] = quantity(
        REQUIRED, "", "the first holds always, the others change it", min_length=1
    )
    source: str = quantity("", "", "where the figures come from")

    @property
    def above_mwh(self) -> tuple[float, ...]:
        """Lower bounds of the tiers, rising from 0 [MWh]."""
        return tuple(sorted({price.above_mwh_month for price in self.prices}))

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError):
                raise ValueError(f"timezone = {name!r}: not an IANA time zone") from None
        return name

    @model_validator(mode="after")
    def _complete(self) -> "Tariff":
        first = self.prices[0]
        if not first.always or first.start_utc is not None or first.above_mwh_month:
            raise ValueError(
                "prices: the first must hold at any time (no start_utc, hours, days, months or "
                "above_mwh_month), so that no instant is without a price"
            )
        for i, price in enumerate(self.prices):
            for k, later in enumerate(self.prices[i + 1 :], i + 1):
                hides = later.always or later.window == price.window
                if price.above_mwh_month > later.above_mwh_month and hides and not later.start_utc:
                    raise ValueError(
                        f"prices: entry {i + 1} (above_mwh_month = {price.above_mwh_month:g}) "
                        f"never holds: entry {k + 1} comes later and holds from "
                        f"{later.above_mwh_month:g} MWh on; write tiers in rising order"
                    )
        local = any(not price.always for price in self.prices)
        if local and (self.utc_offset_h is None) == (self.timezone is None):
            raise ValueError("hours, days and months need one of utc_offset_h and timezone")
        return self

"""Prices of energy by date and by hour of the day: `[tariffs.NAME]`."""

from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity
from sim.units import SECONDS_PER_HOUR

PIECE_S: Final = 900  # prices change at quarters of an hour
DAY_H: Final = 24.0


class TariffPrice(Table):
    """One price and when it holds: an entry of `prices`."""

    usd_per_mwh: float = quantity(REQUIRED, "USD/MWh", "price of energy", ge=-1000, le=10_000)
    start_utc: Instant | None = quantity(None, "UTC", "from when on; default: since ever")
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
    def always(self) -> bool:
        """Whether it holds at any time of any day."""
        whole = (self.from_hour, self.to_hour, self.days) == (0.0, DAY_H, "all")
        return whole and not self.months

    @field_validator("from_hour", "to_hour")
    @classmethod
    def _quarters(cls, hour: float) -> float:
        if (hour * SECONDS_PER_HOUR) % PIECE_S:
            raise ValueError(f"{hour:g}: must be a quarter of an hour, as 17.25")
        return hour

    @field_validator("months")
    @classmethod
    def _of_a_year(cls, months: tuple[int, ...]) -> tuple[int, ...]:
        wrong = [m for m in months if not 1 <= m <= 12]
        if wrong:
            raise ValueError(f"{wrong[0]}: months are 1 to 12")
        return months

    @model_validator(mode="after")
    def _on_a_quarter(self) -> "TariffPrice":
        if self.start_utc is not None and self.start_utc.timestamp() % PIECE_S:
            raise ValueError(f"start_utc = {self.start_utc.isoformat()}: must be a quarter-hour")
        return self


class Tariff(Table):
    """Prices of energy; of several that hold at an instant the last one counts."""

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
        if not first.always or first.start_utc is not None:
            raise ValueError(
                "prices: the first must hold at any time (no start_utc, hours, days or months), "
                "so that no instant is without a price"
            )
        local = any(not price.always for price in self.prices)
        if local and (self.utc_offset_h is None) == (self.timezone is None):
            raise ValueError("hours, days and months need one of utc_offset_h and timezone")
        return self

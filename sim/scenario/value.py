"""Tables of `scenario.toml` about valuation: resale values of used machines."""

from typing import Literal

from pydantic import model_validator

from sim.scenario.quantity import REQUIRED, Table, quantity

Curve = tuple[float, ...]


class ResidualSpec(Table):
    """A row of the catalogue's `residuals.csv`: a point of a curve, straight between points."""

    kind: Literal["asic", "gpu", "battery", "building"] = quantity(REQUIRED, "", "what is sold")
    age_years: float = quantity(REQUIRED, "y", "since it was new", ge=0, le=100)
    fraction: float = quantity(REQUIRED, "-", "of its price when new", ge=0, le=1)
    source: str = quantity(REQUIRED, "", "where the figure comes from", min_length=1)


def curve(meaning: str) -> Curve:
    """Declare a key of [residuals]."""
    found: Curve = quantity(
        (), "-", f"{meaning}: share of the price when new after 1, 2, 3 … years; default: catalogue"
    )
    return found


class Residuals(Table):
    """What used machines fetch, by age, where the catalogue's curves are doubted.

    The curves of the catalogue (`residuals.csv`) rest on few published prices; the last value of a
    curve holds for older machines. [what_if] has a factor on all of them.
    """

    asic: Curve = curve("ASICs")
    gpu: Curve = curve("GPU nodes")
    battery: Curve = curve("batteries")
    building: Curve = curve("containers, substations, works")
    fade_per_year: float = quantity(
        0.0,
        "1/y",
        "share by which machines earn less in each year after the run, in terminal values",
        source="assumed: none; a terminal value is never above the market's",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _falling(self) -> "Residuals":
        for name in ("asic", "gpu", "battery", "building"):
            before = 1.0
            for year, share in enumerate(getattr(self, name), 1):
                if not 0.0 <= share <= before:
                    raise ValueError(
                        f"{name}: the value after {year} years is {share:g}: must lie between 0 "
                        f"and the one before, {before:g}"
                    )
                before = share
        return self

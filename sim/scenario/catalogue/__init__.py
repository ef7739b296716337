"""Built-in catalogue: ASIC models with firmware modes, GPUs and cooling, each with its source."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple, TypeVar

import numpy as np
from pydantic import ValidationError

from sim.scenario.catalogue.specs import AsicSpec, GpuSpec
from sim.scenario.problems import ScenarioError, from_validation
from sim.scenario.quantity import Table
from sim.scenario.value import ResidualSpec
from sim.types import Floats

RowT = TypeVar("RowT", bound=Table)


class Mode(NamedTuple):
    """A firmware mode of an ASIC model."""

    hashrate_ths: float
    power_w: float
    source: str


class AsicModel(NamedTuple):
    """A machine type. `modes["normal"]` is the nameplate; power is at the wall."""

    name: str
    maker: str
    cooling: str
    modes: dict[str, Mode]
    note: str

    def modes_of(self, firmware: str) -> dict[str, Mode]:
        """Modes of a firmware: "any" has all known modes, "stock" only the nameplate."""
        return {"normal": self.nominal} if firmware == "stock" else self.modes

    @property
    def nominal(self) -> Mode:
        """The nameplate mode."""
        return self.modes["normal"]


class GpuModel(NamedTuple):
    """A GPU model; its power includes a share of the server's own."""

    name: str
    maker: str
    memory_gb: float
    tdp_w: float
    idle_w_per_gpu: float
    max_w_per_gpu: float
    bandwidth_tb_s: float
    bf16_tflops: float  # dense
    fp8_tflops: float | None  # dense; None: no fp8
    link_gb_s: float  # to other GPUs of the node, per direction
    usd_per_gpu: float | None  # new, with server, network, container; None: not known
    source: str


class ClimatePlace(NamedTuple):
    """The place whose recorded weather a climate is fitted to."""

    climate: str
    country: str  # ISO 3166 code
    latitude: float
    longitude: float
    timezone: str


class Cooling(NamedTuple):
    """A cooling method; figures as defined in `sim.kernels.thermal`, in the same order.

    Shares are W of cooling per W of machines. The sink takes the heat: outside air, outside
    air after wet pads, or air at its wet-bulb temperature.
    """

    name: str
    base_share: float  # in any weather
    fan_share: float  # outdoor fans at full speed
    least_flow: float  # lowest fan flow, as a share of full flow
    hold_c: float  # warm side (exhaust air, coolant), as long as the fans can hold it
    approach_k: float  # warm side above the sink at full speed
    evaporative: float  # 0: the sink is at dry bulb, 1: at wet bulb
    carnot_fraction: float  # chiller efficiency over Carnot, 0: no chiller
    evaporating_c: float  # its refrigerant
    least_lift_k: float  # smallest temperature lift of its compressor
    derate_start_c: float  # sink temperature up to which machines run at full speed
    derate_band_k: float  # width over which they fall to `derate_fraction`
    derate_fraction: float  # of hashrate and power
    trip_c: float  # sink temperature above which machines are off
    source: str

    def row(self) -> Floats:
        """The figures as a row (COOLING_COLUMNS,) for the kernels of `sim.kernels.thermal`."""
        return np.array(self[1:-1], dtype=np.float64)


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a catalogue file."""
    text = (files("sim.scenario.catalogue") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def described(name: str, model: type[RowT]) -> tuple[RowT, ...]:
    """The rows of a catalogue file, checked as those of a scenario are.

    Raises:
        ScenarioError: with file, row and column of each invalid cell.
    """
    found, problems = [], []
    for number, row in enumerate(rows(name), 2):
        try:
            found.append(model.model_validate({key: text for key, text in row.items() if text}))
        except ValidationError as error:
            problems += from_validation(error, name, model, f"row {number}, ")
    if problems:
        raise ScenarioError(name, problems)
    return tuple(found)


@cache
def asics(own: tuple[AsicSpec, ...] = ()) -> dict[str, AsicModel]:
    """ASIC models by name, with their modes in order of power; `own` rows go before built-in ones.

    A mode of a machine that has no nameplate is left out: the checks of a scenario find it.
    """
    built_in = (*described("asics.csv", AsicSpec), *described("asic_modes.csv", AsicSpec))
    modes: dict[str, dict[str, Mode]] = {}
    plates: dict[str, AsicSpec] = {}
    for rows_ in (built_in, own):
        for plate in (row for row in rows_ if row.mode == "normal"):
            plates[plate.model], modes[plate.model] = plate, {}
        for row in rows_:
            if row.model in plates:
                modes[row.model][row.mode] = Mode(row.hashrate_ths, row.power_w, row.source)
    return {
        name: AsicModel(
            name,
            plate.maker,
            plate.cooling,
            dict(sorted(modes[name].items(), key=lambda item: item[1].power_w)),
            plate.note,
        )
        for name, plate in plates.items()
    }


@cache
def gpus(own: tuple[GpuSpec, ...] = ()) -> dict[str, GpuModel]:
    """GPUs by name; `own` rows go before built-in ones."""
    built_in = described("gpus.csv", GpuSpec)
    return {row.gpu: GpuModel(*row.model_dump().values()) for row in (*built_in, *own)}


@cache
def residuals() -> tuple[ResidualSpec, ...]:
    """Resale values of used machines: points of a curve for each kind, in order of age."""
    return described("residuals.csv", ResidualSpec)


@cache
def cooling() -> dict[str, Cooling]:
    """Cooling methods by name."""
    return {
        row["cooling"]: Cooling._make(
            [row["cooling"], *(float(row[f]) for f in Cooling._fields[1:-1]), row["source"]]
        )
        for row in rows("cooling.csv")
    }


@cache
def climate_names() -> frozenset[str]:
    """Names of the fitted climates."""
    return frozenset(row["climate"] for row in rows("climates.csv"))


@cache
def climate_places() -> tuple[ClimatePlace, ...]:
    """The places of the fitted climates."""
    return tuple(
        ClimatePlace(
            row["climate"],
            row["country"],
            float(row["latitude"]),
            float(row["longitude"]),
            row["timezone"],
        )
        for row in rows("climate_places.csv")
    )


@cache
def region_variables() -> dict[str, tuple[str, ...]]:
    """Variables of each calibrated region: `ZONE-rt`, `ZONE-da`, load, heat, carbon, reserves."""
    found: dict[str, dict[str, None]] = {}
    for row in rows("region_levels.csv"):
        found.setdefault(row["region"], {})[row["variable"]] = None
    return {region: tuple(names) for region, names in found.items()}


@cache
def region_zones() -> dict[str, tuple[str, str]]:
    """Region and zone of each profile REGION-ZONE."""
    return {
        f"{region}-{name.removesuffix('-rt')}": (region, name.removesuffix("-rt"))
        for region, names in region_variables().items()
        for name in names
        if name.endswith("-rt")
    }


@cache
def region_products() -> dict[str, tuple[str, str]]:
    """Region and product of each reserve REGION-PRODUCT."""
    return {
        f"{region}-{name}": (region, name)
        for region, names in region_variables().items()
        for name in names
        if not name.endswith(("-rt", "-da")) and name not in ("load", "temperature", "carbon")
    }


@cache
def price_profile_names() -> frozenset[str]:
    """Names of the calibrated price profiles."""
    return frozenset(row["profile"] for row in rows("price_profiles.csv"))

"""What is built in: ASIC models with firmware modes, GPUs and cooling, each with its source."""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


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

    @property
    def nominal(self) -> Mode:
        """The nameplate."""
        return self.modes["normal"]


class GpuModel(NamedTuple):
    """A GPU; the server's own power is shared out to its GPUs."""

    name: str
    maker: str
    memory_gb: float
    tdp_w: float
    idle_w_per_gpu: float
    max_w_per_gpu: float
    bandwidth_tb_s: float
    bf16_tflops: float  # dense
    source: str


class Cooling(NamedTuple):
    """How a way of cooling answers to heat.

    From `derate_start_c` hashrate and power fall linearly with the ambient temperature, to
    `derate_fraction` at `trip_c`, above which the machine is off.
    """

    name: str
    derate_start_c: float
    trip_c: float
    derate_fraction: float
    source: str


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a catalogue file."""
    text = (files("sim.scenario.catalogue") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def asics() -> dict[str, AsicModel]:
    """ASIC models by name, with their modes in order of power."""
    modes: dict[str, dict[str, Mode]] = {}
    for row in rows("asics.csv"):
        nominal = Mode(float(row["hashrate_ths"]), float(row["power_w"]), row["source"])
        modes[row["model"]] = {"normal": nominal}
    for row in rows("asic_modes.csv"):
        modes[row["model"]][row["mode"]] = Mode(
            float(row["hashrate_ths"]), float(row["power_w"]), row["source"]
        )
    return {
        row["model"]: AsicModel(
            row["model"],
            row["maker"],
            row["cooling"],
            dict(sorted(modes[row["model"]].items(), key=lambda item: item[1].power_w)),
            row["note"],
        )
        for row in rows("asics.csv")
    }


@cache
def gpus() -> dict[str, GpuModel]:
    """GPUs by name."""
    return {
        row["gpu"]: GpuModel(
            name=row["gpu"],
            maker=row["maker"],
            memory_gb=float(row["memory_gb"]),
            tdp_w=float(row["tdp_w"]),
            idle_w_per_gpu=float(row["idle_w_per_gpu"]),
            max_w_per_gpu=float(row["max_w_per_gpu"]),
            bandwidth_tb_s=float(row["bandwidth_tb_s"]),
            bf16_tflops=float(row["bf16_tflops"]),
            source=row["source"],
        )
        for row in rows("gpus.csv")
    }


@cache
def cooling() -> dict[str, Cooling]:
    """Ways of cooling by name."""
    return {
        row["cooling"]: Cooling(
            name=row["cooling"],
            derate_start_c=float(row["derate_start_c"]),
            trip_c=float(row["trip_c"]),
            derate_fraction=float(row["derate_fraction"]),
            source=row["source"],
        )
        for row in rows("cooling.csv")
    }


@cache
def climate_names() -> frozenset[str]:
    """Names of the fitted climates."""
    return frozenset(row["climate"] for row in rows("climates.csv"))


@cache
def price_profile_names() -> frozenset[str]:
    """Names of the calibrated price profiles."""
    return frozenset(row["profile"] for row in rows("price_profiles.csv"))

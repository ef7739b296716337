"""What the planner may write in the spreadsheets: one class per CSV file."""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Table, quantity


class Site(Table):
    """A row of `sites.csv`."""

    name: str = quantity(REQUIRED, "", "unique name", min_length=1)
    country: str = quantity("", "", "ISO 3166 code")
    latitude: float | None = quantity(None, "deg", "north is positive", ge=-90, le=90)
    longitude: float | None = quantity(None, "deg", "east is positive", ge=-180, le=180)
    utc_offset_h: float | None = quantity(None, "h", "local standard time", ge=-12, le=14)
    timezone: str | None = quantity(None, "", "IANA name, instead of utc_offset_h")
    climate: str = quantity(REQUIRED, "", "climate of the scenario or of the catalogue")
    price_zone: str = quantity(REQUIRED, "", "a zone of [prices.zones]")
    grid_node: str | None = quantity(None, "", "node of grid_nodes.csv the site hangs on")
    power_limit_mw: float = quantity(REQUIRED, "MW", "interconnect limit", ge=0, le=5000)
    overhead_mw: float = quantity(
        0.0, "MW", "power that is always on: network, lighting, offices", source="assumed", ge=0
    )
    pue_base: float = quantity(
        1.05, "-", "PUE below the knee", source="assumed: air-cooled mining hall", ge=1, le=3
    )
    pue_knee_c: float = quantity(
        25.0, "C", "ambient temperature from which cooling grows", source="assumed"
    )
    pue_slope_per_c: float = quantity(
        0.002, "1/C", "growth of the PUE above the knee", source="assumed", ge=0, le=0.1
    )
    contract: Literal["market", "fixed", "hosted"] = quantity(
        "market",
        "",
        "market: zone price + adder; fixed: a power contract; hosted: the host's all-in price",
    )
    energy_usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "price of a fixed or hosted contract", ge=0, le=1000
    )
    adder_usd_per_mwh: float = quantity(
        0.0,
        "USD/MWh",
        "delivery and taxes on top of a market price",
        source="assumed",
        ge=0,
        le=500,
    )
    technicians: int = quantity(
        4, "persons", "who repair at the same time", source="assumed", ge=0, le=10_000
    )
    source: str = quantity("", "", "where the row's figures come from")

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
    def _complete(self) -> "Site":
        if (self.utc_offset_h is None) == (self.timezone is None):
            raise ValueError("give one of utc_offset_h and timezone")
        if (self.contract == "market") != (self.energy_usd_per_mwh is None):
            raise ValueError(
                f"energy_usd_per_mwh: contract {self.contract!r} "
                + ("takes its price from the zone" if self.contract == "market" else "needs it")
            )
        return self

    @property
    def offset_h(self) -> float:
        """Local standard time minus UTC [h] (standard time: without daylight saving)."""
        if self.utc_offset_h is not None:
            return self.utc_offset_h
        zone = ZoneInfo(str(self.timezone))
        offsets = [datetime(2026, month, 1, tzinfo=zone) for month in (1, 7)]
        return min((o.utcoffset() or o - o).total_seconds() for o in offsets) / 3600.0


class AsicGroup(Table):
    """A row of `asics.csv`: identical machines at one site."""

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    model: str = quantity(REQUIRED, "", "model of the ASIC catalogue")
    count: int = quantity(REQUIRED, "machines", "machines deployed", ge=0, le=10_000_000)
    mode: str = quantity("normal", "", "firmware mode of a policy that does not choose")
    age_years: float = quantity(0.0, "y", "age at the start", source="assumed", ge=0, le=30)
    owner: Literal["own", "hosted", "leased"] = quantity("own", "", "whose machines they are")
    source: str = quantity("", "", "where the row's figures come from")


class GpuGroup(Table):
    """A row of `gpus.csv`: identical GPU nodes at one site."""

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    gpu: str = quantity(REQUIRED, "", "GPU of the catalogue")
    gpus_per_node: int = quantity(8, "GPUs", "GPUs in a node", source="DGX, HGX", ge=1, le=1024)
    nodes: int = quantity(REQUIRED, "nodes", "nodes deployed", ge=0, le=1_000_000)
    model: str = quantity("", "", "model served, of `hashwatt list models`")
    tp: int | None = quantity(
        None, "GPUs", "tensor parallelism: GPUs of an engine; default: the fewest", ge=1, le=64
    )
    state: Literal["contracted", "batch", "serving"] = quantity(
        "contracted",
        "",
        "contracted: reserved, credits when missed; batch: sold by the hour; serving: tokens for "
        "the tenants of tenants.csv",
    )
    usd_per_gpu_h: float = quantity(
        2.0,
        "USD/GPU/h",
        "price of a reserved GPU; serving: what a policy takes a GPU's hour to be worth",
        source="assumed",
        ge=0,
        le=1000,
    )
    utilisation: float = quantity(
        0.7, "-", "mean load of a reserved node", source="assumed", ge=0, le=1
    )
    age_years: float = quantity(0.0, "y", "age at the start", source="assumed", ge=0, le=30)
    source: str = quantity("", "", "where the row's figures come from")


class GridNode(Table):
    """A row of `grid_nodes.csv`."""

    name: str = quantity(REQUIRED, "", "unique name", min_length=1)
    kind: Literal["zone", "substation", "transformer", "feeder"] = quantity(
        REQUIRED, "", "what the node is"
    )
    source: str = quantity("", "", "where the row's figures come from")


class GridLink(Table):
    """A row of `grid_links.csv`: from the side of the grid to the side of the sites."""

    from_node: str = quantity(REQUIRED, "", "name in grid_nodes.csv")
    to_node: str = quantity(REQUIRED, "", "name in grid_nodes.csv")
    capacity_mw: float = quantity(REQUIRED, "MW", "limit on what flows", ge=0, le=100_000)
    loss_fraction: float = quantity(
        0.0, "-", "share of the power that the link loses", source="assumed", ge=0, lt=0.5
    )
    reactance_pu: float | None = quantity(None, "p.u.", "series reactance, if meshed", gt=0)
    source: str = quantity("", "", "where the row's figures come from")

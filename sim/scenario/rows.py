"""Row models of the sheets: one class per CSV file."""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Instant, Table, quantity


class Site(Table):
    """A row of `sites.csv`."""

    name: str = quantity(REQUIRED, "", "unique name", min_length=1)
    country: str = quantity("", "", "ISO 3166 code")
    latitude: float | None = quantity(None, "deg", "north is positive", ge=-90, le=90)
    longitude: float | None = quantity(None, "deg", "east is positive", ge=-180, le=180)
    utc_offset_h: float | None = quantity(None, "h", "local standard time", ge=-12, le=14)
    timezone: str | None = quantity(None, "", "IANA name, instead of utc_offset_h")
    climate: str = quantity(REQUIRED, "", "climate of the scenario or of the catalogue")
    price_zone: str = quantity(
        "", "", "a zone of [prices.zones]; default: its own price, if the contract is not market"
    )
    grid_node: str | None = quantity(None, "", "node of grid_nodes.csv the site hangs on")
    power_limit_mw: float = quantity(
        REQUIRED,
        "MW",
        "interconnect limit; empty: what its machines draw with cooling and overhead",
        ge=0,
        le=5000,
    )
    overhead_mw: float = quantity(
        0.0, "MW", "power that is always on: network, lighting, offices", source="assumed", ge=0
    )
    cooling: Literal["line", "dry", "wet"] = quantity(
        "line",
        "",
        "line: PUE by the three columns that follow; dry: by each machine's way of cooling (air, "
        "hydro, immersion; GPU nodes by chiller); wet: the same with wet pads and towers",
    )
    pue_base: float = quantity(
        1.05, "-", "line: PUE below the knee", source="assumed: air-cooled mining hall", ge=1, le=3
    )
    pue_knee_c: float = quantity(
        25.0, "C", "line: ambient temperature from which cooling grows", source="assumed"
    )
    pue_slope_per_c: float = quantity(
        0.002, "1/C", "line: growth of the PUE above the knee", source="assumed", ge=0, le=0.1
    )
    contract: Literal["market", "fixed", "hosted"] = quantity(
        "market",
        "",
        "market: zone price + adder; fixed: a power contract; hosted: the host's all-in price",
    )
    energy_usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "price of a fixed or hosted contract", ge=0, le=1000
    )
    tariff: str | None = quantity(
        None, "", "a name of [tariffs]: a fixed or hosted price by date and hour instead"
    )
    adder_usd_per_mwh: float = quantity(
        0.0,
        "USD/MWh",
        "delivery and taxes on top of a market price; what flows back earns the zone's alone",
        source="assumed",
        ge=0,
        le=500,
    )
    demand_charge_usd_per_mw_month: float = quantity(
        0.0,
        "USD/MW/month",
        "on the highest control step of the calendar month, of a part of a month its share; hours, "
        "intervals, ratchets: [demand_charges]",
        source="assumed: none",
        ge=0,
        le=100_000,
    )
    coincident_mw: float = quantity(
        0.0,
        "MW",
        "mean load at last year's system peaks, which this year's transmission bill follows",
        source="assumed",
        ge=0,
    )
    export_mw: float = quantity(
        0.0,
        "MW",
        "most that may flow back into the grid, at the price of the site's zone",
        source="assumed: none",
        ge=0,
    )
    ramp_mw_per_min: float | None = quantity(
        None,
        "MW/min",
        "how fast decisions may move the site's meter, up or down; default: at once",
        gt=0,
    )
    carbon_zone: str | None = quantity(None, "", "a zone of [carbon.zones]")
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
        if self.export_mw > self.power_limit_mw:
            raise ValueError(
                f"export_mw = {self.export_mw:g}: must be <= power_limit_mw, "
                f"{self.power_limit_mw:g} MW"
            )
        if (self.utc_offset_h is None) == (self.timezone is None):
            raise ValueError("give one of utc_offset_h and timezone")
        given = [self.energy_usd_per_mwh, self.tariff]
        if self.contract == "market" and given != [None, None]:
            key = "energy_usd_per_mwh" if self.tariff is None else "tariff"
            raise ValueError(f"{key}: contract 'market' takes its price from the zone")
        if self.contract != "market" and given.count(None) != 1:
            both = "not both" if self.tariff is not None else "or a tariff"
            raise ValueError(f"energy_usd_per_mwh: contract {self.contract!r} needs it, {both}")
        if self.contract == "market" and not self.price_zone:
            raise ValueError("price_zone: a site on the market needs a zone of [prices.zones]")
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
    mw: float | None = quantity(
        None, "MW", "instead of count: at the meter, nameplate times the site's pue_base", gt=0
    )
    mode: str = quantity("normal", "", "firmware mode of a policy that does not choose")
    firmware: Literal["any", "stock"] = quantity(
        "any", "", "stock: the nameplate only, no other firmware mode"
    )
    age_years: float = quantity(0.0, "y", "age at the start", source="assumed", ge=0, le=30)
    owner: Literal["own", "hosted", "leased"] = quantity(
        "own", "", "own, also where a host houses them; leased: sold and rented back (leases.csv)"
    )
    restart_failure_fraction: float | None = quantity(
        None,
        "-",
        "of its machines that are switched on after a pause, those that fail at it; default: "
        "`restart_failure_fraction` of [faults]",
        ge=0,
        le=1,
    )
    project: str = quantity("", "", "project that delivers it; default: there from the start")
    source: str = quantity("", "", "where the row's figures come from")


class GpuGroup(Table):
    """A row of `gpus.csv`: identical GPU nodes at one site."""

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    gpu: str = quantity(REQUIRED, "", "GPU of the catalogue")
    gpus_per_node: int = quantity(8, "GPUs", "GPUs in a node", source="DGX, HGX", ge=1, le=1024)
    nodes: int = quantity(REQUIRED, "nodes", "nodes deployed", ge=0, le=1_000_000)
    mw: float | None = quantity(
        None, "MW", "instead of nodes: at the meter, maximum power times the site's pue_base", gt=0
    )
    model: str = quantity("", "", "model served, of `hashwatt list models`")
    tp: int | None = quantity(
        None, "GPUs", "tensor parallelism: GPUs of an engine; default: the fewest", ge=1, le=64
    )
    pp: int = quantity(
        1,
        "stages",
        "pipeline parallelism: stages of tp GPUs each; as many batches are under way, each with "
        "its share of KV memory and sequences (approximate: none waits for a stage)",
        source="assumed: one stage",
        ge=1,
        le=64,
    )
    ep: int = quantity(
        1,
        "GPUs",
        "expert parallelism: 1, or tp where a mixture's experts stand whole on the GPUs (a "
        "roofline; approximate: evenly loaded)",
        source="assumed: experts are cut as other weights are",
        ge=1,
        le=64,
    )
    host_s: float | None = quantity(
        None,
        "s",
        "serving: what the host adds to each iteration; default: what the engine's row says",
        ge=0,
        le=1,
    )
    state: Literal["contracted", "batch", "serving"] = quantity(
        "contracted",
        "",
        "contracted: reserved, credits when missed; batch: sold by the hour; serving: tokens for "
        "the tenants of tenants.csv",
    )
    usd_per_gpu_h: float | None = quantity(
        None,
        "USD/GPU/h",
        "price of a GPU that is let, all through the run, whatever [gpu_market] says of others; "
        "serving: what a policy takes a GPU's hour to be worth; default: the path of [gpu_market] "
        "for this GPU, else 2.0",
        source="assumed: 2.0 lies between published one-year rates of an H100, 1.70 (2025-10) and "
        "2.35 (2026-03)",
        ge=0,
        le=1000,
    )
    contract: str | None = quantity(
        None, "", "a name of [gpu_contracts]: let as a whole, tenant after tenant (contracted)"
    )
    occupancy: float | None = quantity(
        None,
        "-",
        "share of the node-hours on that is let: what is not let earns nothing and draws idle "
        "power; batch: default: that of [gpu_market] for this GPU, else 1; contracted: default 1",
        source="assumed: 1, every hour is let",
        ge=0,
        le=1,
    )
    utilisation: float = quantity(
        0.7, "-", "mean load of a node that is let", source="assumed", ge=0, le=1
    )
    opex_usd_per_gpu_h: float = quantity(
        0.0,
        "USD/GPU/h",
        "cost of an hour that is let (serving: on), energy aside: licences, support; NVIDIA AI "
        "Enterprise costs 4,500 USD a year, which is 0.51",
        source="assumed: none",
        ge=0,
        le=1000,
    )
    opex_usd_per_node_month: float = quantity(
        0.0,
        "USD/month",
        "cost of a node that is there, let or not: network, staff, spares",
        source="assumed: none",
        ge=0,
        le=1e6,
    )
    age_years: float = quantity(0.0, "y", "age at the start", source="assumed", ge=0, le=30)
    project: str = quantity("", "", "project that delivers it; default: there from the start")
    source: str = quantity("", "", "where the row's figures come from")


class MovedGroup(AsicGroup):
    """ASICs of a host's site as they will stand at the site that takes them in.

    Made from the rows of asics.csv when a scenario is loaded; nobody writes one.
    """

    host: str
    origin: int  # row of Scenario.asics they come from


class PowerContract(Table):
    """A row of `power_contracts.csv`: a block of energy at a price known before.

    ppa: `mw` at the strike. With `resell` what is not used is sold at the real-time price, so that
    stepping back is worth the market's price; without, the block is used first, and what was used
    less than the take-or-pay share of a month is paid at the strike. day-ahead: `mw` bought in
    every hour at the day-ahead price and settled against real time.
    """

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    kind: Literal["ppa", "day-ahead"] = quantity(REQUIRED, "", "what is bought")
    mw: float = quantity(REQUIRED, "MW", "size of the block", gt=0, le=5000)
    strike_usd_per_mwh: float | None = quantity(
        None, "USD/MWh", "price of a PPA's energy", ge=-100, le=1000
    )
    take_or_pay_fraction: float = quantity(
        0.0, "-", "share of a month's block that is paid in any case", source="assumed", ge=0, le=1
    )
    resell: bool = quantity(True, "", "whether unused energy is sold at the real-time price")
    start_utc: Instant | None = quantity(None, "UTC", "first instant; default: the run's")
    end_utc: Instant | None = quantity(None, "UTC", "end; default: beyond the run")
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _complete(self) -> "PowerContract":
        if (self.kind == "ppa") == (self.strike_usd_per_mwh is None):
            what = "needs it" if self.kind == "ppa" else "takes its price from the market"
            raise ValueError(f"strike_usd_per_mwh: a {self.kind} contract {what}")
        if self.take_or_pay_fraction and (self.kind != "ppa" or self.resell):
            raise ValueError(
                f"take_or_pay_fraction = {self.take_or_pay_fraction:g}: only a ppa with "
                "resell = false has one; what is resold is taken in any case"
            )
        if self.start_utc and self.end_utc and self.end_utc <= self.start_utc:
            raise ValueError("end_utc: must be after start_utc")
        return self


class Battery(Table):
    """A row of `batteries.csv`."""

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    power_mw: float = quantity(REQUIRED, "MW", "most that it charges or discharges", gt=0, le=5000)
    energy_mwh: float = quantity(REQUIRED, "MWh", "usable energy", gt=0, le=50_000)
    round_trip_efficiency: float = quantity(
        0.85,
        "-",
        "energy out over energy in; half the loss each way",
        source="NREL Annual Technology Baseline 2023, utility-scale battery storage",
        gt=0,
        le=1,
    )
    wear_usd_per_mwh: float = quantity(
        20.0, "USD/MWh", "cost of a discharged MWh", source="assumed", ge=0, le=1000
    )
    initial_fraction: float = quantity(
        0.5, "-", "stored at the start, of energy_mwh", source="assumed", ge=0, le=1
    )
    source: str = quantity("", "", "where the row's figures come from")


class Generator(Table):
    """A row of `generators.csv`: generation on a site's side of the meter."""

    site: str = quantity(REQUIRED, "", "name in sites.csv")
    kind: Literal["gas", "flare", "solar"] = quantity(REQUIRED, "", "what it runs on")
    mw: float = quantity(REQUIRED, "MW", "capacity", gt=0, le=5000)
    usd_per_mwh: float = quantity(
        0.0, "USD/MWh", "fuel and upkeep", source="assumed: free", ge=0, le=1000
    )
    kg_per_mwh: float = quantity(
        0.0, "kgCO2/MWh", "carbon that it emits", source="assumed: none", ge=0, le=2000
    )
    availability: float = quantity(
        1.0, "-", "share of the capacity that is there on average", source="assumed", ge=0, le=1
    )
    series: str | None = quantity(
        None, "", "series of the available share; solar without one: a clear sky by latitude"
    )
    column: str | None = quantity(None, "", "column of the series [-]")
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _pairs(self) -> "Generator":
        if (self.series is None) != (self.column is None):
            raise ValueError("series and column: give both or none")
        return self


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
    reactance_pu: float | None = quantity(
        None, "p.u.", "series reactance on 100 MVA, needed where the grid is meshed", gt=0
    )
    mtbf_h: float | None = quantity(
        None, "h", "mean time between outages (exponential); default: none but dated ones", gt=0
    )
    repair_h: float = quantity(
        12.0, "h", "mean length of such an outage (exponential)", source="assumed", gt=0
    )
    source: str = quantity("", "", "where the row's figures come from")

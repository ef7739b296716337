"""The complete scenario, validated and immutable."""

import hashlib
import json
from typing import Any

from pydantic import Field

from sim.grid.matpower import Case
from sim.scenario.bitcoin import BtcPrice, ConstantBtcPrice, GrowthNetwork, Network, Pool
from sim.scenario.catalogue.specs import AsicSpec, GpuSpec, ModelSpec, Own, ServingSpec
from sim.scenario.deals import Deposit, Host, Lease, Offtake, Project
from sim.scenario.demand import Demand, EngineFile, Tenant
from sim.scenario.energy import AnyProgramme, Carbon, CoincidentPeak, Grid
from sim.scenario.funding import Funding
from sim.scenario.gpu_market import GpuContract, GpuMarket
from sim.scenario.model import (
    FaultTables,
    Horizon,
    Inference,
    Mining,
    PolicySpec,
    Prices,
    SeriesSpec,
    Weather,
    WhatIf,
)
from sim.scenario.money import Firm, Insurance, Loan, Treasury
from sim.scenario.problems import Problem
from sim.scenario.quantity import Table, quantity
from sim.scenario.rows import (
    AsicGroup,
    Battery,
    Generator,
    GpuGroup,
    GridLink,
    GridNode,
    PowerContract,
    Site,
)
from sim.scenario.series import Series
from sim.scenario.tariffs import DemandCharge, Tariff
from sim.scenario.tax import Tax
from sim.scenario.value import Residuals
from sim.serving.traces import Trace


class ScenarioFile(Table):
    """`scenario.toml`."""

    name: str = quantity("", "", "name; default: that of the folder")
    description: str = quantity("", "", "what the scenario is about")
    base: str | None = quantity(
        None, "", "folder or shipped name of a scenario that this one changes"
    )
    data_dir: str | None = quantity(
        None, "", "folder of recorded data; default: the environment variable HASHWATT_DATA"
    )
    horizon: Horizon = quantity(Horizon(), "", "when, how long, how finely")
    network: Network = quantity(GrowthNetwork(), "", "the Bitcoin network")
    btc_price: BtcPrice = quantity(ConstantBtcPrice(), "", "price of a bitcoin")
    pool: Pool = quantity(Pool(), "", "how hashes become bitcoin")
    prices: Prices = quantity(Prices(), "", "price of energy by zone")
    tariffs: dict[str, Tariff] = quantity({}, "", "prices by date and by hour of the day, by name")
    demand_charges: dict[str, DemandCharge] = quantity(
        {}, "", "charges on the highest power of a month, by name"
    )
    weather: Weather = quantity(Weather(), "", "temperature by climate")
    mining: Mining = quantity(Mining(), "", "how ASICs start and stop")
    faults: FaultTables = quantity(FaultTables(), "", "failures and repairs")
    inference: Inference = quantity(Inference(), "", "GPU nodes as reserved capacity")
    gpu_market: GpuMarket = quantity(GpuMarket(), "", "what GPU hours and tokens fetch, by day")
    gpu_contracts: dict[str, GpuContract] = quantity(
        {}, "", "terms on which GPU nodes are let, by name"
    )
    demand: Demand = quantity(Demand(), "", "requests for tokens, and how they are routed")
    engines: dict[str, EngineFile] = quantity({}, "", "calibrated serving engines, by name")
    grid: Grid = quantity(Grid(), "", "a MATPOWER case, and links that go out")
    coincident_peak: CoincidentPeak | None = quantity(
        None, "", "transmission cost by the load at the system's peaks"
    )
    programmes: dict[str, AnyProgramme] = quantity(
        {}, "", "what the grid pays for stepping back, by name"
    )
    carbon: Carbon = quantity(Carbon(), "", "carbon intensity by zone")
    firm: Firm = quantity(Firm(), "", "the firm's books")
    treasury: Treasury = quantity(Treasury(), "", "cash and bitcoin")
    loans: dict[str, Loan] = quantity({}, "", "dollars against bitcoin, by name")
    funding: Funding = quantity(Funding(), "", "where money comes from when it is short")
    hosts: dict[str, Host] = quantity({}, "", "who houses machines, by name")
    deposits: dict[str, Deposit] = quantity({}, "", "money held as security, by name")
    offtakes: dict[str, Offtake] = quantity({}, "", "buyers of reserved GPU nodes, by name")
    projects: dict[str, Project] = quantity({}, "", "what is built, by name")
    insurance: dict[str, Insurance] = quantity({}, "", "policies, by name")
    tax: Tax = quantity(Tax(), "", "income tax, beside its rate")
    residuals: Residuals = quantity(Residuals(), "", "what used machines fetch")
    what_if: WhatIf = quantity(WhatIf(), "", "factors on prices, for questions of the kind what if")
    policy: PolicySpec = quantity(PolicySpec(), "", "who decides")
    series: dict[str, SeriesSpec] = quantity({}, "", "recorded values, by name")


class Scenario(ScenarioFile, arbitrary_types_allowed=True):
    """A scenario folder, loaded: the tables, the sheets and the recorded series."""

    sites: tuple[Site, ...] = ()
    asics: tuple[AsicGroup, ...] = ()
    gpus: tuple[GpuGroup, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    leases: tuple[Lease, ...] = ()
    power_contracts: tuple[PowerContract, ...] = ()
    batteries: tuple[Battery, ...] = ()
    generators: tuple[Generator, ...] = ()
    grid_nodes: tuple[GridNode, ...] = ()
    grid_links: tuple[GridLink, ...] = ()
    asic_models: tuple[AsicSpec, ...] = ()
    gpu_models: tuple[GpuSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    serving_models: tuple[ServingSpec, ...] = ()
    recorded: dict[str, Series] = Field(default_factory=dict, exclude=True)
    traces: dict[str, Trace] = Field(default_factory=dict, exclude=True)
    case: Case | None = Field(default=None, exclude=True)
    recorded_sha256: dict[str, str] = Field(default_factory=dict)
    # Usable input that looks like a mistake; reported, without effect on results.
    warnings: tuple[Problem, ...] = Field(default=(), exclude=True)

    @property
    def own(self) -> Own:
        """Machines and measurements that override the catalogue."""
        return Own(self.asic_models, self.gpu_models, self.models, self.serving_models)

    def resolved(self) -> dict[str, Any]:
        """Everything that determines a run, as plain JSON values (except the data folder)."""
        return self.model_dump(mode="json", exclude={"base", "data_dir"})

    def sha256(self) -> str:
        """Hash of `resolved()`: equal scenarios have equal hashes."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

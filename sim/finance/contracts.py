"""Energy prices at each site by step: zone prices, contracts, delivery."""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from sim.kernels.arrays import StepInputs
from sim.scenario.model import FixedPrice
from sim.scenario.rows import PowerContract
from sim.scenario.scenario import Scenario
from sim.types import Floats
from sim.units import J_PER_MWH, W_PER_MW
from sim.world.signals import fixed_price
from sim.world.world import World


class Contracts(NamedTuple):
    """Blocks and positions (step, site), as in PricesInForce; no rows without contracts."""

    block_w: Floats
    block_usd_per_mwh: Floats
    position_w: Floats
    position_usd_per_s: Floats


class EnergyTerms:
    """Prices and contracts over the run. Shapes: `step`, `site`.

    `price` is the marginal price of grid energy [USD/MWh]. `market`: zone price plus delivery and
    taxes; `fixed` and `hosted`: the contract price.
    """

    def __init__(self, scenario: Scenario, world: World) -> None:
        self.world = world
        self.price = energy_price(scenario, world.zone_usd_per_mwh)
        self.factor = scenario.what_if.energy_price_factor
        self.adder = np.array([s.adder_usd_per_mwh for s in scenario.sites])
        self.market = np.array([s.contract == "market" for s in scenario.sites])
        sites = len(scenario.sites)
        self.step_inputs = StepInputs(
            self.price,
            world.zone_usd_per_mwh,
            world.ambient_c,
            world.wet_bulb_c,
            _or_nothing(world.day_ahead_usd_per_mwh, sites),
            *_contracts(scenario, world, self.adder),
            _or_nothing(world.carbon_kg_per_mwh, sites),
            _or_nothing(world.available_w, 0),
            _or_nothing(world.reserve_usd_per_mw_h, 0),
            _or_nothing(world.real_time_reserve, 0),
        )

    def learn(self, step: int, lmp_usd_per_mwh: Floats) -> None:
        """Take over a step's locational marginal prices (site,) [USD/MWh] from a power flow."""
        zone = self.world.zone_usd_per_mwh[step]
        zone[:] = lmp_usd_per_mwh * self.factor
        self.price[step, self.market] = (zone + self.adder)[self.market]


def _or_nothing(values: Floats | None, *shape: int) -> Floats:
    """The table (step, …), or an empty one for None."""
    return np.zeros((0, *shape)) if values is None else np.ascontiguousarray(values)


def energy_price(scenario: Scenario, zone_usd_per_mwh: Floats) -> Floats:
    """Price at each site's meter (step, site) [USD/MWh], without blocks and positions."""
    price = zone_usd_per_mwh.copy()
    t_s = np.arange(len(price), dtype=np.int64) * scenario.horizon.step_s
    for i, site in enumerate(scenario.sites):
        if site.contract == "market":
            price[:, i] += site.adder_usd_per_mwh
        else:
            own = FixedPrice(usd_per_mwh=site.energy_usd_per_mwh, tariff=site.tariff)
            usd = fixed_price(scenario, own).mean(t_s, scenario.horizon.step_s)
            price[:, i] = usd * scenario.what_if.energy_price_factor
    return np.ascontiguousarray(price)


def _contracts(scenario: Scenario, world: World, adder: Floats) -> Contracts:
    names = [s.name for s in scenario.sites]
    steps = len(world.zone_usd_per_mwh) if scenario.power_contracts else 0
    made = Contracts(*np.zeros((len(Contracts._fields), steps, len(names))))
    for contract in scenario.power_contracts:
        s = names.index(contract.site)
        share = in_force(contract, scenario, steps)
        when = share > 0.0
        power_w = contract.mw * W_PER_MW * share[when]
        if contract.kind == "day-ahead":
            assert world.day_ahead_usd_per_mwh is not None
            paid = world.day_ahead_usd_per_mwh[when, s]
        else:
            paid = np.full(int(when.sum()), contract.strike_usd_per_mwh)
        if contract.kind == "day-ahead" or contract.resell:
            made.position_w[when, s] += power_w
            made.position_usd_per_s[when, s] += power_w * paid / J_PER_MWH
        else:  # merge a site's blocks at their mean price
            before = made.block_w[when, s] * made.block_usd_per_mwh[when, s]
            made.block_w[when, s] += power_w
            usd = (before + power_w * paid) / made.block_w[when, s]
            made.block_usd_per_mwh[when, s] = usd
    made.block_usd_per_mwh[:] += adder
    return made


def in_force(contract: PowerContract, scenario: Scenario, steps: int) -> Floats:
    """Share of each step (step,) for which a contract is in force; it may begin mid-step."""
    begin, step_s = scenario.horizon.start_utc, scenario.horizon.step_s

    def t_s(when: datetime | None, default: float) -> float:
        if when is None:
            return default
        return (when.astimezone(UTC) - begin).total_seconds()

    edges_s = np.arange(steps + 1, dtype=np.float64) * step_s
    held_s = np.clip(t_s(contract.end_utc, edges_s[-1]) - edges_s[:-1], 0.0, step_s)
    held_s -= np.clip(t_s(contract.start_utc, 0.0) - edges_s[:-1], 0.0, step_s)
    return np.maximum(held_s, 0.0) / step_s

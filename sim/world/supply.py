"""A network whose owners run their machines while it pays: the supply curve of hashrate.

Owners are the cells of two distributions, of efficiency and of running cost. They watch smoothed
revenue, switch a share of their machines a day, and return only a little above the level at which
they left. The chain is mined day by day with what runs, so price, hashrate and difficulty interact:
a fall of the price slows the chain, the next retarget is downward and raises the hashprice again.
"""

from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Final

import numpy as np

from sim.scenario.bitcoin import Storm, SupplyCurveNetwork
from sim.scenario.model import Horizon
from sim.scenario.problems import Problem, ScenarioError
from sim.streams import Streams
from sim.types import Floats
from sim.units import (
    DAYS_PER_YEAR,
    J_PER_MWH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    TH_PER_EH,
    TH_PER_PH,
)
from sim.world.chain import Chain, ForwardChain
from sim.world.difficulty import btc_per_th, subsidy_btc
from sim.world.signals import Signal

CELLS: Final = 24  # quantiles of each spread
LEAST_THS: Final = 1.0  # a floor, so that shares of the network are finite
_PH_DAY: Final = TH_PER_PH * SECONDS_PER_DAY  # TH in a PH/s held for a day


class Owners:
    """Machines by efficiency and running cost; the last row holds new machines.

    `installed_ths` and `on_ths` are (efficiency, cost) [TH/s]. Everything that pays at `usd_per_th`
    runs at the start, and is scaled to the network's hashrate.

    Raises:
        ScenarioError: if nothing runs at the start.
    """

    def __init__(self, network: SupplyCurveNetwork, usd_per_th: float) -> None:
        self.network = network
        fleet = network.fleet_j_per_th * spread(network.fleet_spread)
        power = network.power_usd_per_mwh * spread(network.power_spread)
        efficiency = np.append(fleet, network.arrivals_j_per_th)
        self.cost_usd_per_th = efficiency[:, None] * power / J_PER_MWH
        self.installed_ths = np.ones_like(self.cost_usd_per_th)
        self.installed_ths[-1] = 0.0
        self.on_ths = np.where(self.cost_usd_per_th <= usd_per_th, self.installed_ths, 0.0)
        if not self.on_ths.any():
            what = (
                f"no owner runs at the start: a hash earns {usd_per_th * _PH_DAY:.2f} USD/PH/day, "
                f"the cheapest costs {self.cost_usd_per_th.min() * _PH_DAY:.2f}"
            )
            where, value = "network.power_usd_per_mwh", f"{network.power_usd_per_mwh:g}"
            raise ScenarioError("network", [Problem("scenario.toml", where, value, what)])
        scale = network.hashrate_ehs * TH_PER_EH / self.on_ths.sum()
        self.installed_ths *= scale
        self.on_ths *= scale
        self.seen_usd_per_th = usd_per_th
        self.new_cost_usd_per_th = network.arrivals_j_per_th * network.power_usd_per_mwh / J_PER_MWH
        self.full_margin = usd_per_th - self.new_cost_usd_per_th

    @property
    def running_ths(self) -> float:
        """Hashrate of everything that runs [TH/s]."""
        return float(self.on_ths.sum())

    def decide(self, usd_per_th: float) -> None:
        """Begin the next day, at this revenue per terahash [USD/TH]."""
        network = self.network
        keep = np.exp(-1.0 / network.lag_days) if network.lag_days > 0 else 0.0
        self.seen_usd_per_th = keep * self.seen_usd_per_th + (1.0 - keep) * usd_per_th
        self._arrive()
        pays = self.seen_usd_per_th > self.cost_usd_per_th * (1.0 + network.hysteresis)
        loses = self.seen_usd_per_th < self.cost_usd_per_th * (1.0 - network.hysteresis)
        off_ths = self.installed_ths - self.on_ths
        self.on_ths += np.where(pays, network.switch_per_day * off_ths, 0.0)
        self.on_ths -= np.where(loses, network.switch_per_day * self.on_ths, 0.0)

    def _arrive(self) -> None:
        """Add new machines, equally over running costs; fewer if they earn less than at first."""
        margin = max(self.seen_usd_per_th - self.new_cost_usd_per_th, 0.0)
        pace = min(margin / self.full_margin, 1.0) if self.full_margin > 0 else float(margin > 0)
        new_ths = self.network.arrivals_ehs_per_year * TH_PER_EH / DAYS_PER_YEAR * pace / CELLS
        self.installed_ths[-1] += new_ths
        self.on_ths[-1] += np.where(self.cost_usd_per_th[-1] <= self.seen_usd_per_th, new_ths, 0.0)


def spread(deviation: float) -> Floats:
    """Multiples of the median at the middles of equally likely parts of a lognormal (cell,)."""
    normal = NormalDist()
    quantiles = [normal.inv_cdf((cell + 0.5) / CELLS) for cell in range(CELLS)]
    return np.exp(deviation * np.array(quantiles))


def supply_chain(
    network: SupplyCurveNetwork, horizon: Horizon, usd_per_btc: Signal, streams: Streams
) -> Chain:
    """The chain of owners who respond to each day's opening price and the difficulty then.

    Past the end of the run, until the last epoch closes, the price stays constant.
    """
    chain = ForwardChain(network, horizon, streams)
    owners: Owners | None = None
    last_s = horizon.seconds - min(horizon.step_s, SECONDS_PER_HOUR)
    while not chain.complete:
        day = len(chain.network_ths)
        reward_btc = subsidy_btc(chain.next_height) + network.fees_btc_per_block
        at_s = np.array([min(day * SECONDS_PER_DAY, last_s)], dtype=np.int64)
        usd_per_th = btc_per_th(chain.difficulty, reward_btc) * float(usd_per_btc.at(at_s)[0])
        if owners is None:
            owners = Owners(network, usd_per_th)
        else:
            owners.decide(usd_per_th)
        left = storm_left(network.storms, horizon.start_utc + timedelta(days=day))
        chain.mine(max(owners.running_ths * left, LEAST_THS))
    fees_btc = network.fees_btc_per_block
    return chain.chain(np.full(len(chain.network_ths), fees_btc), fees_btc)


def storm_left(storms: tuple[Storm, ...], day_utc: datetime) -> float:
    """Share of running hashrate that storms leave on: the mean over a day from this instant."""
    left = 1.0
    for storm in storms:
        begins_s = (storm.start_utc - day_utc).total_seconds()
        ends_s = begins_s + storm.hours * SECONDS_PER_HOUR
        over_s = max(min(ends_s, SECONDS_PER_DAY) - max(begins_s, 0.0), 0.0)
        left *= 1.0 - storm.fraction * over_s / SECONDS_PER_DAY
    return left

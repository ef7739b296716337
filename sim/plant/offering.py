"""Reserve offers of the fleet for the next day, and the most that its sites can provide."""

import numpy as np

from sim.kernels.arrays import GRANTED
from sim.kernels.fleet import Fleet
from sim.policy import (
    Decision,
    Observation,
    Offerer,
    Policy,
    PolicyError,
    ReserveOffers,
    offer_problems,
)
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_HOUR, W_PER_MW


def offers_of(
    policy: Policy,
    decision: Decision,
    observation: Observation,
    begins_s: Ints,
    shape: tuple[int, ...],
) -> ReserveOffers:
    """Offers for the hours that begin at `begins_s` (hour,); `shape` is (programme, site).

    Raises:
        PolicyError: if the offers are invalid.
    """
    hours, (programmes, sites) = len(begins_s), shape
    if isinstance(policy, Offerer):
        offers = policy.offer(observation, begins_s.copy())
        if told := offer_problems(offers, hours, programmes, sites):
            raise PolicyError(f"offers at t = {observation.t_s} s: {told}")
        return offers
    flat_w = np.zeros(shape) if decision.offer_w is None else np.asarray(decision.offer_w, float)
    power_w = np.repeat(flat_w[None], hours, axis=0)
    return ReserveOffers(power_w, np.zeros(power_w.shape), np.full((hours, sites), np.inf))


def drawn_w(fleet: Fleet) -> Floats:
    """Power that ASICs draw now at each site (site,), at the meter [W]."""
    asics, asic, sites = fleet.asics, fleet.asic, len(fleet.sites.loss)
    of_groups = (asic.shares[GRANTED] * asics.mode_w).sum(axis=1)
    of_groups = of_groups * asic.running * asic.heat * asic.factor
    return np.bincount(asics.site, of_groups, sites).astype(np.float64)


def able_w(fleet: Fleet, built_mw: Floats, duration_h: Floats) -> Floats:
    """Most that each site can curtail or discharge for a product (programme, site) [W].

    Counts machines that have not failed, in their highest mode and up to the connection, and full
    batteries, for as long as a product requires: `duration_h` (programme,).
    """
    asics, asic, nodes, node = fleet.asics, fleet.asic, fleet.nodes, fleet.node
    assets, loss = fleet.assets, fleet.sites.loss
    count = len(loss)
    most_w = asics.mode_w.max(axis=1, initial=0.0) * asic.healthy * asic.factor
    node_w = nodes.node_w * node.healthy * node.factor
    load_w = np.bincount(asics.site, most_w, count) + np.bincount(nodes.site, node_w, count)
    load_w = np.minimum(load_w, built_mw * W_PER_MW)
    at = assets.battery_site
    seconds = np.maximum(np.nan_to_num(duration_h[:, None]) * SECONDS_PER_HOUR, 1e-9)
    lasting_w = np.minimum(assets.power_w, assets.energy_j * assets.one_way / seconds)
    lasting_w = lasting_w / (1.0 - loss)[at]
    given_w = np.stack([np.bincount(at, of_one, count) for of_one in lasting_w])
    return np.asarray(load_w + given_w, dtype=np.float64)

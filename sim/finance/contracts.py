"""What a site pays for energy."""

import numpy as np

from sim.kernels.arrays import Floats
from sim.scenario.scenario import Scenario


def energy_price(scenario: Scenario, zone_usd_per_mwh: Floats) -> Floats:
    """Price at each site's meter (step, site) [USD/MWh].

    `market`: the zone's price plus delivery and taxes; `fixed` and `hosted`: the contract's price.
    """
    price = zone_usd_per_mwh.copy()
    for i, site in enumerate(scenario.sites):
        if site.energy_usd_per_mwh is None:
            price[:, i] += site.adder_usd_per_mwh
        else:
            price[:, i] = site.energy_usd_per_mwh
    return np.ascontiguousarray(price)

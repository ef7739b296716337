"""Real-time value of reserves: the price of capacity that was sold and is not held."""

import numpy as np

from sim.scenario.energy import EconomicProgramme, ReserveProgramme
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints


def real_time_reserves(
    scenario: Scenario,
    t_s: Ints,
    reserve_usd_per_mw_h: Floats | None,
    zone_usd_per_mwh: Floats,
    day_ahead_usd_per_mwh: Floats | None,
) -> Floats | None:
    """Real-time prices of the programmes that issue calls (step, programme) [USD/MW/h].

    Recorded prices, or those that a market clearing energy and reserves together would set: the
    availability price plus the excess of the energy price over its day-ahead price (the mean over
    the enrolled sites' zones that have one), never below 0. Assumed: ERCOT had no such price before
    December 2025. Emergency programmes have none.
    """
    if reserve_usd_per_mw_h is None:
        return None
    real = np.zeros_like(reserve_usd_per_mw_h)
    beyond = np.full(zone_usd_per_mwh.shape, np.nan)
    if day_ahead_usd_per_mwh is not None:
        beyond = zone_usd_per_mwh - day_ahead_usd_per_mwh
    known = np.isfinite(beyond)
    specs = [p for p in scenario.programmes.values() if not isinstance(p, EconomicProgramme)]
    for column, spec in enumerate(specs):
        if not isinstance(spec, ReserveProgramme):
            continue
        if spec.real_time_series is not None:
            series = scenario.recorded[spec.real_time_series]
            unix_s = t_s + round(scenario.horizon.start_utc.timestamp())
            of_steps = series.mean(
                str(spec.real_time_column), unix_s, scenario.horizon.step_s, low=0.0
            )
            real[:, column] = of_steps
            continue
        here = known & [("*" in spec.sites or site.name in spec.sites) for site in scenario.sites]
        total = np.where(here, beyond, 0.0).sum(axis=1)
        premium = total / np.maximum(here.sum(axis=1), 1)
        real[:, column] = np.maximum(reserve_usd_per_mw_h[:, column] + premium, 0.0)
    return real

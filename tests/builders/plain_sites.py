"""Sites without anything that a bound would have to relax."""

from typing import Any

from sim.scenario import Scenario
from tests.conftest import build_scenario

PLAIN: dict[str, Any] = {
    "horizon": {"start_utc": "2026-01-01T06:00:00Z", "days": 2, "step_s": 3600},
    "network": {"model": "growth", "volatility_per_year": 0.0},
    "btc_price": {"model": "constant", "usd_per_btc": 90_000},
    "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 40}}},
    "faults": {"enabled": False},
    "mining": {"restart_s": 0, "min_off_s": 0, "ramp_up_per_min": 10},
}


def plain(tables: dict[str, Any] | None = None, **sheets: Any) -> Scenario:
    """Constant prices, no limit that binds, no failures, no restart: nothing couples."""
    return build_scenario({**PLAIN, **(tables or {})}, **sheets)

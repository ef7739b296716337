"""Daily prices of GPU hours and tokens over the run, drawn before it begins."""

from typing import Final, NamedTuple

import numpy as np

from sim.scenario.gpu_market import (
    DecayGpuPrice,
    DecayTokenPrice,
    GpuPrice,
    ReplayGpuPrice,
    ReplayTokenPrice,
    RevertingGpuPrice,
    RevertingTokenPrice,
    TokenPrice,
)
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats
from sim.units import DAYS_PER_YEAR, SECONDS_PER_DAY
from sim.world.luck import daily_normals
from sim.world.signals import Replay

DAY_YEARS: Final = 1.0 / DAYS_PER_YEAR


class GpuPaths(NamedTuple):
    """Paths by GPU or name; those not named have none. Shape: `day` of the run."""

    usd_per_gpu_h: dict[str, Floats]  # (day,) by GPU
    occupancy: dict[str, Floats]  # (day,) by GPU: share let of what is offered by the hour
    tokens: dict[str, Floats]  # (day,) by name: price as a multiple of that at the start


def gpu_paths(scenario: Scenario, streams: Streams) -> GpuPaths:
    """All paths of a scenario, before the factors of [what_if]."""
    days = -(-scenario.horizon.seconds // SECONDS_PER_DAY)
    gpus, tokens = scenario.gpu_market.gpus.items(), scenario.gpu_market.tokens.items()
    return GpuPaths(
        {gpu: _gpu_price(scenario, gpu, spec, days, streams) for gpu, spec in gpus},
        {gpu: _occupancy(gpu, spec, days, streams) for gpu, spec in gpus},
        {name: _token_price(scenario, name, spec, days, streams) for name, spec in tokens},
    )


def token_course(scenario: Scenario, paths: GpuPaths) -> Floats | None:
    """Token prices of each tenant over those at the start (day, tenant); None: all constant."""
    names = [tenant.price_path for tenant in scenario.tenants]
    if not any(names):
        return None
    stays = np.ones(-(-scenario.horizon.seconds // SECONDS_PER_DAY))
    return np.stack([stays if n is None else paths.tokens[n] for n in names], axis=1)


def _gpu_price(scenario: Scenario, gpu: str, spec: GpuPrice, days: int, streams: Streams) -> Floats:
    """Price (day,) [USD/GPU/h]."""
    if isinstance(spec, ReplayGpuPrice):
        return _recorded(scenario, spec.series, spec.column, days)
    if isinstance(spec, RevertingGpuPrice):
        trend = spec.trend_usd_per_gpu_h or spec.usd_per_gpu_h
        normals = daily_normals("gpu-price", gpu, days, streams)
        return np.asarray(
            trend * _reverting(spec, spec.usd_per_gpu_h / trend, normals), dtype=np.float64
        )
    change = spec.change_per_year if isinstance(spec, DecayGpuPrice) else 0.0
    return np.asarray(spec.usd_per_gpu_h * _trend(change, days), dtype=np.float64)


def _token_price(
    scenario: Scenario, name: str, spec: TokenPrice, days: int, streams: Streams
) -> Floats:
    """Price as a multiple of that at the start (day,)."""
    if isinstance(spec, ReplayTokenPrice):
        usd = _recorded(scenario, spec.series, spec.column, days)
        return np.asarray(usd / usd[0], dtype=np.float64)
    if isinstance(spec, RevertingTokenPrice):
        return _reverting(spec, 1.0, daily_normals("token-price", name, days, streams))
    return _trend(spec.change_per_year if isinstance(spec, DecayTokenPrice) else 0.0, days)


def _recorded(scenario: Scenario, series: str, column: str, days: int) -> Floats:
    start = round(scenario.horizon.start_utc.timestamp())
    path = Replay(scenario.recorded[series], column, start)
    return path.at(np.arange(days, dtype=np.int64) * SECONDS_PER_DAY)


def _trend(change_per_year: float, days: int) -> Floats:
    """Growth since the start at a constant rate per year (day,)."""
    return np.asarray((1.0 + change_per_year) ** (np.arange(days) * DAY_YEARS), dtype=np.float64)


def _reverting(
    spec: RevertingGpuPrice | RevertingTokenPrice, first: float, normals: Floats
) -> Floats:
    """Price over the trend's level at the start (day,): its logarithm reverts to the trend.

    An Ornstein-Uhlenbeck process, exact from day to day; the trend is the median. `first` is the
    price over the trend at the start.
    """
    kept = np.exp(-spec.reversion_per_year * DAY_YEARS)
    spread = spec.volatility_per_year * np.sqrt((1.0 - kept**2) / (2.0 * spec.reversion_per_year))
    away = np.empty(len(normals))
    away[:1] = np.log(first)
    for day in range(1, len(normals)):
        away[day] = kept * away[day - 1] + spread * normals[day]
    return _trend(spec.change_per_year, len(normals)) * np.exp(away)


def _occupancy(gpu: str, spec: GpuPrice, days: int, streams: Streams) -> Floats:
    """Share that is let (day,): the mean plus a stationary AR(1), clipped to 0 to 1.

    Clipping changes the mean; the scenario warns where that is likely.
    """
    if spec.occupancy_deviation == 0.0:
        return np.full(days, spec.occupancy)
    normals = daily_normals("gpu-occupancy", gpu, days, streams)
    kept = np.exp(-spec.occupancy_reversion_per_year * DAY_YEARS)
    away = np.empty(days)
    away[0] = normals[0]
    for day in range(1, days):
        away[day] = kept * away[day - 1] + np.sqrt(1.0 - kept**2) * normals[day]
    return np.asarray(np.clip(spec.occupancy + spec.occupancy_deviation * away, 0.0, 1.0))

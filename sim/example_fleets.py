"""Invented fleets and demanding days, for `check_policy` and for tests.

Arrays are writable on purpose, so that a policy that changes them is detected.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import Limits
from sim.policy import (
    NO_DEMAND,
    AsicView,
    DemandView,
    EnergyView,
    GpuView,
    Observation,
    ServingView,
)
from sim.types import Floats

DAY: Final = 96  # steps of 15 minutes
EXTREMES: Final = 6  # kinds of step in rotation, three of them extreme


class Size(NamedTuple):
    """Number of each kind of thing in a fleet. All but sites may be 0."""

    sites: int
    groups: int
    modes: int
    nodes: int
    batteries: int
    generators: int
    programmes: int
    tenants: int


SIZES: Final = {
    "one site of ASICs": Size(1, 1, 1, 0, 0, 0, 0, 0),
    "GPUs alone": Size(2, 0, 1, 5, 0, 0, 1, 3),
    "five sites": Size(5, 7, 4, 3, 2, 2, 3, 4),
}
FLEETS: Final = ("mixed", *SIZES)


def example(step: int, fleet: str = "mixed") -> Observation:
    """A fleet at a step; steps beyond the day's 96 belong to the next day."""
    return _mixed(step) if fleet == "mixed" else _sized(step, SIZES[fleet])


def trying(step: int, fleet: str) -> Observation:
    """A fleet as in `example`, with extremes: every second step is one of three kinds.

    Prices of 1,000 to 15,000 USD/MWh at market caps, and below zero, each in cold to -45 degrees C,
    in heat to 55 degrees C and in the example's weather; nothing published, nothing available, no
    headroom, worthless hashes.
    """
    seen = example(step, fleet)
    draw = np.random.Generator(np.random.Philox(key=[7, step]))
    count = len(seen.price_usd_per_mwh)
    match step % EXTREMES:
        case 1:
            return seen._replace(
                price_usd_per_mwh=draw.uniform(1_000.0, 15_000.0, count),
                ambient_c=_weather(step, seen, draw),
                hashprice_usd_per_ph_day=0.0 if step % 4 == 3 else seen.hashprice_usd_per_ph_day,
            )
        case 3:
            energy = seen.energy._replace(
                day_ahead_usd_per_mwh=np.full(count, np.nan),
                day_ahead_next_usd_per_mwh=np.full(
                    seen.energy.day_ahead_next_usd_per_mwh.shape, np.nan
                ),
            )
            return seen._replace(
                price_usd_per_mwh=draw.uniform(-1_000.0, -10.0, count),
                ambient_c=_weather(step + EXTREMES, seen, draw),
                energy=energy,
            )
        case 5:
            out = draw.random() < 0.5
            limits = seen.limits._replace(
                room_w=seen.limits.room_w * (0.0 if out else 1e-3),
                cap_w=np.minimum(seen.limits.cap_w, 0.0 if out else np.inf),
            )
            return seen._replace(
                asic=seen.asic._replace(available=seen.asic.available * 0.0),
                gpu=seen.gpu._replace(available=seen.gpu.available * 0.0),
                ambient_c=draw.uniform(-45.0, 55.0, count),
                limits=limits,
            )
    return seen


def _weather(step: int, seen: Observation, draw: np.random.Generator) -> Floats:
    """Heat, cold and the example's weather in rotation [C]."""
    count = len(seen.ambient_c)
    match step // EXTREMES % 3:
        case 0:
            return draw.uniform(40.0, 55.0, count)
        case 1:
            return draw.uniform(-45.0, -20.0, count)
    return seen.ambient_c


def _sized(step: int, size: Size) -> Observation:
    """A fleet of any size; each site has a limit of its own, and all share another."""
    draw = np.random.Generator(np.random.Philox(key=[step, size.sites]))
    sites, groups, nodes = np.arange(size.sites), size.groups, size.nodes
    default = np.zeros((groups, size.modes))
    default[:, size.modes // 2] = 1.0
    ths = np.linspace(80.0, 200.0, size.modes) * np.linspace(1.0, 1.4, groups)[:, None]
    latency = draw.uniform(0.005, 0.2, (size.tenants, size.sites))
    return Observation(
        t_s=900 * (step % DAY),
        step_s=900,
        price_usd_per_mwh=draw.normal(40.0, 60.0, size.sites),
        ambient_c=draw.uniform(-10.0, 40.0, size.sites),
        usd_per_btc=60_000.0,
        difficulty=1.2e14,
        hashprice_usd_per_ph_day=float(draw.uniform(20.0, 80.0)),
        asic=AsicView(
            site=np.arange(groups) % size.sites,
            available=draw.integers(0, 400, groups).astype(np.float64),
            heat=draw.uniform(0.8, 1.0, groups),
            meter_factor=draw.uniform(1.03, 1.2, groups),
            mode_ths=ths,
            mode_w=ths * np.linspace(15.0, 22.0, size.modes),
            default_share=default,
            share=default * draw.uniform(0.0, 1.0),
        ),
        gpu=GpuView(
            site=np.arange(nodes) % size.sites,
            available=draw.integers(1, 9, nodes).astype(np.float64),
            node_w=np.full(nodes, 10_200.0),
            meter_factor=draw.uniform(1.1, 1.4, nodes),
            usd_per_h=draw.uniform(4.0, 20.0, nodes),
            credit_usd_per_h=draw.uniform(0.0, 8.0, nodes),
            contracted=np.array([1.0, 0.5, 0.0])[np.arange(nodes) % 3],
            share=draw.uniform(0.0, 1.0, nodes),
        ),
        limits=Limits(
            path=np.stack([sites, np.full(size.sites, size.sites)], axis=1),
            room_w=draw.uniform(1e5, 2e6, size.sites + 1),
            local_w=np.zeros(size.sites),
            cap_w=np.full(size.sites, np.inf),
        ),
        energy=EnergyView(
            day_ahead_usd_per_mwh=draw.normal(40.0, 20.0, size.sites),
            block_w=np.zeros(size.sites),
            block_usd_per_mwh=np.zeros(size.sites),
            carbon_kg_per_mwh=np.full(size.sites, 400.0),
            peak_risk=0.0,
            peak_usd_per_mw=np.zeros(size.sites),
            month_peak_w=np.zeros(size.sites),
            reserve_usd_per_mw_h=draw.uniform(0.0, 9.0, (size.programmes, size.sites)),
            called_w=np.full((2, size.sites), np.inf),
            battery_site=np.arange(size.batteries) % size.sites,
            battery=np.tile([5e5, 3.6e9, 0.9, 4e-9], (size.batteries, 1)),
            stored_j=draw.uniform(0.0, 3.6e9, size.batteries),
            generator_site=np.arange(size.generators) % size.sites,
            available_w=np.full(size.generators, 5e5),
            generator_usd_per_mwh=np.full(size.generators, 60.0),
            day_ahead_next_usd_per_mwh=draw.normal(40.0, 20.0, (23 - step // 4 % 24, size.sites)),
            demand=NO_DEMAND,
            export_usd_per_mwh=np.full(size.sites, 35.0),
            export_w=np.zeros(size.sites),
            overhead_w=np.zeros(size.sites),
            loss=np.zeros(size.sites),
            emergency=np.zeros(size.sites, dtype=np.int64),
            ramp_w=np.stack([np.full(size.sites, -np.inf), np.full(size.sites, np.inf)]),
            reserve_duration_h=np.array([np.nan, 1.0, 2.0])[: size.programmes],
            hold_w=_sold(size, draw),
            shortfall_usd_per_mw_h=np.full((size.programmes, size.sites), 12.0),
            sold_next_w=np.tile(_sold(size, draw), (23 - step // 4 % 24, 1, 1)),
            sold_next_usd_per_mw_h=np.full((23 - step // 4 % 24, size.programmes), 9.0),
        ),
        serving=ServingView(
            rate_rps=draw.uniform(0.0, 5.0, size.tenants),
            latency_s=np.where(latency > 0.15, np.nan, latency),
            outstanding=draw.integers(0, 30, nodes).astype(np.float64),
            waiting=draw.integers(0, 9, nodes).astype(np.float64),
            seats=np.full(nodes, 120.0),
            ttft_s=draw.uniform(0.03, 4.0, size.tenants),
        ),
    )


def _charged(step: int) -> DemandView:
    """Charges of the second site: one at all hours, one from 14 to 19, and its ratchet's."""
    hour = (step // 4 + np.arange(168)) % 24
    on_peak = (hour >= 14) & (hour < 19)
    return DemandView(
        site=np.ones(3, dtype=np.int64),
        usd_per_mw=np.array([9_000.0, 4_000.0, 30_000.0]),
        peak_w=np.array([3e6, 2e6, 2.5e6]),
        left_s=np.full(3, 2_000_000.0 - 900.0 * step),
        later=np.array([False, False, True]),
        measured=np.stack([np.ones(168, dtype=np.bool_), on_peak, on_peak], axis=1),
    )


def _sold(size: Size, draw: np.random.Generator) -> Floats:
    """Reserve awards (programme, site) [W]; every programme after the first is a reserve."""
    sold_w = draw.uniform(0.0, 2e5, (size.programmes, size.sites))
    sold_w[:1] = 0.0
    return sold_w


def _mixed(step: int) -> Observation:
    """An invented fleet: three sites, four ASIC groups with three modes, two groups of nodes."""
    draw = np.random.Generator(np.random.Philox(key=step))
    full = np.array([[0.0, 1.0, 0.0]] * 4)
    return Observation(
        t_s=900 * (step % DAY),
        step_s=900,
        price_usd_per_mwh=draw.normal(40.0, 60.0, 3),
        ambient_c=draw.uniform(-10.0, 48.0, 3),
        usd_per_btc=90_000.0,
        difficulty=1.4e14,
        hashprice_usd_per_ph_day=float(draw.uniform(20.0, 60.0)),
        asic=AsicView(
            site=np.array([0, 0, 1, 2]),
            available=draw.integers(900, 1000, 4).astype(np.float64),
            heat=np.array([1.0, 1.0, 0.95, 0.0 if step % 7 == 0 else 1.0]),
            meter_factor=draw.uniform(1.03, 1.2, 4),
            mode_ths=np.array([[112.0, 140.0, 150.0], [160.0, 200.0, 216.0]] * 2),
            mode_w=np.array([[2110.0, 3010.0, 3460.0], [2450.0, 3500.0, 4025.0]] * 2),
            default_share=full.copy(),
            share=full * draw.uniform(0.0, 1.0),
        ),
        gpu=GpuView(
            site=np.array([0, 2]),
            available=np.array([4.0, 8.0]),
            node_w=np.array([7980.0, 7980.0]),
            meter_factor=draw.uniform(1.1, 1.3, 2),
            usd_per_h=np.array([16.0, 12.0]),
            credit_usd_per_h=np.array([8.0, 0.0]),
            contracted=np.array([1.0, 0.0]),
            share=np.ones(2),
        ),
        limits=Limits(
            path=np.array([[0, 3], [1, 3], [2, -1]]),
            room_w=np.array([5e6, 4e6, 3e6, 6e6]),
            local_w=np.array([0.0, 1e6, 0.0]),
            cap_w=np.array([np.inf, np.inf, 2e6 if step % 5 == 0 else np.inf]),
        ),
        energy=EnergyView(
            day_ahead_usd_per_mwh=draw.normal(40.0, 20.0, 3),
            block_w=np.array([0.0, 0.0, 1e6]),
            block_usd_per_mwh=np.array([0.0, 0.0, 35.0]),
            carbon_kg_per_mwh=np.full(3, 350.0),
            peak_risk=0.02 if step % 11 == 0 else 0.0,
            peak_usd_per_mw=np.array([16_000.0, 16_000.0, 0.0]),
            month_peak_w=np.full(3, 3e6),
            reserve_usd_per_mw_h=np.array([[5.0, 0.0, 5.0], [0.0, 3.0, 3.0]]),
            called_w=np.array([[np.inf, np.inf, 2e6 if step % 5 == 0 else np.inf], [np.inf] * 3]),
            battery_site=np.array([1]),
            battery=np.array([[1e6, 7.2e9, 0.92, 5e-9]]),
            stored_j=np.array([draw.uniform(0.0, 7.2e9)]),
            generator_site=np.array([1]),
            available_w=np.array([1e6]),
            generator_usd_per_mwh=np.array([28.0]),
            day_ahead_next_usd_per_mwh=draw.normal(40.0, 20.0, (23 - step // 4 % 24, 3)),
            demand=_charged(step),
            export_usd_per_mwh=np.full(3, 35.0),
            export_w=np.zeros(3),
            overhead_w=np.zeros(3),
            loss=np.zeros(3),
            emergency=np.array([0, 1, 0]),
            ramp_w=np.stack([np.full(3, -np.inf), np.full(3, np.inf)]),
            reserve_duration_h=np.array([np.nan, 1.0]),
            hold_w=np.array([[0.0] * 3, [0.0, 3e5 if step % 3 else 0.0, 1e5]]),
            shortfall_usd_per_mw_h=np.array([[0.0] * 3, [0.0, 20.0, 20.0]]),
            sold_next_w=np.zeros((0, 2, 3)),
            sold_next_usd_per_mw_h=np.zeros((0, 2)),
        ),
        serving=ServingView(
            rate_rps=draw.uniform(0.0, 5.0, 2),
            latency_s=np.array([[0.01, 0.04, 0.02], [0.03, np.nan, 0.01]]),
            outstanding=np.array([0.0, 12.0]),
            waiting=np.array([0.0, 4.0]),
            seats=np.array([0.0, 120.0]),
            ttft_s=np.array([0.2, np.nan]),
        ),
    )

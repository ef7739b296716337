"""Observations made by hand."""

from typing import Any

import numpy as np

from sim.kernels.arrays import Limits
from sim.policy import (
    NO_DEMAND,
    NO_SERVING,
    AsicView,
    EnergyView,
    GpuView,
    Observation,
)

ASIC_USD_PER_MWH = 80.0


THS_PER_MACHINE = 200.0


HOUR, DAY = 3600, 86_400


def seen(price: float, room_mw: float = 10.0, t_s: int = 0, **energy: Any) -> Observation:
    """The site at a price [USD/MWh], with a limit of `room_mw` at its meter."""
    none = np.zeros(0)
    usd_per_th = ASIC_USD_PER_MWH * 0.01 / (THS_PER_MACHINE * HOUR)
    programmes = len(energy.get("reserve_usd_per_mw_h", ()))
    view = EnergyView(
        day_ahead_usd_per_mwh=np.array([np.nan]),
        block_w=np.zeros(1),
        block_usd_per_mwh=np.zeros(1),
        carbon_kg_per_mwh=np.zeros(1),
        peak_risk=0.0,
        peak_usd_per_mw=np.zeros(1),
        month_peak_w=np.zeros(1),
        reserve_usd_per_mw_h=np.zeros((0, 1)),
        called_w=np.full((2, 1), np.inf),
        battery_site=np.zeros(0, dtype=np.int64),
        battery=np.zeros((0, 4)),
        stored_j=none,
        generator_site=np.zeros(0, dtype=np.int64),
        available_w=none,
        generator_usd_per_mwh=none,
        day_ahead_next_usd_per_mwh=np.full((0, 1), np.nan),
        demand=NO_DEMAND,
        export_usd_per_mwh=np.array([price]),
        export_w=np.zeros(1),
        overhead_w=np.zeros(1),
        loss=np.zeros(1),
        emergency=np.zeros(1, dtype=np.int64),
        ramp_w=np.array([[-np.inf], [np.inf]]),
        reserve_duration_h=np.full(programmes, np.nan),  # emergency programmes
        hold_w=np.zeros((programmes, 1)),
        shortfall_usd_per_mw_h=np.zeros((programmes, 1)),
        sold_next_w=np.zeros((0, programmes, 1)),
        sold_next_usd_per_mw_h=np.zeros((0, programmes)),
    )
    return Observation(
        t_s=t_s,
        step_s=HOUR,
        price_usd_per_mwh=np.array([price]),
        ambient_c=np.array([20.0]),
        usd_per_btc=90_000.0,
        difficulty=1.4e14,
        hashprice_usd_per_ph_day=usd_per_th * 1000 * DAY,
        asic=AsicView(
            site=np.array([0]),
            available=np.array([100.0]),
            heat=np.ones(1),
            meter_factor=np.ones(1),
            mode_ths=np.array([[THS_PER_MACHINE]]),
            mode_w=np.array([[10_000.0]]),
            default_share=np.ones((1, 1)),
            share=np.ones((1, 1)),
        ),
        gpu=GpuView(
            site=np.array([0, 0]),
            available=np.array([10.0, 10.0]),
            node_w=np.array([10_000.0, 10_000.0]),
            meter_factor=np.ones(2),
            usd_per_h=np.array([5.0, 1.2]),
            credit_usd_per_h=np.zeros(2),
            contracted=np.array([1.0, 0.0]),
            share=np.ones(2),
        ),
        limits=Limits(
            path=np.array([[0]]),
            room_w=np.array([room_mw * 1e6]),
            local_w=np.zeros(1),
            cap_w=np.array([np.inf]),
        ),
        energy=view._replace(**energy),
        serving=NO_SERVING,
    )

"""What energy costs and what stepping back earns: one settlement interval, all sites."""

import numpy as np

from sim.kernels.arrays import (
    AUTOMATIC,
    BLOCK_PRICE,
    BLOCK_W,
    CALLED,
    CONTRACT_USD,
    ENERGY_USD,
    ENERGY_USD_PER_J,
    EXPORT_J,
    EXPORT_USD,
    GRANTED,
    IDLE,
    LAST_W,
    MONTH_BLOCK_J,
    MONTH_OFFER_J,
    MOST_W,
    NOTICED,
    POSITION_USD_PER_S,
    POSITION_W,
    POWERED,
    PROGRAMME_USD,
    RESERVED_J,
    RESOLD_COST_USD,
    RESOLD_J,
    RESOLD_USD,
    SOON_W,
    STANDING,
    STEP_J,
    ZONE_PRICE,
    AsicGroups,
    AsicState,
    Floats,
    Limits,
    Programmes,
    ProgrammeState,
    Sites,
    SiteState,
)
from sim.kernels.jit import kernel, pure_kernel

J_PER_MWH = 3.6e9


@pure_kernel
def bill(site: SiteState, programmes: Programmes, programme: ProgrammeState, dt: float) -> None:
    """Settle the interval of `dt` [s] that ends now, at the prices that were in force.

    Of the meter's energy a physical block comes first, at its price; the rest is at the real-time
    price with delivery. What flows back earns the zone's price: nobody pays a seller for delivery.
    A position bought before is settled against the zone's price whatever was used. Reserves are
    paid for what stood by; calls are measured. `finance.months` keeps the peaks of the month.
    """
    flow = site.flow
    terms = site.terms
    for s in range(site.price.shape[0]):
        meter_w = terms[STEP_J, s] / dt
        terms[LAST_W, s] = meter_w
        used_w = max(meter_w, 0.0)
        block_w = min(used_w, terms[BLOCK_W, s])
        usd_per_s = block_w * terms[BLOCK_PRICE, s] + (used_w - block_w) * site.price[s]
        back_j = max(-meter_w, 0.0) * dt
        back_usd = back_j * terms[ZONE_PRICE, s] / J_PER_MWH
        flow[ENERGY_USD, s] += usd_per_s / J_PER_MWH * dt - back_usd
        flow[EXPORT_J, s] += back_j
        flow[EXPORT_USD, s] += back_usd
        terms[MONTH_BLOCK_J, s] += block_w * dt
        terms[MONTH_OFFER_J, s] += terms[BLOCK_W, s] * dt
        if terms[POSITION_W, s] > 0.0:
            zone = terms[ZONE_PRICE, s] / J_PER_MWH
            at_zone = terms[POSITION_W, s] * zone
            flow[CONTRACT_USD, s] += (terms[POSITION_USD_PER_S, s] - at_zone) * dt
            # What flows back is sold as such, not out of the position.
            left_w = max(terms[POSITION_W, s] - used_w, 0.0)
            flow[RESOLD_USD, s] += left_w * zone * dt
            flow[RESOLD_J, s] += left_w * dt
            of_price = left_w / terms[POSITION_W, s]
            flow[RESOLD_COST_USD, s] += of_price * terms[POSITION_USD_PER_S, s] * dt
    for p in range(programmes.enrolled.shape[0]):
        for s in range(programmes.enrolled.shape[1]):
            if programmes.enrolled[p, s] == 0.0:
                continue
            usd = programme.award_w[p, s] * 1e-6 * programme.price[p] / 3600.0 * dt
            programme.earned_usd[p, s] += usd
            flow[PROGRAMME_USD, s] += usd
            flow[RESERVED_J, s] += programme.award_w[p, s] * dt
    for s in range(site.price.shape[0]):
        terms[STEP_J, s] = 0.0


@pure_kernel
def measure(site: SiteState, programmes: Programmes, programme: ProgrammeState, dt: float) -> None:
    """What calls in force were owed and got in the `dt` [s] before now, at the power in force."""
    for p in range(programmes.enrolled.shape[0]):
        if programme.phase[p] != CALLED:
            continue
        for s in range(programmes.enrolled.shape[1]):
            owed_w = programme.owed_w[p, s]
            if owed_w > 0.0:
                less_w = programme.baseline_w[p, s] - site.granted_w[s]
                got_j = min(max(less_w, 0.0), owed_w) * dt
                programme.owed_j[p, s] += owed_w * dt
                programme.delivered_j[p, s] += got_j
                usd = got_j * programmes.terms[p, ENERGY_USD_PER_J]
                site.flow[PROGRAMME_USD, s] += usd


@pure_kernel
def call_caps(
    sites: Sites,
    site: SiteState,
    programmes: Programmes,
    programme: ProgrammeState,
    limits: Limits,
    called_w: Floats,
) -> None:
    """Caps on machines from the calls announced or in force; `called_w` (2, site) is for policies.

    Row 0: cap of calls in force, row 1: of calls to come, automatic or not; inf where there is
    none. A relay's cap (automatic) also becomes a limit: `limits.cap_w` now, `SOON_W` to come.
    """
    for s in range(site.price.shape[0]):
        limits.cap_w[s] = np.inf
        site.terms[SOON_W, s] = np.inf
        called_w[0, s] = np.inf
        called_w[1, s] = np.inf
        fixed_w = sites.overhead_w[s] * site.terms[POWERED, s] / (1.0 - sites.loss[s])
        for p in range(programmes.enrolled.shape[0]):
            if programme.phase[p] == IDLE or programme.owed_w[p, s] <= 0.0:
                continue
            cap_w = max(programme.baseline_w[p, s] - programme.owed_w[p, s] - fixed_w, 0.0)
            automatic = programmes.terms[p, AUTOMATIC] > 0.0
            row = 0 if programme.phase[p] == CALLED else 1
            called_w[row, s] = min(called_w[row, s], cap_w)
            if automatic and row == 0:
                limits.cap_w[s] = min(limits.cap_w[s], cap_w)
            elif automatic:
                site.terms[SOON_W, s] = min(site.terms[SOON_W, s], cap_w)


@kernel
def award(
    asics: AsicGroups,
    asic: AsicState,
    sites: Sites,
    site: SiteState,
    programmes: Programmes,
    programme: ProgrammeState,
) -> None:
    """Take the offers: no more than a programme takes, nor than load that nobody else reserved.

    A standing offer is a contract: a policy can bid more, not less.

    While a call is announced or in force, its award stays what is owed.
    """
    count = site.price.shape[0]
    asic_w = np.zeros(count)
    free_w = np.zeros(count)
    for g in range(asics.site.shape[0]):
        scale_w = asic.running[g] * asic.heat[g] * asic.factor[g]
        for m in range(asics.mode_w.shape[1]):
            asic_w[asics.site[g]] += scale_w * asic.shares[GRANTED, g, m] * asics.mode_w[g, m]
    for s in range(count):
        fixed_w = sites.overhead_w[s] * site.terms[POWERED, s] / (1.0 - sites.loss[s])
        free_w[s] = max(site.granted_w[s] - fixed_w, 0.0)
        for p in range(programmes.enrolled.shape[0]):
            if programme.phase[p] == NOTICED:
                free_w[s] = max(free_w[s] - programme.owed_w[p, s], 0.0)
    for p in range(programmes.enrolled.shape[0]):
        for s in range(count):
            if programmes.enrolled[p, s] == 0.0:
                continue
            if programme.phase[p] != IDLE:
                programme.award_w[p, s] = programme.owed_w[p, s]
                continue
            offer_w = max(programme.offer_w[p, s], programmes.terms[p, STANDING] * asic_w[s])
            took_w = max(min(min(offer_w, programmes.terms[p, MOST_W]), free_w[s]), 0.0)
            programme.award_w[p, s] = took_w
            free_w[s] -= took_w


@pure_kernel
def call(site: SiteState, programme: ProgrammeState, p: int) -> None:
    """Programme `p` announces a call: what stands by is owed, against the meter of this moment.

    What another call already announced will take is taken off: no watt is delivered twice.
    """
    for s in range(site.price.shape[0]):
        programme.owed_w[p, s] = programme.award_w[p, s]
        programme.baseline_w[p, s] = site.granted_w[s]
        for other in range(programme.phase.shape[0]):
            if programme.phase[other] == NOTICED:
                programme.baseline_w[p, s] -= programme.owed_w[other, s]
        programme.owed_j[p, s] = 0.0
        programme.delivered_j[p, s] = 0.0
    programme.phase[p] = NOTICED

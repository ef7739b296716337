"""Dispatch shared by policies: fill the limits with uses of power that earn more than they cost."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sim.kernels.arrays import Limits
from sim.kernels.border import LayoutError, as_numbers
from sim.kernels.dispatch import (
    AsicUses,
    Hulls,
    NodeUses,
    Prices,
    Shares,
    frontier,
    merit_order,
    offer_load,
)
from sim.kernels.jit import specialise
from sim.policy import Bids, Observation
from sim.types import Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR


class Dispatch:
    """Greedy filling of nested limits for one step; keeps the firmware modes' hulls."""

    def __init__(self) -> None:
        self._made_for: tuple[Any, ...] = (None,) * 4  # arrays behind the cached values below
        self._at: tuple[Any, ...] = (None,) * 3  # indices already checked
        self._fill: Callable[..., None] | None = None
        nothing = np.empty((0, 0))
        self.hulls = Hulls(nothing.astype(np.int64), nothing, nothing)
        self.node_usd_per_s: Floats = np.empty(0)  # earnings of a node, including credits avoided

    def look(self, observation: Observation) -> None:
        """Compute the hulls if the fleet has changed."""
        asic, gpu = observation.asic, observation.gpu
        made_for = asic.mode_ths, asic.mode_w, gpu.usd_per_h, gpu.credit_usd_per_h
        if all(a is b for a, b in zip(self._made_for, made_for, strict=True)):
            return
        same = [a is b for a, b in zip(self._made_for, made_for, strict=True)]
        if same[0] and same[1] and len(gpu.usd_per_h) == len(self.node_usd_per_s):
            self.node_usd_per_s = np.add(gpu.usd_per_h, gpu.credit_usd_per_h) / SECONDS_PER_HOUR
            self._made_for = made_for  # node contracts changed: hulls and the bound kernel stay
            return
        ths, watts = (np.array(as_numbers("mode", m), np.float64) for m in made_for[:2])
        if ths.ndim != 2 or watts.shape != ths.shape:
            raise LayoutError(f"mode_ths has shape {ths.shape}, mode_w {watts.shape}")
        self.hulls = frontier(ths, watts)
        self.node_usd_per_s = np.add(gpu.usd_per_h, gpu.credit_usd_per_h) / SECONDS_PER_HOUR
        self._fill = None
        self._made_for = made_for

    def shares(
        self,
        observation: Observation,
        price_usd_per_mwh: Floats,
        limits: Limits,
        rank_ths: Floats | None = None,
        node_usd_per_s: Floats | None = None,
        block: tuple[Floats, Floats] | None = None,
        stored_w: Floats | None = None,
    ) -> tuple[Floats, Floats]:
        """ASIC shares (group, mode) and node shares (node,) with the highest margin under `limits`.

        `price_usd_per_mwh` (2, site) is the price of energy for ASICs (row 0) and nodes (row 1).
        The others default to the observation: `rank_ths` (group, rank), `node_usd_per_s` (node,),
        `block` a pair as `blocks` returns. Batteries hold `stored_w` (site,) of reserve awards.
        """
        self.look(observation)
        asic, gpu = observation.asic, observation.gpu
        block_w, block_usd = block or blocks(observation)
        if observation.energy.hold_w.any():
            block_w, block_usd = with_holds(
                observation, price_usd_per_mwh[1], block_w, block_usd, stored_w
            )
        shares = Shares(np.empty(self.hulls.mode.shape), np.empty(self.node_usd_per_s.shape))
        node_usd = self.node_usd_per_s if node_usd_per_s is None else node_usd_per_s
        arguments = (
            self.hulls if rank_ths is None else Hulls(self.hulls.mode, rank_ths, self.hulls.w),
            AsicUses(asic.site, asic.available, asic.heat, asic.meter_factor),
            NodeUses(gpu.site, gpu.available, gpu.node_w, gpu.meter_factor, node_usd),
            Prices(
                np.divide(price_usd_per_mwh, J_PER_MWH), block_w, np.divide(block_usd, J_PER_MWH)
            ),
            limits,
            observation.usd_per_th,
            shares,
        )
        if self._fill is None:
            _agree(observation, len(self.hulls.mode), len(self.node_usd_per_s))
            self._fill = specialise(merit_order, *arguments, out=1, made=1)
        at = asic.site, gpu.site, limits.path
        if any(a is not b for a, b in zip(self._at, at, strict=True)):
            _in_range(observation, limits)
            self._at = at
        self._fill(*arguments)
        return shares.asic, shares.node

    def bids(
        self,
        observation: Observation,
        price_usd_per_mwh: Floats,
        rank_ths: Floats | None = None,
        node_usd_per_s: Floats | None = None,
        stored_w: Floats | None = None,
    ) -> Bids:
        """One bid for each mode's increment over the mode below, and for each group of nodes.

        Arguments as in `shares`. A bid is reduced by any excess of the price over the observed
        price. Load that holds a reserve award is worth the avoided shortfall more.
        """
        self.look(observation)
        ths = self.hulls.ths if rank_ths is None else rank_ths
        node_usd = self.node_usd_per_s if node_usd_per_s is None else node_usd_per_s
        asic, gpu = observation.asic, observation.gpu
        more = price_usd_per_mwh - observation.price_usd_per_mwh
        factor = asic.meter_factor[:, None]
        drawn_w = self.hulls.w * factor
        there = self.hulls.mode >= 0
        earned = np.zeros(drawn_w.shape)
        np.divide(ths * observation.usd_per_th, drawn_w, out=earned, where=there)
        node_w = gpu.node_w * gpu.meter_factor
        modes = drawn_w.shape[1]
        bids = Bids(
            np.concatenate([np.repeat(asic.site, modes), gpu.site]),
            np.concatenate(
                [
                    (np.where(there, drawn_w, 0.0).T * asic.available * asic.heat).T.ravel(),
                    gpu.available * node_w,
                ]
            ),
            np.concatenate(
                [
                    (earned * J_PER_MWH - more[0, asic.site][:, None]).ravel(),
                    node_usd / node_w * J_PER_MWH - more[1, gpu.site],
                ]
            ),
        )
        energy = observation.energy
        if not (energy.reserve_duration_h > 0.0).any():  # NaN is not
            return bids
        return with_awards(bids, energy.hold_w, energy.shortfall_usd_per_mw_h, stored_w)


def _agree(observation: Observation, groups: int, nodes: int) -> None:
    """Check that arrays of one fleet have equal lengths.

    Raises:
        LayoutError: where they do not.
    """
    asic, gpu, limits = observation.asic, observation.gpu, observation.limits
    sites, batteries = len(limits.path), len(observation.energy.battery_site)
    for shape, names, table in (
        (groups, ("site", "available", "heat", "meter_factor"), asic),
        (nodes, ("site", "available", "node_w", "meter_factor"), gpu),
        (sites, ("local_w", "cap_w"), limits),
        (sites, ("block_w", "block_usd_per_mwh"), observation.energy),
        (sites, ("price_usd_per_mwh",), observation),
        (batteries, ("stored_j",), observation.energy),
        ((batteries, 4), ("battery",), observation.energy),
    ):
        wanted = shape if isinstance(shape, tuple) else (shape,)
        for name in names:
            found = np.shape(getattr(table, name))
            if found != wanted:
                where = f"{type(table).__name__}.{name}"
                raise LayoutError(f"{where} has shape {found}; it must be {wanted}")


def _in_range(observation: Observation, limits: Limits) -> None:
    """Check indices of sites and limits.

    Raises:
        LayoutError: for an index out of range.
    """
    sites = len(limits.path)
    for name, index, least, end in (
        ("asic.site", observation.asic.site, 0, sites),
        ("gpu.site", observation.gpu.site, 0, sites),
        ("limits.path", limits.path, -1, len(limits.room_w)),
    ):
        values = as_numbers(name, index, np.int64)
        if values.size and not least <= values.min() <= values.max() < end:
            raise LayoutError(
                f"{name} goes from {values.min()} to {values.max()}; allowed: {least} to {end - 1}"
            )


def blocks(observation: Observation) -> tuple[Floats, Floats]:
    """Supply not priced at the grid's price: power (site,) [W] and price (site,) [USD/MWh].

    Contract blocks and own supply. Own supply is priced at what load displaces: export at
    the zone's price (at least its fuel) where export is allowed, otherwise its fuel.
    Several blocks of a site are merged at their mean price.
    """
    energy, own_w = observation.energy, np.asarray(observation.limits.local_w)
    if not own_w.any():
        return energy.block_w, energy.block_usd_per_mwh
    at, fuel = energy.generator_site, energy.generator_usd_per_mwh
    ran_w = energy.available_w * (fuel <= np.asarray(observation.price_usd_per_mwh)[at])
    most_w = np.maximum(np.bincount(at, ran_w, len(own_w)), 1e-300)
    burnt = np.bincount(at, ran_w * fuel, len(own_w)) / most_w
    paid = np.where(energy.export_w > 0.0, np.maximum(energy.export_usd_per_mwh, burnt), burnt)
    total_w = energy.block_w + own_w
    usd = energy.block_w * energy.block_usd_per_mwh + own_w * paid
    return total_w, usd / np.maximum(total_w, 1e-300)


def prices(observation: Observation, avoid_peaks: bool, reserves: bool) -> Floats:
    """Price of energy now (2, site) [USD/MWh]: ASICs (row 0), nodes (row 1).

    Includes the expected cost of a coincident peak. An emergency programme's standby payment lowers
    the price of ASIC load. The value of reserves is added in `with_holds`.
    """
    energy = observation.energy
    price = np.empty((2, len(observation.price_usd_per_mwh)))
    np.copyto(price, observation.price_usd_per_mwh)  # complex numbers do not convert
    if avoid_peaks and energy.peak_risk > 0.0:
        hours = observation.step_s / SECONDS_PER_HOUR
        price += energy.peak_risk * energy.peak_usd_per_mw / hours
    if reserves and len(energy.reserve_usd_per_mw_h):
        emergency = np.isnan(energy.reserve_duration_h)
        if emergency.any():
            price[0] -= np.asarray(energy.reserve_usd_per_mw_h)[emergency].max(axis=0)
    return price


def step_by_step(observation: Observation) -> Floats:
    """Standby payments of emergency programmes (programme, site); 0 for reserves."""
    energy = observation.energy
    paid = np.asarray(energy.reserve_usd_per_mw_h, dtype=np.float64)
    return np.where(np.isnan(energy.reserve_duration_h)[:, None], paid, 0.0)


def with_holds(
    observation: Observation,
    price: Floats,
    block_w: Floats,
    block_usd: Floats,
    stored_w: Floats | None = None,
) -> tuple[Floats, Floats]:
    """Blocks as from `blocks`, plus load that holds a reserve award at a reduced price.

    Load up to the award, less what batteries hold, costs the price (site,) less the avoided
    shortfall. Where there is also another block, the two are merged at their mean price.
    """
    hold_w = observation.energy.hold_w
    short = observation.energy.shortfall_usd_per_mw_h
    held_w = np.add.reduce(hold_w)
    saved = np.add.reduce(hold_w * short)
    if stored_w is not None:
        left_w = np.maximum(held_w - stored_w, 0.0)
        saved = saved * (left_w / np.maximum(held_w, 1e-300))
        held_w = left_w
    total_w = np.maximum(block_w, held_w)
    usd = block_w * (block_usd - price) - saved
    return total_w, price + usd / np.maximum(total_w, 1e-300)


def with_awards(
    bids: Bids, hold_w: Floats, short_usd: Floats, stored_w: Floats | None = None
) -> Bids:
    """Split each bid in two: a part that holds awards (programme, site), and the rest.

    The first part is worth the avoided shortfall more. Batteries hold `stored_w` (site,) of the
    awards, the best bids the remainder, as in `with_holds`.
    """
    held_w = hold_w.sum(axis=0)
    more = (hold_w * short_usd).sum(axis=0) / np.maximum(held_w, 1e-300)
    if stored_w is not None:
        held_w = np.maximum(held_w - stored_w, 0.0)
    left_w, holds_w = held_w.tolist(), np.zeros(len(bids.power_w))
    for i in np.argsort(-bids.usd_per_mwh, kind="stable").tolist():
        s = bids.site[i]
        holds_w[i] = min(left_w[s], bids.power_w[i])
        left_w[s] -= holds_w[i]
    return Bids(
        np.concatenate([bids.site, bids.site]),
        np.concatenate([holds_w, bids.power_w - holds_w]),
        np.concatenate([bids.usd_per_mwh + more[bids.site], bids.usd_per_mwh]),
    )


def obedient(observation: Observation) -> Limits:
    """The limits, with caps for calls in force that no relay enforces."""
    limits = observation.limits
    if not len(observation.energy.reserve_usd_per_mw_h):
        return limits
    return limits._replace(cap_w=np.minimum(limits.cap_w, observation.energy.called_w[0]))


def offers(observation: Observation, asic_share: Floats) -> Floats | None:
    """Running ASIC load (programme, site) [W], offered to the best-paid emergency programme.

    None where there is no programme. Reserves are sold a day ahead: see `reserves.Seller`.
    """
    asic = observation.asic
    if not len(observation.energy.reserve_usd_per_mw_h):
        return None
    paid = step_by_step(observation)
    offer_w = np.zeros(paid.shape)
    seen = (asic.available, asic.heat, asic.meter_factor, asic.mode_w)
    *uses, mode_w = (np.asarray(a, dtype=np.float64) for a in seen)
    asics = AsicUses(np.asarray(asic.site, dtype=np.int64), *uses)
    offer_load(asics, mode_w, asic_share, paid, offer_w)
    return offer_w

"""Requests as counts: an interval of all pools under constant controls."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.jit import pure_kernel
from sim.kernels.traffic import (
    ARRIVED,
    EXPIRED,
    LANE_EXPIRED,
    LANE_REJECTED,
    LANE_SENT,
    LANE_SERVED,
    REJECTED,
    RETRIED,
    SERVED,
    Router,
    ServingTally,
)
from sim.types import Floats, Ints

# Rows of `Surfaces.lane`: what becomes of a lane's requests. The first three are multiplied by the
# load: what is lost beyond saturation is straight in it.
REFUSED: Final = 0  # share, for good
GIVEN_UP: Final = 1  # share, for good
RETRIES: Final = 2  # for each request
STAY_S: Final = 3  # mean time at the pool
LANE_CURVES: Final = 4

# Rows of `Surfaces.pool`: what an engine of a pool does.
OUTSTANDING: Final = 0  # requests it holds; never falls with the load
WAITING: Final = 1  # of them not running
POWER_W: Final = 2
BUSY: Final = 3  # share of the time in iterations
POOL_CURVES: Final = 4

# Rows of `Fluid.parts`: REFUSED, GIVEN_UP, RETRIES, then of those served at the upper grid point.
UPPER: Final = 3
PARTS: Final = 4

# Rows of `Fluid.now`, of the interval.
NOW_W: Final = 0  # power of an open engine
NOW_BUSY: Final = 1  # share of its time in iterations
NOW_LOAD: Final = 2  # asked for over what can be finished
NOW_ROWS: Final = 3


class Surfaces(NamedTuple):
    """What becomes of a load; `load` as the grid of shares of saturation."""

    loads: Floats  # (load,)
    quick: Ints  # (1,) when the load is above 1, what this one holds comes at once, the rest slowly
    saturation_rps: Floats  # (pool,) of one engine
    peak_rps: Floats  # (pool,) the most that one engine finishes at any load
    pool: Floats  # (POOL_CURVES, pool, load)
    lane: Floats  # (LANE_CURVES, lane, load)


class Fluid(NamedTuple):
    """Where the requests are."""

    inside: Ints  # (lane,) running
    backlog: Ints  # (lane,) waiting at engines
    held: Ints  # (tenant,) given back, to be sent again
    weight: Floats  # (tenant, pool) the policy's
    served: Ints  # (lane, load) since the last tally: by grid point
    parts: Floats  # (PARTS, lane) of requests, carried on: what rounding left
    now: Floats  # (3, pool) NOW_W, NOW_BUSY, NOW_LOAD; NaN: nothing was asked


@pure_kernel
def flow(
    router: Router,
    surfaces: Surfaces,
    fluid: Fluid,
    tally: ServingTally,
    arrived: Ints,
    new: Ints,
    open_s: Floats,
    seconds: float,
) -> None:
    """Send `arrived` (tenant,) and what is held to the pools, and let them serve for an interval.

    `open_s` (pool,) engine-seconds open, `new` (lane,) is scratch, `seconds` its length [s].
    """
    tenants, pools = router.lane.shape
    for t in range(tenants):
        tally.tenants[ARRIVED, t] += arrived[t]
        total = 0.0
        for p in range(pools):
            if router.lane[t, p] >= 0:
                total += fluid.weight[t, p] * open_s[p]
        asking = arrived[t] + fluid.held[t]
        if total > 0.0:
            fluid.held[t] = 0
        else:  # what engines gave back is kept, what is new is refused
            tally.tenants[REJECTED, t] += arrived[t]
            asking = 0
        upto = 0.0
        sent = 0
        for p in range(pools):
            lane = router.lane[t, p]
            if lane < 0:
                continue
            upto += fluid.weight[t, p] * open_s[p]
            until = int(np.rint(upto / total * asking)) if total > 0.0 else 0
            new[lane] = until - sent
            sent = until
            tally.lanes[LANE_SENT, lane] += new[lane]
    for p in range(pools):
        for row in range(NOW_ROWS):
            fluid.now[row, p] = np.nan
        if open_s[p] > 0.0:
            _serve(router, surfaces, fluid, tally, new, p, open_s[p], seconds)


@pure_kernel
def _serve(
    router: Router,
    surfaces: Surfaces,
    fluid: Fluid,
    tally: ServingTally,
    new: Ints,
    p: int,
    open_s: float,
    seconds: float,
) -> None:
    """One pool: how many it holds follows the load, as fast as it can; the others end."""
    tenants = router.lane.shape[0]
    loads = surfaces.loads
    engines = open_s / seconds
    was = 0
    asked = 0
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane >= 0:
            was += fluid.inside[lane] + fluid.backlog[lane]
            asked += new[lane]
    if was + asked == 0:
        return
    load = asked / (surfaces.saturation_rps[p] * open_s)
    high, share = _between(loads, load)
    beyond = max(load / loads[loads.shape[0] - 1], 1.0)  # what is served grows no more
    # If the load had always been this one: how many would be lost, and how many engines would hold.
    lost = 0.0
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane >= 0:
            lost += new[lane] * _lost(surfaces, lane, high, share, beyond)
    holds = surfaces.pool[OUTSTANDING, p]
    steady = _at(holds, high, share) * engines
    kept = 0.0  # of what would be lost: they still find a place
    if steady >= was:
        quick = steady - was
        if load > 1.0:
            quick = min(quick, max(holds[surfaces.quick[0]] * engines - was, 0.0))
        fills = steady - was - quick
        kept = min(fills, lost)
        ends = was + quick + kept
        mean = ends - 0.5 * kept
        if fills <= lost:
            mean = steady - 0.5 * fills * fills / max(lost, 1.0)
    else:
        spare = max(surfaces.peak_rps[p] * open_s - (asked - lost), 0.0)
        drains = min(was - steady, spare)
        ends = was - drains
        mean = ends + 0.5 * drains
        if ends <= steady:
            mean = steady + 0.5 * drains * drains / max(spare, 1.0)
    at = high
    weight = share
    if abs(mean - steady) >= 1.0:  # as at the load at which engines always hold so many
        at, weight = _between(holds, mean / engines)
    fluid.now[NOW_W, p] = _at(surfaces.pool[POWER_W, p], at, weight)
    fluid.now[NOW_BUSY, p] = _at(surfaces.pool[BUSY, p], at, weight)
    fluid.now[NOW_LOAD, p] = load
    waits = _at(surfaces.pool[WAITING, p], at, weight) / max(_at(holds, at, weight), 1e-12)
    stays = 0.0
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane >= 0:
            stays += new[lane] * _at(surfaces.lane[STAY_S, lane], high, share)
    left = 1.0 - kept / max(lost, 1e-12)  # of what would be lost, who is
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane < 0:
            continue
        here = fluid.inside[lane] + fluid.backlog[lane]
        part = here / max(was, 1)
        if stays > 0.0:
            part = new[lane] * _at(surfaces.lane[STAY_S, lane], high, share) / stays
        stay = min(int(np.rint(ends * part)), here + new[lane])
        ended = here + new[lane] - stay
        gone = _lost(surfaces, lane, high, share, beyond) * left * new[lane]
        up = _at(surfaces.lane[GIVEN_UP, lane], high, share)
        up /= max(up + _at(surfaces.lane[REFUSED, lane], high, share), 1e-12)
        refused = min(_whole(fluid.parts, REFUSED, lane, gone * (1.0 - up)), ended)
        given_up = min(_whole(fluid.parts, GIVEN_UP, lane, gone * up), ended - refused)
        again = _at(surfaces.lane[RETRIES, lane], high, share) / _at(loads, high, share)
        again *= left * new[lane]
        tries = _whole(fluid.parts, RETRIES, lane, again)
        served = ended - refused - given_up
        tally.lanes[LANE_SENT, lane] += tries
        tally.lanes[LANE_EXPIRED, lane] += given_up + int(tries * up)
        tally.lanes[LANE_REJECTED, lane] += refused + tries - int(tries * up)
        tally.lanes[LANE_SERVED, lane] += served
        tally.tenants[RETRIED, t] += tries
        tally.tenants[REJECTED, t] += refused
        tally.tenants[EXPIRED, t] += given_up
        tally.tenants[SERVED, t] += served
        fluid.backlog[lane] = int(np.rint(stay * min(waits, 1.0)))
        fluid.inside[lane] = stay - fluid.backlog[lane]
        upper = min(_whole(fluid.parts, UPPER, lane, served * weight), served)
        fluid.served[lane, at] += upper
        fluid.served[lane, at - 1] += served - upper


@pure_kernel
def _between(grid: Floats, x: float) -> tuple[int, float]:
    """The upper of the two points of a grid about x, and its weight."""
    high = 1
    while high < grid.shape[0] - 1 and grid[high] < x:
        high += 1
    step = grid[high] - grid[high - 1]
    if step <= 0.0:
        return high, 1.0
    return high, min(max((x - grid[high - 1]) / step, 0.0), 1.0)


@pure_kernel
def _at(curve: Floats, high: int, share: float) -> float:
    """A curve between two points of the grid."""
    return float((1.0 - share) * curve[high - 1] + share * curve[high])


@pure_kernel
def _lost(surfaces: Surfaces, lane: int, high: int, share: float, beyond: float) -> float:
    """Share of a lane's requests that are refused or given up, beyond the grid as well."""
    gone = _at(surfaces.lane[REFUSED, lane], high, share)
    gone += _at(surfaces.lane[GIVEN_UP, lane], high, share)
    gone /= _at(surfaces.loads, high, share)
    return float(1.0 - (1.0 - gone) / beyond)


@pure_kernel
def _whole(parts: Floats, row: int, lane: int, amount: float) -> int:
    """An amount in whole requests; what is left counts next time."""
    total = parts[row, lane] + amount
    whole = int(np.floor(total + 1e-9))
    parts[row, lane] = total - whole
    return max(whole, 0)

"""Requests as counts: an interval of all pools under constant controls."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import Floats, Ints
from sim.kernels.jit import pure_kernel
from sim.kernels.routing import (
    ARRIVED,
    EXPIRED,
    LANE_EXPIRED,
    LANE_REJECTED,
    LANE_SENT,
    LANE_SERVED,
    PATIENCE_S,
    REJECTED,
    SERVED,
    Book,
    Router,
)

WAITS: Final = 64  # bins of a wait in the backlog: none, then a factor of 1.25 each from 10 ms on
FIRST_WAIT_S: Final = 0.01
WAIT_LOG: Final = float(np.log(1.25))


class Surfaces(NamedTuple):
    """What the pools (pool,) make of a load; `load` as the grid of shares of saturation."""

    loads: Floats  # (load,)
    saturation_rps: Floats  # (pool,) of one engine
    e2e_s: Floats  # (pool, load) mean
    power_w: Floats  # (pool, load) of one engine


class Fluid(NamedTuple):
    """Where the requests are."""

    inside: Ints  # (lane,) at engines, by Little's law
    backlog: Ints  # (lane,)
    held: Ints  # (tenant,) given back, to be sent again
    weight: Floats  # (tenant, pool) the policy's
    served: Ints  # (lane, load, WAITS) since the last tally: by grid point and wait
    open_w: Floats  # (pool,) power of an open engine in the interval [W], NaN: nothing was asked


@pure_kernel
def flow(
    router: Router,
    surfaces: Surfaces,
    fluid: Fluid,
    book: Book,
    arrived: Ints,
    new: Ints,
    open_s: Floats,
    queue_limit: float,
    seconds: float,
) -> None:
    """Send `arrived` (tenant,) and what is held to the pools, and let them serve for an interval.

    `open_s` (pool,) engine-seconds open, `new` (lane,) is scratch, `seconds` its length [s].
    """
    tenants, pools = router.lane.shape
    for t in range(tenants):
        book.tenants[ARRIVED, t] += arrived[t]
        total = 0.0
        for p in range(pools):
            if router.lane[t, p] >= 0:
                total += fluid.weight[t, p] * open_s[p]
        asking = arrived[t] + fluid.held[t]
        if total > 0.0:
            fluid.held[t] = 0
        else:  # what engines gave back is kept, what is new is refused
            book.tenants[REJECTED, t] += arrived[t]
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
            book.lanes[LANE_SENT, lane] += new[lane]
    for p in range(pools):
        _serve(router, surfaces, fluid, book, new, p, open_s[p], queue_limit, seconds)


@pure_kernel
def _serve(
    router: Router,
    surfaces: Surfaces,
    fluid: Fluid,
    book: Book,
    new: Ints,
    p: int,
    open_s: float,
    queue_limit: float,
    seconds: float,
) -> None:
    """One pool: a backlog beyond its capacity, refusals, Little's law, and what was served."""
    tenants = router.lane.shape[0]
    loads = surfaces.loads
    offered = 0
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane >= 0:
            offered += fluid.backlog[lane] + new[lane]
    fluid.open_w[p] = np.nan
    capacity = surfaces.saturation_rps[p] * open_s
    stays = 1.0 if capacity <= 0.0 else max(0.0, 1.0 - capacity / max(offered, 1))
    most = queue_limit * open_s / seconds
    kept = 1.0  # share of the backlog that engines hold
    if stays * offered > most:
        kept = most / (stays * offered)
    wait_s = np.inf if capacity <= 0.0 else stays * kept * offered * seconds / capacity
    load = 0.0 if capacity <= 0.0 else min(max(offered / capacity, loads[0]), loads[-1])
    high = 1
    while high < loads.shape[0] - 1 and loads[high] < load:
        high += 1
    share = (load - loads[high - 1]) / (loads[high] - loads[high - 1])
    share = min(max(share, 0.0), 1.0)
    mean_s = (1.0 - share) * surfaces.e2e_s[p, high - 1] + share * surfaces.e2e_s[p, high]
    if offered > 0 and capacity > 0.0:
        fluid.open_w[p] = (1.0 - share) * surfaces.power_w[p, high - 1]
        fluid.open_w[p] += share * surfaces.power_w[p, high]
    bin_ = 0
    if stays > 0.0 and wait_s > FIRST_WAIT_S:
        bin_ = min(1 + int(np.log(wait_s / FIRST_WAIT_S) / WAIT_LOG), WAITS - 1)
    for t in range(tenants):
        lane = router.lane[t, p]
        if lane < 0:
            continue
        waiting = fluid.backlog[lane] + new[lane]
        left = int(waiting * stays)
        held = int(left * kept)
        book.lanes[LANE_REJECTED, lane] += left - held
        book.tenants[REJECTED, t] += left - held
        patient = held
        if wait_s > router.terms[t, PATIENCE_S]:
            patient = int(held * (router.terms[t, PATIENCE_S] / wait_s))
            book.lanes[LANE_EXPIRED, lane] += held - patient
            book.tenants[EXPIRED, t] += held - patient
        fluid.backlog[lane] = patient
        started = waiting - left
        inside = int(np.rint(started / seconds * mean_s))
        served = max(fluid.inside[lane] + started - inside, 0)
        fluid.inside[lane] += started - served
        book.lanes[LANE_SERVED, lane] += served
        book.tenants[SERVED, t] += served
        upper = int(np.rint(served * share))
        fluid.served[lane, high - 1, bin_] += served - upper
        fluid.served[lane, high, bin_] += upper

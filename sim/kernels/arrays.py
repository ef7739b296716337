"""The arrays that kernels work on: ASIC groups, GPU node groups, sites, limits.

Shapes: `group` ASIC groups, `node` groups of GPU nodes, `mode` firmware modes (padded with zero
power), `site`, `limit` nested limits, `depth` the longest way from a site to the grid's root.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Rows of `AsicState.shares`: what the policy asked for, what may start, what was granted.
WISH: Final = 0
READY: Final = 1
GRANTED: Final = 2

# Rows of `AsicState.flow`, since the last settlement: hashes by fate [TH], then energy [J].
HASHED: Final = 0
LOST_FAILURE: Final = 1
LOST_THERMAL: Final = 2
LOST_PRICE: Final = 3
LOST_MODE: Final = 4
LOST_RESTART: Final = 5
LOST_LIMIT: Final = 6
DEPLOYED: Final = 7
ASIC_J: Final = 8
ASIC_FLOWS: Final = 9

# Rows of `NodeState.flow`, since the last settlement.
NODE_ON_S: Final = 0
NODE_MISSED_S: Final = 1
NODE_J: Final = 2
NODE_FLOWS: Final = 3


class AsicGroups(NamedTuple):
    """Groups of identical ASICs: what never changes."""

    site: Ints  # (group,) index of the site
    machines: Floats  # (group,) deployed
    nominal_ths: Floats  # (group,) nameplate of one machine [TH/s]
    mode_ths: Floats  # (group, mode) [TH/s]
    mode_w: Floats  # (group, mode) at the wall [W]
    default_share: Floats  # (group, mode) the scenario's own firmware mode
    derating: Floats  # (group, 3): start [C], trip [C], factor at the trip
    pace: Floats  # (3,): restart [s], shortest pause [s], ramp [share of a group per s]


class AsicState(NamedTuple):
    """Groups of identical ASICs: what changes."""

    running: Floats  # (group,) machines that obey the controls
    healthy: (
        Floats  # (group,) machines that have not failed; a repaired one runs from the next step
    )
    heat: Floats  # (group,) thermal factor on hashrate and power, 0 to 1
    shares: Floats  # (3, group, mode) of the running machines: WISH, READY, GRANTED
    starting: Floats  # (group,) share that is powered but does not hash yet
    starting_until_s: Floats  # (group,) when those hash
    blocked: Floats  # (group,) 1: worth running, but below a limit that is full
    lowered_s: Floats  # (group,) when the share was last lowered
    last_s: Floats  # (group,) to which instant `flow` has been summed
    flow: Floats  # (ASIC_FLOWS, group) since the last settlement


class NodeGroups(NamedTuple):
    """Groups of identical GPU nodes: what never changes."""

    site: Ints  # (node,)
    nodes: Floats  # (node,) deployed
    node_w: Floats  # (node,) power of a node that limits must leave room for [W]
    drawn_w: Floats  # (node,) what it draws on average; 0: its engines tell [W]
    usd_per_h: Floats  # (node,) price of a reserved node-hour
    worth_usd_per_h: Floats  # (node,) what a policy takes a node-hour to be worth
    credit_usd_per_h: Floats  # (node,) credit for a node-hour not delivered
    contracted: Floats  # (node,) 1: reserved, 0.5: serving tokens, 0: batch


class NodeState(NamedTuple):
    """Groups of identical GPU nodes: what changes."""

    running: Floats  # (node,)
    healthy: Floats  # (node,)
    shares: Floats  # (3, node) of the running nodes: WISH, READY (= WISH), GRANTED
    last_s: Floats  # (node,)
    flow: Floats  # (NODE_FLOWS, node) since the last settlement


class Limits(NamedTuple):
    """Nested limits: each site meter counts against every limit on its path to the root."""

    path: Ints  # (site, depth) indices of limits, -1 where the path has ended
    room_w: Floats  # (limit,) capacity less the overhead of the sites below: for machines [W]


# Rows of `SiteState.flow`, since the last record.
WISH_J: Final = 0
GRANTED_J: Final = 1
IDLED_J: Final = 2
SITE_ASIC_J: Final = 3
SITE_GPU_J: Final = 4
COOLING_J: Final = 5
OVERHEAD_J: Final = 6
LOSS_J: Final = 7
METER_J: Final = 8
ENERGY_USD: Final = 9
GPU_USD: Final = 10
CREDIT_USD: Final = 11
BTC: Final = 12
BTC_USD: Final = 13
POOL_FEE_BTC: Final = 14
POOL_FEE_USD: Final = 15
PRICE_S: Final = 16
AMBIENT_S: Final = 17
NODES_ON_S: Final = 18
NODES_S: Final = 19
FATES: Final = 20  # eight rows in the order of AsicState.flow: HASHED … DEPLOYED
TOKEN_USD: Final = 28
TOKEN_J: Final = 29
SITE_FLOWS: Final = 30


class Sites(NamedTuple):
    """Sites: what never changes."""

    pue: Floats  # (site, 3): base, knee [C], slope [1/C]
    overhead_w: Floats  # (site,) always on [W]
    loss: Floats  # (site,) share of the meter's power lost on the way from the grid's root


class SiteState(NamedTuple):
    """Sites: what changes."""

    price: Floats  # (site,) energy price in force [USD/MWh]
    ambient_c: Floats  # (site,)
    pue: Floats  # (site,) outcome of the ambient temperature
    factor: Floats  # (site,) W at the meter for a W at the machines
    wish_w: Floats  # (site,) at the meter
    granted_w: Floats  # (site,) at the meter
    idled_w: Floats  # (site,) what healthy machines in the scenario's own modes would add [W]
    hashed_th: Floats  # (site,) of the interval that was settled last [TH]
    settled_s: Floats  # (1,) instant of the last settlement
    flow: Floats  # (SITE_FLOWS, site) since the last record

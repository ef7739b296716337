"""The arrays that kernels work on: machines, sites, limits, energy assets, programmes.

Shapes: `group` ASIC groups, `node` groups of GPU nodes, `mode` firmware modes (padded with zero
power), `site`, `limit` nested limits, `depth` the longest way from a site to the grid's root,
`battery`, `generator`, `programme`, `item` whatever wants power: groups, nodes, charging batteries.
"""

from typing import Final, NamedTuple

from sim.types import Bools, Floats, Ints

# Rows of `AsicState.shares`: what the policy asked for, what may start, what was granted.
WISH: Final = 0
READY: Final = 1
GRANTED: Final = 2

# How a node earns (`NodeGroups.way`).
RESERVED: Final = 0  # let as a whole: credits for hours not delivered
BY_THE_HOUR: Final = 1  # batch
BY_THE_TOKEN: Final = 2  # serving
NODE_WAYS: Final = 3


class AsicGroups(NamedTuple):
    """Groups of identical ASICs: what never changes."""

    site: Ints  # (group,) index of the site
    nominal_ths: Floats  # (group,) nameplate of one machine [TH/s]
    mode_ths: Floats  # (group, mode) [TH/s]
    mode_w: Floats  # (group, mode) at the wall [W]
    default_share: Floats  # (group, mode) the scenario's own firmware mode
    thermal: Floats  # (group, …) parameters of the way it is cooled, as in `kernels/thermal.py`
    restart_s: float  # from power on to the first hash
    least_off_s: float  # shortest pause after a share was lowered
    ramp_per_s: float  # share of a group that may start in a second


class AsicState(NamedTuple):
    """Groups of identical ASICs: what changes."""

    deployed: Floats  # (group,) machines that stand there
    healthy: Floats  # (group,) of these not failed; a repaired one runs from the next step
    running: Floats  # (group,) of these where the site is open: they obey the controls
    shut: Floats  # (group,) of these where it is not
    heat: Floats  # (group,) thermal factor on hashrate and power, 0 to 1
    cooling: Floats  # (group,) W of cooling for a W of machines
    factor: Floats  # (group,) W at the meter for a W of machines: cooling and losses
    shares: Floats  # (3, group, mode) of the running machines: WISH, READY, GRANTED
    starting: Floats  # (group,) share that is powered but does not hash yet
    starting_until_s: Floats  # (group,) when those hash
    blocked: Floats  # (group,) 1: worth running, but below a limit that is full
    lowered_s: Floats  # (group,) when the share was last lowered
    last_s: Floats  # (group,) to which instant `flow` has been summed
    flow: Floats  # (ASIC_FLOWS, group) since the last settlement
    used: Floats  # (USED_ROWS, group, mode) since the last record


class NodeGroups(NamedTuple):
    """Groups of identical GPU nodes: what no decision changes.

    Power, prices and the share that is let are those of the mean node of a group, and hold from one
    control step to the next (`NODE_RATES`, which `Plant.let` writes).
    """

    site: Ints  # (node,)
    node_w: Floats  # (node,) power of a node that limits must leave room for [W]
    drawn_w: Floats  # (node,) what it draws on average; 0: its engines tell [W]
    usd_per_h: Floats  # (node,) what a node-hour on earns, let or not in the mean
    worth_usd_per_h: Floats  # (node,) what a policy takes a node-hour to be worth
    credit_usd_per_h: Floats  # (node,) credit for a node-hour not delivered
    let_share: Floats  # (node,) of the node-hours on; serving tokens: 1
    opex_usd_per_h: Floats  # (2, node) cost of a node-hour that is let, and of one that is there
    way: Ints  # (node,) how it earns: RESERVED, BY_THE_HOUR or BY_THE_TOKEN
    thermal: Floats  # (node, …) as in AsicGroups


NODE_RATES: Final = (
    "node_w", "drawn_w", "usd_per_h", "worth_usd_per_h", "credit_usd_per_h", "let_share",
    "opex_usd_per_h",
)  # fmt: skip


class NodeState(NamedTuple):
    """Groups of identical GPU nodes: what changes."""

    deployed: Floats  # (node,)
    healthy: Floats  # (node,)
    running: Floats  # (node,)
    cooling: Floats  # (node,) W of cooling for a W of machines
    factor: Floats  # (node,) W at the meter for a W of machines
    shares: Floats  # (3, node) of the running nodes: WISH, READY (= WISH), GRANTED
    last_s: Floats  # (node,)
    flow: Floats  # (NODE_FLOWS, node) since the last settlement
    used: Floats  # (NODE_USED_ROWS, node, NODE_WAYS) since the last record


class Limits(NamedTuple):
    """Nested limits: each site meter counts against every limit on its path to the root."""

    path: Ints  # (site, depth) indices of limits, -1 where the path has ended
    room_w: Floats  # (limit,) capacity less the overhead of the sites below: for machines [W]
    local_w: Floats  # (site,) supply on the site's side of its meter, as W at the meter
    cap_w: (
        Floats  # (site,) most that machines may draw now, inf: no call; below 0: owed of own supply
    )


class Items(NamedTuple):
    """Whatever wants power: ASIC groups, then GPU nodes, then batteries that charge."""

    value: Floats  # (item,) what a joule is worth; only the order counts
    wish_w: Floats  # (item,) at the meter
    granted_w: Floats  # (item,) at the meter
    site: Ints  # (item,)


class Assets(NamedTuple):
    """Batteries and generators on the sites' side of the meters: what never changes."""

    battery_site: Ints  # (battery,)
    power_w: Floats  # (battery,) most that it charges or discharges, at its terminals
    energy_j: Floats  # (battery,) most that it stores
    one_way: Floats  # (battery,) efficiency of charging, and of discharging
    wear_usd_per_j: Floats  # (battery,) of what is discharged
    generator_site: Ints  # (generator,)
    fuel_usd_per_j: Floats  # (generator,)
    carbon_kg_per_j: Floats  # (generator,)


class AssetState(NamedTuple):
    """Batteries and generators: what changes."""

    battery_wish_w: Floats  # (battery,) above 0 charging, below 0 discharging, at the terminals
    battery_w: Floats  # (battery,) granted
    stored_j: Floats  # (battery,)
    generator_wish_w: Floats  # (generator,)
    generator_w: Floats  # (generator,) granted
    available_w: Floats  # (generator,) most that it can give now
    export_wish_w: Floats  # (generator,) what of the wish may flow back into the grid


# States of a programme (`ProgrammeState.phase`).
IDLE: Final = 0
NOTICED: Final = 1
CALLED: Final = 2


class Sites(NamedTuple):
    """Sites: what never changes."""

    pue_base: Floats  # (site,) PUE up to the knee; NaN: by the machines' way of cooling
    pue_knee_c: Floats  # (site,) ambient temperature from which it rises
    pue_slope_per_c: Floats  # (site,) by how much
    overhead_w: Floats  # (site,) always on [W]
    loss: Floats  # (site,) share of the meter's power lost on the way from the grid's root
    export_w: Floats  # (site,) most that may flow back into the grid


class SiteState(NamedTuple):
    """Sites: what changes."""

    price: Floats  # (site,) price of another MWh from the grid, with delivery [USD/MWh]
    ambient_c: Floats  # (site,)
    wet_bulb_c: Floats  # (site,)
    wish_w: Floats  # (site,) machines and overhead, as W at the meter
    load_w: Floats  # (site,) the same, granted
    granted_w: Floats  # (site,) at the meter: load less on-site supply, plus charging
    binding: Ints  # (site,) the limit that has no room left for it; -1 none, -2 a call
    idled_w: Floats  # (site,) what healthy machines in the scenario's own modes would add [W]
    hashed_th: Floats  # (site,) of the interval that was settled last [TH]
    settled_s: Floats  # (1,) instant of the last settlement
    flow: Floats  # (SITE_FLOWS, site) since the last record


class PricesInForce(NamedTuple):
    """What energy costs at each site now beside `SiteState.price`, and what was bought before."""

    zone_usd_per_mwh: Floats  # (site,) real-time price of the zone
    day_ahead_usd_per_mwh: Floats  # (site,) NaN: none is known
    block_w: Floats  # (site,) physical block of a PPA
    block_usd_per_mwh: Floats  # (site,) its price with delivery
    position_w: Floats  # (site,) bought before, settled against real time
    position_usd_per_s: Floats  # (site,) what the position costs
    carbon_kg_per_j: Floats  # (site,) of the zone


class SupplyState(NamedTuple):
    """What the grid, calls and incidents leave to each site."""

    powered: Floats  # (site,) share of the overhead that the grid can carry, below 1 in an outage
    open: Floats  # (site,) 1: machines may run, 0: no power, no network or no host
    cooled: Floats  # (site,) share of its power that a machine keeps where cooling has failed
    soon_w: Floats  # (site,) machines' cap of a call that has been announced, inf: none
    relay_w: Floats  # (site,) what a relay asks of batteries in a call, beyond all machines


class MeterState(NamedTuple):
    """What the meters have read: since the last bill, and in the billing month so far."""

    step_j: Floats  # (site,) since the last bill
    last_w: Floats  # (site,) mean of the control step that was billed last
    month_peak_w: Floats  # (site,) highest control step of the month
    month_block_j: Floats  # (site,) used of physical blocks
    month_offer_j: Floats  # (site,) size of those blocks times time


class StepInputs(NamedTuple):
    """What the world and the contracts say, control step by control step; no rows: unchanged."""

    price: Floats  # (step, site) of another MWh, with delivery [USD/MWh]
    zone_price: Floats  # (step, site) real time [USD/MWh]
    ambient_c: Floats  # (step, site)
    wet_bulb_c: Floats  # (step, site)
    day_ahead_price: Floats  # (step, site) [USD/MWh]
    block_w: Floats  # (step, site) this and the next three as in PricesInForce
    block_usd_per_mwh: Floats
    position_w: Floats
    position_usd_per_s: Floats
    carbon_kg_per_mwh: Floats  # (step, site)
    available_w: Floats  # (step, generator)
    reserve_usd_per_mw_h: Floats  # (step, programme)
    real_time_reserve: Floats  # (step, programme) [USD/MW/h]


class Programmes(NamedTuple):
    """Emergency and reserve programmes: what never changes."""

    enrolled: Floats  # (programme, site) 1: takes part
    most_w: Floats  # (programme,) most that a site can offer
    standing: Floats  # (programme,) standing offer, share of ASIC power
    automatic: Bools  # (programme,) a relay holds the site to its obligation
    usd_per_j: Floats  # (programme,) paid for energy delivered in a call
    penalty_usd_per_j: Floats  # (programme,)
    by_day: Bools  # (programme,) a reserve, sold the day before; else an emergency programme
    duration_s: Floats  # (programme,) a battery must be able to give what it stands by with


class ProgrammeState(NamedTuple):
    """Emergency and reserve programmes: what changes."""

    price: Floats  # (programme,) of availability [USD/MW/h]
    real_time: Floats  # (programme,) what a reserve is worth in real time [USD/MW/h]
    phase: Ints  # (programme,) IDLE, NOTICED or CALLED
    offer_w: Floats  # (programme, site) bid by the policy
    sold_w: Floats  # (programme, site) award of a reserve for this step, made the day before
    sold_usd_per_s: Floats  # (programme, site) what that award is paid
    award_w: Floats  # (programme, site) what stands by: of a reserve no more than was sold
    stood_j: Floats  # (programme, site) that times seconds, since the last bill
    short_j: Floats  # (programme, site) sold and not held, times seconds, since the last bill
    owed_w: Floats  # (programme, site) obligation of the call
    baseline_w: Floats  # (programme, site) meters when the call was announced
    owed_j: Floats  # (programme, site) in the call so far
    delivered_j: Floats  # (programme, site)
    earned_usd: Floats  # (programme, site) for availability since the last close of a day

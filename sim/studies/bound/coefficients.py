"""Value and cost of a MW at each step: the coefficients of the clairvoyant's linear programme."""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.arrays import BY_THE_TOKEN
from sim.plant.day_ahead import ReserveMarket
from sim.scenario.energy import EconomicProgramme
from sim.studies.bound.replay import RealisedWorld, contract_usd
from sim.types import Bools, Floats, Ints
from sim.units import J_PER_MWH, SECONDS_PER_DAY, W_PER_MW

ANY: Final = np.inf


class Month(NamedTuple):
    """A billing month of a contract with take-or-pay."""

    site: int
    first: int  # first step
    last: int  # one past the last step
    owed_mwh: float  # take-or-pay volume
    usd_per_mwh: float  # price of the volume not taken
    part: Floats  # (step,) share of the site's block purchases that counts towards the contract


class Demand(NamedTuple):
    """A billing month of a demand charge at a site."""

    site: int
    first: int  # first step
    last: int  # one past the last step
    usd_per_mw: float  # charge due
    floor_mw: float  # ratchet minimum from before the run
    before: tuple[int, ...]  # indices into `Terms.demand` of months whose peaks the ratchet uses
    fraction: float  # share of those peaks
    steps: Ints  # steps metered from end to end
    interval: Ints  # interval of each of `steps`, ascending from 0


class Tier(NamedTuple):
    """A billing month of a site whose tariff has tiers."""

    site: int
    first: int  # first step
    last: int  # one past the last step
    width_mwh: Floats  # (tier,) the last is unbounded
    more_usd_per_mwh: Floats  # (step, tier) above the step's cheapest tier


class Answer(NamedTuple):
    """A call of a programme in a step: load reduction is paid."""

    site: int
    step: int
    most_mw: float  # highest obligation, mean over the step
    usd_per_mwh: float


class Terms(NamedTuple):
    """Shapes: `step`, `site`, `item`, `programme`. MW are means of a step, at the meter."""

    known: RealisedWorld
    item_site: Ints  # (item,) stacked firmware modes, then groups of nodes
    item_owner: Ints  # (item,) ASIC group; for nodes, number of ASIC groups + node group
    item_mw: Floats  # (step, item) highest draw
    item_usd_per_mwh: Floats  # (step, item) earnings
    import_usd_per_mwh: Floats  # (step, site) full cost of a MWh from the grid
    export_usd_per_mwh: Floats  # (step, site) the zone's price, or what is lost for nothing
    export_mw: Floats  # (step, site)
    spare_usd_per_mwh: Floats  # (step, site) saved where own supply covers overhead
    own_limit: Ints  # (site,) the site's private limit, -1: none
    own_room_mw: Floats  # (step, site)
    supplied: Bools  # (site,) has batteries or generators
    block_mw: Floats  # (step, site) blocks cheaper than the grid; next: what a MWh of them saves
    block_saves_usd_per_mwh: Floats
    contract_mw: Floats  # (step, site) all blocks at any price
    reserve_mw: Floats  # (step, programme, site) most that is accepted
    held_room_mw: Floats  # (step, site) standby capacity in addition to the draw from the grid
    reserve_usd_per_mwh: Floats  # (step, programme)
    reserve_free: Bools  # (step, programme) a call or a cut step: the award is not tied to load
    top_mw: Floats  # (site,) highest possible meter reading
    answers: tuple[Answer, ...]
    months: tuple[Month, ...]
    demand: tuple[Demand, ...]
    tiers: tuple[Tier, ...]
    constant_usd: Floats  # (step,) independent of all decisions


def terms_of(known: RealisedWorld) -> Terms:
    """All coefficients of a realised world."""
    replay, hours = known.replay, known.hours
    plant = replay.plant
    loss = plant.sites.loss
    charge_mw = np.bincount(
        plant.assets.battery_site, plant.assets.power_w / W_PER_MW, len(loss)
    ) / (1.0 - loss)
    path = plant.limits.path
    room_mw = np.where(path >= 0, known.room_mw[:, path], ANY).min(axis=2)
    most_mw = known.fixed_mw + known.shed_mw + np.minimum(room_mw, known.machines_mw + charge_mw)
    capacity_mw = np.where(path >= 0, plant.topology.capacity_w[path] / W_PER_MW, ANY).min(axis=1)
    top_mw = plant.sites.overhead_w / (1.0 - loss) / W_PER_MW
    top_mw = top_mw + np.minimum(capacity_mw, known.machines_mw.max(axis=0) + charge_mw)

    price = replay.price.copy()
    for tiered in replay.firm.bills.tiers.sites:  # the programme adds the cost of dearer tiers
        price[:, tiered.site] = tiered.usd_per_mwh.min(axis=1)
    zone, block_price = replay.prices.zone_usd_per_mwh, replay.prices.block_usd_per_mwh
    block_mw = replay.prices.block_w / W_PER_MW
    import_usd = _with_dear_blocks(price, block_price, block_mw, most_mw)
    import_usd = import_usd + _peaks(known)
    paid, baseline_mw = _curtailment(known, most_mw)
    import_usd = import_usd + paid
    cheapest = np.where(block_mw > 0.0, np.minimum(price, block_price), price)
    constant = (
        known.lump_usd
        + (paid * np.maximum(baseline_mw, most_mw) * hours).sum(axis=1)
        - (import_usd * known.fixed_mw * hours).sum(axis=1)
        + (np.maximum(-cheapest, 0.0) * (known.loose_mw + known.shed_mw) * hours).sum(axis=1)
        - contract_usd(known).sum(axis=1)
        - (replay.nodes_there * (replay.credit_usd + replay.there_usd)).sum(axis=1) * hours
    )
    supplied = np.zeros(len(loss), dtype=np.bool_)
    supplied[plant.assets.battery_site] = True
    supplied[plant.assets.generator_site] = True
    own = _own_limits(path, len(plant.limits.room_w))
    spare = np.zeros_like(price) if plant.meshed is not None else import_usd
    site, owner, item_mw, item_usd = _items(known)
    programmes = plant.demand_response.fixed
    given_mw = charge_mw + _own_mw(known)  # batteries can switch from charging to discharging
    highest_mw = np.maximum(top_mw, known.machines_mw.max(axis=0) + charge_mw) + charge_mw
    most = np.minimum(programmes.most_w[:, None] / W_PER_MW, highest_mw) * programmes.enrolled
    free = _uncoupled(known)
    tied = np.minimum(most, (most_mw + known.failing_mw + known.loose_mw + given_mw)[:, None, :])
    return Terms(
        known=known,
        item_site=site,
        item_owner=owner,
        item_mw=item_mw,
        item_usd_per_mwh=item_usd,
        import_usd_per_mwh=import_usd,
        export_usd_per_mwh=np.maximum(zone, np.minimum(import_usd, 0.0)),
        export_mw=plant.sites.export_w / W_PER_MW + known.loose_mw + known.failing_mw,
        spare_usd_per_mwh=spare,
        own_limit=own,
        own_room_mw=np.where(own >= 0, known.room_mw[:, own], ANY),
        supplied=supplied,
        block_mw=np.where(block_price < price, block_mw, 0.0),
        block_saves_usd_per_mwh=np.maximum(price - block_price, 0.0),
        contract_mw=block_mw,
        reserve_mw=np.where(free[:, :, None], most, tied),
        held_room_mw=known.failing_mw + known.loose_mw + given_mw,
        reserve_usd_per_mwh=_paid(known),
        reserve_free=free,
        top_mw=top_mw,
        answers=_answers(known, most),
        months=_months(known),
        demand=_demand(known),
        tiers=_tiers(known),
        constant_usd=constant,
    )


def _items(known: RealisedWorld) -> tuple[Ints, Ints, Floats, Floats]:
    """Firmware modes by group and rank, then nodes that do not serve tokens."""
    replay, plant, nodes = known.replay, known.replay.plant, known.nodes
    group, rank = np.nonzero(known.hull_w)
    w, ths = known.hull_w[group, rank], known.hull_ths[group, rank]
    factor = replay.asic_factor[:, group]
    asic_mw = replay.able[:, group] * w * factor / W_PER_MW
    asic_usd = ths / w / factor * known.usd_per_th[:, None] * J_PER_MWH
    node = np.flatnonzero(nodes.way != BY_THE_TOKEN)
    node_w = replay.node_w[:, node] * replay.node_factor[:, node]
    node_usd = (replay.node_usd + replay.credit_usd)[:, node] / node_w * W_PER_MW
    return (
        np.concatenate([plant.asics.site[group], nodes.site[node]]),
        np.concatenate([group, len(plant.asics.site) + node]),
        np.concatenate([asic_mw, replay.nodes_able[:, node] * node_w / W_PER_MW], axis=1),
        np.concatenate([asic_usd, node_usd], axis=1),
    )


def _own_mw(known: RealisedWorld) -> Floats:
    """Possible generator output (step, site) at the meter; load it feeds counts as standby."""
    replay = known.replay
    at, loss = replay.plant.assets.generator_site, replay.plant.sites.loss
    own_mw = np.zeros((len(known.cut), len(loss)))
    np.add.at(own_mw.T, at, (replay.available_w / (1.0 - loss)[at] / W_PER_MW).T)
    return own_mw


def _paid(known: RealisedWorld) -> Floats:
    """Highest standby payment (step, programme); reserves only in hours that can be sold.

    An award that is not held costs at least what it is paid, so only what is held earns.
    """
    replay, demand_response = known.replay, known.replay.plant.demand_response
    paid = replay.reserve.copy()
    if demand_response.by_day.any():
        market = ReserveMarket(
            replay.scenario, demand_response.specs, demand_response.fixed.enrolled
        )
        paid[:, demand_response.by_day] = market.most_paid(replay.reserve)[
            :, demand_response.by_day
        ]
    return paid


def _with_dear_blocks(price: Floats, block: Floats, block_mw: Floats, most_mw: Floats) -> Floats:
    """The grid price; where a block costs more, the mean price up to the highest draw.

    The dear block comes first, so cost is concave in the draw and its chord lies below it.
    """
    beyond_mw = np.maximum(most_mw - block_mw, 0.0)
    mean = (block * block_mw + price * beyond_mw) / np.maximum(block_mw + beyond_mw, 1e-300)
    return np.where((block_mw > 0.0) & (block > price), mean, price)


def _peaks(known: RealisedWorld) -> Floats:
    """Cost added by the realised coincident peaks (step, site) [USD/MWh]."""
    months = known.replay.firm.bills
    added = np.zeros_like(known.fixed_mw)
    for ended in months.peak_year:
        if ended <= len(added):
            added[ended - 1] += months.usd_per_w * W_PER_MW / months.counted / known.hours
    return added


def _curtailment(known: RealisedWorld, most_mw: Floats) -> tuple[Floats, Floats]:
    """Economic programmes: pay for load reduction (step, site) [USD/MWh], and highest baseline."""
    zone = known.replay.prices.zone_usd_per_mwh
    paid, baseline_mw = np.zeros_like(zone), np.zeros_like(zone)
    per_day = round(SECONDS_PER_DAY / (known.hours * 3600.0))
    for programme in known.replay.plant.demand_response.economic:
        spec: EconomicProgramme = programme.spec
        past = np.zeros((spec.baseline_days, per_day, zone.shape[1]))
        days = 0
        for first in range(0, len(zone), per_day):
            day = slice(first, first + per_day)
            high = zone[day] >= spec.threshold_usd_per_mwh
            counts = days >= spec.baseline_days
            if counts:
                usd = np.maximum(zone[day] - spec.less_usd_per_mwh, 0.0)
                paid[day] += usd * high * programme.enrolled
                mean = past.mean(axis=0)[: len(high)]
                baseline_mw[day] = np.maximum(baseline_mw[day], mean)
            if not (counts and high.any()) and len(high) == per_day:
                past[days % spec.baseline_days] = most_mw[day]
                days += 1
    return paid, baseline_mw


def _own_limits(path: Ints, limits: int) -> Ints:
    """Each site's private limit (site,), -1 where it has none."""
    users = np.bincount(path[path >= 0], minlength=limits)
    own = np.where(path >= 0, users[path] == 1, False)
    return np.where(own.any(axis=1), path[np.arange(len(path)), own.argmax(axis=1)], -1)


def _uncoupled(known: RealisedWorld) -> Bools:
    """Steps in which a programme's award (step, programme) may differ from the load of the step."""
    step_s = round(known.hours * 3600.0)
    free = np.repeat(known.cut[:, None], len(known.replay.plant.demand_response.names), axis=1)
    for call in known.world.calls:
        free[call.notice_s // step_s : -(-call.end_s // step_s), call.programme] = True
    return free


def _answers(known: RealisedWorld, most_mw: Floats) -> tuple[Answer, ...]:
    """Load reduction that each call may pay for, by step and site."""
    step_s, steps = round(known.hours * 3600.0), len(known.cut)
    usd_per_mwh = known.replay.plant.demand_response.fixed.usd_per_j * J_PER_MWH
    found = []
    for call in known.world.calls:
        if usd_per_mwh[call.programme] <= 0.0:
            continue
        for step in range(call.start_s // step_s, min(-(-call.end_s // step_s), steps)):
            seconds = min(call.end_s, (step + 1) * step_s) - max(call.start_s, step * step_s)
            for site in np.flatnonzero(most_mw[call.programme] > 0.0):
                mw = float(most_mw[call.programme, site]) * seconds / step_s
                found.append(Answer(int(site), step, mw, float(usd_per_mwh[call.programme])))
    return tuple(found)


def _months(known: RealisedWorld) -> tuple[Month, ...]:
    """Billing months of the contracts that have take-or-pay."""
    bills = known.replay.firm.bills
    take = bills.take
    found = []
    for k, s in enumerate(take.site.tolist()):
        first, strike = 0, float(take.strike[k])
        for last in sorted(step for step, sites in bills.ends.items() if s in sites):
            month = slice(first, last)
            owed_mwh = float(take.fraction[k] * take.mw[k, month].sum() * known.hours)
            if owed_mwh * strike != 0.0:
                found.append(Month(s, first, last, owed_mwh, strike, take.part[k, month]))
            first = last
    return tuple(found)


def _demand(known: RealisedWorld) -> tuple[Demand, ...]:
    """Billing months of all demand charges."""
    charges = known.replay.firm.bills.demand
    at = {bill: k for k, bill in enumerate(charges.bills)}
    found = []
    for bill in charges.bills:
        steps, interval = charges.steps_of(bill)
        past, floor_mw = charges.remembered(bill)
        due = charges.due_usd_per_mw(bill)
        found.append(
            Demand(
                site=int(charges.site[bill.charge]),
                first=bill.first,
                last=bill.last,
                usd_per_mw=due,
                floor_mw=floor_mw,
                before=tuple(at[b] for b in past),
                fraction=charges.specs[bill.charge].ratchet_fraction,
                steps=steps,
                interval=np.unique(interval, return_inverse=True)[1],
            )
        )
    return tuple(found)


def _tiers(known: RealisedWorld) -> tuple[Tier, ...]:
    """Billing months of the sites whose tariffs have tiers."""
    found = []
    for tiered in known.replay.firm.bills.tiers.sites:
        more = tiered.usd_per_mwh - tiered.usd_per_mwh.min(axis=1, keepdims=True)
        for first, last, share in tiered.months:
            width = np.append(np.diff(tiered.above_mwh * share), np.inf)
            found.append(Tier(tiered.site, first, last, width, more[first:last]))
    return tuple(found)

"""The clairvoyant's linear programme for a set of sites and steps. Power in MW, money in USD."""

from typing import NamedTuple

import numpy as np

from sim.grid.lp import Coordinates, LinearProgram
from sim.studies.bound.coefficients import Month, Terms
from sim.types import Floats, Ints
from sim.units import J_PER_MWH, W_PER_MW


class Piece(NamedTuple):
    """One subproblem: sites that share limits, over a range of steps."""

    sites: Ints  # ascending
    first: int
    last: int


class Duals(NamedTuple):
    """Shadow prices [USD per unit, over the steps that were solved]."""

    limit: Floats  # (limit,) per MW
    owner: Floats  # (ASIC group or node group,) for the whole group, not per machine
    battery_mw: Floats  # (battery,) per MW
    battery_mwh: Floats  # (battery,) per MWh


class Solved(NamedTuple):
    """An optimal solution."""

    usd: Floats  # (step of the piece,) earned by decisions; months count at their last step
    duals: Duals


class Sheet:
    """Builds a linear programme from blocks of columns and rows, shaped (step, thing)."""

    def __init__(self) -> None:
        self.gain: list[Floats] = []
        self.high: list[Floats] = []
        self.row_low: list[Floats] = []
        self.row_high: list[Floats] = []
        self.step: list[Ints] = []  # step of each column
        self.columns = self.rows = 0
        self.matrix = Coordinates()

    def column(self, gain: Floats, high: Floats, step: Ints) -> Ints:
        """Add columns from 0 to `high` that earn `gain`; returns indices shaped like `high`."""
        self.gain.append(np.broadcast_to(gain, high.shape).ravel())
        self.high.append(high.ravel())
        self.step.append(np.broadcast_to(step.reshape(-1, 1), high.shape).ravel())
        first, self.columns = self.columns, self.columns + high.size
        return np.arange(first, self.columns).reshape(high.shape)

    def row(self, low: Floats | float, high: Floats) -> Ints:
        """Add rows from `low` to `high`; returns their indices, shaped like `high`."""
        self.row_low.append(np.broadcast_to(low, high.shape).ravel())
        self.row_high.append(high.ravel())
        first, self.rows = self.rows, self.rows + high.size
        return np.arange(first, self.rows).reshape(high.shape)

    def add(self, rows: Ints, columns: Ints, value: Floats | float) -> None:
        """Add matrix entries; the arguments are broadcast."""
        row, column, values = np.broadcast_arrays(rows, columns, value)
        self.matrix.add(row.ravel(), column.ravel(), values.ravel())

    def solve(self) -> tuple[Floats, Floats, Floats]:
        """Column values, and the duals of the column bounds and row bounds [USD per unit]."""
        high = np.concatenate(self.high)
        rows = np.concatenate(self.row_low), np.concatenate(self.row_high)
        cost = -np.concatenate(self.gain)
        programme = LinearProgram(cost, (np.zeros(len(high)), high), rows, self.matrix)
        if not programme.solve():
            raise RuntimeError("the clairvoyant's programme has no solution")
        values, row_dual, column_dual = programme.solution()
        return values, np.maximum(-column_dual, 0.0), np.maximum(-row_dual, 0.0)


class Meters(NamedTuple):
    """Columns (step, site of the piece) of the meter flows."""

    net: Ints  # grid draw of machines and charging
    spare: Ints  # own supply that covers overhead
    export: Ints  # own supply fed into the grid


class Batteries(NamedTuple):
    """Batteries of the piece and their columns."""

    battery: Ints  # (battery,)
    flow: Ints  # (step, battery, 2) charging, discharging
    stored: Ints  # (step, battery)


def solve(terms: Terms, piece: Piece) -> Solved:
    """The optimum of a piece."""
    sheet = Sheet()
    steps = np.arange(piece.first, piece.last)
    items = np.flatnonzero(np.isin(terms.item_site, piece.sites))
    meters = _meters(sheet, terms, piece, steps)
    balance = sheet.row(0.0, np.zeros(meters.net.shape))
    sheet.add(balance, meters.net, -1.0)
    sheet.add(balance, meters.spare, 1.0)
    sheet.add(balance, meters.export, 1.0)
    gain = terms.item_usd_per_mwh[np.ix_(steps, items)] * terms.known.hours
    uses = sheet.column(gain, terms.item_mw[np.ix_(steps, items)], steps)
    sheet.add(balance[:, _place(piece, terms.item_site[items])], uses, 1.0)
    stores = _batteries(sheet, terms, piece, steps, balance)
    _generators(sheet, terms, piece, steps, balance)
    limits, rows = _limits(sheet, terms, piece, steps, meters)
    _blocks(sheet, terms, piece, steps, meters)
    _reserves(sheet, terms, piece, steps, meters)
    _answers(sheet, terms, piece, meters)
    _months(sheet, terms, piece, meters)
    _demand(sheet, terms, piece, meters)
    _tiers(sheet, terms, piece, meters)
    values, column_worth, row_worth = sheet.solve()

    duals = no_duals(terms)
    np.add.at(duals.limit, limits, row_worth[rows].sum(axis=0))
    own = terms.own_limit[piece.sites]
    np.add.at(duals.limit, own[own >= 0], column_worth[meters.net].sum(axis=0)[own >= 0])
    worth_usd = column_worth[uses] * terms.item_mw[np.ix_(steps, items)]
    np.add.at(duals.owner, terms.item_owner[items], worth_usd.sum(axis=0))
    duals.battery_mw[stores.battery] += column_worth[stores.flow].sum(axis=(0, 2))
    duals.battery_mwh[stores.battery] += column_worth[stores.stored].sum(axis=0)
    usd = np.concatenate(sheet.gain) * values
    step = np.concatenate(sheet.step) - piece.first
    return Solved(np.bincount(step, usd, len(steps)).astype(np.float64), duals)


def no_duals(terms: Terms) -> Duals:
    """Shadow prices of zero."""
    plant = terms.known.replay.plant
    owners = len(plant.asics.site) + len(plant.nodes.site)
    batteries = len(plant.assets.battery_site)
    return Duals(
        np.zeros(len(plant.limits.room_w)),
        np.zeros(owners),
        np.zeros(batteries),
        np.zeros(batteries),
    )


def _place(piece: Piece, sites: Ints) -> Ints:
    """Positions of sites within the piece."""
    return np.searchsorted(piece.sites, sites)


def _meters(sheet: Sheet, terms: Terms, piece: Piece, steps: Ints) -> Meters:
    here, hours = np.ix_(steps, piece.sites), terms.known.hours
    supplied = terms.supplied[piece.sites].astype(np.float64)
    loss = terms.known.replay.plant.sites.loss[piece.sites]
    spare_mw = (terms.known.fixed_mw + terms.known.shed_mw)[here]
    back = terms.export_usd_per_mwh[here] * (1.0 - loss) ** 2
    return Meters(
        net=sheet.column(-terms.import_usd_per_mwh[here] * hours, terms.own_room_mw[here], steps),
        spare=sheet.column(terms.spare_usd_per_mwh[here] * hours, spare_mw * supplied, steps),
        export=sheet.column(back * hours, terms.export_mw[here] * supplied, steps),
    )


def _batteries(sheet: Sheet, terms: Terms, piece: Piece, steps: Ints, balance: Ints) -> Batteries:
    """Charging and discharging [MW at the terminals], energy stored at the end of a step [MWh]."""
    replay, hours = terms.known.replay, terms.known.hours
    assets = replay.plant.assets
    battery = np.flatnonzero(np.isin(assets.battery_site, piece.sites))
    power_w, energy_j = assets.power_w[battery], assets.energy_j[battery]
    one_way, wear_usd_per_j = assets.one_way[battery], assets.wear_usd_per_j[battery]
    shape = (len(steps), len(battery))
    power_mw = np.broadcast_to(power_w / W_PER_MW, shape)
    charge = sheet.column(np.zeros(shape), power_mw, steps)
    discharge = sheet.column(-wear_usd_per_j * J_PER_MWH * hours, power_mw, steps)
    stored = sheet.column(np.zeros(shape), np.broadcast_to(energy_j / J_PER_MWH, shape), steps)
    site = assets.battery_site[battery]
    at_meter = 1.0 / (1.0 - replay.plant.sites.loss[site])
    here = balance[:, _place(piece, site)]
    sheet.add(here, charge, at_meter)
    sheet.add(here, discharge, -at_meter)
    before_mwh = np.zeros(shape)
    before_mwh[:1] = terms.known.stored_mwh[battery]
    kept = sheet.row(before_mwh, before_mwh)
    sheet.add(kept, stored, 1.0)
    sheet.add(kept[1:], stored[:-1], -1.0)
    sheet.add(kept, charge, -one_way * hours)
    sheet.add(kept, discharge, hours / one_way)
    return Batteries(battery, np.stack([charge, discharge], axis=2), stored)


def _generators(sheet: Sheet, terms: Terms, piece: Piece, steps: Ints, balance: Ints) -> None:
    replay = terms.known.replay
    assets = replay.plant.assets
    unit = np.flatnonzero(np.isin(assets.generator_site, piece.sites))
    site = assets.generator_site[unit]
    gain = -assets.fuel_usd_per_j[unit] * J_PER_MWH * terms.known.hours
    made = sheet.column(gain, replay.available_w[np.ix_(steps, unit)] / W_PER_MW, steps)
    at_meter = 1.0 / (1.0 - replay.plant.sites.loss[site])
    sheet.add(balance[:, _place(piece, site)], made, -at_meter)


def _limits(
    sheet: Sheet, terms: Terms, piece: Piece, steps: Ints, meters: Meters
) -> tuple[Ints, Ints]:
    """Add limits that several sites share; returns the limits and their rows (step, limit)."""
    path = terms.known.replay.plant.limits.path[piece.sites]
    shared = np.setdiff1d(path[path >= 0], terms.own_limit)
    rows = sheet.row(-np.inf, terms.known.room_mw[np.ix_(steps, shared)])
    site, depth = np.nonzero(np.isin(path, shared))
    sheet.add(rows[:, np.searchsorted(shared, path[site, depth])], meters.net[:, site], 1.0)
    return shared, rows


def _blocks(sheet: Sheet, terms: Terms, piece: Piece, steps: Ints, meters: Meters) -> None:
    """Blocks cheaper than the grid, capped at the site's draw."""
    site = np.flatnonzero(terms.block_mw[piece.first : piece.last, piece.sites].any(axis=0))
    here = np.ix_(steps, piece.sites[site])
    gain = terms.block_saves_usd_per_mwh[here] * terms.known.hours
    used = sheet.column(gain, terms.block_mw[here], steps)
    rows = sheet.row(-np.inf, terms.known.fixed_mw[here])
    sheet.add(rows, used, 1.0)
    sheet.add(rows, meters.net[:, site], -1.0)
    sheet.add(rows, meters.spare[:, site], 1.0)


def _reserves(sheet: Sheet, terms: Terms, piece: Piece, steps: Ints, meters: Meters) -> None:
    """Standby: programmes together take no more of a site than its load and batteries."""
    most_mw = terms.reserve_mw[piece.first : piece.last][:, :, piece.sites]
    programme, site = np.nonzero(most_mw.any(axis=0))
    gain = terms.reserve_usd_per_mwh[np.ix_(steps, programme)] * terms.known.hours
    awarded = sheet.column(gain, most_mw[:, programme, site], steps)
    rows = sheet.row(-np.inf, terms.held_room_mw[np.ix_(steps, piece.sites)])
    tied = ~terms.reserve_free[np.ix_(steps, programme)]
    sheet.add(rows[:, site], awarded, tied.astype(np.float64))
    sheet.add(rows, meters.net, -1.0)


def _answers(sheet: Sheet, terms: Terms, piece: Piece, meters: Meters) -> None:
    """Load reduction in calls, paid from the highest possible meter reading down to the present."""
    for answer in terms.answers:
        if answer.site not in piece.sites or not piece.first <= answer.step < piece.last:
            continue
        step, site = answer.step - piece.first, _place(piece, np.array([answer.site]))
        gain = np.full((1, 1), answer.usd_per_mwh * terms.known.hours)
        less = sheet.column(gain, np.full((1, 1), answer.most_mw), np.array([answer.step]))
        top_mw = terms.top_mw[answer.site] - terms.known.fixed_mw[answer.step, answer.site]
        row = sheet.row(-np.inf, np.full((1, 1), top_mw))
        sheet.add(row, less, 1.0)
        sheet.add(row, meters.net[step, site], 1.0)
        sheet.add(row, meters.spare[step, site], -1.0)
        sheet.add(row, meters.export[step, site], -1.0)


def _months(sheet: Sheet, terms: Terms, piece: Piece, meters: Meters) -> None:
    """Take-or-pay charges."""
    for month in _within(terms, piece):
        steps = slice(month.first - piece.first, month.last - piece.first)
        site, end = int(_place(piece, np.array([month.site]))[0]), np.array([month.last - 1])
        net, spare = meters.net[steps, [site]], meters.spare[steps, [site]]
        fixed_mw = terms.known.fixed_mw[month.first : month.last, [month.site]]
        if month.owed_mwh > 0.0:
            gain, most = np.full((1, 1), -month.usd_per_mwh), np.full((1, 1), month.owed_mwh)
            short = sheet.column(gain, most, end)
            block_mw = terms.contract_mw[month.first : month.last, [month.site]]
            taken = sheet.column(np.zeros_like(block_mw), block_mw, end)
            loose_mw = terms.known.loose_mw[month.first : month.last, [month.site]]
            rows = sheet.row(-np.inf, fixed_mw + loose_mw)
            sheet.add(rows, taken, 1.0)
            sheet.add(rows, net, -1.0)
            sheet.add(rows, spare, 1.0)
            enough = sheet.row(month.owed_mwh, np.full((1, 1), np.inf))
            sheet.add(enough, short, 1.0)
            sheet.add(enough, taken, terms.known.hours * month.part[:, None])


def _demand(sheet: Sheet, terms: Terms, piece: Piece, meters: Meters) -> None:
    """Demand charges on the month's highest interval, or a share of an earlier month's."""
    peaks: dict[int, Ints] = {}
    one = np.ones((1, 1))
    for k, bill in enumerate(terms.demand):
        if bill.site not in piece.sites or not piece.first <= bill.first < piece.last:
            continue
        site, end = int(_place(piece, np.array([bill.site]))[0]), np.array([bill.last - 1])
        peaks[k] = sheet.column(0.0 * one, np.inf * one, end)
        billed = sheet.column(-bill.usd_per_mw * one, np.inf * one, end)
        counts = np.maximum(np.bincount(bill.interval), 1)
        share = 1.0 / counts[bill.interval]
        fixed_mw = np.zeros(len(counts) if len(bill.steps) else 0)
        np.add.at(fixed_mw, bill.interval, terms.known.fixed_mw[bill.steps, bill.site] * share)
        rows = sheet.row(-np.inf, -fixed_mw)
        at = bill.steps - piece.first
        for flow, sign in ((meters.net, 1.0), (meters.spare, -1.0), (meters.export, -1.0)):
            sheet.add(rows[bill.interval], flow[at, site], sign * share)
        sheet.add(rows, peaks[k].ravel(), -1.0)
        least = sheet.row(bill.floor_mw, np.inf * one)
        sheet.add(least, billed, 1.0)
        for peak, part in [(peaks[k], 1.0), *((peaks[b], bill.fraction) for b in bill.before)]:
            above = sheet.row(-np.inf, 0.0 * one)
            sheet.add(above, peak, part)
            sheet.add(above, billed, -1.0)


def _tiers(sheet: Sheet, terms: Terms, piece: Piece, meters: Meters) -> None:
    """Tiers: each MWh of a month's imports falls in one tier, up to its width."""
    for month in terms.tiers:
        if month.site not in piece.sites or not piece.first <= month.first < piece.last:
            continue
        steps = np.arange(month.first, month.last)
        at, site = steps - piece.first, _place(piece, np.array([month.site]))
        gain = -month.more_usd_per_mwh * terms.known.hours
        used = sheet.column(gain, np.full(gain.shape, np.inf), steps)
        fixed_mw = terms.known.fixed_mw[month.first : month.last, [month.site]]
        rows = sheet.row(fixed_mw, fixed_mw)
        sheet.add(rows, used, 1.0)
        sheet.add(rows, meters.net[np.ix_(at, site)], -1.0)
        sheet.add(rows, meters.spare[np.ix_(at, site)], 1.0)
        room = sheet.row(-np.inf, month.width_mwh)
        sheet.add(room[None, :], used, terms.known.hours)


def _within(terms: Terms, piece: Piece) -> list[Month]:
    return [
        m
        for m in terms.months
        if m.site in piece.sites and piece.first <= m.first and m.last <= piece.last
    ]

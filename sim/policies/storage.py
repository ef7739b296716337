"""A linear programme for a site's battery and its other loads, solved again as hours pass.

For sites with demand charges; without them `kernels.storage` needs no solver.
"""

from typing import Any, Final, NamedTuple

import highspy
import numpy as np
import numpy.typing as npt

from sim.solver import solver
from sim.types import Floats

BOTH_MW: Final = 1e-7  # the solver's tolerance
SOONER: Final = 1e-4  # USD/MWh an hour: among equal hours the earliest is used


class Site(NamedTuple):
    """A site and its forecast. Shapes: `period`, `item` uses of power, `charge`.

    Powers are at the meter [MW] but for the battery's, which is at its terminals.
    """

    period_h: float  # length of the first period; the others last an hour
    price: Floats  # (period,) of a MWh from the grid [USD/MWh]
    export_price: Floats  # (period,) price of export [USD/MWh]
    item_mw: Floats  # (item,) most that it draws
    item_least_mw: Floats  # (period, item) what runs whatever the battery does
    item_usd_per_mwh: Floats  # (item,) what it earns
    room_mw: Floats  # (period,) most that may be drawn
    export_mw: float  # export limit
    overhead_mw: float  # drawn in any case
    own_mw: Floats  # (period,) own supply
    own_usd_per_mwh: float  # its fuel cost
    block_mw: float  # of a contract, cheaper than the grid by `block_saves`
    block_saves_usd_per_mwh: Floats  # (period,) 0 where it is not
    stored_mwh: float
    charge_usd_per_mw: Floats  # (charge,) price of a MW above both peaks below
    charge_peak_mw: Floats  # (charge,) the peak of the month so far
    charge_load_mw: Floats  # (charge,) peak of the load without the battery
    charge_shaved_usd_per_mw: Floats  # (charge,) value of a MW below that, 0: none
    charge_counts: npt.NDArray[np.bool_]  # (period, charge) whether a period is measured
    hold_mw: Floats  # (period,) reserve sold beyond what load holds, at the meter
    hold_h: float  # for which it must last
    hold_usd_per_mw_h: Floats  # (period,) cost of a shortfall


class StoragePlan:
    """Charging, discharging, load and peaks over the periods, with the highest margin.

    Charging competes with the uses of power: where headroom is short it displaces those that earn
    less. Any rise of a month's peak is charged in full, as it will be billed. Energy left in store
    at the end has no value, so a plan never buys energy that it cannot use within the periods, and
    a new plan is never worse than the rest of the previous one. Exported energy bears losses on its
    way out; a load beside the battery avoids the losses of an import. Energy that stands by as
    reserve is not discharged and is still stored at the end of a period; otherwise the shortfall is
    paid. No megawatt-hour is valued twice.

    Args:
        periods: number of periods.
        battery: (4,) power [W], energy [J], one-way efficiency, wear [USD/J].
        loss: share of the meter's power that is lost on the way to the site.
        items: uses of power at the site.
        charges: demand charges of the site.
        sells: whether reserves may be sold.
    """

    def __init__(
        self,
        periods: int,
        battery: Floats,
        loss: float,
        items: int,
        charges: int,
        sells: bool = False,
    ) -> None:
        self.power_mw, self.energy_mwh = battery[0] / 1e6, battery[1] / 3.6e9
        self.one_way, self.wear = float(battery[2]), battery[3] * 3.6e9
        self.at_meter = 1.0 / (1.0 - loss)
        held = periods if sells else 0
        sizes = [periods] * 7 + [periods * items, charges, periods * charges, charges, 1, held]
        ends = np.cumsum(sizes)
        self.columns = int(ends[-1])
        self.every = np.arange(self.columns, dtype=np.int32)
        blocks = np.split(np.arange(self.columns), ends[:-1])
        self.charge, self.discharge, self.stored, self.drawn, self.export = blocks[:5]
        self.own, self.block, item, self.peak, free, self.above, self.fixed, self.short = blocks[5:]
        self.item = item.reshape(periods, items)
        self.free = free.reshape(periods, charges)  # slack of the peak where nothing is measured
        rows = np.arange((3 + charges) * periods).reshape(-1, periods)
        self.balance, self.store, self.within = rows[:3]
        self.under = rows[3:].T  # (period, charge)
        first = rows.size
        self.spare, self.kept = np.arange(first, first + 2 * held).reshape(2, held)
        self._kept_h, self._kept_mw = 0.0, np.full((2, held), -np.inf)
        self._period_h = 1.0
        self._solver = self._model()

    def _model(self) -> highspy.Highs:
        """Rows: balance of the site, store from period to period, block within, peaks above."""
        entries: list[tuple[Any, Any, Any]] = [
            (self.balance, self.drawn, 1.0),
            (self.balance, self.export, -(self.at_meter**2)),
            (self.balance, self.own, 1.0),
            (self.balance, self.charge, -self.at_meter),
            (self.balance, self.discharge, self.at_meter),
            (self.balance[:, None], self.item, -1.0),
            (self.balance, self.fixed, -1.0),
            (self.store, self.stored, 1.0),
            (self.store[1:], self.stored[:-1], -1.0),
            (self.store, self.charge, -self.one_way),
            (self.store, self.discharge, 1.0 / self.one_way),
            (self.within, self.block, 1.0),
            (self.within, self.drawn, -1.0),
            (self.under, self.drawn[:, None], 1.0),
            (self.under, self.export[:, None], -1.0),
            (self.under, self.peak, -1.0),
            (self.under, self.above, -1.0),
            (self.under, self.free, -1.0),
        ]
        if self.short.size:  # MW at the meter: power not discharged, energy kept
            entries += [
                (self.spare, self.discharge, -self.at_meter),
                (self.spare, self.short, 1.0),
                (self.kept, self.stored, self.one_way * self.at_meter),
                (self.kept, self.short, 1.0),
            ]
        parts = [np.broadcast_arrays(*entry) for entry in entries]
        row, column, value = (np.concatenate([p[k].ravel() for p in parts]) for k in range(3))
        order = np.argsort(row, kind="stable")
        rows = int(self.within[-1]) + 1 + self.under.size + 2 * self.short.size
        low, high = np.zeros(rows), np.zeros(rows)
        low[self.spare] = low[self.kept] = -np.inf
        high[self.spare] = high[self.kept] = np.inf
        low[self.within] = low[self.under] = -np.inf
        made, zero = solver(), np.zeros(self.columns)
        made.passModel(
            self.columns, rows, len(row), int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMinimize), 0.0, zero, zero, zero, low, high,
            np.searchsorted(row[order], np.arange(rows)), column[order],
            value[order].astype(np.float64), np.zeros(self.columns, dtype=np.int32),
        )  # fmt: skip
        return made

    def solve(self, site: Site) -> float:
        """Power now at the battery's terminals [MW], negative when discharging.

        Where losses are paid for, the optimum may charge and discharge at once. A battery does one
        at a time, so now the better of the two is taken; later periods may still do both.

        Raises:
            RuntimeError: when the solver fails; the programme always has a solution.
        """
        cost, low, high = self._columns(site)
        _, charge, discharge = self._optimum(site, cost, low, high)
        if min(charge, discharge) <= BOTH_MW:
            return charge - discharge
        found = []
        for column in (self.discharge[0], self.charge[0]):
            none = high.copy()
            none[column] = 0.0
            found.append(self._optimum(site, cost, low, none))
        _, charge, discharge = min(found)
        return charge - discharge

    def _optimum(
        self, site: Site, cost: Floats, low: Floats, high: Floats
    ) -> tuple[float, float, float]:
        """The least cost [USD], and what is charged and discharged now [MW]."""
        highs = self._solver
        highs.changeColsCost(self.columns, self.every, cost)
        highs.changeColsBounds(self.columns, self.every, low, high)
        first = int(self.store[0])
        highs.changeRowBounds(first, site.stored_mwh, site.stored_mwh)
        if site.period_h != self._period_h:
            self._period_h = site.period_h
            hours = site.period_h
            highs.changeCoeff(first, int(self.charge[0]), -self.one_way * hours)
            highs.changeCoeff(first, int(self.discharge[0]), hours / self.one_way)
        if self.short.size:
            self._hold(site)
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            highs.clearSolver()  # discard a bad basis
            highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS: {highs.modelStatusToString(highs.getModelStatus())}")
        values = highs.getSolution().col_value
        charge, discharge = float(values[self.charge[0]]), float(values[self.discharge[0]])
        return float(highs.getInfo().objective_function_value), charge, discharge

    def _hold(self, site: Site) -> None:
        """Constrain reserves: power not discharged, and energy that lasts `hold_h`."""
        least = np.minimum(site.hold_mw, self.power_mw * self.at_meter)
        bounds = np.stack([least - self.power_mw * self.at_meter, least * site.hold_h])
        highs = self._solver
        for which, t in np.argwhere(bounds != self._kept_mw).tolist():
            row = self.kept[t] if which else self.spare[t]
            highs.changeRowBounds(int(row), bounds[which, t], np.inf)
        self._kept_mw = bounds
        if site.hold_h != self._kept_h:
            for row, column in zip(self.kept.tolist(), self.short.tolist(), strict=True):
                highs.changeCoeff(row, column, site.hold_h)
            self._kept_h = site.hold_h

    def _columns(self, site: Site) -> tuple[Floats, Floats, Floats]:
        """Cost, lower and upper bound of every column."""
        cost, low, high = np.zeros(self.columns), np.zeros(self.columns), np.zeros(self.columns)
        hours = np.ones(len(self.charge))
        hours[0] = site.period_h
        put_off = SOONER * np.arange(len(self.charge))
        cost[self.drawn] = site.price * hours
        cost[self.export] = -site.export_price * hours
        cost[self.own] = site.own_usd_per_mwh * hours
        cost[self.block] = -site.block_saves_usd_per_mwh * hours
        cost[self.charge] = put_off
        cost[self.discharge] = self.wear * hours + put_off
        cost[self.item] = -site.item_usd_per_mwh * hours[:, None]
        cost[self.peak] = site.charge_shaved_usd_per_mw
        cost[self.above] = site.charge_usd_per_mw
        high[self.charge] = high[self.discharge] = self.power_mw
        high[self.stored] = self.energy_mwh
        high[self.drawn] = site.room_mw
        high[self.export] = site.export_mw
        high[self.own] = site.own_mw
        high[self.block] = site.block_mw
        high[self.item] = site.item_mw
        low[self.item] = site.item_least_mw
        low[self.peak] = site.charge_peak_mw
        high[self.peak] = np.maximum(site.charge_peak_mw, site.charge_load_mw)
        high[self.above] = np.inf
        high[self.free] = np.where(site.charge_counts, 0.0, np.inf)
        cost[self.short] = site.hold_usd_per_mw_h[: self.short.size] * hours[: self.short.size]
        high[self.short] = np.inf
        low[self.fixed] = high[self.fixed] = site.overhead_mw
        return cost, low, high

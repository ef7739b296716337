"""A linear programme for batteries and the loads beside them, re-solved as hours pass."""

from typing import Any, NamedTuple

import highspy
import numpy as np
import numpy.typing as npt

from sim.solver import solver

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Hours(NamedTuple):
    """What a plan begins with. Shapes: `hour`, `battery`, `item` uses of power at their sites."""

    price: Floats  # (hour, battery) [USD/MWh]
    item_mw: Floats  # (item,)
    item_usd_per_mwh: Floats  # (item,)
    room_mw: Floats  # (battery,) what machines and charging may take from the grid
    stored_mwh: Floats  # (battery,)
    peak_mw: Floats  # (battery,) of the billing month so far
    peak_usd_per_mw: Floats  # (battery,) what more of it costs within these hours


class StoragePlan:
    """Charging, discharging and load over the hours, at most margin.

    Batteries of a site share nothing here: each sees all items of its site, so a site's batteries
    must be given as one. Own supply that nobody at the site can use is not planned with. What is
    left in the store at the end counts at the mean price of the hours.

    Args:
        hours: length of the plan.
        battery: (battery, 4) power [W], energy [J], one-way efficiency, wear [USD/J].
        item_of: (item,) the battery at whose site an item is.
    """

    def __init__(self, hours: int, battery: Floats, item_of: Ints) -> None:
        self.hours, self.item_of = hours, item_of
        self.power_mw, self.energy_mwh = battery[:, 0] / 1e6, battery[:, 1] / 3.6e9
        self.one_way, self.wear = battery[:, 2], battery[:, 3] * 3.6e9
        count, items = len(battery), len(item_of)
        self.columns = hours * (4 * count + items) + count
        ends = np.cumsum([hours * count] * 4 + [hours * items])
        *blocks, self.peak = np.split(np.arange(self.columns), ends)
        self.charge, self.discharge, self.stored, self.net, self.item = (
            block.reshape(hours, -1) for block in blocks
        )
        self._solver = self._model()

    def _model(self) -> highspy.Highs:
        """Rows: balance of each site, store from hour to hour, peak above each hour's load."""
        hours, count = self.charge.shape
        block = np.arange(hours * count).reshape(hours, count)
        balance, store, under = block, block + hours * count, block + 2 * hours * count
        entries: list[tuple[Any, Any, Any]] = [
            (balance, self.charge, 1.0),
            (balance, self.discharge, -1.0),
            (balance, self.net, -1.0),
            (balance[:, self.item_of], self.item, 1.0),
            (store, self.stored, 1.0),
            (store[1:], self.stored[:-1], -1.0),
            (store, self.charge, -self.one_way),
            (store, self.discharge, 1.0 / self.one_way),
            (under, self.net, 1.0),
            (under, self.peak, -1.0),
        ]
        parts = [np.broadcast_arrays(*entry) for entry in entries]
        row, column, value = (np.concatenate([p[k].ravel() for p in parts]) for k in range(3))
        order = np.argsort(row, kind="stable")
        rows, columns = 3 * hours * count, self.columns
        low_row, high_row = np.zeros(rows), np.zeros(rows)
        low_row[under] = -np.inf
        made, zero = solver(), np.zeros(columns)
        made.passModel(
            columns, rows, len(row), int(highspy.MatrixFormat.kRowwise),
            int(highspy.ObjSense.kMinimize), 0.0, zero, zero, zero, low_row, high_row,
            np.searchsorted(row[order], np.arange(rows)), column[order],
            value[order].astype(np.float64), np.zeros(columns, dtype=np.int32),
        )  # fmt: skip
        return made

    def solve(self, given: Hours) -> tuple[Floats, Floats]:
        """Power (battery,) of now [MW], below 0 discharging, and what the items take (item,).

        Raises:
            RuntimeError: when the solver gives up; the programme always has a solution.
        """
        columns = self.columns
        cost, high = np.zeros(columns), np.full(columns, np.inf)
        cost[self.net] = given.price
        cost[self.discharge] = self.wear
        cost[self.item] = -given.item_usd_per_mwh
        cost[self.peak] = given.peak_usd_per_mw
        kept = np.maximum(given.price.mean(axis=0) - self.wear, 0.0)
        cost[self.stored[-1]] = -kept * self.one_way
        high[self.charge] = high[self.discharge] = self.power_mw
        high[self.stored] = self.energy_mwh
        high[self.item] = given.item_mw
        high[self.net] = given.room_mw
        low = np.zeros(columns)
        low[self.peak] = given.peak_mw
        highs, every = self._solver, np.arange(columns, dtype=np.int32)
        highs.changeColsCost(columns, every, cost)
        highs.changeColsBounds(columns, every, low, high)
        first = self.charge.size
        for b, mwh in enumerate(given.stored_mwh):
            highs.changeRowBounds(first + b, float(mwh), float(mwh))
        highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            highs.clearSolver()  # a bad basis is forgotten
            highs.run()
        if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise RuntimeError(f"HiGHS: {highs.modelStatusToString(highs.getModelStatus())}")
        values = np.asarray(highs.getSolution().col_value)
        return values[self.charge[0]] - values[self.discharge[0]], values[self.item[0]]

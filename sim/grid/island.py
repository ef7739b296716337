"""The linear programme of one island: allocates load when not all wishes can be granted."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from sim.grid.lp import Coordinates, LinearProgram
from sim.kernels.mesh import OVERLOAD_MW, line_flows
from sim.types import Floats, Ints

MAX_ROUNDS: Final = 200
FELT: Final = 1e-6  # share of the largest weight; lines with a smaller price do not bind


class Optimum(NamedTuple):
    """An optimal grant of one island."""

    granted_mw: Floats  # (item of the island,)
    generation_mw: Floats  # (source of the island,)
    line_price: Floats  # (line in `in_the_way`,) weight per MW of limit, by direction of flow


@dataclass
class Island:
    """Items and sources of an island, and the lines that a solution has ever overloaded.

    Few lines ever bind, so a line becomes a row when a solution first overloads it, and stays one.
    Columns: items, then sources. Row 0 balances the island.
    """

    number: int
    matrix: Floats  # (line, bus) PTDF of the whole mesh
    limit_mw: Floats  # (line,)
    lines: Ints  # (line of the island,)
    items: Ints  # (item of the island,)
    item_bus: Ints
    sources: Ints  # (source of the island,)
    source_bus: Ints
    least_mw: Floats
    most_mw: Floats
    in_the_way: list[int] = field(default_factory=list)  # lines by row, from row 1

    def __post_init__(self) -> None:
        items, sources = len(self.items), len(self.sources)
        self._all = np.arange(items + sources)
        # (column, line of the island): flow per MW of each column.
        self._effect = np.vstack(
            [
                -self.matrix[np.ix_(self.lines, self.item_bus)].T,
                self.matrix[np.ix_(self.lines, self.source_bus)].T,
            ]
        )
        self._none, self._flow = np.zeros(len(self.lines)), np.empty(len(self.lines))
        self._position = {line: k for k, line in enumerate(self.lines.tolist())}
        balance = Coordinates()
        sign = np.concatenate([-np.ones(items), np.ones(sources)])
        balance.add(np.array(0), self._all, sign)
        low = np.concatenate([np.zeros(items), self.least_mw])
        high = np.concatenate([np.zeros(items), self.most_mw])
        self._programme = LinearProgram(
            np.zeros(items + sources), (low, high), (np.zeros(1), np.zeros(1)), balance
        )

    def solve(
        self, weight: Floats, wish_mw: Floats, load_mw: float, base_mw: Floats
    ) -> Optimum | None:
        """An optimal grant; None if the fixed load alone cannot be carried.

        Args:
            weight: (item of the mesh,) > 0.
            wish_mw: (item of the mesh,) at most the limit of its site.
            load_mw: fixed load of the island.
            base_mw: (line of the mesh,) flow from the fixed load alone.
        """
        items = len(self.items)
        if items:
            columns, scale = self._all[:items], float(weight.max())
            self._programme.price_columns(columns, -weight[self.items] / scale)
            self._programme.bound_columns(columns, np.zeros(items), wish_mw[self.items])
        self._programme.bound_row(0, load_mw, load_mw)
        low, high = -self.limit_mw - base_mw, self.limit_mw - base_mw
        for row, line in enumerate(self.in_the_way, 1):
            self._programme.bound_row(row, float(low[line]), float(high[line]))
        for _ in range(MAX_ROUNDS):
            if not self._programme.solve():
                return None
            value, row_dual, _ = self._programme.solution()
            line_flows(self._effect, value, self._none, self._flow)
            flow = self._flow
            over = (flow > high[self.lines] + OVERLOAD_MW) | (flow < low[self.lines] - OVERLOAD_MW)
            new = [k for k in self.lines[over].tolist() if k not in self.in_the_way]
            if not new:
                granted = np.clip(value[:items], 0.0, wish_mw[self.items])
                generation = np.clip(value[items:], self.least_mw, self.most_mw)
                return Optimum(granted, generation, row_dual[1:])
            self._add(new, low[new], high[new])
        raise RuntimeError(f"lines kept overloading in {MAX_ROUNDS} rounds")

    def _add(self, lines: list[int], low: Floats, high: Floats) -> None:
        effect = self._effect[:, [self._position[line] for line in lines]].T
        row, column = np.nonzero(effect)
        starts = np.searchsorted(row, np.arange(len(lines)))
        self._programme.add_rows(low, high, starts, column, effect[row, column])
        self.in_the_way += lines

    def blocking_lines(self, best: Optimum, bus: Ints) -> Ints:
        """For each bus, the line that adds most to the price of a MW from a source; -1: none does.

        The source is one that can still give more or less; if there is none, supply is short.
        """
        free = np.flatnonzero(
            (best.generation_mw > self.least_mw + OVERLOAD_MW)
            & (best.generation_mw < self.most_mw - OVERLOAD_MW)
        )
        if not len(free) or not self.in_the_way:
            return np.full(len(bus), -1)
        rows = self.matrix[self.in_the_way]
        felt = best.line_price * (rows[:, bus].T - rows[:, self.source_bus[free[0]]])
        worst = np.argmax(felt, axis=1)
        cut = felt[np.arange(len(bus)), worst] > FELT
        return np.where(cut, np.array(self.in_the_way)[worst], -1)

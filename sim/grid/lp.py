"""A linear programme that is solved repeatedly with changing bounds."""

import highspy
import numpy as np

from sim.solver import solver
from sim.types import Floats, Ints


class Coordinates:
    """Builds a sparse matrix from entries."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ints, Ints, Floats]] = []

    def add(self, row: Ints, column: Ints, value: Floats | float) -> None:
        """Add entries at (row, column); a single row or column is broadcast."""
        rows, columns, values = np.broadcast_arrays(row, column, value)
        self._parts.append((rows, columns, values.astype(np.float64)))

    def compressed(self, rows: int) -> tuple[Ints, Ints, Floats]:
        """Row starts, column indices and values; zeros are left out."""
        row = np.concatenate([part[0] for part in self._parts])
        column = np.concatenate([part[1] for part in self._parts])
        value = np.concatenate([part[2] for part in self._parts])
        kept = np.flatnonzero(value)
        kept = kept[np.argsort(row[kept], kind="stable")]
        starts = np.searchsorted(row[kept], np.arange(rows))
        return starts.astype(np.int64), column[kept], value[kept]


class LinearProgram:
    """Minimise cost x within column and row bounds; each solve warm-starts from the last."""

    def __init__(
        self,
        cost: Floats,
        column_bounds: tuple[Floats, Floats],
        row_bounds: tuple[Floats, Floats],
        matrix: Coordinates,
    ) -> None:
        self.columns, self.rows = len(cost), len(row_bounds[0])
        self._solver = solver()
        starts, index, value = matrix.compressed(self.rows)
        (low, high), (row_low, row_high) = column_bounds, row_bounds
        self._check(
            self._solver.passModel(
                self.columns,
                self.rows,
                len(index),
                int(highspy.MatrixFormat.kRowwise),
                int(highspy.ObjSense.kMinimize),
                0.0,
                cost,
                low,
                high,
                row_low,
                row_high,
                starts,
                index,
                value,
                np.zeros(self.columns, dtype=np.int32),  # all continuous
            )
        )

    def bound_columns(self, columns: Ints, low: Floats, high: Floats) -> None:
        """Set the bounds of some columns."""
        self._check(self._solver.changeColsBounds(len(columns), columns, low, high))

    def bound_row(self, row: int, low: float, high: float) -> None:
        """Set the bounds of a row."""
        self._check(self._solver.changeRowBounds(row, low, high))

    def price_columns(self, columns: Ints, cost: Floats) -> None:
        """Set the costs of some columns."""
        self._check(self._solver.changeColsCost(len(columns), columns, cost))

    def add_rows(self, low: Floats, high: Floats, starts: Ints, index: Ints, value: Floats) -> None:
        """Append rows."""
        count = len(low)
        self._check(self._solver.addRows(count, low, high, len(index), starts, index, value))
        self.rows += count

    def delete_rows(self, rows: Ints) -> None:
        """Delete rows; later ones move up."""
        self._check(self._solver.deleteRows(len(rows), rows.astype(np.int32)))
        self.rows -= len(rows)

    def solve(self) -> bool:
        """Solve the programme; returns whether there is a solution.

        Raises:
            RuntimeError: if the solver gives up, or the programme is unbounded.
        """
        self._solver.run()
        status = self._solver.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return True
        infeasible = highspy.HighsModelStatus.kInfeasible
        if status not in (infeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            self._solver.clearSolver()  # discard a bad basis
            self._solver.run()
            status = self._solver.getModelStatus()
        if status == highspy.HighsModelStatus.kOptimal:
            return True
        if status in (infeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            return False
        raise RuntimeError(f"HiGHS: {self._solver.modelStatusToString(status)}")

    def solution(self) -> tuple[Floats, Floats, Floats]:
        """Values of columns, duals of rows, duals of columns (reduced costs)."""
        found = self._solver.getSolution()
        return (np.asarray(found.col_value), np.asarray(found.row_dual), np.asarray(found.col_dual))

    @staticmethod
    def _check(status: highspy.HighsStatus) -> None:
        if status == highspy.HighsStatus.kError:
            raise RuntimeError("HiGHS refused a change of the programme")

"""MATLAB values, their operations, and the limits on memory and work of a case file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sim.grid.tokens import MatlabError

MAX_ELEMENTS: Final = 50_000_000  # held at once: a case of 500,000 buses has some 30 million
MAX_WORK: Final = 2_000_000_000  # elements made in total: about ten seconds

Matrix = npt.NDArray[Any]  # of float64 or bool; two dimensions, always


@dataclass(frozen=True)
class Cells:
    """A cell array { … }: rows of values."""

    rows: "list[list[Value]]"


Value = Matrix | str | Cells | dict[str, "Value"]
Index = list[Value | None]  # None is a colon


def scalar(number: float) -> Matrix:
    """A number as a 1 x 1 matrix."""
    return np.array([[float(number)]])


def shape_of(value: Value) -> tuple[int, int]:
    """Rows and columns; a text counts as a row of characters."""
    if isinstance(value, np.ndarray):
        return value.shape[0], value.shape[1]
    if isinstance(value, str):
        return 1, len(value)
    if isinstance(value, dict):
        return 1, 1
    return len(value.rows), max(map(len, value.rows), default=0)


def size_of(value: Value) -> int:
    """Number of elements of a value, characters included."""
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    if isinstance(value, Cells):
        return sum(size_of(inner) for row in value.rows for inner in row)
    rows, columns = shape_of(value)
    return rows * columns


def matrix(value: Value) -> Matrix:
    """The value as a matrix, where only numbers are valid."""
    if not isinstance(value, np.ndarray):
        kind = {str: "a text", Cells: "a cell array"}.get(type(value), "a structure")
        raise MatlabError(f"{kind} stands where numbers should")
    return value


def floats(value: Value) -> npt.NDArray[np.float64]:
    """The value as floats; true is 1."""
    return np.asarray(matrix(value), dtype=np.float64)


def number(value: Value) -> float:
    """The value as one number, where only a scalar is valid."""
    found = floats(value)
    if found.size != 1:
        raise MatlabError(f"{found.shape[0]} x {found.shape[1]} values stand where one should")
    return float(found[0, 0])


def holds(value: Value) -> bool:
    """Whether a condition holds: it is not empty, and no element is 0."""
    return bool(matrix(value).size) and bool(matrix(value).all())


class Budget:
    """Limits on elements made and held, so that a small file cannot exhaust memory or time."""

    def __init__(self) -> None:
        self._made = 0
        self._held = 0

    def make(self, elements: float) -> None:
        """Account for elements before they are made."""
        self._made += int(min(elements, MAX_WORK + 1))
        if elements + self._held > MAX_ELEMENTS:
            raise MatlabError(f"more than {MAX_ELEMENTS:,} elements at once")
        if self._made > MAX_WORK:
            raise MatlabError(f"more than {MAX_WORK:,} elements in all")

    def hold(self, elements: int) -> None:
        """Account for elements that a variable keeps (negative: releases)."""
        self._held += elements
        if self._held > MAX_ELEMENTS:
            raise MatlabError(f"more than {MAX_ELEMENTS:,} elements at once")


def real(result: npt.NDArray[np.float64], *given: npt.NDArray[np.float64]) -> Matrix:
    """The result; rejected if numbers gave NaN, as it would then be complex."""
    if np.isnan(result).any() and not any(np.isnan(one).any() for one in given):
        raise MatlabError("the result is not a real number")
    return result


def unary(sign: str, value: Value) -> Matrix:
    if sign in ("~", "!"):
        return np.asarray(matrix(value) == 0)
    return -floats(value) if sign == "-" else floats(value)


_EACH: Final[Mapping[str, Callable[..., Matrix]]] = {
    "+": np.add, "-": np.subtract, ".*": np.multiply, "./": np.divide, ".^": np.power,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    "==": np.equal, "~=": np.not_equal, "!=": np.not_equal,
    "&": np.logical_and, "|": np.logical_or, "&&": np.logical_and, "||": np.logical_or,
}  # fmt: skip


def binary(sign: str, left: Value, right: Value, budget: Budget) -> Matrix:
    """A binary operation, as in MATLAB."""
    if isinstance(left, str) and isinstance(right, str) and sign in ("==", "~=", "!="):
        raise MatlabError("texts are compared with strcmp")
    a, b = floats(left), floats(right)
    if sign in ("&&", "||"):
        a, b = floats(scalar(holds(a))), floats(scalar(holds(b)))
    if sign in (".\\", "\\"):
        a, b, sign = b, a, "./" if sign == ".\\" else "/"
    if sign == "*" and 1 not in (a.size, b.size):
        if a.shape[1] != b.shape[0]:
            raise MatlabError(f"{_by(a)} times {_by(b)} values does not fit")
        budget.make(a.size * b.shape[1])
        return np.asarray(a @ b, dtype=np.float64)
    if sign == "/" and b.size != 1:
        raise MatlabError("division by a matrix is not evaluated here; write its result")
    if sign == "^" and (a.size != 1 or b.size != 1):
        raise MatlabError("powers of matrices are not evaluated here; write .^")
    if any(m != n and 1 not in (m, n) for m, n in zip(a.shape, b.shape, strict=True)):
        raise MatlabError(f"{_by(a)} and {_by(b)} values do not fit ({sign})")
    budget.make(max(a.shape[0], b.shape[0]) * max(a.shape[1], b.shape[1]))
    each = _EACH[sign if sign in _EACH else f".{sign}"]
    if sign in (".^", "^"):
        return real(np.asarray(each(a, b)), a, b)
    return np.asarray(each(a, b))


def _by(value: Matrix) -> str:
    return f"{value.shape[0]} x {value.shape[1]}"


def get(value: Value, index: Index, braces: bool, budget: Budget) -> Value:
    """Evaluate value(index), or value{index} of a cell array."""
    if isinstance(value, Cells):
        return _cell(value, index, braces)
    if braces:
        raise MatlabError("{ } index cell arrays only")
    held = matrix(value)
    if not index:
        return held
    if len(index) == 1:
        if index[0] is None:
            return held.T.reshape(-1, 1)  # column-major
        return _linear(held, matrix(index[0]), budget)
    if len(index) != 2:
        raise MatlabError(f"{len(index)} indices; matrices here have two dimensions")
    rows, columns = (
        _places(one, extent, grows=False) for one, extent in zip(index, held.shape, strict=True)
    )
    budget.make(len(rows) * len(columns))
    return held[np.ix_(rows, columns)]


def _linear(held: Matrix, index: Matrix, budget: Budget) -> Matrix:
    """Linear (column-major) indexing; shaped like the index, or like a vector indexed by one."""
    at = _places(index, held.size, grows=False)
    budget.make(len(at))
    found = held.T.reshape(-1)[at]
    shape = index.shape
    if index.dtype == np.bool_:
        shape = (1, len(at)) if shape[0] == 1 else (len(at), 1)
    if 1 in held.shape and held.size != 1 and 1 in shape:
        shape = (1, len(at)) if held.shape[0] == 1 else (len(at), 1)
    return np.asarray(found.reshape(shape[1], shape[0]).T)


def assign(old: Value, index: Index, value: Value, deletes: bool, budget: Budget) -> Value:
    """`old` after an assignment to a part of it; it grows as in MATLAB."""
    if isinstance(old, Cells):
        return _put_cell(old, index, value)
    if isinstance(value, str | Cells | dict):
        if not matrix(old).size and isinstance(value, str):
            return _put_cell(Cells([]), index, value)
        matrix(value)
    held, new = floats(old), floats(value)
    if len(index) == 1:
        return _put_linear(held, index[0], new, deletes, budget)
    if len(index) != 2:
        raise MatlabError(f"{len(index)} indices; matrices here have two dimensions")
    extents = list(held.shape)
    for i, one in enumerate(index):
        if one is None and held.size == 0 and not deletes:
            extents[i] = new.shape[i] if new.size != 1 else max(held.shape[i], 1)
    rows, columns = (
        _places(one, extent, grows=not deletes) for one, extent in zip(index, extents, strict=True)
    )
    if deletes:
        if index[0] is not None and index[1] is not None:
            raise MatlabError("only whole rows or columns may be deleted")
        axis = 0 if index[1] is None else 1
        return np.asarray(np.delete(held, rows if axis == 0 else columns, axis), dtype=np.float64)
    if new.size != 1 and new.shape != (len(rows), len(columns)):
        if (
            1 in new.shape
            and 1 in (len(rows), len(columns))
            and new.size == len(rows) * len(columns)
        ):
            new = new.reshape(len(rows), len(columns))
        else:
            raise MatlabError(f"{_by(new)} values do not fit {len(rows)} x {len(columns)} places")
    high = max(held.shape[0], int(rows.max(initial=-1)) + 1)
    wide = max(held.shape[1], int(columns.max(initial=-1)) + 1)
    budget.make(high * wide)
    grown = np.zeros((high, wide))
    grown[: held.shape[0], : held.shape[1]] = held
    grown[np.ix_(rows, columns)] = new
    return grown


def _put_linear(
    held: npt.NDArray[np.float64],
    index: Value | None,
    new: npt.NDArray[np.float64],
    deletes: bool,
    budget: Budget,
) -> Value:
    at = _places(index, held.size, grows=not deletes)
    upright = held.shape[1] == 1 and held.shape[0] != 1
    flat = held.T.reshape(-1)
    if deletes:
        if 1 not in held.shape:
            raise MatlabError("only whole rows or columns may be deleted")
        kept = np.delete(flat, at)
        return kept[:, None] if upright else kept[None, :]
    if new.size not in (1, len(at)):
        raise MatlabError(f"{_by(new)} values do not fit {len(at)} places")
    most = int(at.max(initial=-1)) + 1
    if most > held.size:
        if held.size and 1 not in held.shape:
            raise MatlabError(f"({most}) is beyond {_by(held)} values")
        budget.make(most)
        flat = np.concatenate([flat, np.zeros(most - held.size)])
        flat[at] = new.T.reshape(-1)
        return flat[:, None] if upright else flat[None, :]
    budget.make(held.size)
    flat = flat.copy()
    flat[at] = new.T.reshape(-1)
    return flat.reshape(held.shape[1], held.shape[0]).T


def _places(index: Value | None, extent: int, grows: bool) -> npt.NDArray[np.int64]:
    """Zero-based positions selected by an index."""
    if index is None:
        return np.arange(extent)
    given = matrix(index).T.reshape(-1)
    if given.dtype == np.bool_:
        if len(given) > extent and given[extent:].any():
            raise MatlabError(f"a condition of {len(given)} values for {extent} places")
        return np.flatnonzero(given)
    wrong = ~(given >= 1) | (given != np.floor(given)) | ~np.isfinite(given)
    if wrong.any():
        raise MatlabError(f"index {given[wrong][0]:g}: must be a whole number >= 1")
    most = MAX_ELEMENTS if grows else extent
    if len(given) and given.max() > most:
        raise MatlabError(f"index {given.max():g}: must be at most {most}")
    return given.astype(np.int64) - 1


def _cell(value: Cells, index: Index, braces: bool) -> Value:
    row, column = _cell_at(value, index)
    try:
        inner = value.rows[row][column]
    except IndexError:
        raise MatlabError(f"there is no cell {row + 1}, {column + 1}") from None
    return inner if braces else Cells([[inner]])


def _cell_at(value: Cells, index: Index) -> tuple[int, int]:
    if not 1 <= len(index) <= 2 or None in [one if one is None else 0 for one in index]:
        raise MatlabError("cells are read one at a time here: {row} or {row, column}")
    at = [int(_places(scalar(number(one)), 0, grows=True)[0]) for one in index if one is not None]
    if len(at) == 2:
        return at[0], at[1]
    rows = len(value.rows)
    return (0, at[0]) if rows == 1 else (at[0] % rows, at[0] // rows) if rows else (at[0], 0)


def _put_cell(old: Cells, index: Index, value: Value) -> Cells:
    row, column = _cell_at(old, index)
    rows = [list(one) for one in old.rows]
    if isinstance(value, Cells) and shape_of(value) == (1, 1):
        value = value.rows[0][0]
    if (
        row > len(rows)
        or (row < len(rows) and column > len(rows[row]))
        or (row == len(rows) and column)
    ):
        raise MatlabError(f"cell {row + 1}, {column + 1} leaves cells before it empty")
    if row == len(rows):
        rows.append([])
    if column == len(rows[row]):
        rows[row].append(value)
    else:
        rows[row][column] = value
    return Cells(rows)

"""The functions that case files may call."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.grid.matlab_values import (
    Budget,
    Cells,
    Matrix,
    Value,
    floats,
    matrix,
    number,
    real,
    scalar,
    shape_of,
)
from sim.grid.tokens import MatlabError

Floats2 = npt.NDArray[np.float64]


class Function(NamedTuple):
    """A function and the number of arguments it takes."""

    least: int
    most: int
    apply: Callable[[Budget, list[Value]], Value]

    def counts(self) -> str:
        """The number of arguments, in words."""
        many = f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"
        return f"{many} argument{'' if many == '1' else 's'}"


def _each(function: Callable[[Floats2], Matrix]) -> Function:
    """An element-wise function."""

    def apply(budget: Budget, given: list[Value]) -> Value:
        value = floats(given[0])
        budget.make(value.size)
        return real(np.asarray(function(value)), value)

    return Function(1, 1, apply)


def _both(function: Callable[[Floats2, Floats2], Matrix]) -> Function:
    def apply(budget: Budget, given: list[Value]) -> Value:
        a, b = floats(given[0]), floats(given[1])
        if 1 not in (a.size, b.size) and a.shape != b.shape:
            raise MatlabError("both arguments must have the same size")
        budget.make(max(a.size, b.size))
        return real(np.asarray(function(a, b)), a, b)

    return Function(2, 2, apply)


def _test(function: Callable[[Floats2], Matrix]) -> Function:
    return Function(1, 1, lambda _, given: np.asarray(function(floats(given[0]))))


def _filled(make: Callable[[int, int], Matrix]) -> Function:
    def apply(budget: Budget, given: list[Value]) -> Value:
        numbers = (
            [number(one) for one in given]
            if len(given) != 1
            else list(floats(given[0]).reshape(-1))
        )
        if len(numbers) > 2 or any(n != np.floor(n) for n in numbers):
            raise MatlabError("must be given one or two whole numbers")
        size = [max(min(n, 1e12), 0.0) for n in numbers] or [1.0]
        rows, columns = size[0], size[-1]
        budget.make(rows * columns)
        return make(int(rows), int(columns))

    return Function(0, 2, apply)


def _along(function: Callable[..., Matrix], of_none: float | None = 0.0) -> Function:
    """A function along columns, or a single row; the second argument selects the dimension."""

    def apply(budget: Budget, given: list[Value]) -> Value:
        value = floats(given[0])
        axis = 1 if value.shape[0] == 1 else 0
        if len(given) == 2:
            axis = int(number(given[1])) - 1
            if axis not in (0, 1):
                raise MatlabError("the dimension must be 1 or 2")
        if value.shape == (0, 0):
            return scalar(of_none) if of_none is not None else np.zeros((0, 0))
        budget.make(value.size)
        return np.asarray(function(value, axis))

    return Function(1, 2, apply)


def _kept(reduce: Callable[..., Matrix]) -> Callable[[Floats2, int], Matrix]:
    return lambda value, axis: np.asarray(reduce(value, axis=axis, keepdims=True))


def _extreme(both: Callable[[Floats2, Floats2], Matrix], one: Callable[..., Matrix]) -> Function:
    two, along = _both(both), _along(_kept(one), None)

    def apply(budget: Budget, given: list[Value]) -> Value:
        return two.apply(budget, given) if len(given) == 2 else along.apply(budget, given)

    return Function(1, 2, apply)


def _size(_: Budget, given: list[Value]) -> Value:
    shape = shape_of(given[0])
    if len(given) == 1:
        return np.array([shape], dtype=np.float64)
    axis = int(number(given[1]))
    if axis < 1:
        raise MatlabError("the dimension must be >= 1")
    return scalar(shape[axis - 1] if axis <= 2 else 1)


def _find(_: Budget, given: list[Value]) -> Value:
    value = matrix(given[0])
    found = np.flatnonzero(value.T.reshape(-1)) + 1.0
    return found[None, :] if value.shape[0] == 1 and value.shape[1] != 1 else found[:, None]


def _repmat(budget: Budget, given: list[Value]) -> Value:
    value, (rows, columns) = floats(given[0]), (number(given[1]), number(given[-1]))
    if min(rows, columns) < 0 or max(rows, columns) > 1e9:
        raise MatlabError("must be repeated 0 to 1e9 times")
    budget.make(value.size * rows * columns)
    return np.tile(value, (int(rows), int(columns)))


def _linspace(budget: Budget, given: list[Value]) -> Value:
    count = number(given[2]) if len(given) == 3 else 100.0
    budget.make(count)
    return np.linspace(number(given[0]), number(given[1]), int(count))[None, :]


def _sort(value: Floats2, axis: int) -> Matrix:
    return np.sort(value, axis=axis)


def _strcmp(_: Budget, given: list[Value]) -> Value:
    a, b = given
    return np.array([[isinstance(a, str) and isinstance(b, str) and a == b]])


def _isfield(_: Budget, given: list[Value]) -> Value:
    return np.array([[isinstance(given[0], dict) and given[1] in given[0]]])


def _shape(test: Callable[[tuple[int, int]], float]) -> Function:
    return Function(1, 1, lambda _, given: scalar(test(shape_of(given[0]))))


def _round(value: Floats2) -> Matrix:
    return np.asarray(np.copysign(np.floor(np.abs(value) + 0.5), value))  # halves round away from 0


def _modulo(a: Floats2, b: Floats2) -> Matrix:
    return np.asarray(np.where(b == 0.0, a, np.mod(a, np.where(b == 0.0, 1.0, b))))


FUNCTIONS: Final[Mapping[str, Function]] = {
    "sqrt": _each(np.sqrt), "exp": _each(np.exp), "log": _each(np.log), "log10": _each(np.log10),
    "log2": _each(np.log2), "abs": _each(np.abs), "sign": _each(np.sign),
    "floor": _each(np.floor), "ceil": _each(np.ceil), "fix": _each(np.trunc),
    "round": _each(_round), "sin": _each(np.sin), "cos": _each(np.cos), "tan": _each(np.tan),
    "asin": _each(np.arcsin), "acos": _each(np.arccos), "atan": _each(np.arctan),
    "sinh": _each(np.sinh), "cosh": _each(np.cosh), "tanh": _each(np.tanh),
    "deg2rad": _each(np.deg2rad), "rad2deg": _each(np.rad2deg), "double": _each(np.asarray),
    "real": _each(np.asarray), "atan2": _both(np.arctan2), "hypot": _both(np.hypot),
    "mod": _both(_modulo), "rem": _both(np.fmod), "power": _both(np.power),
    "isinf": _test(np.isinf), "isnan": _test(np.isnan), "isfinite": _test(np.isfinite),
    "logical": _test(lambda value: np.asarray(value != 0.0)),
    "not": _test(lambda value: np.asarray(value == 0.0)),
    "ones": _filled(lambda m, n: np.ones((m, n))), "zeros": _filled(lambda m, n: np.zeros((m, n))),
    "eye": _filled(lambda m, n: np.eye(m, n)),
    "sum": _along(_kept(np.sum)), "prod": _along(_kept(np.prod), 1.0),
    "mean": _along(_kept(np.mean), None), "cumsum": _along(np.cumsum, None),
    "any": _along(_kept(np.any)), "all": _along(_kept(np.all), 1.0), "sort": _along(_sort, None),
    "min": _extreme(np.fmin, np.nanmin), "max": _extreme(np.fmax, np.nanmax),
    "size": Function(1, 2, _size), "find": Function(1, 1, _find),
    "numel": _shape(lambda s: s[0] * s[1]), "length": _shape(lambda s: max(s) if min(s) else 0),
    "isempty": _shape(lambda s: s[0] * s[1] == 0), "rows": _shape(lambda s: s[0]),
    "columns": _shape(lambda s: s[1]),
    "repmat": Function(2, 3, _repmat), "linspace": Function(2, 3, _linspace),
    "strcmp": Function(2, 2, _strcmp), "isfield": Function(2, 2, _isfield),
    "cell": Function(0, 0, lambda _, __: Cells([])),
    "struct": Function(0, 0, lambda _, __: {}),
}  # fmt: skip

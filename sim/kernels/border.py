"""What comes from outside is looked at before a kernel that takes arrays on trust gets it.

An entry that was compiled for one signature reads memory as if every array had the dtype, the shape
and the layout it was compiled for. What a kernel's annotations ask for is the contract.
"""

import typing
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from operator import attrgetter
from typing import Any, Final

import numpy as np

LAYOUT: Final = attrgetter("dtype", "shape", "strides")
NUMBERS: Final = "biuf"  # kinds of dtype: bool, whole, unsigned, floating


class LayoutError(ValueError):
    """An array that a kernel cannot read: of the wrong kind or shape, or not to be written to."""


class Border:
    """The arguments of a kernel: let through when they are laid out like the examples.

    Others are converted where nothing is lost (whole numbers to floats, strided to contiguous,
    lists to arrays), or refused. The kernel's first `own` arguments do not pass here. The last
    `out` are written to: a copy would lose what is written, so they are never converted.

    Looking costs a tenth of a microsecond an array. Numbers are left to the call itself.
    """

    def __init__(
        self, function: Callable[..., Any], examples: Sequence[Any], own: int = 0, out: int = 0
    ) -> None:
        plain = getattr(function, "py_func", function)
        hints = typing.get_type_hints(plain)
        self.name = plain.__name__
        self._names = tuple(signature(plain).parameters)[own:]
        self._dtypes = tuple(
            _dtypes(hints.get(n), e) for n, e in zip(self._names, examples, strict=True)
        )
        self._first_out = len(examples) - out
        self._shapes: tuple[Any, ...] | None = None
        self.examples = self.fitted(examples)
        arrays = [i for i, e in enumerate(self.examples) if isinstance(e, np.ndarray)]
        self._arrays = tuple(arrays)
        self._tables = tuple(
            i
            for i, e in enumerate(self.examples)
            if isinstance(e, tuple) and any(isinstance(a, np.ndarray) for a in e)
        )
        self._shapes = tuple(_shapes(e) for e in self.examples)
        self._layout = self._seen(self.examples)

    def passed(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """The arguments themselves, or what they were converted to.

        Raises LayoutError for an array of the wrong kind or shape.
        """
        try:
            if self._seen(arguments) == self._layout:
                return arguments
        except (AttributeError, TypeError):
            pass  # a list, a number or nothing where an array should be
        return self.fitted(arguments)

    def fitted(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments, each converted to what the kernel reads."""
        shapes = self._shapes or (None,) * len(arguments)
        return tuple(
            self._fit(name, value, dtype, shape, place >= self._first_out)
            for place, (name, value, dtype, shape) in enumerate(
                zip(self._names, arguments, self._dtypes, shapes, strict=True)
            )
        )

    def _seen(self, arguments: Sequence[Any]) -> list[Any]:
        leaves = [arguments[i] for i in self._arrays]
        for i in self._tables:
            leaves += arguments[i]
        return [*map(LAYOUT, leaves)]

    def _fit(self, name: str, value: Any, dtype: Any, shape: Any, out: bool) -> Any:
        if dtype is None:
            return value
        if isinstance(dtype, tuple):
            if not isinstance(value, tuple) or len(value) != len(dtype):
                raise LayoutError(f"{self.name}: {name} is {type(value).__name__}, not a table")
            names = getattr(value, "_fields", range(len(value)))
            shapes = shape or (None,) * len(value)
            parts = [
                self._fit(f"{name}.{n}", v, d, s, out)
                for n, v, d, s in zip(names, value, dtype, shapes, strict=True)
            ]
            make: Any = getattr(value, "_make", tuple)
            return make(parts)
        array = as_numbers(f"{self.name}: {name}", value, dtype)
        if shape is not None and array.shape != shape:
            raise LayoutError(f"{self.name}: {name} has shape {array.shape}; it must be {shape}")
        if not out:
            return np.require(array, dtype, ("C", "A"))
        if array is not value or array.dtype != dtype or not array.flags.carray:
            raise LayoutError(
                f"{self.name}: {name} is written to; it must be a writable, contiguous array "
                f"of {dtype}"
            )
        return array


def as_numbers(name: str, value: Any, dtype: Any = np.float64) -> np.ndarray[Any, Any]:
    """`value` as an array that converts to `dtype` without loss.

    Raises LayoutError with the name for anything else: text, objects, complex numbers, ragged
    lists, fractions where whole numbers are wanted.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise LayoutError(f"{name} is not an array of numbers: {error}") from None
    wanted = np.dtype(dtype)
    same = array.dtype.kind == wanted.kind and array.dtype.itemsize <= wanted.itemsize
    safe = array.dtype.kind in NUMBERS and np.can_cast(array.dtype, wanted, "safe")
    if not (same or safe or array.size == 0):
        raise LayoutError(
            f"{name} is {array.dtype}; allowed: {wanted}, or what converts to it without loss"
        )
    return array


def _dtypes(hint: Any, example: Any) -> Any:
    """What a parameter is annotated with: a dtype, a tuple of them for a table, None for others."""
    if isinstance(example, tuple):
        return tuple(_dtypes(h, e) for h, e in zip(_fields(hint, example), example, strict=True))
    if typing.get_origin(hint) is np.ndarray:
        return np.dtype(typing.get_args(typing.get_args(hint)[1])[0])
    return example.dtype if isinstance(example, np.ndarray) else None


def _fields(hint: Any, example: tuple[Any, ...]) -> Iterator[Any]:
    if hasattr(hint, "_fields"):
        hints = typing.get_type_hints(hint)
        return (hints[name] for name in hint._fields)
    each = (typing.get_args(hint) or (None,))[0]  # tuple[each, ...]
    return (each for _ in example)


def _shapes(example: Any) -> Any:
    if isinstance(example, tuple):
        return tuple(_shapes(e) for e in example)
    return example.shape if isinstance(example, np.ndarray) else None

"""What comes from outside is looked at before a kernel that takes arrays on trust gets it.

An entry that was compiled for one signature reads memory as if every array had the dtype, the shape
and the layout it was compiled for. What a kernel's annotations ask for is the contract.
"""

import typing
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from operator import attrgetter, is_, itemgetter
from typing import Any, Final

import numpy as np

LAYOUT: Final = attrgetter("dtype", "shape", "strides")
_NOTHING: Final = object()  # no array yet
NUMBERS: Final = "biuf"  # kinds of dtype: bool, whole, unsigned, floating


class LayoutError(ValueError):
    """An array that a kernel cannot read: of the wrong kind or shape, or not to be written to."""


class Border:
    """The arguments of a kernel: let through when they are laid out like the examples.

    Others are converted where nothing is lost (whole numbers to floats, strided to contiguous,
    lists to arrays), or refused. The kernel's first `own` arguments do not pass here. The last
    `out` are written to: a copy would lose what is written, so they are never converted.

    The last `made` are the caller's own, made like the examples, and not looked at. An array that
    was looked at in an earlier call needs no second look, which would cost a tenth of a
    microsecond: those that are the same object in the first two calls are compared by identity.
    Numbers are left to the call itself.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        examples: Sequence[Any],
        own: int = 0,
        out: int = 0,
        made: int = 0,
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
        self._shapes = tuple(_shapes(e) for e in self.examples)
        seen = self.examples[: len(self.examples) - made]
        self._tables = tuple(i for i, e in enumerate(seen) if _shapes(e) and isinstance(e, tuple))
        flat = self._flat(self.examples)
        own_making = range(len(seen), len(self.examples))
        self._leaves = [
            i for i, e in enumerate(flat) if isinstance(e, np.ndarray) and i not in own_making
        ]
        self._layout = [LAYOUT(flat[i]) for i in self._leaves]
        self._count = len(flat)
        self._know(dict.fromkeys(self._leaves, _NOTHING))

    def passed(self, arguments: Sequence[Any]) -> Sequence[Any]:
        """The arguments themselves, or what they were converted to.

        Raises LayoutError for an array of the wrong kind or shape.
        """
        try:
            flat = self._flat(arguments)
            if (
                all(map(is_, self._pick_known(flat), self._known))
                and [*map(LAYOUT, self._pick_others(flat))] == self._other_layout
                and len(flat) == self._count
            ):
                return arguments
            if len(flat) == self._count and self._look(flat):
                return arguments
        except (AttributeError, IndexError, TypeError):
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

    def _flat(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """The arguments, then what the tables among them hold."""
        flat = tuple(arguments)
        for i in self._tables:
            flat += arguments[i]
        return flat

    def _look(self, flat: tuple[Any, ...]) -> bool:
        """Whether every array is laid out as it should be; who stays the same is learned."""
        if [LAYOUT(flat[i]) for i in self._leaves] != self._layout:
            return False
        known = dict(zip(self._steady, self._known, strict=True))
        self._know(
            {i: flat[i] for i in self._steady if known[i] is flat[i] or known[i] is _NOTHING}
        )
        return True

    def _know(self, arrays: dict[int, Any]) -> None:
        """These stay the same from now on; the others are looked at in each call."""
        self._steady, self._known = [*arrays], [*arrays.values()]
        others = [i for i in self._leaves if i not in arrays]
        layout = dict(zip(self._leaves, self._layout, strict=True))
        self._pick_known, self._pick_others = _picker(self._steady), _picker(others)
        self._other_layout = [layout[i] for i in others]

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


def _picker(places: Sequence[int]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda flat: [flat[i] for i in places]


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

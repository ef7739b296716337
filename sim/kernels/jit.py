"""The one decorator of all kernels, and how a caller binds one to its arrays.

Compiled once and cached on disk beside the source; no `fastmath` (it breaks NaN), no `parallel` (it
changes the order of sums). `NUMBA_DISABLE_JIT=1` runs the plain Python, `NUMBA_BOUNDSCHECK=1`
checks every index.

Numba looks only at the file of a cached function, not at the kernels it calls, and would go on with
stale code when one of those changes. So the cache folder is named after all sources of this room.
"""

from collections.abc import Callable
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numba.core import config, types

from sim.kernels.border import Border

P = ParamSpec("P")
R = TypeVar("R")
SETTINGS: Final = {"cache": True, "no_cfunc_wrapper": True}  # C code calls none of them
CACHE: Final = "CACHE_DIR"  # the setting that NUMBA_CACHE_DIR fills; read at decoration


class Entry(NamedTuple):
    """A kernel, and the types of the arguments that it is compiled for."""

    function: Callable[..., Any]
    types: tuple[Any, ...]


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays and NamedTuples of arrays."""
    return _compiled(function)


def pure_kernel(function: Callable[P, R]) -> Callable[P, R]:
    """A kernel that makes no array of its own, so that nothing need count references to arrays.

    Counting is an atomic operation for each array at each inner call: half the time of a kernel
    that calls another for every request. Its caller keeps the arrays alive.
    """
    return _compiled(function, _nrt=False)


def _compiled(function: Callable[P, R], **options: bool) -> Callable[P, R]:
    given = getattr(config, CACHE)
    setattr(config, CACHE, given or _cache_folder())
    try:
        return cast("Callable[P, R]", cast(Any, numba.njit)(**SETTINGS, **options)(function))
    finally:
        setattr(config, CACHE, given)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A piece of a kernel, copied into it: a call would count references to every array, twice."""
    return cast("Callable[P, R]", cast(Any, numba.njit)(inline="always", _nrt=False)(function))


def wrapping(function: Callable[P, R]) -> Callable[P, R]:
    """A part that means its unsigned integers to wrap around: silently, without a compiler too."""
    if getattr(config, "DISABLE_JIT", 0):
        return np.errstate(over="ignore")(function)
    return part(function)


@cache
def source_digest() -> str:
    """Short hash of all sources of this room: what was computed with other kernels is stale."""
    digest = sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _cache_folder() -> str:
    """Beside the sources where that can be written, else "" for numba's own choice."""
    folder = Path(__file__).parent / "__pycache__" / f"kernels-{source_digest()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder)


def entry(function: Callable[..., Any], *arguments: Any, ints: int = 0, floats: int = 0) -> Entry:
    """What a kernel is compiled to for these leading arguments (arrays, or numba's types of them).

    `ints` and then `floats` follow at each call.
    """
    kinds = tuple(a if isinstance(a, types.Type) else numba.typeof(a) for a in arguments)
    return Entry(function, kinds + (numba.int64,) * ints + (numba.float64,) * floats)


def bind(
    function: Callable[..., R], *arrays: Any, ints: int = 0, floats: int = 0
) -> Callable[..., R]:
    """A kernel bound to its leading arguments; `ints` and then `floats` follow at each call.

    Numba looks at the type of every array of every argument at every call: 0.5 µs an array, 20 µs
    a step. The types never change, so they are looked at once. The caller owns the arrays: what
    others hand in goes through `specialise`.
    """
    if not hasattr(function, "compile"):
        return partial(function, *arrays)
    kinds = entry(function, *arrays, ints=ints, floats=floats).types
    return partial(cast("Callable[..., R]", function.compile(kinds)), *arrays)


def specialise(
    function: Callable[..., R], *examples: Any, own: int = 0, out: int = 0, made: int = 0
) -> Callable[..., R]:
    """A kernel for arguments laid out like the examples; others are converted or refused.

    The first `own` arguments belong to the caller: they are bound, like those of `bind`, and not
    looked at again. The last `out` are written to; the last `made` the caller makes itself for
    each call, just like the examples, and they are not looked at either. Raises LayoutError, as
    the call does, for an array that cannot be read as what the kernel's annotations say.
    """
    border = Border(function, examples[own:], own, out, made)
    mine = examples[:own]
    call: Callable[..., R] = function
    if hasattr(function, "compile"):
        call = function.compile(guarded_entry(function, *examples, own=own, out=out).types)
    passed = border.passed

    def guarded(*arguments: Any) -> R:
        return call(*mine, *passed(arguments))

    return guarded


def guarded_entry(
    function: Callable[..., Any], *examples: Any, own: int = 0, out: int = 0
) -> Entry:
    """What `specialise` compiles: arguments that are not written to are read-only, whoever calls.

    So a kernel has one entry, whichever of its arrays happen to be read-only in an example.
    """
    fitted = Border(function, examples[own:], own, out).examples
    first_out = len(fitted) - out
    read = [_read_only(e) if i < first_out else e for i, e in enumerate(fitted)]
    return entry(function, *examples[:own], *read)


def _read_only(example: Any) -> Any:
    """A view that cannot be written to, of an array or of each in a table."""
    if isinstance(example, tuple):
        make: Any = getattr(example, "_make", tuple)
        return make([_read_only(e) for e in example])
    if not isinstance(example, np.ndarray):
        return example
    view = example.view()
    view.flags.writeable = False
    return view

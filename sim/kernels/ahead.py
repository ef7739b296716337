"""Kernels compiled before a run needs them: side by side where cores allow, and told one by one.

Each task leaves its kernels in the cache on disk, from where the run loads them, and a mark beside
them, so that later runs need not ask. Helpers are plain processes that are told what to do on their
input: nothing of the program that runs is imported anew, and no system needs `fork`.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, cast

import numba
from numba.core.codegen import get_host_cpu_features

from sim.kernels.jit import Entry, source_digest
from sim.types import OnProgress

MOST_HELPERS: Final = 4  # each takes some 250 MB while it compiles
HELPER: Final = "from sim.kernels.ahead import help_out; help_out()"


class Task(NamedTuple):
    """A function by its address, and its arguments; what it calls is compiled."""

    module: str
    name: str
    arguments: tuple[Any, ...]

    def do(self) -> None:
        """Do it."""
        getattr(import_module(self.module), self.name)(*self.arguments)

    def mark(self, folder: Path) -> Path:
        """The file that says that it was done with these kernels, versions and processor."""
        made_of = (
            self.module, self.name, str(self.arguments), source_digest(), numba.__version__,
            sys.version, get_host_cpu_features(),
        )  # fmt: skip
        return folder / f"done-{sha256(repr(made_of).encode()).hexdigest()[:24]}"


def compiling(entry: Entry) -> Task:
    """The task that compiles an entry."""
    plain = cast(Any, entry.function).py_func
    return Task(__name__, "compile_one", (plain.__module__, plain.__name__, entry.types))


def compile_one(module: str, name: str, types: tuple[Any, ...]) -> None:
    """Compile a kernel for these types."""
    getattr(import_module(module), name).compile(types)


def compile_ahead(
    entries: Sequence[Entry],
    progress: OnProgress,
    others: Sequence[Task] = (),
    cores: int | None = None,
) -> None:
    """Compile what was never compiled on this machine; what takes longest should stand first.

    Args:
        entries: kernels and types.
        progress: called with (done, of how many), first with 0; never where nothing is missing.
        others: tasks that compile what they call; left to the run where there is no help.
        cores: helpers to use at most; default: as many as this process may use, up to four.
    """
    if entries and hasattr(entries[0].function, "compile"):  # plain Python compiles nothing
        folder = Path(cast(Any, entries[0].function)._cache.cache_path)
        do_missing([*map(compiling, entries)], folder, progress, others, cores or usable_cores())


def do_missing(
    tasks: Sequence[Task], folder: Path, progress: OnProgress, others: Sequence[Task], cores: int
) -> None:
    """Do what has no mark in the folder yet. For the arguments see `compile_ahead`."""
    helpers = min(cores, MOST_HELPERS)
    wanted = [*tasks, *others] if helpers > 1 else tasks
    missing = {task.mark(folder): task for task in wanted}
    missing = {mark: task for mark, task in missing.items() if not mark.exists()}
    if not missing:
        return
    for mark in side_by_side(missing, progress, helpers):
        with suppress(OSError):  # where nothing can be kept, it is compiled again next time
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def side_by_side(tasks: dict[Path, Task], progress: OnProgress, helpers: int) -> Iterable[Path]:
    """Do tasks by as many helpers, or here by one; the path of each that is done, as it is.

    `progress` is called with (done, of how many), first with 0. What a helper fails to do is left
    out.
    """
    progress(0, len(tasks))
    for done, path in enumerate(_done(tasks, min(helpers, len(tasks))), 1):
        progress(done, len(tasks))
        yield path


def usable_cores() -> int:
    """Cores that this process may use; of all of them where the system does not say."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _done(missing: dict[Path, Task], helpers: int) -> Iterable[Path]:
    """The marks of what is done, as it is. What a helper fails to do is left to the run."""
    if helpers < 2:
        for mark, task in missing.items():
            task.do()
            yield mark
        return
    waiting: SimpleQueue[tuple[Path, Task]] = SimpleQueue()
    for item in missing.items():
        waiting.put(item)
    finished: SimpleQueue[Path | None] = SimpleQueue()
    workers = [_helper() for _ in range(helpers)]
    try:
        for worker in workers:
            threading.Thread(target=_lead, args=(worker, waiting, finished), daemon=True).start()
        left = helpers
        while left:
            ended = finished.get()
            if ended is None:
                left -= 1
            else:
                yield ended
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _helper() -> "subprocess.Popen[bytes]":
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", HELPER],  # -P: no module of the folder one stands in
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # who fails or is interrupted is told by the run itself
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )


def _lead(
    worker: "subprocess.Popen[bytes]",
    waiting: "SimpleQueue[tuple[Path, Task]]",
    finished: "SimpleQueue[Path | None]",
) -> None:
    """Give a helper task after task; one that dies leaves its task to the run."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(Empty, OSError, ValueError):  # none left; it died; the run was broken off
        while True:
            mark, task = waiting.get_nowait()
            worker.stdin.write(pickle.dumps(task))
            worker.stdin.flush()
            if not worker.stdout.readline():
                break
            finished.put(mark)
    finished.put(None)


def help_out() -> None:
    """What a helper does: tasks from its input, a line for each that is done."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    with suppress(EOFError):
        while True:
            pickle.load(sys.stdin.buffer).do()
            out.write(b"done\n")
            out.flush()

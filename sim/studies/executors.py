"""Executors of cells: this process, local processes, or a running Dask cluster.

All three call the same function with the same items and yield `(item, result, error)` in order of
completion; nothing else may depend on the executor.
"""

import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any, Final, Protocol, TypeVar, cast

import pyarrow as pa

from sim.results.provenance import differences, provenance
from sim.studies.cells import Frozen, Source
from sim.studies.problems import ExecutorError


class Sourced(Protocol):
    """An item that can run in another process: a dataclass with the source of its scenario."""

    @property
    def source(self) -> Source:
        """The source of the item's scenario."""


Item = TypeVar("Item", bound=Sourced)
Result = TypeVar("Result")
Task = Callable[[Item], Result]
Finished = Iterator[tuple[Item, Result | None, str]]

MOST_DEATHS: Final = 2  # of workers that run only this cell; then the cell is to blame
DASK_RETRIES: Final = 3
DASK_WINDOW: Final = 8  # cells submitted ahead per thread of the cluster
THREADS: Final = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


NO_START: Final = (
    "local processes cannot start; a script that asks for workers must be a file and begin its "
    "work under `if __name__ == '__main__':`"
)


def execute(
    task: Task[Item, Result],
    items: Iterable[Item],
    workers: int = 1,
    scheduler: str | None = None,
) -> Finished[Item, Result]:
    """Run a task for every item (a dataclass with a `source`) and yield results as they complete.

    Args:
        task: an importable function; its exceptions come back as `error`.
        items: its arguments; consumed as capacity allows.
        workers: number of local processes; 1: this process.
        scheduler: address of a running Dask scheduler (`tcp://host:port`) to use instead.

    Raises:
        ExecutorError: if dask is not installed, or the address does not answer.
    """
    if scheduler is not None:
        return _cluster(task, items, scheduler)
    return _here(task, items) if workers <= 1 else _processes(task, items, workers)


def _here(task: Task[Item, Result], items: Iterable[Item]) -> Finished[Item, Result]:
    for item in items:
        try:
            result = task(item)
        except Exception as error:  # as it would come back from another process
            yield item, None, _told(error)
        else:
            yield item, result, ""


def _processes(
    task: Task[Item, Result], items: Iterable[Item], workers: int
) -> Finished[Item, Result]:
    """Run in local processes. If a worker dies, the pool is rebuilt and no item is lost."""
    waiting = iter(items)
    with _one_thread_each():
        while fallen := (yield from _until_a_death(task, waiting, workers)):
            yield from _alone(task, fallen)


def _until_a_death(
    task: Task[Item, Result], waiting: Iterator[Item], workers: int
) -> Generator[tuple[Item, Result | None, str], None, list[Item]]:
    """Run items until none is left or a worker dies; returns the items then in progress."""
    running: dict[Future[Result], Item] = {}
    fallen: list[Item] = []
    pool = _pool(workers)
    ready = pool.submit(_ready)
    try:
        while True:
            for item in islice(waiting, 0 if fallen else 2 * workers - len(running)):
                try:
                    running[pool.submit(task, item)] = item
                except BrokenProcessPool:
                    fallen.append(item)
            if fallen and isinstance(ready.exception(), BrokenProcessPool):
                raise ExecutorError(NO_START)
            if not running:
                return fallen
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                item = running.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    fallen.append(item)
                elif error is not None:
                    yield item, None, _told(error)
                else:
                    yield item, future.result(), ""
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _alone(task: Task[Item, Result], items: Iterable[Item]) -> Finished[Item, Result]:
    """Run the items one at a time, to find the one that kills its worker."""
    pool = _pool(1)
    try:
        for item in items:
            for _ in range(MOST_DEATHS):
                try:
                    result = pool.submit(task, item).result()
                except BrokenProcessPool:
                    pool.shutdown()
                    pool = _pool(1)
                except Exception as error:  # the task's own
                    yield item, None, _told(error)
                    break
                else:
                    yield item, result, ""
                    break
            else:
                yield item, None, f"its worker died {MOST_DEATHS} times"
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork would copy held thread locks and this process's drawing state.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)


def _ready() -> None:
    """The first task of a pool; it fails only if workers cannot start."""


def _begin_worker() -> None:
    """Set up a worker: one thread, and exit when the parent is gone."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    # The parent handles Ctrl-C and lets the running cells finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started within use one thread for numerics; parallelism is across cells."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _cluster(
    task: Task[Item, Result], items: Iterable[Item], address: str
) -> Finished[Item, Result]:
    """Run on a Dask cluster. Each scenario is sent once, as bytes; items of dead workers rerun.

    A scenario is a task of its own, so that Dask recomputes it if the worker holding it dies.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        what = "a Dask cluster needs dask: pip install 'hashwatt[cluster]'"
        raise ExecutorError(what) from None
    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExecutorError(f"no Dask scheduler answers at {address}: {error}") from None
    waiting = iter(items)
    running: dict[Any, tuple[Item, int]] = {}  # with the number of workers lost on it
    lost: list[tuple[Item, int]] = []
    held: tuple[str, Any] = ("", None)
    here = provenance()
    with client, client.as_current():
        _refuse_strangers(client.run(provenance))
        window = DASK_WINDOW * max(1, sum(client.nthreads().values()))
        ready = as_completed(with_results=True, raise_errors=False)
        while True:
            anew = ((item, 0) for item in islice(waiting, window - len(running) - len(lost)))
            for item, losses in (*lost, *anew):
                if held[0] != item.source.sha256:
                    frozen = _frozen(item.source)
                    held = frozen.sha256, client.submit(_hold, frozen, pure=False)
                bare = replace(cast(Any, item), source=Frozen(held[0], b""))
                future = client.submit(
                    _with_source, task, bare, held[1], here, pure=False, retries=DASK_RETRIES
                )
                running[future] = item, losses
                ready.add(future)
            lost.clear()
            if not running:
                return
            future, result = next(ready)
            item, losses = running.pop(future)
            if future.status == "finished":
                yield item, result, ""
            elif future.status != "error" and losses < DASK_RETRIES:
                lost.append((item, losses + 1))  # the worker died holding the result
            else:
                yield item, None, f"Dask says {future.status}: {future.exception()}"


def _frozen(source: Any) -> Frozen:
    return source if isinstance(source, Frozen) else Frozen.of(source.load(), source.sha256)


def _hold(frozen: Frozen) -> Frozen:
    return frozen


def _refuse_strangers(workers: Mapping[str, dict[str, Any]]) -> None:
    """Refuse workers with other code.

    Raises:
        ExecutorError: naming every such worker.
    """
    here = provenance()
    strange = {name: what for name, made in workers.items() if (what := differences(made, here))}
    if strange:
        told = "; ".join(f"{name}: {what}" for name, what in sorted(strange.items()))
        raise ExecutorError(f"Dask workers that would give other results are refused: {told}")


def _with_source(
    task: Task[Item, Result], item: Any, source: Frozen, wanted: dict[str, Any]
) -> Result:
    what = differences(provenance(), wanted)
    if what:  # a worker that joined after the study began
        raise ExecutorError(f"worker on {socket.gethostname()}, process {os.getpid()}: {what}")
    return task(replace(item, source=source))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

"""Law 7: same cell, same bytes; serial = processes = Dask = resumed after a kill."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sim.studies.checked import CheckedExperiment
from sim.studies.sweep import sweep
from tests.conftest import ROOT
from tests.studies.conftest import AXES, Write, digests

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def test_serial_twice_and_processes_with_a_killed_worker(
    question: CheckedExperiment, tmp_path: Path
) -> None:
    serial = sweep(question, tmp_path / "serial")
    assert serial.failures == []
    assert len(digests(serial.folder)) == 24 * 6 + 9
    killed: list[int] = []

    def kill_one(done: int, _: int) -> None:
        if done and not killed:
            worker = multiprocessing.active_children()[0]
            killed.append(worker.pid or 0)
            worker.kill()

    crowd = sweep(question, tmp_path / "processes", workers=2, progress=kill_one)
    assert killed
    assert crowd.failures == []
    assert digests(crowd.folder) == digests(serial.folder)


def test_a_killed_sweep_resumes_and_redoes_only_the_rest(
    question: CheckedExperiment, write: Write, tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    file = write('policies = ["static", "merit-order"]\nseeds = 3', AXES)
    command = [sys.executable, "-m", "sim.cli", "sweep", str(file), "--out", str(out)]
    process = subprocess.Popen([*command, "--workers", "1"], env=ENVIRONMENT, cwd=ROOT)
    _wait_until(lambda: len(list(out.glob("cells/*/kpis.json"))) >= 3)
    process.kill()
    process.wait()
    assert json.loads((out / "manifest.json").read_text())["status"] == "unfinished"
    there = len(list((out / "cells").iterdir()))
    assert 3 <= there < 24
    runs: list[int] = []
    resumed = sweep(question, out, resume=True, progress=lambda done, _: runs.append(done))
    assert resumed.reused == there
    assert runs == list(range(there, 25))
    assert digests(out) == digests(sweep(question, tmp_path / "whole").folder)


def test_resuming_redoes_cells_that_are_broken_or_of_other_versions(
    question: CheckedExperiment, tmp_path: Path
) -> None:
    first = sweep(question, tmp_path / "out")
    before = digests(first.folder)
    cells = sorted((first.folder / "cells").iterdir())
    (cells[0] / "manifest.json").unlink()
    manifest = json.loads((cells[1] / "manifest.json").read_text())
    manifest["versions"]["numpy"] = "0.9"
    (cells[1] / "manifest.json").write_text(json.dumps(manifest))
    (cells[2] / "kpis.json").write_text("{")
    (cells[3] / "fleet.parquet").unlink()
    again = sweep(question, tmp_path / "out", resume=True)
    assert again.reused == 20
    assert digests(again.folder) == before


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A Dask scheduler and two workers as processes of their own, on loopback."""
    pytest.importorskip("distributed", reason="dask is not installed: pip install '.[cluster]'")
    file = tmp_path / "scheduler.json"
    python = [sys.executable, "-W", "ignore", "-m"]
    logs = (tmp_path / "dask.log").open("wb")
    common = {"env": ENVIRONMENT, "cwd": tmp_path, "stdout": logs, "stderr": logs}
    scheduler = subprocess.Popen(
        [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
         "--no-dashboard", "--scheduler-file", str(file)], **common,
    )  # fmt: skip
    workers: list[subprocess.Popen[bytes]] = []
    try:
        _wait_until(file.is_file)
        workers += [
            subprocess.Popen(
                [*python, "distributed.cli.dask_worker", "--scheduler-file", str(file),
                 "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", name,
                 "--local-directory", str(tmp_path / name)], **common,
            )
            for name in ("one", "two")
        ]  # fmt: skip
        yield json.loads(file.read_text())["address"], workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait()
        logs.close()


@pytest.mark.filterwarnings("default")  # Dask's own
def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], question: CheckedExperiment, tmp_path: Path
) -> None:
    from distributed import Client

    address, workers = cluster
    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    counts: list[int] = []

    def kill_one(done: int, _: int) -> None:
        counts.append(done)
        if done == 4:
            workers[0].kill()

    spread = sweep(question, tmp_path / "dask", scheduler=address, progress=kill_one)
    with suppress(subprocess.TimeoutExpired):
        workers[0].wait(timeout=5)
    assert workers[0].poll() not in (None, 0)
    assert counts == list(range(25))
    said = [file.read_text("utf-8") for file in (tmp_path / "dask/failures").glob("*.txt")]
    assert said == []
    assert spread.failures == []
    assert digests(spread.folder) == digests(sweep(question, tmp_path / "serial").folder)


def _wait_until(condition: object, most_s: float = 120.0) -> None:
    began = time.monotonic()
    while not condition():  # type: ignore[operator]
        assert time.monotonic() - began < most_s, "waited in vain"
        time.sleep(0.02)

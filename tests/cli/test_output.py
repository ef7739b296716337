"""Where an output cannot be: one line before anything runs, whatever the command."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.results.folder import claim
from tests.conftest import ROOT

TINY = str(ROOT / "configs" / "tiny")
runner = CliRunner()

EXPERIMENT = f'scenario = "{(ROOT / "configs" / "tiny").as_posix()}"\nseeds = 1\n'
COMMANDS: dict[str, list[str]] = {
    "run": ["run", TINY, "--days", "1"],
    "sweep": ["sweep", "asked.toml", "--workers", "1"],
    "compare": ["compare", TINY, "--policy", "static", "--policy", "merit-order", "--seeds", "2"],
    "tornado": ["tornado", TINY, "--days", "1", "--kpi", "gross_margin_usd"],
    "bound": ["bound", TINY, "--days", "1"],
}
Fault = Callable[[Path, pytest.MonkeyPatch], Path]


def a_file(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    (folder / "out").write_text("mine")
    return folder / "out"


def below_a_file(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    return a_file(folder, patch) / "deeper"


def full(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    return refusing(folder, patch, errno.ENOSPC)


def read_only(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    return refusing(folder, patch, errno.EROFS)


def too_large(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    return refusing(folder, patch, errno.EFBIG)


def refusing(folder: Path, patch: pytest.MonkeyPatch, number: int) -> Path:
    """A folder in which no file of any length can be written."""
    write = Path.write_bytes

    def refused(file: Path, data: bytes) -> int:
        if len(data) > 1 << 20:
            raise OSError(number, os.strerror(number), str(file))
        return write(file, data)

    patch.setattr(Path, "write_bytes", refused)
    return folder / "out"


FAULTS: dict[Fault, str] = {
    a_file: "exists and is not a folder",
    below_a_file: "out",
    full: "No space left on device",
    read_only: "Read-only file system",
    too_large: "File too large",
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an experiment, in which no run gets as far as to begin."""
    (tmp_path / "asked.toml").write_text(EXPERIMENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("the run began, and would have been lost")

    for name in ("sim.runner.run", "sim.studies.sweep.run_cells", "sim.studies.compare.run_cells",
                 "sim.studies.tornado.tornado", "sim.studies.bound.bound"):  # fmt: skip
        monkeypatch.setattr(name, reached)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_an_output_that_cannot_be_is_told_in_one_line_before_the_run(
    here: Path, monkeypatch: pytest.MonkeyPatch, command: str, fault: Fault
) -> None:
    out = fault(here, monkeypatch)
    done = runner.invoke(app, [*COMMANDS[command], "--out", str(out)])
    assert done.exit_code == 1, done.output
    told = [x for x in done.stderr.splitlines() if not x.startswith(("warning: ", "loading "))]
    assert len(told) == 1, done.stderr
    assert FAULTS[fault] in told[0]
    assert done.stdout == ""
    if (here / "out").is_file():
        assert (here / "out").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_two_commands_in_a_folder_do_not_meet(here: Path, command: str) -> None:
    with claim(here / "out", "run", "a"):
        done = runner.invoke(app, [*COMMANDS[command], "--out", str(here / "out")])
    assert done.exit_code == 1, done.output
    told = [x for x in done.stderr.splitlines() if not x.startswith(("warning: ", "loading "))]
    assert len(told) == 1, done.stderr
    assert f"is being written by process {os.getpid()} on " in told[0]
    assert not (here / "out").exists()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        done = runner.invoke(app, [*COMMANDS["run"], "--out", str(tmp_path / "out")])
    finally:
        tmp_path.chmod(0o700)
    assert done.exit_code == 1
    assert "Permission denied" in done.stderr


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from sim.cli import main
sys.argv = ["hashwatt", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of the length of files")
def test_a_limit_of_the_length_of_files_is_met_before_the_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIMITED, *COMMANDS["run"], "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.strip().splitlines() == [
        f"loading {COMMANDS['run'][1]}",
        f"{tmp_path / 'out'} does not take a file of 4 MiB: File too large",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_during_the_run_costs_the_tables_but_not_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    first = runner.invoke(app, [*COMMANDS["run"], "--out", str(out)])
    assert first.exit_code == 0, first.output
    before = {f.name: f.read_bytes() for f in out.iterdir()}

    def full_now(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq, "write_table", full_now)
    second = runner.invoke(app, [*COMMANDS["run"], "--out", str(out)])
    assert second.exit_code == 1
    assert second.stdout == first.stdout
    assert "the run ended, but could not be written" in second.stderr
    assert "Traceback" not in second.stderr
    assert {f.name: f.read_bytes() for f in out.iterdir()} == before

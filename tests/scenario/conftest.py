"""Shared by the tests of broken scenarios: a folder to break, and what the command says of it."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.cli import main
from tests.conftest import ROOT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the smallest shipped scenario, where no recorded data are known."""
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    copy = tmp_path / "broken"
    shutil.copytree(ROOT / "configs/tiny", copy)
    return copy


Check = Callable[[], tuple[int, str]]


@pytest.fixture
def check(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """`hashwatt check FOLDER`: its exit code and all that it says."""

    def run() -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hashwatt", "check", str(folder)])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), "".join(capsys.readouterr())

    return run

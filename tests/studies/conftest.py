"""Small experiments: a day of two sites in hourly steps."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.studies.checked import CheckedExperiment, check_experiment
from tests.conftest import ROOT

QUICK = "horizon.days = 1\nhorizon.step_s = 3600\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write an experiment on configs/tiny; `head` are top-level keys, `tables` what follows."""

    def written(head: str = "", tables: str = "", name: str = "question") -> Path:
        file = tmp_path / f"{name}.toml"
        scenario = "" if "scenario =" in head else f'scenario = "{ROOT / "configs/tiny"}"\n'
        file.write_text(f"{scenario}{head}\n[changes]\n{QUICK}{tables}\n")
        return file

    return written


AXES = """
[axes.prices.usual]
[axes.prices.dear]
prices.zones.west.mean_usd_per_mwh = 60
prices.zones.north.mean_usd_per_mwh = 60
[axes.limit.ten]
"sites.*.power_limit_mw" = 10
[axes.limit.five]
"sites.*.power_limit_mw" = 5
"""


@pytest.fixture
def question(write: Write) -> CheckedExperiment:
    """Two axes of two levels, two policies, three seeds: 24 cells."""
    return check_experiment(write('policies = ["static", "merit-order"]\nseeds = 3', AXES))


def digests(folder: Path) -> dict[str, str]:
    """Every file's bytes by its path, but for timing.json, which may differ."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "timing.json"
    }

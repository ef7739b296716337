"""What made a result: other code or other versions are other results."""

import importlib
import sys
from pathlib import Path

import pytest

from sim.results import provenance as room
from sim.results.provenance import differences, policy_sha256, provenance, sha256_of
from sim.studies.cells import Cell, Frozen, run_cell
from sim.studies.executors import _refuse_strangers
from sim.studies.problems import ExecutorError
from sim.studies.sweep import sweep
from tests.studies.conftest import Write

POLICY = """
from helped import STATIC
class Mine(STATIC):
    pass
"""
HELP = "from sim.policies.static import Static as STATIC\n"


def renew(folder: Path, module: str, text: str) -> None:
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    for name in ("authored", "helped"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    policy_sha256.cache_clear()


def test_the_same_content_in_another_order_has_the_same_digest() -> None:
    parameters = {"a": 1, "b": {"c": 2.0, "d": "x"}}
    turned = {"b": {"d": "x", "c": 2.0}, "a": 1}
    assert sha256_of(parameters=parameters, seed=1) == sha256_of(seed=1, parameters=turned)
    assert sha256_of(parameters=parameters, seed=1) != sha256_of(parameters=parameters, seed=2)


@pytest.fixture
def authored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    renew(tmp_path, "helped", HELP)
    renew(tmp_path, "authored", POLICY)
    return tmp_path


@pytest.mark.parametrize("edited", ["authored", "helped"])
def test_an_edited_policy_is_run_anew_and_said(authored: Path, write: Write, edited: str) -> None:
    file, out = write('policies = ["static", "authored:Mine"]'), authored / "out"
    assert sweep(file, out, allow_code=True).reused == 0
    assert sweep(file, out, allow_code=True, resume=True).reused == 2
    text = {"authored": POLICY, "helped": HELP}[edited]
    renew(authored, edited, f"{text}# another word\n")
    again = sweep(file, out, allow_code=True, resume=True)
    assert again.reused == 1
    assert dict(again.outdated) == {"other sources of the policy": 1}
    assert len(list((out / "cells").iterdir())) == 2
    renew(authored, edited, text.replace("\n", "\r\n"))
    monotone = policy_sha256(importlib.import_module("authored").Mine)
    renew(authored, edited, text)
    assert policy_sha256(importlib.import_module("authored").Mine) == monotone


def test_workers_of_other_versions_or_sources_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = provenance()
    assert differences(here, here) == ""
    _refuse_strangers({"tcp://a": here})
    other = {**here, "versions": {**here["versions"], "highspy": "1.14"}}
    wanted = here["versions"]["highspy"]
    with pytest.raises(ExecutorError, match=f"tcp://b: highspy 1.14 instead of {wanted}$"):
        _refuse_strangers({"tcp://a": here, "tcp://b": other})
    cell = Cell(Frozen("0", b""), "static", {}, 1, expected="0" * 64)
    assert "other code or versions" in run_cell(cell).error
    key = Cell(Frozen("0", b""), "static", {}, 1).key
    monkeypatch.setattr(room, "versions", lambda: other["versions"])
    assert Cell(Frozen("0", b""), "static", {}, 1).key != key

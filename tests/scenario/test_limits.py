"""How large a scenario may be, and values that no run can follow: refused before it begins."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sim.scenario import ScenarioError, load
from sim.scenario.problems import Problem
from sim.scenario.toml import read_toml

TINY = "configs/tiny"


def told(changes: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(ScenarioError) as refused:
        load(TINY, changes)
    return refused.value.problems


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no target": (
        {"network.bits": "0x00000000"},
        "network.bits = '0x00000000': must be the compact",
    ),
    "negative": ({"network.bits": "0x04923456"}, "'0x04923456': must be the compact form"),
    "too easy": ({"network.bits": "0x1e00ffff"}, "at most that of difficulty 1, 0x1d00ffff"),
    "year 1": ({"horizon.start_utc": datetime(1, 1, 1, tzinfo=UTC)}, "years are 1970 to 2200"),
    "year 9999": ({"horizon.start_utc": datetime(9999, 1, 1, tzinfo=UTC)}, "9999 is too far"),
    "no time at all": ({"horizon.days": 1e-9}, "at least one"),
    "more than the network": ({"network.hashrate_ehs": 1e-9}, "the fleet alone has"),
    "failures": (
        {"faults.enabled": True, "faults.asic.mtbf_h": 1e-6},
        "times in the run; must be at most 20,000,000",
    ),
    "steps": ({"horizon.days": 36_600, "horizon.step_s": 60}, "must be at most 100,000,000"),
    "a long name": ({"description": "x" * 5000}, "at most 1000 characters"),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name: str) -> None:
    changes, words = WRONG[name]
    assert words in "\n".join(map(str, told(changes)))


def test_a_sheet_of_a_million_rows_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(f'extends = "{Path(TINY).resolve().as_posix()}"\n')
    (tmp_path / "sites.csv").write_text("name,climate\n" + "a,b\n" * 30_000, encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"sites.csv: must be at most 20,000 rows"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = " + "{a=" * 100_000, "nested too deeply"),
        (".".join("a" * 100_000) + " = 1", "line 1: a key must have at most 32 parts"),
        ("[" + " . ".join(['"a"'] * 10_000) + "]", "line 1: a key must have at most 32 parts"),
        ("x = " + "9" * 5000, "4300 digits"),
        ("x = 0x" + "f" * 5000, "line 1: a number has too many digits"),
        ("x = 1\n" * 200_000, "must be at most 1,000,000 bytes"),
    ],
)
def test_toml_within_bounds(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load(tmp_path)
    assert words in str(refused.value)


def test_toml_with_a_byte_order_mark_and_long_sentences(tmp_path: Path) -> None:
    text = 'description = "' + "etc. " * 100 + '"\nx.y = "a.b.c"\n'
    (tmp_path / "x.toml").write_text(text, encoding="utf-8-sig")
    assert read_toml(tmp_path / "x.toml")["x"] == {"y": "a.b.c"}


def test_what_a_reader_left_out_is_said(tmp_path: Path) -> None:
    trace = "arrival_s,prompt_tokens,output_tokens\n5,10,3\n1,10,0\n2,10,3\n"
    (tmp_path / "t.csv").write_text(trace, encoding="utf-8")
    scenario = load(TINY, {"demand.traces.t.file": str(tmp_path / "t.csv")}, allow_path=True)
    told = "\n".join(map(str, scenario.warnings))
    assert "demand.traces.t.file" in told
    assert "1 requests without output tokens are left out" in told
    assert "not in order of arrival and have been sorted" in told

"""How large a scenario may be, and values that no run can follow: refused before it begins."""

import pkgutil
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import sim.scenario
from sim.scenario import ScenarioError, load
from sim.scenario.problems import Problem
from sim.scenario.quantity import Table, kinds
from sim.scenario.toml import read_toml

TINY = "configs/tiny"
MODULES = [
    *(f"sim.scenario.{m.name}" for m in pkgutil.iter_modules(sim.scenario.__path__)),
    "sim.studies.experiment",
    "sim.studies.buildout.question",
]


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


def tables() -> list[type[Table]]:
    """Every table of a scenario, of its sheets, of an experiment and of a build-out."""
    found = {v for m in MODULES for v in vars(import_module(m)).values() if isinstance(v, type)}
    return sorted((t for t in found if issubclass(t, Table)), key=lambda t: t.__qualname__)


@pytest.mark.parametrize("value", [1e30, -1e30, float("inf"), float("nan")])
def test_no_number_with_a_unit_is_beyond_reason(value: float) -> None:
    """Prices, powers, counts: each key of each table, alone or in a table of names."""
    tried = 0
    for table in tables():
        for name, field in table.model_fields.items():
            extra = field.json_schema_extra
            unit = extra.get("unit", "") if isinstance(extra, dict) else ""
            numbers = [k for k in kinds(field.annotation) if k in (float, int)]
            by_name = "dict[str" in str(field.annotation) and "float" in str(field.annotation)
            if unit in ("", "UTC") or not (numbers or by_name):
                continue
            given = {field.alias or name: {"x": value} if by_name else value}
            with pytest.raises(ValidationError) as refused:
                table.model_validate(given)
            where = {error["loc"][0] for error in refused.value.errors() if error["loc"]}
            assert where & {name, field.alias}, f"{table.__name__}.{name}"
            tried += 1
    assert tried > 350


def test_what_is_infinite_is_told_to_be() -> None:
    (problem,) = told({"horizon.days": float("inf")})
    assert str(problem).endswith("horizon.days = inf: must be a finite number in d")


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
    traces = {"t": {"file": str(tmp_path / "t.csv")}}
    scenario = load(TINY, {"demand.traces": traces}, allow_path=True)
    told = "\n".join(map(str, scenario.warnings))
    assert "demand.traces.t.file" in told
    assert "1 requests without output tokens are left out" in told
    assert "not in order of arrival and have been sorted" in told

"""The changes that the sample of mutants draws from."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def mutants() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutants", ROOT / "experiments/mutants.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["mutants"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a + b * c", {"(a - b * c)", "(b / c)"}),
        ("a < 2", {"(a <= 2)", "(a >= 2)", "3"}),
        ("a == b", {"(a != b)"}),
        ("x = y and not z", {"(y or not z)", "(z)"}),
        ("x.y = 1.5", {"pass", "1.6500000000000001"}),
        ("x += 1", {"pass", "2"}),
        ("f(max(a, b))", {"pass", "min"}),
        ("if a:\n    b = True", {"(not a)", "False"}),
        ("x = p if q else r", {"(r if q else p)"}),
        ('x = "red"', {"'changed red'"}),
        ('def f(a: int = 1) -> "X":\n    """Text."""\n    return -a', {"2", "(a)"}),
        ("assert a < 1", set()),
    ],
)
def test_one_thing_changes(mutants: ModuleType, source: str, changes: set[str]) -> None:
    made = mutants.mutants_of(source)
    assert {m.new for m in made} == changes
    assert all(mutants.differs(source, m.text) for m in made)


def test_columns_count_bytes_and_lines_are_those_of_the_statement(mutants: ModuleType) -> None:
    source = 'a = "ä"\nif b(\n    "ö", 1 + 2\n):\n    c = 3\n'
    by_new = {m.new: m for m in mutants.mutants_of(source)}
    assert by_new["(1 - 2)"].text == source.replace("1 + 2", "(1 - 2)")
    assert by_new["(1 - 2)"].lines == (2, 4)
    assert by_new["4"].lines == (5, 5)
    assert not mutants.differs("a = 1", "a  = 1")

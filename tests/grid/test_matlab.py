"""The evaluator of case files: as MATLAB would, or refused by line."""

import numpy as np
import pytest

from sim.grid.matlab import evaluate
from sim.grid.tokens import MatlabError

# Each right side as GNU Octave 7.3 evaluates it.
VALUES = {
    "50/3": [[50 / 3]],
    "[135/sqrt(3) 12/sqrt(3), 1]": [[135 / 3**0.5, 12 / 3**0.5, 1]],
    "[1 -2]": [[1, -2]],
    "[1 - 2]": [[-1]],
    "[1 -2 + 3]": [[1, 1]],
    "[1, 2\n 3, 4 % five\n]": [[1, 2], [3, 4]],
    "[1 2 ... three\n 3]": [[1, 2, 3]],
    "[1 2;\n%{\n 5 6\n%}\n 3 4]": [[1, 2], [3, 4]],
    "[1;2;]'": [[1, 2]],
    "[[1;2]' 3]": [[1, 2, 3]],
    "-2^2": [[-4]],
    "2^-1": [[0.5]],
    "2^3^2": [[64]],
    "2.^[1 2]": [[2, 4]],
    "1./[1 2]": [[1, 0.5]],
    "~0 + 1": [[2]],
    "1:3": [[1, 2, 3]],
    "3:-1:1": [[3, 2, 1]],
    "0:0.5:1": [[0, 0.5, 1]],
    "(1:2)'*[3 4]": [[3, 4], [6, 8]],
    "a(2, :)": [[3, 4]],
    "a(:, end)": [[2], [4]],
    "a(end)": [[4]],
    "a(:)'": [[1, 3, 2, 4]],
    "a(a > 2)'": [[3, 4]],
    "a([1 2], [2 1])": [[2, 1], [4, 3]],
    "sum(a)": [[4, 6]],
    "sum(a, 2)'": [[3, 7]],
    "max(a(:, 1))": [[3]],
    "size(a, 1) * ones(1, 2)": [[2, 2]],
    "[size(ones(2, 3), 1), size(ones(2, 3), 2), size(ones(2, 3), 3)]": [[2, 3, 1]],
    "find(a(:, 1) == 3)": [[2]],
    "find([0 1 1])": [[2, 3]],
    "find([0 1; 1 0])": [[2], [3]],
    "sin(acos(0.85))": [[np.sin(np.arccos(0.85))]],
    "1e3 + 1d1": [[1010]],
    "round(-2.5)": [[-3]],
    "mod(-1, 3)": [[2]],
    "isempty([])": [[1]],
    "pi": [[np.pi]],
}


@pytest.mark.parametrize("right", VALUES)
def test_expressions(right: str) -> None:
    found = evaluate(f"a = [1 2; 3 4];\nx = {right};\n").values["x"]
    assert isinstance(found, np.ndarray)
    assert np.asarray(found, dtype=float).tolist() == VALUES[right]


AFTER = {  # statements on a = [1 2; 3 4], and what they leave of it
    "a(1, 2) = 9;": [[1, 9], [3, 4]],
    "a(:, 2) = a(:, 2) / 2;": [[1, 1], [3, 2]],
    "a(:, 3) = 1;": [[1, 2, 1], [3, 4, 1]],
    "a(3, :) = [5 6];": [[1, 2], [3, 4], [5, 6]],
    "a(1, :) = [];": [[3, 4]],
    "a(a > 2) = 0;": [[1, 2], [0, 0]],
    "a(end + 1, :) = 7": [[1, 2], [3, 4], [7, 7]],
    "fixed = 0; if fixed, a = 1; elseif 2 > 1, a(1) = 5; else, a = 3; end": [[5, 2], [3, 4]],
    "if 0\n for k = 1:3, if k, end, end\n end": [[1, 2], [3, 4]],
    "if 0\n unwind_protect, b = 1; end\n a = 5; end": [[1, 2], [3, 4]],
    "define_constants; a(1, PD - 1) = QD;": [[1, 4], [3, 4]],
    "[~, b] = idx_cost; a(b) = 8;": [[1, 2], [8, 4]],
    "a = [1 2]; a([1 4]) = 9;": [[9, 2, 0, 9]],
    "a = a'; return; nonsense": [[1, 3], [2, 4]],
}


@pytest.mark.parametrize("statements", AFTER)
def test_statements(statements: str) -> None:
    found = evaluate(f"a = [1 2; 3 4];\n{statements}\n").values["a"]
    assert isinstance(found, np.ndarray)
    assert found.tolist() == AFTER[statements]


REFUSED = {
    "for k = 1:3\nend": "`for` is not evaluated here",
    "x = nonsense;": "'nonsense' is neither a value set before nor a function known here",
    "x = a * [1 2 3];": "2 x 2 times 1 x 3 values does not fit",
    "x = [1 2; 3];": "x row 2: 1 columns; must be 2 as in row 1",
    "x = [1 2; ones(2, 2); 3];": "x row 4: 1 columns; must be 2 as in row 1",
    "x = sqrt(-1);": "the result is not a real number",
    "x = a(3, 1);": "index 3: must be at most 2",
    "x = a(1.5);": "index 1.5: must be a whole number >= 1",
    "x = [1 2": "'[' is not closed",
    "x = 1 2": "'2' is not understood there",
    "x = 'it": "does not end",
    "x = 1_000;": "is not understood",
    "x = zeros(1e6, 1e6);": "elements at once",
    "x = 1:1e12;": "elements at once",
    "x(1e9, 1e9) = 1;": "must be at most 50000000",
    "x = " + "[" * 100_000: "brackets are nested more than 50 deep",
    "x = " + "-" * 100_000 + "1;": "nested more than 100 deep",
    "x = mpc.a;": "'mpc' is neither",
    "clear all": "'clear' is neither",
    "function f = g": "a second function",
    "%{\nno end": "%{ is not closed",
    "if 1, x = 2;": "is not closed",
    "@x": "stands where a value should",
    "x = a(1, 2": "'(' is not closed",
    "x = {1, 'b'} + 1;": "a cell array stands where numbers should",
    "s.a = 1; x = s + 1;": "a structure stands where numbers should",
    "[x, y] = size(a);": "may give several values",
}


@pytest.mark.parametrize("statement", REFUSED)
def test_refused_by_line(statement: str) -> None:
    with pytest.raises(MatlabError) as refused:
        evaluate(f"a = [1 2; 3 4];\n{statement}\n")
    assert REFUSED[statement] in str(refused.value)
    assert str(refused.value).startswith("line ")


def test_long_sums_are_no_deep_ones() -> None:
    found = evaluate("x = " + "1 + " * 50_000 + "1;").values["x"]
    assert isinstance(found, np.ndarray)
    assert found[0, 0] == 50_001


def test_ragged_rows_are_padded_and_none_is_lost() -> None:
    found = evaluate("m.costs = [ones(2, 3); 1 2];", ragged="costs").values["m"]
    assert isinstance(found, dict)
    assert np.asarray(found["costs"]).tolist() == [[1, 1, 1], [1, 1, 1], [1, 2, 0]]

"""Expressions in case files, parsed and evaluated token by token."""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from sim.grid.matlab_functions import FUNCTIONS
from sim.grid.matlab_values import (
    Budget,
    Cells,
    Index,
    Matrix,
    Value,
    binary,
    get,
    matrix,
    number,
    scalar,
    shape_of,
    unary,
)
from sim.grid.tokens import MatlabError, Token

_LEVELS: Final[Mapping[str, int]] = {
    "||": 1, "&&": 2, "|": 3, "&": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "==": 5, "~=": 5, "!=": 5,
    ":": 6, "+": 7, "-": 7, "*": 8, "/": 8, ".*": 8, "./": 8, "\\": 8, ".\\": 8,
}  # fmt: skip
_RANGE: Final = 6
_UNARY: Final = 9
MAX_DEPTH: Final = 100  # nesting of signs and brackets
_CONSTANTS: Final = {
    "pi": math.pi, "Inf": math.inf, "inf": math.inf, "NaN": math.nan, "nan": math.nan,
    "eps": float(np.finfo(float).eps), "true": 1.0, "false": 0.0,
}  # fmt: skip


class Expressions:
    """Evaluates the expression at position `at`, and advances past it."""

    def __init__(self, words: list[Token], ragged: str) -> None:
        self.words = words
        self.at = 0
        self.values: dict[str, Value] = {}
        self.ragged = ragged
        self.target = ""  # target of the statement's assignment, for messages about its matrix
        self.budget = Budget()
        self._indexed: list[int] = []  # value of `end` in the indices being read
        self._depth = 0
        self._in_list = False  # within [ ] or { }, where blanks separate values

    # Tokens

    def sees(self, text: str) -> bool:
        word = self.words[self.at]
        return word.kind == "op" and word.text == text

    def take(self, text: str) -> None:
        if not self.sees(text):
            raise MatlabError(f"{self.words[self.at].text!r} stands where {text!r} should")
        self.at += 1

    def name(self) -> str:
        word = self.words[self.at]
        if word.kind != "name":
            raise MatlabError(f"{word.text!r} stands where a name should")
        self.at += 1
        return word.text

    # Expressions

    def expression(self, level: int = 1) -> Value:
        left = self._unary()
        while True:
            word = self.words[self.at]
            at_level = _LEVELS.get(word.text, 0) if word.kind == "op" else 0
            if at_level < level or at_level == 0 or self._parts_here(word):
                return left
            self.at += 1
            right = self.expression(at_level + 1)
            if at_level == _RANGE:
                left = self._range(left, right)
            else:
                left = binary(word.text, left, right, self.budget)

    def _parts_here(self, word: Token) -> bool:
        """Whether a sign within [ ] starts a value: a blank before it and none after, [1 -2]."""
        return (
            self._in_list
            and word.text in ("+", "-")
            and word.gap
            and not self.words[self.at + 1].gap
            and self.words[self.at + 1].kind != "end"
        )

    def _range(self, first: Value, second: Value) -> Value:
        step, last = scalar(1), second
        if self.sees(":"):
            self.at += 1
            step, last = matrix(second), self.expression(_RANGE + 1)
        a, d, b = (number(value) for value in (first, step, last))
        if not all(map(math.isfinite, (a, d, b))) or d == 0.0:
            raise MatlabError("a range must be of finite numbers with a step other than 0")
        count = max(math.floor((b - a) / d * (1.0 + 1e-15) + 1e-10) + 1, 0)
        self.budget.make(count)
        return (a + d * np.arange(count))[None, :]

    def _unary(self) -> Value:
        word = self.words[self.at]
        if word.kind == "op" and word.text in ("-", "+", "~", "!"):
            self.at += 1
            self._deeper()
            inner = self.expression(_UNARY)
            self._depth -= 1
            return unary(word.text, inner)
        value = self._postfix()
        while self.words[self.at].kind == "op" and self.words[self.at].text in ("^", ".^"):
            text = self.words[self.at].text
            self.at += 1
            value = binary(text, value, self._exponent(), self.budget)
        return value

    def _exponent(self) -> Value:
        word = self.words[self.at]
        if word.kind == "op" and word.text in ("-", "+", "~", "!"):
            self.at += 1
            self._deeper()
            inner = self._exponent()
            self._depth -= 1
            return unary(word.text, inner)
        return self._postfix()

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MatlabError(f"signs and brackets are nested more than {MAX_DEPTH} deep")

    def _postfix(self) -> Value:
        value = self._primary()
        while True:
            word = self.words[self.at]
            if word.kind != "op":
                return value
            if word.text in ("'", ".'") and not (self._in_list and word.gap):
                self.at += 1
                value = matrix(value).T
            elif word.text in ("(", "{") and not (self._in_list and word.gap):
                index = self.indices(value)
                value = get(value, index, word.text == "{", self.budget)
            elif word.text == "." and isinstance(value, dict):
                self.at += 1
                field = self.name()
                if field not in value:
                    raise MatlabError(f"there is no field {field!r} yet")
                value = value[field]
            else:
                return value

    def _primary(self) -> Value:
        word = self.words[self.at]
        self.at += 1
        if word.kind == "number":
            return scalar(float(word.text.replace("d", "e").replace("D", "e")))
        if word.kind == "text":
            return word.text
        if word.kind == "rows":
            return self._rows(word)
        if word.kind == "name":
            return self._named(word.text)
        if word.kind == "op" and word.text in ("(", "[", "{"):
            self._deeper()
            outer, self._in_list = self._in_list, word.text != "("
            try:
                if word.text == "(":
                    value = self.expression()
                    self.take(")")
                else:
                    value = self._list("]" if word.text == "[" else "}")
            finally:
                self._in_list = outer
            self._depth -= 1
            return value
        raise MatlabError(f"{word.text.strip() or 'the end'!r} stands where a value should")

    def _named(self, name: str) -> Value:
        if name == "end" and self._indexed:
            return scalar(self._indexed[-1])
        if name in self.values:
            return self.values[name]
        if name in _CONSTANTS:
            return scalar(_CONSTANTS[name])
        if name not in FUNCTIONS:
            raise MatlabError(f"{name!r} is neither a value set before nor a function known here")
        arguments: list[Value] = []
        if self.sees("(") and not (self._in_list and self.words[self.at].gap):
            for given in self.indices(None):
                if given is None:
                    raise MatlabError(f"{name}(:) makes no sense")
                arguments.append(given)
        function = FUNCTIONS[name]
        if not function.least <= len(arguments) <= function.most:
            raise MatlabError(f"{name} takes {function.counts()}, not {len(arguments)}")
        return function.apply(self.budget, arguments)

    def indices(self, of: Value | None) -> Index:
        """Parse the indices (i, j) or {i}; None is a colon."""
        close = ")" if self.words[self.at].text == "(" else "}"
        self.at += 1
        self._deeper()
        outer, self._in_list = self._in_list, False
        found: Index = []
        try:
            while not self.sees(close):
                if found:
                    self.take(",")
                if of is not None:
                    self._indexed.append(self._span(of, len(found)))
                after = self.words[self.at + 1]
                if self.sees(":") and after.kind == "op" and after.text in (",", close):
                    self.at += 1
                    found.append(None)
                else:
                    found.append(self.expression())
                if of is not None:
                    self._indexed.pop()
        finally:
            self._in_list = outer
        self.at += 1
        self._depth -= 1
        return found

    def _span(self, of: Value, place: int) -> int:
        """The value of `end` at a place in an index: columns at the second place, else all."""
        rows, columns = shape_of(of)
        depth, i = 0, self.at
        more = place > 0
        while not more and i < len(self.words) and depth >= 0:
            text = self.words[i].text if self.words[i].kind == "op" else ""
            depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            more = depth == 0 and text == ","
            i += 1
        return (columns if place else rows) if more else rows * columns

    # Matrices and cells

    def _rows(self, word: Token) -> Value:
        count = sum(map(len, word.rows))
        self.budget.make(count)
        if not word.rows:
            return np.zeros((0, 0))
        width = len(word.rows[0])
        for at, row in enumerate(word.rows, 1):
            if len(row) != width:
                return self._padded([list(row) for row in word.rows], at)
        return np.array(word.rows)

    def _padded(self, rows: list[list[float]], at: int) -> Matrix:
        if not self.target.endswith(f".{self.ragged}") or not self.ragged:
            raise MatlabError(
                f"{self.target or 'matrix'} row {at}: {len(rows[at - 1])} columns; "
                f"must be {len(rows[0])} as in row 1"
            )
        width = max(map(len, rows))
        self.budget.make(width * len(rows))
        return np.array([row + [0.0] * (width - len(row)) for row in rows])

    def _list(self, close: str) -> Value:
        """Parse the rest of [ … ] or { … }."""
        rows: list[list[Value]] = []
        row: list[Value] = []
        comma = True  # a value may follow without a blank
        while not self.sees(close):
            word = self.words[self.at]
            if word.kind == "op" and word.text == ";":
                self.at += 1
                if row:
                    rows.append(row)
                row, comma = [], True
                continue
            if word.kind == "op" and word.text == ",":
                if comma:
                    raise MatlabError(f"nothing stands before ',' in row {len(rows) + 1}")
                self.at += 1
                comma = True
                continue
            if not comma and not word.gap and word.kind != "text":
                raise MatlabError(f"{word.text!r} is not understood in row {len(rows) + 1}")
            try:
                row.append(self.expression())
            except MatlabError as error:
                if str(error).startswith("line "):
                    raise
                where = f"{self.target or 'matrix'} row {len(rows) + 1}, column {len(row) + 1}"
                raise MatlabError(f"{where}: {error}") from None
            comma = False
        self.at += 1
        if row:
            rows.append(row)
        return Cells(rows) if close == "}" else self._joined(rows)

    def _joined(self, rows: list[list[Value]]) -> Value:
        if any(isinstance(value, str) for row in rows for value in row):
            if len(rows) == 1 and all(isinstance(value, str) for value in rows[0]):
                return "".join(str(value) for value in rows[0])
            raise MatlabError("a matrix of texts is not read; write { }")
        bands = []
        for at, row in enumerate(rows, 1):
            parts = [matrix(value) for value in row]
            parts = [part for part in parts if part.shape != (0, 0)]
            if not parts:
                continue
            if len({part.shape[0] for part in parts}) > 1:
                heights = ", ".join(str(part.shape[0]) for part in parts)
                raise MatlabError(f"row {at} holds values of {heights} rows")
            self.budget.make(sum(part.size for part in parts))
            bands.append(np.hstack(parts))
        if len({band.shape[1] for band in bands}) > 1:
            lines = [line for band in bands for line in band.tolist()]
            other = (at for at, line in enumerate(lines, 1) if len(line) != len(lines[0]))
            return self._padded(lines, next(other))
        self.budget.make(sum(band.size for band in bands))
        return np.vstack(bands) if bands else np.zeros((0, 0))

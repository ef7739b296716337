"""An evaluator of the subset of MATLAB used by case files; anything else is rejected by line.

Case files are programmes: after the matrices they rescale them, from kW to MW or from ohm to per
unit. So every statement is either evaluated as in MATLAB or rejected with its line; none is
skipped. Supported are assignments to variables, fields and parts of matrices, arithmetic, ranges,
comparisons, logical and numeric indices, `if`, and the functions of `matlab_functions.py`. Loops,
other functions and complex numbers are rejected.
"""

import contextlib
from typing import Final, NamedTuple

import numpy as np

from sim.grid.columns import IDX
from sim.grid.matlab_expressions import Expressions
from sim.grid.matlab_values import Index, Value, assign, holds, scalar, size_of
from sim.grid.tokens import MatlabError, Token, tokens

_REFUSED: Final = frozenset(
    {"for", "while", "switch", "do", "until", "try", "unwind_protect", "global", "persistent",
     "classdef", "parfor", "spmd", "case", "otherwise", "catch", "break", "continue",
     "end_try_catch", "endfor", "endwhile", "endswitch"}
)  # fmt: skip
_ENDS: Final = ("end", "endif")
_OPENS: Final = ("if", "for", "while", "switch", "try", "parfor", "do", "unwind_protect")


class Evaluated(NamedTuple):
    """The state after a file has run."""

    values: dict[str, Value]
    outputs: tuple[str, ...]  # outputs of its function, in order; () for a script


class _Stop(Exception):
    """Raised at `return`: nothing after it runs."""


def evaluate(text: str, ragged: str = "") -> Evaluated:
    """Run a case file.

    Args:
        text: text of the file.
        ragged: the field whose matrix may have rows of different lengths; they are padded with 0.

    Raises:
        MatlabError: at the first statement that is not supported or fails, with its line.
    """
    return _Run(tokens(text), ragged).all()


class _Run(Expressions):
    def __init__(self, words: list[Token], ragged: str) -> None:
        super().__init__(words, ragged)
        self.outputs: tuple[str, ...] = ()

    def all(self) -> Evaluated:
        with contextlib.suppress(_Stop):
            self._block(top=True)
        return Evaluated(self.values, self.outputs)

    def _block(self, top: bool = False) -> str:
        """Run statements up to `end`, `else` or `elseif` of this block; returns that word."""
        while True:
            word = self.words[self.at]
            if word.kind == "end" or (word.kind == "op" and word.text in (";", ",")):
                if self.at + 1 == len(self.words):
                    if not top:
                        raise MatlabError(f"line {word.line}: `if` is not closed by `end`")
                    return ""
                self.at += 1
                continue
            if word.kind == "name" and word.text in (*_ENDS, "else", "elseif", "endfunction"):
                if not top:
                    return word.text
                self._closing(word)
                continue
            self._statement(word)

    def _closing(self, word: Token) -> None:
        """The `end` of the function; only blank lines may follow."""
        rest = self.words[self.at + 1 :]
        if word.text not in ("end", "endfunction") or not self.outputs:
            raise MatlabError(f"line {word.line}: `{word.text}` closes nothing")
        for other in rest:
            if other.kind != "end" and other.text != ";":
                raise MatlabError(f"line {other.line}: stands after the end of the function")
        raise _Stop

    def _statement(self, word: Token) -> None:
        start = self.at
        try:
            with np.errstate(all="ignore"):
                self._run(word)
        except MatlabError as error:
            if str(error).startswith("line "):
                raise
            raise MatlabError(f"line {word.line}: {self._quoted(start)}: {error}") from None
        except (OverflowError, MemoryError, FloatingPointError) as error:
            raise MatlabError(f"line {word.line}: {self._quoted(start)}: {error}") from None

    def _quoted(self, start: int) -> str:
        words: list[str] = []
        for word in self.words[start : start + 40]:
            if word.kind == "end":
                break
            words.append((" " if word.gap and words else "") + word.text)
        text = "".join(words).strip()
        return f"`{text if len(text) <= 70 else text[:67] + '…'}`"

    def _run(self, word: Token) -> None:
        if word.kind == "name" and word.text == "function":
            self._header()
        elif word.kind == "name" and word.text == "if":
            self._if()
        elif word.kind == "name" and word.text in _REFUSED:
            raise MatlabError(f"`{word.text}` is not evaluated here; write its result")
        elif word.kind == "name" and word.text == "return":
            raise _Stop
        elif word.kind == "name" and word.text == "define_constants":
            self.at += 1
            for names in IDX.values():
                self.values.update((name, scalar(column)) for name, column in names.items())
        else:
            self._assign_or_value()
        end = self.words[self.at]
        if not (end.kind == "end" or (end.kind == "op" and end.text in (";", ","))):
            raise MatlabError(f"{end.text!r} is not understood there")

    def _header(self) -> None:
        if self.outputs or self.values:
            raise MatlabError("a second function; a case file has one")
        self.at += 1
        names = self._names() if self.sees("[") else [self.name()]
        self.take("=")
        self.name()
        if self.sees("("):
            self.at += 1
            self.take(")")
        self.outputs = tuple(names)

    def _names(self) -> list[str]:
        """Parse [a, b c] as a list of names; ~ marks an unused one."""
        self.take("[")
        names = []
        while not self.sees("]"):
            if self.sees(","):
                self.at += 1
            elif self.sees("~"):
                self.at += 1
                names.append("~")
            else:
                names.append(self.name())
        self.at += 1
        return names

    def _if(self) -> None:
        """Run the first branch whose condition holds, and no other, as in MATLAB."""
        done = False
        ended = "if"
        while ended in ("if", "elseif"):
            self.at += 1
            if done:
                ended = self._skip()
                continue
            if holds(self.expression()):
                done = True
                ended = self._block()
            else:
                ended = self._skip()
        if ended == "else":
            self.at += 1
            ended = self._skip() if done else self._block()
        if ended not in _ENDS:
            raise MatlabError(f"`if` is closed by `{ended}`")
        self.at += 1

    def _skip(self) -> str:
        """Skip a branch that is not run."""
        depth = nested = 0
        while self.at < len(self.words):
            word = self.words[self.at]
            if word.kind == "op" and word.text in "([{":
                nested += 1
            elif word.kind == "op" and word.text in ")]}":
                nested -= 1
            elif word.kind == "name" and not nested:
                if word.text in _OPENS:
                    depth += 1
                elif not depth and word.text in (*_ENDS, "else", "elseif"):
                    return word.text
                elif word.text.startswith("end"):
                    depth -= 1
            self.at += 1
        raise MatlabError("`if` is not closed by `end`")

    def _assign_or_value(self) -> None:
        if not self._assigns():
            self.expression()
        elif self.sees("["):
            self._assign_several()
        else:
            self._assign()

    def _assigns(self) -> bool:
        depth = 0
        for i in range(self.at, len(self.words)):
            word = self.words[i]
            if word.kind == "end":
                return False
            if word.kind == "op":
                if word.text in "([{":
                    depth += 1
                elif word.text in ")]}":
                    depth -= 1
                elif not depth and word.text in ("=", ";", ","):
                    return word.text == "="
        return False

    def _assign_several(self) -> None:
        names = self._names()
        self.take("=")
        source = self.name()
        if source not in IDX:
            if len(names) > 1:
                raise MatlabError(f"only {', '.join(IDX)} may give several values")
            self.at -= 1
            self._store(names[0], [], None, self.expression())
            return
        if self.sees("("):
            self.at += 1
            self.take(")")
        columns = IDX[source]
        if len(names) > len(columns):
            raise MatlabError(f"{source} gives {len(columns)} values, not {len(names)}")
        for name, column in zip(names, columns.values(), strict=False):
            if name != "~":
                self.values[name] = scalar(column)

    def _assign(self) -> None:
        name = self.name()
        fields = []
        while self.sees("."):
            self.at += 1
            fields.append(self.name())
        self.target = ".".join([name, *fields])
        index: Index | None = None
        if self.sees("(") or self.sees("{"):
            index = self.indices(self._find(name, fields))
        self.take("=")
        deletes = self._is_empty_brackets()
        value = self.expression()
        self._store(name, fields, index, value, deletes)
        self.target = ""

    def _is_empty_brackets(self) -> bool:
        word, after = self.words[self.at], self.words[self.at + 1]
        return word.kind == "rows" and not word.rows and (after.kind == "end" or after.text == ";")

    def _find(self, name: str, fields: list[str]) -> Value:
        """The present value at the target of an indexed assignment; an empty matrix if none."""
        found: Value | None = self.values.get(name)
        for field in fields:
            if found is not None and not isinstance(found, dict):
                raise MatlabError(f"{name} has no fields")
            found = found.get(field) if found is not None else None
        return np.zeros((0, 0)) if found is None else found

    def _store(
        self,
        name: str,
        fields: list[str],
        index: Index | None,
        value: Value,
        deletes: bool = False,
    ) -> None:
        place: dict[str, Value] = self.values
        for field in fields:
            inner = place.setdefault(name, {})
            if not isinstance(inner, dict):
                raise MatlabError(f"{name} has no fields")
            place, name = inner, field
        if index is not None:
            old = place.get(name, np.zeros((0, 0)))
            value = assign(old, index, value, deletes, self.budget)
        before = size_of(place[name]) if name in place else 0
        self.budget.hold(size_of(value) - before)
        place[name] = value

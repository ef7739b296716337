"""A tokeniser of MATLAB files; plain matrices of numbers are read as one token."""

import re
from typing import Final, NamedTuple

MAX_NESTED: Final = 50  # brackets within brackets: no case file needs more

_WORD: Final = re.compile(
    r"(?P<number>(?:\d+(?:\.(?![*/\\^'])\d*)?|\.\d+)(?:[eEdD][+-]?\d+)?(?![\w]))"
    r"|(?P<name>[A-Za-z]\w*)"
    r"|(?P<op>\.\^'|\.\*|\./|\.\\|\.\^|\.'|==|~=|!=|<=|>=|&&|\|\||[-+*/\\^<>=&|~!:;,()\[\]{}.@'])"
)
_BLANK: Final = re.compile(r"[ \t\r\f\v\ufeff\u00a0]+")
_STRING: Final = {
    "'": re.compile(r"'((?:[^'\n]|'')*)'"),
    '"': re.compile(r'"((?:[^"\n\\]|""|\\.)*)"'),
}
_PLAIN: Final = re.compile(r"[0-9eE.+\-,; \t\rInfNa]*")  # a line of a matrix of numbers
_GAP_IN_LIST: Final = re.compile(r"(?:^|[,;])[ \t\r]*,")
_ESCAPES: Final = {"\\n": "\n", "\\t": "\t", "\\\\": "\\", '\\"': '"', "\\'": "'", '""': '"'}
_CLOSES: Final = {")": "(", "]": "[", "}": "{"}


class MatlabError(ValueError):
    """An unsupported or invalid statement; the message begins with its line."""


class Token(NamedTuple):
    """A token; `kind` is number, name, text, op, rows (a plain matrix) or end (of a statement)."""

    kind: str
    text: str
    line: int
    gap: bool = False  # blanks precede it
    rows: tuple[tuple[float, ...], ...] = ()


def tokens(text: str) -> list[Token]:
    """All tokens of a text, without comments, continuations and blanks.

    Line ends are tokens of kind "end" outside brackets and ops ";" within [ ] and { }.

    Raises:
        MatlabError: for an unexpected character, text or bracket.
    """
    return _Reader(text.replace("\r\n", "\n").replace("\r", "\n")).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.open: list[tuple[str, int]] = []  # brackets, each with its line
        self.found: list[Token] = []

    def read(self) -> list[Token]:
        text, gap = self.text, False
        while self.at < len(text):
            here = text[self.at]
            if blank := _BLANK.match(text, self.at):
                self.at, gap = blank.end(), True
            elif here == "\n":
                if not self.open:
                    self._add("end", "\n", gap)
                elif self.open[-1][0] != "(":
                    self._add("op", ";", gap)
                self.at, self.line, gap = self.at + 1, self.line + 1, True
            elif here in "%#":
                self._comment()
            elif text.startswith("...", self.at):
                self._to_line_end()
                self.at, self.line, gap = self.at + 1, self.line + 1, True
            elif here == '"' or (here == "'" and not self._transposes(gap)):
                self._string(here, gap)
                gap = False
            else:
                self._word(gap)
                gap = False
        if self.open:
            bracket, line = self.open[-1]
            raise MatlabError(f"line {line}: {bracket!r} is not closed")
        self._add("end", "", False)
        self._add("end", "", False)  # allows looking one token past the last
        return self.found

    def _add(self, kind: str, text: str, gap: bool) -> None:
        self.found.append(Token(kind, text, self.line, gap))

    def _to_line_end(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _comment(self) -> None:
        """Skip a comment: to the end of the line, or a block (may nest) in lines of %{ and %}."""
        begin = self.text.rfind("\n", 0, self.at) + 1
        start, first = self.at, self.line
        self._to_line_end()
        if self.text[begin : self.at].strip() not in ("%{", "#{"):
            return
        depth, at = 1, self.at
        while depth:
            if at >= len(self.text):
                raise MatlabError(f"line {first}: {self.text[start : start + 2]} is not closed")
            end = self.text.find("\n", at + 1)
            end = len(self.text) if end < 0 else end
            alone = self.text[at + 1 : end].strip()
            depth += (alone in ("%{", "#{")) - (alone in ("%}", "#}"))
            self.line += 1
            at = end
        self.at = at

    def _transposes(self, gap: bool) -> bool:
        """Whether ' transposes the preceding value, rather than opening a text."""
        if not self.found or (gap and self.open and self.open[-1][0] != "("):
            return False
        last = self.found[-1]
        return last.kind in ("number", "name", "text", "rows") or (
            last.kind == "op" and last.text in (")", "]", "}", "'", ".'")
        )

    def _string(self, quote: str, gap: bool) -> None:
        found = _STRING[quote].match(self.text, self.at)
        if found is None:
            raise MatlabError(f"line {self.line}: a text that begins with {quote} does not end")
        inner = found.group(1)
        if quote == "'":
            inner = inner.replace("''", "'")
        else:
            inner = re.sub(r'\\.|""', lambda one: _ESCAPES.get(one[0], one[0]), inner)
        self._add("text", inner, gap)
        self.at = found.end()

    def _word(self, gap: bool) -> None:
        if self.text[self.at] == "[" and self._plain_rows(gap):
            return
        found = _WORD.match(self.text, self.at)
        if found is None:
            what = self.text[self.at : self.at + 20].split("\n")[0]
            raise MatlabError(f"line {self.line}: {what!r} is not understood")
        kind = str(found.lastgroup)
        word = found.group()
        self._add(kind, word, gap)
        self.at = found.end()
        if kind == "op":
            self._bracket(word)

    def _bracket(self, word: str) -> None:
        if word in "([{":
            self.open.append((word, self.line))
            if len(self.open) > MAX_NESTED:
                raise MatlabError(
                    f"line {self.line}: brackets are nested more than {MAX_NESTED} deep"
                )
        elif word in _CLOSES:
            if not self.open or self.open[-1][0] != _CLOSES[word]:
                raise MatlabError(f"line {self.line}: {word!r} closes nothing")
            self.open.pop()

    def _plain_rows(self, gap: bool) -> bool:
        """Read a matrix of only numbers and comments; returns False if the parser must read it."""
        rows: list[tuple[float, ...]] = []
        at, line, text = self.at + 1, self.line, self.text
        while True:
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            plain = _PLAIN.match(text, at)
            assert plain is not None  # it may be empty
            stop = plain.end()
            words = plain.group()
            if (stop < end and text[stop] not in "%#]") or "..." in words:
                return False
            if _GAP_IN_LIST.search(words) or (stop < end and text[stop : stop + 2] in _BLOCKS):
                return False
            try:
                for part in words.split(";"):
                    if row := tuple(map(float, part.replace(",", " ").split())):
                        rows.append(row)
            except ValueError:
                return False
            if stop < end and text[stop] == "]":
                self.found.append(Token("rows", "[…]", self.line, gap, tuple(rows)))
                self.at, self.line = stop + 1, line
                return True
            if end >= len(text):
                return False
            at, line = end + 1, line + 1


_BLOCKS: Final = ("%{", "#{")

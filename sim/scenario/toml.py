"""Reads TOML files within bounds: a small file cannot exhaust memory or the stack."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

MAX_BYTES: Final = 1_000_000  # the largest shipped file has a hundredth of it
MAX_DOTS: Final = 32  # parts of a key: the parser's time and memory are quadratic in them

# No two match from the same place, and each takes all that it can: time is linear in the line.
_TEXT: Final = re.compile(r"\"(?:[^\"\\\n]|\\.)*+(?:\"|$)|'[^'\n]*+(?:'|$)")
_CHAIN: Final = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MAX_DOTS},}}")
_DIGITS: Final = re.compile(r"\b0[xob][0-9A-Fa-f_]{100,}")  # more than Python converts back


class TomlError(ValueError):
    """A file is no TOML, or exceeds what any scenario needs."""


def read_toml(file: Path) -> dict[str, Any]:
    """Read the tables of a file.

    Raises:
        TomlError: for a file that is too large, of another encoding, or no TOML.
        OSError: when it cannot be read.
    """
    with file.open("rb") as stream:
        raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise TomlError(f"must be at most {MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TomlError(str(error)) from None
    return parse_toml(text)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse the tables of a text.

    Raises:
        TomlError: for a text that is no TOML, or nested too deeply.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if _CHAIN.search(_TEXT.sub("s", line)):
            raise TomlError(f"line {number}: a key must have at most {MAX_DOTS} parts")
        if _DIGITS.search(line):
            raise TomlError(f"line {number}: a number has too many digits")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TomlError("is nested too deeply") from None
    except ValueError as error:  # not TOML, or a number with too many digits for Python
        raise TomlError(str(error).split("; use sys")[0]) from None

"""Linux, macOS and Windows: nothing that one of them lacks, no text in the system's encoding."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOMS = ("sim", "experiments", "benchmarks")
TEXT = {"read_text": 0, "write_text": 1}  # position of the encoding
OPENERS = {"open", "fdopen", "NamedTemporaryFile", "TemporaryFile", "TextIOWrapper"}
BINARY_BY_DEFAULT = {"NamedTemporaryFile", "TemporaryFile"}
COMPRESSED = {"gzip", "bz2", "lzma"}
OPENED_BOOKS = {"treasury", "lending", "assets", "offtakes", "bills"}  # methods of our own
OFFENCES = [
    ("import fcntl\n", "TID251"),
    ("from resource import getrusage\n", "TID251"),
    ("import os\n\nos.fork()\n", "TID251"),
    ("import os\n\nos.rename('a', 'b')\n", "TID251"),
    ("from os import geteuid\n", "TID251"),
    ("import signal\n\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\n", "TID251"),
]
UNSAID = [
    "open('a')",
    "open('a', 'w')",
    "Path('a').open()",
    "(folder / 'a').open('a', newline='')",
    "Path('a').read_text()",
    "Path('a').write_text(text)",
    "gzip.open('a', 'rt')",
    "os.fdopen(number, 'w')",
    "io.TextIOWrapper(stream)",
    "tempfile.NamedTemporaryFile('w')",
    "subprocess.run(command, text=True)",
]
SAID = [
    "open('a', 'rb')",
    "open('a', encoding='utf-8')",
    "Path('a').open('wb')",
    "Path('a').read_text('utf-8')",
    "Path('a').write_text(text, encoding='utf-8')",
    "gzip.open('a')",
    "os.open('a', os.O_RDONLY)",
    "tempfile.NamedTemporaryFile()",
    "treasury.open(usd_per_btc)",
    "subprocess.run(command, text=True, encoding='utf-8')",
]


def unsaid_encodings(source: str) -> Iterator[int]:
    """Lines of calls that read or write text in whatever encoding the system has."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        named = {k.arg: k.value for k in call.keywords}
        owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
        if "encoding" in named or (name in TEXT and len(call.args) > TEXT[name]):
            continue
        pipe = owner == "subprocess" and {"text", "universal_newlines"} & set(named)
        opened = name in OPENERS and _is_text(call, owner, name, named.get("mode"))
        if name in TEXT or pipe or opened:
            yield call.lineno


def _is_text(call: ast.Call, owner: str, name: str, mode: ast.expr | None) -> bool:
    """Whether a call that opens something opens a text."""
    says = [a.value for a in (mode, *call.args[::-1]) if isinstance(a, ast.Constant)]
    given = next((t for t in says if isinstance(t, str) and t and set(t) <= set("rwxabt+")), "")
    if name == "TextIOWrapper":
        return len(call.args) < 2
    if owner in COMPRESSED:
        return "t" in given
    if (owner == "os" and name == "open") or (name in BINARY_BY_DEFAULT and not given):
        return False
    if owner and name == "open":  # a method: of a file, if it says a mode or nothing at all
        own = owner.rpartition(".")[2] in OPENED_BOOKS
        return "b" not in given and (bool(given) or (not call.args and not own))
    return "b" not in given or (name == "open" and len(call.args) == 1 and mode is None)


@pytest.mark.parametrize("source", UNSAID)
def test_what_leaves_its_encoding_to_the_system_is_found(source: str) -> None:
    assert list(unsaid_encodings(source)) == [1]


@pytest.mark.parametrize("source", SAID)
def test_what_says_its_encoding_or_is_no_text_passes(source: str) -> None:
    assert not list(unsaid_encodings(source))


def test_text_is_read_and_written_in_an_encoding_that_is_said() -> None:
    files = [file for room in ROOMS for file in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    found = {f"{f.relative_to(ROOT)}:{n}" for f in files for n in unsaid_encodings(_text(f))}
    assert not found


def _text(file: Path) -> str:
    return file.read_text("utf-8")


@pytest.mark.parametrize(("source", "rule"), OFFENCES)
def test_what_one_system_lacks_is_refused_by_the_linter(source: str, rule: str) -> None:
    """`ruff check .` runs with every change; pyproject.toml has the list."""
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "sim/x.py", "-"]
    done = subprocess.run(
        command, input=source, cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 1
    assert rule in done.stdout

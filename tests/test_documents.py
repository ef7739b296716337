"""The specification in `docs/`: what it names is there, and what the code cites of it."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

LAWS = (ROOT / "docs/LAWS.md").read_text(encoding="utf-8")
MODEL = (ROOT / "docs/MODEL.md").read_text(encoding="utf-8")
SOURCES = [
    path
    for folder in ("sim", "tests", "experiments", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]


def test_laws_are_numbered_and_each_has_its_tests() -> None:
    rows = re.findall(r"^\| (\d+) ([\w ]+) \| (.+?) \| (.+?) \|$", LAWS, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 13
    assert all("`tests/" in tests for *_, tests in rows)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", LAWS))))
def test_a_test_that_a_law_names_is_there(named: str) -> None:
    file, _, name = named.partition("::")
    assert (ROOT / file).exists()
    if name:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_a_test_of_a_law_says_a_number_that_there_is() -> None:
    numbers = {
        int(n)
        for path in SOURCES
        for n in re.findall(r"def test_law_(\d+)_", path.read_text(encoding="utf-8"))
    }
    assert numbers <= {int(n) for n in re.findall(r"^\| (\d+) ", LAWS, re.MULTILINE)}


def test_sections_that_sources_cite_are_there() -> None:
    known = {int(n) for n in re.findall(r"^## (\d+)\. ", MODEL, re.MULTILINE)}
    cited = 0
    for path in SOURCES:
        for before, number in re.findall(
            r"(\S*)MODEL\.md section (\d+)", path.read_text(encoding="utf-8")
        ):
            cited += 1
            assert before.endswith("docs/"), path
            assert int(number) in known, path
    assert cited > 3


def test_the_glossary_is_sorted_and_says_each_word_once() -> None:
    text = (ROOT / "docs/GLOSSARY.md").read_text(encoding="utf-8")
    words = [w.casefold() for w in re.findall(r"^\| ([^|]+?) \| [^|]+ \| [^|]*\|$", text, re.M)]
    words = [w for w in words if w not in ("word", "---")]
    assert len(words) > 50
    assert words == sorted(set(words))


@pytest.mark.parametrize("path", sorted(Path(ROOT / "docs").glob("*.md")), ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target

"""A seeded sample of mutated files: read, or refused in words. `experiments/fuzz.py` has more."""

from pathlib import Path

import pytest

from experiments.fuzz import KINDS, fuzz


@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_are_read_or_refused(tmp_path: Path, name: str) -> None:
    count = fuzz(name, 400, 20260101, tmp_path)
    assert not [found for found in count if found.startswith("FAILED")]
    assert count["read"] > 10  # mutations that break everything find nothing
    assert count["refused"] > 10

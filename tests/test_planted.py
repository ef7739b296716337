"""Defects that `experiments/plant_defects.py` plants: each can be planted, each names its tests."""

import pytest

from experiments.plant_defects import DEFECTS, ROOT, Defect


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_what_it_changes_stands_once_in_its_file(defect: Defect) -> None:
    text = (ROOT / defect.file).read_text(encoding="utf-8")
    assert text.count(defect.old) == 1
    assert defect.old != defect.new


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda d: d.name)
def test_the_tests_that_must_fail_are_there(defect: Defect) -> None:
    for path in defect.tests.split():
        assert (ROOT / path.split("::")[0]).is_file(), path


def test_no_two_have_the_same_name() -> None:
    assert len({d.name for d in DEFECTS}) == len(DEFECTS)

"""Commands that are killed: the old result or the new, never a half; then the same bytes."""

from pathlib import Path

import numpy as np
import pytest

from experiments.kill_runs import LostError, question, trial

LIFE_S = 3.0  # assumed: where a kill falls is drawn, what it finds is checked


def test_a_run_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    asked = question("run", tmp_path, LIFE_S)
    for number, where in enumerate(("with a draft", "in the swap")):
        draw = np.random.default_rng([20260101, number])
        trial(asked, tmp_path / str(number), draw, where)
    other = asked._replace(over=asked.old, fresh=asked.old)
    noticed = r"after the second command: \d+ files differ|neither old nor new after the kill"
    with pytest.raises(LostError, match=noticed):  # the latter where it had ended before
        trial(other, tmp_path / "other", np.random.default_rng(1), "anywhere")


def test_a_sweep_that_is_killed_goes_on_from_whole_cells(tmp_path: Path) -> None:
    asked = question("sweep", tmp_path, LIFE_S)
    trial(asked, tmp_path / "0", np.random.default_rng(20260101), "with a draft")

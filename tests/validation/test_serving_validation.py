"""The serving engine beside recordings: every check holds, and they can fail."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.serving import IterationTime
from sim.validation import serving
from sim.validation.check import Check


@pytest.fixture(scope="module")
def made(data: Path) -> list[Check]:
    return list(serving.checks(data))


@pytest.mark.needs_data
def test_checks_hold(made: list[Check]) -> None:
    assert len(made) == 33
    assert [check for check in made if not check.ok] == []


@pytest.mark.needs_data
def test_what_is_within_its_tolerance_without_an_explanation(made: list[Check]) -> None:
    """Only runs of the scheduler that stalls decodes need one; the others may not get any."""
    explained = [check.item for check in made if "explained" in check.tolerance]
    assert len(explained) == 10
    assert all("-vllm-" in item for item in explained)


@pytest.mark.needs_data
def test_a_wrong_iteration_time_is_seen(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """5 % more time per iteration misses the real server's figures."""
    slower = IterationTime(**{key: 1.05 * value for key, value in vars(serving.RTX_4090).items()})
    monkeypatch.setattr(
        serving, "RTX_4090_ENGINE", replace(serving.RTX_4090_ENGINE, iteration=slower)
    )
    assert not all(check.ok for check in serving._vllm(data))


@pytest.mark.needs_data
def test_an_explanation_needs_a_right_iteration_time(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fit that is 10 % off is no difference of schedulers."""
    right = serving.fitted

    def wrong(*args: Any) -> IterationTime:
        return IterationTime(**{key: 1.1 * value for key, value in vars(right(*args)).items()})

    monkeypatch.setattr(serving, "fitted", wrong)
    found = list(serving._vidur(data, "8b-vllm-fixed-1000-5"))
    assert not any("explained" in check.tolerance for check in found)
    assert not all(check.ok for check in found)


def test_fit_finds_the_line_it_was_made_of() -> None:
    made_of = IterationTime(0.012, 1e-5, 0.008, 6e-5, 0.0, 8e-8, 4e-9)
    draw = np.random.default_rng(1)
    batches = draw.integers(0, [2048, 128, 100_000], (500, 3))
    batches[::2, 0] = 0
    context = 0.5 * batches[:, 0].astype(np.float64) ** 2
    seconds = np.array(
        [made_of.of(p + b, b, k, q) for (p, b, k), q in zip(batches, context, strict=True)]
    )
    found = serving.fitted(batches, context, seconds)
    assert list(vars(found).values()) == pytest.approx(list(vars(made_of).values()), abs=1e-9)

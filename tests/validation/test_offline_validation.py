"""Published offline throughput: each check holds, and can fail."""

import pytest

from sim.scenario.catalogue.serving import served
from sim.serving import Engine, IterationTime
from sim.validation import offline
from sim.validation.check import Check, LeftOut


def test_checks_hold_and_tell_their_error() -> None:
    found = list(offline.checks(None))
    made = [check for check in found if isinstance(check, Check)]
    assert len(made) == 6
    assert all(check.ok for check in made)
    assert all("it is" in check.tolerance for check in made)
    assert [type(one) for one in found if isinstance(one, LeftOut)] == [LeftOut]


def test_all_at_once_by_hand() -> None:
    """Two prefills fill a budget each, then both decode once more: 3 iterations of 10 ms."""
    engine = Engine(IterationTime(0.01, 0.0), max_batched_tokens=8)
    assert offline.last_s(engine, offline.Run(2, 7, 1, 1.0)) == pytest.approx(0.02)
    assert offline.last_s(engine, offline.Run(1, 8, 3, 1.0)) == pytest.approx(0.03)


def test_a_known_factor_is_found() -> None:
    engine = served(offline.MODEL, offline.GPU, 1).engine
    run = offline.Run(20, 2000, 10, 1.0)
    true_s = offline.last_s(offline.with_factor(engine, 1.7), run)
    assert offline.fitted(engine, [run._replace(seconds=true_s)]) == pytest.approx(1.7, rel=0.01)


def test_an_engine_far_off_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tuple(run._replace(seconds=2.0 * run.seconds) for run in offline.RUNS)
    monkeypatch.setattr(offline, "RUNS", runs)
    missed = [c for c in offline.checks(None) if isinstance(c, Check) and not c.ok]
    assert sum("roofline" in check.check for check in missed) == 3

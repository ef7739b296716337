"""What is public of the hours to come, and when it is published."""

import numpy as np

from sim.world.outlook import Outlook
from tests.conftest import build_scenario

START = "2026-01-30T06:00:00Z"  # midnight in Texas


def outlook(**site: object) -> Outlook:
    scenario = build_scenario(
        {"horizon": {"start_utc": START, "days": 4, "step_s": 900}},
        sites=[{"name": "alpha", **site}, {"name": "bravo", "utc_offset_h": 0}],
    )
    hours = np.repeat(np.arange(4 * 24.0), 4)  # the price of each hour is its number
    series = np.stack([hours, 1000.0 + hours], axis=1)
    return Outlook(scenario, np.concatenate([series, series[-1:]]))


def test_tomorrow_is_out_at_half_past_one() -> None:
    look = outlook()
    for t_s, last in ((0, 23), (48_599, 23), (48_600, 47), (86_399, 47), (86_400, 47)):
        known = look.day_ahead_next(t_s)
        first = t_s // 3600 + 1
        here = known[:, 0][np.isfinite(known[:, 0])]
        assert here.tolist() == list(range(first, last + 1))
    assert outlook().day_ahead_next(48_600)[:2].tolist() == [[14.0, 1014.0], [15.0, 1015.0]]


def test_each_site_has_its_own_clock() -> None:
    """bravo is six hours ahead: 7:30 of Texas is 13:30 there."""
    look = outlook()
    assert np.isnan(look.day_ahead_next(27_000)[-1]).tolist() == [True, False]
    known = look.day_ahead_next(27_000)[:, 1]
    assert known[np.isfinite(known)].max() == 1000.0 + 41  # to the end of its tomorrow


def test_nothing_beyond_the_run_and_nothing_of_a_zone_that_has_none() -> None:
    look = outlook()
    assert np.isnan(look.day_ahead_next(3 * 86_400 + 60_000)[-1]).all()
    scenario = build_scenario({"horizon": {"days": 2}})
    assert Outlook(scenario, None).day_ahead_next(5000).shape == (0, 2)


def test_it_cannot_be_changed_by_who_sees_it() -> None:
    look = outlook()
    look.day_ahead_next(0)[:] = -1.0
    assert look.day_ahead_next(900)[0, 0] == 1.0

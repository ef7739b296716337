"""Demand charges by hand: parts of months, hours of the local clock, intervals, ratchets.

The site draws exactly 7 MW with all its machines on; its local midnight is 06:00 UTC in winter.
"""

from typing import Any

import numpy as np
import pytest

import sim
from sim.finance.demand import DemandCharges
from sim.policy import Decision, Observation
from sim.results.result import RunResult
from sim.scenario import Scenario, ScenarioError
from tests.builders.one_site import Share, coincident, one_site
from tests.builders.steps import Steps

CHARGE = {"usd_per_mw_month": 9000.0}


def run(charge: dict[str, Any], policy: Any, site: dict[str, Any] | None = None,
        **horizon: Any) -> RunResult:  # fmt: skip
    return sim.run(one_site({"horizon": horizon, "demand_charges": {"d": charge}}, site), policy)


def billed(result: RunResult) -> list[tuple[str, float, float]]:
    rows = result.table("demand").to_pylist()
    return [(r["month"], r["billed_mw"], r["usd"]) for r in rows]


def test_a_part_of_a_month_pays_its_part() -> None:
    """The last ten days of January and the first five of February."""
    when = {"start_utc": "2026-01-22T06:00:00Z", "days": 15, "step_s": 3600}
    result = run(CHARGE, "static", **when)
    assert billed(result) == [
        ("2026-01", pytest.approx(7.0), pytest.approx(9000 * 7 * 10 / 31)),
        ("2026-02", pytest.approx(7.0), pytest.approx(9000 * 7 * 5 / 28)),
    ]
    assert result.kpis["demand_charges_usd"] == pytest.approx(9000 * 7 * (10 / 31 + 5 / 28))
    whole = run(CHARGE | {"prorate": False}, "static", **when)
    assert whole.kpis["demand_charges_usd"] == pytest.approx(9000 * 7 * 2)
    (row,) = sim.run(
        one_site({"horizon": when | {"days": 5}}, {"demand_charge_usd_per_mw_month": 9000}),
        "static",
    ).table("demand").to_pylist()  # fmt: skip
    assert row["usd"] == pytest.approx(9000 * 7 * 5 / 31)


def test_only_the_hours_of_a_charge_are_measured() -> None:
    """5.25 MW from 15 to 16 on a Thursday; more at 13, at 19, and at 15 on the weekend."""
    share = np.full(4 * 24, 0.25)
    share[[13, 19, 3 * 24 + 15]] = 1.0
    share[15] = 0.75
    policy = Steps(np.repeat(share, 4))
    when = {"start_utc": "2026-01-01T06:00:00Z", "days": 4}
    window = {"from_hour": 14, "to_hour": 19, "days": "workdays", "prorate": False}
    (row,) = run(CHARGE | window, policy, **when).table("demand").to_pylist()
    assert row["peak_mw"] == pytest.approx(5.25)
    (row,) = run(CHARGE | window | {"days": "all"}, policy, **when).table("demand").to_pylist()
    assert row["peak_mw"] == pytest.approx(7.0)


def test_months_that_are_not_named_are_neither_measured_nor_billed() -> None:
    when = {"start_utc": "2026-01-31T06:00:00Z", "days": 2}
    result = run(CHARGE | {"months": [2]}, Share(*[1.0] * 24, *[0.5] * 24), **when)
    assert billed(result) == [("2026-02", pytest.approx(3.5), pytest.approx(9000 * 3.5 / 28))]


@pytest.mark.parametrize(("day", "hour_utc"), [("2026-03-06", 20), ("2026-03-09", 19)])
def test_hours_follow_the_clock_of_the_site_through_daylight_saving(
    day: str, hour_utc: int
) -> None:
    """14:00 in Chicago is 20:00 UTC on Friday the 6th of March, 19:00 on Monday the 9th."""
    window = {"from_hour": 14, "to_hour": 15, "prorate": False}
    for shift, peak_mw in ((-1, 1.75), (0, 7.0), (1, 1.75)):
        share = np.full(24, 0.25)
        share[hour_utc - 6 + shift] = 1.0
        when = {"start_utc": f"{day}T06:00:00Z", "days": 1, "step_s": 3600}
        site = {"timezone": "America/Chicago", "utc_offset_h": None}
        (row,) = run(CHARGE | window, Steps(share), site, **when).table("demand").to_pylist()
        assert row["peak_mw"] == pytest.approx(peak_mw)


@pytest.mark.parametrize(("minutes", "peak_mw"), [(None, 7.0), (15, 7.0), (30, 5.25), (60, 3.5)])
def test_an_interval_longer_than_the_step_averages(minutes: float | None, peak_mw: float) -> None:
    """One quarter of an hour at 7 MW, the next at 3.5, two at 1.75; an hour later 3.5 twice."""
    share = [0.25] * 8 + [1.0, 0.5, 0.25, 0.25] + [0.25, 0.5, 0.5, 0.25] + [0.25] * 80
    (row,) = run(CHARGE | {"interval_min": minutes}, Steps(share)).table("demand").to_pylist()
    assert row["peak_mw"] == pytest.approx(peak_mw)


def test_an_interval_shorter_than_the_step_sees_what_changes_within_it() -> None:
    """An outage of the first 40 of 60 minutes: a third of an hour, or whole quarters of one."""
    dark = {"kind": "outage", "sites": ["site"], "start_utc": "2026-01-01T06:00:00Z", "hours": 23}
    dark["hours"] += 40 / 60
    for minutes, peak_mw in ((None, 7 / 3), (5, 7.0), (15, 7.0), (30, 14 / 3)):
        scenario = one_site(
            {
                "horizon": {"step_s": 3600},
                "demand_charges": {"d": CHARGE | {"interval_min": minutes}},
                "faults": {"enabled": True, "asic": {"mtbf_h": 1e7}, "incidents": [dark]},
            }
        )
        result = sim.run(scenario, "static")
        (row,) = result.table("demand").to_pylist()
        assert row["peak_mw"] == pytest.approx(peak_mw, rel=1e-3)
        mean_mw = np.asarray(result.table("sites")["meter_mw"])
        assert mean_mw[-1] == pytest.approx(7 / 3, rel=1e-3)


def test_a_ratchet_remembers_the_highest_month() -> None:
    """January 7 MW, February to April 1.75: 80 % of 7 until two months have gone by."""
    share = np.repeat([1.0, 0.25, 0.25, 0.25], [31 * 24, 28 * 24, 31 * 24, 30 * 24])
    when = {"start_utc": "2026-01-01T06:00:00Z", "days": 120, "step_s": 3600}
    ratchet = {"ratchet_fraction": 0.8, "ratchet_months": 2}
    result = run(CHARGE | ratchet, Steps(share), **when)
    mw = [7.0, 5.6, 5.6, 1.75]
    assert [row[1] for row in billed(result)] == pytest.approx(mw)
    assert result.kpis["demand_charges_usd"] == pytest.approx(9000 * sum(mw))
    winter = run(CHARGE | ratchet | {"ratchet_from": [2, 3]}, Steps(share), **when)
    assert [row[1] for row in billed(winter)] == pytest.approx([7.0, 1.75, 1.75, 1.75])
    other = {"ratchet_from": [1], "months": [2, 3, 4]}  # January is another charge's month
    spring = run(CHARGE | ratchet | other, Steps(share), **when)
    assert [row[1] for row in billed(spring)] == pytest.approx([5.6, 5.6, 1.75])
    before = run(CHARGE | ratchet | {"peak_before_mw": 8}, Steps(share), **when)
    assert [row[1] for row in billed(before)] == pytest.approx([7.0, 6.4, 5.6, 1.75])


def test_what_flows_back_counts_as_nothing() -> None:
    result = sim.run(
        one_site(
            {"demand_charges": {"d": CHARGE}},
            {"export_mw": 5},
            generators=[{"site": "site", "kind": "gas", "mw": 3, "usd_per_mwh": 1}],
        ),
        Share(0.0),
    )
    assert billed(result)[0][1:] == (0.0, 0.0)


def test_four_monthly_peaks_count_by_their_mean(tmp_path: Any) -> None:
    """510, 510, 520 and 500 kW at the peaks of four months are 510 kW."""
    tables = coincident(tmp_path, 122, 40)
    months = {"months": [1, 2, 3, 4]}
    tables["coincident_peak"] |= months
    tables["horizon"]["step_s"] = 3600
    starts = np.cumsum([0, 31, 28, 31]) * 24
    rng = np.random.Generator(np.random.Philox(key=1))
    file = tmp_path / "series.csv"
    lines = file.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    rows = [line.split(",") for line in lines[1:]]
    for first, hour in zip(starts, rng.integers(24, 600, 4), strict=True):
        for name in names[1:]:
            rows[48 + first + hour][names.index(name)] = "61000.0"
    file.write_text("\n".join([lines[0], *map(",".join, rows)]) + "\n", encoding="utf-8")
    scenario = one_site(tables)
    at = sorted(sim.engine.Engine(scenario, Share(1.0)).world.peaks.peak_steps.tolist())  # type: ignore[union-attr]
    share = np.full(122 * 24 + 1, 1.0)
    share[at] = np.array([0.510, 0.510, 0.520, 0.500]) / 7.0
    k = sim.run(scenario, Steps(share)).kpis
    assert k["coincident_peaks_usd"] == pytest.approx(0.510 * 60_000)


def test_the_bill_is_that_of_the_metered_series() -> None:
    """Recomputed from the table `sites` of a fleet that does as it likes."""
    draw = np.random.Generator(np.random.Philox(key=7))
    share = draw.uniform(0.0, 1.0, 40 * 48)
    charges = {
        "peak": {"usd_per_mw_month": 7000.0, "from_hour": 16, "to_hour": 21, "days": "workdays"},
        "base": {"usd_per_mw_month": 3000.0, "interval_min": 60, "ratchet_fraction": 0.9},
    }
    when = {"start_utc": "2026-01-10T06:00:00Z", "days": 40, "step_s": 1800, "record_s": 1800}
    result = sim.run(one_site({"horizon": when, "demand_charges": charges}), Steps(share))
    mw = np.asarray(result.table("sites")["meter_mw"])
    local = np.datetime64("2026-01-10T00:00", "m") + np.arange(len(mw)) * 30
    hour = (local - local.astype("datetime64[D]")).astype(int) / 60
    weekday = (local.astype("datetime64[D]").astype(int) + 3) % 7
    january = local < np.datetime64("2026-02-01")
    on_peak = (hour >= 16) & (hour < 21) & (weekday < 5)
    hourly, first = mw.reshape(-1, 2).mean(axis=1), january[::2]
    base = [hourly[first].max(), hourly[~first].max()]
    usd = 7000 * (mw[on_peak & january].max() * 22 / 31 + mw[on_peak & ~january].max() * 18 / 28)
    usd += 3000 * (base[0] * 22 / 31 + max(base[1], 0.9 * base[0]) * 18 / 28)
    assert result.kpis["demand_charges_usd"] == pytest.approx(usd)


def test_a_policy_sees_what_a_higher_peak_would_cost() -> None:
    """The run begins with the 16th of January: half of the month is left, and is charged."""
    seen: list[Observation] = []

    class Watch(Share):
        def decide(self, observation: Observation) -> Decision:
            seen.append(observation)
            return super().decide(observation)

    charge = {**CHARGE, "from_hour": 14, "to_hour": 19, "ratchet_fraction": 0.5,
              "ratchet_months": 3, "months": [1, 2, 3], "peak_before_mw": 4}  # fmt: skip
    when = {"start_utc": "2026-01-16T06:00:00Z", "days": 20, "step_s": 3600}
    run(charge, Watch(0.5), **when)
    first, later = seen[0].energy.demand, seen[16 * 24].energy.demand
    assert first.usd_per_mw == pytest.approx([9000 * 16 / 31, 9000 * 0.5 * 2])
    assert first.peak_w == pytest.approx([2e6, 4e6])
    assert first.left_s.tolist() == [16 * 86_400] * 2
    assert np.flatnonzero(first.measured[:24, 0]).tolist() == [14, 15, 16, 17, 18]
    assert seen[15].energy.demand.peak_w == pytest.approx([3.5e6, 4e6])
    assert later.usd_per_mw == pytest.approx([9000, 9000 * 0.5])  # in the run's own time no end
    assert later.peak_w == pytest.approx([2e6, 4e6])
    assert first.peak_w == pytest.approx([2e6, 4e6])  # what was seen stays


@pytest.mark.parametrize(
    ("charge", "horizon", "told"),
    [
        ({"interval_min": 40}, {}, "must divide 60 minutes"),
        ({"interval_min": 20}, {}, "must divide horizon.step_s = 900 s or be a multiple of it"),
        ({"from_hour": 14.25, "interval_min": 30}, {}, "the edge of an interval of 30 minutes"),
        ({"from_hour": 14}, {"step_s": 7200, "record_s": 7200}, "hours need it, as 15"),
        ({"sites": ["sight"]}, {}, "did you mean 'site'"),
        ({"sites": ["site", "site"]}, {}, "none twice"),
        ({"months": [13]}, {}, "months are 1 to 12"),
        ({"ratchet_months": 3}, {}, "ratchet_months needs ratchet_fraction"),
        ({"interval_min": 30}, {"start_utc": "2026-01-01T06:10:00Z"}, "local time of horizon"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    charge: dict[str, Any], horizon: dict[str, Any], told: str
) -> None:
    with pytest.raises(ScenarioError, match=told):
        one_site({"horizon": horizon, "demand_charges": {"d": CHARGE | charge}})


def test_a_charge_in_both_places_is_refused() -> None:
    with pytest.raises(ScenarioError, match="a charge on the same peaks"):
        one_site({"demand_charges": {"d": CHARGE}}, {"demand_charge_usd_per_mw_month": 9000})


def test_what_a_week_measures_is_known_beyond_the_run() -> None:
    """The same hours are seen whether the run goes on or not."""

    def charges(days: int) -> DemandCharges:
        scenario: Scenario = one_site(
            {"horizon": {"days": days}, "demand_charges": {"d": CHARGE | {"from_hour": 14}}}
        )
        return sim.engine.Engine(scenario, Share(1.0)).firm.bills.demand

    short, long = (charges(days).view(20 * 3600).measured for days in (1, 9))
    assert np.array_equal(short, long)

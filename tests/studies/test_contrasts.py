"""Levels and policies of a sweep under the same luck: differences by hand, and what they cover."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sim.studies.contrasts import contrasts
from sim.studies.statistics import t_interval
from sim.studies.summary import lines, summarise

Rows = list[dict[str, Any]]


def cells(value: Any, batteries: Any = ("none", "one"), seeds: int = 8, **points: Any) -> Rows:
    """Cells over batteries, two policies, points and seeds; `value(battery, policy, x, seed)`."""
    return [
        {"battery": b, "policy": p, "x": x, "seed": s, "usd": value(b, p, x, s), "status": "done"}
        for b in batteries
        for p in ("static", "other")
        for x in points.get("x", (0.5,))
        for s in range(seeds)
    ]


def test_a_small_difference_stands_out_of_great_luck() -> None:
    """A battery that costs 39 USD, beside luck of tens of thousands."""
    random = np.random.default_rng(1)
    luck, wobble = random.normal(0.0, 40_000.0, 8), random.normal(0.0, 10.0, (2, 8))
    rows = cells(
        lambda b, p, x, s: luck[s] - (39.0 + wobble[int(p == "other"), s]) * (b == "one")
    )  # fmt: skip
    found = contrasts(rows, ["battery", "policy"], [], "usd")
    battery = next(c for c in found if c.factor == "battery" and not c.where)
    assert (battery.a, battery.b, battery.unit, battery.estimate.n) == ("none", "one", "seed", 8)
    each = 39.0 + wobble.mean(axis=0)
    assert battery.estimate.mean == pytest.approx(each.mean())
    assert battery.estimate.t == pytest.approx(t_interval(each))
    assert battery.estimate.t.half_width < 10.0
    assert battery.pairing > 1e6
    within = [c for c in found if c.factor == "battery" and c.where]
    assert [c.where for c in within] == [{"policy": "static"}, {"policy": "other"}]
    assert within[0].estimate.mean == pytest.approx(39.0 + wobble[0].mean())


def test_points_of_a_design_are_the_sample_where_there_are_more_of_them() -> None:
    x = np.linspace(0.0, 1.0, 12)
    rows = cells(lambda b, p, x, s: 100.0 * s + x * (b == "one"), seeds=2, x=x)
    battery = next(c for c in contrasts(rows, ["battery"], ["x"], "usd") if not c.where)
    assert (battery.unit, battery.estimate.n) == ("point", 12)
    assert battery.estimate.mean == pytest.approx(-0.5)


def test_differences_cover_and_idle_ones_are_not_shown() -> None:
    random = np.random.default_rng(2)
    covered, shown = [], []
    for _ in range(200):
        luck = random.normal(0.0, 50.0, 10)
        noise = random.normal(0.0, 1.0, (3, 2, 10))
        rows = cells(
            lambda b, p, x, s, luck=luck, noise=noise: (
                luck[s] + noise["abc".index(b), int(p == "other"), s] + (b == "c")
            ),
            "abc",
            10,
        )
        found = [c for c in contrasts(rows, ["battery"], [], "usd") if not c.where]
        by_pair = {(c.a, c.b): c for c in found}
        covered.append(by_pair["b", "c"].estimate.t.contains(-1.0))
        shown.append(by_pair["a", "b"].p_adjusted < 0.05)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert np.mean(shown) <= 0.05


def test_failed_cells_leave_pairs_out_and_not_the_rest() -> None:
    rows = cells(lambda b, p, x, s: 10.0 * s + (b == "one"))
    rows[0]["usd"] = None  # none, static, seed 0
    found = next(c for c in contrasts(rows, ["battery", "policy"], [], "usd") if not c.where)
    assert found.estimate.mean == pytest.approx(-1.0)
    assert found.estimate.n == 8


def test_a_summary_shows_differences_and_the_share_of_luck() -> None:
    random = np.random.default_rng(3)
    luck = random.normal(0.0, 10.0, 8)
    rows = cells(lambda b, p, x, s: 1e6 + luck[s] + 2.0 * (b == "one") + random.normal(0.0, 0.1))
    for row in rows:
        row["gross_margin_usd"] = row.pop("usd")
    table = pa.Table.from_pylist(rows)
    found = summarise(table, ["battery"], ["gross_margin_usd"], {})
    shares = {e.factor: e.share for e in found.effects}
    assert set(shares) == {"battery", "policy", "seed"}
    assert shares["seed"].value > 0.9
    assert shares["battery"].told
    assert not shares["policy"].told
    assert sum(share.value for share in shares.values()) <= 1.0


def test_cells_of_one_point_are_no_sample_of_their_own() -> None:
    """Twelve points with five seeds that change nothing are twelve values, not sixty."""
    x = np.linspace(0.0, 1.0, 12)
    rows = cells(lambda b, p, x, s: 5.0 * x, seeds=5, x=x)
    for row in rows:
        row["gross_margin_usd"] = row.pop("usd")
    found = summarise(pa.Table.from_pylist(rows), ["battery", "x"], ["gross_margin_usd"], {})
    group = found.groups[0]
    assert (group.n, group.mean) == (60, pytest.approx(2.5))
    assert group.interval == pytest.approx(t_interval(5.0 * x))


def test_a_summary_fits_a_terminal() -> None:
    levels = ("as it stands today", "with one battery of four hours")
    rows = cells(lambda b, p, x, s: 123_456_789.0 + 1e6 * s + 3.0 * (b == levels[1]), levels)
    for row in rows:
        row["gross_margin_usd"] = row.pop("usd")
    found = summarise(pa.Table.from_pylist(rows), ["battery"], ["gross_margin_usd"], {})
    text = list(lines(found, "q", ""))
    assert max(len(line) for line in text) <= 80, max(text, key=len)
    assert "    battery: as it stands today - with one battery of four hours" in text

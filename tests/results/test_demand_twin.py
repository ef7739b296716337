"""Demand charges recomputed in SQL from nothing but the tables of a result folder."""

from pathlib import Path

import numpy as np
import pytest

import sim
from tests.builders.one_site import one_site
from tests.builders.steps import Steps

PEAKS = """
WITH intervals AS (
    SELECT time_bucket(INTERVAL '1 hour', utc AT TIME ZONE 'UTC' - INTERVAL '6 hours') AS h,
           site, avg(meter_mw) AS mw
    FROM sites GROUP BY ALL
), peaks AS (
    SELECT site, strftime(h, '%Y-%m') AS month, max(mw) AS mw FROM intervals
    WHERE hour(h) >= 14 AND hour(h) < 19 AND isodow(h) <= 5 GROUP BY ALL
)
SELECT d.site, d.month, d.usd, d.peak_mw, p.mw,
       greatest(p.mw, coalesce(0.8 * lag(p.mw) OVER (ORDER BY d.month), 0)) * 7000 * d.share AS twin
FROM demand AS d JOIN peaks AS p USING (site, month) ORDER BY d.month
"""


def test_the_table_demand_is_what_the_metered_series_makes_of_the_charge(tmp_path: Path) -> None:
    charge = {"usd_per_mw_month": 7000.0, "from_hour": 14, "to_hour": 19, "days": "workdays",
              "interval_min": 60, "ratchet_fraction": 0.8, "ratchet_months": 1}  # fmt: skip
    when = {"start_utc": "2026-01-10T06:00:00Z", "days": 60, "step_s": 1800, "record_s": 1800}
    draw = np.random.Generator(np.random.Philox(key=9))
    share = draw.uniform(0.0, 1.0, 60 * 48) * np.repeat([1.0, 0.4], 30 * 48)
    result = sim.run(one_site({"horizon": when, "demand_charges": {"d": charge}}), Steps(share))
    rows = sim.open_results(result.save(tmp_path / "run")).query(PEAKS).to_pylist()
    assert [row["month"] for row in rows] == ["2026-01", "2026-02", "2026-03"]
    for row in rows:
        assert row["peak_mw"] == pytest.approx(row["mw"])
        assert row["usd"] == pytest.approx(row["twin"])
    total = sum(row["usd"] for row in rows)
    assert result.kpis["demand_charges_usd"] == pytest.approx(total)
    assert rows[2]["twin"] > 7000 * rows[2]["mw"] * 0.3  # the ratchet counts

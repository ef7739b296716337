"""One site of 7 MW, whose energy bill can be worked out by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sim.policy import Decision, Observation
from sim.results.result import RunResult
from sim.scenario import Scenario
from tests.conftest import build_scenario

START = "2026-01-01T06:00:00Z"  # midnight at the site


def one_site(
    tables: dict[str, Any] | None = None, site: dict[str, Any] | None = None, **sheets: Any
) -> Scenario:
    tables = {"horizon": {}, **(tables or {})}
    horizon = {"start_utc": START, "days": 1, **tables.pop("horizon")}
    row = {
        "name": "site", "overhead_mw": 0, "pue_base": 1.0, "pue_slope_per_c": 0,
        "power_limit_mw": 20, "adder_usd_per_mwh": 5, "climate": "reykjavik-is",
    }  # fmt: skip
    return build_scenario(
        {
            "horizon": horizon,
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 40}}},
            "faults": {"enabled": False},
            "mining": {"restart_s": 0, "min_off_s": 0, "ramp_up_per_min": 100},
            **tables,
        },
        sites=[{**row, **(site or {})}],
        asics=[{"site": "site", "model": "Antminer S21", "count": 2000}],
        gpus=[],
        **sheets,
    )


class Share:
    """Runs a share of the machines that depends on the hour of the run."""

    def __init__(self, *by_hour: float) -> None:
        self.by_hour = by_hour

    def decide(self, observation: Observation) -> Decision:
        hour = observation.t_s // 3600
        share = self.by_hour[hour % len(self.by_hour)]
        return Decision(observation.asic.default_share * share, np.ones(0))


def column(result: RunResult, name: str) -> np.ndarray[Any, Any]:
    return np.asarray(result.table("sites")[name])


def series_folder(folder: Path, **columns: Any) -> str:
    """A file with hourly columns from two days before the start on."""
    hours = len(next(iter(columns.values())))
    first = datetime.fromisoformat(START) - timedelta(days=2)
    rows = [",".join(["time_utc", *columns])]
    for h in range(hours):
        when = (first + timedelta(hours=h)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append(",".join([when, *(str(c[h]) for c in columns.values())]))
    file = folder / "series.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return str(file)


def coincident(folder: Path, days: int, peak_hour: int, **more: Any) -> dict[str, Any]:
    """A system whose load peaks at one hour of one day of January, as was forecast."""
    load = np.full(24 * (days + 2), 50_000.0)
    load[48 + peak_hour] = 60_000.0
    file = series_folder(folder, load=load)
    return {
        "horizon": {"days": days},
        "series": {"s": {"file": file}},
        "coincident_peak": {
            "series": "s", "column": "load", "forecast_series": "s", "forecast_column": "load",
            "months": [1], "usd_per_mw_year": 60_000, **more,
        },
    }  # fmt: skip

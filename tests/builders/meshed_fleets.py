"""A fleet on a mesh of three buses that makes its own price."""

from pathlib import Path
from typing import Any

import numpy as np

from sim.results.result import RunResult
from sim.scenario import Scenario
from sim.types import Floats
from tests.builders.meshes import THREE
from tests.conftest import build_scenario

DEAR = THREE.replace("2 0 0 3 0 30 5", "2 0 0 3 0 200 0").replace("0.1 0 80", "0.1 0 0")


def fleet(
    folder: Path,
    s21: int = 12_000,
    s19: int = 10_000,
    case: str = DEAR,
    tables: dict[str, Any] | None = None,
    **site: Any,
) -> Scenario:
    """One site at bus 7; a hash earns the same all the time, and nothing fails or gets hot."""
    (folder / "three.m").write_text(case)
    return build_scenario(
        {
            "horizon": {"days": 1, "step_s": 3600},
            "grid": {"case": str(folder / "three.m")},
            "prices": {"zones": {"east": {"model": "dc-opf"}}},
            "btc_price": {"model": "constant", "usd_per_btc": 60_000},
            "mining": {"restart_s": 0},
            "faults": {"asic": {"mtbf_h": 1e8}},
            **(tables or {}),
        },
        sites=[
            {
                "name": "alpha",
                "grid_node": "7",
                "price_zone": "east",
                "power_limit_mw": 100,
                "overhead_mw": 0.5,
                "technicians": 0,
                "pue_base": 1.0,
                "pue_slope_per_c": 0.0,
                **site,
            }
        ],
        asics=[
            {"site": "alpha", "model": "Antminer S21", "count": s21, "firmware": "stock"},
            {"site": "alpha", "model": "Antminer S19j Pro 104T", "count": s19, "firmware": "stock"},
        ],
        gpus=[],
    )


def column(result: RunResult, name: str) -> Floats:
    return np.asarray(result.table("sites")[name], dtype=np.float64)

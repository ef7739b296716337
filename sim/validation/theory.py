"""Theoretical results: pools pay the same on average; availability of machines."""

import math
import statistics
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from sim.runner import run
from sim.validation.check import Check
from sim.validation.month import MACHINE, one_site

NEEDS_DATA: Final[list[str]] = []
SEEDS: Final = 40
MTBF_H: Final = 500.0
REPAIR_H: Final = 5.0


def checks(data: Path | None) -> Iterator[Check]:
    """The checks of theory; they need no data."""
    yield from _pools()
    yield _availability()


@cache
def _pools() -> tuple[Check, ...]:
    """Paired differences to FPPS under the same luck of the chain, over SEEDS months.

    The result never changes and is cached: 120 months of three pools take half a minute.
    """
    made = []
    btc = {
        model: [_mined(model, seed) for seed in range(SEEDS)] for model in ("fpps", "pplns", "solo")
    }
    mean = statistics.fmean(btc["fpps"])
    for model in ("pplns", "solo"):
        difference = [a - b for a, b in zip(btc[model], btc["fpps"], strict=True)]
        error = statistics.stdev(difference) / math.sqrt(SEEDS)
        check = Check(
            "pools agree in the mean",
            f"{model} against fpps, {SEEDS} months of 50 EH/s",
            round(mean, 2),
            round(statistics.fmean(btc[model]), 2),
            "BTC",
            f"± {3 * error:.2f} BTC (3 standard errors of the paired difference)",
            abs(statistics.fmean(difference)) <= 3 * error,
            "theory: equal expectation before fees",
        )
        made.append(check)
    return tuple(made)


def _mined(model: str, seed: int) -> float:
    tables: dict[str, Any] = {
        "horizon": {"days": 30, "step_s": 21_600, "record_s": 21_600},
        "pool": {"model": model, "fee_fraction": 0.0},
        "faults": {"enabled": False},
    }
    btc = run(one_site(tables, 250_000, MACHINE), "static", seed).kpis["btc_mined_btc"]
    return float(btc or 0.0)


def _availability() -> Check:
    machines, days = 2000, 60
    tables: dict[str, Any] = {
        "horizon": {"days": days, "step_s": 3600},
        "faults": {"asic": {"mtbf_h": MTBF_H, "repair_h": REPAIR_H, "spare_share": 0.0}},
    }
    result = run(one_site(tables, machines, MACHINE, technicians=1000), "static")
    expected = 100 * MTBF_H / (MTBF_H + REPAIR_H)
    got = float(result.kpis["asic_availability_pct"] or 0.0)
    failures = machines * days * 24 / (MTBF_H + REPAIR_H)
    within = 3 * math.sqrt(2 / failures) * (100 - expected)
    return Check(
        "availability",
        f"{machines} machines, {days} days, MTBF {MTBF_H:g} h, MTTR {REPAIR_H:g} h, no queue",
        round(expected, 3),
        round(got, 3),
        "%",
        f"± {within:.3f} (3 standard errors)",
        abs(got - expected) <= within,
        "theory: MTBF / (MTBF + MTTR)",
    )

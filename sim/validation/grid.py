"""DC optimal power flow against the published objectives of the Power Grid Library."""

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

from sim.grid import DcOpf, read_case
from sim.validation.check import Check

NEEDS_DATA: Final = ["DC optimal power flow of seven PGLib-OPF cases (grid/pglib_baseline.csv)"]
RECOMPUTED: Final = "dc_recomputed_b_x_over_r2_x2_no_tap"
RELATIVE: Final = 1e-4


def checks(data: Path | None) -> Iterator[Check]:
    """Each case against the baseline's printed digits and against a programme of 200 pieces."""
    if data is None:
        return
    with (data / "grid/pglib_baseline.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield from _objectives(data / f"grid/{row['case']}.m", row)


def _objectives(case: Path, row: dict[str, str]) -> Iterator[Check]:
    got = DcOpf(read_case(case), voll_usd_per_mwh=None).solve().objective_usd_per_h
    printed = Decimal(row["dc_objective_usd_per_h"])
    digits = len(printed.as_tuple().digits)
    yield Check(
        "DC optimal power flow",
        f"{case.stem}, {row['nodes']} nodes, {row['edges']} edges",
        float(printed),
        float(f"{got:.{digits - 1}e}"),
        "USD/h",
        f"equal in its {digits} digits",
        float(f"{got:.{digits - 1}e}") == float(printed),
        "PGLib-OPF v23.07, BASELINE.md (PowerModels.jl)",
    )
    expected = float(row[RECOMPUTED])
    yield Check(
        "DC optimal power flow, recomputed",
        case.stem,
        expected,
        round(got, 4),
        "USD/h",
        f"± {RELATIVE:.0e} of it",
        abs(got - expected) <= RELATIVE * expected,
        f"grid/pglib_baseline.csv, {RECOMPUTED}",
    )

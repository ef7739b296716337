"""DC optimal power flow against the published objectives of the Power Grid Library."""

from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Final

from sim.grid import DcOpf, read_case
from sim.validation.check import Check, Found, guarded
from sim.validation.recordings import Recorded, recorded

BASELINE: Final = "grid/pglib_baseline.csv"
NEEDS_DATA: Final = [f"DC optimal power flow of seven PGLib-OPF cases ({BASELINE})"]
RECOMPUTED: Final = "dc_recomputed_b_x_over_r2_x2_no_tap"
RELATIVE: Final = 1e-4


def checks(data: Path | None) -> Iterator[Found]:
    """Each case against the published baseline's digits and a programme of 200 pieces."""
    if data is None:
        return
    for row in recorded(data, BASELINE, "case", "dc_objective_usd_per_h", RECOMPUTED):
        what = f"DC optimal power flow, {row.text('case') or f'row {row.row}'}"
        yield from guarded(what, partial(_objectives, data, row))


def _objectives(data: Path, row: Recorded) -> Iterator[Check]:
    name = row.text("case")
    if not name or set(name) & set("/\\:"):
        raise ValueError(f"{BASELINE}, row {row.row}, column case is {name!r}; must be a file name")
    case = data / f"grid/{name}.m"
    row.positive("dc_objective_usd_per_h")
    got = DcOpf(read_case(case), voll_usd_per_mwh=None).solve().objective_usd_per_h
    printed = Decimal(row.text("dc_objective_usd_per_h"))
    digits = len(printed.as_tuple().digits)
    yield Check(
        "DC optimal power flow",
        f"{case.stem}, {row.text('nodes')} nodes, {row.text('edges')} edges",
        float(printed),
        float(f"{got:.{digits - 1}e}"),
        "USD/h",
        f"equal in its {digits} digits",
        float(f"{got:.{digits - 1}e}") == float(printed),
        "PGLib-OPF v23.07, BASELINE.md (PowerModels.jl)",
    )
    expected = row.positive(RECOMPUTED)
    yield Check(
        "DC optimal power flow, recomputed",
        case.stem,
        expected,
        round(got, 4),
        "USD/h",
        f"± {RELATIVE:.0e} of it",
        abs(got - expected) <= RELATIVE * expected,
        f"{BASELINE}, {RECOMPUTED}",
    )

"""Monthly production of listed miners from their operating hashrate and the recorded chain."""

import csv
import re
import statistics
from calendar import month_name
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sim.runner import run
from sim.validation.check import Check
from sim.validation.month import fleet_of

NEEDS_DATA: Final = ["monthly production of listed miners (miner_reports/miner_monthly.csv)"]
EACH: Final = 0.04
MEDIAN: Final = 0.01
SOURCE: Final = "miner_reports/miner_monthly.csv"


def checks(data: Path | None) -> Iterator[Check]:
    """Every row with an average operating hashrate; month-end and partial months told apart.

    A row without an operating average cannot be reproduced; where it has a month-end deployed
    hashrate, production must not exceed what that hashrate yields.
    """
    if data is None:
        return
    with (data / SOURCE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    readme = data / "miner_reports/README.md"
    remarks = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    ratios = []
    for row in rows:
        if not row["btc_produced"]:
            continue
        produced = float(row["btc_produced"])
        item = f"{row['company']} {row['month']}"
        why = explanation(row, remarks)
        partial = bool(re.search(r"partial month|bought during the month|first month", why))
        if row["avg_operating_ehs"]:
            kind = _kind(row["note"])
            simulated = _produced(float(row["avg_operating_ehs"]), row["month"], data)
            ratio = produced / simulated
            fits = abs(ratio - 1.0) <= EACH
            if kind == "average" and not partial:
                ratios.append(ratio)
            tolerance = f"{EACH:.0%}"
            if not fits and why:
                tolerance += f"; ratio {ratio:.3f} explained: {why}"
            yield Check(
                "monthly production" + ("" if kind == "average" else f" ({kind} hashrate)"),
                item,
                produced,
                round(simulated, 1),
                "BTC",
                tolerance,
                fits or bool(why),
                row["source"],
            )
        elif row["month_end_deployed_ehs"]:
            most = _produced(float(row["month_end_deployed_ehs"]), row["month"], data)
            yield Check(
                "production below month-end hashrate",
                item,
                produced,
                round(most, 1),
                "BTC",
                f"at most {1 + EACH:.2f} of the simulated" + (f"; {why}" if why else ""),
                produced <= most * (1 + EACH) or bool(why),
                row["source"],
            )
    if ratios:
        median = statistics.median(ratios)
        yield Check(
            "monthly production, median",
            f"produced / simulated of {len(ratios)} months",
            1.0,
            round(median, 4),
            "-",
            f"{MEDIAN:.0%}; no pool fee is taken off the simulated",
            abs(median - 1.0) <= MEDIAN,
            SOURCE,
        )


def explanation(row: dict[str, str], remarks: str) -> str:
    """What the row's note, or a sentence of the README about this row, says of its production."""
    note = re.sub(r"[^;,]*https?://\S+", "", row["note"]).strip(" ;,")
    year, number = row["month"].split("-")
    spoken = f"{month_name[int(number)]} {year}"
    found = [note] if note else []
    for clause in re.split(r"\n|(?<=[.;])\s|(?<=\)),", remarks):
        names_it = row["company"] in clause and (row["month"] in clause or spoken in clause)
        if names_it:
            found.append(clause.strip(" *,;").removeprefix("Outliers: "))
    return " / ".join(found)


def _kind(note: str) -> str:
    """Whether the operating hashrate of a row is an average, as its column says, or a month end."""
    return "month-end" if re.search(r"month[- ]end (operating )?hash", note) else "average"


def _produced(operating_ehs: float, month: str, data: Path) -> float:
    btc = run(fleet_of(operating_ehs, month, data), "static").kpis["btc_mined_btc"]
    return float(btc or 0.0)

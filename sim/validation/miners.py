"""Monthly production of listed miners from their operating hashrate and the recorded chain.

A note in a row, or in the README, explains a deviation only if it states the size of the effect:
a fleet that grew from A to B in the last days, blocks found by luck. Other remarks on a row have
no effect.
"""

import math
import re
import statistics
from calendar import month_name, monthrange
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from sim.runner import run
from sim.validation.check import Check, Found, LeftOut, guarded
from sim.validation.month import fleet_of
from sim.validation.recordings import Recorded, recorded
from sim.world.difficulty import subsidy_btc

SOURCE: Final = "miner_reports/miner_monthly.csv"
NEEDS_DATA: Final = [f"monthly production of listed miners ({SOURCE})"]
AVERAGE: Final = "monthly production"
EACH: Final = 0.04
MEDIAN: Final = 0.01
STANDARD_ERRORS: Final = 3.0  # standard errors of block luck
LAST_DAYS: Final = 7  # assumed: "the last days" of a month are a week at most
# Assumed: no listed miner ran less than half of its fleet over a month; the lowest in the file is
# 0.55, Riot in July of 2022, when it sold its power instead.
LEAST_OF_MONTH_END: Final = 0.5
HALVED: Final = "2024-05"  # first whole month after the halving of 2024-04-20
HALVING_HEIGHT: Final = 840_000
_NUMBER: Final = r"(\d+(?:\.\d+)?)"
_GREW: Final = re.compile(rf"grew (?:from )?{_NUMBER} to {_NUMBER} EH/s in the last days")
_LUCK: Final = re.compile(r"\b(luck|solo)\b")
_PARTIAL: Final = re.compile(r"partial month|bought during the month|first month")
_MONTH_END: Final = re.compile(r"month[- ]end (operating )?hash")


class Allowed(NamedTuple):
    """Allowed range of produced / simulated, and why if it is not the standard tolerance."""

    low: float
    high: float
    why: str = ""


def checks(data: Path | None) -> Iterator[Found]:
    """Check every row with an average operating hashrate; a month-end hashrate bounds it."""
    if data is None:
        return
    rows = recorded(data, SOURCE, "company", "month", "btc_produced", "avg_operating_ehs")
    readme = data / "miner_reports/README.md"
    remarks = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    ratios = []
    for row in rows:
        what = f"{AVERAGE}, {row.text('company')} {row.text('month')}, row {row.row}"
        for found in guarded(what, partial(_production, row, remarks, data)):
            if isinstance(found, Check) and found.check == AVERAGE:
                ratios.append(float(found.expected) / float(found.simulated))
            yield found
    if ratios:
        median = statistics.median(ratios)
        yield Check(
            f"{AVERAGE}, median",
            f"produced / simulated of {len(ratios)} months",
            1.0,
            round(median, 4),
            "-",
            f"{MEDIAN:.0%}; no pool fee is taken off the simulated",
            abs(median - 1.0) <= MEDIAN,
            SOURCE,
        )


def _production(row: Recorded, remarks: str, data: Path) -> Iterator[Found]:
    column = "avg_operating_ehs" if row.text("avg_operating_ehs") else "month_end_deployed_ehs"
    if not row.text("btc_produced") or not row.text(column):
        return  # not published: nothing to reproduce
    month, ehs, produced = row.month(), row.positive(column), row.positive("btc_produced")
    item, said = f"{row.text('company')} {month}", remarks_on(row, remarks)
    partly = _PARTIAL.search(said)
    if partly and column == "avg_operating_ehs":
        yield LeftOut(f"{AVERAGE}, {item}", f"an average over what part is not said: {said}")
        return
    simulated = _simulated(ehs, month, data)
    check, allowed = AVERAGE, allowed_of(month, said, ehs, simulated)
    if column == "month_end_deployed_ehs":
        check, allowed = "production below month-end hashrate", OF_MONTH_END
    elif _MONTH_END.search(row.text("note")):
        check, allowed = f"{AVERAGE} (month-end hashrate)", OF_MONTH_END
    ratio = produced / simulated
    yield Check(
        check,
        item,
        produced,
        round(simulated, 1),
        "BTC",
        _tolerance(ratio, allowed),
        allowed.low <= ratio <= allowed.high,
        row.text("source") or "the row names no source",
    )


OF_MONTH_END: Final = Allowed(
    LEAST_OF_MONTH_END, 1.0 + EACH, "the fleet at the end of a month in which it grows is a bound"
)


def allowed_of(month: str, said: str, operating_ehs: float, simulated_btc: float) -> Allowed:
    """The standard tolerance, widened by what the remarks on the row (`said`) explain."""
    low, high = 1.0 - EACH, 1.0 + EACH
    year, number = (int(part) for part in month.split("-"))
    days = monthrange(year, number)[1]
    if (grew := _GREW.search(said)) is not None:
        came_ehs = max(float(grew[2]) - float(grew[1]), 0.0)
        low = min(low, 1.0 - came_ehs / operating_ehs * LAST_DAYS / days)
        return Allowed(max(low, LEAST_OF_MONTH_END), high, f"{grew[0]}, taken for {LAST_DAYS}")
    if _LUCK.search(said) is not None:
        # Fewer blocks give a wider range. Blocks are counted by subsidy alone, without fees.
        blocks = simulated_btc / subsidy_btc(HALVING_HEIGHT - (month < HALVED))
        luck = min(STANDARD_ERRORS / math.sqrt(blocks), 1.0 - LEAST_OF_MONTH_END)
        why = f"its own blocks: {STANDARD_ERRORS:g} standard errors of {blocks:.0f}"
        return Allowed(min(low, 1.0 - luck), max(high, 1.0 + luck), why)
    return Allowed(low, high)


def _tolerance(ratio: float, allowed: Allowed) -> str:
    """The row's bounds in words; the explanation is named only where the row needs it."""
    if allowed is OF_MONTH_END:
        return f"{allowed.low:.2f} to {allowed.high:.2f} of the simulated; {allowed.why}"
    if abs(ratio - 1.0) <= EACH or not allowed.why:
        return f"{EACH:.0%}"
    bounds = f"{allowed.low:.3f} to {allowed.high:.3f}"
    fits = "explained" if allowed.low <= ratio <= allowed.high else "not explained"
    return f"{EACH:.0%}; ratio {ratio:.3f} {fits}: {bounds} by {allowed.why}"


def remarks_on(row: Recorded, remarks: str) -> str:
    """Remarks on a row's production: its own note, and the README's sentences about it."""
    note = re.sub(r"[^;,]*https?://\S+", "", row.text("note")).strip(" ;,")
    company, month = row.text("company"), row.text("month")
    year, number = month.split("-")
    spoken = f"{month_name[int(number)]} {year}"
    found = [note] if note else []
    for clause in re.split(r"\n|(?<=[.;])\s|(?<=\)),", remarks):
        if company in clause and (month in clause or spoken in clause):
            found.append(clause.strip(" *,;").removeprefix("Outliers: "))
    return " / ".join(found)


def _simulated(operating_ehs: float, month: str, data: Path) -> float:
    btc = run(fleet_of(operating_ehs, month, data), "static").kpis["btc_mined_btc"]
    if not btc:
        raise ValueError(f"nothing was mined at {operating_ehs:g} EH/s")
    return float(btc)

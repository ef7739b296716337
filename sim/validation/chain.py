"""Bitcoin's consensus arithmetic against the recorded chain, and hashprice against reports."""

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

from sim.runner import run
from sim.validation.check import Check, Found, guarded
from sim.validation.month import fleet_of
from sim.validation.recordings import Recorded, recorded
from sim.world.difficulty import BLOCK_S, EPOCH_BLOCKS, next_bits

RETARGETS: Final = "bitcoin_network/retargets.csv"
NEEDS_DATA: Final = [
    f"retargets of the main chain ({RETARGETS})",
    "hashprice of February 2026 (bitcoin_network/btc_network_daily.csv.gz)",
]
VECTORS: Final = (
    # reference client, src/test/pow_tests.cpp: first time, last time, bits, next bits
    (1261130161, 1262152739, 0x1D00FFFF, 0x1D00D86A),
    (1231006505, 1233061996, 0x1D00FFFF, 0x1D00FFFF),
    (1279008237, 1279297671, 0x1C05A3F4, 0x1C0168FD),
    (1263163443, 1269211443, 0x1C387F6F, 0x1D00E1FD),
)
SPAN_TOLERANCE_S: Final = 2


def checks(data: Path | None) -> Iterator[Found]:
    """Reference vectors, every retarget, the gaps between epochs, hashprice."""
    for first_s, last_s, bits, wanted in VECTORS:
        got = next_bits(bits, first_s, last_s)
        yield Check(
            "retarget rule",
            f"{bits:#010x} after {last_s - first_s} s",
            f"{wanted:#010x}",
            f"{got:#010x}",
            "",
            "exact",
            got == wanted,
            "reference client, pow_tests.cpp",
        )
    if data is not None:
        yield from guarded("retargets of the main chain", partial(_recorded_retargets, data))
        yield from guarded("hashprice of February 2026", partial(_hashprice, data))


def _recorded_retargets(data: Path) -> Iterator[Found]:
    columns = ("height", "first_block_time_unix", "time_kind", "bits", "prev_epoch_span_s")
    rows = recorded(data, RETARGETS, *columns)
    for before, row in pairwise(rows):
        what = f"retarget, row {row.row}"
        yield from guarded(what, partial(_retarget, before, row))
    yield from guarded("gaps between epochs", partial(_gaps, rows))


def _retarget(before: Recorded, row: Recorded) -> Iterator[Found]:
    if not (before.text("bits") and row.text("bits") and row.text("prev_epoch_span_s")):
        return  # no recording
    apart = row.number("height") - before.number("height")
    if apart != EPOCH_BLOCKS:
        raise ValueError(f"{apart:g} blocks after the row before it, not {EPOCH_BLOCKS:,}")
    bits, wanted = before.hexadecimal("bits"), row.hexadecimal("bits")
    span = row.positive("prev_epoch_span_s")
    spans = range(math.ceil(span - SPAN_TOLERANCE_S), math.floor(span + SPAN_TOLERANCE_S) + 1)
    given = {s: next_bits(bits, 0, s) for s in spans}
    exact = [s for s, b in given.items() if b == wanted]
    got = wanted if exact else given[min(spans, key=lambda s: abs(s - span))]
    yield Check(
        "retargets of the main chain",
        f"height {row.text('height')}, span {span:.1f} s",
        row.text("bits"),
        f"{got:#010x}",
        "",
        f"exact, for a whole-second span within {SPAN_TOLERANCE_S} s of the recorded",
        bool(exact),
        RETARGETS,
    )


def _gaps(rows: list[Recorded]) -> Iterator[Found]:
    """Start-to-start time of two epochs less the span of the first: one block gap."""
    gaps = [
        row.number("first_block_time_unix") - before.number("first_block_time_unix")
        - row.number("prev_epoch_span_s")
        for before, row in pairwise(rows)
        if before.text("time_kind").startswith("exact")
        and row.text("time_kind").startswith("exact")
        and row.number("height") - before.number("height") == EPOCH_BLOCKS
    ]  # fmt: skip
    if not gaps:
        raise ValueError(f"{RETARGETS}: no two neighbours with time_kind exact")
    mean_s = sum(gaps) / len(gaps)
    within_s = 3 * BLOCK_S / math.sqrt(len(gaps))
    yield Check(
        "gaps between epochs",
        f"mean of {len(gaps)} gaps, {sum(g < 0 for g in gaps)} of them negative",
        float(BLOCK_S),
        round(mean_s, 1),
        "s",
        f"± {within_s:.0f} s (3 standard errors of an exponential mean)",
        abs(mean_s - BLOCK_S) <= within_s,
        f"{RETARGETS}, rows with exact header times",
    )


def _hashprice(data: Path) -> Iterator[Found]:
    """Hashprice before and after the retarget of -11.16 % on 2026-02-07, at those days' prices."""
    scenario = fleet_of(1.0, "2026-02", data, record_s=86_400)
    table = run(scenario, "static").table("fleet")
    price = table["hashprice_usd_per_ph_day"].to_pylist()
    level = table["difficulty"].to_pylist()
    epochs = list(dict.fromkeys(level))
    if len(epochs) < 2:
        raise ValueError(f"{RETARGETS}: no retarget within 2026-02")
    old = [p for p, d in zip(price, level, strict=True) if d == epochs[0]]
    new = [p for p, d in zip(price, level, strict=True) if d == epochs[1]]
    for item, expected, got, how in (
        (
            "lowest day before the retarget",
            27.0,
            min(old),
            "10 %: daily closes, the low was within a day",
        ),
        ("highest day in the epoch after it", 35.0, max(new), "5 %"),
    ):
        yield Check(
            "hashprice of February 2026",
            item,
            expected,
            round(got, 2),
            "USD/PH/day",
            how,
            abs(got / expected - 1.0) <= float(how.split(" ")[0]) / 100.0,
            "reported: about 27, then about 35 USD/PH/day after the retarget of -11 %",
        )

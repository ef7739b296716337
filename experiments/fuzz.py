"""Mutated input files: every one is read or refused in words, never a traceback, hang or flood.

    python experiments/fuzz.py [--mutations 20000] [--seed 1] [--kinds traces cases …]

Each kind of file is one entry of `KINDS`: what good files look like, who reads them, and which
errors are refusals. A reader that takes longer than a minute ends the run with its stack shown.
The memory of the process is bounded where the system can (Linux, macOS).
"""

import argparse
import faulthandler
import gzip
import importlib.util
import io
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from openpyxl import Workbook
from pydantic import ValidationError

from sim.grid import CaseError, read_case
from sim.scenario import load
from sim.scenario.cells import rows_of, title
from sim.scenario.problems import Problem, ScenarioError, from_validation
from sim.scenario.rows import AsicGroup
from sim.scenario.series import SeriesError
from sim.scenario.series.importing import understood
from sim.scenario.spreadsheet import SpreadsheetError, read_csv, read_workbook
from sim.serving.traces import TraceError, read_trace
from sim.studies.checked import check_experiment

MEMORY_BYTES: Final = 8 << 30
HANG_S: Final = 60
SLOW_S: Final = 5.0

_CASE: Final = b"""function mpc = three
mpc.version = '2';
mpc.baseMVA = 100.0;
mpc.bus = [
 1 3 0 0 0 0 1 1 0 230 1 1.1 0.9;
 2 2 0 0 0 0 1 1 0 230 1 1.1 0.9; % a comment
 7 1 150 0 0 0 1 1 0 230/sqrt(3) 1 1.1 0.9;
];
mpc.gen = [ 1 0 0 0 0 1 100 1 200 0; 2 0 0 0 0 1 100 1 200 0 ];
mpc.gencost = [ 2 0 0 3 0 10 0 0; 1 0 0 2 0 0 10 300 ];
mpc.branch = [
 1 2 0 0.1 0 0 0 0 0 0 1 -360 360;
 1 7 0 0.1 0 80 0 0 0 0 1 -360 360;
 2 7 0 0.1 0 0 0 0 0 0 1 -360 360;
];
mpc.bus_name = {'a'; "b"; 'c'};
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD] = idx_bus;
if mpc.baseMVA > 1, mpc.bus(:, PD) = mpc.bus(:, PD) / 1e3; end
"""
_ROWS: Final = [
    {"timestamp": 1000 * i, "input_length": 500 * i + 40, "output_length": 5,
     "hash_ids": list(range(-(-(500 * i + 40) // 512)))} for i in range(6)
]  # fmt: skip
_VLLM: Final = {"input_lens": [5, 6], "output_lens": [7, 0], "start_times": [1.5, 2.5]}
_CSV: Final = b"arrival_s,prompt_tokens,output_tokens,hit_tokens\n0,5,6,0\n1.5,70,8,64\n3,9,9,1\n"
_AZURE: Final = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,44\n"


class Kind(NamedTuple):
    """Files of one kind by their names, their reader, and the errors that are refusals."""

    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    refusals: tuple[type[Exception], ...]


def _book() -> bytes:
    packed = io.BytesIO()
    book = Workbook()
    sheet = book.worksheets[0]
    for row in (("Site", "Model", "Count", "age_years"), ("a", "Antminer S21", 900, 1.5)):
        sheet.append(row)
    book.save(packed)
    return packed.getvalue()


def read_sheet(file: Path) -> object:
    """A sheet of ASICs, down to its rows' values."""
    problems: list[Problem] = []
    if file.suffix == ".xlsx":
        grids = list(read_workbook(file).values())
    else:
        grids = [read_csv(file, lambda text: title(text) in AsicGroup.model_fields)]
    found = [rows_of(file.name, AsicGroup, grid, problems, []) for grid in grids]
    for row in [row for rows in found for row in rows]:
        try:
            AsicGroup.model_validate(row.cells)
        except ValidationError as error:
            problems += from_validation(error, row.file, AsicGroup)
    if problems:
        raise ScenarioError(file.name, problems)
    return found


_SHEET: Final = "Site;Model;Count;age_years\na;Antminer S21;900;1,5\nb;Antminer S9;1200;0,5\n"

_SCENARIO: Final = {
    "scenario.toml": b"""
[horizon]
start_utc = 2026-03-01T00:00:00Z
days = 1
step_s = 3600
[network]
model = "growth"
[btc_price]
model = "constant"
usd_per_btc = 90000
[prices.zones.z]
model = "replay"
series = "p"
column = "usd"
[series.p]
file = "p.csv"
max_gap_h = 1.0
[treasury]
opening_usd = 1e6
opening_btc = 20
[loans.bank]
principal_usd = 1e5
limit_usd = 2e6
collateral_btc = 10
[faults]
enabled = true
""",
    "sites.csv": b"name,country,price_zone,climate,timezone,power_limit_mw\n"
    b"a,US,z,dallas-tx,America/Chicago,5\nb,US,z,houston-tx,America/Chicago,7.5\n",
    "asics.csv": b"site,model,count,age_years\na,Antminer S21,900,1.5\nb,Antminer S9,400,6\n",
    "gpus.csv": b"site,gpu,nodes,usd_per_gpu_h\nb,h100-sxm,3,2.1\n",
    "batteries.csv": b"site,power_mw,energy_mwh\na,1,2\n",
    "p.csv": b"time_utc,usd\n"
    + b"".join(b"2026-03-%02dT%02d:00:00Z,%d\n" % (1 + h // 24, h % 24, h) for h in range(25)),
}


def read_scenario(file: Path) -> object:
    """A whole folder in which one file is the one given."""
    folder = file.parent / "scenario"
    folder.mkdir(exist_ok=True)
    for name, content in _SCENARIO.items():
        (folder / name).write_bytes(file.read_bytes() if name == file.name else content)
    return load(folder)


_EXPERIMENT: Final = b"""
scenario = "tiny"
policies = ["static", { name = "price-threshold", parameters = { max_usd_per_mwh = 60 } }]
seeds = 2
kpis = ["gross_margin_usd"]
[changes]
"horizon.days" = 1
[axes.size.one]
[axes.size.two]
"sites.alpha.power_limit_mw" = 20
"""


def read_series_file(file: Path) -> object:
    """A recorded series with its layout found, and its first column of numbers."""
    found = understood(file, None, None, {"timezone": "America/Chicago"})
    return found[0].column(found[1])


_SERIES: Final = {
    "plain.csv": b"time_utc,usd\n2026-03-01T00:00:00Z,1\n2026-03-01T01:00:00Z,2.5\n"
    b"2026-03-01T02:00:00Z,-3\n",
    "ercot.csv": b"Delivery Date,Delivery Hour,Delivery Interval,Repeated Hour Flag,"
    b"Settlement Point Name,Settlement Point Type,Settlement Point Price\n"
    + b"".join(b"06/01/2026,%d,%d,N,LZ_WEST,LZ,%d\n" % (h, k, h) for h in (1, 2)
               for k in (1, 2, 3, 4)),
    "local.csv": b"when;p\n2026-03-08 01:00;1,5\n2026-03-08 03:00;2,25\n",
    "epochs.csv.gz": gzip.compress(b"open_time,open\n1735689600000,1\n1735693200000,2\n", mtime=0),
}  # fmt: skip

KINDS: Final[Mapping[str, Kind]] = {
    "scenarios": Kind(_SCENARIO, read_scenario, (ScenarioError,)),
    "experiments": Kind({"question.toml": _EXPERIMENT}, check_experiment, (ScenarioError,)),
    "series": Kind(_SERIES, read_series_file, (SeriesError,)),
    "cases": Kind({"case.m": _CASE}, read_case, (CaseError,)),
    "sheets": Kind(
        {
            "asics.csv": _SHEET.encode(),
            "asics-16.csv": _SHEET.encode("utf-16"),
            "asics.xlsx": _book(),
        },
        read_sheet,
        (SpreadsheetError, ScenarioError),
    ),
    "traces": Kind(
        {
            "plain.csv": _CSV,
            "azure.csv": _AZURE,
            "mooncake.jsonl": b"".join(json.dumps(row).encode() + b"\n" for row in _ROWS),
            "vllm.json": json.dumps(_VLLM).encode(),
            "packed.csv.gz": gzip.compress(_CSV, mtime=0),
        },
        read_trace,
        (TraceError,),
    ),
}

_NUMBER: Final = (
    *b"0 -1 1e19 1e308 1e400 nan NaN Inf -Inf null true 3 [[1]] 0.5 1,5 4.000 0x10 1_0".split(),
    *b"16777217 999999999999999999999 9999-12-31T23:59:59Z 0001-01-01".split(),
    b"9" * 5000, b"", b"'", b'"', b"x" * 5000,
)  # fmt: skip
_PIECES: Final = (
    b"\x00", b"\r", b"\n\n", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe9", b";", b"\t", b"[" * 2000,
    b"(" * 2000, b"-" * 2000, b"{" * 2000, b"%{\n", b"...", b"'", b'"', b",", b"]", b"}", b"end\n",
    b"zeros(1e9,1e9)", b"x(1e9,1e9)=1;", b"1:1e15", b"for k=1:9\n", b"x" * 140_000,
)  # fmt: skip


def mutated(data: bytes, draw: np.random.Generator) -> bytes:
    """One to four changes of a kind that files suffer, or that break parsers."""
    for _ in range(int(draw.integers(1, 5))):
        at = int(draw.integers(0, len(data) + 1))
        much = int(draw.integers(1, 20))
        lines = data.split(b"\n")
        line = int(draw.integers(0, len(lines)))
        match int(draw.integers(0, 8)):
            case 0:
                data = data[:at] + bytes(draw.integers(0, 256, much, dtype=np.uint8)) + data[at:]
            case 1:
                data = data[:at] + data[at + much :]
            case 2:
                data = data[:at]
            case 3:
                data = data[:at] + _PIECES[int(draw.integers(0, len(_PIECES)))] + data[at:]
            case 4:
                data = b"\n".join([*lines[:line], lines[line], *lines[line:]])
            case 5:
                data = b"\n".join([*lines[:line], *lines[line + 1 :]])
            case 6:
                data = _renumbered(data, draw)
            case _:
                other = int(draw.integers(0, len(lines)))
                lines[line], lines[other] = lines[other], lines[line]
                data = b"\n".join(lines)
    return data


def _renumbered(data: bytes, draw: np.random.Generator) -> bytes:
    """A run of digits becomes what stands for a number, or should not."""
    digits = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if not digits:
        return data
    first = last = digits[int(draw.integers(0, len(digits)))]
    while last < len(data) and 48 <= data[last] <= 57:
        last += 1
    return data[:first] + _NUMBER[int(draw.integers(0, len(_NUMBER)))] + data[last:]


def fuzz(name: str, mutations: int, seed: int, folder: Path) -> Counter[str]:
    """Count what became of mutated files of a kind; what is neither read nor refused is kept.

    `folder` holds the file being read, and as `failed-…` those that were not refused in words.
    """
    kind, count = KINDS[name], Counter[str]()
    draw = np.random.default_rng([seed, *name.encode()])
    titles = list(kind.files)
    for number in range(mutations):
        title = titles[number % len(titles)]
        file = folder / title
        data = kind.files[title]
        if title.endswith(".gz") and draw.random() < 0.5:
            data = gzip.compress(mutated(gzip.decompress(data), draw), mtime=0)
        else:
            data = mutated(data, draw)
        file.write_bytes(data)
        began = time.perf_counter()
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            kind.read(file)
            found = "read"
        except kind.refusals:
            found = "refused"
        except Exception as error:  # that is what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            found = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}: {error}"
            found = f"FAILED {found[:150]}"
            (folder / f"failed-{name}-{number}-{title}").write_bytes(data)
        finally:
            faulthandler.cancel_dump_traceback_later()
        if time.perf_counter() - began > SLOW_S:
            found = f"FAILED slow: {title}"
            (folder / f"failed-{name}-{number}-{title}").write_bytes(data)
        count[found] += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--keep", type=Path, help="folder for the files that failed")
    given = parser.parse_args()
    if importlib.util.find_spec("resource"):
        import resource  # noqa: TID251  # where there is one

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    failed = False
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if given.keep is None else given.keep
        folder.mkdir(parents=True, exist_ok=True)
        for name in given.kinds:
            count = fuzz(name, given.mutations // len(given.kinds), given.seed, folder)
            failed |= any(found.startswith("FAILED") for found in count)
            print(f"{name}: " + "; ".join(f"{n:,} {found}" for found, n in count.most_common()))
    sys.exit(failed)


if __name__ == "__main__":
    main()

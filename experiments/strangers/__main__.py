"""Files as strangers have them: each is read right, to the value, or refused in clear words.

    python -m experiments.strangers [--each 6] [--seed 1] [--kinds WORD …] [--keep DIR]

Every kind of file is made anew from
the seed, `--each` times with other figures. A file has the value that must come out of it, or the
words that its refusal must hold. Prints kinds and what became of them; exits with 1 if any file was
read as something else, refused in other words, or ended in an error of Python's own.
"""

import argparse
import math
import sys
import tempfile
import traceback
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from experiments.strangers import cases, fleets, markets, scenarios, series, sheets, traces
from experiments.strangers.trial import Kind, Trial
from sim.grid import CaseError
from sim.scenario import ScenarioError
from sim.scenario.series import SeriesError
from sim.serving.traces import TraceError

KINDS: Final[Mapping[str, Kind]] = {
    name: kind
    for module in (series, markets, sheets, fleets, cases, traces, scenarios)
    for name, kind in module.KINDS.items()
}
REFUSALS: Final = (ScenarioError, SeriesError, CaseError, TraceError)
READ, REFUSED = "read right", "refused clearly"


def trials(kind: str, seed: int, each: int) -> list[Trial]:
    """The files of a kind: the same for the same seed, whatever other kinds there are."""
    draw = np.random.default_rng([seed, zlib.crc32(kind.encode())])
    return [KINDS[kind](draw, number) for number in range(each)]


def outcome(trial: Trial, folder: Path) -> str:
    """What became of a file: READ, REFUSED, or what went wrong."""
    for name, content in trial.files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        found = trial.read(folder)
    except REFUSALS as error:
        lacking = [word for word in trial.says if word not in str(error)]
        if not trial.says:
            return f"WRONGLY REFUSED: {error}"
        return f"UNCLEAR, does not say {lacking}: {error}" if lacking else REFUSED
    except Exception as error:  # that is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"TRACEBACK: {type(error).__name__} in {place}: {error}"
    if trial.says:
        return f"SILENT: read as {found!r}, and should say {trial.says}"
    return READ if same(found, trial.right) else f"MISREAD: {found!r}, and is {trial.right!r}"


def same(found: object, right: object) -> bool:
    """Equal, numbers to a part in 1e9, also within lists."""
    if isinstance(right, list | tuple) and isinstance(found, list | tuple):
        pairs = zip(found, right, strict=False)
        return len(found) == len(right) and all(same(a, b) for a, b in pairs)
    if isinstance(right, float) and isinstance(found, int | float):
        return math.isclose(found, right, rel_tol=1e-9, abs_tol=1e-9)
    return found == right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=6, help="files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=[""], help="words in the names of kinds")
    parser.add_argument("--keep", type=Path, help="folder for all files")
    given = parser.parse_args()
    total = Counter[str]()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as made:
        print(f"{'kind':58s} {READ:>12s} {REFUSED:>16s} {'wrong':>6s}")
        for kind in (k for k in KINDS if any(word in k for word in given.kinds)):
            count = Counter[str]()
            for number, trial in enumerate(trials(kind, given.seed, given.each)):
                folder = (given.keep or Path(made)) / kind.replace("/", " per ") / str(number)
                folder.mkdir(parents=True, exist_ok=True)
                became = outcome(trial, folder)
                count[became if became in (READ, REFUSED) else "wrong"] += 1
                if became not in (READ, REFUSED):
                    wrong.append(f"{kind}, {number}: {became[:400]}")
            total += count
            print(f"{kind:58s} {count[READ]:12d} {count[REFUSED]:16d} {count['wrong']:6d}")
    print(f"{'in all':58s} {total[READ]:12d} {total[REFUSED]:16d} {total['wrong']:6d}")
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

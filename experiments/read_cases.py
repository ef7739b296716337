"""Every MATPOWER case file of some folders: read right, or refused and why.

    python experiments/read_cases.py FOLDER... [--matpower LIB]

Folders are searched with all that is in them. With `--matpower`, the folder `lib` of a copy of
MATPOWER, Octave loads each file too (`loadcase`), and its matrices are compared with ours.
"""

import argparse
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

import numpy as np
from scipy.io import loadmat

from sim.grid import CaseError, read_case
from sim.grid.matlab import evaluate

MATRICES: Final = ("baseMVA", "bus", "gen", "branch", "gencost")
_OCTAVE: Final = """
warning('off', 'all'); addpath('{lib}');
files = strsplit(fileread('{names}'), "\\n");
for k = 1:numel(files)
  try
    mpc = loadcase(files{{k}}); save('-v7', sprintf('{out}/%d.mat', k), 'mpc');
  end
end
"""


def octave(files: list[Path], lib: Path, out: Path) -> None:
    """Leave what Octave reads of file k in k.mat, from 1 on."""
    names = out / "names"
    names.write_text("\n".join(str(file.resolve()) for file in files), encoding="utf-8")
    script = _OCTAVE.format(lib=lib.resolve(), names=names, out=out)
    command = ["octave-cli", "--quiet", "--no-init-file", "--eval", script]
    subprocess.run(command, check=False, capture_output=True)


def differs(file: Path, theirs: Path) -> str:
    """Which matrix differs from Octave's, "" when none does."""
    if not theirs.is_file():
        return "Octave does not load it"
    twin = loadmat(theirs, struct_as_record=True)["mpc"][0, 0]
    text = file.read_bytes().decode("latin-1")
    found = evaluate(text, ragged="gencost")
    ours = found.values[found.outputs[0]]
    if not isinstance(ours, dict):
        return "no structure"
    for name in MATRICES:
        if name in ours and not np.array_equal(ours[name], twin[name], equal_nan=True):
            return f"{name} differs"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--matpower", type=Path, help="folder lib of MATPOWER: compare by Octave")
    given = parser.parse_args()
    files = sorted(file for folder in given.folders for file in folder.rglob("*.m"))
    count: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as out:
        if given.matpower is not None:
            octave(files, given.matpower, Path(out))
        print("| file | buses | branches | generators | verdict |\n|---|---|---|---|---|")
        for k, file in enumerate(files, 1):
            try:
                case = read_case(file)
            except CaseError as error:
                lines = str(error).splitlines()
                count["refused"] += 1
                more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
                print(
                    f"| {file.stem} | | | | refused: {lines[0].removeprefix(f'{file}: ')}{more} |"
                )
                continue
            verdict = "read"
            if given.matpower is not None:
                wrong = differs(file, Path(out) / f"{k}.mat")
                verdict = f"DIFFERS: {wrong}" if wrong else "read, equal to Octave's"
            count[verdict] += 1
            sizes = f"{len(case.bus_number)} | {len(case.branch_from)} | {len(case.gen_bus)}"
            said = "".join(f"; {note}" for note in case.notes)
            print(f"| {file.stem} | {sizes} | {verdict}{said} |")
    print("\n" + ", ".join(f"{n} {verdict}" for verdict, n in sorted(count.items())))


if __name__ == "__main__":
    main()

"""DC optimal power flow beside two other programs: PYPOWER, and MATPOWER in Octave.

    python experiments/cross_check_opf.py FOLDER... [--matpower FOLDER] [--buses 3400]

Every MATPOWER case of the folders of at most so many buses is solved by each. PYPOWER is installed
in an environment of its own, which goes afterwards; MATPOWER (`--matpower`, a copy of its
repository) needs `octave-cli`. Susceptances are theirs, 1/(x tap); nothing is shed. Compared are
objectives, relative, and prices of every bus; both others solve to tolerances of 1e-9 or, marked
*, where they do not get there, to their usual ones. Where several dispatches or prices are optimal
(costs without curvature) prices may differ although both are right: so the table tells the largest
and the median difference. A case that neither of the other programs solves is counted apart.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sim.grid import CaseError, DcOpf, Dispatch, OpfError, read_case
from sim.grid.matlab import evaluate

TIMEOUT_S: Final = 600
PINNED: Final = ("pypower==5.1.18", "numpy<2", "scipy<1.14")  # the last that it runs with
PYPOWER: Final = """
import json, sys, warnings
import numpy as np
from pypower.api import ppoption, rundcopf
warnings.simplefilter("ignore")
with open(sys.argv[1], encoding="utf-8") as file:
    case = {k: np.array(v) if isinstance(v, list) else v for k, v in json.load(file).items()}
fine = {f"PDIPM_{name}TOL": 1e-9 for name in ("FEAS", "GRAD", "COMP", "COST")}
for chosen in (fine, {}):
    found = rundcopf(case, ppoption(VERBOSE=0, OUT_ALL=0, PDIPM_MAX_IT=500, **chosen))
    if found["success"]:
        break
print(json.dumps({"ok": bool(found["success"]), "f": float(found["f"]), "fine": bool(chosen),
                  "lmp": np.asarray(found["bus"])[:, 13].tolist()}))
"""
OCTAVE: Final = """
warning('off', 'all'); root = '{root}';
for part = {{'lib', 'mips/lib', 'mp-opt-model/lib', 'mptest/lib'}}
  addpath(genpath(fullfile(root, part{{1}})));
end
usual = mpoption('verbose', 0, 'out.all', 0, 'opf.dc.solver', 'MIPS', 'mips.max_it', 500);
fine = mpoption(usual, 'mips.feastol', 1e-9, 'mips.gradtol', 1e-9, 'mips.comptol', 1e-9, ...
  'mips.costtol', 1e-9);
found = rundcopf('{case}', fine); is_fine = found.success;
if (~is_fine)
  found = rundcopf('{case}', usual);
end
file = fopen('{out}', 'w');
fprintf(file, '%d %.17g %d\\n', found.success, found.f, is_fine);
fprintf(file, '%.17g\\n', found.bus(:, 14));
fclose(file);
"""


class Answer(NamedTuple):
    """What another program found."""

    usd_per_h: float
    lmp_usd_per_mwh: Any  # (bus,)
    fine: bool  # at tolerances of 1e-9; else at its usual ones, of 1e-8 to 1e-6


def environment(folder: Path) -> Path:
    """The Python of an environment with PYPOWER."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "-q", *PINNED], check=True)
    return python


def by_pypower(python: Path, file: Path, work: Path) -> Answer | None:
    """PYPOWER's answer, if it ends well."""
    found = evaluate(file.read_bytes().decode("latin-1"), ragged="gencost")
    case = found.values[found.outputs[0]]
    assert isinstance(case, dict)
    names = ("baseMVA", "bus", "gen", "branch", "gencost")
    written: dict[str, Any] = {name: np.asarray(case[name]).tolist() for name in names}
    written["baseMVA"] = float(np.asarray(case["baseMVA"]).reshape(-1)[0])
    (work / "case.json").write_text(json.dumps({**written, "version": "2"}), encoding="utf-8")
    (work / "opf.py").write_text(PYPOWER, encoding="utf-8")
    command = [str(python), str(work / "opf.py"), str(work / "case.json")]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S)
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError):
        return None
    return Answer(answer["f"], np.array(answer["lmp"]), answer["fine"]) if answer["ok"] else None


def by_matpower(root: Path, file: Path, work: Path) -> Answer | None:
    """The same of MATPOWER."""
    out = work / "matpower.txt"
    out.unlink(missing_ok=True)
    script = OCTAVE.format(root=root.resolve(), case=file.resolve(), out=out)
    command = ["octave-cli", "--quiet", "--no-init-file", "--eval", script]
    try:
        subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
        lines = out.read_text(encoding="utf-8").split()
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return None
    if lines[0] != "1":
        return None
    return Answer(float(lines[1]), np.array(lines[3:], dtype=np.float64), lines[2] == "1")


def row(ours: Dispatch, theirs: Answer | None) -> tuple[str, float]:
    """Cells of a table, and how far the objective is off."""
    if theirs is None:
        return " no answer | | ", np.nan
    usd_per_h = theirs.usd_per_h
    off = abs(ours.objective_usd_per_h - usd_per_h) / max(abs(usd_per_h), 1.0)
    apart = np.abs(ours.lmp_usd_per_mwh - theirs.lmp_usd_per_mwh)
    mark = "" if theirs.fine else " *"
    return f" {off:.1e}{mark} | {np.median(apart):.1e} | {apart.max():.1e} ", off


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--matpower", type=Path, help="a copy of MATPOWER's repository")
    parser.add_argument("--buses", type=int, default=3400)
    given = parser.parse_args()
    files = sorted({file for folder in given.folders for file in folder.rglob("*.m")})
    worst: dict[str, list[float]] = {"PYPOWER": [], "MATPOWER": []}
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        python = environment(work / "environment")
        print("| case | buses | objective, USD/h | PYPOWER: objective | LMP median, USD/MWh | most "
              "| MATPOWER: objective | LMP median, USD/MWh | most |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|---|")
        for file in files:
            try:
                case = read_case(file)
                if len(case.bus_number) > given.buses:
                    continue
                ours = DcOpf(case, voll_usd_per_mwh=None, susceptance="1/(x·tap)").solve()
            except (CaseError, OpfError) as error:
                print(f"| {file.stem} | | {str(error).splitlines()[0]} | | | | | | |")
                continue
            cells = ""
            for name, theirs in (
                ("PYPOWER", by_pypower(python, file, work)),
                ("MATPOWER", by_matpower(given.matpower, file, work) if given.matpower else None),
            ):
                cell, off = row(ours, theirs)
                cells += f"|{cell}"
                worst[name].append(off)
            print(f"| {file.stem.removeprefix('pglib_opf_')} | {len(case.bus_number)} "
                  f"| {ours.objective_usd_per_h:.8g} {cells}|", flush=True)  # fmt: skip
    for name, offs in worst.items():
        known = [x for x in offs if np.isfinite(x)]
        if known:
            print(
                f"{name}: {len(known)} of {len(offs)} answered, objectives within {max(known):.1e}"
            )


if __name__ == "__main__":
    main()

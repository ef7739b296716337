"""How many small defects do the tests find? A seeded sample of mutants, each tried on its tests.

    python experiments/mutate.py --map --workers 2        which test runs which line (whole suite)
    python experiments/mutate.py --sample 150 --seed 1    draw, try, and show who survived

A mutant changes one operator, constant, comparison or statement in a line that tests run. Of these
tests the fast ones go first; then, within `--seconds`, the others that run its file, for what is
computed once and kept, such as the catalogue. A mutant of a kernel runs as plain Python
(NUMBA_DISABLE_JIT), by the tests in PLAIN: nothing is compiled. One that hangs counts as found.
What was tried is kept and not tried again (`--again`: survivors are); mutants that are the same
programme in other words stand in `equivalent_mutants.csv`, each with its reason.
"""

import argparse
import csv
import difflib
import json
import os
import queue
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

from coverage import CoverageData
from mutants import Mutant, differs, mutants_of
from scipy import stats

from sim.kernels.jit import source_digest

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / ".mutation"
ROOMS: Final = (
    "finance", "results", "engine", "plant", "policies", "serving_fleet", "studies", "kernels",
    "world", "grid",
)  # fmt: skip
PLAIN: Final = (  # tests that reach the kernels and are quick without the compiler
    "tests/kernels", "tests/grid/test_grant.py", "tests/finance/test_energy_costs.py",
    "tests/finance/test_treasury.py", "tests/plant/test_programmes.py", "tests/policies",
    "tests/laws/test_happened.py", "tests/serving_fleet/test_fleet.py",
)  # fmt: skip
TOO_LONG: Final = (  # of these, minutes each without the compiler
    "test_no_request_is_lost_whatever_is_switched_off", "test_what_is_paid_and_what_is_given_back",
)  # fmt: skip
LONGEST_S: Final = 40.0  # a test that takes longer is asked last
SKIPPED: Final = ("sim/kernels/jit.py",)  # only runs where kernels are compiled


class Tests(NamedTuple):
    """What is known of the tests."""

    seconds: dict[str, float]  # of each test that passes
    lines: dict[str, dict[int, set[str]]]  # by file, then line: the tests that run it


class Found(NamedTuple):
    """A mutant that was drawn, and what came of it."""

    key: str
    file: str
    mutant: Mutant
    source: str


def main() -> None:
    options = _options()
    FOLDER.mkdir(exist_ok=True)
    if options.map:
        make_map(options.tests, options.workers)
        return
    tests = {mode: read_map(mode) for mode in ("compiled", "plain")}
    drawn = draw(options, tests)
    kept = _kept(options.again)
    equal = _equivalent()
    todo = [d for d in drawn if d.key not in kept and _reason(d, equal) is None]
    until = time.monotonic() + 60.0 * options.minutes
    copies: queue.Queue[Path] = queue.Queue()
    for k in range(options.workers):
        copies.put(_copy(FOLDER / "copies" / str(k)))

    def ask(found: Found) -> None:
        if time.monotonic() > until:
            return
        copy = copies.get()
        try:
            kept[found.key] = attempt(found, tests[_mode(found.file)], copy, options.seconds)
        finally:
            copies.put(copy)
        with (FOLDER / "tried.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps({"key": found.key, **kept[found.key]}) + "\n")
        print(f"{kept[found.key]['what']:9} {found.file}:{found.mutant.lines[0]}", flush=True)

    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(ask, todo))
    report(drawn, kept, equal)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--map", action="store_true", help="run the tests and keep who runs what")
    parser.add_argument("--tests", nargs="*", default=[], help="with --map: bring these up to date")
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS))
    parser.add_argument("--seconds", type=float, default=90.0, help="of tests for each mutant")
    parser.add_argument("--minutes", type=float, default=1e6, help="then the rest is left out")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="try survivors once more")
    return parser.parse_args()


def make_map(chosen: list[str], workers: int) -> None:
    """Run all tests, or bring some up to date, with a note of each line that each of them runs."""
    every = [path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("tests/**/test_*.py"))]
    for mode, tests in (("compiled", every), ("plain", [t for t in every if t.startswith(PLAIN)])):
        if chosen:
            tests = chosen if mode == "compiled" else [t for t in chosen if t.startswith(PLAIN)]
        else:
            for old in FOLDER.glob(f"{mode}*"):
                old.unlink()
        shares = [tests[k::workers] for k in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(partial(_note, mode), range(workers), shares))
        notes = CoverageData(str(FOLDER / mode))
        notes.read()
        for path in sorted(set(FOLDER.glob(f"{mode}+*")) - set(FOLDER.glob("*.xml"))):
            part = CoverageData(str(path))
            part.read()
            notes.update(part)
            path.unlink()
        notes.write()


def _note(mode: str, worker: int, tests: list[str]) -> None:
    """Run some tests in one process; pytest-cov keeps no contexts where it shares work out."""
    if not tests:
        return
    name = f"{mode}+{time.time_ns()}-{worker}"
    environment = {**os.environ, "COVERAGE_FILE": str(FOLDER / name), "MPLBACKEND": "Agg"}
    left_out: list[str] = []
    if mode == "plain":
        environment["NUMBA_DISABLE_JIT"] = "1"
        left_out = ["-k", " and ".join(f"not {name}" for name in TOO_LONG)]
    cov = ["--cov=sim", "--cov-context=test", "--cov-report=", f"--junitxml={FOLDER / name}.xml"]
    command = [sys.executable, "-m", "pytest", *cov, "-n", "0", "--dist", "no", *left_out, *tests]
    subprocess.run(command, cwd=ROOT, env=environment)


def read_map(mode: str) -> Tests:
    """Durations of the tests that pass, and the tests of each line."""
    seconds: dict[str, float] = {}
    for report in sorted(FOLDER.glob(f"{mode}+*.xml")):
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            file = case.attrib["classname"].replace(".", "/") + ".py"
            name = f"{file}::{case.attrib['name']}"
            if case.find("failure") is None and case.find("error") is None:
                seconds[name] = float(case.attrib["time"])
    data = CoverageData(str(FOLDER / mode))
    data.read()
    files: dict[str, dict[int, set[str]]] = {}
    for path in data.measured_files():
        file = path[path.rindex("sim/") :] if "/sim/" in f"/{path}" else path
        files[file] = {
            line: {c for c in contexts if c}
            for line, contexts in data.contexts_by_lineno(path).items()
        }
    return Tests(seconds, files)


def _mode(file: str) -> str:
    return "plain" if file.startswith("sim/kernels/") else "compiled"


def draw(options: argparse.Namespace, tests: dict[str, Tests]) -> list[Found]:
    """A sample of the mutants of lines that tests run, the same for the same seed and sources."""
    every: list[Found] = []
    for room in options.rooms:
        for path in sorted((ROOT / "sim" / room).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            lines = tests[_mode(file)].lines.get(file, {})
            source = path.read_text(encoding="utf-8")
            for mutant in [] if file in SKIPPED else mutants_of(source):
                if any(line in lines for line in range(mutant.lines[0], mutant.lines[1] + 1)):
                    name = f"{file}:{mutant.old}:{sha256(mutant.text.encode()).hexdigest()}"
                    key = sha256(name.encode()).hexdigest()[:16]
                    every.append(Found(key, file, mutant, source))
    random.Random(options.seed).shuffle(every)
    drawn: list[Found] = []
    for found in every:
        if len(drawn) == options.sample:
            break
        if differs(found.source, found.mutant.text):
            drawn.append(found)
    return drawn


def chosen(found: Found, tests: Tests, most_s: float) -> list[str]:
    """Tests for a mutant, fast ones first: those of its lines, then those of its file."""
    lines = tests.lines[found.file]
    span = range(found.mutant.lines[0], found.mutant.lines[1] + 1)
    near = _named({c for line in span for c in lines.get(line, ())}, tests)
    far = _named({c for contexts in lines.values() for c in contexts}, tests) - near
    dear = {c.split("::")[0] for contexts in lines.values() for c in contexts if "|setup" in c}
    made_s: dict[str, float] = {}  # of what a file's fixtures make, which its first test waits for
    for name, seconds in tests.seconds.items():
        file = name.split("::")[0]
        if file in dear:
            made_s[file] = max(made_s.get(file, 0.0), seconds)

    def cost_s(name: str) -> float:
        return max(tests.seconds[name], made_s.get(name.split("::")[0], 0.0))

    picked, spent_s = [], 0.0
    for group in (near, far):
        for name in sorted(group, key=lambda t: (cost_s(t) > LONGEST_S, cost_s(t), t)):
            if spent_s + tests.seconds[name] <= most_s:
                spent_s += tests.seconds[name]
                picked.append(name)
    return picked


def _named(contexts: Iterable[str], tests: Tests) -> set[str]:
    """Tests of contexts; what a fixture runs counts for all tests of its file."""
    found = set()
    for context in contexts:
        name, _, phase = context.rpartition("|")
        if phase != "run":
            file = name.split("::")[0] + "::"
            found |= {t for t in tests.seconds if t.startswith(file)}
        elif name in tests.seconds:
            found.add(name)
    return found


def attempt(found: Found, tests: Tests, copy: Path, most_s: float) -> dict[str, Any]:
    """Plant a mutant in a copy and run its tests: found, survived, or hung."""
    names = chosen(found, tests, most_s)
    target = copy / found.file
    stamp = target.stat()
    target.write_text(found.mutant.text, encoding="utf-8")
    kernels = FOLDER / f"kernels-{source_digest()}"  # compiled for the first mutant, then kept
    environment = {**os.environ, "PYTHONPATH": str(copy), "MPLBACKEND": "Agg",
                   "NUMBA_CACHE_DIR": str(kernels)}  # fmt: skip
    if _mode(found.file) == "plain":
        environment["NUMBA_DISABLE_JIT"] = "1"
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    quick = ["--hypothesis-profile=unshrunk", "-p", "no:benchmark"]
    begin = time.monotonic()
    try:
        done = subprocess.run(
            [*command, *quick, *names], cwd=copy, env=environment, capture_output=True,
            encoding="utf-8", check=False,
            timeout=300.0 + 10.0 * sum(tests.seconds[n] for n in names),
        )  # fmt: skip
        what = {0: "survived", 1: "found", 2: "found", 3: "found", 4: "found"}.get(
            done.returncode, "untested" if done.returncode == 5 else "found"
        )
        by = next((x for x in done.stdout.splitlines() if x.startswith(("FAILED", "ERROR"))), "")
    except subprocess.TimeoutExpired:
        what, by = "hung", ""
    finally:
        target.write_text(found.source, encoding="utf-8")
        os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # compiled kernels stay valid
    seconds = round(time.monotonic() - begin, 1)
    return {"what": what, "by": by[:200], "tests": len(names), "seconds": seconds}


def _copy(folder: Path) -> Path:
    """The sources, always at the same place: compiled kernels belong to one."""
    names = shutil.ignore_patterns(
        ".git", ".venv", ".mutation", ".*_cache", ".hypothesis", "runs", "build", "dist",
        "__pycache__",
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, folder, ignore=names)
    return folder


def _kept(again: bool) -> dict[str, dict[str, Any]]:
    """What was tried before."""
    file = FOLDER / "tried.jsonl"
    rows = (
        [json.loads(x) for x in file.read_text(encoding="utf-8").splitlines()]
        if file.is_file()
        else []
    )
    last = {row["key"]: row for row in rows}
    return {k: r for k, r in last.items() if not (again and r["what"] in ("survived", "untested"))}


def _equivalent() -> list[dict[str, str]]:
    with (ROOT / "experiments/equivalent_mutants.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def _reason(found: Found, equal: list[dict[str, str]]) -> str | None:
    """Why a mutant is the same programme in other words, if it is."""
    for row in equal:
        line = found.source.splitlines()[found.mutant.lines[0] - 1]
        same = (found.file, found.mutant.old, found.mutant.new) == (
            row["file"],
            row["old"],
            row["new"],
        )
        if same and row["line"] in line:
            return row["why"]
    return None


def report(
    drawn: list[Found], kept: dict[str, dict[str, Any]], equal: list[dict[str, str]]
) -> None:
    """Who survived, with what was changed, and the share that was found."""
    count: Counter[str] = Counter()
    for found in drawn:
        if _reason(found, equal) is not None:
            count["equivalent"] += 1
            continue
        result = kept.get(found.key)
        count[result["what"] if result else "not tried"] += 1
        if result and result["what"] in ("survived", "untested"):
            diff = difflib.unified_diff(
                found.source.splitlines(), found.mutant.text.splitlines(), n=1, lineterm=""
            )
            print(
                f"\n{result['what']}: {found.file}, {result['tests']} tests",
                *list(diff)[2:],
                sep="\n",
            )
    hit = count["found"] + count["hung"]
    tried = hit + count["survived"] + count["untested"]
    print("\n" + ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    if tried:
        low, high = stats.binomtest(hit, tried).proportion_ci(0.95, method="wilson")
        print(f"found {hit} of {tried}: {hit / tried:.1%} [{low:.1%}, {high:.1%}] (Wilson, 95 %)")


if __name__ == "__main__":
    main()

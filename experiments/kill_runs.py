"""Kill `hashwatt run` and `sweep` at random instants: nothing is lost, the bytes are equal.

    python experiments/kill_runs.py [--runs 100] [--sweeps 50] [--seed 1] [--keep FOLDER]

A trial starts from nothing, or from an older result with a stranger's file beside it; begins the
command in a process, kills it, looks at the folder as a reader does (every second time), and then
runs the command again, or resumes. What must hold:

- after the kill the folder holds the old result whole, or the new one whole, or, where none was,
  none; of a sweep, every cell that is there is whole, and the old ones are all there;
- after the second command it holds, byte for byte, what an undisturbed one leaves (but for
  timing.json), no draft, and the stranger's file.

Instants are drawn in equal parts from the whole life of the process, from the part after its draft
appears, and from the few milliseconds in which files are renamed to their places.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from sim.cli import app
from sim.results.folder import HIDDEN
from sim.results.manifest import MANIFEST
from sim.results.store import open_results

ROOT: Final = Path(__file__).resolve().parents[1]
TINY: Final = (ROOT / "configs" / "tiny").as_posix()
HOURLY: Final = "horizon.days = 1\nhorizon.step_s = 3600\n"
NOTES: Final = "notes.txt"
SWAP_S: Final = 0.004  # about as long as the renaming of a run's files takes
MOST_S: Final = 600.0
UNDER_WAY: Final = ("anywhere", "with a draft", "in the swap")

Files = dict[str, str]  # digests by path


class LostError(AssertionError):
    """What a kill must not do."""


class Question(NamedTuple):
    """A command, how to go on after a kill, and what undisturbed ones leave."""

    new: list[str]
    again: list[str]
    old_folder: Path
    old: Files
    fresh: Files  # the new result where nothing was
    over: Files  # and where the old one was
    life_s: float


def question(kind: str, folder: Path, life_s: float | None = None) -> Question:
    """A run, or a sweep of four cells, with undisturbed answers in `folder`.

    `life_s` is how long the command takes as a process; measured where it is not given.
    """
    if kind == "run":
        run = ["run", TINY, "--days", "1", "--set", "horizon.step_s=900"]
        old, new = [*run, "--seed", "7"], [*run, "--force"]
        again = new
    else:
        old, new, again = ([*_sweep(folder, "old"), "--force"], [*_sweep(folder, "new"), "--force"],
                           [*_sweep(folder, "new"), "--resume"])  # fmt: skip
    before, fresh, over = (folder / f"{kind}-{name}" for name in ("old", "fresh", "over"))
    _here(old, before)
    (before / NOTES).write_text("of somebody else", encoding="utf-8")
    began = time.perf_counter()
    if life_s is None:
        _begun(new, fresh).wait()
    else:
        _here(new, fresh)
    took_s = time.perf_counter() - began
    shutil.copytree(before, over)
    _here(new, over)
    answers = (_digests(f) for f in (before, fresh, over))
    return Question(new, again, before, *answers, life_s=took_s if life_s is None else life_s)


def trial(asked: Question, folder: Path, draw: np.random.Generator, where: str) -> str:
    """Kill a command once. What it was at. Raises LostError."""
    over, looks = bool(draw.integers(2)), bool(draw.integers(2))
    if over:
        shutil.copytree(asked.old_folder, folder)
    process = _begun(asked.new, folder)
    share = float(draw.random())
    hidden, began = folder / HIDDEN, time.perf_counter()
    match where:
        case "anywhere":
            wait_s = share * asked.life_s
        case "with a draft":
            _until((hidden / "draft").is_dir, process)
            wait_s = share * max(asked.life_s - (time.perf_counter() - began), 0.5)
        case _:
            _until((hidden / "ready").is_dir, process)
            wait_s = share * SWAP_S
    with suppress(subprocess.TimeoutExpired):
        process.wait(wait_s)
    process.kill()
    process.communicate()
    found = _found(folder) if process.returncode else "it had ended"
    if looks:
        _look(asked, folder, over)
    _here(asked.again, folder)
    _equal(_digests(folder), asked.over if over else asked.fresh, "after the second command")
    if hidden.exists():
        raise LostError(f"{hidden} is still there")
    return found


def _look(asked: Question, folder: Path, over: bool) -> None:
    """Open what a kill has left; it is the old result whole, the new one whole, or none."""
    try:
        open_results(folder)
    except FileNotFoundError:
        if over:
            raise LostError("the old result is gone") from None
    there = _digests(folder)
    cells = {name: digest for name, digest in there.items() if name.startswith("cells/")}
    new = asked.over if over else asked.fresh
    wanted = {name.split("/")[1] for name in cells} | _cells(asked.old if over else {})
    _equal(cells, {n: d for n, d in new.items() if n.split("/")[1:2] and n.split("/")[1] in wanted},
           "cells after the kill")  # fmt: skip
    rest = _whole(there)
    unfinished = rest.keys() <= {MANIFEST} and _status(folder) in ("", "unfinished")
    if rest in (_whole(asked.old), _whole(new)) if over else rest == _whole(new) or unfinished:
        return
    raise LostError(f"neither old nor new after the kill: {sorted(rest)}")


def _whole(files: Files) -> Files:
    """What a result is worth without pictures, which are drawn after it is complete."""
    return {n: d for n, d in files.items() if not n.startswith("cells/") and not n.endswith(".png")}


def _cells(files: Files) -> set[str]:
    return {name.split("/")[1] for name in files if name.startswith("cells/")}


def _status(folder: Path) -> str:
    file = folder / MANIFEST
    return str(json.loads(file.read_bytes())["status"]) if file.is_file() else ""


def _found(folder: Path) -> str:
    """What a kill has interrupted, by what it has left."""
    hidden = folder / HIDDEN
    if (hidden / "ready").is_dir():
        return "files half renamed" if not (folder / MANIFEST).exists() else "the swap just begun"
    if any((hidden / "draft").glob("*")):
        return "a draft half written"
    return "a claimed folder" if hidden.is_dir() else "nothing claimed yet"


def _equal(found: Files, wanted: Files, when: str) -> None:
    if found != wanted:
        names = sorted({name for name, _ in found.items() ^ wanted.items()})
        raise LostError(f"{when}: {len(names)} files differ: {', '.join(names[:5])}")


def _digests(folder: Path) -> Files:
    """Every file by its path, but timing.json and what hashwatt hides; pictures not in manifests.

    A manifest lists the pictures that are drawn already: it counts without them.
    """
    found = {}
    for file in folder.rglob("*"):
        name = file.relative_to(folder)
        if not file.is_file() or file.name == "timing.json" or HIDDEN in name.parts:
            continue
        data = file.read_bytes()
        if name.as_posix() == MANIFEST:
            manifest = json.loads(data)
            manifest["files"] = [f for f in manifest["files"] if not f.endswith(".png")]
            data = json.dumps(manifest).encode()
        found[name.as_posix()] = hashlib.sha256(data).hexdigest()
    return found


def _sweep(folder: Path, name: str) -> list[str]:
    file = folder / name / "asked.toml"
    file.parent.mkdir(exist_ok=True)
    seeds = {"old": "[7]", "new": "[1, 2]"}[name]
    text = f'scenario = "{TINY}"\npolicies = ["static", "merit-order"]\nseeds = {seeds}\n'
    file.write_text(f"{text}[changes]\n{HOURLY}", encoding="utf-8")
    return ["sweep", str(file), "--workers", "1"]


def _here(command: list[str], out: Path) -> None:
    """Run a command undisturbed, in this process."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as told:
        code = app([*command, "--out", str(out)], standalone_mode=False)
    if code:
        raise LostError(f"{' '.join(command)}: {told.getvalue()}")


def _begun(command: list[str], out: Path) -> subprocess.Popen[bytes]:
    """Begin a command as a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.Popen(
        [sys.executable, "-m", "sim.cli", *command, "--out", str(out)], cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _until(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    began = time.perf_counter()
    while not there() and process.poll() is None:
        if time.perf_counter() - began > MOST_S:
            process.kill()
            raise LostError("waited in vain")
        time.sleep(0.0002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for what failed trials left")
    given = parser.parse_args()
    lost = 0
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) if given.keep is None else given.keep
        folder.mkdir(parents=True, exist_ok=True)
        for kind, trials in (("run", given.runs), ("sweep", given.sweeps)):
            if not trials:
                continue
            asked, count = question(kind, folder), Counter[str]()
            for number in range(trials):
                out = folder / f"{kind}-{number}"
                draw = np.random.default_rng([given.seed, number, *kind.encode()])
                try:
                    count[trial(asked, out, draw, UNDER_WAY[number % 3])] += 1
                except LostError as error:
                    lost += 1
                    print(f"LOST {kind} {number}, killed {UNDER_WAY[number % 3]}: {error}")
                else:
                    shutil.rmtree(out)
                if (number + 1) % 10 == 0 or number + 1 == trials:
                    met = "; ".join(f"{n} {what}" for what, n in count.most_common())
                    print(
                        f"{kind}: {number + 1} of {trials} killed, {lost} lost: {met}", flush=True
                    )
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()

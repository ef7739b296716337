"""Ownership of an output folder: probed first, locked while written, replaced atomically.

A folder is ours if its manifest says so: kind, format and the list of files we wrote. Only those
are ever replaced or removed; other files are not touched. New content is written to
`.hashwatt/draft` in the folder and renamed to `.hashwatt/ready` once complete; from then on it
cannot be lost. Its files are then renamed into place, the manifest last. A kill in between leaves a
folder without a manifest; the next process to open it finishes the job.
"""

import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from sim.results.disk import flush_names, flush_tree, write_json
from sim.results.manifest import (
    FORMAT,
    MANIFEST,
    DamagedError,
    Kind,
    is_plain,
    is_sure,
    ours,
    read_manifest,
    read_object,
)  # fmt: skip

HIDDEN: Final = ".hashwatt"
PROBE_BYTES: Final = 4 << 20  # about the size of a small run's output
TRIES: Final = 10  # attempts to lock a folder whose last owner is releasing it


class FolderBusyError(OSError):
    """Another process is writing to the folder."""


class Folder:
    """An output folder owned by this process. See `claim`."""

    def __init__(self, path: Path, kind: Kind, cell: str) -> None:
        self.path = path
        self.kind = kind
        self.cell = cell
        self.draft = path / HIDDEN / "draft"

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Replace the folder's previous result by the draft and a manifest.

        Raises:
            FileExistsError: if a foreign file has the name of a new one.
        """
        write_json(self.draft / MANIFEST, self._stamped(manifest, _files_in(self.draft)))
        _refuse_collisions(self.path, self.draft)
        flush_tree(self.draft)
        os.replace(self.draft, self.path / HIDDEN / "ready")
        flush_names(self.path / HIDDEN)
        _put_in_place(self.path)
        self.draft.mkdir()

    def begin(self, manifest: Mapping[str, Any]) -> None:
        """Mark a new folder as ours, with status "unfinished"."""
        if not (self.path / MANIFEST).exists():
            self._mark(self._stamped({"status": "unfinished", **manifest}, []))

    def draw(self, draw: Callable[[Path], None]) -> str:
        """Add pictures to the committed result; return why drawing failed, or "".

        They are listed in the manifest before they exist, so that a kill leaves no unowned file.
        """
        _emptied(self.draft)
        try:
            draw(self.draft)
            flush_tree(self.draft)
            names = _files_in(self.draft)
            _refuse_collisions(self.path, self.draft)
            manifest = read_manifest(self.path)
            self._mark({**manifest, "files": sorted({*manifest["files"], *names})})
            for name in names:
                os.replace(self.draft / name, self.path / name)
        except Exception as error:  # a failed picture must not lose the run
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
        return ""

    def _mark(self, manifest: Mapping[str, Any]) -> None:
        write_json(self.path / HIDDEN / MANIFEST, manifest)
        os.replace(self.path / HIDDEN / MANIFEST, self.path / MANIFEST)

    def _stamped(self, manifest: Mapping[str, Any], files: list[str]) -> dict[str, Any]:
        head = {"kind": self.kind, "format": FORMAT, "status": "complete", "cell": self.cell}
        return {**head, **manifest, "files": [f for f in files if f != MANIFEST]}


@contextmanager
def claim(
    path: str | Path, kind: Kind, cell: str, *, force: bool = False, go_on: bool = False
) -> Iterator[Folder]:
    """Own an output folder until the end of the block.

    Args:
        path: the folder; created if missing. A link to a folder stays a link.
        kind: of result.
        cell: hash of the question; a folder with another cell is refused.
        force: replace another cell or kind of ours.
        go_on: accept another cell of the same kind; its files are kept.

    Raises:
        FileExistsError: if the folder holds foreign files or another cell.
        FolderBusyError: if another process is writing to it.
        OSError: if it cannot be written.
    """
    target = Path(path)
    _refuse(target, kind, cell, force, go_on)
    made = not target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            try:
                _recover(target)
                _refuse(target, kind, cell, force, go_on)
                _probe(target)
                folder = Folder(target, kind, cell)
                _emptied(folder.draft)
                yield folder
            finally:
                shutil.rmtree(target / HIDDEN / "draft", ignore_errors=True)
    finally:
        if made:
            with suppress(OSError):
                target.rmdir()  # only if nothing was written


def free_name(parent: Path, stem: str, kind: Kind, cell: str, *, changed: bool = False) -> Path:
    """Default folder of a cell: `stem`, or `stem` and eight digits of the cell's hash.

    The digits are added if the cell is `changed` from what the stem says, or if another cell or
    a foreign file has the plain name: different cells never share a folder.
    """
    plain = parent / stem
    with suppress(OSError):  # busy or not writable
        settle(plain)
    there = ours(plain)
    free = not _occupied(plain) or (there.get("kind") == kind and there.get("cell") == cell)
    return plain if free and not changed else parent / f"{stem}-{cell[:8]}"


def settle(path: Path) -> None:
    """Finish a commit that a killed process left ready; no-op otherwise."""
    if (path / HIDDEN / "ready").is_dir() or (path / HIDDEN / "replaced.json").is_file():
        with _locked(path):
            _recover(path)


def _refuse(target: Path, kind: Kind, cell: str, force: bool, go_on: bool) -> None:
    if HIDDEN in target.absolute().parts:
        raise FileExistsError(f"{target} lies within {HIDDEN}, which is kept for drafts")
    if target.is_symlink() and not target.exists():
        raise FileExistsError(f"{target} is a link to a folder that is not there")
    if target.exists() and not target.is_dir():
        raise NotADirectoryError(f"{target} exists and is not a folder")
    if not _occupied(target) or (target / HIDDEN / "ready").is_dir():
        return
    manifest = ours(target)
    if not manifest:
        what = "exists and is not a result folder of this version; choose another folder"
        raise FileExistsError(f"{target} {what}")
    if force:
        return
    if manifest["kind"] != kind:
        what = f"exists and is not the folder of a {kind}, but of a {manifest['kind']}"
        raise FileExistsError(f"{target} {what}; choose another, or say --force")
    if not go_on and manifest.get("cell") != cell:
        known = ("scenario", "name", "policy", "seed")
        holds = ", ".join(f"{k} {manifest[k]}" for k in known if k in manifest)
        named = f" ({holds})" if holds else ""
        what = f"holds another result{named}: choose another folder, or say --force"
        raise FileExistsError(f"{target} {what}")


def _occupied(target: Path) -> bool:
    """Whether a folder holds anything besides our hidden folder."""
    if not target.is_dir():
        return target.exists() or target.is_symlink()
    return any(entry.name != HIDDEN for entry in target.iterdir())


def _probe(target: Path) -> None:
    """Fail before the run, not after, if the disk is full, read-only or limits file size."""
    probe = target / HIDDEN / "probe"
    try:
        probe.write_bytes(bytes(PROBE_BYTES))
    except OSError as error:
        what = (
            f"{target} does not take a file of {PROBE_BYTES >> 20} MiB: {error.strerror or error}"
        )
        raise type(error)(what) from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold the folder's lock. The operating system releases it if the process dies."""
    hidden = target / HIDDEN
    for place in (hidden, *(hidden.iterdir() if hidden.is_dir() else ())):
        if place.is_symlink():
            raise FileExistsError(f"{place} is a link, which hashwatt never leaves there")
    file, owner = hidden / "lock", hidden / "owner.json"
    for _ in range(TRIES):
        lock = FileLock(file)
        try:
            hidden.mkdir(exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            raise FolderBusyError(f"{target} is being written by {_holder(owner)}") from None
        except FileNotFoundError:
            continue  # its last owner has just removed the file
        if file.exists():
            break
        lock.release()
    else:
        raise FolderBusyError(f"{target} is being written by {_holder(owner)}")
    try:
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S UTC}"
        write_json(owner, {"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        yield
    finally:
        owner.unlink(missing_ok=True)
        try:
            file.unlink()
        except OSError:  # Windows cannot remove an open file
            lock.release()
            with suppress(OSError):
                file.unlink()
        else:
            lock.release()
        with suppress(OSError):
            hidden.rmdir()


def _holder(owner: Path) -> str:
    try:
        told = read_object(owner)
        return f"process {told['pid']} on {told['host']} since {told['since']}"
    except (DamagedError, OSError, KeyError):
        return "another process"


def _recover(target: Path) -> None:
    ready, replaced = target / HIDDEN / "ready", target / HIDDEN / "replaced.json"
    for manifest in (ready / MANIFEST, replaced):
        if manifest.exists() and not is_sure(read_object(manifest)):
            raise DamagedError(f"{manifest} is damaged: not what we leave behind")
    if (ready / MANIFEST).is_file():
        _refuse_collisions(target, ready)
        _put_in_place(target)
    shutil.rmtree(ready, ignore_errors=True)
    replaced.unlink(missing_ok=True)


def _put_in_place(target: Path) -> None:
    """Rename ready files into place and remove replaced ones, the manifest last."""
    ready, replaced = target / HIDDEN / "ready", target / HIDDEN / "replaced.json"
    new = read_manifest(ready)["files"]
    if not replaced.exists() and (target / MANIFEST).exists():
        os.replace(target / MANIFEST, replaced)
    for name in new:
        if (ready / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(ready / name, target / name)
    old = read_object(replaced).get("files", []) if replaced.exists() else []
    for name in sorted(set(old) - set(new)):
        _remove(target, name)
    os.replace(ready / MANIFEST, target / MANIFEST)
    for place in {target, *((target / name).parent for name in new)}:
        flush_names(place)
    shutil.rmtree(ready, ignore_errors=True)
    replaced.unlink(missing_ok=True)


def _refuse_collisions(target: Path, source: Path) -> None:
    """Raise FileExistsError if a new file would overwrite one not in our list."""
    replaced = target / HIDDEN / "replaced.json"
    before = read_object(replaced) if replaced.exists() else ours(target)
    known = {MANIFEST, *before.get("files", [])}
    for name in _files_in(source):
        place = target / name
        if name not in known and (place.exists() or place.is_symlink()) and not replaced.exists():
            what = "is not a file of this result and stands in the way; move it and run again"
            raise FileExistsError(f"{place} {what}")
        if not place.parent.resolve().is_relative_to(target.resolve()):
            raise FileExistsError(f"{place.parent} is a link out of the result folder")


def _remove(target: Path, name: str) -> None:
    """Remove a file of ours and the folders within `target` left empty."""
    place = target / name
    if not is_plain(name) or not place.parent.resolve().is_relative_to(target.resolve()):
        return
    with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
        place.unlink()
    for parent in place.parents:
        if parent == target:
            break
        with suppress(OSError):
            parent.rmdir()


def _files_in(folder: Path) -> list[str]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return sorted(f.relative_to(folder).as_posix() for f in files)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)

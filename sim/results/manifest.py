"""Manifest and KPI files of a result folder: read with validation, or rejected with a reason."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, Literal

MANIFEST: Final = "manifest.json"
KPI_FILE: Final = "kpis.json"
FORMAT: Final = 1  # of result folders; raised when the meaning of their content changes
Kind = Literal["run", "sweep", "comparison", "buildout", "tornado", "bound"]
KINDS: Final = ("run", "sweep", "comparison", "buildout", "tornado", "bound")
CELL: Final = "cell"  # kind of a study's cells, which are never output folders of their own
STATUSES: Final = ("complete", "failed", "unfinished")

_TEXT: Final = (str, "a text")
_WHOLE: Final = (int, "a whole number")
_TABLE: Final = (dict, "a JSON object")
_LIST: Final = (list, "a list")
SHAPES: Final[Mapping[str, tuple[type, str]]] = {
    "kind": _TEXT, "format": _WHOLE, "status": _TEXT, "cell": _TEXT, "key": _TEXT, "name": _TEXT,
    "scenario": _TEXT, "scenario_sha256": _TEXT, "policy": _TEXT, "seed": _WHOLE, "files": _LIST,
    "policy_parameters": _TABLE, "resolved": _TABLE, "versions": _TABLE, "sources_sha256": _TABLE,
}  # fmt: skip


class DamagedError(ValueError):
    """A file of a result folder has invalid content."""


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises DamagedError for any other content, and OSError."""
    try:
        content = json.loads(file.read_bytes(), parse_constant=_refused, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{file} is damaged: not JSON ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise DamagedError(f"{file} is damaged: not a JSON object")
    return content


def read_manifest(folder: Path) -> dict[str, Any]:
    """A folder's manifest, keys typed as in `SHAPES`. Raises DamagedError, OSError."""
    file = folder / MANIFEST
    manifest = read_object(file)
    for name, (kind, what) in SHAPES.items():
        value = manifest.get(name)
        if name in manifest and (not isinstance(value, kind) or isinstance(value, bool)):
            raise DamagedError(f"{file} is damaged: {name} = {_short(value)} is not {what}")
    for name, allowed in (("kind", (*KINDS, CELL)), ("status", STATUSES)):
        value = manifest.get(name, allowed[0])
        if value not in allowed:
            what = f"allowed: {', '.join(allowed)}"
            raise DamagedError(f"{file} is damaged: {name} = {_short(value)}; {what}")
    return manifest


def read_kpis(folder: Path) -> dict[str, float | None]:
    """KPIs of a run by name: finite, or None if undefined. Raises DamagedError, OSError."""
    file = folder / KPI_FILE
    kpis: dict[str, float | None] = {}
    if not file.is_file():
        raise DamagedError(f"{file} is missing")
    for name, value in read_object(file).items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and abs(value) <= sys.float_info.max):
            what = f"{_short(name)} = {_short(value)} is not a finite number"
            raise DamagedError(f"{file} is damaged: {what}")
        kpis[name] = None if value is None else float(value)
    return kpis


def ours(folder: Path) -> dict[str, Any]:
    """The manifest of a folder known to be ours; empty for any other."""
    try:
        manifest = read_manifest(folder)
    except (DamagedError, OSError):
        return {}
    return manifest if is_sure(manifest) else {}


def is_sure(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is ours and lists only files inside its folder."""
    files = manifest.get("files")
    return (
        manifest.get("kind") in KINDS
        and manifest.get("format") == FORMAT
        and isinstance(files, list)
        and all(isinstance(f, str) and is_plain(f) for f in files)
    )


def is_plain(name: str) -> bool:
    """Whether a relative name stays inside its folder on every operating system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    parts = windows.parts
    return bool(
        name and not posix.root and not windows.root and not windows.drive and ".." not in parts
    )


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"

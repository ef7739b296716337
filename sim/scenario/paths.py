"""Files that a scenario may name: its own, those of its base, and those of the data folder.

A scenario is data and may come from anyone. A file that it names is read only if, with links
resolved, it lies in the scenario's own folder, in that of a scenario it builds on, or in the data
folder given by the user. A base is a shipped scenario, or lies below the parent or grandparent of
the scenario's folder, so that scenarios can be placed side by side and in groups. Anything else
needs the user's permission.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Final

from sim.scenario.shipped import CONFIGS

MOST_BYTES: Final = 120  # of a name: with suffixes it must fit into the 255 of a file name
RESERVED: Final = frozenset(
    ("CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(10)))
)  # Windows device names, with or without an extension
ALLOW: Final = "say --allow-path (in Python: allow_path=True) if it may"


def no_folder_name(name: str) -> str:
    """Why a result folder cannot have this name on every system; "" if it can."""
    wrong = sorted({c for c in name if c in '<>:"/\\|?*' or not c.isprintable()})
    if wrong:
        return f"must not contain {' '.join(ascii(c) for c in wrong)}: results are called by it"
    if not name or name != name.strip(" .") or _device(name):
        return "is no name of a folder on every system: blanks or dots at its ends, or reserved"
    size = len(name.encode())
    return f"has {size} bytes; at most {MOST_BYTES} are allowed" if size > MOST_BYTES else ""


def _device(name: str) -> bool:
    """Whether Windows treats a name as a device: COM¹ is COM1, "con .txt" is CON."""
    first = unicodedata.normalize("NFKC", name).partition(".")[0]
    return first.strip().upper() in RESERVED


def reaches_out(name: str, file: Path, roots: Iterable[Path]) -> str:
    """Why a file may not be read; "" if it lies within one of the roots, links followed."""
    drive = PureWindowsPath(name).drive
    if drive.startswith("\\\\") or name.startswith(("//", "\\\\")):
        return f"names another machine; {ALLOW}"  # even checking the path would contact it
    try:
        real = file.resolve()
        within = any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, ValueError, RuntimeError):  # an invalid character, or a loop of links
        return "is not a path"
    return "" if within else f"lies outside the scenario's folder and the data folder; {ALLOW}"


def base_reaches_out(name: str, base: Path, folder: Path) -> str:
    """Why a base may not be read; "" if it lies near `folder` or is shipped."""
    near = [f for f in folder.resolve().parents[:2] if f != Path(f.anchor)]
    found = reaches_out(name, base, (folder, *near, CONFIGS))
    return found.replace("the scenario's folder and the data folder", "the folders around this one")

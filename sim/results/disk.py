"""Crash-safe writing: flush files to disk first, then rename them.

A file system may keep a rename but lose data written just before it: a power failure would leave
correctly named files without content.
"""

import json
import os
from pathlib import Path


def write_json(file: Path, content: object) -> None:
    """Write a JSON file atomically."""
    draft = file.with_name(f".{file.name}")
    text = json.dumps(content, indent=2, default=str) + "\n"
    draft.write_bytes(text.encode())
    flush_file(draft)
    os.replace(draft, file)


def flush_file(file: Path) -> None:
    """Wait until the content of a file is on the disk. Raises OSError."""
    with file.open("rb+") as stream:  # Windows flushes only files open for writing
        os.fsync(stream.fileno())


def flush_tree(folder: Path) -> None:
    """Wait until all files of a folder and their names are on disk. Raises OSError."""
    for place in (*folder.rglob("*"), folder):
        if place.is_dir():
            flush_names(place)
        else:
            flush_file(place)


def flush_names(folder: Path) -> None:
    """Wait until the names in a folder are on disk; Windows does this by itself."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

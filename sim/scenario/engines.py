"""Engines by name or from a file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from sim.scenario.catalogue.serving import served
from sim.scenario.toml import TomlError, read_toml
from sim.serving.engine import Engine, IterationTime, NodePower


def engine_of(text: str, changes: dict[str, Any]) -> tuple[Engine, str]:
    """An engine and a word about it: "MODEL@GPU[:TP]" of the catalogue, or a TOML file.

    The file has the fields of `Engine`, a table [iteration] and, if energy matters, [power].

    Raises:
        ValueError: with what is wrong and what is allowed.
    """
    if text.endswith(".toml"):
        return replace(_from_file(Path(text)), **changes), f"settings of {text}"
    model, at, place = text.partition("@")
    gpu, _, tp = place.partition(":")
    if not at or (tp and not tp.isdigit()):
        raise ValueError(f"--engine {text!r}: write MODEL@GPU, MODEL@GPU:TP or FILE.toml")
    made = served(model, gpu, int(tp) if tp else None)
    word = "measured" if made.measured else "a roofline stands in for a measurement"
    return replace(made.engine, **changes), f"tp {made.tp}, {word} ({made.source})"


def _from_file(file: Path) -> Engine:
    try:
        tables = read_toml(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except TomlError as error:
        raise ValueError(f"{file}: is not TOML: {error}") from None
    parts: dict[str, Any] = {}
    for name, kind in (("iteration", IterationTime), ("power", NodePower)):
        if name in tables:
            parts[name] = _made(kind, tables.pop(name), f"{file}: [{name}]")
    if "iteration" not in parts:
        raise ValueError(f"{file}: needs a table [iteration] with base_s and token_s [s]")
    made: Engine = _made(Engine, tables | parts, str(file))
    return made


def _made(kind: Any, fields: Any, where: str) -> Any:
    known = list(kind.__dataclass_fields__)
    for key in fields:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; there are {', '.join(known)}")
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None

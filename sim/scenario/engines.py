"""Engines by name or from a file, as `hashwatt calibrate-engine` writes it."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import models, power, served
from sim.scenario.catalogue.specs import NONE_OWN, Own, ServingSpec
from sim.scenario.problems import from_validation
from sim.scenario.toml import TomlError, read_toml
from sim.serving.engine import SIZES, Engine, IterationTime, NodePower

PLACE: Final = ("model", "gpu", "tp")
ABOUT: Final = ("source", "calibration")  # what a file says of itself


def engine_of(text: str, changes: dict[str, Any], own: Own = NONE_OWN) -> tuple[Engine, str]:
    """An engine and a word about it: "MODEL@GPU[:TP]" of the catalogue, or a TOML file.

    The file has the fields of `Engine`, a table [iteration] and, if energy matters, [power] or
    where it stands (model, gpu, tp), whose power the catalogue knows. `own` are a scenario's
    machines and models, which go before those of the catalogue.

    Raises:
        ValueError: with what is wrong and what is allowed.
    """
    if text.endswith(".toml"):
        made_here = replace(_from_file(Path(text), own), **changes)
        rough = made_here.iteration.speculative_tokens > 0
        word = "; speculative decoding is approximate" if rough else ""
        return made_here, f"settings of {text}{word}"
    try:
        model, gpu, tp = place_of(text)
    except ValueError as error:
        raise ValueError(f"--engine {error}, or FILE.toml") from None
    made = served(model, gpu, tp, own)
    word = "measured" if made.measured else "a roofline stands in for a measurement"
    return replace(made.engine, **changes), f"tp {made.tp}, {word} ({made.source})"


def place_of(text: str) -> tuple[str, str, int | None]:
    """Model, GPU and tensor parallelism of "MODEL@GPU[:TP]".

    Raises:
        ValueError: where it is written otherwise.
    """
    model, at, place = text.partition("@")
    gpu, colon, tp = place.partition(":")
    if not at or (colon and not (tp.isascii() and tp.isdigit() and int(tp))):
        raise ValueError(f"{text!r}: write MODEL@GPU or MODEL@GPU:TP, tp in GPUs")
    return model, gpu, int(tp) if colon else None


def serving_row(file: Path) -> ServingSpec:
    """The engine of a file as a row of `serving_models.csv`.

    Raises:
        ValueError: for a file that is none, one that does not say where its engine stands, and one
            with a power of its own, with what is allowed.
    """
    tables = _tables(file)
    if "power" in tables:
        raise ValueError(f"{file}: [power]: a scenario's engines draw what their GPU does; drop it")
    missing = [key for key in PLACE if key not in tables]
    if missing:
        raise ValueError(f"{file}: needs {', '.join(missing)}: which deployments it is for")
    cells: dict[str, Any] = {
        key: tables[key] for key in (*PLACE, "source", *SIZES) if key in tables
    }
    cells |= tables["iteration"]
    for name in IterationTime.__dataclass_fields__:
        cells.setdefault(name, 0.0)
    try:
        return ServingSpec.model_validate(cells)
    except ValidationError as error:
        found = from_validation(error, str(file), ServingSpec)
        raise ValueError("; ".join(map(str, found))) from None


def _tables(file: Path) -> dict[str, Any]:
    try:
        tables = read_toml(file)
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    except TomlError as error:
        raise ValueError(f"{file}: is not TOML: {error}") from None
    if not isinstance(tables.get("iteration"), dict):
        raise ValueError(f"{file}: needs a table [iteration] with base_s and token_s [s]")
    known = (*PLACE, *ABOUT, *(field.name for field in fields(Engine)))
    _no_other(tables, known, str(file))
    _no_other(
        tables["iteration"], tuple(IterationTime.__dataclass_fields__), f"{file}: [iteration]"
    )
    return dict(tables)


def _from_file(file: Path, own: Own) -> Engine:
    tables = _tables(file)
    place = [tables.pop(key, None) for key in PLACE]
    for key in ABOUT:
        tables.pop(key, None)
    iteration = _made(IterationTime, tables.pop("iteration"), f"{file}: [iteration]")
    parts: dict[str, Any] = {"iteration": iteration}
    if "power" in tables:
        parts["power"] = _made(NodePower, tables.pop("power"), f"{file}: [power]")
    elif any(part is not None for part in place):
        parts["power"] = _power(place, iteration, own, file)
    made: Engine = _made(Engine, tables | parts, str(file))
    return made


def _power(place: list[Any], iteration: IterationTime, own: Own, file: Path) -> NodePower:
    """Power of the GPUs where an engine stands."""
    model, gpu, tp = place
    if not isinstance(tp, int) or isinstance(tp, bool) or tp < 1:
        raise ValueError(f"{file}: tp = {tp!r}: must be a whole number of GPUs, at least 1")
    known_models, cards = models(own.models), gpus(own.gpus)
    for key, name, known in (("model", model, known_models), ("gpu", gpu, cards)):
        if name not in known:
            raise ValueError(
                f"{file}: {key} = {name!r} is not in the catalogue; there are {', '.join(known)}; "
                "--scenario adds those of a scenario"
            )
    return power(known_models[model], cards[gpu], tp, iteration)


def _no_other(given: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"{where}: unknown key {key!r}; there are {', '.join(known)}")


def _made(kind: Any, given: Any, where: str) -> Any:
    if not isinstance(given, dict):
        raise ValueError(f"{where}: must be a table")
    _no_other(given, tuple(kind.__dataclass_fields__), where)
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None

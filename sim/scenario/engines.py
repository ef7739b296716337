"""Engines by name, or from a file as written by `hashwatt calibrate-engine`."""

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
PARALLEL: Final = ("pp", "ep")  # 1 where a file does not say
ABOUT: Final = ("source", "calibration")  # metadata of a file
MOST_PARALLEL: Final = 64  # as in gpus.csv
SHARED: Final = ("max_seqs", "kv_blocks")  # shared by the batches of a server with stages


def engine_of(
    text: str,
    changes: dict[str, Any],
    own: Own = NONE_OWN,
    pp: int | None = None,
    ep: int | None = None,
) -> tuple[Engine, str, int]:
    """An engine, its description and its stages: "MODEL@GPU[:TP]", or a TOML file.

    The file has the fields of `Engine`, a table [iteration] and, if energy matters, either [power]
    or its placement (model, gpu, tp), for which the catalogue has the power. `own` holds a
    scenario's machines and models, which override the catalogue. With `pp` stages it is one of pp
    engines (`catalogue.serving.served`); `changes` apply to all of them together. A file states pp
    itself, and describes one of them.

    Raises:
        ValueError: with what is wrong and what is allowed.
    """
    if text.endswith(".toml"):
        for name, value in (("pp", pp), ("ep", ep)):
            if value is not None:
                raise ValueError(
                    f"--{name} {value}: an engine file says itself; write {name} there"
                )
        made_here, stages, spread = _from_file(Path(text), own)
        rough = ["speculative decoding"] * (made_here.iteration.speculative_tokens > 0)
        rough += [f"{stages} stages (nobody waits for one)"] * (stages > 1)
        rough += [f"experts on {spread} GPUs (evenly loaded)"] * (spread > 1)
        word = f"; approximate: {', '.join(rough)}" if rough else ""
        return replace(made_here, **shares(changes, stages)), f"settings of {text}{word}", stages
    try:
        model, gpu, tp = place_of(text)
    except ValueError as error:
        raise ValueError(f"--engine {error}, or FILE.toml") from None
    made = served(model, gpu, tp, own, None, pp or 1, ep or 1)
    word = "measured" if made.measured else "a roofline stands in for a measurement"
    place = ", ".join(
        f"{name} {value}"
        for name, value in (("tp", made.tp), ("pp", made.pp), ("ep", made.ep))
        if name == "tp" or value > 1
    )
    return (
        replace(made.engine, **shares(changes, made.pp)),
        f"{place}, {word} ({made.source})",
        made.pp,
    )


def shares(settings: dict[str, Any], pp: int) -> dict[str, Any]:
    """Settings of one of a server's pp batches: its share of KV blocks and sequences."""
    return {
        name: max(value // pp, min(value, 1)) if name in SHARED else value
        for name, value in settings.items()
    }


def place_of(text: str) -> tuple[str, str, int | None]:
    """Model, GPU and tensor parallelism of "MODEL@GPU[:TP]".

    Raises:
        ValueError: for any other form.
    """
    model, at, place = text.partition("@")
    gpu, colon, tp = place.partition(":")
    if not at or (colon and not (tp.isascii() and tp.isdigit() and int(tp))):
        raise ValueError(f"{text!r}: write MODEL@GPU or MODEL@GPU:TP, tp in GPUs")
    return model, gpu, int(tp) if colon else None


def serving_row(file: Path) -> ServingSpec:
    """The engine of a file as a row of `serving_models.csv`.

    Raises:
        ValueError: for an invalid file, one without the placement of its engine, and one with a
            power of its own, with what is allowed.
    """
    tables = _tables(file)
    if "power" in tables:
        raise ValueError(f"{file}: [power]: a scenario's engines draw what their GPU does; drop it")
    for key in PARALLEL:
        if tables.get(key, 1) != 1:
            raise ValueError(
                f"{file}: {key} = {tables[key]!r}: must be 1 for a scenario, whose gpus.csv has "
                f"its own {key}"
            )
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
    known = (*PLACE, *PARALLEL, *ABOUT, *(field.name for field in fields(Engine)))
    _no_other(tables, known, str(file))
    _no_other(
        tables["iteration"], tuple(IterationTime.__dataclass_fields__), f"{file}: [iteration]"
    )
    return dict(tables)


def _from_file(file: Path, own: Own) -> tuple[Engine, int, int]:
    """The engine of a file, its stages, and the number of GPUs of its experts."""
    tables = _tables(file)
    place = [tables.pop(key, None) for key in PLACE]
    stages, spread = (_whole(tables.pop(key, 1), key, file) for key in PARALLEL)
    if spread not in (1, place[-1]):
        raise ValueError(f"{file}: ep = {spread}: must be 1 or tp, which is {place[-1]}")
    for key in ABOUT:
        tables.pop(key, None)
    iteration = _made(IterationTime, tables.pop("iteration"), f"{file}: [iteration]")
    parts: dict[str, Any] = {"iteration": iteration}
    if "power" in tables:
        parts["power"] = _made(NodePower, tables.pop("power"), f"{file}: [power]")
    elif any(part is not None for part in place):
        parts["power"] = _power(place, iteration, own, file)
    made: Engine = _made(Engine, tables | parts, str(file))
    return made, stages, spread


def _whole(value: Any, key: str, file: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_PARALLEL:
        raise ValueError(f"{file}: {key} = {value!r}: must be a whole number, 1 to {MOST_PARALLEL}")
    return value


def _power(place: list[Any], iteration: IterationTime, own: Own, file: Path) -> NodePower:
    """Power of an engine from the GPUs of its placement."""
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

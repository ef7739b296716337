"""Problems of an input, collected so that a planner sees all of them at once.

A warning is also a `Problem`: the input can be used but looks like a mistake. Its message says
what is odd and what to do. Readers append warnings to the list that they are given.
"""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ValidationError

from sim.text import repeated, visible

_LONG_NAME: Final = re.compile(r"\((.{97})[^)]{4,}\)", re.DOTALL)  # a row's name


class Problem(NamedTuple):
    """One problem: its place, the value read there, and what is allowed."""

    file: str
    where: str
    value: str
    message: str

    def __str__(self) -> str:
        where = visible(_LONG_NAME.sub(lambda m: f"({m[1]}…)", self.where)).replace("\n", "\\n")
        place = f"{self.file}: {where}" if where else self.file
        return f"{place}{f' = {self.value}' if self.value else ''}: {self.message}"


class ScenarioError(Exception):
    """The input is invalid; `problems` lists every problem, not only the first."""

    def __init__(
        self, path: str, problems: Sequence[Problem], warnings: Sequence[Problem] = ()
    ) -> None:
        self.path = path
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        super().__init__("\n".join([f"{path}: {count}", *(f"  {p}" for p in self.problems)]))


KEYS: Final = "hashwatt schema --markdown"
MOST_NAMES: Final = 40  # most names that a message lists; beyond, only the nearest


def suggest(name: str, allowed: Iterable[str], see: str = "the scenario's own files") -> str:
    """A sentence with the alternatives to `name`; `see` says where all of them are listed."""
    names = sorted(set(allowed))
    near = difflib.get_close_matches(name, names, n=12, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    if len(names) > MOST_NAMES:
        some = ", ".join(near or names[:12])
        return f"{hint}allowed: {some} and others, {len(names)} in all (see {see})"
    return f"{hint}allowed: {', '.join(names) or 'nothing (none is defined)'}"


def unknown(
    file: str,
    where: str,
    name: str,
    allowed: Iterable[str],
    see: str = "the scenario's own files",
) -> Iterator[Problem]:
    """The problem of a name that is not among the allowed ones."""
    names = set(allowed)
    if name not in names:
        yield Problem(file, where, shown(name), suggest(name, names, see))


def unique(sheet: str, names: Iterable[str]) -> Iterator[Problem]:
    """The problems of names that occur more than once in a sheet."""
    for name in repeated(names):
        yield Problem(sheet, "name", shown(name), "names must be unique")


def row_of(index: int, name: str, column: str) -> str:
    """The place of a cell for messages; row 1 is the header."""
    return f"row {index + 2} ({name}), {column}"


def instant(when: datetime) -> str:
    """An instant for messages, in UTC whatever its original offset."""
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def shown(value: object) -> str:
    """A value for messages: short, on one line."""
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


_WANTED: Final = {
    "tuple_type": "must be a list: [ … ]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "string_type": "must be a text in quotes",
    "instant": "must be an instant, as 2026-01-01T00:00:00Z, not a number",
    "datetime_parsing": "must be an instant, as 2026-01-01T00:00:00Z",
    "datetime_from_date_parsing": "must be an instant, as 2026-01-01T00:00:00Z",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "timezone_aware": "must have a timezone, as in 2026-01-01T00:00:00Z",
}


def from_validation(
    error: ValidationError, file: str, model: type[BaseModel], prefix: str = ""
) -> list[Problem]:
    """Translate pydantic errors into problems that name key, value and what is allowed."""
    return [_translate(dict(e), file, model, prefix) for e in error.errors(include_url=False)]


def _translate(error: dict[str, Any], file: str, model: type[BaseModel], prefix: str) -> Problem:
    keys, owner, candidates, unit = _walk(model, error["loc"])
    where = (prefix + ".".join(keys)).removesuffix(", ")
    context = error.get("ctx", {})
    kind: str = error["type"]
    value = shown(error["input"])
    if kind == "extra_forbidden":
        return Problem(
            file, where, value, f"unknown key; {suggest(keys[-1], _with_units(owner), KEYS)}"
        )
    if kind == "missing":
        return Problem(file, where, "", f"is required{f' [{unit}]' if unit else ''}")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = context["discriminator"].strip("'")
        allowed = ", ".join(name for c in candidates if (name := _tag(c)))
        given = shown(context["tag"]) if "tag" in context else ""
        required = "" if given else "is required; "
        return Problem(file, f"{where}.{tag}", given, f"{required}allowed: {allowed}")
    if kind in ("literal_error", "enum"):
        return Problem(file, where, value, f"allowed: {context['expected']}")
    bounds = {"greater_than": "> {gt:g}", "greater_than_equal": ">= {ge:g}",
              "less_than": "< {lt:g}", "less_than_equal": "<= {le:g}"}  # fmt: skip
    if kind in bounds:
        return Problem(
            file, where, value, f"must be {bounds[kind].format(**context)} {unit}".rstrip()
        )
    if kind == "finite_number":
        return Problem(
            file, where, value, f"must be a finite number{f' in {unit}' if unit else ''}"
        )
    if kind.startswith(("float_", "int_")):
        number = "a whole number" if kind.startswith("int_") else "a number"
        in_unit = f" in {unit}, without the unit" if unit else ""
        return Problem(file, where, value, f"must be {number}{in_unit}")
    if kind in _WANTED:
        return Problem(file, where, value, _WANTED[kind])
    if kind == "too_short" and context["min_length"] == 1:
        return Problem(file, where, value, "must name at least one")
    if kind == "value_error":
        return Problem(file, where, "", str(context["error"]))
    return Problem(file, where, value, error["msg"][0].lower() + error["msg"][1:])


def _with_units(model: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _walk(
    model: type[BaseModel], loc: tuple[int | str, ...]
) -> tuple[list[str], type[BaseModel] | None, list[type[BaseModel]], str]:
    """Follow a location through the models: keys, last model, candidate models, unit."""
    keys: list[str] = []
    owner: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = [model]
    unit = ""
    for part in loc:
        chosen = [c for c in candidates if _tag(c) == part]
        if chosen:  # pydantic adds the tag of a discriminated union to the location
            candidates = chosen
            owner = chosen[0]
            continue
        keys.append(str(part))
        fields = [
            field
            for c in candidates
            for name, field in c.model_fields.items()
            if part in (name, field.alias)
        ]
        if not fields:
            continue
        owner = candidates[0]
        extra = fields[0].json_schema_extra
        unit = str(extra.get("unit", "")).strip("-") if isinstance(extra, dict) else ""
        candidates = models_in(fields[0].annotation) or candidates
        if models_in(fields[0].annotation):
            owner = candidates[0]
    return keys, owner, candidates, unit


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("model")
    return field.default if field is not None and isinstance(field.default, str) else None


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models within a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in getattr(annotation, "__args__", ()) for m in models_in(argument)]

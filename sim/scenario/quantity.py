"""Declares the keys of a scenario: default, unit, meaning, source, limits."""

import re
from datetime import UTC, datetime
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

REQUIRED: Final[Any] = ...


FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200
MAX_SHEET_ROWS: Final = 20_000
MAX_TEXT: Final = 1000  # letters of a name, a path, a source
MOST: Final = 1e12  # default limit of a number with a unit: beyond it, an error

Number = Annotated[float, Field(ge=-MOST, le=MOST)]  # a value in a table of names


def _in_utc(when: datetime) -> datetime:
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValueError(f"{when.year:04d} is too far away: years are {FIRST_YEAR} to {LAST_YEAR}")
    return when.astimezone(UTC)


def _no_number(value: Any) -> Any:
    """Refuse numbers as instants: they could be seconds since 1970 or days since 1900."""
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise PydanticCustomError("instant", "must be an instant, as 2026-01-01T00:00:00Z")
    return value


_NUMBER: Final = re.compile(r"\s*[+-]?[\d_]*[.,]?\d+([eE][+-]?\d+)?\s*")
# An instant may have any UTC offset; it is converted to UTC.
Instant = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


def kinds(annotation: Any) -> set[Any]:
    """The types that a value may have, such as float and NoneType for `float | None`."""
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for argument in get_args(annotation) for kind in kinds(argument)}
    return {annotation}


def _as_text(value: Any, annotation: Any) -> Any:
    """Turn true and false into texts where numbers are expected, also within lists."""
    if not isinstance(value, bool | dict | list | tuple):
        return value
    allowed = kinds(annotation)
    if isinstance(value, bool):
        counts = bool(allowed & {int, float}) and not allowed & {bool, Any}
        return str(value).lower() if counts else value
    lists = [get_args(kind) for kind in allowed if get_origin(kind) in (dict, tuple, list)]
    inner = next((args[-1] if args[-1] is not ... else args[0] for args in lists if args), None)
    if inner is None:
        return value
    if isinstance(value, dict):
        return {key: _as_text(entry, inner) for key, entry in value.items()}
    return [_as_text(entry, inner) for entry in value]


class Table(BaseModel):
    """A table of a scenario: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=MAX_TEXT
    )

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, data: Any) -> Any:
        """Make `days = true` a text, so that it is refused in place and not read as one day."""
        if not isinstance(data, dict):
            return data
        return {
            key: _as_text(value, cls.model_fields[key].annotation)
            if key in cls.model_fields
            else value
            for key, value in data.items()
        }


def quantity(default: Any, unit: str, meaning: str, *, source: str = "", **limits: Any) -> Any:
    """Declare a key with its unit, meaning and source.

    `unit` is "" for names and choices and "-" for pure numbers; `limits` are pydantic's (`gt`,
    `ge`, `lt`, `le`). A number with a unit and no limit of its own lies within `MOST`, which a
    ledger in cents can still represent. An empirical number names its source; a guess has
    "assumed".
    """
    single = default is None or default is REQUIRED or isinstance(default, int | float)
    if unit not in ("", "UTC") and single and not limits.keys() & {"min_length", "max_length"}:
        limits |= {} if limits.keys() & {"le", "lt"} else {"le": MOST}
        limits |= {} if limits.keys() & {"ge", "gt"} else {"ge": -MOST}
    return Field(
        default,
        description=meaning,
        json_schema_extra={"unit": unit, "source": source},
        **limits,
    )


def inherited(data: Any, entries: str) -> Any:
    """Give each entry the sibling keys of `entries`, if it is of the same model."""
    if not isinstance(data, dict) or not isinstance(data.get(entries), dict):
        return data
    common = {key: value for key, value in data.items() if key != entries}
    return {
        entries: {
            name: {**common, **entry}
            if isinstance(entry, dict) and entry.get("model") in (None, common.get("model"))
            else entry
            for name, entry in data[entries].items()
        }
    }

"""The one way a key of a scenario is declared: default, unit, meaning, source, limits."""

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
MOST: Final = 1e12  # of a number with a unit and no limit of its own: beyond it, a slip

Number = Annotated[float, Field(ge=-MOST, le=MOST)]  # of a table by name


def _in_utc(when: datetime) -> datetime:
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValueError(f"{when.year:04d} is too far away: years are {FIRST_YEAR} to {LAST_YEAR}")
    return when.astimezone(UTC)


def _no_number(value: Any) -> Any:
    """Seconds since 1970, days since 1900: a number says nothing of where it is counted from."""
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise PydanticCustomError("instant", "must be an instant, as 2026-01-01T00:00:00Z")
    return value


_NUMBER: Final = re.compile(r"\s*[+-]?[\d_]*[.,]?\d+([eE][+-]?\d+)?\s*")
# An instant may be written with any offset; whoever reads its hour reads that of UTC.
Instant = Annotated[AwareDatetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


def kinds(annotation: Any) -> set[Any]:
    """The types that a value may have: float and NoneType of `float | None`."""
    if get_origin(annotation) is Annotated:
        return kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return {kind for argument in get_args(annotation) for kind in kinds(argument)}
    return {annotation}


def _as_text(value: Any, annotation: Any) -> Any:
    """A value in which true and false are texts where numbers are wanted, also within lists."""
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
        """`days = true` is a slip, not one day: as a text it is refused where it stands."""
        if not isinstance(data, dict):
            return data
        return {
            key: _as_text(value, cls.model_fields[key].annotation)
            if key in cls.model_fields
            else value
            for key, value in data.items()
        }


def quantity(default: Any, unit: str, meaning: str, *, source: str = "", **limits: Any) -> Any:
    """A key with its unit, meaning and source.

    `unit` is "" for names and choices and "-" for pure numbers; `limits` are pydantic's (`gt`,
    `ge`, `lt`, `le`). A number with a unit and no limit of its own lies within `MOST`, which a
    ledger of cents still follows. A number taken from the world names its source; "assumed" says
    so.
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
    """Give each entry the keys that stand beside `entries`, if it is of the same model."""
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

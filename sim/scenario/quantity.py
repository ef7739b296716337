"""The one way a key of a scenario is declared: default, unit, meaning, source, limits."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

REQUIRED: Final[Any] = ...


FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2200
MAX_SHEET_ROWS: Final = 20_000
MAX_TEXT: Final = 1000  # letters of a name, a path, a source


def _in_utc(when: datetime) -> datetime:
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValueError(f"{when.year:04d} is too far away: years are {FIRST_YEAR} to {LAST_YEAR}")
    return when.astimezone(UTC)


# An instant may be written with any offset; whoever reads its hour reads that of UTC.
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Table(BaseModel):
    """A table of a scenario: frozen, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=MAX_TEXT
    )


def quantity(default: Any, unit: str, meaning: str, *, source: str = "", **limits: Any) -> Any:
    """A key with its unit, meaning and source.

    `unit` is "" for names and choices and "-" for pure numbers; `limits` are pydantic's (`gt`,
    `ge`, `lt`, `le`). A number taken from the world names its source; "assumed" says so.
    """
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

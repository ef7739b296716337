"""The one way a key of a scenario is declared: default, unit, meaning, source, limits."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

REQUIRED: Final[Any] = ...


def _in_utc(when: datetime) -> datetime:
    return when.astimezone(UTC)


# An instant may be written with any offset; whoever reads its hour reads that of UTC.
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Table(BaseModel):
    """A table of a scenario: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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

"""Converts values of files to numbers in USD: decimal marks, currencies, units."""

import re
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sim.scenario.numbers import NumberError, plain, stands_for_nothing

# Names of currencies in column titles; codes of ISO 4217.
CURRENCIES: Final[dict[str, str]] = {
    "EUR": "eur|euros?|€", "USD": r"usd|us\$", "GBP": "gbp|£", "JPY": "jpy|¥", "INR": "inr|₹",
    "CNY": "cny|rmb", **{code: code.casefold() for code in (
        "AUD", "BRL", "CAD", "CHF", "CZK", "DKK", "HUF", "MXN", "NOK", "NZD", "PLN", "RON", "RUB",
        "SEK", "ZAR")},
}  # fmt: skip
# Columns that state the currency or unit of a row's values.
UNIT_COLUMNS: Final = frozenset({
    "currency", "unit", "units", "uom", "price unit", "price_unit", "unit of measure",
})  # fmt: skip
_QUANTITY: Final = re.compile(
    r"(?<![a-z/])([kmgt]?wh?|°c|degc|celsius|fahrenheit|°f|kg|t?co2|m/s|%|share|load|demand"
    r"|temperature|humidity)(?![a-z])",
    re.IGNORECASE,
)
_PER_KWH: Final = re.compile(r"(/|per|_)[\s_]*kwh", re.IGNORECASE)


class ValuesError(ValueError):
    """Values are invalid or ambiguous; the message gives row, value and what is allowed."""


def numbers(
    column: pa.ChunkedArray, name: str, row_of: Callable[[int], int]
) -> npt.NDArray[np.float64]:
    """Values of a column (row,); missing ones are NaN. `row_of` gives the line of a row.

    Raises:
        ValuesError: for the first cell that is no finite number, or is ambiguous.
    """
    if pa.types.is_boolean(column.type):
        row = int(np.argmax(column.is_valid().to_numpy()))
        raise ValuesError(
            f"column {name!r} holds true and false, as in row {row_of(row)}; a number is needed"
        )
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if text:
        column = pa.chunked_array([_plain(column, name, row_of)])
    try:
        found = np.asarray(pc.cast(column, pa.float64()).to_numpy(), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        where, cell = next((i, x) for i, x in enumerate(column.to_pylist()) if not _number(x))
        raise ValuesError(
            f"column {name!r} is not a number: row {row_of(where)} is {str(cell)[:40]!r}; "
            "write a point for decimals, nothing for thousands"
        ) from None
    endless = np.flatnonzero(np.isinf(found))
    if endless.size:
        rows = ", ".join(f"row {row_of(int(i))}" for i in endless[:5])
        raise ValuesError(
            f"column {name!r}: {rows} ({endless.size} in all) is inf; a finite number is needed"
        )
    return found


def other_than_money(title: str) -> bool:
    """Whether a title names a quantity without a currency: power, energy, weather, shares."""
    return _QUANTITY.search(title) is not None and not re.search(r"[$€£]|usd|price", title.lower())


def unit_trouble(title: str, name: str, currency: str, scale: float) -> str:
    """The conflict between the unit in a title and a series of this currency and scale."""
    bare = title.casefold()
    said = [
        code
        for code, called in CURRENCIES.items()
        if re.search(rf"(?<![a-z])({called})(?![a-z])", bare)
    ]
    if said and currency.upper() not in said:
        return f'column {name!r} is in another currency, {said[0]}: say currency = "{said[0]}"' + (
            " and usd_per_currency, what one is worth in USD" if said[0] != "USD" else ""
        )
    if scale == 1.0 and _PER_KWH.search(title):
        return f"column {name!r} is per kWh: say scale = 1000, or 10 for cents per kWh"
    return ""


def _plain(column: pa.ChunkedArray, name: str, row_of: Callable[[int], int]) -> pa.Array:
    """Texts as plain numbers."""
    found: list[str | None] = []
    for i, cell in enumerate(column.to_pylist()):
        cell = (cell or "").strip()
        if not cell or stands_for_nothing(cell):
            found.append(None)
            continue
        try:
            found.append(plain(cell, "", lambda _: True))
        except NumberError as error:
            raise ValuesError(f"column {name!r}: row {row_of(i)} is {cell!r}: {error}") from None
    return pa.array(found, pa.string())


def _number(cell: object) -> bool:
    if cell is None:
        return True
    try:
        pc.cast(pa.array([cell]), pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True

"""Double-entry ledger: every transaction sums exactly to zero in USD and in BTC.

Accounts are those of `finance.chart`. Debits are positive: assets and expenses are above zero,
the others below.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.types import Floats, Ints
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC

FLEET: Final = ""  # site name of transactions that belong to no site
DECIMAL: Final = pa.decimal128(28, 8)
UNITS: Final = {"USD": CENTS_PER_USD, "BTC": SATOSHI_PER_BTC}
PLACES: Final = {"USD": 10**6, "BTC": 1}  # factor from smallest unit to the 8 decimals of DECIMAL
HALF: Final = 0xFFFF_FFFF  # the lower 32 bits
MOST: Final = 2**53  # limit of a posting or balance: above it floats lose single units


class LedgerError(ArithmeticError):
    """An amount that cannot be posted: NaN, or too large to be exact to the unit."""


class Entry(NamedTuple):
    """One side of a fleet transaction: debits positive, `units` in cents or satoshi."""

    account: str
    commodity: str  # USD or BTC
    units: int


class _Batch(NamedTuple):
    t_s: int
    transaction: Ints
    account: str
    commodity: str
    amount: Ints  # cents or satoshi
    site: list[str]
    memo: str


class Entries(NamedTuple):
    """All postings (posting,) in order, as numeric columns."""

    accounts: tuple[tuple[str, str], ...]  # account and commodity
    sites: tuple[str, ...]
    t_s: Ints
    transaction: Ints
    account: Ints  # index into `accounts`
    amount: Ints  # cents or satoshi, debits positive
    site: Ints  # index into `sites`


class Ledger:
    """Postings in cents and satoshi.

    Rounding remainders are carried to the next posting of the same kind, so that sums stay within
    half a cent or half a satoshi of the exact amounts.
    """

    def __init__(self, sites: list[str]) -> None:
        self.sites = sites
        self._batches: list[_Batch] = []
        self._carry: dict[tuple[str, str, str], Floats] = {}
        self._balances: dict[tuple[str, str], int] = {}
        self._transactions = 0

    def post(
        self, t_s: int, debit: str, credit: str, commodity: str, amount: Floats, memo: str
    ) -> None:
        """Post one transaction per site (site,): debit one account, credit another.

        A scalar, or one element where there are more sites, is posted for the firm as a whole.

        Raises ValueError for an unknown commodity, LedgerError for an amount or a balance above
        MOST units or not a number.
        """
        if commodity not in UNITS:
            raise ValueError(f"commodity {commodity!r}; allowed: {', '.join(UNITS)}")
        key = (debit, credit, commodity)
        exact = np.asarray(amount, dtype=np.float64) * UNITS[commodity]
        if exact.shape == (len(self.sites),):
            exact = exact + self._carry.get(key, 0.0)
            names = self.sites
        else:
            names, exact = [FLEET], exact.reshape(1)
        if not (np.abs(exact) <= MOST).all():
            wrong = int(np.argmin(np.abs(exact) <= MOST))
            size = float(exact.flat[wrong]) / UNITS[commodity]
            where = f" at {names[wrong]}" if names[wrong] else ""
            raise LedgerError(_too_much(t_s, debit, credit, f"{size:.6g} {commodity}{where}", memo))
        rounded = np.rint(exact)
        if names is self.sites:
            self._carry[key] = exact - rounded
        units = rounded.astype(np.int64)
        used = np.flatnonzero(units)
        if used.size == 0:
            return
        numbers = self._transactions + np.arange(used.size, dtype=np.int64)
        self._transactions += used.size
        places = [names[i] for i in used]
        for account, sign in ((debit, 1), (credit, -1)):
            part = units[used] * sign
            self._batches.append(_Batch(t_s, numbers, account, commodity, part, places, memo))
            self._add(t_s, account, commodity, sum(part.tolist()), memo)

    def record(self, t_s: int, entries: Iterable[Entry], memo: str) -> None:
        """Post one fleet transaction with any number of sides, in whole cents and satoshi.

        Sides of zero are left out. Raises ValueError when a commodity does not sum to zero,
        LedgerError for an amount or a balance above MOST units.
        """
        sides = [e for e in entries if e.units]
        for commodity in UNITS:
            rest = sum(e.units for e in sides if e.commodity == commodity)
            if rest:
                raise ValueError(f"{memo}: {commodity} of the transaction sum to {rest}, not to 0")
        if not sides:
            return
        for account, commodity, units in sides:
            if abs(units) > MOST:
                size = f"{units / UNITS[commodity]:.6g} {commodity}"
                raise LedgerError(_too_much(t_s, account, "others", size, memo))
        number = np.array([self._transactions], dtype=np.int64)
        self._transactions += 1
        for account, commodity, units in sides:
            amount = np.array([units], dtype=np.int64)
            self._batches.append(_Batch(t_s, number, account, commodity, amount, [FLEET], memo))
            self._add(t_s, account, commodity, units, memo)

    def _add(self, t_s: int, account: str, commodity: str, units: int, memo: str) -> None:
        balance = self.units(account, commodity) + units
        if abs(balance) > MOST:
            size = f"a balance of {balance / UNITS[commodity]:.6g} {commodity}"
            raise LedgerError(_too_much(t_s, account, "others", size, memo))
        self._balances[account, commodity] = balance

    @property
    def batches(self) -> int:
        """Number of posting batches so far; pass it to `since` later."""
        return len(self._batches)

    def since(self, batches: int) -> Iterator[tuple[int, str, str, int]]:
        """Instant, account, commodity and sum over sites [cents or satoshi] of later batches."""
        for b in self._batches[batches:]:
            yield b.t_s, b.account, b.commodity, int(b.amount.sum())

    @property
    def transactions(self) -> int:
        """Number of transactions posted."""
        return self._transactions

    def balance(self, account: str, commodity: str) -> float:
        """Balance of an account in USD or BTC; debits are positive."""
        return self._balances.get((account, commodity), 0) / UNITS[commodity]

    def units(self, account: str, commodity: str) -> int:
        """Balance of an account in cents or satoshi, exactly; debits are positive."""
        return self._balances.get((account, commodity), 0)

    def balances(self) -> dict[tuple[str, str], int]:
        """Balance of every (account, commodity) in cents or satoshi."""
        return dict(self._balances)

    def table(self) -> pa.Table:
        """All postings, in order: the columns of `ledger.parquet`."""
        batches = self._batches
        count = [len(b.amount) for b in batches]
        none = np.empty(0, dtype=np.int64)
        units = np.concatenate([b.amount for b in batches] or [none])
        places = np.array([PLACES[b.commodity] for b in batches], dtype=np.int64)
        return pa.table(
            {
                "t_s": np.repeat(np.array([b.t_s for b in batches], dtype=np.int64), count),
                "transaction": np.concatenate(
                    [b.transaction for b in batches] or [np.empty(0, dtype=np.int64)]
                ),
                "account": _repeated([b.account for b in batches], count),
                "commodity": _repeated([b.commodity for b in batches], count),
                "amount": _decimals(units, np.repeat(places, count)),
                "site": pa.array([s for b in batches for s in b.site]).dictionary_encode()
                if batches
                else pa.array([], pa.dictionary(pa.int32(), pa.string())),
                "memo": _repeated([b.memo for b in batches], count),
            }
        )

    def entries(self) -> Entries:
        """All postings as numeric columns, for statements: faster than `table`."""
        batches = self._batches
        count = [len(b.amount) for b in batches]
        accounts = {key: k for k, key in enumerate(self._balances)}
        sites = {name: k for k, name in enumerate(dict.fromkeys([FLEET, *self.sites]))}
        none = np.empty(0, dtype=np.int64)
        return Entries(
            tuple(accounts),
            tuple(sites),
            np.repeat(np.array([b.t_s for b in batches], dtype=np.int64), count),
            np.concatenate([b.transaction for b in batches] or [none]),
            np.repeat(
                np.array([accounts[b.account, b.commodity] for b in batches], dtype=np.int64), count
            ),
            np.concatenate([b.amount for b in batches] or [none]),
            np.array([sites[s] for b in batches for s in b.site], dtype=np.int64),
        )


def _repeated(names: list[str], count: list[int]) -> pa.DictionaryArray:
    number = {name: k for k, name in enumerate(dict.fromkeys(names))}
    index = np.array([number[n] for n in names], dtype=np.int32)
    values = list(number)
    return pa.DictionaryArray.from_arrays(np.repeat(index, count), pa.array(values, pa.string()))


def _decimals(units: Ints, places: Ints) -> pa.Array:
    """Exact decimals with 8 places: `units` times `places` (up to 2^20) in 128-bit words.

    Multiplied in 32-bit halves so that no product overflows 64 bits, as a billion dollars would.
    """
    low = (units & HALF) * places
    high = (units >> 32) * places + (low >> 32)
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = (high << 32) | (low & HALF)
    words[:, 1] = high >> 32
    return pa.Array.from_buffers(DECIMAL, len(units), [None, pa.py_buffer(words.tobytes())])


def _too_much(t_s: int, debit: str, credit: str, what: str, memo: str) -> str:
    return (
        f"ledger at t = {t_s} s: {what} from {credit} to {debit} ({memo}) cannot be posted; "
        f"allowed: numbers up to {MOST / CENTS_PER_USD:.3g} USD "
        f"and {MOST / SATOSHI_PER_BTC:.3g} BTC"
    )

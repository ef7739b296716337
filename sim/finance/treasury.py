"""The treasury: cash and bitcoin of the firm, sale proceeds, and the selling rule.

All bitcoin, free or pledged, is carried at average cost in the USD account `assets:btc`; the cost
of opening bitcoin is its fair value at the start. A sale removes its share of that cost in whole
cents, so that the cost is zero when no bitcoin is left. The difference to the market price is a
realised gain; the cost of the sale is an expense.
"""

import math
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from sim.finance.chart import Account
from sim.finance.ledger import Entry, Ledger
from sim.scenario.money import Sale
from sim.scenario.money import Treasury as Spec
from sim.types import OnEvent
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC, SECONDS_PER_DAY

Repay = Callable[[int, str, float], float]  # (t_s, loan, USD offered) -> USD taken

IMPACT_AVERAGE: Final = 2.0 / 3.0  # mean over final impact: mean of a square root
FLOAT_NOISE: Final = 1e-4  # cents: 2,999.9999999 USD counts as 3,000


class Quote(NamedTuple):
    """Proceeds of a sale, rounded down to whole cents: net = gross - slippage - fee."""

    gross_usd: float
    fee_usd: float
    slippage_usd: float
    net_usd: float


class _Proceeds(NamedTuple):
    """A `Quote` in cents."""

    gross: int
    fee: int
    slippage: int
    net: int


class Impact(NamedTuple):
    """Square-root impact: `q` BTC sold in a day lower the price by `factor * sqrt(q / volume)`.

    The fall is at most the whole price: beyond that point bitcoin brings nothing.
    """

    factor: float  # impact_factor * volatility_per_day [-]
    volume_btc: float  # traded in a day

    def volume_at(self, fraction: float) -> float:
        """BTC sold in a day that lower the price by `fraction`; infinite without impact."""
        if self.factor == 0.0:
            return math.inf
        return self.volume_btc * (max(fraction, 0.0) / self.factor) ** 2

    def slippage_btc(self, sold_btc: float) -> float:
        """Slippage of a day's first `sold_btc`, in BTC at the price before them."""
        if self.factor == 0.0:
            return 0.0
        priced = min(sold_btc, self.volume_at(1.0))
        end = self.factor * math.sqrt(priced / self.volume_btc)
        return IMPACT_AVERAGE * end * priced + (sold_btc - priced)


def satoshi(btc: float) -> int:
    """Convert BTC to whole satoshi, rounded."""
    return round(btc * SATOSHI_PER_BTC)


def cents(usd: float) -> int:
    """Convert USD to whole cents, rounded."""
    return round(usd * CENTS_PER_USD)


def least(enough: Callable[[int], bool], most: int, guess: int = 0) -> int:
    """Smallest integer up to `most` for which `enough` holds; `most` if none below does.

    Bisection, with bounds found by growing steps from a guess below the answer. `enough` must be
    monotonic: once true, true for all larger numbers.
    """
    low, step = min(guess, most), 1
    while low and enough(low):  # the guess was too high
        low, step = max(low - step, 0), 2 * step
    step = max(low >> 12, 1)
    high = low + step
    while high < most and not enough(high):
        low, step = high + 1, 8 * step
        high = low + step
    high = min(high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


class Treasury:
    """Cash and bitcoin on the ledger, and the scenario's selling rule.

    `event(t_s, kind, subject, detail)` is called for planned and forced sales ("bitcoin sold"), not
    for the rule's daily sales.
    """

    def __init__(self, spec: Spec, ledger: Ledger, start_utc: datetime, event: OnEvent) -> None:
        self.spec = spec
        self.ledger = ledger
        self.impact = Impact(spec.impact_factor * spec.volatility_per_day, spec.volume_btc_per_day)
        self.must_pay = spec.opening_usd is not None  # payments need cash on hand
        self._start_utc = start_utc
        self._event = event
        self._sold_today = 0  # satoshi, since the last close of a day
        self._payout_sold = 0  # satoshi of net payouts sell-all has handled

    def open(self, usd_per_btc: float) -> None:
        """Opening cash and bitcoin, at fair value (ASU 2023-08), against equity.

        Gains from before the run are in equity, not in income; the purchase cost of the bitcoin,
        `opening_usd_per_btc`, matters for tax only.
        """
        spec = self.spec
        for account, commodity, units in (
            (Account.CASH, "USD", cents(spec.opening_usd or 0.0)),
            (Account.BTC, "BTC", satoshi(spec.opening_btc)),
            (Account.BTC, "USD", cents(spec.opening_btc * usd_per_btc)),
        ):
            self.move(0, account, Account.OPENING, commodity, units, "opening balance")

    # Balances.

    @property
    def cash_usd(self) -> float:
        """Cash [USD]; negative between a bill and the sale that covers it."""
        return self.ledger.balance(Account.CASH, "USD")

    @property
    def free_btc(self) -> float:
        """Unpledged bitcoin [BTC]."""
        return self.ledger.balance(Account.BTC, "BTC")

    @property
    def held_btc(self) -> float:
        """Bitcoin held, collateral included [BTC]."""
        return self.held_satoshi() / SATOSHI_PER_BTC

    @property
    def cost_usd(self) -> float:
        """Book cost of the bitcoin held [USD]."""
        return self.ledger.balance(Account.BTC, "USD")

    @property
    def sold_today_btc(self) -> float:
        """Bitcoin sold since the last daily close [BTC]: start of the next sale's impact curve."""
        return self._sold_today / SATOSHI_PER_BTC

    def held_satoshi(self) -> int:
        """Bitcoin held, collateral included [satoshi]."""
        return self.ledger.units(Account.BTC, "BTC") + sum(
            units
            for (account, commodity), units in self.ledger.balances().items()
            if commodity == "BTC" and Account.BTC_COLLATERAL.holds(account)
        )

    def move(
        self, t_s: int, debit: str, credit: str, commodity: str, units: int, memo: str
    ) -> None:
        """Post a two-sided transaction in whole cents or satoshi."""
        sides = (Entry(debit, commodity, units), Entry(credit, commodity, -units))
        self.ledger.record(t_s, sides, memo)

    # Sales.

    def quote(self, btc: float, usd_per_btc: float, fee_fraction: float | None = None) -> Quote:
        """Quote a sale of `btc` now, given what has been sold since the last daily close.

        The fee is `fee_fraction` of proceeds after slippage; default: the treasury's.
        """
        return Quote(
            *(c / CENTS_PER_USD for c in self._proceeds(satoshi(btc), usd_per_btc, fee_fraction))
        )

    def _proceeds(
        self, sold: int, usd_per_btc: float, fee_fraction: float | None = None
    ) -> _Proceeds:
        fee_fraction = self.spec.fee_fraction if fee_fraction is None else fee_fraction
        before, after = self.sold_today_btc, (self._sold_today + sold) / SATOSHI_PER_BTC
        lost_btc = self.impact.slippage_btc(after) - self.impact.slippage_btc(before)
        gross_usd = sold / SATOSHI_PER_BTC * usd_per_btc
        left_usd = max(gross_usd - lost_btc * usd_per_btc, 0.0)
        # Round sums, not costs, so that no cost is negative and net increases with the amount sold.
        sums = (gross_usd, left_usd, left_usd * (1.0 - fee_fraction))
        gross, left, net = (math.floor(usd * CENTS_PER_USD + FLOAT_NOISE) for usd in sums)
        return _Proceeds(gross, left - net, gross - left, net)

    def sell(
        self,
        t_s: int,
        btc: float,
        usd_per_btc: float,
        memo: str,
        account: str = Account.BTC,
        realised_usd_per_btc: float | None = None,
        fee_fraction: float | None = None,
        fee_account: str = Account.TRADING,
    ) -> float:
        """Sell bitcoin from an account into cash; return the net proceeds [USD].

        A price `realised_usd_per_btc` includes all costs. Raises ValueError if `btc` exceeds the
        account's holdings.
        """
        sold, held = satoshi(btc), self.ledger.units(account, "BTC")
        if not 0 <= sold <= held:
            have = held / SATOSHI_PER_BTC
            raise ValueError(f"cannot sell {btc:.8f} BTC of {account}: {have:.8f} are held")
        if realised_usd_per_btc is None:
            brings = self._proceeds(sold, usd_per_btc, fee_fraction)
        else:
            gross = cents(sold / SATOSHI_PER_BTC * realised_usd_per_btc)
            brings = _Proceeds(gross, 0, 0, gross)
        cost = self.ledger.units(Account.BTC, "USD") * sold // max(self.held_satoshi(), 1)
        self.ledger.record(
            t_s,
            (
                Entry(Account.EXCHANGE, "BTC", sold),
                Entry(account, "BTC", -sold),
                Entry(Account.CASH, "USD", brings.net),
                Entry(Account.TRADING, "USD", brings.slippage),
                Entry(fee_account, "USD", brings.fee),
                Entry(Account.BTC, "USD", -cost),
                Entry(Account.BTC_GAINS, "USD", cost - brings.gross),
            ),
            memo,
        )
        self._sold_today += sold
        return brings.net / CENTS_PER_USD

    def raise_cash(self, t_s: int, usd: float, usd_per_btc: float, memo: str) -> float:
        """Sell free bitcoin to raise `usd` after costs, as far as it goes; the proceeds [USD].

        Sells the fewest satoshi that suffice and raises an event.
        """
        before = self._sold_today
        proceeds_usd = self._cover(t_s, usd, usd_per_btc, memo)
        if self._sold_today > before:
            self._tell(t_s, self._sold_today - before, proceeds_usd, memo)
        return proceeds_usd

    def _cover(self, t_s: int, usd: float, usd_per_btc: float, memo: str) -> float:
        sold = self._needed(usd, usd_per_btc, self.ledger.units(Account.BTC, "BTC"))
        return self.sell(t_s, sold / SATOSHI_PER_BTC, usd_per_btc, memo) if sold else 0.0

    def _needed(self, usd: float, usd_per_btc: float, most: int) -> int:
        """Fewest satoshi, up to `most`, that bring `usd` at market after costs."""
        wanted = math.ceil(round(usd * CENTS_PER_USD, 3))
        if wanted <= 0:
            return 0
        without_costs = int(usd / usd_per_btc * SATOSHI_PER_BTC)
        return least(
            lambda sold: self._proceeds(sold, usd_per_btc).net >= wanted,
            max(most, 0),
            without_costs,
        )

    def _tell(self, t_s: int, sold: int, usd: float, why: str) -> None:
        detail = f"{sold / SATOSHI_PER_BTC:.8f} BTC for {usd:,.2f} USD: {why}"
        self._event(t_s, "bitcoin sold", "treasury", detail)

    # The daily close.

    def close_day(
        self, t_s: int, usd_per_btc: float, repay: Repay, settle: Callable[[], None] | None = None
    ) -> None:
        """Make the day's planned sales, apply the selling rule, settle amounts due.

        `repay(t_s, loan, usd)` takes the proceeds of planned sales that pay down a loan. `settle`
        covers a shortage of cash; default: sell free bitcoin. Price impact accumulates from close
        to close.
        """
        began_s = (t_s - 1) // SECONDS_PER_DAY * SECONDS_PER_DAY
        for sale in self.spec.sales:
            start_s = (sale.start_utc - self._start_utc).total_seconds()
            day = math.ceil((began_s - start_s) / SECONDS_PER_DAY)
            if 0 <= day < sale.days and start_s + day * SECONDS_PER_DAY < t_s:
                self._sell_planned(t_s, sale, day, usd_per_btc, repay)
        self._follow_rule(t_s, usd_per_btc)
        if settle is not None:
            settle()
        elif self.must_pay and self.cash_usd < 0.0:
            self.raise_cash(t_s, -self.cash_usd, usd_per_btc, "cash below zero")
        self._sold_today = 0

    def _follow_rule(self, t_s: int, usd_per_btc: float) -> None:
        """Apply the selling rule: hold, sell-all, sell-to-cover or target-reserve."""
        spec, free = self.spec, self.ledger.units(Account.BTC, "BTC")
        payout = -self.ledger.units(Account.MINING, "BTC")
        payout -= self.ledger.units(Account.POOL_FEES, "BTC")
        sold = 0
        if spec.model == "sell-all":
            # If fees exceed the bitcoin mined in a day, the following days make up for it.
            sold = payout - self._payout_sold
            self._payout_sold = max(payout, self._payout_sold)
        elif spec.model == "target-reserve":
            sold = free - satoshi(spec.reserve_btc)
        sold = min(sold, free)
        if sold > 0:
            memo = "sale of the day's payout" if spec.model == "sell-all" else "sale above reserve"
            self.sell(t_s, sold / SATOSHI_PER_BTC, usd_per_btc, memo)
        if spec.model in ("sell-to-cover", "target-reserve"):
            short_usd = spec.cash_floor_usd - self.cash_usd
            self._cover(t_s, short_usd, usd_per_btc, "sale to keep the cash floor")

    def _sell_planned(
        self, t_s: int, sale: Sale, day: int, usd_per_btc: float, repay: Repay
    ) -> None:
        """Sell a planned sale's slice for its `day`: free bitcoin, then the loan's collateral.

        A loan's collateral is sold only if the proceeds repay that loan. A shortfall of a slice is
        not made up later.
        """
        accounts = (
            [Account.BTC]
            if sale.repays is None
            else [Account.BTC, Account.BTC_COLLATERAL.of(sale.repays)]
        )
        sold, proceeds_usd = 0, 0.0
        for account in accounts:
            slice_ = self._slice(sale, day, sold, proceeds_usd, usd_per_btc)
            part = min(slice_, max(self.ledger.units(account, "BTC"), 0))
            if part:
                amount = (part / SATOSHI_PER_BTC, usd_per_btc, "planned sale", account)
                proceeds_usd += self.sell(t_s, *amount, sale.usd_per_btc)
                sold += part
        missing = self._slice(sale, day, sold, proceeds_usd, usd_per_btc)
        short = ", less than planned: no more is held" if missing else ""
        self._tell(t_s, sold, proceeds_usd, f"planned sale{short}")
        if sale.repays is not None and sold:
            repay(t_s, sale.repays, proceeds_usd)

    def _slice(
        self, sale: Sale, day: int, sold: int, proceeds_usd: float, usd_per_btc: float
    ) -> int:
        """Satoshi still to be sold for a day's slice."""

        def even(total: int) -> int:
            return total * (day + 1) // sale.days - total * day // sale.days

        if sale.btc is not None:
            return even(satoshi(sale.btc)) - sold
        assert sale.usd is not None  # btc or usd is set: validated by the scenario table
        left = even(cents(sale.usd)) - cents(proceeds_usd)
        if sale.usd_per_btc is None:
            most = 21_000_000 * SATOSHI_PER_BTC
            return self._needed(left / CENTS_PER_USD, usd_per_btc, most)
        return max(math.ceil(left / CENTS_PER_USD / sale.usd_per_btc * SATOSHI_PER_BTC), 0)

    def revalue(self, t_s: int, usd_per_btc: float) -> None:
        """Revalue bitcoin held to market: cost + revaluation = holdings * price."""
        account = Account.BTC_REVALUATION
        market = cents(self.held_satoshi() / SATOSHI_PER_BTC * usd_per_btc)
        change = market - self.ledger.units(Account.BTC, "USD") - self.ledger.units(account, "USD")
        self.move(t_s, account, Account.BTC_REVALUED, "USD", change, "bitcoin at market")

"""Bitcoin-backed loans: draws, interest, margin calls, liquidations, maturities.

The debt in an LTV is principal plus interest accrued to the last daily close, or to the last
payment if later. The lender checks every hour:

- At `automatic_ltv` it sells at once; at `liquidation_ltv` once the LTV has been there at every
  check for `grace_h` (no grace: at once). The firm is not asked first.
- At `call_ltv` a margin call begins if curing it would take a payment of at least
  `least_call_fraction` of the debt. The firm answers at this and every later check with what it
  has. The call ends when the LTV is back at `cure_ltv`, by payment, pledge or price. At the check
  `cure_h` after it began the lender sells.
- It sells enough collateral to bring the LTV to `cure_ltv`, or all of it. The remaining debt, the
  deficiency, is due at once, like debt at maturity.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from sim.finance.chart import Account
from sim.finance.ledger import Ledger
from sim.finance.loan_accounts import LoanAccount, debt_for, pledge_for
from sim.finance.treasury import Treasury, cents, least, satoshi
from sim.scenario.money import Loan
from sim.types import OnEvent
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC, SECONDS_PER_HOUR

SAME_LTV: Final = 1e-9  # tolerance when comparing LTVs: prices are floats


class Lending:
    """The firm's loans on its ledger, and the lenders' actions.

    `margin_calls`, `calls_by_debt` (each call weighted by its loan's share of all debt then),
    `liquidations` and `liquidated_btc` count since the start of the run.
    """

    def __init__(
        self,
        specs: Mapping[str, Loan],
        treasury: Treasury,
        ledger: Ledger,
        start_utc: datetime,
        event: OnEvent,
    ) -> None:
        self.treasury = treasury
        self.ledger = ledger
        self.margin_calls = 0
        self.calls_by_debt = 0.0
        self.liquidations = 0
        self.liquidated_btc = 0.0
        # `find(t_s, usd, usd_per_btc, why)` raises an amount in cash; returns whether to pay it.
        self.find: Callable[[int, float, float, str], bool] = self._sell_free
        self._followers = {spec.refinance for spec in specs.values() if spec.refinance}
        self._loans = {
            name: LoanAccount(name, spec, treasury, start_utc, event)
            for name, spec in specs.items()
        }

    def open(self, usd_per_btc: float) -> None:
        """Open loans from before the run: debt against equity, collateral from free bitcoin.

        Their LTV is not checked here; the first check is that of `check`.
        Raises ValueError when the treasury does not hold the collateral.
        """
        for loan in self._loans.values():
            if loan.start_s >= 0 or loan.name in self._followers:
                continue
            pledged = satoshi(loan.spec.collateral_btc)
            if pledged > self._free():
                raise ValueError(
                    f"loans.{loan.name}.collateral_btc = {loan.spec.collateral_btc:g}: the "
                    f"treasury has {self.treasury.free_btc:g} BTC that are free"
                )
            loan.open = True
            loan.pledge(0, pledged)
            loan.borrow(0, cents(loan.spec.principal_usd), Account.OPENING)

    # Debt and collateral.

    @property
    def accounts(self) -> tuple[LoanAccount, ...]:
        """Accounts of all loans."""
        return tuple(self._loans.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all loans."""
        return tuple(self._loans)

    def debt_usd(self, name: str | None = None) -> float:
        """Principal and accrued interest [USD], of one loan or of all."""
        names = self._loans if name is None else (name,)
        return sum(self._loans[n].debt for n in names) / CENTS_PER_USD

    def collateral_btc(self, name: str | None = None) -> float:
        """Pledged bitcoin [BTC], of one loan or of all."""
        names = self._loans if name is None else (name,)
        return sum(self._loans[n].pledged for n in names) / SATOSHI_PER_BTC

    def ltv(self, name: str, usd_per_btc: float) -> float:
        """Debt / (collateral * price): 0 when nothing is owed, infinite when nothing is pledged."""
        return self._loans[name].ltv(usd_per_btc)

    def highest_ltv(self, usd_per_btc: float) -> float:
        """Highest LTV of loans with collateral; 0 without any."""
        held = (loan for loan in self._loans.values() if loan.pledged)
        return max((loan.ltv(usd_per_btc) for loan in held), default=0.0)

    @property
    def due(self) -> float:
        """Amounts due and unpaid [USD]: matured debt, missed interest."""
        return sum(loan.due for loan in self._loans.values()) / CENTS_PER_USD

    def _free(self) -> int:
        return max(self.ledger.units(Account.BTC, "BTC"), 0)

    def _cash(self) -> int:
        return max(self.ledger.units(Account.CASH, "USD"), 0)

    # Draws and repayments.

    def draw(
        self, name: str, t_s: int, usd: float, usd_per_btc: float, again: bool = False
    ) -> float:
        """Draw for a project into cash; return the amount [USD]. No event for a zero `again` draw.

        Free bitcoin is pledged to keep the LTV within `initial_ltv`. The draw is reduced, possibly
        to zero, by the limit or lack of bitcoin, and is zero before the start and from maturity.
        """
        loan = self._loans[name]
        loan.accrue(t_s)
        spec, debt, pledged = loan.spec, loan.debt, loan.pledged
        limit = cents(spec.principal_usd if spec.limit_usd is None else spec.limit_usd)
        room = {
            "what is asked for": cents(usd),
            "limit": limit - loan.drawn if loan.open and not loan.matured else 0,
            "collateral": debt_for(pledged + self._free(), spec.initial_ltv, usd_per_btc) - debt,
        }
        bound = min(room, key=lambda r: room[r])
        drawn = max(room[bound], 0)
        if drawn:
            missing = pledge_for(debt + drawn, spec.initial_ltv, usd_per_btc) - pledged
            loan.pledge(t_s, min(max(missing, 0), self._free()))
            loan.borrow(t_s, drawn)
        drawn_usd = drawn / CENTS_PER_USD
        short = "" if bound == "what is asked for" else f" of {usd:,.2f}, bound by {bound}"
        if drawn or not again:
            loan.tell(t_s, "loan drawn", f"{drawn_usd:,.2f} USD{short}")
        return drawn_usd

    def repay(self, t_s: int, name: str, usd: float) -> float:
        """Repay a loan from cash, interest first, up to `usd`; return what was paid [USD].

        Collateral is released once the debt is zero.
        """
        loan = self._loans[name]
        loan.accrue(t_s)
        paid = loan.pay(t_s, max(cents(usd), 0)) / CENTS_PER_USD
        owed = loan.debt / CENTS_PER_USD
        if paid and owed:
            loan.tell(t_s, "loan repaid", f"{paid:,.2f} USD, {owed:,.2f} USD still owed")
        return paid

    def _begin(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """Draw a loan at its start, reduced where collateral is short of `initial_ltv`."""
        loan.open = True
        pledged = min(satoshi(loan.spec.collateral_btc), self._free())
        most = debt_for(pledged, loan.spec.initial_ltv, usd_per_btc)
        asked = cents(loan.spec.principal_usd)
        drawn = min(asked, most)
        loan.pledge(t_s, pledged)
        loan.borrow(t_s, drawn)
        detail = f"{drawn / CENTS_PER_USD:,.2f} USD against {pledged / SATOSHI_PER_BTC:.8f} BTC"
        if drawn < asked:
            detail += f", of {asked / CENTS_PER_USD:,.2f} planned, bound by collateral"
        loan.tell(t_s, "loan drawn", detail)

    # The hourly check.

    def check(self, t_s: int, usd_per_btc: float) -> None:
        """Handle loan starts, maturities, then LTVs, highest first.

        Call it hourly; a margin call begins at the first check with an LTV at the call level.
        """
        for loan in self._loans.values():
            if not loan.open and loan.start_s <= t_s and loan.name not in self._followers:
                self._begin(loan, t_s, usd_per_btc)
        for loan in self._loans.values():
            if loan.open and not loan.matured and loan.maturity_s is not None:
                if loan.maturity_s <= t_s:
                    self._mature(loan, t_s, usd_per_btc)
        secured = [loan for loan in self._loans.values() if loan.pledged]
        ltvs = {loan.name: loan.ltv(usd_per_btc) for loan in secured}
        for loan in sorted(secured, key=lambda x: -ltvs[x.name]):
            self._look(loan, t_s, ltvs[loan.name], usd_per_btc)

    def _look(self, loan: LoanAccount, t_s: int, ltv_now: float, usd_per_btc: float) -> None:
        spec, ltv = loan.spec, ltv_now + SAME_LTV
        if ltv < spec.liquidation_ltv:
            loan.breached_s = None
        elif loan.breached_s is None:
            loan.breached_s = t_s
        if ltv >= spec.automatic_ltv:
            self._liquidate(loan, t_s, usd_per_btc, "automatic level")
        elif loan.breached_s is not None and _over(t_s, loan.breached_s, spec.grace_h):
            self._liquidate(loan, t_s, usd_per_btc, "liquidation level")
        elif loan.called_s is None and (ltv < spec.call_ltv or self._trifle(loan, usd_per_btc)):
            self._warn(loan, t_s, ltv, usd_per_btc)
            self._give_back(loan, t_s, usd_per_btc)
        elif loan.called_s is not None and self._cured(loan, usd_per_btc):
            loan.end_call()
            loan.tell(t_s, "margin call over", f"LTV {ltv:.2%}")
        else:
            self._call(loan, t_s, usd_per_btc)

    def _trifle(self, loan: LoanAccount, usd_per_btc: float) -> bool:
        """Whether the payment back to `cure_ltv` is below the smallest margin call."""
        missing = loan.debt - debt_for(loan.pledged, loan.spec.cure_ltv, usd_per_btc)
        return missing < loan.spec.least_call_fraction * loan.debt

    def _call(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """Begin or continue a margin call: answer it, and sell once its time is up."""
        spec = loan.spec
        if loan.called_s is None:
            loan.called_s, loan.warned = t_s, True
            self.margin_calls += 1
            share = loan.debt / sum(x.debt for x in self._loans.values())
            self.calls_by_debt += share
            ltv = f"LTV {loan.ltv(usd_per_btc):.2%} at {usd_per_btc:,.2f} USD"
            part = f"{share:.10%} of all debt"
            loan.tell(t_s, "margin call", f"{ltv}, {spec.cure_h:g} h to answer, {part}")
        self._answer(loan, t_s, usd_per_btc)
        if loan.called_s is None:  # repaid in full
            return
        ltv_now = loan.ltv(usd_per_btc)
        if ltv_now + SAME_LTV < spec.liquidation_ltv:
            loan.breached_s = None
        if self._cured(loan, usd_per_btc):
            loan.end_call()
            loan.tell(t_s, "margin call met", f"LTV {ltv_now:.2%}")
        elif _over(t_s, loan.called_s, spec.cure_h):
            self._liquidate(loan, t_s, usd_per_btc, "margin call not met")

    def _answer(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """Pledge free bitcoin and pay from cash above zero, in the order of `answer`."""
        loan.accrue(t_s)
        steps = {
            "collateral": (self._top_up, self._pay_down),
            "repay": (self._pay_down, self._top_up),
            "none": (),
        }
        for step in steps[loan.spec.answer]:
            step(loan, t_s, usd_per_btc)

    def _top_up(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        wanted = pledge_for(loan.debt, loan.spec.cure_ltv, usd_per_btc)
        loan.pledge(t_s, min(max(wanted - loan.pledged, 0), self._free()))

    def _pay_down(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        allowed = debt_for(loan.pledged, loan.spec.cure_ltv, usd_per_btc)
        spare = max(self._cash() - cents(self.treasury.spec.cash_floor_usd), 0)
        loan.pay(t_s, min(max(loan.debt - allowed, 0), spare))

    def _cured(self, loan: LoanAccount, usd_per_btc: float) -> bool:
        return loan.ltv(usd_per_btc) <= loan.spec.cure_ltv + SAME_LTV

    def _warn(self, loan: LoanAccount, t_s: int, ltv: float, usd_per_btc: float) -> None:
        """Warn once per rise; again only after the LTV has been at `cure_ltv` or below."""
        if ltv >= loan.spec.warning_ltv and not loan.warned:
            loan.warned = True
            detail = f"LTV {ltv:.2%} at {usd_per_btc:,.2f} USD"
            loan.tell(t_s, "margin warning", detail)
        elif loan.warned and ltv < loan.spec.warning_ltv and self._cured(loan, usd_per_btc):
            loan.warned = False

    def _give_back(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        level = loan.spec.release_ltv
        if level is not None and loan.ltv(usd_per_btc) < level:
            self.release(loan, t_s, usd_per_btc)

    def release(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """Release the collateral in excess of `initial_ltv`."""
        needed = pledge_for(loan.debt, loan.spec.initial_ltv, usd_per_btc)
        excess = loan.pledged - needed
        if excess > 0:
            loan.release(t_s, excess)
            loan.tell(t_s, "collateral released", f"{excess / SATOSHI_PER_BTC:.8f} BTC")

    # Forced sales, maturities, default.

    def _liquidate(self, loan: LoanAccount, t_s: int, usd_per_btc: float, why: str) -> None:
        """Sell collateral, down to `cure_ltv` or all of it, and repay debt with the proceeds."""
        loan.accrue(t_s)
        sold = self._to_sell(loan, usd_per_btc)
        ltv = loan.ltv(usd_per_btc)
        self._sell_collateral(loan, t_s, sold, usd_per_btc, f"{why}, LTV {ltv:.2%}")
        loan.end_call()
        if loan.debt and not loan.pledged:
            loan.matured = True
            owed_usd = loan.debt / CENTS_PER_USD
            loan.tell(t_s, "deficiency", f"{owed_usd:,.2f} USD are owed beyond the collateral")

    def _to_sell(self, loan: LoanAccount, usd_per_btc: float) -> int:
        """Fewest satoshi x with debt - net(x) <= cure_ltv * (collateral - x) * price, or all.

        Without impact that is x = (debt - cure * C * p) / (p * (1 - fee - cure)). With it, a sale
        lowers the LTV only while the last bitcoin brings more than `cure_ltv` of the price.
        """
        spec, debt, pledged = loan.spec, loan.debt, loan.pledged
        fee = spec.liquidation_fee_fraction

        def enough(x: int) -> bool:
            net = self.treasury.quote(x / SATOSHI_PER_BTC, usd_per_btc, fee).net_usd
            return debt - cents(net) <= debt_for(pledged - x, spec.cure_ltv, usd_per_btc)

        deepest = self.treasury.impact.volume_at(1.0 - spec.cure_ltv / (1.0 - fee))
        useful = max(deepest - self.treasury.sold_today_btc, 0.0) * SATOSHI_PER_BTC
        most = int(min(useful, pledged))
        return least(enough, most) if enough(most) else pledged

    def _sell_collateral(
        self, loan: LoanAccount, t_s: int, sold: int, usd_per_btc: float, why: str
    ) -> None:
        """The lender sells, keeps its fee and repays the debt; any surplus is cash."""
        btc = sold / SATOSHI_PER_BTC
        fee = (loan.spec.liquidation_fee_fraction, Account.LIQUIDATION)
        memo = f"liquidation of {loan.name}"
        net_usd = self.treasury.sell(t_s, btc, usd_per_btc, memo, loan.account, None, *fee)
        self.liquidated_btc += btc
        self.liquidations += 1
        loan.tell(t_s, "liquidation", f"{btc:.8f} BTC for {net_usd:,.2f} USD: {why}")
        loan.pay(t_s, cents(net_usd))

    def _mature(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """At maturity refinance, or pay from cash, free bitcoin, collateral, in this order."""
        loan.accrue(t_s)
        loan.matured = True
        loan.end_call()
        if loan.debt == 0:
            loan.release(t_s, loan.pledged)
        elif not self._refinance(loan, t_s, usd_per_btc):
            self._settle(loan, t_s, usd_per_btc, self._sell_free)
            self._sell_for_debt(loan, t_s, usd_per_btc)
            if loan.debt:
                owed_usd = loan.debt / CENTS_PER_USD
                detail = f"{owed_usd:,.2f} USD of the debt at maturity cannot be paid"
                loan.tell(t_s, "loan in default", detail)

    def _refinance(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> bool:
        """Draw the successor loan for the debt, if the old lender can then be paid in full.

        The old collateral is free at that instant. The successor lends at most `initial_ltv` of
        what is pledged; the rest comes from cash and free bitcoin. The successor of a loan with no
        debt at maturity is never drawn.
        """
        if loan.spec.refinance is None:
            return False
        follower = self._loans[loan.spec.refinance]
        owed, there = loan.debt, self._free() + loan.pledged
        pledged = min(satoshi(follower.spec.collateral_btc), there)
        lent = min(owed, debt_for(pledged, follower.spec.initial_ltv, usd_per_btc))
        spare = self.treasury.quote((there - pledged) / SATOSHI_PER_BTC, usd_per_btc)
        if owed - lent > self.ledger.units(Account.CASH, "USD") + cents(spare.net_usd):
            return False
        follower.open = True
        loan.release(t_s, loan.pledged)
        follower.pledge(t_s, pledged)
        follower.borrow(t_s, lent)
        self._settle(loan, t_s, usd_per_btc, self._sell_free)
        detail = f"{lent / CENTS_PER_USD:,.2f} USD from {follower.name}"
        loan.tell(t_s, "loan refinanced", detail)
        return True

    def _sell_free(self, t_s: int, usd: float, usd_per_btc: float, why: str) -> bool:
        """Default `find`: sell free bitcoin as far as it goes; always allow payment."""
        self.treasury.raise_cash(t_s, usd - self.treasury.cash_usd, usd_per_btc, why)
        return True

    def _settle(
        self,
        loan: LoanAccount,
        t_s: int,
        usd_per_btc: float,
        find: Callable[[int, float, float, str], bool],
    ) -> None:
        """Pay what is due from cash above zero, raising cash with `find`."""
        due = loan.due
        if not due:
            return
        if find(t_s, due / CENTS_PER_USD, usd_per_btc, f"payment on {loan.name}"):
            loan.pay(t_s, min(loan.due, self._cash()))

    def _sell_for_debt(self, loan: LoanAccount, t_s: int, usd_per_btc: float) -> None:
        """At maturity sell the fewest satoshi of collateral that repay the debt, or all."""
        debt, pledged = loan.debt, loan.pledged
        fee = loan.spec.liquidation_fee_fraction
        if not debt or not pledged:
            return

        def enough(x: int) -> bool:
            quote = self.treasury.quote(x / SATOSHI_PER_BTC, usd_per_btc, fee)
            return cents(quote.net_usd) >= debt

        self._sell_collateral(loan, t_s, least(enough, pledged), usd_per_btc, "debt at maturity")

    # Daily and monthly closes.

    def close_day(self, t_s: int, usd_per_btc: float) -> None:
        """Accrue the day's interest; pay overdue amounts as far as money goes."""
        for loan in self._loans.values():
            if loan.open:
                loan.accrue(t_s)
                self._settle(loan, t_s, usd_per_btc, self.find)

    def pay_due(self, t_s: int) -> None:
        """Pay amounts due from cash."""
        for loan in self._loans.values():
            loan.pay(t_s, min(loan.due, self._cash()))

    def close_month(self, t_s: int, usd_per_btc: float) -> None:
        """Pay interest, selling free bitcoin where cash is short, or capitalise it."""
        for loan in self._loans.values():
            if loan.matured:
                continue
            loan.accrue(t_s)
            if loan.spec.interest == "capitalised":
                loan.capitalise(t_s)
                continue
            loan.overdue = loan.interest
            self._settle(loan, t_s, usd_per_btc, self.find)
            if loan.overdue:
                detail = f"{loan.overdue / CENTS_PER_USD:,.2f} USD of interest cannot be paid"
                loan.tell(t_s, "loan in default", detail)


def _over(t_s: int, since_s: int, hours: float) -> bool:
    return t_s - since_s >= hours * SECONDS_PER_HOUR

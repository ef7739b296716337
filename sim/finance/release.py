"""Cash from collateral: excess collateral released, and loans paid down to free more."""

from typing import Final

from sim.finance.loan_accounts import LoanAccount, pledge_for
from sim.finance.loans import Lending
from sim.finance.treasury import cents, least
from sim.units import CENTS_PER_USD, SATOSHI_PER_BTC

ROUNDING: Final = 2  # cents: each of the two sales is rounded down


def free_up(lending: Lending, t_s: int, usd: float, usd_per_btc: float, why: str) -> None:
    """Raise `usd` of further cash from collateral, as far as possible.

    First, lenders release collateral in excess of `initial_ltv`. Then, lowest LTV first, pledged
    bitcoin is sold at market to pay the loan down until selling what is freed at `initial_ltv`
    covers the rest. Lenders are assumed to accept early repayment.
    """
    treasury = lending.treasury
    wanted = cents(treasury.cash_usd) + cents(usd)

    def short() -> int:
        return wanted - cents(treasury.cash_usd)

    def sell_free() -> None:
        treasury.raise_cash(t_s, short() / CENTS_PER_USD, usd_per_btc, why)

    secured = [loan for loan in lending.accounts if loan.pledged]
    for loan in secured:
        loan.accrue(t_s)
        lending.release(loan, t_s, usd_per_btc)
    sell_free()
    for loan in sorted(secured, key=lambda x: x.ltv(usd_per_btc)):
        if short() <= 0:
            return
        sold = _to_sell(lending, loan, short(), usd_per_btc)
        if not sold:
            continue
        btc = sold / SATOSHI_PER_BTC
        net_usd = treasury.sell(t_s, btc, usd_per_btc, f"{loan.name} paid down", loan.account)
        detail = f"{btc:.8f} BTC for {net_usd:,.2f} USD, to pay it down: {why}"
        loan.tell(t_s, "collateral sold", detail)
        loan.pay(t_s, cents(net_usd))
        lending.release(loan, t_s, usd_per_btc)
        sell_free()


def _to_sell(lending: Lending, loan: LoanAccount, short: int, usd_per_btc: float) -> int:
    """Fewest satoshi to sell to pay the loan down so that the freed rest brings `short` [cents].

    Without costs x = (D - L C p + L s) / (p (1 - L)), with the debt D, the collateral C, the
    initial LTV L and the cash s. If nothing suffices: what brings the most, or 0.
    """
    debt, pledged = loan.debt, loan.pledged

    def net(satoshi: int) -> int:
        return cents(lending.treasury.quote(satoshi / SATOSHI_PER_BTC, usd_per_btc).net_usd)

    def brings(x: int) -> int:
        paid = min(net(x), debt)
        kept = min(pledge_for(debt - paid, loan.spec.initial_ltv, usd_per_btc), pledged - x)
        return net(pledged - kept) - paid

    most = least(lambda x: net(x) >= debt, pledged)  # the loan is paid in full
    enough = short + ROUNDING
    if brings(most) >= enough:
        return least(lambda x: brings(x) >= enough, most)
    return most if brings(most) > 0 else 0

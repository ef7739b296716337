"""Tables of `scenario.toml` about finance: the firm's books, treasury, loans, insurance."""

from typing import Literal

from pydantic import model_validator

from sim.scenario.problems import instant
from sim.scenario.quantity import REQUIRED, Instant, Table, quantity


class Firm(Table):
    """What the books hold at the start, what the firm costs to run, how its value is counted."""

    overhead_usd_per_month: float = quantity(
        0.0, "USD/month", "salaries, offices, audits", source="assumed: none", ge=0
    )
    asic_usd_per_th: float = quantity(
        0.0,
        "USD/TH",
        "book value of the ASICs at the start",
        source="assumed: none, machines are not on the books",
        ge=0,
        le=1000,
    )
    gpu_usd_per_gpu: float = quantity(
        0.0,
        "USD/GPU",
        "book value of the GPUs at the start, their servers included",
        source="assumed: none, nodes are not on the books",
        ge=0,
        le=1_000_000,
    )
    asic_life_years: float = quantity(
        3.0,
        "y",
        "straight-line depreciation of ASICs",
        source="useful life in annual reports of listed miners: 3 years (Riot, CleanSpark)",
        gt=0,
    )
    gpu_life_years: float = quantity(
        5.0, "y", "straight-line depreciation of GPU nodes", source="assumed", gt=0
    )
    building_life_years: float = quantity(
        15.0, "y", "straight-line depreciation of substations", source="assumed", gt=0
    )
    battery_life_years: float = quantity(
        15.0,
        "y",
        "useful life of batteries; their books follow wear",
        source="NREL Annual Technology Baseline 2023, utility-scale battery storage",
        gt=0,
    )
    asic_new_usd_per_th: float = quantity(
        14.0,
        "USD/TH",
        "price of a new ASIC, for the capital charge of machines that have no book value",
        source="assumed: class under 19 J/TH at the end of 2025, as the pivot scenarios pay",
        gt=0,
        le=1000,
    )
    distressed_fraction: float = quantity(
        0.3,
        "-",
        "what machines fetch in a winding-up, of their book value",
        source="assumed",
        ge=0,
        le=1,
    )
    idle_months: int = quantity(
        3,
        "months",
        "machines that idle or lose money for so many months in a row are tested for impairment "
        "(ASC 360-10-35-17 to 35-23)",
        source="assumed: a quarter",
        ge=1,
        le=120,
    )
    idle_fraction: float = quantity(
        0.5,
        "-",
        "of their nameplate hashes: ASICs that hash less in a month idle",
        source="assumed",
        ge=0,
        le=1,
    )
    market_fall_fraction: float = quantity(
        0.2,
        "-",
        "machines that fetch less than their book value by more than this share are tested for "
        "impairment (ASC 360-10-35-21(a)); 1: never for that reason",
        source="assumed: what is significant is a matter of judgement",
        gt=0,
        le=1,
    )
    capitalise_interest: bool = quantity(
        True,
        "",
        "interest while a project is built becomes part of its cost (ASC 835-20)",
    )
    discount_rate_per_year: float = quantity(
        0.12, "1/y", "of net present values", source="assumed", ge=0, le=1
    )
    borrowing_rate_per_year: float = quantity(
        0.12,
        "1/y",
        "at which rents to come are discounted: what the firm would pay for a secured loan",
        source="assumed",
        ge=0,
        le=1,
    )
    tax_fraction: float = quantity(
        0.0,
        "-",
        "rate of income tax, federal and state together; [tax] says how",
        source="assumed: none",
        ge=0,
        lt=1,
    )

    @property
    def machines_on_the_books(self) -> bool:
        """Whether machines present at the start have a book value."""
        return self.asic_usd_per_th > 0.0 or self.gpu_usd_per_gpu > 0.0


class Sale(Table):
    """A sale of bitcoin that is planned beforehand, at the close of each of its days.

    A day sells an even part, or what is there; what is missing is not made up for later.
    """

    start_utc: Instant = quantity(REQUIRED, "UTC", "first day of the sale")
    btc: float | None = quantity(None, "BTC", "how many, over all days", gt=0)
    usd: float | None = quantity(None, "USD", "or what it brings after costs, over all days", gt=0)
    days: int = quantity(
        1, "d", "days over which it is spread evenly", source="assumed", ge=1, le=3650
    )
    usd_per_btc: float | None = quantity(
        None, "USD/BTC", "price that was realised; default: the market's less costs", gt=0
    )
    repays: str | None = quantity(
        None,
        "",
        "loan that the proceeds pay down; its collateral is sold where free bitcoin is short",
    )
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _one_size(self) -> "Sale":
        if (self.btc is None) == (self.usd is None):
            raise ValueError("give one of btc and usd")
        return self


class Treasury(Table):
    """What the firm starts with, and what it does with the bitcoin it mines.

    Whatever the model, a firm whose opening cash is given sells bitcoin when cash would fall below
    zero, and fails when there is none left. A sale costs a fee and moves the price:
    `impact_factor * volatility_per_day * sqrt(sold / volume)` at its end, two thirds of that on
    average; `sold` counts all sales of a day. The fee is taken of what is left. With the defaults
    1,000 BTC on a day lose 0.27 % to impact; with a third of the volume 0.46 %, with half the
    factor 0.13 % (assumed, both: the factor was measured before 2014).
    """

    model: Literal["hold", "sell-all", "sell-to-cover", "target-reserve"] = quantity(
        "hold",
        "",
        "hold: keep every bitcoin; sell-all: sell each day's payout; sell-to-cover: sell what "
        "keeps cash at cash_floor_usd; target-reserve: sell what exceeds reserve_btc, and below it "
        "what keeps cash at cash_floor_usd",
    )
    opening_usd: float | None = quantity(
        None, "USD", "cash at the start; default: 0, and nobody asks whether the firm can pay"
    )
    opening_btc: float = quantity(
        0.0, "BTC", "bitcoin at the start, collateral included", source="assumed", ge=0
    )
    opening_usd_per_btc: float | None = quantity(
        None,
        "USD/BTC",
        "what it cost, the basis for tax; the books begin at fair value; default: the price at the "
        "start",
        ge=0,
    )
    cash_floor_usd: float = quantity(
        0.0, "USD", "sell-to-cover, target-reserve: cash kept", source="assumed", ge=0
    )
    reserve_btc: float = quantity(
        0.0, "BTC", "target-reserve: free bitcoin kept", source="assumed", ge=0
    )
    sales: tuple[Sale, ...] = quantity((), "", "sales planned beforehand, whatever the model")
    fee_fraction: float = quantity(
        0.001, "-", "what a sale costs", source="assumed: 10 bp", ge=0, lt=0.1
    )
    impact_factor: float = quantity(
        0.9,
        "-",
        "square-root impact of a sale; 0: none",
        source="Donier and Bonart 2015, A million metaorder analysis of market impact on the "
        "Bitcoin: square root, prefactor about 0.9; assumed to hold today",
        ge=0,
        le=10,
    )
    volatility_per_day: float = quantity(
        0.0245,
        "1/sqrt(d)",
        "volatility that scales the impact",
        source="0.468 / sqrt(365): hourly returns of 2023 to 2025",
        ge=0,
        le=1,
    )
    volume_btc_per_day: float = quantity(
        30_000.0, "BTC/d", "traded against dollars on spot venues", source="assumed", gt=0
    )


class Loan(Table):
    """Dollars against bitcoin. LTV = debt / (collateral * price).

    Above `warning_ltv` the lender warns; above `call_ltv` it calls for margin, and the borrower has
    `cure_h` to come back to `cure_ltv`; after that, or above `liquidation_ltv` at once (after
    `grace_h`), it sells collateral, enough to come back to `cure_ltv`. The lender looks every hour;
    the debt includes accrued interest. At maturity the debt is refinanced, or paid from cash, free
    bitcoin and collateral, in this order.
    """

    lender: str = quantity("", "", "who lends; default: the loan's name")
    principal_usd: float = quantity(REQUIRED, "USD", "drawn at the start of the loan", ge=0)
    limit_usd: float | None = quantity(
        None,
        "USD",
        "most that may be drawn in all, the principal included; default: the principal",
        ge=0,
    )
    rate_per_year: float = quantity(
        0.10, "1/y", "interest on the debt, actual days over 365", source="assumed", ge=0, le=1
    )
    interest: Literal["monthly", "capitalised"] = quantity(
        "monthly", "", "paid at month ends, or added to the debt then"
    )
    collateral_btc: float = quantity(
        REQUIRED, "BTC", "pledged at the start of the loan", gt=0, le=21_000_000
    )
    start_utc: Instant | None = quantity(
        None, "UTC", "when it is drawn; default, or before the run begins: outstanding at its start"
    )
    maturity_utc: Instant | None = quantity(
        None, "UTC", "when the debt falls due; default: after the run"
    )
    refinance: str | None = quantity(
        None,
        "",
        "loan that is drawn at maturity for what this one is owed, whatever its principal_usd",
    )
    initial_ltv: float = quantity(
        0.5,
        "-",
        "highest LTV at which the lender lends, and down to which it releases collateral",
        source="assumed: usual offer",
        gt=0,
        lt=1,
    )
    warning_ltv: float = quantity(0.65, "-", "warning", source="typical terms", gt=0, le=1)
    call_ltv: float = quantity(0.70, "-", "margin call", source="typical terms", gt=0, le=1)
    least_call_fraction: float = quantity(
        0.005,
        "-",
        "of the debt: smaller shortfalls are not called (minimum transfer amount)",
        source="assumed",
        ge=0,
        lt=1,
    )
    cure_h: float = quantity(
        72.0, "h", "time to answer a margin call", source="typical terms", ge=0, le=8760
    )
    cure_ltv: float = quantity(
        0.60, "-", "LTV that ends a call, and that a forced sale returns to", source="assumed", gt=0
    )
    liquidation_ltv: float = quantity(
        0.80, "-", "forced sale of collateral", source="typical terms", gt=0, le=1
    )
    grace_h: float = quantity(
        0.0,
        "h",
        "time between the liquidation LTV and the sale",
        source="typical terms: some lenders 4 to 24 h",
        ge=0,
        le=168,
    )
    automatic_ltv: float = quantity(
        0.90,
        "-",
        "sale at once, whatever grace is left",
        source="typical terms: 0.86 to 0.90",
        gt=0,
    )
    liquidation_fee_fraction: float = quantity(
        0.02, "-", "of what a forced sale brings, kept by the lender", source="assumed", ge=0, lt=1
    )
    release_ltv: float | None = quantity(
        None, "-", "below it, collateral beyond initial_ltv comes back; default: never", gt=0, lt=1
    )
    answer: Literal["collateral", "repay", "none"] = quantity(
        "collateral",
        "",
        "what the firm does when called: pledge free bitcoin, then repay from cash above "
        "cash_floor_usd; repay first; nothing",
    )
    source: str = quantity("", "", "where the figures come from")

    @model_validator(mode="after")
    def _in_order(self) -> "Loan":
        names = ("initial_ltv", "warning_ltv", "call_ltv", "liquidation_ltv", "automatic_ltv")
        values = [getattr(self, n) for n in names]
        for (a, x), (b, y) in zip(
            zip(names, values, strict=True), list(zip(names, values, strict=True))[1:], strict=False
        ):
            if x > y:
                raise ValueError(f"{a} = {x:g}: must be <= {b} = {y:g}")
        if not self.initial_ltv <= self.cure_ltv <= self.call_ltv:
            raise ValueError(
                f"cure_ltv = {self.cure_ltv:g}: must lie between initial_ltv = "
                f"{self.initial_ltv:g} and call_ltv = {self.call_ltv:g}"
            )
        if self.release_ltv is not None and self.release_ltv > self.initial_ltv:
            raise ValueError(
                f"release_ltv = {self.release_ltv:g}: must be <= initial_ltv = {self.initial_ltv:g}"
            )
        if self.limit_usd is not None and self.limit_usd < self.principal_usd:
            raise ValueError(
                f"limit_usd = {self.limit_usd:g}: must be >= principal_usd = {self.principal_usd:g}"
            )
        if self.start_utc and self.maturity_utc and self.maturity_utc <= self.start_utc:
            raise ValueError(
                f"maturity_utc = {instant(self.maturity_utc)}: must be after start_utc = "
                f"{instant(self.start_utc)}"
            )
        return self


class Insurance(Table):
    """Pays for what incidents destroy."""

    sites: tuple[str, ...] = quantity((), "", "names in sites.csv; default: all")
    perils: tuple[Literal["fire"], ...] = quantity(("fire",), "", "incidents that are covered")
    premium_usd_per_month: float = quantity(0.0, "USD/month", "paid", source="assumed", ge=0)
    asic_usd_per_th: float | None = quantity(
        None, "USD/TH", "sum insured; default: the book value when it happens", ge=0
    )
    gpu_usd_per_gpu: float | None = quantity(
        None, "USD/GPU", "sum insured; default: the book value when it happens", ge=0
    )
    deductible_usd: float = quantity(0.0, "USD", "of each incident", source="assumed", ge=0)
    limit_usd: float | None = quantity(None, "USD", "most for each incident; default: none", ge=0)
    delay_days: float = quantity(
        90.0, "d", "from the incident to the payment", source="assumed", ge=0, le=3650
    )
    source: str = quantity("", "", "where the figures come from")

"""Random firms with every contract, loan and incident."""

from typing import Any

from hypothesis import strategies as st

from sim.scenario import Scenario
from tests.conftest import build_scenario

DAYS = 40


def day(number: int) -> str:
    return f"2026-{1 + (number - 1) // 31:02d}-{1 + (number - 1) % 31:02d}T00:00:00Z"


days = st.integers(1, 38).map(day)


# Also of before the run: ordered, delivered, live; burnt, under notice.
past = st.integers(1, 31).map(lambda d: f"2025-12-{d:02d}T00:00:00Z")


dated = st.one_of(days, days, past)


treasuries = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["hold", "sell-all", "sell-to-cover", "target-reserve"]),
        "opening_usd": st.sampled_from([20_000.0, 300_000.0, 3_000_000.0]),
        "opening_btc": st.floats(20.0, 40.0),
        "reserve_btc": st.floats(0.0, 10.0),
        "cash_floor_usd": st.sampled_from([0.0, 100_000.0]),
        "sales": st.lists(
            st.fixed_dictionaries(
                {"start_utc": days, "btc": st.floats(0.1, 9.0), "days": st.integers(1, 9)}
            ),
            max_size=2,
        ),
    }
)


loans = st.fixed_dictionaries(
    {
        "principal_usd": st.floats(0.0, 600_000.0),
        "limit_usd": st.just(1_500_000.0),
        "collateral_btc": st.floats(1.0, 15.0),
        "interest": st.sampled_from(["monthly", "capitalised"]),
        "answer": st.sampled_from(["collateral", "repay", "none"]),
        "start_utc": st.one_of(st.none(), days),
        "cure_h": st.sampled_from([0.0, 24.0, 72.0]),
        "release_ltv": st.sampled_from([None, 0.4]),
    }
)


incidents = st.one_of(
    st.fixed_dictionaries(
        {
            "kind": st.just("fire"),
            "sites": st.sampled_from([["alpha"], ["*"]]),
            "start_utc": dated,
            "destroyed_fraction": st.floats(0.05, 1.0),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("termination"), "hosts": st.just(["dome"]), "start_utc": dated}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("outage"),
            "sites": st.just(["*"]),
            "per_year": st.floats(5.0, 60.0),
            "hours": st.floats(1.0, 50.0),
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("delivery-delay"),
            "projects": st.just(["pod"]),
            "days": st.floats(0.5, 10.0),
            "start_utc": dated,
        }
    ),
)


projects = st.fixed_dictionaries(
    {
        "capex_usd": st.floats(1e4, 2e6),
        "order_utc": dated,
        "lead_days": st.floats(0.0, 20.0),
        "lead_cv": st.sampled_from([0.0, 0.5]),
        "commissioning_days": st.floats(0.0, 5.0),
        "failed_fraction": st.floats(0.0, 1.0),
        "finance": st.sampled_from(["cash", "btc", "bank"]),
        "refund_fraction": st.floats(0.0, 1.0),
        "committed": st.booleans(),
    }
)


STEPS = ["defer", "bitcoin", "release", "revolver", "equity", "cancel", "machines"]


fundings = st.fixed_dictionaries(
    {
        "steps": st.lists(st.sampled_from(STEPS), unique=True),
        "defer_days": st.sampled_from([0, 3, 90]),
        "revolver": st.sampled_from(
            [None, {"limit_usd": 90_000}, {"limit_usd": 50_000, "until_utc": day(20)}]
        ),
        "equity": st.sampled_from([None, {"limit_usd": 200_000, "discount_fraction": 0.3}]),
    }
)


ZONES: list[dict[str, Any]] = [
    {"model": "seasonal-jump", "profile": "ercot-west"},
    {"model": "fixed", "usd_per_mwh": -35},
    {"model": "fixed", "usd_per_mwh": 4_000},
]


leases = st.one_of(
    st.fixed_dictionaries(
        {
            "start_utc": st.sampled_from([day(1), day(9), "2025-12-22T00:00:00Z"]),
            "end_utc": st.sampled_from([None, day(20), "2026-08-01T00:00:00Z"]),
            "rent_when_lost": st.sampled_from(["true", "false"]),
            "sale_usd_per_machine": st.sampled_from([0, 900]),
        }
    ),
    st.fixed_dictionaries(  # there from before the run: what they were sold for is long received
        {"end_utc": st.sampled_from([None, day(20)]), "sale_usd_per_machine": st.just(0)}
    ),
)


gpu_prices = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["constant", "mean-reverting"]),
        "usd_per_gpu_h": st.floats(0.5, 5.0),
        "occupancy": st.floats(0.0, 1.0),
        "occupancy_deviation": st.sampled_from([0.0, 0.3]),
    }
)


gpu_contracts = st.fixed_dictionaries(
    {
        "start_utc": st.sampled_from([None, "2025-12-05T07:00:00Z", day(5)]),
        "term_days": st.integers(1, 30),
        "gap_days": st.floats(0.0, 5.0),
        "gap": st.sampled_from(["fixed", "exponential"]),
        "taken_fraction": st.floats(0.0, 1.0),
        "take_or_pay_fraction": st.floats(0.0, 1.0),
        "escalator_per_year": st.sampled_from([0.0, 0.5]),
        "price_factor": st.floats(0.5, 1.5),
        "renewal": st.sampled_from(["reprice", "end"]),
    }
)


def funding_of(drawn: dict[str, Any]) -> dict[str, Any]:
    """Tables only where their step is taken: others are refused."""
    return {
        key: value
        for key, value in drawn.items()
        if key not in ("revolver", "equity") or (value is not None and key in drawn["steps"])
    }


@st.composite
def firms(draw: st.DrawFn) -> dict[str, Any]:
    """Tables of a firm with everything that money can meet."""
    project = draw(projects)
    if draw(st.booleans()):
        project["cancel_utc"] = day(39)
    start_utc = draw(st.sampled_from([day(1), "2025-12-22T00:00:00Z"]))  # or with a year's end
    return {
        "horizon": {
            "days": DAYS if start_utc == day(1) else DAYS + 10,
            "step_s": 21_600,
            "record_s": 86_400,
            "start_utc": start_utc,
        },
        "prices": {"zones": {"zone": draw(st.sampled_from(ZONES))}},
        "lease": draw(leases),
        "btc_price": {"model": "gbm", "volatility_per_year": draw(st.sampled_from([0.3, 2.5]))},
        "treasury": draw(treasuries),
        "loans": {"bank": {k: v for k, v in draw(loans).items() if v is not None}},
        "funding": funding_of(draw(fundings)),
        "projects": {"pod": project},
        "hosts": {
            "dome": {
                "sites": ["alpha"],
                "move_to": "bravo",
                "notice_days": draw(st.floats(0.0, 10.0)),
                "downtime_days": 3,
                "moving_usd_per_machine": 30,
                "profit_share": 0.2,
                "usd_per_machine_month": 5,
            }
        },
        "deposits": {"bond": {"usd": 20_000, "host": "dome", "paid_utc": day(3)}},
        "offtakes": {"buyer": {"sites": ["bravo"], "prepaid_usd": draw(st.floats(0.0, 1e5))}},
        "insurance": {"mutual": {"delay_days": 10, "premium_usd_per_month": 1e3}},
        "gpu_market": {"gpus": {"h100-sxm": draw(gpu_prices)}},
        "gpu_contracts": {
            "tenants": {k: v for k, v in draw(gpu_contracts).items() if v is not None}
        },
        "firm": {
            "asic_usd_per_th": 8.0,
            "gpu_usd_per_gpu": 2e4,
            "overhead_usd_per_month": draw(st.sampled_from([0.0, 5e4])),
            "tax_fraction": draw(st.sampled_from([0.21, 0.9])),
            "idle_months": draw(st.sampled_from([1, 2, 12])),
        },
        "tax": {
            "basis": draw(st.sampled_from(["fifo", "highest-cost-first"])),
            "depreciation": draw(st.sampled_from(["straight-line", "straight-line", "macrs"])),
            "bonus_fraction": draw(st.sampled_from([0.0, 1.0])),
        },
        "faults": {
            "asic": {"mtbf_h": 5_000},
            "incidents": draw(st.lists(incidents, max_size=4)),
        },
    }


def scenario_of(tables: dict[str, Any]) -> Scenario:
    lease = tables.get("lease", {"start_utc": day(9), "sale_usd_per_machine": 900})
    return build_scenario(
        {name: table for name, table in tables.items() if name != "lease"},
        asics=[
            {"site": "alpha", "model": "Antminer S19 XP", "count": 500, "owner": "leased"},
            {"site": "alpha", "model": "Antminer S21", "count": 300},
            {"site": "bravo", "model": "Antminer S21", "count": 200, "project": "pod"},
        ],
        gpus=gpus_of("gpu_contracts" in tables),
        leases=[
            {
                "name": "many",
                "site": "alpha",
                "model": "Antminer S19 XP",
                "machines": 400,
                "usd_per_machine_month": 40,
                **lease,
            }
        ],
    )


def gpus_of(market: bool) -> list[dict[str, Any]]:
    """Nodes at one price, or with tenants, spot hours and what they cost to operate."""
    bravo = {"site": "bravo", "gpu": "h100-sxm"}
    rows: list[dict[str, Any]] = [{**bravo, "nodes": 3}, {**bravo, "nodes": 5, "project": "pod"}]
    if market:
        opex = {"opex_usd_per_gpu_h": 0.2, "opex_usd_per_node_month": 150}
        rows[1] |= {"contract": "tenants", **opex}
        rows += [
            {**bravo, "nodes": 2, "contract": "tenants", "usd_per_gpu_h": 2.0},
            {**bravo, "site": "alpha", "nodes": 2, "state": "batch", **opex},
        ]
    return rows


def firm_of(k: int) -> dict[str, Any]:
    """The k-th of a dozen firms, poorer from one to the next."""
    strikes: list[dict[str, Any]] = [
        {"kind": "termination", "hosts": ["dome"], "start_utc": day(12)},
        {"kind": "fire", "sites": ["alpha"], "start_utc": day(6), "destroyed_fraction": 0.5},
    ]
    bank: dict[str, Any] = {"principal_usd": 550_000, "collateral_btc": 12, "answer": "none"}
    if k >= 6:  # a patient lender, who may be left with less than he is owed
        bank |= {"grace_h": 168, "cure_h": 900, "automatic_ltv": 9}
    steps = [s for s in STEPS if k % 2 or s not in ("release", "cancel")]
    dear = {"model": "fixed", "usd_per_mwh": 4_000}  # so that machines idle
    return {
        **({"prices": {"zones": {"zone": dear}}} if k == 5 else {}),
        "horizon": {"days": DAYS, "step_s": 21_600, "record_s": 86_400},
        "btc_price": {"model": "gbm", "volatility_per_year": 2.5},
        "treasury": {"opening_usd": 600_000.0 / (1 + k), "opening_btc": 12.0},
        "loans": {"bank": bank},
        "projects": {"pod": {"capex_usd": 3e5, "order_utc": day(2), "lead_days": 8}},
        "hosts": {"dome": {"sites": ["alpha"], "move_to": "bravo", "downtime_days": 2}},
        "insurance": {"mutual": {"delay_days": 10}},
        "funding": {
            "steps": steps,
            "revolver": {"limit_usd": 90_000},
            "equity": {"limit_usd": 60_000},
        },
        "firm": {
            "asic_usd_per_th": 8.0,
            "overhead_usd_per_month": 2e5 if k < 9 else 2e6,
            "idle_months": 1,
        },
        "faults": {"enabled": False, "incidents": strikes[: 1 + k % 2]},
    }

"""The tables `worth` and `worth_sites`: what each use of power earns, best first.

Columns [USD]: `margin` = revenue - energy - other operating cost; `result` = margin - capital -
tax, each in total, per MWh and per MW-year. Tax is [firm] tax_fraction of the margin less
straight-line depreciation. `price` names the price the use is paid by, `price_now` is its mean in
the run. At `turns_at` the use earns as much per MW-year as `turns_against`, the use ranked just
above it (for the first: just below), all else equal. Results are linear in a price, so this level
is exact for the machines as they ran; switching on or off in response to prices is not modelled. It
is empty if no price above zero changes the order. `breakeven_energy_usd_per_mwh` is the energy
price at which the result is zero.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.finance.demand import charges_of
from sim.results.capital import ASSUMED, UNKNOWN, Charge
from sim.results.uses import MINING, RENTED, TOKENS
from sim.results.worth import ENERGY, OTHER, REST, REVENUE, SOLD_BACK, WAITING, Worth
from sim.scenario.checks_gpu_market import let_assumed
from sim.scenario.scenario import Scenario
from sim.types import Floats

PRICES: Final = {
    MINING: "hashprice_usd_per_ph_day",
    RENTED: "usd_per_gpu_h",
    TOKENS: "usd_per_mtok_out",
    SOLD_BACK: "usd_per_mwh",
    WAITING: "usd_per_mwh",
}
NOTHING: Final = 1e-6  # MWh, MW-years, USD: below this a row is empty but for rounding
AMOUNTS: Final = ("revenue", "energy", "other", "margin", "capital", "tax", "result")
SCHEMA: Final = pa.schema(
    [
        ("use", pa.string()),
        ("site", pa.string()),
        ("kind", pa.string()),
        ("rank", pa.int64()),
        ("energy_mwh", pa.float64()),
        ("mw_years", pa.float64()),
        *((f"{name}_usd{per}", pa.float64()) for per in ("", "_per_mwh", "_per_mw_year")
          for name in AMOUNTS),
        ("quantity", pa.float64()),
        ("price", pa.string()),
        ("price_now", pa.float64()),
        ("turns_at", pa.float64()),
        ("turns_against", pa.string()),
        ("breakeven_energy_usd_per_mwh", pa.float64()),
        ("notes", pa.string()),
    ]
)  # fmt: skip


class Sums(NamedTuple):
    """Sums of a use, at one site or over all."""

    use: str
    site: str
    kind: str
    energy_mwh: float
    mw_years: float
    revenue_usd: float
    energy_usd: float
    other_usd: float
    capital_usd: float
    depreciation_usd: float
    quantity: float
    net_usd: float  # revenue less pool fee and credits

    def amounts(self, tax_fraction: float) -> dict[str, float]:
        """The seven AMOUNTS [USD]."""
        margin = self.revenue_usd - self.energy_usd - self.other_usd
        tax = tax_fraction * (margin - self.depreciation_usd) + 0.0  # -0.0 is 0.0
        result = margin - self.capital_usd - tax
        values = (
            self.revenue_usd, self.energy_usd, self.other_usd, margin, self.capital_usd, tax, result
        )  # fmt: skip
        return dict(zip(AMOUNTS, values, strict=True))


def tables(scenario: Scenario, worth: Worth, capital: Sequence[Charge]) -> dict[str, pa.Table]:
    """`worth`, without a site column, and `worth_sites`, by site in order."""
    notes = Notes(scenario, worth, capital)
    fleet = table(list(_sums(scenario, worth, by_site=False)), scenario, notes)
    of_sites = _by_site(_sums(scenario, worth, by_site=True))
    sites = [table(sums, scenario, notes) for sums in of_sites]
    empty = SCHEMA.empty_table()
    return {
        "worth": fleet.drop_columns(["site"]),
        "worth_sites": pa.concat_tables([empty, *sites]),
    }


def table(sums: list[Sums], scenario: Scenario, notes: "Notes") -> pa.Table:
    """Rows of one table ranked by result per MW-year; the row without a use is last."""
    rate = scenario.firm.tax_fraction
    amounts = [s.amounts(rate) for s in sums]
    per_year = [
        a["result"] / s.mw_years if s.mw_years > 0.0 and s.kind != REST else None
        for s, a in zip(sums, amounts, strict=True)
    ]
    order = sorted(
        range(len(sums)),
        key=lambda k: (sums[k].kind == REST, per_year[k] is None, -(per_year[k] or 0.0)),
    )
    ranked = [k for k in order if per_year[k] is not None]
    rows = []
    for k in order:
        s, a = sums[k], amounts[k]
        row: dict[str, Any] = {
            "use": s.use, "site": s.site, "kind": s.kind,
            "rank": ranked.index(k) + 1 if k in ranked else None,
            "energy_mwh": s.energy_mwh, "mw_years": s.mw_years,
        }  # fmt: skip
        for per, of in (("", 1.0), ("_per_mwh", s.energy_mwh), ("_per_mw_year", s.mw_years)):
            for name in AMOUNTS:
                row[f"{name}_usd{per}"] = a[name] / of if of > 0.0 else None
        rows.append(row | _turning(k, sums, ranked, per_year, rate) | {"notes": notes.of(s)})
    return pa.Table.from_pylist(rows, SCHEMA)


def _turning(
    k: int, sums: list[Sums], ranked: list[int], per_year: list[float | None], tax: float
) -> dict[str, Any]:
    """The price level at which a row's rank changes, and against which use."""
    s = sums[k]
    found: dict[str, Any] = {"quantity": s.quantity or None, "price": PRICES.get(s.kind)}
    if s.kind == REST or s.quantity <= 0.0:
        return found
    now = s.revenue_usd / s.quantity
    found["price_now"] = now
    result = s.amounts(tax)["result"]
    if s.energy_mwh > 0.0 and s.kind not in (SOLD_BACK, WAITING):
        found["breakeven_energy_usd_per_mwh"] = (s.energy_usd + result / (1.0 - tax)) / s.energy_mwh
    if k not in ranked or len(ranked) < 2:
        return found
    place = ranked.index(k)
    other = ranked[place - 1 if place else 1]
    kept = s.net_usd / s.revenue_usd if s.revenue_usd > 0.0 else 1.0
    wanted = (per_year[other] or 0.0) * s.mw_years
    if kept > 0.0:
        level = now + (wanted - result) / (s.quantity * kept * (1.0 - tax))
        if level > 0.0 or s.kind in (SOLD_BACK, WAITING):
            found |= {"turns_at": level, "turns_against": sums[other].use}
    return found


def _sums(scenario: Scenario, worth: Worth, by_site: bool) -> Iterator[Sums]:
    names = [*(s.name for s in scenario.sites), ""]
    keys = [(names[u.site] if by_site else "", u.title, u.kind) for u in worth.uses]
    for key in dict.fromkeys(keys):
        mine = np.array([k == key for k in keys])

        def of(values: Floats, mine: Any = mine) -> float:
            return float(values[mine].sum())

        site, title, kind = key
        sums = Sums(
            title, site, kind, of(worth.energy_mwh), of(worth.mw_years), of(worth.usd[REVENUE]),
            of(worth.usd[ENERGY]), of(worth.usd[OTHER]), of(worth.capital_usd),
            of(worth.depreciation_usd), of(worth.quantity), of(worth.net_usd),
        )  # fmt: skip
        if max(abs(x) for x in sums[3:-2]) > NOTHING:
            yield sums


def _by_site(sums: Iterator[Sums]) -> list[list[Sums]]:
    found: dict[str, list[Sums]] = {}
    for s in sums:
        found.setdefault(s.site, []).append(s)
    return list(found.values())


class Notes:
    """Footnotes: assumptions and approximations of a row."""

    def __init__(self, scenario: Scenario, worth: Worth, capital: Sequence[Charge]) -> None:
        firm = scenario.firm
        self.prices: dict[str, set[str]] = {}
        for c in capital:
            self.prices.setdefault(c.use, set()).add(c.price)
        self.always = []
        if "discount_rate_per_year" not in firm.model_fields_set:
            self.always.append(f"discount rate of {firm.discount_rate_per_year:.0%} a year assumed")
        if firm.tax_fraction:
            self.always.append(
                f"tax: {firm.tax_fraction:.0%} of the use's own profit after straight depreciation "
                "to the market residual, losses set off at once"
            )
        else:
            what = "" if "tax_fraction" in firm.model_fields_set else " (assumed)"
            self.always.append(f"no tax: [firm] tax_fraction is 0{what}")
        self.shared = bool(charges_of(scenario)) or scenario.coincident_peak is not None
        self.leased = bool(scenario.leases)
        self.of_nodes: dict[tuple[str, str], list[str]] = {}  # by site and GPU
        for row in scenario.gpus:
            said = self.of_nodes.setdefault((row.site, row.gpu), [])
            if let_assumed(scenario, row):
                said.append("every hour counts as let, assumed")
            elif row.occupancy == 1.0 and row.state != "serving":
                said.append("every hour is let, by gpus.csv")
            if row.state != "serving" and not (
                row.opex_usd_per_gpu_h or row.opex_usd_per_node_month
            ):
                said.append("operating the nodes costs nothing beside energy, assumed")

    def of(self, sums: Sums) -> str:
        """The notes of a row, joined by semicolons."""
        if sums.kind == REST:
            return "overhead, insurance, moving, works: shared out to no use"
        if sums.kind == WAITING:
            return "energy that was not drawn; the capital of idle machines stands with their use"
        if sums.kind == SOLD_BACK:
            return "what flows back into the grid, and what was bought before and not used"
        found = [*self.always]
        prices = self.prices.get(sums.use, set())
        if ASSUMED in prices:
            found.append("machines valued at an assumed price when new, less their age")
        if UNKNOWN in prices:
            found.append("no price of the machine known: no capital charge")
        if self.shared:
            found.append("demand charges and coincident peaks shared by energy over the run")
        if sums.kind == RENTED:
            mine = [s for (site, gpu), s in self.of_nodes.items()
                    if gpu in sums.use.split() and sums.site in ("", site)]  # fmt: skip
            found += dict.fromkeys(text for said in mine for text in said)
        if self.leased and sums.kind == MINING:
            found.append("rents shared by energy among the modes of leased machines")
        return "; ".join(found)

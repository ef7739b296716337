"""Earnings of a megawatt in each use: the tables `worth` (fleet) and `worth_sites`.

Rows are uses of power: mining with a model in a firmware mode, GPU hours that are reserved or sold
by the hour, tokens of a model, power sold back to the grid, curtailed power ("waiting"); and a row
for what belongs to no use. Income and expenses are the ledger's, by account and site (ACCOUNTS):
over all rows they sum to the operating statement, from mining to moving. They are allocated to uses
by meter, interval by interval: bitcoin by hashes; energy and related costs (hosts' bills,
contracts, fuel, wear) by the energy of machines and their cooling; GPU hours and tokens directly.
Depreciation, impairment, financing and the treasury are excluded; the capital charge
(`sim.results.capital`) replaces the first two.

A MW-year is a megawatt of connection for a year: nameplate power of the machines deployed, running
or not, plus the site's cooling, overhead and losses in the run. Power sold back or curtailed counts
by its energy.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.finance.chart import EXPENSE, INCOME, USD_CHART, Account, place
from sim.finance.firm import Firm
from sim.finance.ledger import UNITS
from sim.kernels import flows
from sim.kernels.traffic import LANE_TOKENS_OUT
from sim.results.capital import Charge
from sim.results.recorder import Recorder
from sim.results.uses import (
    COOLING_J,
    CREDIT_USD,
    HASHES_TH,
    LET_S,
    MACHINE_J,
    MINING,
    OPEX_USD,
    RENTED,
    TOKENS,
    USD,
    Use,
)
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import (
    HOURS_PER_YEAR,
    J_PER_MWH,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    TH_PER_PH,
)

SOLD_BACK, WAITING, REST = "sold back", "waiting", "not by use"
REVENUE, ENERGY, OTHER = 0, 1, 2
TOKENS_PER_MTOK: Final = 1e6
# Row of `usd` for each account, and the weights that allocate the part not metered by use.
ACCOUNTS: Final[dict[str, tuple[int, str]]] = {
    Account.MINING: (REVENUE, "hashes"),
    Account.INFERENCE: (REVENUE, "sales"),
    Account.GRID_SERVICES: (REVENUE, "waiting"),
    Account.POWER: (ENERGY, "energy"),
    Account.HOSTING: (OTHER, "mining energy"),  # fees and profit shares beyond the energy bill
    Account.DEMAND: (ENERGY, "energy"),
    Account.TRANSMISSION: (ENERGY, "energy"),
    Account.FUEL: (ENERGY, "energy"),
    Account.BATTERY_WEAR: (ENERGY, "energy"),
    Account.POOL_FEES: (OTHER, "hashes"),
    Account.CREDITS: (OTHER, "sales"),
    Account.GPU_OPERATIONS: (OTHER, "sales"),
    Account.PENALTIES: (OTHER, "waiting"),
    Account.RENT: (OTHER, "leased"),
}
# Excluded from operations: capital, financing, treasury, tax.
APART: Final = frozenset(
    {
        Account.INSURANCE_PAID, Account.MACHINE_SALES, Account.DEPRECIATION,
        Account.IMPAIRMENT, Account.BTC_GAINS, Account.BTC_REVALUED, Account.TRADING,
        Account.LIQUIDATION, Account.INTEREST, Account.TAX,
        Account.DEFERRED_TAX, Account.WINDING_UP,
    }
)  # fmt: skip


class Worth(NamedTuple):
    """Sums over the run. Shapes: `use`: metered uses, then the sites' own three rows."""

    uses: list[Use]
    usd: Floats  # (3, use) revenue, energy, other operating cost
    capital_usd: Floats  # (use,)
    depreciation_usd: Floats  # (use,) for tax
    energy_mwh: Floats  # (use,) at the meter; curtailed: energy not drawn
    mw_years: Floats  # (use,)
    quantity: Floats  # (use,) sold: PH-days, GPU-hours, million tokens, MWh
    net_usd: Floats  # (use,) revenue less pool fee and credits


def worth_of(scenario: Scenario, recorder: Recorder, firm: Firm, capital: list[Charge]) -> Worth:
    """Sums of all uses at all sites, and of what belongs to no use."""
    return _Sharing(scenario, recorder, firm).worth(capital)


class _Sharing:
    def __init__(self, scenario: Scenario, recorder: Recorder, firm: Firm) -> None:
        self.scenario, self.recorder, self.firm = scenario, recorder, firm
        record, sites = recorder.uses, len(scenario.sites)
        self.metered = len(record.uses)
        self.uses = [*record.uses]
        self.of: dict[str, Ints] = {}
        for kind in (SOLD_BACK, WAITING, REST):
            self.of[kind] = len(self.uses) + np.arange(sites)
            self.uses += [Use(s, kind, "", "") for s in range(sites)]
        self.uses.append(Use(-1, REST, "", ""))  # the firm's own
        self.at: Ints = np.array([u.site for u in self.uses], dtype=np.int64)
        self.kind = np.array([u.kind for u in self.uses])
        self.flow = recorder.flow  # (interval, SITE_FLOWS, site)
        self.energy_j: Floats = record.flow[:, MACHINE_J] + record.flow[:, COOLING_J]
        self.hashes_th: Floats = record.flow[:, HASHES_TH]
        self.total: Floats = record.flow.sum(axis=0)  # (ROWS, use)
        self.usd = np.zeros((3, len(self.uses)))

    def worth(self, capital: list[Charge]) -> Worth:
        self._post()
        energy_mwh, mw_years = self._energy()
        charge, depreciation = np.zeros((2, len(self.uses)))
        names = self.recorder.sites
        for c in capital:
            s = names.index(c.site)
            here = [k for k in range(self.metered) if self.at[k] == s]
            at = [k for k in here if self.uses[k].title == c.use] or [int(self.of[REST][s])]
            charge[at[0]] += c.capital_usd
            depreciation[at[0]] += c.depreciation_usd
        net = self.usd[REVENUE] - self._going_with_revenue
        quantity = self._quantity(energy_mwh)
        return Worth(self.uses, self.usd, charge, depreciation, energy_mwh, mw_years, quantity, net)

    # Postings and their allocation to uses.

    def _post(self) -> None:
        by_account = self._posted()
        direct = self._direct()
        weights = self._weights()
        self._going_with_revenue = np.zeros(len(self.uses))
        for account, p in USD_CHART.items():
            if p.kind not in (INCOME, EXPENSE) or account in APART or account not in by_account:
                continue
            column, by = ACCOUNTS.get(account, (REVENUE if p.kind == INCOME else OTHER, ""))
            posted = by_account[account] * (-1.0 if p.kind == INCOME else 1.0)
            known = direct.get(account, np.zeros(len(self.uses)))
            rest = self._rest(posted, known, weights.get(by))
            if account == Account.HOSTING:  # its energy part is reported as energy
                self.usd[ENERGY] += known
                self.usd[OTHER] += rest
                continue
            self.usd[column] += known + rest
            if account in (Account.POOL_FEES, Account.CREDITS):
                self._going_with_revenue += known + rest
        flow = self.flow.sum(axis=0)
        back_usd = (
            flow[flows.EXPORT_USD] + flow[flows.RESOLD_USD]
        )  # netted from the bill: a use of its own
        self.usd[REVENUE, self.of[SOLD_BACK]] += back_usd
        self.usd[ENERGY, self.of[SOLD_BACK]] += back_usd

    def _posted(self) -> dict[str, Floats]:
        """Postings by chart account (1 + site,) [USD]: the firm's own, then each site's."""
        entries = self.firm.ledger.entries()
        found: dict[str, Floats] = {}
        order = [entries.sites.index(name) for name in ("", *self.recorder.sites)]
        for k, (account, commodity) in enumerate(entries.accounts):
            if commodity != "USD":
                continue
            mine = entries.account == k
            cents = np.bincount(entries.site[mine], entries.amount[mine], len(entries.sites))
            name = place(account, commodity)
            found[name] = found.get(name, 0.0) + cents[order] / UNITS["USD"]
        return found

    def _rest(self, posted: Floats, known: Floats, weight: Floats | None) -> Floats:
        """The part of an account (1 + site,) not metered by use, allocated by weights (use,)."""
        shared = np.zeros(len(self.uses))
        for s in range(-1, len(posted) - 1):
            left = posted[s + 1] - (known[self.at == s].sum() if s >= 0 else 0.0)
            here = np.ones(len(self.uses)) if s < 0 else (self.at == s).astype(np.float64)
            part = here * weight if weight is not None else np.zeros(len(self.uses))
            if part.sum() > 0.0:
                shared += left * part / part.sum()
            else:
                shared[self.of[REST][s] if s >= 0 else -1] += left
        return shared

    def _direct(self) -> dict[str, Floats]:
        """Amounts metered by use (use,) [USD], by account."""
        flow, hosted = self.flow, self.firm.books.hosted
        total = self.total
        waiting = self.of[WAITING]
        bill = flow[:, flows.ENERGY_USD] + flow[:, flows.EXPORT_USD]
        blocks = (
            flow[:, flows.CONTRACT_USD] + flow[:, flows.RESOLD_USD] - flow[:, flows.RESOLD_COST_USD]
        )
        whole = flow.sum(axis=0)
        power = self._by_interval(bill * (1.0 - hosted) + blocks, self.energy_j, waiting)
        power[self.of[SOLD_BACK]] += whole[flows.RESOLD_COST_USD]
        power[self.of[SOLD_BACK]] -= whole[flows.RESOLD_USD] + whole[flows.EXPORT_USD] * (
            1.0 - hosted
        )
        hosting = self._by_interval(bill * hosted, self.energy_j, waiting)
        hosting[self.of[SOLD_BACK]] -= whole[flows.EXPORT_USD] * hosted
        direct: dict[str, Floats] = {Account.POWER: power, Account.HOSTING: hosting}
        uses_j = flow[:, [flows.SITE_ASIC_J, flows.SITE_GPU_J]].sum(axis=1)
        back = flow[:, flows.EXPORT_J]
        with np.errstate(invalid="ignore", divide="ignore"):
            sold = np.where(back > 0.0, back / (back + uses_j), 0.0)
        for account, row in (
            (Account.FUEL, flows.FUEL_USD),
            (Account.BATTERY_WEAR, flows.WEAR_USD),
        ):
            of = self._by_interval(flow[:, row] * (1.0 - sold), self.energy_j, waiting)
            of[self.of[SOLD_BACK]] += (flow[:, row] * sold).sum(axis=0)
            direct[account] = of
        mined = self._by_interval(flow[:, flows.BTC_USD], self.hashes_th, self.of[REST])
        direct[Account.MINING] = mined
        fees = self._by_interval(flow[:, flows.POOL_FEE_USD], self.hashes_th, self.of[REST])
        direct[Account.POOL_FEES] = fees
        direct[Account.INFERENCE] = self._padded(total[USD])
        direct[Account.CREDITS] = self._padded(total[CREDIT_USD])
        direct[Account.GPU_OPERATIONS] = self._padded(total[OPEX_USD])
        return direct

    def _by_interval(self, usd: Floats, weight: Floats, else_: Ints) -> Floats:
        """Allocate amounts (interval, site) to a site's uses by weights (interval, use)."""
        shared = np.zeros(len(self.uses))
        for s in range(usd.shape[1]):
            mine = np.flatnonzero(self.at[: self.metered] == s)
            whole = weight[:, mine].sum(axis=1)
            there = whole > 0.0
            per = np.divide(usd[:, s], whole, out=np.zeros_like(whole), where=there)
            shared[mine] += per @ weight[:, mine]
            shared[else_[s]] += usd[~there, s].sum()
        return shared

    def _weights(self) -> dict[str, Floats]:
        """Weights (use,) by name for allocating the rest of an account."""
        leased = {(r.site, r.model) for r in self.scenario.leases}
        names = self.recorder.sites
        energy = self._padded(self.energy_j.sum(axis=0))
        of_lease = np.array(
            [u.kind == MINING and (names[u.site], u.name) in leased for u in self.uses]
        )
        waiting = np.isin(np.arange(len(self.uses)), self.of[WAITING])
        return {
            "energy": energy,
            "mining energy": energy * (self.kind == MINING),
            "leased": energy * of_lease,
            "hashes": self._padded(self.hashes_th.sum(axis=0)),
            "sales": self._padded(self.total[USD]) * (self.kind != TOKENS),
            "waiting": waiting.astype(np.float64),
        }

    # Energy, connection, quantities sold.

    def _energy(self) -> tuple[Floats, Floats]:
        """Energy at the meter [MWh] and connection [MW-years], (use,)."""
        whole = self.flow.sum(axis=0)
        machines = whole[flows.SITE_ASIC_J] + whole[flows.SITE_GPU_J]
        shared = self._by_interval(
            self.flow[:, flows.OVERHEAD_J] + self.flow[:, flows.LOSS_J],
            self.energy_j,
            self.of[REST],
        )
        energy_j = self._padded(self.energy_j.sum(axis=0)) + shared
        uses_j = np.zeros(len(machines))
        np.add.at(uses_j, self.at[: self.metered], energy_j[: self.metered])
        factor = np.divide(uses_j, machines, out=np.ones_like(machines), where=machines > 0.0)
        plate_j = self._padded(self._plate_j()) * factor[self.at]
        energy_j[self.of[SOLD_BACK]] = whole[flows.EXPORT_J] + whole[flows.RESOLD_J]
        energy_j[self.of[WAITING]] = whole[flows.IDLED_J]
        plate_j[self.of[SOLD_BACK]] = energy_j[self.of[SOLD_BACK]]
        plate_j[self.of[WAITING]] = energy_j[self.of[WAITING]]
        return energy_j / J_PER_MWH, plate_j / J_PER_MWH / HOURS_PER_YEAR

    def _plate_j(self) -> Floats:
        """Nameplate power times deployed time (use,) [J]."""
        scenario, record = self.scenario, self.recorder.uses
        asics, gpus = catalogue.asics(scenario.asic_models), catalogue.gpus(scenario.gpu_models)
        plate_j = np.zeros(self.metered)
        for g, row in enumerate(scenario.asics):
            known = list(asics[row.model].modes_of(row.firmware).values())
            for m, mode in enumerate(known):
                plate_j[record.of_mode[g, m]] += record.mode_there_s[g, m] * mode.power_w
        for n, node in enumerate(scenario.gpus):
            node_w = node.gpus_per_node * gpus[node.gpu].max_w_per_gpu
            np.add.at(plate_j, record.of_way[n], record.way_there_s[n] * node_w)
        return plate_j

    def _quantity(self, energy_mwh: Floats) -> Floats:
        """Quantity sold (use,), in the unit of its price."""
        record, serving = self.recorder.uses, self.recorder.serving
        tokens = np.zeros(self.metered)
        if serving is not None:
            out = serving.lanes[LANE_TOKENS_OUT].astype(np.float64)
            tokens += np.bincount(record.of_lane, out, self.metered) / TOKENS_PER_MTOK
        by_kind = {
            MINING: self._padded(self.total[HASHES_TH]) / TH_PER_PH / SECONDS_PER_DAY,
            RENTED: self._padded(self.total[LET_S]) / SECONDS_PER_HOUR,
            TOKENS: self._padded(tokens),
            SOLD_BACK: energy_mwh,
            WAITING: energy_mwh,
        }
        sold = np.zeros(len(self.uses))
        for kind, quantity in by_kind.items():
            sold += np.where(self.kind == kind, quantity, 0.0)
        return sold

    def _padded(self, values: Floats) -> Floats:
        """Append zeros for the sites' own rows to values of metered uses."""
        return np.concatenate([values, np.zeros(len(self.uses) - len(values))])

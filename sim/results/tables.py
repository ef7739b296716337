"""Every table of a result folder, every column with unit and meaning, and the page of them."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from sim.finance.books import POSTED
from sim.finance.chart import Account
from sim.kernels import flows
from sim.results.kpis import KPIS

COMMAND: Final = "hashwatt schema tables --markdown"


class Column(NamedTuple):
    name: str
    unit: str
    meaning: str


class Table(NamedTuple):
    """A table: what a row is, and its columns in their order."""

    row: str
    columns: tuple[Column, ...]


def _c(name: str, unit: str, meaning: str) -> Column:
    return Column(name, unit, meaning)


TIME: Final = (
    _c("t_s", "s", "since the start of the run; of an interval its start"),
    _c("utc", "", "the same instant as a time stamp"),
)
SITE: Final = _c("site", "", "name of the site")
LANES: Final = (
    _c("requests_sent", "count", "sent to the site's engines, each try"),
    _c("requests_served", "count", "got all their tokens"),
    _c("requests_refused", "count", "refused by the engines, each try"),
    _c("requests_given_up", "count", "whose clients gave up, each try"),
    _c("requests_returned", "count", "given back by an engine that was switched off or failed"),
    _c("requests_good", "count", "served within their TTFT and TPOT"),
    _c("tokens_in", "tokens", "prompts of served requests"),
    _c("tokens_out", "tokens", "outputs of served requests"),
    _c("tokens_good", "tokens", "outputs of requests served within their SLO"),
    _c("tokens_lost", "tokens", "KV that was thrown away when its engine was switched off"),
    _c("preemptions", "count", "times a request was thrown out for lack of KV blocks"),
    _c("tokens_cached", "tokens", "of the prompts: held by a block cache at admission"),
)
AMOUNTS: Final = {
    "revenue": "what was paid for it",
    "energy": "its energy, bills of the month included",
    "other": "its other operating cost",
    "margin": "revenue less energy and other cost",
    "capital": "what its machines cost by their lives (table capital)",
    "tax": "[firm] tax_fraction of the margin less depreciation",
    "result": "margin less capital and tax",
}
PER: Final = {"": "USD", "_per_mwh": "USD/MWh", "_per_mw_year": "USD/MW-year"}
WORTH: Final = (
    _c("kind", "", "of use: mining, GPU hours, tokens, sold back, waiting, not by use"),
    _c("rank", "", "by result for a MW-year, the best first"),
    _c("energy_mwh", "MWh", "energy of machines and cooling"),
    _c("mw_years", "MW-years", "machines there, at their power, times time"),
    *(
        _c(f"{name}_usd{per}", unit, meaning)
        for per, unit in PER.items()
        for name, meaning in AMOUNTS.items()
    ),
    _c("quantity", "of the price", "what was sold"),
    _c("price", "", "by which the use is paid"),
    _c("price_now", "of the price", "its mean in the run"),
    _c("turns_at", "of the price", "where the order turns, all else equal"),
    _c("turns_against", "", "the use that it then stands level with"),
    _c("breakeven_energy_usd_per_mwh", "USD/MWh", "price of energy that leaves nothing"),
    _c("notes", "", "what is assumed or left out"),
)
TABLES: Final[dict[str, Table]] = {
    "sites": Table(
        "a recording interval and site",
        (*TIME, SITE, *(_c(f.column, f.unit, f.meaning) for f in flows.SITE), *LANES),
    ),
    "fleet": Table(
        "a recording interval; states are those at its end, powers are means",
        (
            *TIME,
            _c("height", "blocks", "of the chain"),
            _c("difficulty", "-", "of the chain"),
            _c("network_ehs", "EH/s", "hashrate of the network"),
            _c("hashprice_usd_per_ph_day", "USD/PH/day", "before the pool's fee"),
            _c("usd_per_btc", "USD/BTC", "bitcoin price"),
            _c("stored_mwh", "MWh", "in batteries"),
            _c("restart_lost_usd", "USD", "missed by machines that failed at a restart"),
            _c("cash_usd", "USD", "cash"),
            _c("btc_held", "BTC", "bitcoin, free or pledged"),
            _c("btc_collateral", "BTC", "of it pledged"),
            _c("debt_usd", "USD", "loans and the interest accrued on them"),
            _c("ltv", "-", "highest loan-to-value ratio of all loans; 0: no debt"),
            _c("equity_usd", "USD", "assets less debts, bitcoin at market"),
            _c("asics", "machines", "there, mean"),
            _c("asics_failed", "machines", "of them failed, mean"),
            _c("gpu_nodes", "nodes", "there, mean"),
            _c("gpu_nodes_failed", "nodes", "of them failed, mean"),
            _c("deployed_ehs", "EH/s", "nameplate of what stands there, mean"),
            _c("operating_ehs", "EH/s", "hashed, mean"),
            _c("meter_mw", "MW", "at the meters, mean"),
            _c("asic_mw", "MW", "ASICs, mean"),
            _c("gpu_mw", "MW", "GPU nodes, mean"),
            _c("curtailed_mw", "MW", "what healthy machines would add, mean"),
            _c("btc", "BTC", "earned in the interval, before the pool's fee"),
        ),
    ),
    "limits": Table(
        "a site and control step in which a limit left no room",
        (*TIME, SITE, _c("limit", "", "its name; call: of a programme, ramp: of [ramps]")),
    ),
    "uses": Table(
        "a recording interval and use of power that was there",
        (
            *TIME,
            SITE,
            _c("use", "", "mining with a model in a mode, GPU hours, tokens of a model"),
            _c("kind", "", "mining, GPU hours or tokens"),
            _c("machine_mwh", "MWh", "energy of the machines"),
            _c("cooling_mwh", "MWh", "energy of their cooling"),
            _c("ph_days", "PH-days", "hashes"),
            _c("machine_h", "machine-h", "there, on or off"),
            _c("on_h", "node-h", "on"),
            _c("gpu_h", "GPU-h", "on"),
            _c("let_gpu_h", "GPU-h", "of these let; of tokens none"),
            _c("unsold_gpu_h", "GPU-h", "there, on or off, and not let"),
            _c("revenue_usd", "USD", "of GPU hours and tokens"),
            _c("credit_usd", "USD", "credits to customers"),
            _c("opex_usd", "USD", "operating nodes, energy aside"),
            _c("powered_gpu_h", "GPU-h", "serving nodes with power"),
            _c("busy_gpu_h", "GPU-h", "of these in iterations"),
            _c("seat_h", "seat-h", "requests that nodes could run at once"),
            _c("request_h", "request-h", "requests that were there, waiting ones too"),
        ),
    ),
    "ledger": Table(
        "a posting; those of a transaction sum to zero in each commodity",
        (
            *TIME,
            _c("transaction", "", "number of the transaction"),
            _c("account", "", "of the chart below, or a sub-account"),
            _c("commodity", "", "USD or BTC"),
            _c("amount", "of the commodity", "debits above zero, exact to the cent or satoshi"),
            _c("site", "", "whose it is; empty: the firm's"),
            _c("memo", "", "what for"),
        ),
    ),
    "statements": Table(
        "a month, statement and line",
        (
            _c("month", "", "as 2026-01"),
            _c("statement", "", "income, balance, cash flow or bitcoin"),
            _c("line", "", "of the statement"),
            _c("commodity", "", "USD or BTC"),
            _c("amount", "of the commodity", "of the month; of a balance at its end"),
        ),
    ),
    "valuation": Table(
        "a site, a project or the firm",
        (
            _c("level", "", "site, project or firm"),
            _c("name", "", "of the site or project"),
            _c("npv_usd", "USD", "net present value before tax"),
            _c("irr_per_year", "1/year", "internal rate of return before tax"),
            _c("payback_years", "years", "until the outlay is earned, before tax"),
            _c("npv_after_tax_usd", "USD", "net present value"),
            _c("irr_after_tax_per_year", "1/year", "internal rate of return"),
            _c("payback_after_tax_years", "years", "until the outlay is earned"),
            _c("outlay_usd", "USD", "opening value and what was invested since"),
            _c("book_usd", "USD", "book value at the end"),
            _c("market_usd", "USD", "what the market pays at the end"),
            _c("earned_usd", "USD", "what machines still earn after the end"),
            _c("terminal_usd", "USD", "value at the end: the lower of the two"),
            _c("breakeven_hashprice_usd_per_ph_day", "USD/PH/day", "pays energy and pool"),
            _c("breakeven_gpu_usd_per_h", "USD/GPU-h", "pays energy and operation"),
            _c("breakeven_token_usd_per_mtok", "USD/Mtoken", "pays energy"),
        ),
    ),
    "worth": Table("a use of power, everywhere", (_c("use", "", "the use"), *WORTH)),
    "worth_sites": Table("a use of power at a site", (_c("use", "", "the use"), SITE, *WORTH)),
    "capital": Table(
        "machines of a row in a use, or works of a site",
        (
            SITE,
            _c("use", "", "the use they serve"),
            _c("kind", "", "of machine or works"),
            _c("number", "", "of the row in its file, from 0"),
            _c("machine_years", "machine-years", "there"),
            _c("price", "", "where the price comes from"),
            _c("usd_each", "USD", "price of one"),
            _c("age_years", "years", "at the start"),
            _c("life_years", "years", "that are left to it"),
            _c("residual_usd_each", "USD", "what one brings at the end of its life"),
            _c("charge_usd_per_year", "USD/year", "annuity of one at the discount rate"),
            _c("depreciation_usd_per_year", "USD/year", "straight, of one"),
            _c("capital_usd", "USD", "annuity times machine-years"),
            _c("depreciation_usd", "USD", "depreciation times machine-years"),
        ),
    ),
    "events": Table(
        "something that happened",
        (
            *TIME,
            _c("event", "", "its kind"),
            SITE,
            _c("subject", "", "what it befell"),
            _c("detail", "", "in words"),
        ),
    ),
    "warnings": Table(
        "what looks like a mistake",
        (
            _c("file", "", "where it stands; run: met in the run"),
            _c("where", "", "key or row"),
            _c("value", "", "what stands there"),
            _c("message", "", "what is odd about it"),
        ),
    ),
    "creditors": Table(
        "a creditor of a firm that has failed",
        (
            _c("rank", "", "1: secured by collateral, 2: without security, 3: the owners"),
            _c("creditor", "", "who is owed"),
            _c("owed_usd", "USD", "what is owed"),
            _c("paid_usd", "USD", "what the estate pays"),
        ),
    ),
    "demand": Table(
        "a month that was billed of a demand charge at a site",
        (
            *TIME,
            SITE,
            _c("charge", "", "its name"),
            _c("month", "", "as 2026-01"),
            _c("peak_mw", "MW", "measured"),
            _c("floor_mw", "MW", "of the ratchet"),
            _c("billed_mw", "MW", "what is paid for"),
            _c("share", "-", "of the month that lies in the run"),
            _c("usd", "USD", "the bill"),
        ),
    ),
    "lettings": Table(
        "a row of gpus.csv, whenever what it is let for changes",
        (
            *TIME,
            _c("row", "", "line of gpus.csv"),
            SITE,
            _c("gpu", "", "its GPU"),
            _c("state", "", "contracted, serving or batch"),
            _c("usd_per_gpu_h", "USD/GPU-h", "price"),
            _c("let_share", "-", "of the nodes let; of serving nodes empty"),
            _c("paid_share", "-", "of the nodes paid for, take-or-pay included"),
        ),
    ),
    "gpu_market": Table(
        "a day and GPU whose price has a path, before factors of [what_if]",
        (
            *TIME,
            _c("gpu", "", "the GPU"),
            _c("usd_per_gpu_h", "USD/GPU-h", "price"),
            _c("occupancy", "-", "share of nodes that the market takes"),
        ),
    ),
    "serving": Table(
        "the fleet, each tenant and each serving site",
        (
            _c("scope", "", "fleet, tenant or site"),
            _c("name", "", "of the tenant or site"),
            *LANES,
            _c("token_revenue_usd", "USD", "tokens at the prices of the start"),
            _c("joules_per_token", "J/token", "energy of nodes / output tokens"),
            _c("energy_cost_usd_per_mtok", "USD/Mtoken", "energy bill / output tokens"),
            _c("slo_attainment_pct", "%", "good requests / requests that ended in any way"),
            *(
                _c(f"{metric}_p{q}_s", "s", f"{name}, percentile {q}")
                for metric, name in (
                    ("ttft", "time to first token"),
                    ("tpot", "time per output token after the first"),
                    ("e2e", "from sending to the last token"),
                )
                for q in (50, 95, 99)
            ),
        ),
    ),
    "serving_use": Table(
        "the fleet, a model, a site, a pool (site and model) or a tenant",
        (
            _c("scope", "", "fleet, model, site, pool or tenant"),
            SITE,
            _c("model", "", "the model"),
            _c("tenant", "", "the tenant"),
            _c("tokens_in_mtok", "Mtoken", "prompts of served requests"),
            _c("tokens_out_mtok", "Mtoken", "outputs of served requests"),
            _c("powered_gpu_h", "GPU-h", "nodes with power"),
            _c("busy_gpu_h", "GPU-h", "of these in iterations"),
            _c("seat_h", "seat-h", "requests that nodes could run at once"),
            _c("request_h", "request-h", "requests that were there"),
            _c("gpu_h", "GPU-h", "on"),
            _c("machine_mwh", "MWh", "energy of the nodes"),
            _c("energy_mwh", "MWh", "with cooling"),
            *(
                _c(f"{name}_usd", "USD", meaning)
                for name, meaning in AMOUNTS.items()
                if name not in ("tax", "result")
            ),
            _c("margin_after_capital_usd", "USD", "margin less capital"),
            _c("gpu_utilisation_pct", "%", "busy / powered GPU hours"),
            _c("requests_per_seat", "-", "requests there / seats"),
            _c("joules_per_token", "J/token", "energy of nodes / output tokens"),
            _c("token_revenue_usd_per_gpu_h", "USD/GPU-h", "revenue / GPU hours on"),
            _c("token_revenue_usd_per_mwh", "USD/MWh", "revenue / energy with cooling"),
            _c("margin_after_capital_usd_per_gpu_h", "USD/GPU-h", "the same of the margin"),
        ),
    ),
    "tenants": Table(
        "an interval, tenant and site; site empty: the router and the clients",
        (
            *TIME,
            _c("tenant", "", "the tenant"),
            SITE,
            _c("requests_arrived", "count", "sent by clients, each once"),
            _c("requests_rejected", "count", "refused for good"),
            _c("requests_expired", "count", "whose clients gave up for good"),
            _c("requests_retried", "count", "that came back after a refusal"),
            *LANES,
            _c("requests_waiting", "count", "at the end: in an engine's queue"),
            _c("requests_running", "count", "at the end: in an engine's batch"),
            _c("requests_held", "count", "at the end: held by the router"),
        ),
    ),
    "requests": Table(
        "a request where each is kept, else a bin of a histogram of latencies",
        (
            *TIME,
            _c("request", "", "number of the request"),
            _c("tenant", "", "its tenant"),
            SITE,
            _c("sent_s", "s", "when it was sent"),
            _c("first_token_s", "s", "when its first token reached the client"),
            _c("finish_s", "s", "when its last token did"),
            _c("latency_s", "s", "of the way to the site and back; of a bin its middle"),
            _c("prompt_tokens", "tokens", "its prompt"),
            _c("output_tokens", "tokens", "its output"),
            _c("preemptions", "count", "times it was thrown out for lack of KV blocks"),
            _c("metric", "", "of a bin: ttft_s, tpot_s or e2e_s"),
            _c("requests", "count", "of a bin: requests in it"),
        ),
    ),
}


def undocumented(table: str, columns: list[str]) -> list[str]:
    """Those columns of a table that do not stand in the reference."""
    known = {c.name for c in TABLES[table].columns} if table in TABLES else set()
    return [name for name in columns if name not in known]


def markdown() -> str:
    """The reference of all tables, accounts and KPIs, as Markdown."""
    return "".join(_page())


def _page() -> Iterator[str]:
    yield f"# Tables of a result folder\n\nGenerated by `{COMMAND}`: do not edit. Each table is a\n"
    yield "Parquet file of that name; `hashwatt query` reads them with SQL, where each row also\n"
    yield "carries `run`, and of a study's cell `cell`. Empty: not known, or of no meaning there.\n"
    for name, table in TABLES.items():
        yield f"\n## {name}\n\nA row is {table.row}.\n\n"
        yield from _lines(("column", "unit", "meaning"), table.columns)
    yield "\n## What the books post of the sites' flows\n\n"
    yield from _lines(
        ("column of sites", "debit", "credit", "part", "memo"),
        [(flows.SITE[p.row].column, p.debit, p.credit, p.sites, p.memo) for p in POSTED],
    )
    yield "\n## Accounts of the ledger\n\n"
    yield from _lines(("account",), [(str(a),) for a in Account])
    yield "\n## KPIs\n\nColumns of a study's table `cells`; of a run: kpis.json.\n"
    yield "\n"
    yield from _lines(
        ("KPI", "unit", "group", "definition"),
        [(k.name, k.unit, k.group, k.definition) for k in KPIS.values()],
    )


def _lines(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|\n"
    for first, *rest in rows:
        yield "| " + " | ".join([f"`{first}`", *(t.replace("|", "\\|") for t in rest)]) + " |\n"

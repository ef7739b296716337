"""Runs that use everything, with their folders, for twins in SQL."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import duckdb

import sim
import sim.runner  # all KPIs are known then
from sim.scenario import Scenario
from tests.builders import energy_fleets, random_firms
from tests.builders.energy_fleets import Reckless
from tests.builders.serving_scenarios import SITES, Storm, scenario_with


def usd(column: str, where: str = "true") -> str:
    return f"(SELECT coalesce(sum({column}), 0) FROM sites WHERE {where})"


def mwh(column: str) -> str:
    return f"(SELECT sum({column}) FROM sites) * (SELECT record_s FROM run) / 3600"


def ehs(column: str) -> str:
    return f"(SELECT sum({column}) FROM sites) * (SELECT record_s / seconds FROM run) / 1000"


def account(name: str, commodity: str = "USD", memo: str = "%") -> str:
    return (
        "(SELECT coalesce(sum(amount), 0)::DOUBLE FROM ledger "
        f"WHERE account LIKE '{name}' AND commodity = '{commodity}' AND memo LIKE '{memo}')"
    )


def rented(column: str, use: str = "%", kind: str = "GPU hours") -> str:
    return f"(SELECT sum({column}) FROM uses WHERE kind = '{kind}' AND \"use\" LIKE '{use}')"


def state(what: str) -> str:
    return f"(SELECT {what} FROM fleet)"


def last(column: str) -> str:
    return state(f"last({column} ORDER BY t_s)")


def some(sql: str) -> str:
    return f"nullif({sql}, 0)"


def served(column: str) -> str:
    return f"(SELECT sum({column}) FROM tenants)::DOUBLE"


def percentile(metric: str, q: int) -> str:
    return f"""(
        WITH bins AS (SELECT latency_s, sum(requests) AS n FROM requests
                      WHERE metric = '{metric}' GROUP BY latency_s),
        up AS (SELECT latency_s, sum(n) OVER (ORDER BY latency_s) AS below, sum(n) OVER () AS n
               FROM bins)
        SELECT min(latency_s) FROM up WHERE 100 * below >= {q} * n)"""


HOSTED: Final = "site IN (SELECT name FROM scenario_sites WHERE contract = 'hosted')"


EXTRAS: Final = "contract_usd + demand_usd + peak_usd + fuel_usd + wear_usd"


CHARGES: Final = account("expenses:hosting:charges")


SLA: Final = account("expenses:credits", memo="%: SLA credit")


COST: Final = f"({usd(f'energy_usd + {EXTRAS}')} + {CHARGES})"


MACHINES: Final = mwh("asic_mw + gpu_mw")


USES: Final = mwh("asic_mw + gpu_mw + cooling_mw + overhead_mw + loss_mw")


ASICS: Final = f"(({mwh('asic_mw')}) / nullif({MACHINES}, 0))"


NODES: Final = f"(({mwh('gpu_mw')}) / nullif({MACHINES}, 0))"


SERVING: Final = f"(({mwh('serving_mw')}) / nullif({MACHINES}, 0))"


SECONDS: Final = "(SELECT seconds FROM run)"


RUINED: Final = "(SELECT min(t_s) FROM events WHERE event = 'insolvency')"


LIQUID: Final = f"cash_usd + (btc_held - btc_collateral) * {last('usd_per_btc')}"


SERVED_TWINS: Final = {
    "token_revenue_usd": usd("token_usd"),
    "token_revenue_usd_per_gpu_h": f"{rented('revenue_usd', kind='tokens')} / "
    f"nullif({rented('gpu_h', kind='tokens')}, 0)",
    "token_revenue_usd_per_mwh": f"{rented('revenue_usd', kind='tokens')} / "
    f"nullif({rented('machine_mwh + cooling_mwh', kind='tokens')}, 0)",
    "gpu_utilisation_pct": f"100 * {rented('busy_gpu_h', kind='tokens')} / "
    f"nullif({rented('powered_gpu_h', kind='tokens')}, 0)",
    "requests_per_seat": f"{rented('request_h', kind='tokens')} / "
    f"nullif({rented('seat_h', kind='tokens')}, 0)",
    "requests_arrived": served("requests_arrived"),
    "requests_served": served("requests_served"),
    "requests_rejected": served("requests_rejected"),
    "requests_expired": served("requests_expired"),
    "requests_returned": served("requests_returned"),
    "preemptions_per_request": f"{served('preemptions')} / {served('requests_served')}",
    "prefix_hit_pct": f"100 * {served('tokens_cached')} / {served('tokens_in')}",
    "slo_attainment_pct": f"100 * {served('requests_good')} / "
    + served("requests_served + requests_rejected + requests_expired"),
    "goodput_rps": f"{served('requests_good')} / {SECONDS}",
    "good_tokens_per_s": f"{served('tokens_good')} / {SECONDS}",
    "tokens_in_mtok": f"{served('tokens_in')} / 1e6",
    "tokens_out_mtok": f"{served('tokens_out')} / 1e6",
    **{
        f"{metric}_p{q}_s": percentile(f"{metric}_s", q)
        for metric in ("ttft", "tpot", "e2e")
        for q in (50, 95, 99)
    },
    "joules_per_token": f"({mwh('serving_mw')}) * 3.6e9 / {served('tokens_out')}",
    "energy_cost_usd_per_mtok": usd("energy_usd * serving_mw / nullif(asic_mw + gpu_mw, 0)")
    + f" / ({served('tokens_out')} / 1e6)",
    "carbon_tco2_per_mtok": f"{some(usd('carbon_kg'))} / 1000 * {SERVING} / "
    f"({served('tokens_out')} / 1e6)",
}  # fmt: skip


TWINS: Final = SERVED_TWINS | {
    "gross_margin_usd": usd(
        "btc_usd + gpu_usd + token_usd + programme_usd - energy_usd - penalty_usd - pool_fee_usd"
        f" - credit_usd - gpu_opex_usd - ({EXTRAS})"
    )
    + f" - {CHARGES} - {SLA}",
    "mining_revenue_usd": usd("btc_usd"),
    "inference_revenue_usd": usd("gpu_usd + token_usd"),
    "power_cost_usd": f"{usd(EXTRAS)} + {usd('energy_usd', f'NOT ({HOSTED})')}",
    "hosting_cost_usd": f"{usd('energy_usd', HOSTED)} + {CHARGES}",
    "pool_fees_usd": usd("pool_fee_usd"),
    "credits_usd": f"{usd('credit_usd')} + {SLA}",
    "btc_mined_btc": usd("btc"),
    "deployed_ehs": ehs("deployed_phs"),
    "operating_ehs": ehs("hashrate_phs"),
    **{
        f"lost_{why}_ehs": ehs(f"lost_{why}_phs")
        for why in ("price", "mode", "failure", "thermal", "limit", "outage", "restart")
    },
    "uptime_pct": "100 * (SELECT sum(hashrate_phs + lost_mode_phs) / nullif(sum(deployed_phs), 0) "
    "FROM sites)",
    "asic_availability_pct": state("100 * (1 - sum(asics_failed) / nullif(sum(asics), 0))"),
    "gpu_delivered_pct": "100 * (SELECT sum(gpu_nodes_on) / nullif(sum(gpu_nodes), 0) FROM sites)",
    "gpu_occupancy_pct": "100 * (SELECT sum(gpu_nodes_let) / "
    "nullif(sum(gpu_nodes_let + gpu_nodes_unsold + gpu_nodes_unmet), 0) FROM sites)",
    "let_gpu_h": rented("let_gpu_h"),
    "unsold_gpu_h": rented("unsold_gpu_h"),
    "gpu_price_usd_per_gpu_h": f"{rented('revenue_usd')} / nullif({rented('let_gpu_h')}, 0)",
    "gpu_contract_revenue_usd": rented("revenue_usd", "%reserved"),
    "gpu_spot_revenue_usd": rented("revenue_usd", "%by the hour"),
    "reserved_revenue_usd_per_mwh": f"{rented('revenue_usd', '%reserved')} / "
    f"nullif({rented('machine_mwh + cooling_mwh', '%reserved')}, 0)",
    "gpu_opex_usd": some(usd("gpu_opex_usd")),
    "energy_mwh": mwh("meter_mw"),
    "curtailed_mwh": mwh("curtailed_mw"),
    "mean_power_mw": f"({mwh('meter_mw')}) * 3600 / {SECONDS}",
    "energy_price_usd_per_mwh": f"{COST} / nullif({USES}, 0)",
    "mean_price_usd_per_mwh": "(SELECT avg(price_usd_per_mwh) FROM sites)",
    "energy_cost_usd_per_btc": f"{COST} * {ASICS} / nullif({usd('btc')}, 0)",
    "efficiency_j_per_th": f"({USES}) * 3.6e9 * {ASICS} / nullif("
    "(SELECT sum(hashrate_phs) * 1000 FROM sites) * (SELECT record_s FROM run), 0)",
    "pue": f"({USES}) / nullif({MACHINES}, 0)",
    "mining_revenue_usd_per_mwh": f"{usd('btc_usd')} / nullif(({USES}) * {ASICS}, 0)",
    "inference_revenue_usd_per_mwh": f"{usd('gpu_usd + token_usd')} / nullif(({USES}) * {NODES},0)",
    "hashprice_usd_per_ph_day": state("avg(hashprice_usd_per_ph_day)"),
    "usd_per_btc": state("avg(usd_per_btc)"),
    "cash_usd": account("assets:cash"),
    "leases_usd": some(f"-({account('liabilities:lease%')})"),
    "leverage_pct": "-100 * "
    + some(
        f"({account('liabilities:lease%')} + "
        f"{account('liabilities:loan%')} + {account('liabilities:interest%')})"
    )
    + f" / {account('assets:%')}",
    "shares_issued_usd": some("-" + account("equity:issued")),
    "first_owners_pct": "(SELECT min(regexp_extract(detail, '([0-9.]+)% are left', 1)::DOUBLE) "
    "FROM events WHERE event = 'shares issued')",
    "sold_machines_usd": "(SELECT sum(replace(regexp_extract(detail, 'for ([0-9,.]+) USD', 1), "
    "',', '')::DOUBLE) FROM events WHERE event = 'machines sold')",
    "btc_held_btc": account("assets:btc%", "BTC"),
    "asic_failures": "(SELECT count(*) FROM events WHERE event = 'failure' "
    "AND detail LIKE 'asic %')",
    "restart_failures": "(SELECT count(*) FROM events WHERE event = 'failure' "
    "AND detail LIKE 'asic %, at a restart')",
    "restart_failures_usd": state("sum(restart_lost_usd)"),
    "gpu_node_failures": "(SELECT count(*) FROM events WHERE event = 'failure' "
    "AND detail LIKE 'gpu %')",
    # Energy.
    "grid_services_usd": some(usd("programme_usd")),
    "penalties_usd": some(usd("penalty_usd")),
    "reserve_shortfalls_usd": some(usd("reserve_shortfall_usd")),
    "resold_usd": some(usd("resold_usd")),
    "contracts_usd": some(usd("contract_usd")),
    "demand_charges_usd": some(usd("demand_usd")),
    "coincident_peaks_usd": some(usd("peak_usd")),
    "fuel_usd": some(usd("fuel_usd")),
    "battery_wear_usd": some(usd("wear_usd")),
    "net_power_cost_usd_per_kwh": f"({COST} + {usd('penalty_usd - programme_usd')}) "
    f"/ nullif(({USES}) * 1000, 0)",
    "generation_mwh": some(mwh("generation_mw")),
    "battery_discharged_mwh": some(mwh("discharged_mw")),
    "battery_losses_mwh": some(
        f"{mwh('battery_mw')} - {last('stored_mwh')} + (SELECT stored_mwh FROM run)"
    ),
    "reserved_mw": some(f"({mwh('reserved_mw')}) * 3600 / {SECONDS}"),
    "reserve_sold_mw": some(f"({mwh('reserve_sold_mw')}) * 3600 / {SECONDS}"),
    "carbon_tco2": some(f"{usd('carbon_kg')} / 1000"),
    "carbon_tco2_per_btc": f"{some(usd('carbon_kg'))} / 1000 * {ASICS} / nullif({usd('btc')}, 0)",
    # The firm.
    "equity_usd": "(SELECT sum(amount)::DOUBLE FROM ledger WHERE commodity = 'USD' AND "
    "(account LIKE 'assets:%' OR account LIKE 'liabilities:%') AND account NOT LIKE 'assets:btc%')"
    f" + {account('assets:btc%', 'BTC')} * coalesce((SELECT first(usd_per_btc ORDER BY t_s)"
    f" FROM fleet, run WHERE t_s + record_s = {RUINED}), {last('usd_per_btc')})",
    "net_income_usd": f"- {account('income:%')} - {account('expenses:%')}",
    "debt_usd": last("debt_usd"),
    "btc_collateral_btc": account("assets:btc-collateral:%", "BTC"),
    "btc_sold_btc": account("equity:exchange", "BTC"),
    "lowest_cash_usd": state("min(cash_usd)"),
    "highest_ltv_pct": f"CASE WHEN (SELECT loans FROM run) > 0 THEN 100 * {state('max(ltv)')} END",
    "margin_calls": "(SELECT count(*) FROM events WHERE event = 'margin call')",
    "margin_calls_by_debt": "(SELECT coalesce(sum(regexp_extract(detail, '([0-9.]+)% of all', 1)"
    "::DOUBLE), 0) / 100 FROM events WHERE event = 'margin call')",
    "liquidations": "(SELECT count(*) FROM events WHERE event = 'liquidation')",
    "margin_called": "CASE WHEN (SELECT loans FROM run) > 0 THEN "
    "(SELECT count(*) FROM events WHERE event IN ('margin call', 'liquidation')) > 0 END",
    "lost_to_lenders_btc": account("equity:exchange", "BTC", "liquidation of %")
    + " + (SELECT coalesce(sum(paid_usd), 0) FROM creditors WHERE rank = 1) / "
    f"coalesce((SELECT usd_per_btc FROM fleet WHERE t_s + (SELECT record_s FROM run) = {RUINED}),"
    " 1)",
    "liquidated_btc": account("equity:exchange", "BTC", "liquidation of %"),
    "insolvent": f"CASE WHEN (SELECT must_pay FROM run) THEN {RUINED} IS NOT NULL END",
    "insolvent_after_days": f"{RUINED} / 86400",
    "runway_days": f"""(
        WITH back AS (SELECT least(90 * 86400, seconds) AS b, seconds, record_s FROM run),
        late AS (SELECT {LIQUID} AS usd FROM fleet, back WHERE t_s + record_s = seconds),
        past AS (SELECT {LIQUID} AS usd FROM fleet, back
                 WHERE t_s + record_s = greatest(seconds - b, record_s)),
        used AS (SELECT (past.usd - late.usd) * 86400 / b AS daily FROM past, late, back)
        SELECT CASE WHEN {RUINED} IS NOT NULL THEN 0 WHEN daily > 1 THEN late.usd / daily END
        FROM late, used)""",
    "interest_usd": some(account("expenses:interest")),
    "capitalised_interest_usd": some(
        account("assets:project-interest", memo="%: interest while it was built")
    ),
    "rent_usd": some(account("expenses:rent")),
    "trading_cost_usd": some(account("expenses:trading")),
    "depreciation_usd": some(account("expenses:depreciation")),
    "impairment_usd": some(account("expenses:impairment%")),
    "unrecoverable_usd": "(SELECT sum(replace(regexp_extract(detail, '^([0-9,.]+) USD', 1), ',', "
    "'')::DOUBLE) FROM events WHERE event = 'impairment')",
    "tax_usd": some(f"{account('expenses:tax')} + {account('expenses:deferred-tax')}"),
    "insurance_income_usd": some(f"- {account('income:insurance')}"),
}


ENERGY: Final[dict[str, Any]] = {
    "meshed": True, "scale": 1.0, "limit_mw": 2.5, "mtbf_h": 40.0, "export_mw": 0.4,
    "response": "manual", "step_s": 10_800, "seed": 4,
}  # fmt: skip


DEAL: Final = {"contract": "hosted", "energy_usd_per_mwh": 70, "carbon_zone": "grid"}


TENANTS: Final = [
    {"name": "acme", "rate_rps": 30.0, "slo_ttft_s": 0.3, "patience_s": 20.0},
    {"name": "bits", "rate_rps": 6.0, "residency": "CA"},
    {
        "name": "long",
        "rate_rps": 0.6,
        "patience_s": 600.0,  # more than a cache holds
        "prompt_mean_tokens": 9000.0,
        "output_mean_tokens": 3000.0,
    },
]


def energy(folder: Path) -> Scenario:
    """Three sites on a ring of lines that fail, one of them too hot, with every asset and deal."""
    file = folder / "load.csv"
    hours = [f"2026-{1 + d // 31:02d}-{1 + d % 31:02d}T{h:02d}:00:00Z,"
             f"{50_000 + 99 * ((d * h) % 7)},{35 + h % 13}"
             for d in range(36) for h in range(24)]  # fmt: skip
    file.write_text("time_utc,mw,c\n" + "\n".join(hours) + "\n", encoding="utf-8")
    heat = {"model": "replay", "series": "load", "column": "c"}
    peak = {"series": "load", "column": "mw", "usd_per_mw_year": 60_000, "months": [1]}
    horizon = {
        "start_utc": "2026-01-01T06:00:00Z", "days": 32, "step_s": 10_800, "record_s": 10_800,
    }  # fmt: skip
    return energy_fleets.fleet(
        ENERGY,
        horizon=horizon,
        series={"load": {"file": str(file)}},
        coincident_peak=peak,
        weather={"climates": {"massena-ny": heat}},
    )


def serving(fidelity: str) -> Scenario:
    demand: dict[str, Any] = {"fidelity": fidelity, "queue_limit": 200}
    tenants = TENANTS
    if fidelity == "exact":  # a fluid knows no conversations
        demand["prefix_cache"] = True
        tenants = [TENANTS[0], TENANTS[1] | {"turns": 3.0, "think_s": 10.0}, TENANTS[2]]
    return scenario_with(
        tenants, demand, days=0.25, nodes=1, sites=[{**site, **DEAL} for site in SITES],
        carbon={"zones": {"grid": {"model": "fixed", "kg_per_mwh": 400}}},
        pool={"model": "pplns", "hashrate_ehs": 300.0},
    )  # fmt: skip


def firm(k: int) -> Scenario:
    """A firm over a year's end: loan, project, host, lease, fire, insurer, tax; poorer with k."""
    tables = random_firms.firm_of(k)
    tables["firm"] |= {"tax_fraction": 0.21, "overhead_usd_per_month": 5e5}
    tables["treasury"]["opening_usd_per_btc"] = 100.0  # so that what lenders sell is taxed
    if k == 9:
        tables["firm"]["overhead_usd_per_month"] = 2e7
    else:
        tables["funding"]["steps"] = ["defer", "equity", *tables["funding"]["steps"][1:4]]
        tables["treasury"]["opening_usd"] = 100_000.0
        tables["firm"]["overhead_usd_per_month"] = 4.2e5
    tables["offtakes"] = {"buyer": {"sites": ["bravo"], "uptime_sla": 1.0, "prepaid_usd": 5_000}}
    tables["faults"] |= {
        "enabled": True, "asic": {"mtbf_h": 5_000}, "restart_failure_fraction": 0.1,
    }  # fmt: skip
    tables["horizon"] |= {"start_utc": "2025-12-22T00:00:00Z"}
    tables["gpu_market"] = {"gpus": {"h100-sxm": {
        "model": "mean-reverting", "usd_per_gpu_h": 2.0, "occupancy_deviation": 0.1,
    }}}  # fmt: skip
    tables["gpu_contracts"] = {"tenants": {
        "term_days": 9, "gap_days": 4, "taken_fraction": 0.7, "take_or_pay_fraction": 0.8,
    }}  # fmt: skip
    tables["lease"] = {
        "start_utc": "2026-01-09T00:00:00Z", "end_utc": "2027-01-20T00:00:00Z",
        "sale_usd_per_machine": 900,
    }  # fmt: skip
    dark = {"kind": "outage", "sites": ["alpha"], "start_utc": "2025-12-24T00:00:00Z", "hours": 9}
    tables["faults"]["incidents"] = [*tables["faults"]["incidents"], dark]
    return random_firms.scenario_of(tables)


RUNS: Final = ("energy", "exact", "fluid", "firm", "ruined")


def made(kind: str, folder: Path) -> Path:
    if kind == "energy":
        result = sim.run(energy(folder), Reckless(4), 4)
    elif kind in ("exact", "fluid"):
        result = sim.run(serving(kind), Storm(), 3)
    else:
        result = sim.run(firm({"firm": 1, "ruined": 9}[kind]), "merit-order", 1)
    return result.save(folder / kind)


class Stored:
    """A result folder, by nothing but its files."""

    def __init__(self, folder: Path) -> None:
        self.kpis: dict[str, Any] = json.loads((folder / "kpis.json").read_text(encoding="utf-8"))
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        resolved = manifest["resolved"]
        self.files = sorted(folder.glob("*.parquet"))
        self.firm: dict[str, Any] = resolved["firm"]
        self.sql = duckdb.connect()
        for file in self.files:
            self.sql.execute(
                f"CREATE TABLE {file.stem} AS SELECT * FROM read_parquet('{file.as_posix()}')"
            )
        if not (folder / "creditors.parquet").is_file():
            self.sql.execute("CREATE TABLE creditors (rank INT, paid_usd DOUBLE)")
        self.serves = (folder / "tenants.parquet").is_file()
        self.sql.execute("CREATE TABLE scenario_sites (name VARCHAR, contract VARCHAR)")
        for site in resolved["sites"]:
            self.sql.execute(
                "INSERT INTO scenario_sites VALUES (?, ?)", [site["name"], site["contract"]]
            )
        stored_mwh = sum(b["initial_fraction"] * b["energy_mwh"] for b in resolved["batteries"])
        horizon = resolved["horizon"]
        self.sql.execute(
            "CREATE TABLE run AS SELECT ?::DOUBLE AS seconds, ?::DOUBLE AS record_s, "
            "?::INT AS loans, ?::BOOLEAN AS must_pay, ?::DOUBLE AS stored_mwh",
            [
                horizon["days"] * 86_400, horizon["record_s"], len(resolved["loans"]),
                resolved["treasury"]["opening_usd"] is not None, stored_mwh,
            ],
        )  # fmt: skip

    @cached_property
    def twins(self) -> dict[str, float | None]:
        """All KPIs by their twins."""
        return {
            name: None if name in SERVED_TWINS and not self.serves else self.value(sql)
            for name, sql in TWINS.items()
        }

    def value(self, sql: str) -> float | None:
        (row,) = self.sql.execute(f"SELECT ({sql})::DOUBLE").fetchall()
        assert row is not None
        return None if row[0] is None else float(row[0])

"""A small firm with a project, a host and a lease, and what it posted and told."""

from collections.abc import Callable
from typing import Any

import sim
from sim.finance.statements import tie_out
from sim.results.result import RunResult
from sim.scenario import Scenario

DAY = 86_400


Build = Callable[..., Scenario]


# A month without luck: cool sites, one price of energy, one of bitcoin, nothing fails.
MONTH: dict[str, Any] = {
    "horizon": {
        "days": 31,
        "step_s": 3600,
        "record_s": 86_400,
        "start_utc": "2026-01-01T00:00:00Z",
    },
    "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 30}}},
    "weather": {"climates": {"cool": {"model": "seasonal", "climate": "reykjavik-is"}}},
    "faults": {"enabled": False},
    "treasury": {"opening_usd": 10_000_000},
}


SITES = [{"name": "alpha", "climate": "cool"}, {"name": "bravo", "climate": "cool"}]


S21 = {"site": "alpha", "model": "Antminer S21", "count": 100}


def firm(build: Build, tables: dict[str, Any], **sheets: Any) -> RunResult:
    """A month of a firm, checked for what every run of a firm must satisfy."""
    asics = sheets.pop("asics", [S21])
    gpus = sheets.pop("gpus", [])
    scenario = build({**MONTH, **tables}, sites=SITES, asics=asics, gpus=gpus, **sheets)
    result = sim.run(scenario, "static")
    assert tie_out(result.table("statements")) == []
    return result


def posted(result: RunResult, account: str, memo: str) -> list[tuple[int, float]]:
    """Day and amount [USD] of the postings to an account whose memo contains some words."""
    rows = result.table("ledger").to_pylist()
    return [
        (r["t_s"] // DAY, float(r["amount"]))
        for r in rows
        if r["account"] == account and r["commodity"] == "USD" and memo in r["memo"]
    ]


def told(result: RunResult) -> list[tuple[float, str]]:
    """Day and kind of all events."""
    table = result.table("events")
    days = [t / DAY for t in table["t_s"].to_pylist()]
    return list(zip(days, table["event"].to_pylist(), strict=True))


GPU_PROJECT = {
    "capex_usd": 1_000_000,
    "order_utc": "2026-01-03T00:00:00Z",
    "lead_days": 5,
    "commissioning_days": 2,
}


BOUGHT = [{"site": "alpha", "gpu": "h100-sxm", "nodes": 4, "project": "pod"}]


HOST = {
    "sites": ["alpha"],
    "notice_days": 5,
    "downtime_days": 7,
    "move_to": "bravo",
    "moving_usd_per_machine": 100,
    "usd_per_machine_month": 10,
}


LEASE = {
    "name": "many",
    "site": "alpha",
    "model": "Antminer S21",
    "machines": 80,
    "usd_per_machine_month": 50,
}

"""KPIs as people read them: number, unit, definition."""

from collections.abc import Iterator, Mapping
from typing import Final

from sim.results.kpis import KPIS

UNITS: Final = {
    "usd_per_kwh": "USD/kWh",
    "usd_per_mwh": "USD/MWh",
    "tco2_per_btc": "tCO2/BTC",
    "tco2_per_mtok": "tCO2/Mtoken",
    "tco2": "tCO2",
    "usd_per_ph_day": "USD/PH/day",
    "usd_per_gpu_h": "USD/GPU-h",
    "gpu_h": "GPU-h",
    "usd_per_btc": "USD/BTC",
    "usd_per_mtok": "USD/Mtoken",
    "tokens_per_s": "tokens/s",
    "joules_per_token": "J/token",
    "mtok": "Mtoken",
    "rps": "1/s",
    "j_per_th": "J/TH",
    "usd": "USD",
    "btc": "BTC",
    "ehs": "EH/s",
    "pct": "%",
    "days": "days",
    "mwh": "MWh",
    "mw": "MW",
    "s": "s",
}
CAUSES: Final = {
    "price": "switched off by the policy",
    "mode": "slower firmware mode (negative: overclocked)",
    "outage": "site without power, network or host",
    "failure": "failed, or waiting to rejoin",
    "thermal": "derated or tripped by heat",
    "limit": "worth running, but a limit of the grid is full",
    "restart": "booting, ramping, shortest pause",
}


def unit_of(name: str) -> str:
    """The unit that ends a KPI's name."""
    return next((u for end, u in UNITS.items() if name == end or name.endswith("_" + end)), "")


def rows(kpis: Mapping[str, float | None]) -> Iterator[tuple[str, str, str, str]]:
    """Name, value, unit, definition of each KPI that has a meaning in the run."""
    for name, value in kpis.items():
        if value is None:
            continue
        definition = (KPIS[name].__doc__ or "").split(" [")[0]
        yield name, number(value), unit_of(name), definition


def causes(kpis: Mapping[str, float | None]) -> Iterator[str]:
    """Why operating hashrate is below deployed, in words."""
    deployed, operating = kpis["deployed_ehs"] or 0.0, kpis["operating_ehs"] or 0.0
    if not deployed:
        return
    yield f"operating {operating:.3f} of {deployed:.3f} EH/s deployed; the rest, by cause:"
    parts = {n: v or 0.0 for n, v in kpis.items() if n.startswith("lost_") and n.endswith("_ehs")}
    for name, lost in sorted(parts.items(), key=lambda item: -abs(item[1])):
        cause = name.removeprefix("lost_").removesuffix("_ehs")
        yield f"  {cause:10s}{lost:10.3f} EH/s {100 * lost / deployed:7.2f} %  {CAUSES[cause]}"


def number(value: float) -> str:
    """A figure as people read it: thousands apart, three decimals or, of what is small, digits."""
    size = abs(value)
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.3f}" if size >= 0.1 else f"{value:.3g}"

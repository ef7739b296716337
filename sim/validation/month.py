"""A fleet of a known operating hashrate in a month of the recorded chain."""

from calendar import monthrange
from pathlib import Path
from typing import Any

from sim.scenario import Scenario, assemble
from sim.scenario.catalogue import asics
from sim.units import TH_PER_EH

MACHINE = "Antminer S21"


def fleet_of(operating_ehs: float, month: str, data: Path, record_s: int = 3600) -> Scenario:
    """One site that runs at `operating_ehs` [EH/s] throughout `month` ("2026-01"); no pool fee."""
    year, number = (int(part) for part in month.split("-"))
    tables: dict[str, Any] = {
        "data_dir": str(data),
        "horizon": {
            "start_utc": f"{month}-01T00:00:00Z",
            "days": monthrange(year, number)[1],
            "step_s": 3600,
            "record_s": record_s,
        },
        "network": {"model": "replay", "retargets": "retargets", "daily": "network"},
        "btc_price": {"model": "replay", "series": "network"},
        "pool": {"fee_fraction": 0.0},
        "faults": {"enabled": False},
        "series": {
            "network": {
                "file": "{data_dir}/bitcoin_network/btc_network_daily.csv.gz",
                "time_column": "date",
            },
            "retargets": {
                "file": "{data_dir}/bitcoin_network/retargets.csv",
                "kind": "events",
                "time_column": "first_block_time_unix",
            },
        },
    }
    count = round(operating_ehs * TH_PER_EH / asics()[MACHINE].nominal.hashrate_ths)
    return one_site(tables, count, MACHINE)


def one_site(tables: dict[str, Any], count: int, model: str, technicians: int = 1) -> Scenario:
    """A cool site without limits, with `count` machines of a model."""
    return assemble(
        {
            "prices": {"model": "fixed", "zones": {"zone": {"usd_per_mwh": 40.0}}},
            "weather": {"climates": {"cool": {"model": "seasonal", "climate": "reykjavik-is"}}},
            **tables,
        },
        {
            "sites": [
                {
                    "name": "site",
                    "climate": "cool",
                    "price_zone": "zone",
                    "utc_offset_h": 0,
                    "power_limit_mw": 5000,
                    "technicians": technicians,
                }
            ],
            "asics": [{"site": "site", "model": model, "count": count}],
        },
        name="validation",
    )

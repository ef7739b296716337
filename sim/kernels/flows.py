"""What a run counts, row by row: name, column, unit, kind and meaning of each, in one table.

Row numbers of the kernels' arrays, columns of the tables `sites` and `uses`, the sums that KPIs and
books are made of and the reference of all columns (docs/tables.md) come out of it. A row is one
statement below; its number is its place. What the books post a row to stands in `finance.books`.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

MEAN: Final = "mean"  # a sum over time, told as its mean over the interval
SUM: Final = "sum"  # the total of the interval

# How much of what is counted, second by second, makes one unit of the column.
_PER: Final = {"MW": 1e6, "PH/s": 1e3}  # W, TH/s


class Flow(NamedTuple):
    """A row of an array of flows, and the column that tells it."""

    column: str
    unit: str
    kind: str  # MEAN or SUM
    meaning: str

    @property
    def per(self) -> float:
        """How much of the row makes one unit of the column; a mean: each second."""
        return _PER.get(self.unit, 1.0) if self.kind == MEAN else 1.0


_site: Final[list[Flow]] = []


def _row(column: str, unit: str, kind: str, meaning: str) -> int:
    _site.append(Flow(column, unit, kind, meaning))
    return len(_site) - 1


# Rows of `SiteState.flow`, since the last record; `sites.parquet` has a column for each.
# Energy [J], told as power.
WISH_J: Final = _row("wish_mw", "MW", MEAN, "what the policy asked for, overhead included")
GRANTED_J: Final = _row("granted_mw", "MW", MEAN, "what was granted at the meter")
METER_J: Final = _row("meter_mw", "MW", MEAN, "at the meter; below zero it flows back")
SITE_ASIC_J: Final = _row("asic_mw", "MW", MEAN, "ASICs")
SITE_GPU_J: Final = _row("gpu_mw", "MW", MEAN, "GPU nodes")
TOKEN_J: Final = _row("serving_mw", "MW", MEAN, "of these nodes that serve tokens")
COOLING_J: Final = _row("cooling_mw", "MW", MEAN, "cooling")
OVERHEAD_J: Final = _row("overhead_mw", "MW", MEAN, "overhead, always on")
LOSS_J: Final = _row("loss_mw", "MW", MEAN, "lost on the way from the grid")
GENERATION_J: Final = _row("generation_mw", "MW", MEAN, "on-site generation")
BATTERY_J: Final = _row("battery_mw", "MW", MEAN, "into batteries less out of them")
DISCHARGED_J: Final = _row("discharged_mw", "MW", MEAN, "out of batteries")
RESERVED_J: Final = _row("reserved_mw", "MW", MEAN, "load that stood by for programmes")
AWARDED_J: Final = _row("reserve_sold_mw", "MW", MEAN, "reserve sold the day before")
EXPORT_J: Final = _row("exported_mw", "MW", MEAN, "flowed back into the grid")
RESOLD_J: Final = _row("resold_mw", "MW", MEAN, "bought before and not used")
IDLED_J: Final = _row(
    "curtailed_mw", "MW", MEAN, "what healthy machines in the scenario's own modes would add"
)
# Prices and weather times seconds.
PRICE_S: Final = _row("price_usd_per_mwh", "USD/MWh", MEAN, "another MWh, with delivery")
DAY_AHEAD_S: Final = _row(
    "day_ahead_usd_per_mwh", "USD/MWh", MEAN, "day-ahead price of the zone; empty: none is known"
)
AMBIENT_S: Final = _row("ambient_c", "C", MEAN, "air, dry bulb")
WET_BULB_S: Final = _row("wet_bulb_c", "C", MEAN, "air, wet bulb")
# Hashes by fate [TH]: nine rows in the order of `AsicState.flow`, each FATES and its own number.
FATES: Final = len(_site)
HASHED: Final = _row("hashrate_phs", "PH/s", MEAN, "hashed") - FATES
DEPLOYED: Final = _row("deployed_phs", "PH/s", MEAN, "nameplate of what stands there") - FATES
LOST_FAILURE: Final = _row("lost_failure_phs", "PH/s", MEAN, "failed, or not yet back") - FATES
LOST_THERMAL: Final = _row("lost_thermal_phs", "PH/s", MEAN, "derated or tripped by heat") - FATES
LOST_PRICE: Final = _row("lost_price_phs", "PH/s", MEAN, "switched off by the policy") - FATES
LOST_MODE: Final = (
    _row("lost_mode_phs", "PH/s", MEAN, "nameplate less the mode; below zero: overclocked") - FATES
)
LOST_RESTART: Final = _row("lost_restart_phs", "PH/s", MEAN, "booting, ramping, pausing") - FATES
LOST_LIMIT: Final = _row("lost_limit_phs", "PH/s", MEAN, "worth running, a limit is full") - FATES
LOST_OUTAGE: Final = (
    _row("lost_outage_phs", "PH/s", MEAN, "site without power, network or host") - FATES
)
# Nodes times seconds.
NODES_ON_S: Final = _row("gpu_nodes_on", "nodes", MEAN, "on")
NODES_S: Final = _row("gpu_nodes", "nodes", MEAN, "there, on or off")
LET_S: Final = _row("gpu_nodes_let", "nodes", MEAN, "let and on, tokens aside")
UNSOLD_S: Final = _row("gpu_nodes_unsold", "nodes", MEAN, "there and not let, tokens aside")
UNMET_S: Final = _row("gpu_nodes_unmet", "nodes", MEAN, "let and not on, tokens aside")
# Money, bitcoin, carbon.
ENERGY_USD: Final = _row("energy_usd", "USD", SUM, "energy at the meter, less what flowed back")
CONTRACT_USD: Final = _row(
    "contract_usd", "USD", SUM, "positions at their price less the same at real time"
)
RESOLD_USD: Final = _row(
    "resold_usd", "USD", SUM, "what of them was not used, at real time (part of contracts)"
)
RESOLD_COST_USD: Final = _row(
    "resold_cost_usd", "USD", SUM, "what of the positions' price was paid for it"
)
EXPORT_USD: Final = _row(
    "exported_usd", "USD", SUM, "what flowed back, at the zone's price (taken off energy)"
)
DEMAND_USD: Final = _row("demand_usd", "USD", SUM, "demand charges, take-or-pay not taken")
PEAK_USD: Final = _row("peak_usd", "USD", SUM, "coincident peaks, when they occur")
FUEL_USD: Final = _row("fuel_usd", "USD", SUM, "fuel and upkeep of on-site generation")
WEAR_USD: Final = _row("wear_usd", "USD", SUM, "wear of batteries")
PROGRAMME_USD: Final = _row("programme_usd", "USD", SUM, "earned by programmes of the grid")
PENALTY_USD: Final = _row("penalty_usd", "USD", SUM, "owed in a call or sold, and not there")
SHORTFALL_USD: Final = _row(
    "reserve_shortfall_usd", "USD", SUM, "reserve sold and not held (part of penalties)"
)
CARBON_KG: Final = _row("carbon_kg", "kg", SUM, "carbon of energy at the meter and of fuel")
GPU_USD: Final = _row("gpu_usd", "USD", SUM, "GPU hours")
GPU_OPEX_USD: Final = _row("gpu_opex_usd", "USD", SUM, "operating GPU nodes, energy aside")
TOKEN_USD: Final = _row("token_usd", "USD", SUM, "tokens")
CREDIT_USD: Final = _row("credit_usd", "USD", SUM, "credits to customers")
BTC: Final = _row("btc", "BTC", SUM, "earned, before the pool's fee")
BTC_USD: Final = _row("btc_usd", "USD", SUM, "the same at the price when it was earned")
POOL_FEE_BTC: Final = _row("pool_fee_btc", "BTC", SUM, "kept by the pool")
POOL_FEE_USD: Final = _row("pool_fee_usd", "USD", SUM, "the same at the price when it was earned")
SITE_FLOWS: Final = len(_site)
SITE: Final[Sequence[Flow]] = tuple(_site)  # a row each

# Rows of `AsicState.flow`, since the last settlement: the fates, then energy [J].
ASIC_J: Final = LOST_OUTAGE + 1
ASIC_FLOWS: Final = ASIC_J + 1

# Rows of `AsicState.used`, since the last record: what each firmware mode came to.
USED_J: Final = 0  # machines
USED_COOLING_J: Final = 1
USED_TH: Final = 2  # hashes
USED_THERE_S: Final = 3  # machine-seconds deployed, whether on or off
USED_ROWS: Final = 4

# Rows of `NodeState.flow`, since the last settlement.
NODE_ON_S: Final = 0
NODE_MISSED_S: Final = 1
NODE_J: Final = 2
NODE_FLOWS: Final = 3

# Rows of `NodeState.used`, since the last record: what each way of earning came to.
NODE_USED_ON_S: Final = 0
NODE_USED_MISSED_S: Final = 1
NODE_USED_J: Final = 2
NODE_USED_COOLING_J: Final = 3
NODE_USED_USD: Final = 4  # of node-hours; tokens are paid to lanes
NODE_USED_CREDIT_USD: Final = 5
NODE_USED_LET_S: Final = 6  # of the node-seconds on; not of tokens
NODE_USED_UNSOLD_S: Final = 7  # of the node-seconds there, on or off: nobody had taken them
NODE_USED_OPEX_USD: Final = 8
NODE_USED_ROWS: Final = 9

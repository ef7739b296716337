"""`sim.bound`: the highest gross margin that any policy could have earned with perfect foresight.

A linear programme over the whole run with the realised prices, temperatures, limits, outages,
failures, difficulty, fees, bitcoin prices, peaks and calls. Every simplification errs upwards:

- Machines: any fraction of the machines that had not failed may run, averaged over the step
  (nodes: at its start). Restarts, ramps (of machines, sites and fleet) and minimum pauses cost
  nothing. Firmware modes lie on the upper hull of hashrate over power. In a step cut by a
  retarget, all hashes are valued at the better of the two parts.
- Grid: nested limits apply to the mean of a step. In a meshed grid only the interconnection limits
  apply, not the lines, and overhead is drawn only where the price is negative.
- Meters: a site may import and export within one step. Exports earn the zone's price; where it is
  negative they cost nothing, unless imports are paid for. Delivery losses are the simulator's.
- Contracts: a block that costs more than the grid is spread evenly over the most that the site can
  draw (the chord below a concave cost). Positions, take-or-pay and the realised coincident peaks
  are exact. Demand charges and their ratchets are exact too, except for intervals shorter than a
  step: there the mean of a step counts, if it is metered from end to end. In a tiered tariff each
  MWh of a month may fall in any tier that has room. That is exact where prices rise with the
  month's use by the same amount at all hours; where they fall, all use is at the cheapest.
- Batteries: charging and discharging may overlap; the final state of charge is free.
- Programmes: standby is limited to the load of the site plus the power of its batteries, whatever
  their state of charge, except in steps in which a call is announced or in force, or which an
  outage cuts. Calls are not binding and carry no penalty; they pay from the highest possible load
  down. Baselines of economic programmes are the highest possible.
- Reserves: sold in hindsight, step by step, at the price without the fleet (no price response, no
  market cap across sites, no rejected offers). A day whose gate closed before the run began earns
  nothing. An award that is not held costs at least what it is paid, so what is held bounds what is
  earned.
- Nodes that serve tokens: every request is served at once at its tenant's price (fluid model: at
  the dearest mix of its pools), without energy, engines or credits. They draw power only where
  drawing it is paid.
- Pools: FPPS is exact. PPLNS and solo earn all blocks that the fleet at full hashrate would have
  found, at no energy cost: a loose bound.

- Prices that depend on the fleet's own load (`dc-opf`): those of the grid without the fleet. The
  cost of a dispatch is convex in the load and the price is its slope, so a load is never billed
  less than at the prices of no load. Changes within a step, from failing machines or a line outage,
  are billed at the price at its start; for that alone the bound is approximate.
"""

from typing import Any, Final, NamedTuple

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.results.disk import write_json
from sim.results.folder import Folder
from sim.results.provenance import provenance
from sim.scenario.scenario import Scenario
from sim.studies.bound.coefficients import Demand, Month, Terms, Tier, terms_of
from sim.studies.bound.programme import Duals, Piece, no_duals, solve
from sim.studies.bound.replay import BoundError, realised
from sim.types import Floats, Ints
from sim.units import SECONDS_PER_DAY, SECONDS_PER_YEAR, W_PER_MW

__all__ = ["Bound", "BoundError", "bound", "left_out"]
KINDS: Final = {
    "interconnect": "MW of a site's own connection",
    "limit": "MW of a shared limit",
    "asic": "machine",
    "gpu node": "GPU node",
    "battery power": "MW of a battery",
    "battery energy": "MWh of a battery",
}
SHOWN: Final = 10  # rows of each kind printed on a terminal
COLUMNS: Final = 20_000  # per linear programme, where steps are independent


class Bound(NamedTuple):
    """An upper bound on `gross_margin_usd`, and the shadow prices of its limits.

    `worth` has a row for each limit, group of machines and battery: columns `kind` (limit,
    interconnect, asic, gpu node, battery power, battery energy), `name`, `size`, `unit` (MW,
    machine, node, MWh) and `usd_per_unit_year`, the shadow price: what one more unit would have
    earned at the margin (for machines, the mean over the group).
    """

    usd: float
    by_day_usd: Floats  # (day,) monthly settlements count on the last day of the month
    worth: pa.Table
    pieces: int  # number of linear programmes solved

    def document(self) -> dict[str, Any]:
        """The bound as plain JSON values."""
        return {
            "bound_usd": self.usd,
            "by_day_usd": self.by_day_usd.tolist(),
            "worth": self.worth.to_pylist(),
        }

    def dearest(self) -> dict[str, list[dict[str, Any]]]:
        """The most valuable rows of each kind; rows worth nothing are left out."""
        rows = sorted(self.worth.to_pylist(), key=lambda row: -abs(row["usd_per_unit_year"]))
        worthy = [row for row in rows if row["usd_per_unit_year"]]
        kinds = dict.fromkeys(row["kind"] for row in self.worth.to_pylist())
        return {
            f"one more {KINDS[kind]}, USD a year": [
                {"name": r["name"], "has": r["size"], "worth": r["usd_per_unit_year"]}
                for r in [r for r in worthy if r["kind"] == kind][:SHOWN]
            ]
            for kind in kinds
            if any(r["kind"] == kind for r in worthy)
        }

    def save(self, folder: Folder, document: dict[str, Any]) -> None:
        """Write `document` to `bound.json`, and the shadow prices to `worth.parquet`."""
        write_json(folder.draft / "bound.json", document)
        pq.write_table(self.worth, folder.draft / "worth.parquet")
        named = {name: document[name] for name in ("scenario", "seed")}
        folder.commit({**named, **provenance()})


def left_out(scenario: Scenario) -> tuple[str, ...]:
    """Parts of a scenario that policies pay for and the bound treats as free, in words."""
    ramps = scenario.grid.fleet_ramp_mw_per_min is not None or any(
        site.ramp_mw_per_min is not None for site in scenario.sites
    )
    restarts = any(group.count for group in scenario.asics) and scenario.mining.restart_s > 0.0
    found = {
        "ramps of sites and of the fleet": ramps,
        "restarts of ASICs": restarts,
        "the lines of the mesh": scenario.case is not None,
    }
    return tuple(what for what, there in found.items() if there)


def bound(scenario: Scenario, seed: int = 1) -> Bound:
    """The clairvoyant's gross margin for a scenario and a seed.

    Raises:
        BoundError: if prices that depend on the fleet's load hold for longer than a control step.
    """
    terms = terms_of(realised(scenario, seed))
    usd, duals = terms.constant_usd.copy(), no_duals(terms)
    pieces = _pieces(terms)
    for piece in pieces:
        solved = solve(terms, piece)
        usd[piece.first : piece.last] += solved.usd
        for total, part in zip(duals, solved.duals, strict=True):
            total += part
    day = np.arange(len(usd)) * scenario.horizon.step_s // SECONDS_PER_DAY
    return Bound(
        usd=float(usd.sum()),
        by_day_usd=np.bincount(day, usd).astype(np.float64),
        worth=_table(scenario, terms, duals),
        pieces=len(pieces),
    )


def _pieces(terms: Terms) -> list[Piece]:
    """Independent subproblems: shared limits couple sites; batteries and months couple steps."""
    steps = len(terms.constant_usd)
    stored = set(terms.known.replay.plant.assets.battery_site.tolist())
    bills: list[Month | Demand | Tier] = [*terms.months, *terms.demand, *terms.tiers]
    monthly = {m.site for m in bills}
    ratchets = {d.site for d in terms.demand if d.before}
    free: list[int] = []
    pieces = []
    for sites in _islands(terms.known.replay.plant.limits.path):
        if (stored | ratchets) & set(sites):
            pieces.append(Piece(np.array(sites), 0, steps))
        elif monthly & set(sites):
            months = [m for m in bills if m.site in sites]
            ends = {s: {m.last for m in months if m.site == s} for s in sites}
            common = set.intersection(*(ends[m.site] for m in months)) | {steps}
            starts = [0, *sorted(common)]
            pieces += [
                Piece(np.array(sites), a, b) for a, b in zip(starts, starts[1:], strict=False)
            ]
        else:
            free += sites
    if free:
        sites_free = np.array(sorted(free))
        columns = 2 * len(sites_free) + int(np.isin(terms.item_site, sites_free).sum())
        length = max(COLUMNS // columns, 1)
        pieces += [
            Piece(sites_free, first, min(first + length, steps))
            for first in range(0, steps, length)
        ]
    return pieces


def _islands(path: Ints) -> list[list[int]]:
    """Groups of sites that share limits, directly or through other sites."""
    graph: nx.Graph[tuple[str, int]] = nx.Graph()
    for site, limits in enumerate(path):
        graph.add_node(("site", site))
        graph.add_edges_from((("site", site), ("limit", int(k))) for k in limits if k >= 0)
    parts = nx.connected_components(graph)
    return sorted(sorted(n for kind, n in part if kind == "site") for part in parts)


def _table(scenario: Scenario, terms: Terms, duals: Duals) -> pa.Table:
    replay = terms.known.replay
    plant = replay.plant
    years = scenario.horizon.seconds / SECONDS_PER_YEAR
    credit_usd = replay.credit_usd.sum(axis=0) * terms.known.hours
    rows: list[tuple[str, str, float, str, float]] = []
    for k, name in enumerate(plant.topology.limit_names):
        kind = "interconnect" if name.startswith("site ") else "limit"
        rows.append((kind, name, plant.topology.capacity_w[k] / W_PER_MW, "MW", duals.limit[k]))
    groups = len(scenario.asics)
    for g, asic in enumerate(scenario.asics):
        each = duals.owner[g] / max(asic.count, 1)
        rows.append(("asic", f"{asic.site} {asic.model}", asic.count, "machine", each))
    for n, gpu in enumerate(scenario.gpus):
        each = duals.owner[groups + n] / max(gpu.nodes, 1) - credit_usd[n]
        rows.append(("gpu node", f"{gpu.site} {gpu.gpu} {gpu.state}", gpu.nodes, "node", each))
    for b, battery in enumerate(scenario.batteries):
        name = battery.site
        rows.append(("battery power", name, battery.power_mw, "MW", duals.battery_mw[b]))
        rows.append(("battery energy", name, battery.energy_mwh, "MWh", duals.battery_mwh[b]))
    columns = list(zip(*rows, strict=True)) if rows else [()] * 5
    return pa.table(
        {
            "kind": pa.array(columns[0], pa.string()),
            "name": pa.array(columns[1], pa.string()),
            "size": pa.array(columns[2], pa.float64()),
            "unit": pa.array(columns[3], pa.string()),
            "usd_per_unit_year": pa.array(np.array(columns[4]) / years, pa.float64()),
        }
    )

"""Prices and shares of let GPU nodes: the tables `lettings` and `gpu_market`."""

import numpy as np
import pyarrow as pa

from sim.plant.machines import Let, NodeRates, node_rates
from sim.scenario.scenario import Scenario
from sim.units import HOURS_PER_YEAR, SECONDS_PER_DAY
from sim.world.gpu_market import GpuPaths


class LetRecord:
    """Filled by the engine when the letting of a row of gpus.csv changes."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.paths = GpuPaths({}, {}, {})
        self._kept: list[tuple[int, Let]] = []

    def keep(self, t_s: int, let: Let) -> None:
        """Record the lettings in force from `t_s`."""
        self._kept.append((t_s, let))

    def tables(self) -> dict[str, pa.Table]:
        """`lettings` if there are GPU nodes, `gpu_market` if prices have paths."""
        found = {"lettings": self._lettings()} if self.scenario.gpus else {}
        return found | ({"gpu_market": self._market()} if self.paths.usd_per_gpu_h else {})

    def _lettings(self) -> pa.Table:
        """A row per row of gpus.csv and change, in force from `t_s`; includes [what_if] factors.

        `usd_per_gpu_h` is the price of a let hour, `let_share` the share let and `paid_share` the
        share paid of the hours on; the last two are null for nodes that serve tokens.
        """
        rows = self.scenario.gpus
        columns: dict[str, list[object]] = {
            name: []
            for name in ("t_s", "row", "site", "gpu", "state", "usd_per_gpu_h", "let_share",
                         "paid_share")
        }  # fmt: skip
        before: list[tuple[object, ...] | None] = [None] * len(rows)
        for t_s, let in self._kept:
            rates = node_rates(self.scenario, let, HOURS_PER_YEAR / 12.0)
            for n, now in enumerate(self._now(let, rates)):
                if now != before[n]:
                    before[n] = now
                    row = rows[n]
                    values = (t_s, n + 2, row.site, row.gpu, row.state, *now)
                    for column, value in zip(columns.values(), values, strict=True):
                        column.append(value)
        types = (pa.int64(), pa.int64(), *(pa.string(),) * 3, *(pa.float64(),) * 3)
        return pa.table(
            {n: pa.array(c, t) for (n, c), t in zip(columns.items(), types, strict=True)}
        )

    def _now(self, let: Let, rates: NodeRates) -> list[tuple[object, ...]]:
        what_if = self.scenario.what_if
        usd = let.usd_per_gpu_h * what_if.gpu_price_factor
        paid = np.maximum(rates.let_share, let.least)
        return [
            (float(usd[n]), None, None)
            if row.state == "serving"
            else (float(usd[n]), float(rates.let_share[n]), float(paid[n]))
            for n, row in enumerate(self.scenario.gpus)
        ]

    def _market(self) -> pa.Table:
        """A row per day and GPU with a price path, without [what_if] factors."""
        usd, occupancy = self.paths.usd_per_gpu_h, self.paths.occupancy
        gpus = list(usd)
        days = len(usd[gpus[0]])
        index = np.tile(np.arange(len(gpus), dtype=np.int32), days)
        return pa.table(
            {
                "t_s": np.repeat(np.arange(days, dtype=np.int64) * SECONDS_PER_DAY, len(gpus)),
                "gpu": pa.DictionaryArray.from_arrays(index, pa.array(gpus)),
                "usd_per_gpu_h": np.stack([usd[g] for g in gpus], axis=1).ravel(),
                "occupancy": np.stack([occupancy[g] for g in gpus], axis=1).ravel(),
            }
        )

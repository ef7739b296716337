"""Output of each use of power by interval: the table `uses`.

A use is mining with a model in a firmware mode, GPU nodes reserved or sold by the hour, or tokens
of a model. Power sold back to the grid or curtailed is in the sites' columns `exported_mw`,
`resold_mw` and `curtailed_mw`.
"""

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.kernels import flows
from sim.kernels.arrays import BY_THE_HOUR, BY_THE_TOKEN, NODE_WAYS, RESERVED
from sim.scenario import catalogue
from sim.scenario.scenario import Scenario
from sim.serving_fleet.work import BUSY_S, POWERED_S, REQUEST_S, SEAT_S, WORKED
from sim.types import Floats, Ints
from sim.units import J_PER_MWH, SECONDS_PER_DAY, SECONDS_PER_HOUR, TH_PER_PH

MINING, RENTED, TOKENS = "mining", "GPU hours", "tokens"
WAYS: Final = {RESERVED: "reserved", BY_THE_HOUR: "by the hour"}

# Rows of `UseRecord.flow`.
MACHINE_J, COOLING_J, HASHES_TH, THERE_S, ON_S, GPU_S, LET_S, UNSOLD_S = range(8)
USD, CREDIT_USD, OPEX_USD = range(8, 11)
WORK = 11  # four rows in the order of `sim.serving_fleet.work`
ROWS: Final = WORK + WORKED
# Column of the table: row and divisor.
COLUMNS: Final = {
    "machine_mwh": (MACHINE_J, J_PER_MWH),
    "cooling_mwh": (COOLING_J, J_PER_MWH),
    "ph_days": (HASHES_TH, TH_PER_PH * SECONDS_PER_DAY),
    "machine_h": (THERE_S, SECONDS_PER_HOUR),
    "on_h": (ON_S, SECONDS_PER_HOUR),
    "gpu_h": (GPU_S, SECONDS_PER_HOUR),  # on
    "let_gpu_h": (LET_S, SECONDS_PER_HOUR),  # hours on and let; zero for tokens
    "unsold_gpu_h": (UNSOLD_S, SECONDS_PER_HOUR),  # deployed, on or off, and not let
    "revenue_usd": (USD, 1.0),
    "credit_usd": (CREDIT_USD, 1.0),
    "opex_usd": (OPEX_USD, 1.0),
    "powered_gpu_h": (WORK + POWERED_S, SECONDS_PER_HOUR),  # tokens only, as the next three
    "busy_gpu_h": (WORK + BUSY_S, SECONDS_PER_HOUR),  # of these, running iterations
    "seat_h": (WORK + SEAT_S, SECONDS_PER_HOUR),  # concurrent request slots
    "request_h": (WORK + REQUEST_S, SECONDS_PER_HOUR),  # at engines, by counts at interval ends
}


class Use(NamedTuple):
    """A use of power at a site."""

    site: int
    kind: str  # MINING, RENTED or TOKENS
    name: str  # machine or language model
    how: str  # firmware mode or way of selling; "" for tokens

    @property
    def title(self) -> str:
        """Display name, the same at all sites."""
        return " ".join(part for part in (self.kind, self.name, self.how) if part)


class UseRecord:
    """Filled by the engine at the end of each recording interval. Shapes: `interval`, `use`."""

    def __init__(self, scenario: Scenario, lanes: list[tuple[int, str]], intervals: int) -> None:
        """`lanes` holds site and model of each request lane."""
        names = [s.name for s in scenario.sites]
        asics = catalogue.asics(scenario.asic_models)
        self.uses: list[Use] = []
        modes = [list(asics[g.model].modes_of(g.firmware)) for g in scenario.asics]
        most = max([len(m) for m in modes], default=1)
        self.of_mode: Ints = np.zeros((len(modes), most), dtype=np.int64)
        for g, (row, known) in enumerate(zip(scenario.asics, modes, strict=True)):
            for m in range(most):  # padded modes have neither power nor hashes
                how = known[min(m, len(known) - 1)]
                self.of_mode[g, m] = self._of(Use(names.index(row.site), MINING, row.model, how))
        self.of_way: Ints = np.zeros((len(scenario.gpus), NODE_WAYS), dtype=np.int64)
        for n, node in enumerate(scenario.gpus):
            site = names.index(node.site)
            for way, how in WAYS.items():
                self.of_way[n, way] = self._of(Use(site, RENTED, node.gpu, how))
            self.of_way[n, BY_THE_TOKEN] = self._of(Use(site, TOKENS, node.model, ""))
        self.of_lane: Ints = np.array(
            [self._of(Use(site, TOKENS, model, "")) for site, model in lanes], dtype=np.int64
        )
        # Machine-seconds deployed by group over the run, for the capital charge.
        self.mode_there_s: Floats = np.zeros(self.of_mode.shape)
        self.way_there_s: Floats = np.zeros(self.of_way.shape)
        self.gpus: Floats = np.array([float(g.gpus_per_node) for g in scenario.gpus])
        self.sites = names
        self.record_s = scenario.horizon.record_s
        self.flow: Floats = np.zeros((intervals, ROWS, len(self.uses)))

    def _of(self, use: Use) -> int:
        if use not in self.uses:
            self.uses.append(use)
        return self.uses.index(use)

    def interval(
        self, number: int, used: tuple[Floats, Floats, Floats], worked: Floats | None = None
    ) -> None:
        """Record the output of the plant's uses since the last call.

        `worked` (WORKED, node) is the work of serving nodes.
        """
        asic, node, lane = used
        flow = self.flow[number]
        for row, of_asic in (
            (MACHINE_J, flows.USED_J),
            (COOLING_J, flows.USED_COOLING_J),
            (HASHES_TH, flows.USED_TH),
            (THERE_S, flows.USED_THERE_S),
        ):
            flow[row] += self._sums(self.of_mode, asic[of_asic])
        for row, of_node in (
            (MACHINE_J, flows.NODE_USED_J),
            (COOLING_J, flows.NODE_USED_COOLING_J),
            (ON_S, flows.NODE_USED_ON_S),
            (USD, flows.NODE_USED_USD),
            (CREDIT_USD, flows.NODE_USED_CREDIT_USD),
            (THERE_S, flows.NODE_USED_ON_S),
            (THERE_S, flows.NODE_USED_MISSED_S),
            (OPEX_USD, flows.NODE_USED_OPEX_USD),
        ):
            flow[row] += self._sums(self.of_way, node[of_node])
        for row, of_node in (
            (GPU_S, flows.NODE_USED_ON_S),
            (LET_S, flows.NODE_USED_LET_S),
            (UNSOLD_S, flows.NODE_USED_UNSOLD_S),
        ):
            flow[row] += self._sums(self.of_way, node[of_node] * self.gpus[:, None])
        if worked is not None:
            for row in range(WORKED):
                flow[WORK + row] += self._sums(self.of_way[:, BY_THE_TOKEN], worked[row])
        self.mode_there_s += asic[flows.USED_THERE_S]
        self.way_there_s += node[flows.NODE_USED_ON_S] + node[flows.NODE_USED_MISSED_S]
        flow[USD] += self._sums(self.of_lane, lane[0])
        flow[CREDIT_USD] += self._sums(self.of_lane, lane[1])

    def _sums(self, of: Ints, amount: Floats) -> Floats:
        sums = np.bincount(of.ravel(), amount.ravel(), len(self.uses))
        return np.asarray(sums, dtype=np.float64)

    @property
    def site(self) -> Ints:
        """Site index of each use (use,)."""
        return np.array([u.site for u in self.uses], dtype=np.int64)

    def table(self) -> pa.Table:
        """`uses.parquet`: a row per interval and use present; `t_s` is the interval's start."""
        interval, use = np.nonzero(self.flow.any(axis=1))
        columns: dict[str, object] = {
            "t_s": interval.astype(np.int64) * self.record_s,
            "site": _texts([self.sites[u.site] for u in self.uses], use),
            "use": _texts([u.title for u in self.uses], use),
            "kind": _texts([u.kind for u in self.uses], use),
        }
        for name, (row, divisor) in COLUMNS.items():
            columns[name] = self.flow[interval, row, use] / divisor
        return pa.table(columns)


def _texts(texts: list[str], of: Ints) -> pa.DictionaryArray:
    """A dictionary-encoded text column with unique dictionary entries.

    Duplicate entries would make the bytes Parquet writes vary between runs.
    """
    once = list(dict.fromkeys(texts))
    index = np.array([once.index(text) for text in texts], dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(index[of]), pa.array(once, pa.string()))

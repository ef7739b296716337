"""Records a run: sums per recording interval and site, the fleet's state, events."""

from typing import Final

import numpy as np
import pyarrow as pa

from sim.finance.meters import Meters
from sim.kernels import flows
from sim.results.lettings import LetRecord
from sim.results.serving import ServingRecord
from sim.results.uses import UseRecord
from sim.scenario.scenario import Scenario
from sim.types import Floats, Ints
from sim.units import W_PER_MW

RESTARTED: Final = ", at a restart"  # detail of a failure event


class Recorder:
    """Filled by the engine. Shapes: `interval` recording intervals, `site`."""

    def __init__(self, scenario: Scenario, serving: ServingRecord | None = None) -> None:
        self.serving = serving
        horizon = scenario.horizon
        self.record_s = horizon.record_s
        self.sites = [s.name for s in scenario.sites]
        self.horizon_s = horizon.seconds
        intervals = horizon.seconds // horizon.record_s
        self.flow = np.zeros((intervals, flows.SITE_FLOWS, len(self.sites)))
        lanes = serving.serving_fleet.lanes if serving is not None else []
        places = [(x.site, x.model) for x in lanes]
        self.uses = UseRecord(scenario, places, intervals)
        self.lets = LetRecord(scenario)
        self.meters = Meters(scenario, places)
        self.machines = {
            "asic": [(g.site, g.model, g.count) for g in scenario.asics],
            "gpu": [(g.site, g.gpu, g.nodes) for g in scenario.gpus],
        }
        self._there: dict[str, list[tuple[int, int]]] = {"asic": [], "gpu": []}  # t_s, change
        self._failed: dict[str, list[tuple[int, int]]] = {"asic": [], "gpu": []}
        self._done = 0
        self.step_s = horizon.step_s
        self.binding = np.full((horizon.steps, len(self.sites)), -1, dtype=np.int16)
        self.limit_names: tuple[str, ...] = ()
        self._fleet: dict[str, list[float]] = {}
        self._events: list[tuple[int, str, str, str, str]] = []
        self._machine_events: list[tuple[int, str, str, int, int, str]] = []

    def bound(self, step: int, binding: Ints) -> None:
        """Record the binding limit (site,) of a step; -1 none, -2 a call, -3 a ramp."""
        self.binding[step] = binding

    def interval(self, end_s: int, flow: Floats, used: tuple[Floats, Floats, Floats]) -> None:
        """Record the flows (SITE_FLOWS, site) and uses since the last call."""
        self._done = end_s // self.record_s
        self.flow[self._done - 1] = flow
        self.meters.interval(end_s, flow, used)
        worked = self.serving.serving_fleet.worked() if self.serving is not None else None
        self.uses.interval(self._done - 1, used, worked)
        if self.serving is not None:
            self.serving.interval(end_s - self.record_s)

    def fleet(self, **values: float) -> None:
        """Record the fleet's state at the end of the last recorded interval."""
        for name, value in values.items():
            self._fleet.setdefault(name, []).append(value)

    def event(self, t_s: int, kind: str, site: str, subject: str, detail: str) -> None:
        """Record an event other than a machine failure or repair."""
        self._events.append((t_s, kind, site, subject, detail))

    def count_machines(self, t_s: int, kind: str, machines: int) -> None:
        """Add `machines` (negative: remove) to the number deployed from `t_s`."""
        self._there[kind].append((t_s, machines))

    def gone(self, t_s: int, kind: str) -> None:
        """Record that a machine in repair was destroyed or removed."""
        self._failed[kind].append((t_s, -1))

    def failed(self, t_s: int, kind: str, group: int, machine: int, when: str = "") -> None:
        """Record a failure while running, or `when` switched on (RESTARTED)."""
        self._failed[kind].append((t_s, 1))
        self._machine_events.append((t_s, "failure", kind, group, machine, when))

    def repaired(self, t_s: int, kind: str, group: int, machine: int) -> None:
        """Record a completed repair."""
        self._failed[kind].append((t_s, -1))
        self._machine_events.append((t_s, "repair", kind, group, machine, ""))

    def availability(self, kind: str) -> float:
        """Share of machine-time not in a failed state; NaN without machines."""
        there_s, failed_s = (
            sum(change * (self.horizon_s - t_s) for t_s, change in changes)
            for changes in (self._there[kind], self._failed[kind])
        )
        return 1.0 - failed_s / there_s if there_s else float("nan")

    def count(self, event: str, kind: str, when: str = "") -> int:
        """Number of failures or repairs of a kind of machine, optionally only those with `when`."""
        events = self._machine_events
        return sum(1 for e in events if e[1:3] == (event, kind) and when in ("", e[5]))

    def total_fleet(self, name: str) -> float:
        """Sum of a column of the fleet table."""
        return float(np.sum(self._fleet[name]))

    def mean_fleet(self, name: str) -> float:
        """Mean of a column of the fleet table over the recording intervals."""
        return float(np.mean(self._fleet[name]))

    def last_fleet(self, name: str) -> float:
        """Last value of a column of the fleet table."""
        return self._fleet[name][-1]

    def most_fleet(self, name: str) -> float:
        """Highest value of a column of the fleet table."""
        return max(self._fleet[name])

    def least_fleet(self, name: str) -> float:
        """Lowest value of a column of the fleet table."""
        return min(self._fleet[name])

    def fleet_at(self, name: str, t_s: int) -> float:
        """Value of a fleet-table column at an instant; at least the first interval's."""
        return self._fleet[name][max(t_s // self.record_s - 1, 0)]

    def sites_table(self) -> pa.Table:
        """`sites.parquet`: a row per interval and site; `t_s` is the start of the interval."""
        intervals, _, sites = self.flow.shape
        start_s = np.arange(intervals, dtype=np.int64) * self.record_s
        index = np.tile(np.arange(sites, dtype=np.int32), intervals)
        columns: dict[str, object] = {
            "t_s": np.repeat(start_s, sites),
            "site": pa.DictionaryArray.from_arrays(index, pa.array(self.sites)),
        }
        for row, flow in enumerate(flows.SITE):
            values = self.flow[:, row, :]
            if flow.kind == flows.MEAN:
                means = (values / (self.record_s * flow.per)).ravel()
                columns[flow.column] = pa.array(means, from_pandas=True)  # no price: null
            else:
                columns[flow.column] = values.ravel()
        if self.serving is not None:
            columns |= self.serving.site_columns()
        return pa.table(columns)

    def serving_tables(self) -> dict[str, pa.Table]:
        """`serving`, `tenants` and `requests`; empty if no node serves tokens."""
        return self.serving.tables(self.flow) if self.serving is not None else {}

    def limits_table(self) -> pa.Table:
        """`limits.parquet`: a row per site and control step with a binding limit."""
        step, site = np.nonzero(self.binding != -1)
        names = [*self.limit_names, "call", "ramp"]
        which = self.binding[step, site].astype(np.int32)
        which = np.where(which < -1, len(self.limit_names) - 2 - which, which).astype(np.int32)
        return pa.table(
            {
                "t_s": step.astype(np.int64) * self.step_s,
                "site": pa.DictionaryArray.from_arrays(site.astype(np.int32), pa.array(self.sites)),
                "limit": pa.DictionaryArray.from_arrays(which, pa.array(names)),
            }
        )

    def fleet_table(self) -> pa.Table:
        """`fleet.parquet`: a row per interval; states are those at its end, powers are means."""
        total = self.flow.sum(axis=2)
        per = self.record_s * W_PER_MW
        columns: dict[str, object] = {
            "t_s": np.arange(len(total), dtype=np.int64) * self.record_s,
            **{name: np.array(values) for name, values in self._fleet.items()},
            "asics": self._mean(self._there["asic"]),
            "asics_failed": self._mean(self._failed["asic"]),
            "gpu_nodes": self._mean(self._there["gpu"]),
            "gpu_nodes_failed": self._mean(self._failed["gpu"]),
            "deployed_ehs": total[:, flows.FATES + flows.DEPLOYED] / (self.record_s * 1e6),
            "operating_ehs": total[:, flows.FATES + flows.HASHED] / (self.record_s * 1e6),
            "meter_mw": total[:, flows.METER_J] / per,
            "asic_mw": total[:, flows.SITE_ASIC_J] / per,
            "gpu_mw": total[:, flows.SITE_GPU_J] / per,
            "curtailed_mw": total[:, flows.IDLED_J] / per,
            "btc": total[:, flows.BTC],
        }
        return pa.table(columns)

    def _mean(self, changes: list[tuple[int, int]]) -> Floats:
        """Mean count per interval (interval,) from changes (t_s, +/- n)."""
        t_s, change = np.array(changes, dtype=np.int64).reshape(-1, 2).T
        edges_s = np.arange(len(self.flow) + 1) * self.record_s
        since = np.searchsorted(t_s, edges_s, side="right")
        there = np.concatenate([[0], np.cumsum(change)])[since]
        machine_s = there * edges_s - np.concatenate([[0], np.cumsum(change * t_s)])[since]
        return np.asarray(np.diff(machine_s) / self.record_s, dtype=np.float64)

    def events_table(self) -> pa.Table:
        """`events.parquet`, in order of time."""
        rows = list(self._events)
        for t_s, event, kind, group, machine, when in self._machine_events:
            site, model, _ = self.machines[kind][group]
            rows.append((t_s, event, site, model, f"{kind} group {group}, machine {machine}{when}"))
        rows.sort(key=lambda row: row[0])
        names = ("t_s", "event", "site", "subject", "detail")
        types = (pa.int64(), *(pa.string(),) * 4)
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})

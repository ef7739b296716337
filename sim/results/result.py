"""The result of a run, and the folder it is written to, all or nothing."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sim.finance import solvency
from sim.finance.demand import demand_tables
from sim.finance.firm import Firm
from sim.finance.ledger import Ledger
from sim.finance.levels import Books, Levels
from sim.finance.statements import statements
from sim.results import capital, serving_use
from sim.results.disk import write_json
from sim.results.folder import Folder, claim
from sim.results.provenance import asked_sha256, provenance, sha256_of
from sim.results.recorder import Recorder
from sim.results.warnings import warnings_of_run, warnings_table
from sim.results.worth import Worth, worth_of
from sim.results.worth_table import tables as worth_tables
from sim.scenario.problems import Problem
from sim.scenario.scenario import Scenario

TOKENS_PER_MTOK: Final = 1e6
Draw = Callable[["RunResult", Path], None]


@dataclass(frozen=True)
class RunResult:
    """What `sim.run` returns."""

    scenario: Scenario
    policy: str
    parameters: dict[str, Any]
    seed: int
    kpis: dict[str, float | None]
    recorder: Recorder = field(repr=False)
    firm: Firm = field(repr=False)
    timing: dict[str, float] = field(default_factory=dict)
    keep_requests: bool = False  # the table requests has a row for each
    policy_class: type | None = field(default=None, repr=False)

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """sites, fleet, limits, uses, ledger, statements, valuation, worth, events, warnings.

        With GPU nodes also lettings, with paths of their prices gpu_market; with serving nodes
        serving, serving_use, tenants, requests; after an insolvency creditors; with demand charges
        demand.
        """
        horizon, firm = self.scenario.horizon, self.firm
        ruin = {"creditors": solvency.table(firm.claims)} if firm.claims else {}
        tables = {
            "sites": self.recorder.sites_table(),
            "fleet": self.recorder.fleet_table(),
            "limits": self.recorder.limits_table(),
            "uses": self.recorder.uses.table(),
            "ledger": firm.ledger.table(),
            "statements": statements(firm.ledger, horizon.start_utc, horizon.seconds),
            "valuation": self._valuation(),
            "events": self.recorder.events_table(),
            "warnings": warnings_table(self.warnings),
            **self.worth,
            **demand_tables(firm.bills.demand.table),
            **ruin,
            **self.recorder.lets.tables(),
            **self.recorder.serving_tables(),
            **self._serving_use(),
        }
        return {name: with_utc(table, horizon.start_utc) for name, table in tables.items()}

    @cached_property
    def met(self) -> tuple[Problem, ...]:
        """Warnings that only the run could find."""
        return warnings_of_run(self.scenario, self.recorder, self.kpis)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What looks like a mistake: in the scenario, then in what came of it."""
        return (*self.scenario.warnings, *self.met)

    @cached_property
    def worth(self) -> dict[str, pa.Table]:
        """worth, worth_sites, capital: what uses of power earn, and what their machines cost."""
        worth, charged = self._earned
        return {
            **worth_tables(self.scenario, worth, charged),
            "capital": capital.table(charged),
        }

    @cached_property
    def _earned(self) -> tuple[Worth, list[capital.Charge]]:
        charged = capital.charges(self.scenario, self.firm, self.recorder.uses)
        return worth_of(self.scenario, self.recorder, self.firm, charged), charged

    def _serving_use(self) -> dict[str, pa.Table]:
        if self.recorder.serving is None:
            return {}
        return {"serving_use": serving_use.table(self.recorder, self._earned[0])}

    def _valuation(self) -> pa.Table:
        from sim.finance.valuation import valuation  # scipy takes half a second to load

        recorder = self.recorder
        tokens = np.zeros(len(recorder.sites))
        if recorder.serving is not None:
            by_hour = recorder.serving.site_columns()["tokens_out"]
            tokens += by_hour.reshape(-1, len(tokens)).sum(axis=0) / TOKENS_PER_MTOK
        return valuation(self.scenario, self.levels, recorder.flow.sum(axis=0), tokens)

    @cached_property
    def levels(self) -> Levels:
        """Cash flows of sites, projects and the firm, with what is left at the end, and tax."""
        firm = self.firm
        books = Books(firm.ledger, firm.assets, firm.tax, firm.projects.histories)
        return Levels(self.scenario, books, self.recorder.meters)

    @property
    def ledger(self) -> Ledger:
        """All postings of the run."""
        return self.firm.ledger

    def table(self, name: str) -> pa.Table:
        """One table as Arrow. Raises KeyError with the names there are."""
        if name not in self.tables:
            raise KeyError(f"no table {name!r}; there are {', '.join(self.tables)}")
        return self.tables[name]

    @property
    def cell(self) -> str:
        """Hash of what was asked: scenario, policy with its parameters, seed, what is kept."""
        return cell_of(self.scenario, self.policy, self.parameters, self.seed, self.keep_requests)

    def manifest(self) -> dict[str, Any]:
        """What made this result."""
        made = provenance(self.policy_class)
        return {
            "key": sha256_of(asked=self.cell, **made),
            "scenario": self.scenario.name,
            "scenario_sha256": self.scenario.sha256(),
            "policy": self.policy,
            "policy_parameters": self.parameters,
            "seed": self.seed,
            **made,
            "resolved": self.scenario.resolved(),
        }

    def save(
        self, folder: str | Path, drawings: Sequence[Draw] = (), *, force: bool = False
    ) -> Path:
        """Write the result folder; it appears whole, or not at all.

        An older result of the same cell is replaced, with `force` that of another too. `drawings`
        are called with the result and the folder to draw into; one that fails is warned of.

        Raises:
            FileExistsError: if the folder holds another cell, or what is not ours.
            OSError: if it cannot be written.
        """
        with claim(folder, "run", self.cell, force=force) as claimed:
            self.write(claimed)
            for draw in drawings:
                problem = self.draw(claimed, draw)
                if problem:
                    warnings.warn(f"{draw.__name__}: {problem}", RuntimeWarning, stacklevel=2)
        return claimed.path

    def write(self, folder: Folder) -> None:
        """Write all tables into a folder that is ours. Raises OSError."""
        for name, table in self.tables.items():
            pq.write_table(table, folder.draft / f"{name}.parquet", compression="zstd")
        write_json(folder.draft / "kpis.json", self.kpis)
        write_json(folder.draft / "timing.json", self.timing)
        folder.commit(self.manifest())

    def draw(self, folder: Folder, draw: Draw) -> str:
        """Add a picture; why there is none, if it cannot be drawn."""
        return folder.draw(lambda draft: draw(self, draft))


def cell_of(
    scenario: Scenario, policy: str, parameters: dict[str, Any], seed: int, keep_requests: bool
) -> str:
    """The cell of a run before it has run. See `RunResult.cell`."""
    requests = "all" if keep_requests else "histogram"
    return asked_sha256(scenario.sha256(), policy, parameters, seed, requests=requests)


def with_utc(table: pa.Table, start_utc: datetime) -> pa.Table:
    """A table with `utc` beside its `t_s`: the same instant as a time stamp; others as they are."""
    if "t_s" not in table.column_names:
        return table
    after_ms = pc.multiply_checked(pc.cast(table["t_s"], pa.int64()), pa.scalar(1000, pa.int64()))
    start_ms = pa.scalar(round(start_utc.timestamp() * 1000), pa.int64())
    utc = pc.cast(pc.add_checked(after_ms, start_ms), pa.timestamp("ms", "UTC"))
    return table.add_column(table.column_names.index("t_s") + 1, "utc", utc)

"""The result of a run, and writing it to a folder atomically."""

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
    keep_requests: bool = False  # the table `requests` has a row per request
    policy_class: type | None = field(default=None, repr=False)

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """All tables of the run by name.

        Always sites, fleet, limits, uses, ledger, statements, valuation, worth, events, warnings;
        lettings with GPU nodes; gpu_market with GPU price paths; serving, serving_use, tenants and
        requests with serving nodes; creditors after an insolvency; demand with demand charges.
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
        """Warnings found by the run itself."""
        return warnings_of_run(self.scenario, self.recorder, self.kpis)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Likely mistakes: in the scenario, then in the results of the run."""
        return (*self.scenario.warnings, *self.met)

    @cached_property
    def worth(self) -> dict[str, pa.Table]:
        """Tables worth, worth_sites and capital: earnings and capital cost by use of power."""
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
        """Cash flows, terminal values and tax of sites, projects and the firm."""
        firm = self.firm
        books = Books(firm.ledger, firm.assets, firm.tax, firm.projects.histories)
        return Levels(self.scenario, books, self.recorder.meters)

    @property
    def ledger(self) -> Ledger:
        """All postings of the run."""
        return self.firm.ledger

    def table(self, name: str) -> pa.Table:
        """One table as Arrow. Raises KeyError, listing the names available."""
        if name not in self.tables:
            raise KeyError(f"no table {name!r}; there are {', '.join(self.tables)}")
        return self.tables[name]

    @property
    def cell(self) -> str:
        """Hash of the question: scenario, policy and parameters, seed, requests kept."""
        return cell_of(self.scenario, self.policy, self.parameters, self.seed, self.keep_requests)

    def manifest(self) -> dict[str, Any]:
        """Manifest of this result: its question and provenance."""
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
        """Write the result folder atomically.

        An older result of the same cell is replaced, with `force` one of another cell too.
        `drawings` are called with the result and the folder to draw into; failures are warnings.

        Raises:
            FileExistsError: if the folder holds another cell or foreign files.
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
        """Write all tables to a claimed folder. Raises OSError."""
        for name, table in self.tables.items():
            pq.write_table(table, folder.draft / f"{name}.parquet", compression="zstd")
        write_json(folder.draft / "kpis.json", self.kpis)
        write_json(folder.draft / "timing.json", self.timing)
        folder.commit(self.manifest())

    def draw(self, folder: Folder, draw: Draw) -> str:
        """Add a picture; return why it could not be drawn, or ""."""
        return folder.draw(lambda draft: draw(self, draft))


def cell_of(
    scenario: Scenario, policy: str, parameters: dict[str, Any], seed: int, keep_requests: bool
) -> str:
    """The cell of a run, known before it runs. See `RunResult.cell`."""
    requests = "all" if keep_requests else "histogram"
    return asked_sha256(scenario.sha256(), policy, parameters, seed, requests=requests)


def with_utc(table: pa.Table, start_utc: datetime) -> pa.Table:
    """Add a timestamp column `utc` after `t_s`; tables without `t_s` are unchanged."""
    if "t_s" not in table.column_names:
        return table
    after_ms = pc.multiply_checked(pc.cast(table["t_s"], pa.int64()), pa.scalar(1000, pa.int64()))
    start_ms = pa.scalar(round(start_utc.timestamp() * 1000), pa.int64())
    utc = pc.cast(pc.add_checked(after_ms, start_ms), pa.timestamp("ms", "UTC"))
    return table.add_column(table.column_names.index("t_s") + 1, "utc", utc)

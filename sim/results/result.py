"""The result of a run, and the folder it is written to, all or nothing."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sim.finance import solvency
from sim.finance.firm import Firm
from sim.finance.ledger import Ledger
from sim.finance.statements import statements
from sim.results.recorder import Recorder
from sim.scenario.scenario import Scenario

TOKENS_PER_MTOK: Final = 1e6
LIBRARIES: Final = ("hashwatt", "numpy", "numba", "scipy", "simpy", "pyarrow")


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

    @cached_property
    def tables(self) -> dict[str, pa.Table]:
        """sites, fleet, limits, ledger, statements, valuation, events.

        With serving nodes also serving, tenants, requests; after an insolvency creditors.
        """
        horizon, firm = self.scenario.horizon, self.firm
        ruin = {"creditors": solvency.table(firm.claims)} if firm.claims else {}
        return {
            "sites": self.recorder.sites_table(),
            "fleet": self.recorder.fleet_table(),
            "limits": self.recorder.limits_table(),
            "ledger": firm.ledger.table(),
            "statements": statements(firm.ledger, horizon.start_utc, horizon.seconds),
            "valuation": self._valuation(),
            "events": self.recorder.events_table(),
            **ruin,
            **self.recorder.serving_tables(),
        }

    def _valuation(self) -> pa.Table:
        from sim.finance.valuation import valuation  # scipy takes half a second to load

        recorder, firm = self.recorder, self.firm
        tokens = np.zeros(len(recorder.sites))
        if recorder.serving is not None:
            by_hour = recorder.serving.site_columns()["tokens_out"]
            tokens += by_hour.reshape(-1, len(tokens)).sum(axis=0) / TOKENS_PER_MTOK
        flow = recorder.flow.sum(axis=0)
        return valuation(self.scenario, firm.ledger, flow, firm.projects.plans, tokens)

    @property
    def ledger(self) -> Ledger:
        """All postings of the run."""
        return self.firm.ledger

    def table(self, name: str) -> pa.Table:
        """One table as Arrow. Raises KeyError with the names there are."""
        if name not in self.tables:
            raise KeyError(f"no table {name!r}; there are {', '.join(self.tables)}")
        return self.tables[name]

    def manifest(self) -> dict[str, Any]:
        """What made this result."""
        return {
            "status": "complete",
            "scenario": self.scenario.name,
            "scenario_sha256": self.scenario.sha256(),
            "policy": self.policy,
            "policy_parameters": self.parameters,
            "seed": self.seed,
            "versions": {name: version(name) for name in LIBRARIES},
            "resolved": self.scenario.resolved(),
        }

    def save(
        self, folder: str | Path, drawings: Sequence[Callable[["RunResult", Path], None]] = ()
    ) -> Path:
        """Write the result folder; it appears whole, or not at all. An older one is replaced.

        `drawings` are called with the result and the folder to draw into.
        """
        target = Path(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            draft.chmod(0o755)
            for name, table in self.tables.items():
                pq.write_table(table, draft / f"{name}.parquet", compression="zstd")
            for draw in drawings:
                draw(self, draft)
            _write(draft / "kpis.json", self.kpis)
            _write(draft / "timing.json", self.timing)
            _write(draft / "manifest.json", self.manifest())
            if target.exists():
                if not (target / "manifest.json").is_file():
                    raise FileExistsError(f"{target} exists and is not a result folder")
                shutil.rmtree(target)
            os.replace(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return target


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=False) + "\n", encoding="utf-8")

"""A cell: one run of a study, with a key that hashes everything that determines its bytes."""

import io
import json
import pickle
import time
import traceback
import zlib
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sim.policies import BUILTIN
from sim.policy import Policy, PolicyError, load_policy, policy_class
from sim.results.manifest import CELL, FORMAT
from sim.results.provenance import asked_sha256, differences, provenance, sha256_of
from sim.results.result import RunResult, with_utc
from sim.runner import run
from sim.scenario import Scenario, load
from sim.studies.experiment import Keep

SCENARIOS_HELD: Final = 4  # per worker; cells arrive ordered by scenario


@dataclass(frozen=True)
class Recipe:
    """A scenario folder and the changes to apply; `sha256` is that of the resolved scenario."""

    sha256: str
    path: str = field(compare=False)
    changes: dict[str, Any] = field(compare=False)
    allow_path: bool = field(default=False, compare=False)

    def load(self) -> Scenario:
        """The scenario. Raises ValueError if its files have changed since the study began."""
        scenario = load(self.path, self.changes, allow_path=self.allow_path)
        if scenario.sha256() != self.sha256:
            raise ValueError(f"{self.path}: files have changed since the study began")
        return scenario


@dataclass(frozen=True)
class Frozen:
    """A scenario as bytes, for workers without access to its files, or if it has no files."""

    sha256: str
    content: bytes = field(compare=False, repr=False)

    @classmethod
    def of(cls, scenario: Scenario, sha: str = "") -> "Frozen":
        """Freeze a scenario."""
        return cls(sha or scenario.sha256(), zlib.compress(pickle.dumps(scenario), 1))

    def load(self) -> Scenario:
        """The scenario."""
        scenario: Scenario = pickle.loads(zlib.decompress(self.content))
        return scenario


Source = Recipe | Frozen


@lru_cache(maxsize=SCENARIOS_HELD)
def scenario_of(source: Source) -> Scenario:
    """The scenario of a source, cached in each worker by the source's hash."""
    return source.load()


@dataclass(frozen=True)
class Cell:
    """A resolved scenario, a policy with its parameters, and a seed.

    A policy object is sent as `pickled`; `policy` then names its class.
    """

    source: Source
    policy: str
    parameters: dict[str, Any] = field(hash=False)
    seed: int
    pickled: bytes = field(default=b"", repr=False)
    expected: str = field(default="", compare=False)  # key computed where the study was planned

    @cached_property
    def asked(self) -> str:
        """SHA-256 of the scenario's hash, the policy with its parameters, and the seed."""
        more = {"object": sha256(self.pickled).hexdigest()} if self.pickled else {}
        return asked_sha256(self.source.sha256, self.policy, self.parameters, self.seed, **more)

    @cached_property
    def made(self) -> dict[str, Any]:
        """Library versions and source digests of this process."""
        return provenance(self.policy_class())

    @cached_property
    def key(self) -> str:
        """SHA-256 of `asked`, the versions of all computing libraries, and all sources."""
        return sha256_of(asked=self.asked, **self.made)

    def policy_class(self) -> type:
        """The class of the policy."""
        if self.pickled:
            return type(self.decider())
        return policy_class(self.policy, BUILTIN)

    def decider(self) -> Policy:
        """A fresh policy instance, so that no state leaks from one run to another."""
        if self.pickled:
            policy: Policy = pickle.loads(self.pickled)
            return policy
        return load_policy(self.policy, self.parameters, BUILTIN)

    def manifest(self, name: str) -> dict[str, Any]:
        """Provenance of this cell's result; the resolved scenario is in scenarios.parquet."""
        return {
            "kind": CELL,
            "format": FORMAT,
            "status": "complete",
            "cell": self.asked,
            "key": self.key,
            "scenario": name,
            "scenario_sha256": self.source.sha256,
            "policy": self.policy,
            "policy_parameters": self.parameters,
            "seed": self.seed,
            **self.made,
        }

    def outdated(self, manifest: dict[str, Any]) -> str:
        """How the code of a result of the same question differs; "" if the question differs."""
        return differences(manifest, self.made) if manifest.get("cell") == self.asked else ""


def pickled(policy: Policy) -> bytes:
    """A policy object as bytes.

    Raises:
        PolicyError: if it cannot be pickled.
    """
    try:
        return pickle.dumps(policy)
    except Exception as error:  # a user's object may raise anything
        name = type(policy).__qualname__
        raise PolicyError(f"policy {name}: cannot be pickled: {error}") from None


class Outcome(NamedTuple):
    """A worker's reply: the files of the cell's folder, or the reason why there are none."""

    files: dict[str, bytes]
    kpis: dict[str, float | None]
    error: str = ""
    trace: str = ""


def run_cell(cell: Cell, keep: Keep = "small") -> Outcome:
    """Run a cell. The caller writes the files, so workers need no shared disk."""
    began = time.perf_counter()
    try:
        if cell.expected and cell.key != cell.expected:
            raise ValueError("this process has other code or versions than the one that planned")
        scenario = scenario_of(cell.source)
        loaded = time.perf_counter()
        result = run(scenario, cell.decider(), cell.seed)
        ran = time.perf_counter()
        files = _tables(result, keep)
        files["kpis.json"] = _json(result.kpis)
        files["manifest.json"] = _json(cell.manifest(scenario.name))
    except Exception as error:  # a failed cell is a result and does not end the study
        return Outcome({}, {}, f"{type(error).__name__}: {error}", traceback.format_exc())
    ended = time.perf_counter()
    timing = {"load_s": loaded - began, "run_s": ran - loaded, "encode_s": ended - ran}
    files["timing.json"] = _json(timing)
    return Outcome(files, result.kpis)


def _tables(result: RunResult, keep: Keep) -> dict[str, bytes]:
    if keep == "kpis":
        return {}
    if keep == "small":
        recorder, start_utc = result.recorder, result.scenario.horizon.start_utc
        return {
            "fleet.parquet": encoded(with_utc(recorder.fleet_table(), start_utc)),
            "events.parquet": encoded(with_utc(recorder.events_table(), start_utc)),
            "worth.parquet": encoded(result.worth["worth"]),
            "statements.parquet": encoded(result.table("statements")),
        }
    return {f"{name}.parquet": encoded(table) for name, table in result.tables.items()}


def encoded(table: pa.Table) -> bytes:
    """A table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _json(content: object) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()

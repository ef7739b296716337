"""Events of a result."""

from typing import Any

from sim.results.result import RunResult


def events(result: RunResult, kind: str) -> list[dict[str, Any]]:
    return [e for e in result.table("events").to_pylist() if e["event"] == kind]

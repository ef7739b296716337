"""What a megawatt earns over many seeds: quantiles that a plain count finds again."""

from pathlib import Path

import numpy as np
import pytest

from sim.results import worth_spread
from sim.results.store import open_results
from sim.studies.checked import CheckedExperiment
from sim.studies.sweep import sweep


def test_quantiles_are_those_of_the_cells(question: CheckedExperiment, tmp_path: Path) -> None:
    """Two axes, two policies, three seeds: eight groups, each over its own three cells."""
    found = sweep(question, tmp_path / "out")
    results = open_results(found.folder)
    rows = results.table("worth_quantiles").to_pylist()
    worth = {}
    for row in results.table("worth").to_pylist():
        worth.setdefault((row["cell"], row["use"]), row)
    cells = results.cells.to_pylist()
    groups = {(c["prices"], c["limit"], c["policy"]) for c in cells}
    assert {(r["prices"], r["limit"], r["policy"]) for r in rows} == groups
    for row in rows:
        mine = [
            worth[c["key"], row["use"]]
            for c in cells
            if all(c[k] == row[k] for k in ("prices", "limit", "policy"))
            and (c["key"], row["use"]) in worth
        ]
        assert row["n"] == len(mine)
        for column in worth_spread.OF:
            values = [m[column] for m in mine if m[column] is not None]
            for q in worth_spread.QUANTILES:
                got = row[f"p{q}_{column}"]
                assert got == (pytest.approx(np.percentile(values, q)) if values else None)
        if row["first_share"] is not None:
            assert row["first_share"] == pytest.approx(np.mean([m["rank"] == 1 for m in mine]))
    said = list(worth_spread.lines(rows))
    assert said[1].startswith("  8 groups: see table worth_quantiles")
    one = [r for r in rows if r["prices"] == "usual" and r["limit"] == "ten"]
    text = list(worth_spread.lines(one))
    assert max(map(len, text)) <= 80
    assert text[-1] == "  P5 and P95 of 3 cells are interpolated between them"


def test_a_study_without_tables_has_none(tmp_path: Path) -> None:
    worth_spread.spread(tmp_path)
    assert worth_spread.read(tmp_path) == []
    assert list(worth_spread.lines([])) == []

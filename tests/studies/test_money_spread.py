"""Where firms part ways, by hand: two levels, three seeds, a firm with two lines of income."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from sim.results.store import open_results
from sim.studies import money_spread
from sim.studies.checked import CheckedExperiment
from sim.studies.sweep import sweep

# By level and seed: mining and power of two months each, and what was put in.
MADE = {
    ("hold", 1): (100.0, -40.0, 50.0),
    ("hold", 2): (90.0, -40.0, 50.0),
    ("hold", 3): (80.0, -40.0, 50.0),
    ("sell", 1): (107.0, -45.0, 60.0),
    ("sell", 2): (98.0, -45.0, 60.0),
    ("sell", 3): (89.0, -45.0, 60.0),
}


def study(folder: Path) -> Path:
    """Tables of a study in which equity is what was put in and two months of income."""
    cells, rows = [], []
    for (level, seed), (mined, power, put_in) in MADE.items():
        key = f"{level}-{seed}"
        cells.append({"key": key, "treasury": level, "policy": "p", "seed": seed, "status": "done"})
        for number, month in enumerate(("2026-01", "2026-02"), 1):
            equity = put_in + number * (mined + power)
            for statement, line, amount in (
                ("income", "mining", mined), ("income", "power", power),
                ("income", "gross margin", mined + power), ("income", "net income", mined + power),
                ("balance", "cash", equity - 30.0), ("balance", "bitcoin at cost", 20.0),
                ("balance", "bitcoin revaluation to market", 10.0),
                ("balance", "opening equity", put_in), ("balance", "total equity", equity),
                ("bitcoin", "closing", 3.0), ("bitcoin", "of which free", 1.0),
            ):  # fmt: skip
                rows.append({"cell": key, "month": month, "statement": statement, "line": line,
                             "commodity": "USD", "amount": amount})  # fmt: skip
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(cells), folder / "cells.parquet")
    pq.write_table(pa.Table.from_pylist(rows), folder / "statements.parquet")
    money_spread.spread(folder)
    return folder


def test_lines_add_up_to_the_difference_in_equity(tmp_path: Path) -> None:
    rows = money_spread.read(study(tmp_path), money_spread.DIFFERENCES)
    assert [row["line"] for row in rows] == ["mining", "power", "equity put in", "equity"]
    assert {row["treasury"] for row in rows} == {"sell"}
    mining, power, put_in, equity = rows
    gains = [14.0, 16.0, 18.0]  # two months of 7, 8 and 9
    assert mining["mean_usd"] == pytest.approx(16.0)
    half = stats.t.ppf(0.975, 2) * 2.0 / 3**0.5
    assert mining["low_usd"] == pytest.approx(16.0 - half)
    assert mining["high_usd"] == pytest.approx(16.0 + half)
    assert power["mean_usd"] == pytest.approx(-10.0)
    assert put_in["mean_usd"] == pytest.approx(10.0)
    assert equity["mean_usd"] == pytest.approx(sum(gains) / 3 - 10.0 + 10.0)
    assert equity["n"] == 3


def test_liquidity_is_cash_and_free_bitcoin_at_market(tmp_path: Path) -> None:
    rows = money_spread.read(study(tmp_path), money_spread.LIQUIDITY)
    first = rows[0]
    assert (first["treasury"], first["month"], first["n"]) == ("hold", "2026-01", 3)
    liquid = [50.0 + 60.0 - 30.0 + 10.0, 50.0 + 50.0 - 20.0, 50.0 + 40.0 - 20.0]  # one of three BTC
    assert first["p50_usd"] == pytest.approx(sorted(liquid)[1])
    assert first["worst_usd"] == pytest.approx(min(liquid))
    assert first["p5_usd"] == pytest.approx(min(liquid) + 0.1 * 10.0)


def test_text_says_what_the_tables_hold(tmp_path: Path) -> None:
    text = "\n".join(money_spread.lines(study(tmp_path)))
    assert "  sell: +0.0 [+0.0, +0.0]\n    mining +0.0, power -0.0, equity put in +0.0" in text
    assert "hold 2026-01" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_list_says_how_many_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study(tmp_path)
    monkeypatch.setattr(money_spread, "MOST_GROUPS", 2)
    assert not any("more: table liquidity" in line for line in money_spread.lines(folder))
    monkeypatch.setattr(money_spread, "MOST_GROUPS", 1)
    assert "  … and 1 more: table liquidity (hashwatt query)" in money_spread.lines(folder)


def test_studies_keep_both(question: CheckedExperiment, tmp_path: Path) -> None:
    found = sweep(question, tmp_path / "out")
    results = open_results(found.folder)
    equity = [r for r in results.table("equity_differences").to_pylist() if r["line"] == "equity"]
    cells = results.cells.to_pylist()
    statements = results.table("statements").to_pylist()
    last = {(s["cell"]): s["amount"] for s in statements if s["line"] == "total equity"}
    first = cells[0]
    base = {c["seed"]: c["key"] for c in cells
            if all(c[k] == first[k] for k in ("prices", "limit", "policy"))}  # fmt: skip
    for row in equity:
        mine = {c["seed"]: c["key"] for c in cells
                if all(c[k] == row[k] for k in ("prices", "limit", "policy"))}  # fmt: skip
        wanted = [float(last[mine[s]] - last[base[s]]) for s in base]
        assert row["mean_usd"] == pytest.approx(sum(wanted) / len(wanted), abs=0.01)
    assert len(equity) == 7
    assert money_spread.read(found.folder, money_spread.LIQUIDITY) == []  # no opening balance

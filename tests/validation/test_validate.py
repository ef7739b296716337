"""What `validate` makes of folders that are not ours, and that every bound of it can be broken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from sim.cli.app import app
from sim.cli.console import validation_table
from sim.scenario import Scenario
from sim.validation import chain, check, firms, grid, miners, thermal
from sim.validation.check import Check, LeftOut, guarded, validate

runner = CliRunner()
COLUMNS = "company,month,btc_produced,avg_operating_ehs,month_end_deployed_ehs,note,source"
BTC_PER_EH = 15.0  # a month that is easy to count


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month yields 15 BTC per EH/s, without a run."""

    def simulated(ehs: float, month: str, data: Path) -> float:
        return BTC_PER_EH * ehs

    monkeypatch.setattr(miners, "_simulated", simulated)


def reports(folder: Path, *rows: str, readme: str = "") -> Path:
    (folder / "miner_reports").mkdir(exist_ok=True)
    text = "\n".join([COLUMNS, *rows]) + "\n"
    (folder / "miner_reports/miner_monthly.csv").write_text(text, "utf-8")
    (folder / "miner_reports/README.md").write_text(readme, "utf-8")
    return folder


def one(folder: Path) -> Check:
    """The check of the only row that there is."""
    found = [c for c in miners.checks(folder) if isinstance(c, Check)]
    return next(c for c in found if "median" not in c.check)


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("note", "ratio", "ok"),
    [
        ("", 1.03, True),
        ("", 1.05, False),
        ("", 72.0, False),
        ("voluntary curtailment", 1.0, True),
        ("voluntary curtailment", 0.9, False),  # says nothing of a size
        ("winter storm; all is explained", 72.0, False),
        ("fleet grew 14 to 24 EH/s in the last days", 0.77, True),  # 10 of 10 EH/s, 7 of 30 days
        ("fleet grew 14 to 24 EH/s in the last days", 0.76, False),
        ("fleet grew 14 to 24 EH/s in the last days", 1.05, False),  # the other way
        ("fleet grew 14 to 14000 EH/s in the last days", 0.4, False),
        ("solo-like pool: block luck matters", 1.4, True),  # 150 BTC are 48 blocks: 43 %
        ("solo-like pool: block luck matters", 0.6, True),
        ("solo-like pool: block luck matters", 1.45, False),
        ("solo-like pool: block luck matters", 72.0, False),
        ("month-end operating hashrate", 0.6, True),
        ("month-end operating hashrate", 0.4, False),
        ("month-end operating hashrate", 1.1, False),
    ],
)
def test_a_note_explains_no_more_than_the_size_it_states(
    note: str, ratio: float, ok: bool, tmp_path: Path
) -> None:
    row = f'Mine,2025-06,{10 * BTC_PER_EH * ratio},10,,"{note}",page'
    assert one(reports(tmp_path, row)).ok is ok


@pytest.mark.usefixtures("counted")
def test_a_row_without_a_source_says_so(tmp_path: Path) -> None:
    row = f"Mine,2025-06,{10 * BTC_PER_EH},10,,,"
    assert one(reports(tmp_path, row)).source == "the row names no source"


@pytest.mark.usefixtures("counted")
def test_what_the_readme_says_of_a_row_counts_like_its_note(tmp_path: Path) -> None:
    row = f"Mine,2025-06,{10 * BTC_PER_EH * 0.85},10,,,page"
    grew = "* Outliers: Mine 2025-06 (deployed fleet grew 14 to 24 EH/s in the last days)."
    found = one(reports(tmp_path, row, readme=grew))
    assert found.ok
    assert "explained: 0.767 to 1.040" in found.tolerance, "the size that is covered is said"
    assert not one(reports(tmp_path, row, readme="* Mine 2025-06 is odd.")).ok


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(("ratio", "ok"), [(0.6, True), (1.0, True), (0.3, False), (1.1, False)])
def test_a_deployed_hashrate_bounds_from_both_sides(ratio: float, ok: bool, tmp_path: Path) -> None:
    row = f'Mine,2025-06,{10 * BTC_PER_EH * ratio},,10,"energised, and much else",page'
    assert one(reports(tmp_path, row)).ok is ok


@pytest.mark.usefixtures("counted")
@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("Mine,Sep-2025,150,10,,,p", "row 3, column month is 'Sep-2025'; write year and month as"),
        ('Mine,2025-09,"1,100",73,,,p', "column btc_produced is '1,100', which can be read as 1.1"),
        ("Mine,2025-09,many,73,,,p", "is 'many'; a number is needed"),
        ("Mine,2025-09,nan,73,,,p", "a finite number is needed"),
        ("Mine,2025-09,150,0,,,p", "column avg_operating_ehs is 0; must be above 0"),
        ("Mine,2025-09,-150,10,,,p", "column btc_produced is -150; must be above 0"),
        ("Mine,2025-09,150,10,,bought during the month,p", "an average over what part is not said"),
    ],
)
def test_a_row_that_cannot_be_used_costs_that_row_alone(row: str, why: str, tmp_path: Path) -> None:
    good = "Mine,2025-08,150,10,,,p"
    found = list(miners.checks(reports(tmp_path, good, row, good)))
    assert len([c for c in found if isinstance(c, Check) and c.ok]) == 3, "two rows and the median"
    (left_out,) = [c for c in found if isinstance(c, LeftOut)]
    assert why in left_out.why
    assert "Mine" in left_out.what


RETARGETS = [
    "height,first_block_time_unix,time_kind,bits,prev_epoch_span_s",
    "2016,1231006505,exact,0x1d00ffff,",
    "4032,1233063596,exact,0x1d00ffff,2055491",
    "6048,1235000000,estimated,0x1d00d86a,1022578",
]


def chain_of(folder: Path, rows: list[str]) -> list[Check | LeftOut]:
    (folder / "bitcoin_network").mkdir(exist_ok=True)
    (folder / chain.RETARGETS).write_text("\n".join(rows) + "\n", "utf-8")
    return list(chain._recorded_retargets(folder))


def test_retargets_are_held_row_by_row(tmp_path: Path) -> None:
    found = chain_of(tmp_path, RETARGETS)
    assert [c.ok for c in found if isinstance(c, Check)][:2] == [True, True]
    wrong = [*RETARGETS[:3], RETARGETS[3].replace("d86a", "d86b")]
    assert [c.ok for c in chain_of(tmp_path, wrong) if isinstance(c, Check)][:2] == [True, False]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: [rows[0], rows[1], rows[3]], "4032 blocks after the row before it"),
        (lambda rows: [r.replace("exact", "estimated") for r in rows], "time_kind exact"),
        (lambda rows: [r.replace("0x1d00d86a", "?") for r in rows], "write 0x1d00ffff"),
        (lambda rows: [r.replace("1022578", "long") for r in rows], "a number is needed"),
        (lambda rows: rows[:1], "time_kind exact"),
    ],
)
def test_retargets_that_do_not_serve_are_left_out(
    change: Callable[[list[str]], list[str]], why: str, tmp_path: Path
) -> None:
    found = chain_of(tmp_path, change(RETARGETS))
    assert any(why in c.why for c in found if isinstance(c, LeftOut))
    assert all(c.ok for c in found if isinstance(c, Check))


def test_a_missing_column_or_machine_is_said(tmp_path: Path) -> None:
    (tmp_path / "asic_specs").mkdir()
    modes = tmp_path / thermal.MODES
    modes.write_text("model,frequency_mhz,note\nAntminer S19,545,none\n", "utf-8")
    with pytest.raises(ValueError, match="no row of the Antminer S21"):
        list(thermal._s21(tmp_path))
    modes.write_text("model,mhz\nAntminer S21,545\n", "utf-8")
    with pytest.raises(ValueError, match="no column frequency_mhz, note"):
        list(thermal._s21(tmp_path))
    (tmp_path / "grid").mkdir()
    text = f"case,dc_objective_usd_per_h,{grid.RECOMPUTED}\nmine,100,100\n../mine,100,100\n"
    (tmp_path / grid.BASELINE).write_text(text, "utf-8")
    first, second = [c for c in grid.checks(tmp_path) if isinstance(c, LeftOut)]
    assert first.what == "DC optimal power flow, mine"
    assert "No such file" in first.why
    assert "must be a file name" in second.why


def test_a_folder_with_nothing_that_serves_leaves_all_out_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each topic says why; the figures that need no data are there."""
    (tmp_path / "weather").mkdir()
    monkeypatch.setattr("sim.validation.check.TOPICS", check.TOPICS[:-1])  # theory takes long
    made, left_out = validate(tmp_path)
    assert all(c.ok for c in made)
    assert {c.check for c in made} >= {"retarget rule", "wet bulb", "PUE of a year"}
    said = "\n".join(f"{what}: {why}" for what, why in left_out)
    for topic in ("retargets of the main chain", "hashprice", "shock", "miners", "Cango", "NFN8",
                  "grid", "S21", "typical years", "real vLLM", "Vidur"):  # fmt: skip
        assert topic in said
    assert said.count("No such file") >= 5


def test_messages_stand_beside_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.validation.check.TOPICS", ("miners", "grid"))
    (tmp_path / "grid").mkdir()
    done = runner.invoke(app, ["validate", "--data", str(tmp_path), "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == []
    assert done.stderr.count("left out: ") == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    done = runner.invoke(app, ["validate", "--data", str(empty)])
    assert done.exit_code == 2
    assert "holds none of the folders bitcoin_network" in done.stderr


def test_a_defect_of_the_program_is_not_left_out() -> None:
    def broken() -> list[Check]:
        raise TypeError("ours")

    with pytest.raises(TypeError):
        list(guarded("anything", broken))


def row(item: str, tolerance: str, ok: bool = True) -> Check:
    return Check("kind", item, 1.0, 1.5, "K", tolerance, ok, "page")


def test_a_header_speaks_for_all_rows_or_each_row_for_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    validation_table([row("a", "± 0.05 K; of it"), row("b", "± 0.05 K; else")])
    assert "kind: 2 of 2 hold; ± 0.05 K" in capsys.readouterr().out
    validation_table([row("a", "± 0.05 K"), row("b", "-1 to +0.65 K")])
    out = capsys.readouterr().out
    assert "kind: 2 of 2 hold; each within" in out
    assert "(± 0.05 K)" in out
    assert "(-1 to +0.65 K)" in out


class Run:
    """What the checks of a firm read of a run: bitcoin by the day, and sales on the ledger."""

    def __init__(self, scenario: Scenario, extra_btc: float) -> None:
        self.scenario = scenario
        self._extra_btc = extra_btc

    def table(self, name: str) -> pa.Table:
        """No sale beside the planned ones; what is mined is as published."""
        if name == "ledger":
            return pa.table({"t_s": [], "account": [], "commodity": [], "memo": [], "amount": []})
        mined = [496.35 / 31] * 31 + [(1266 - 496.35) / 59] * 59
        sold = [550.03 / 31] * 31 + [0.0] * 6 + [4451 / 2] * 2 + [0.0] * 20 + [2000 / 31] * 31
        held = 7528.3 + self._extra_btc + np.cumsum(mined) - np.cumsum(sold)
        days = {"t_s": np.arange(90) * 86_400, "btc": mined, "btc_held": held}
        return pa.table({**days, "operating_ehs": [37.0] * 90})


@pytest.mark.needs_data
@pytest.mark.parametrize("extra_btc", [0.0, 550.03, -550.03, 2000.0, 4451.0, 100.0])
def test_a_sale_that_is_lost_or_made_twice_is_seen(data: Path, extra_btc: float) -> None:
    """Beside the published 1,025.7 BTC hold 1,754.8 by the 768 that it says of, and no more."""
    run: Any = Run(firms.cango(data), extra_btc)
    found = list(firms._holdings(data, run))
    assert all(c.ok for c in found) is (extra_btc == 0.0)
    assert "767.6 BTC sold beside what was announced" in found[-1].tolerance


def test_every_module_with_checks_is_a_topic() -> None:
    folder = Path(check.__file__).parent
    sources = {p.stem: p.read_text(encoding="utf-8") for p in folder.glob("*.py")}
    with_checks = {name for name, text in sources.items() if "\ndef checks(" in text}
    assert with_checks == set(check.TOPICS)
    assert len(set(check.TOPICS)) == len(check.TOPICS)
    assert all("\nNEEDS_DATA" in sources[name] for name in check.TOPICS)

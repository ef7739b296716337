"""A scenario is data and may come from anybody: reading it runs nothing and reads nothing else."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.scenario import ScenarioError
from tests.conftest import ROOT

TINY = ROOT / "configs" / "tiny"
SECRET = "root:x:0:0:secret"
runner = CliRunner()


def child(folder: Path, text: str) -> Path:
    """A scenario on the shipped one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scenario.toml").write_text(f'base = "{TINY.as_posix()}"\n{text}', encoding="utf-8")
    return folder


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that shows, by a file, that somebody has imported it."""
    (tmp_path / "trap_module.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('sprung').touch()\n"
        "from sim.policies.static import Static\n"
        "class Fine(Static):\n"
        "    def __init__(self, share=1.0): pass\n"
        "def made(**kw): return Fine()\n"
        "class Idle: pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trap_module", raising=False)
    return "trap_module"


def test_check_never_runs_code_that_a_file_names(tmp_path: Path, trap: str) -> None:
    scenario = child(tmp_path / "mine", f'[policy]\nname = "{trap}:Fine"\nparameters = {{}}\n')
    experiment = tmp_path / "asked.toml"
    experiment.write_text(f'scenario = "mine"\npolicies = ["static", "{trap}:Fine"]\n')
    for what in (scenario, experiment):
        refused = runner.invoke(app, ["check", str(what)])
        assert refused.exit_code == 2, refused.output
        assert "names code" in refused.stderr
        assert "--allow-code" in refused.stderr
        allowed = runner.invoke(app, ["check", str(what), "--allow-code"])
        assert allowed.exit_code == 0
        assert f"{trap}:Fine: names code, which check never runs" in allowed.stderr
        document = runner.invoke(app, ["check", str(what), "--allow-code", "--json"]).stdout
        assert json.loads(document)["warnings"][-1]["value"] == f"{trap}:Fine"
    assert runner.invoke(app, ["sweep", str(experiment)]).exit_code == 2
    assert runner.invoke(app, ["run", str(scenario), "--out", str(tmp_path / "o")]).exit_code == 2
    with pytest.raises(sim.PolicyError, match="allow_code=True"):
        sim.run(sim.load(scenario))
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "o").exists()


def test_code_runs_where_the_user_says_so_and_only_a_class_that_decides(
    tmp_path: Path, trap: str
) -> None:
    scenario = child(
        tmp_path / "mine",
        f'[horizon]\ndays = 1\n[policy]\nname = "{trap}:Fine"\nparameters = {{ share = 0.5 }}\n',
    )
    out = ["--out", str(tmp_path / "o"), "--json"]
    done = runner.invoke(app, ["run", str(scenario), "--allow-code", *out])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "sprung").exists()
    for policy, told in (
        ("os:system", "system is no class"),
        (f"{trap}:made", "made is no class"),
        (f"{trap}:Idle", "Idle has no method decide"),
    ):
        with pytest.raises(sim.PolicyError, match=told):
            sim.run(sim.load(TINY), policy)
    wrong = sim.load(scenario, {"policy.parameters": {"shore": 1}})
    with pytest.raises(sim.PolicyError, match="no parameter 'shore'; did you mean 'share'"):
        sim.run(wrong, allow_code=True)


def link(folder: Path, target: Path) -> str:
    (folder / "link.csv").symlink_to(target)
    return "link.csv"


WAYS: dict[str, Callable[[Path, Path], str]] = {
    "up": lambda folder, secret: "../" * len(folder.parts) + secret.as_posix().lstrip("/"),
    "absolute": lambda folder, secret: secret.as_posix(),
    "link": link,
    "share": lambda folder, secret: "//server/share/passwd",
    "unc": lambda folder, secret: r"\\\\server\\share\\passwd",
    "data": lambda folder, secret: "{data_dir}/../passwd",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "place",
    [
        '[series.s]\nfile = "{}"\n',
        '[demand.traces.t]\nfile = "{}"\n',
        '[grid]\ncase = "{}"\n',
    ],
)
def test_files_elsewhere_are_refused_and_never_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, place: str
) -> None:
    secret = tmp_path / "passwd"
    secret.write_text(f"{SECRET}\n{SECRET}\n")
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("HASHWATT_DATA", str(tmp_path / "data"))
    folder = tmp_path / "deep" / "mine"
    folder.mkdir(parents=True)
    child(folder, place.replace("{}", WAYS[way](folder, secret)))
    with pytest.raises(ScenarioError, match="--allow-path") as refused:
        sim.load(folder)
    assert "secret" not in str(refused.value)
    told = runner.invoke(app, ["check", str(folder)])
    assert told.exit_code == 2
    assert "secret" not in told.output + told.stderr


def test_a_file_does_not_move_the_data_folder_nor_a_sheet_leave_its_own(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text(f"{SECRET}\n")
    moved = child(
        tmp_path / "a" / "moved",
        f'data_dir = "{tmp_path.as_posix()}"\n[series.s]\nfile = "{{data_dir}}/passwd"\n',
    )
    with pytest.raises(ScenarioError, match="data_dir") as refused:
        sim.load(moved)
    assert "secret" not in str(refused.value)
    experiment = tmp_path / "a" / "asked.toml"
    experiment.write_text(
        f'scenario = "{TINY.as_posix()}"\n[changes]\ndata_dir = "{tmp_path.as_posix()}"\n'
    )
    assert "where the data lie" in runner.invoke(app, ["check", str(experiment)]).stderr
    linked = child(tmp_path / "a" / "linked", "")
    (linked / "tenants.csv").symlink_to(tmp_path / "passwd")
    with pytest.raises(ScenarioError, match=r"tenants.csv: lies outside") as refused:
        sim.load(linked)
    assert "secret" not in str(refused.value)


def test_a_base_lies_near_or_is_shipped(tmp_path: Path) -> None:
    far, near = child(tmp_path / "far" / "base", ""), child(tmp_path / "near" / "a" / "base", "")
    mine = tmp_path / "near" / "a" / "mine"
    mine.mkdir()
    for base, fine in (("../base", True), (far.as_posix(), False), ("../../../far/base", False)):
        (mine / "scenario.toml").write_text(f'base = "{base}"\n')
        if fine:
            assert len(sim.load(mine).sites) == 2
            continue
        with pytest.raises(ScenarioError, match=r"base = .*--allow-path"):
            sim.load(mine)
        assert len(sim.load(mine, allow_path=True).sites) == 2
    assert near.is_dir()


def test_a_file_elsewhere_is_read_with_the_users_word(tmp_path: Path) -> None:
    hours = "\n".join(f"2026-01-01T{h:02d}:00:00Z,40" for h in range(24))
    (tmp_path / "s.csv").write_text(f"time_utc,usd\n{hours}\n")
    mine = child(tmp_path / "a" / "mine", '[series.s]\nfile = "../../s.csv"\n')
    told = runner.invoke(app, ["check", str(mine)])
    assert "series.s.file" in told.stderr
    assert runner.invoke(app, ["check", str(mine), "--allow-path"]).exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "a\\b", "/x", "C:x", "x" * 400, "ü" * 100, "a\x1b[31m", "a\nb", "nul", "COM1.x",
     "COM\u00b9",     ".", "..", "a.", " a", "<b>", 'a"b', "a?"],
)  # fmt: skip
def test_a_name_that_no_folder_can_have_is_refused(name: str) -> None:
    with pytest.raises(ScenarioError, match="name = ") as refused:
        sim.load(TINY, {"name": name})
    assert "\x1b" not in str(refused.value)


def test_names_stay_text_in_terminals_tables_and_pictures(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from matplotlib.figure import Figure

    from sim.cli.console import echo, say, say_table
    from sim.report.canvas import save

    evil = "\x1b[31mred\x1b[0m [bold]b[/bold] <b>x</b> \x07\u202e $a_{1$"
    seen = r"\x1b[31mred\x1b[0m [bold]b[/bold] <b>x</b> \x07\u202e $a_{1$"
    echo(evil)
    say(evil)
    say_table("", [{evil: evil, "[red]n[/red]": 1}])
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == seen
    assert err == f"{seen}\n"
    assert "\x1b" not in out
    assert "[red]n[/red]" in out
    figure = Figure()
    axes = figure.add_subplot(title=evil)
    axes.set_yscale("log")
    axes.plot([1, 2], [1, 1000], label=evil)
    axes.set_xticks([1, 2], [evil, "$"])
    axes.legend()
    save(figure, tmp_path / "x.png", 50)
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    assert axes.get_title() == seen

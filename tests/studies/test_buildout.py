"""Build-outs: the search finds what is plain to see, keeps to its limits, and is judged apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.runner import run
from sim.scenario import ScenarioError
from sim.scenario.gpu_market import GpuMarket
from sim.studies.buildout.question import BuildoutQuestion, BuildoutRequest, asked, read_buildout
from sim.studies.buildout.result import Buildout, buildout, document, lines, sentences
from sim.studies.buildout.search import Trials, halving, neighbours, survey
from sim.studies.buildout.yard import Plan, Yard, usual_usd_per_gpu_h
from tests.conftest import ROOT, Build

runner = CliRunner()
CONTAINER = {
    "gpu": "h100-sxm",
    "nodes": 4,
    "usd_per_gpu_h": 2.0,
    "capex_usd": 10_000,  # so that a week can earn it
    "lead_days": 0,
    "commissioning_days": 0,
}
PRICES = {"model": "fixed", "usd_per_mwh": 40}


def question(**changes: Any) -> BuildoutQuestion:
    """Three containers at most, a short search; `container` is laid over CONTAINER."""
    container = {**CONTAINER, **changes.pop("container", {})}
    search = {"seeds": 2, "first_seeds": 1, "swaps": 3, **changes.pop("search", {})}
    base = {"scenario": "built", "budget_usd": 30_000, "held_out_seeds": 3, **changes}
    return BuildoutQuestion.model_validate({**base, "container": container, "search": search})


@pytest.fixture(scope="module")
def ask(build: Build) -> Any:
    """A question about three empty sites: power at 30, 200 and 100 USD/MWh."""

    def made(feeder_mw: float | None = None, asics: Any = (), **changes: Any) -> BuildoutRequest:
        sites = [
            {"name": name, "contract": "fixed", "energy_usd_per_mwh": usd}
            for name, usd in (("cheap", 30), ("dear", 200), ("middle", 100))
        ]
        scenario = build(
            {
                "horizon": {"days": 3, "step_s": 21_600, "record_s": 21_600},
                "prices": {"zones": {"zone": PRICES}},
                "faults": {"enabled": False},
                "treasury": {"opening_usd": 1e6},
            },
            sites=sites,
            asics=list(asics),
            gpus=[],
            feeder_mw=feeder_mw,
        )
        return asked(question(**changes), scenario)

    return made


@pytest.fixture(scope="module")
def found(ask: Any) -> Buildout:
    """The answer to the plain question."""
    return buildout(ask())


def test_the_search_finds_the_best_site(found: Buildout) -> None:
    assert found.plan == {"cheap": 3}
    assert found.winner == found.best_simple == "cheapest power"
    assert np.argsort(-found.survey.dual_usd_per_year).tolist() == [0, 2, 1]
    assert found.survey.price_usd_per_mwh == pytest.approx([30, 200, 100])
    gained = found.comparison.values["npv_gain_usd"]
    assert gained.shape == (len(found.plans), 3)
    evenly = list(found.plans).index("spread evenly")
    assert (gained[0] > gained[evenly]).all()
    assert (gained[evenly] > 0).all()
    assert any("nothing better than the simple plan" in s for s in sentences(found))


def test_how_much_of_a_gain_is_value_at_the_end_is_told(found: Buildout) -> None:
    """By hand: what machines are counted for, of that and of the cash of operations."""
    parts = found.parts[found.winner]
    assert abs(parts.other_end_usd) < 0.01
    assert parts.terminal_usd > parts.operating_usd > 0.0  # three days of machines of five years
    share = 100.0 * parts.terminal_usd / (parts.terminal_usd + parts.operating_usd)
    printed = "\n".join([*sentences(found), *lines(found)])
    heads = ["capex", "mean", "t", "bootstrap-t"]
    assert [line.split() for line in printed.splitlines()].count(heads) == 1
    assert f"brings in {share:.0f} % is what its machines are" in printed
    assert f"{parts.terminal_usd:,.0f}" in printed
    plans = {p["name"]: p for p in document(found)["plans"]}
    assert plans[found.winner]["at_end_pct"] == pytest.approx(share, abs=1e-4)
    gain = found.comparison.means[0].estimate.mean
    assert sum(plans[found.winner]["parts"].values()) - 2.0 * parts.tax_usd == pytest.approx(gain)


def test_held_out_seeds_are_others(ask: Any) -> None:
    found = buildout(ask(search={"seeds": 1, "first_seed": 6, "method": "greedy"}))
    assert found.asked.question.search.all_seeds == (6,)
    assert found.comparison.seeds == (7, 8, 9)
    assert not found.rounds, "greedy does not search"
    assert set(found.comparison.cells["seed"].to_pylist()) == {7, 8, 9}


def test_nothing_wins_where_containers_cannot_earn_their_cost(ask: Any) -> None:
    found = buildout(ask(container={"usd_per_gpu_h": 0.02}))
    assert found.winner == "nothing"
    assert found.plan == {}
    assert not found.comparison.values["npv_gain_usd"][0].any()
    assert "build nothing" in next(sentences(found))
    assert found.breakeven is not None, "of the best simple plan, which somebody might want"
    assert found.breakeven.plan == found.best_simple
    assert found.breakeven.usd_per_gpu_h > 0.02


def test_without_a_price_the_container_is_let_at_the_market(ask: Any) -> None:
    """A path that stays is the price; four fifths of it let is a price of four fifths."""
    path = {"model": "constant", "usd_per_gpu_h": 2.0, "occupancy": 0.8}
    container = {"usd_per_gpu_h": None, "state": "batch", "utilisation": 0.0}
    market = ask(container=container)
    tables = market.scenario.model_copy(
        update={"gpu_market": GpuMarket.model_validate({"gpus": {"h100-sxm": path}})}
    )
    market = market._replace(scenario=tables)
    assert usual_usd_per_gpu_h(market) == 2.0
    priced = ask(container={**container, "usd_per_gpu_h": 1.6})
    plan = (1, 0, 0)
    one, other = (Trials(Yard(a)).gains_usd([plan], [7]) for a in (market, priced))
    assert one == pytest.approx(other, rel=1e-6)


def test_the_breakeven_price_breaks_even(found: Buildout) -> None:
    """Hire less energy pays what the days in use take off what the container is worth."""
    even = found.breakeven
    assert even is not None
    gain = found.comparison.means[0].estimate.mean
    assert abs(even.residual_usd) < 1e-3 * gain
    assert even.interval.low - 1e-9 <= even.usd_per_gpu_h <= even.interval.high + 1e-9
    trials = Trials(Yard(found.asked))
    plan = found.plans[found.winner]
    dearer = trials.gains_usd([plan], [7], 1.1 * even.usd_per_gpu_h)
    cheaper = trials.gains_usd([plan], [7], 0.9 * even.usd_per_gpu_h)
    assert cheaper[0, 0] < 0 < dearer[0, 0]


def every_plan(yard: Yard) -> list[Plan]:
    random = np.random.default_rng(1)
    orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2]]
    plans = [yard.spread(), *(yard.fill(order) for order in orders)]
    return plans + [near for plan in plans for near in neighbours(yard, plan, 99, random)]


def test_budget_sites_and_shared_limits_are_kept(ask: Any) -> None:
    yard = Yard(ask(budget_usd=70_000, most_per_site=2, works_usd={"dear": 5_000}))
    for plan in every_plan(yard):
        dear = plan[1]
        assert 10_000 * sum(plan) + 5_000 * dear <= 70_000
        assert max(plan) <= 2
    assert yard.fill([0, 1, 2]) == (2, 2, 2), "70,000 USD to the last"
    narrow = Yard(ask(feeder_mw=0.22, budget_usd=1e6))
    lost = narrow.container_mw / 0.99
    assert all(0.15 + lost * sum(plan) <= 0.22 / 1 + 0.0016 for plan in every_plan(narrow))
    assert sum(narrow.fill([0, 1, 2])) == 1


def test_asics_step_back_or_stand_in_the_way(ask: Any) -> None:
    asics = [{"site": "cheap", "model": "Antminer S21", "count": 2_700}]  # 9.9 of 10 MW
    assert "cheap" in Yard(ask(asics=asics)).sites
    assert "cheap" not in Yard(ask(asics=asics, displace=False)).sites


def test_displaced_asics_are_counted(ask: Any) -> None:
    """At a full site a container is worth less by what the ASICs in its place would have made."""
    full = [{"site": "cheap", "model": "Antminer S21", "count": 3_000}]
    questions = [ask(asics=asics) for asics in (full, ())]
    crowded, empty = (survey(q, Yard(q)).dual_usd_per_year for q in questions)
    assert crowded[0] < empty[0] - 1_000
    assert crowded[1:] == pytest.approx(empty[1:])


def test_halving_keeps_the_better_half_and_doubles_the_seeds(ask: Any) -> None:
    yard = Yard(ask(search={"seeds": 4, "first_seeds": 1, "swaps": 0}))
    asked_for: list[tuple[int, int]] = []

    def score(plans: Any, seeds: Any) -> Any:
        asked_for.append((len(plans), len(seeds)))
        return np.array([[float(10 * p[2] - p[0])] * len(seeds) for p in plans])

    first = [(k, 0, 0) for k in (1, 2, 3)] + [(0, 0, k) for k in (1, 2, 3)]
    rounds = halving(yard, first, score)
    assert asked_for == [(7, 1), (4, 2), (3, 4)], "half of 7, of 4 and nothing"
    assert [r.plans[0] for r in rounds] == [(0, 0, 3)] * 3
    assert yard.nothing in rounds[-1].plans


def test_neighbours_lead_to_a_plan_that_nobody_proposed(ask: Any) -> None:
    yard = Yard(ask(search={"seeds": 64, "first_seeds": 1, "swaps": 9}))

    def score(plans: Any, seeds: Any) -> Any:
        wished = np.array([1, 2, 0])
        return np.array([[-float(abs(np.array(p) - wished).sum())] * len(seeds) for p in plans])

    assert halving(yard, [(0, 0, 3)], score)[-1].plans[0] == (1, 2, 0)


def test_the_same_question_has_the_same_answer(ask: Any, found: Buildout) -> None:
    assert document(buildout(ask())) == document(found)


def test_a_gain_is_the_difference_of_two_valuations(found: Buildout) -> None:
    yard, plan = found.yard, found.plans[found.winner]
    worth = []
    for built in (yard.built(plan), yard.built(yard.nothing)):
        firm = run(built, found.asked.policy, 4).table("valuation").to_pylist()[-1]
        assert firm["level"] == "firm"
        worth.append(firm["npv_usd"])
    gained = found.comparison.values["npv_gain_usd"][0]
    assert found.comparison.seeds[1] == 4
    assert gained[1] == pytest.approx(worth[0] - worth[1], rel=1e-12)


FILE = """
scenario = "{scenario}"
budget_usd = 30_000
held_out_seeds = 2
{head}
[changes]
horizon.days = 3
horizon.step_s = 21_600
horizon.record_s = 21_600
[container]
gpu = "h100-sxm"
nodes = 4
usd_per_gpu_h = 2.0
capex_usd = 10_000
lead_days = 0
commissioning_days = 0
{container}
[search]
seeds = 2
first_seeds = 1
swaps = 1
{search}
"""


def written(folder: Path, **parts: str) -> Path:
    file = folder / "where.toml"
    known = {"scenario": str(ROOT / "configs/tiny"), "head": "", "container": "", "search": ""}
    file.write_text(FILE.format(**{**known, **parts}))
    return file


def test_the_command_writes_what_it_says(tmp_path: Path) -> None:
    file, out = written(tmp_path), tmp_path / "out"
    done = runner.invoke(
        app, ["buildout", str(file), "--workers", "1", "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["search_seeds"] == [1, 2]
    assert told["held_out_seeds"] == [3, 4]
    kept = json.loads((out / "buildout.json").read_text())
    assert kept["plans"] == told["plans"]
    assert {f.name for f in out.iterdir()} == {
        "buildout.json", "buildout.png", "manifest.json", "runs.parquet",
    }  # fmt: skip
    plans = {plan["name"] for plan in told["plans"]}
    assert told["differences"]
    for difference in told["differences"]:
        assert {difference["a"], difference["b"]} <= plans
        assert 0.0 <= difference["p_adjusted"] <= 1.0
        assert difference["a"] in difference["verdict"]
    for plan in told["plans"]:
        assert plan["capex_usd"] == 10_000 * sum(plan["containers"].values()) <= 30_000


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"head": "budget = 1"}, "where.toml: budget = 1: unknown key; did you mean 'budget_usd'"),
        ({"head": 'sites = ["nowhere"]'}, "sites[0] = 'nowhere': allowed: "),
        ({"head": "works_usd = { alpha = -1 }"}, "works_usd.alpha = -1: must be >= 0 USD"),
        ({"head": "order_utc = 2031-01-01T00:00:00Z"}, "order_utc"),
        ({"head": 'policy = "clever"'}, "policy: "),
        ({"head": "level = 0.2"}, "level = 0.2: must be >= 0.5"),
        ({"container": 'state = "serving"'}, "container.state = 'serving': allowed: "),
        ({"container": 'finance = "uncle"'}, "container.finance = 'uncle': allowed: btc, cash"),
        ({"search": "bound_seeds = 3"}, "bound_seeds = 3: must be <= seeds = 2"),
        (
            {"scenario": "no-such"},
            "scenario = 'no-such': no such folder beside this file; allowed: cango-2026",
        ),
        ({"head": "x"}, "is not TOML"),
    ],
)
def test_what_is_refused(tmp_path: Path, parts: dict[str, str], words: str) -> None:
    file = written(tmp_path, **parts)
    with pytest.raises(ScenarioError) as refused:
        read_buildout(file)
    assert words in str(refused.value)
    assert len(refused.value.problems) == 1


def test_a_budget_that_buys_nothing_is_refused(ask: Any) -> None:
    with pytest.raises(ScenarioError, match="buys no container: one costs 10,000 USD"):
        ask(budget_usd=9_999)
    with pytest.raises(ScenarioError, match="no site has room for a container"):
        Yard(ask(container={"nodes": 5_000}))


def test_the_shipped_question_is_sound() -> None:
    shipped = read_buildout(ROOT / "experiments/gpu-buildout.toml")
    yard = Yard(shipped)
    assert sum(yard.spread()) == 8
    assert not set(shipped.question.judges) & set(shipped.question.search.all_seeds)


def test_check_reads_a_build_out_as_one(tmp_path: Path) -> None:
    """Whatever is wrong is of build-outs, and each command says whose file it was given."""
    whole = runner.invoke(app, ["check", "gpu-buildout"])
    assert whole.exit_code == 0, whole.output
    assert "gpu-buildout: no problem; 20,600,000 USD, 8 seeds to search" in whole.stdout
    file = tmp_path / "wrong.toml"
    file.write_text(
        f'scenario = "{(ROOT / "configs/tiny").as_posix()}"\nbudget_usd = 100\nbudgt = 1\n'
        '[container]\ngpu = "h101"\nnodes = 4\nusd_per_gpu_h = 2\ncapex_usd = 5000\n',
        encoding="utf-8",
    )
    first = runner.invoke(app, ["check", str(file)])
    assert first.exit_code == 2
    assert "wrong.toml: budgt = 1: unknown key; did you mean 'budget_usd'?" in first.stderr
    file.write_text(file.read_text(encoding="utf-8").replace("budgt = 1\n", ""), encoding="utf-8")
    both = runner.invoke(app, ["check", str(file)])
    assert both.exit_code == 2
    assert "container.gpu = 'h101'" in both.stderr
    assert "budget_usd = 100: buys no container" in both.stderr
    swept = runner.invoke(app, ["sweep", str(file)])
    assert swept.exit_code == 2
    assert "is a build-out, not an experiment" in swept.stderr


def test_check_runs_no_code_of_a_build_out(tmp_path: Path) -> None:
    file = tmp_path / "code.toml"
    file.write_text(
        f'scenario = "{(ROOT / "configs/tiny").as_posix()}"\nbudget_usd = 1e5\n'
        'policy = "no_such_module:Policy"\n'
        '[container]\ngpu = "h100-sxm"\nnodes = 4\nusd_per_gpu_h = 2\ncapex_usd = 5000\n',
        encoding="utf-8",
    )
    refused = runner.invoke(app, ["check", str(file)])
    assert refused.exit_code == 2
    assert "--allow-code" in refused.stderr
    named = runner.invoke(app, ["check", str(file), "--allow-code"])
    assert named.exit_code == 0, named.output  # it may be named; it is not imported

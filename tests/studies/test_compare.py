"""Comparing policies under the same luck, and what is said of it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import sim
from sim.cli import app
from sim.policy import Decision, Observation, PolicyError
from sim.results.kpi import YES_NO
from sim.results.kpis import KPIS
from sim.scenario import Scenario
from sim.studies.compare import Comparison, Difference, compare
from sim.studies.compare_text import document, lines, verdict
from sim.studies.experiment import PolicyChoice
from sim.studies.problems import StudyError
from sim.studies.sequential import Target
from sim.studies.statistics import estimate
from tests.conftest import ROOT

runner = CliRunner()


@pytest.fixture(scope="module")
def day() -> Scenario:
    """A day of two sites in hourly steps."""
    return sim.load(ROOT / "configs/tiny", {"horizon.days": 1, "horizon.step_s": 3600})


class Off:
    """Everything stays off."""

    def decide(self, observation: Observation) -> Decision:
        return Decision(
            np.zeros_like(observation.asic.default_share),
            np.zeros_like(observation.gpu.available),
        )


class Alternating:
    """Remembers: off and on by turns."""

    def __init__(self) -> None:
        self.calls = 0

    def decide(self, observation: Observation) -> Decision:
        self.calls += 1
        share = observation.asic.default_share * float(self.calls % 2)
        return Decision(share, np.ones_like(observation.gpu.available))


class Failing:
    """Fails where the luck is bad."""

    def decide(self, observation: Observation) -> Decision:
        raise RuntimeError("no idea")


def test_the_same_luck_for_all_and_differences_as_of_single_runs(day: Scenario) -> None:
    found = compare(day, ["static", Off(), "merit-order"], seeds=[3, 5, 8])
    assert found.policies == ("static", "Off", "merit-order")
    assert found.seeds == (3, 5, 8)
    single = [sim.run(day, "static", seed).kpis["gross_margin_usd"] for seed in (3, 5, 8)]
    table = found.values["gross_margin_usd"]
    assert table.shape == (3, 3)
    assert table[0].tolist() == single
    assert [(d.a, d.b) for d in found.differences] == [
        ("static", "Off"),
        ("static", "merit-order"),
        ("Off", "merit-order"),
    ]
    assert found.differences[0].estimate == estimate(table[0] - table[1])
    again = compare(day, ["static", Off(), "merit-order"], seeds=[3, 5, 8])
    assert document(again) == document(found)
    assert again.cells.equals(found.cells)


def test_pairing_reduces_variance_and_is_measured(day: Scenario) -> None:
    choices = [
        PolicyChoice(name="price-threshold", parameters={"max_usd_per_mwh": p}) for p in (50, 55)
    ]
    found = compare(day, choices, seeds=12)
    a, b = found.values["gross_margin_usd"]
    gain = found.differences[0].variance_reduction
    assert gain == pytest.approx((a.var(ddof=1) + b.var(ddof=1)) / (a - b).var(ddof=1))
    assert gain > 5
    assert f"pairing saves seeds {gain:.3g} times" in "\n".join(lines(found))


def test_a_policy_object_learns_nothing_from_another_run(day: Scenario) -> None:
    policy = Alternating()
    policy.calls = 1
    found = compare(day, [policy, "static"], seeds=2)
    assert policy.calls == 1
    alone = [sim.run(day, _with_calls(1), seed).kpis["gross_margin_usd"] for seed in (1, 2)]
    assert found.values["gross_margin_usd"][0].tolist() == alone


def _with_calls(calls: int) -> Alternating:
    policy = Alternating()
    policy.calls = calls
    return policy


def test_regret_to_a_bound(day: Scenario) -> None:
    single = sim.run(day, "static", 1).kpis["gross_margin_usd"]
    assert single is not None
    bounds = {1: 2 * single, 2: 2 * single}
    found = compare(day, ["static", Off()], seeds=2, bound=bounds)
    regret = found.regrets[0]
    earned = found.values["gross_margin_usd"][0]
    assert regret.usd.mean == pytest.approx(2 * single - earned.mean())
    assert regret.percent == pytest.approx(100 * (1 - earned.mean() / (2 * single)))
    assert regret.above_bound == 0

    def too_low(scenario: Scenario, seed: int) -> float:
        return single / 2 if seed == 1 else 10 * single

    broken = compare(day, ["static", Off()], seeds=2, bound=too_low)
    assert broken.regrets[0].above_bound == 1
    assert "ABOVE its bound in 1 seeds" in "\n".join(lines(broken))


def test_it_stops_as_soon_as_intervals_are_narrow(day: Scenario) -> None:
    wide = compare(day, ["static", "merit-order"], seeds=20, until="half-width=90%", rarest=0.4)
    assert wide.looks == (16, 20)
    assert len(wide.seeds) == 16
    assert wide.reached
    assert wide.interval_level == pytest.approx(0.975)
    assert wide.differences[0].estimate.t.level == pytest.approx(0.975)
    values = wide.values["gross_margin_usd"]
    single = estimate(values[0] - values[1])
    assert wide.differences[0].p_adjusted == pytest.approx(2 * single.p)
    assert "97.5 % bootstrap-t; p = " in verdict(wide.differences[0], wide)
    skewed = "cannot promise 97.5 %: the tail of the luck rests on about"
    assert (skewed in verdict(wide.differences[0], wide)) is bool(wide.differences[0].doubt)
    assert "fewer than 19 % of seeds (3/n) may not have been seen in 16" in "\n".join(lines(wide))
    hasty = compare(day, ["static", "merit-order"], seeds=4, until="half-width=90%")
    assert "cannot promise 95 %: 4 seeds may not have seen an event that strikes up to 75 %" in (
        verdict(hasty.differences[0], hasty)
    )
    narrow = compare(
        day, ["static", "merit-order"], seeds=20, until=Target(1e-3, False), rarest=0.4
    )
    assert len(narrow.seeds) == 20
    assert narrow.reached is False
    assert "NOT reached" in "\n".join(lines(narrow))


@pytest.mark.parametrize(
    ("text", "target"),
    [("half-width=1%", Target(0.01, True)), ("half-width=5000", Target(5000.0, False))],
)
def test_targets(text: str, target: Target) -> None:
    assert Target.of(text) == target


@pytest.mark.parametrize(
    "text", ["1%", "half-width=", "half-width=-1%", "width=1%", "half-width=a"]
)
def test_targets_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write half-width=1%"):
        Target.of(text)


def _comparison(*samples: list[float], kpi: str = "gross_margin_usd") -> tuple[str, ...]:
    """Verdicts of a comparison with given values."""
    from sim.studies import compare as module

    values = {kpi: np.array(samples)}
    names = tuple("ABCD"[: len(samples)])
    differences = tuple(module._differences(values, names, 0.95, 1))
    comparison = Comparison(
        "made", names, tuple(range(len(samples[0]))), 0.95, 0.95, (len(samples[0]),), None,
        values, (), differences, (), None,
    )  # fmt: skip
    return tuple(verdict(d, comparison) for d in differences)


def test_verdicts_do_not_overclaim() -> None:
    b = [100.0, 110.0, 90.0, 105.0, 95.0]
    ahead = _comparison([x * 1.015 + e for x, e in zip(b, (0.1, -0.1, 0.05, 0, -0.05))], b)  # noqa: B905
    assert ahead[0].startswith("A earns 1.")
    assert "% more than B (95 % paired t; p = " in ahead[0]
    few = "n = 5, which may miss skewness and what strikes under 60 % of seeds)"
    assert ahead[0].endswith(few)
    many = _comparison(*(np.random.default_rng(1).normal(m, 1.0, 150).tolist() for m in (9, 8)))
    assert many[0].endswith("n = 150)")
    behind = _comparison(b, [x + 2 for x in (101.0, 110.1, 90.2, 105.0, 95.0)])
    assert behind[0].startswith("B earns")
    level = _comparison(b, b[::-1])
    assert level[0].startswith("no difference in gross_margin_usd between A and B could be shown")
    assert "the interval contains zero" in level[0]
    assert _comparison(b, b)[0].startswith("A and B gave the same gross_margin_usd with every seed")
    assert "an event in up to 60 % of seeds may differ unseen" in _comparison(b, b)[0]
    assert "one seed shows nothing" in _comparison([1.0], [2.0])[0]
    loss = _comparison([-1.0, -1.1, -0.9], [-3.0, -3.2, -2.9])
    assert loss[0].startswith("A earns ")
    assert " USD more than B" in loss[0]
    share = _comparison([99.0, 98.0, 99.5], [90.0, 89.5, 90.2], kpi="uptime_pct")
    assert "percentage points above that of B" in share[0]


def test_many_comparisons_raise_the_bar() -> None:
    """A pair that would pass alone does not pass among six."""
    random = np.random.default_rng(1)
    a = random.normal(0.0, 1.0, 12)
    shift = a + 0.5 + 0.7 * np.array([1.0, -1.0] * 6)  # t = 2.4, p = 0.037
    alone = _comparison(list(a + 100), list(shift + 100))[0]
    assert alone.startswith("B earns")
    others = [list(100 + random.normal(0.0, 1.0, 12)) for _ in range(2)]
    among = _comparison(list(a + 100), list(shift + 100), *others)[0]
    assert "no difference" in among
    assert "after adjustment, though the interval of this pair alone leaves zero out" in among
    assert "95 % paired t of this pair alone; p = " in among
    assert "after Holm over 6 comparisons" in among


def test_percents_know_that_the_base_is_uncertain() -> None:
    """A base that may be zero gives no percent; one that is known gives them, either way round."""
    random = np.random.default_rng(2)
    vague = random.normal(1.0, 8.0, 12)
    assert " USD more than B" in _comparison(list(vague + 5.0 + 0.1 * vague), list(vague))[0]
    b = random.normal(100.0, 1.0, 12)
    for samples, ahead in (((1.1 * b, b), "A"), ((b, 1.1 * b), "B")):
        said = _comparison(*(list(x + random.normal(0.0, 1e-3, 12)) for x in samples))[0]
        assert said.startswith(f"{ahead} earns 10 to 10 % more")


def test_what_is_refused(day: Scenario) -> None:
    with pytest.raises(ValueError, match="needs two or more"):
        compare(day, ["static"])
    with pytest.raises(ValueError, match="different numbers"):
        compare(day, ["static", Off()], seeds=[1, 1])
    with pytest.raises(ValueError, match="did you mean 'gross_margin_usd'"):
        compare(day, ["static", Off()], kpis=["gross_margin"])
    with pytest.raises(ValueError, match="more than once; give a label"):
        compare(day, ["static", "static"])
    with pytest.raises(PolicyError, match="allowed: autoscale, gpu-first, look-ahead, merit-order"):
        compare(day, ["static", "best"])
    with pytest.raises(StudyError, match="policy Failing, seed 1 failed: RuntimeError: no idea"):
        compare(day, ["static", Failing()], seeds=2)
    with pytest.raises(StudyError, match="goodput_rps: has no meaning"):
        compare(day, ["static", Off()], seeds=2, kpis=["goodput_rps"])
    local = type("Local", (Off,), {})
    with pytest.raises(PolicyError, match="cannot be pickled"):
        compare(day, ["static", local()], seeds=2)


def test_the_command(tmp_path: Path) -> None:
    quick = ["--set", "horizon.days=1", "--set", "horizon.step_s=3600", "--workers", "1"]
    out = tmp_path / "out"
    command = ["compare", "tiny", "--policy", "static", "--policy", "merit-order",
               "--seeds", "4", "--no-bound", "--out", str(out), *quick]  # fmt: skip
    done = runner.invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "paired differences" in done.stdout
    shown = runner.invoke(app, [*command, "--json"])
    found = json.loads(shown.stdout)
    assert found["differences"][0]["estimate"]["n"] == 4
    assert "95 % paired t; p = " in found["differences"][0]["verdict"]
    assert (out / "comparison.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((out / "comparison.json").read_text())["seeds"] == [1, 2, 3, 4]
    assert sim.open_results(out).cells.num_rows == 8
    (out / "manifest.json").unlink()
    refused = runner.invoke(app, command)
    assert refused.exit_code == 2
    assert "is not a result folder" in refused.stderr
    for wrong, words in (
        (["compare", "tiny", "--policy", "static"], "needs two or more"),
        (["compare", "tiny", "--policy", "static", "--policy", "best"], "allowed: autoscale, gpu"),
        (["compare", "tiny", "--policy", "static", "--policy", "merit-order", "--until", "1%",
          "--out", str(tmp_path / "x")], "write half-width=1%"),
        (["compare", "tiny", "--policy", "static", "--policy", "merit-order", "--rarest", "200%"],
         "--rarest '200%': write 2% or 0.02"),
    ):  # fmt: skip
        refused = runner.invoke(app, wrong)
        assert refused.exit_code == 2, refused.output
        assert words in refused.stderr


def test_infinite_intervals_are_null_in_json(day: Scenario) -> None:
    found = document(compare(day, ["static", Off()], seeds=1))
    assert found["differences"][0]["estimate"]["t"]["low"] is None
    assert not math.isfinite(estimate([1.0]).t.low)
    json.dumps(found, allow_nan=False)


def test_an_indicator_is_a_probability(monkeypatch: pytest.MonkeyPatch, day: Scenario) -> None:
    yes_no = KPIS["asic_failures"]._replace(unit=YES_NO)
    monkeypatch.setitem(KPIS, "asic_failures", yes_no)
    from sim.studies import compare as module

    values = {"asic_failures": np.array([[1.0] * 8, [0.0] * 6 + [1.0] * 2])}
    means = module._means(values, ("A", "B"), 0.95)
    assert means[0].share is not None
    assert means[0].share.method == "Wilson"
    assert means[0].share.low == pytest.approx(0.6756, abs=1e-4)
    found: Difference = module._differences(values, ("A", "B"), 0.95, 1)[0]
    assert found.p_adjusted == pytest.approx(2 * 0.5**6)  # exact, on the six pairs that differ

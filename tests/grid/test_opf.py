"""Optimal dispatch: published objectives, hand calculations, prices as differences, outages."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.grid import Case, DcOpf, OpfError, read_case
from sim.validation import grid
from tests.builders.meshes import THREE

CASES = ("5_pjm", "14_ieee", "30_ieee", "39_epri", "73_ieee_rts", "118_ieee", "300_ieee")


def three(folder: Path, *changes: tuple[str, str]) -> Case:
    text = THREE
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "three.m").write_text(text)
    return read_case(folder / "three.m")


def test_the_published_objectives(data: Path) -> None:
    checks = list(grid.checks(data))
    assert len(checks) == 2 * len(CASES)
    assert [c for c in checks if not c.ok] == []


def test_the_other_form_of_susceptance(data: Path) -> None:
    """Recomputed by another programme with 1/(x tap) and phase shifts, printed to 6 digits."""
    with (data / "grid/pglib_baseline.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            case = read_case(data / f"grid/{row['case']}.m")
            got = DcOpf(case, susceptance="1/(x·tap)").solve().objective_usd_per_h
            assert got == pytest.approx(float(row["dc_recomputed_b_1_over_x_tap"]), rel=1e-5)


def test_congestion_by_hand(tmp_path: Path) -> None:
    """Line 1-7 carries 2/3 of what bus 1 sends and 1/3 of bus 2: at 80 MW both give 90 and 60."""
    out = DcOpf(three(tmp_path)).solve()
    np.testing.assert_allclose(out.generation_mw, [90, 60], atol=1e-6)
    np.testing.assert_allclose(out.flow_mw, [10, 80, 70], atol=1e-6)
    assert out.objective_usd_per_h == pytest.approx(90 * 10 + 60 * 30 + 5)
    np.testing.assert_allclose(out.lmp_usd_per_mwh, [10, 30, 50], atol=1e-6)
    assert out.binding.tolist() == [1]
    assert not out.shed_mw.any()


def test_quadratic_costs_by_hand(tmp_path: Path) -> None:
    """0.1 P + 10 = 0.04 (150 - P) + 12 + ... : equal marginal costs."""
    case = three(
        tmp_path,
        ("2 0 0 3 0 10 0", "2 0 0 3 0.05 10 7"),
        ("2 0 0 3 0 30 5", "2 0 0 3 0.02 12 5"),
        ("0.1 0 80", "0.1 0 0"),
    )
    out = DcOpf(case).solve()
    first = (12 + 0.04 * 150 - 10) / 0.14
    np.testing.assert_allclose(out.generation_mw, [first, 150 - first], atol=0.05)
    wanted = 0.05 * first**2 + 10 * first + 7 + 0.02 * (150 - first) ** 2 + 12 * (150 - first) + 5
    assert out.objective_usd_per_h == pytest.approx(wanted, rel=1e-9)
    np.testing.assert_allclose(out.lmp_usd_per_mwh, 10 + 0.1 * first, atol=0.01)


def test_piecewise_linear_costs_by_hand(tmp_path: Path) -> None:
    """To 60 MW at 5, beyond at 20 USD/MWh; the other at 12, up to 80 MW."""
    case = three(
        tmp_path,
        ("2 0 0 3 0 10 0", "1 0 0 3 0 100 60 400 200 3200"),
        ("2 0 0 3 0 30 5", "2 0 0 2 12 3 0 0 0 0"),
        ("2 0 0 0 0 1 100 1 200 0", "2 0 0 0 0 1 100 1 80 0"),
        ("0.1 0 80", "0.1 0 0"),
    )
    out = DcOpf(case).solve()
    np.testing.assert_allclose(out.generation_mw, [70, 80], atol=1e-6)
    assert out.objective_usd_per_h == pytest.approx(400 + 10 * 20 + 80 * 12 + 3)
    np.testing.assert_allclose(out.lmp_usd_per_mwh, 20, atol=1e-6)


def test_angle_limits_hold_a_line(tmp_path: Path) -> None:
    """At 2 degrees a line of 1,000 MW/rad carries 34.9 MW."""
    case = three(tmp_path, ("80 0 0 0 0 1 -360 360", "80 0 0 0 0 1 -2 2"))
    out = DcOpf(case).solve()
    assert out.flow_mw[1] == pytest.approx(1000 * np.deg2rad(2))
    assert out.binding.tolist() == [1]


def test_what_cannot_be_served_is_shed_or_refused(tmp_path: Path) -> None:
    case = three(tmp_path, ("7 1 150", "7 1 500"))
    out = DcOpf(case, voll_usd_per_mwh=1000.0).solve()
    assert out.shed_mw.sum() > 0
    assert out.lmp_usd_per_mwh[2] == pytest.approx(1000.0)
    with pytest.raises(OpfError, match="a load of 500 MW; generators in service give at most 400"):
        DcOpf(case, voll_usd_per_mwh=None).solve()
    grid = DcOpf(replace(case, load_mw=np.array([0, 0, 300.0])), voll_usd_per_mwh=None)
    with pytest.raises(OpfError, match="within the limits of lines and angles"):
        grid.solve()
    with pytest.raises(OpfError, match="at least"):
        DcOpf(
            replace(case, gen_min_mw=np.array([200.0, 50.0])), voll_usd_per_mwh=None
        ).solve(np.zeros(3))  # fmt: skip


def test_forced_generation_spills_where_nobody_takes_it(tmp_path: Path) -> None:
    case = three(tmp_path, ("1 0 0 0 0 1 100 1 200 0", "1 0 0 0 0 1 100 1 200 50"))
    grid = DcOpf(case)
    grid.set_branch(0, False)
    grid.set_branch(1, False)  # bus 1 is alone
    out = grid.solve()
    np.testing.assert_allclose(out.spill_mw, [50, 0, 0], atol=1e-6)
    np.testing.assert_allclose(out.generation_mw, [50, 150], atol=1e-6)
    assert out.lmp_usd_per_mwh[0] == pytest.approx(-5000.0)


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    case = three(tmp_path, ("1 2 0 0.1 0 0  0 0 0 0 1", "1 2 0 0 0 0  0 0 0 0 0"))
    with pytest.raises(ValueError, match="voll_usd_per_mwh = 0"):
        DcOpf(case, voll_usd_per_mwh=0.0)
    with pytest.raises(ValueError, match="must be 3 numbers"):
        DcOpf(case).solve(np.array([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="branch 3: must be 0 to 2"):
        DcOpf(case).set_branch(3, False)
    with pytest.raises(ValueError, match="branch 0: x = 0"):
        DcOpf(case).set_branch(0, True)


@pytest.mark.parametrize("name", ["5_pjm", "14_ieee", "39_epri", "118_ieee"])
def test_a_price_is_what_another_mwh_of_load_costs(data: Path, name: str) -> None:
    """Between the differences down and up: costs are convex and kinked."""
    case = read_case(data / f"grid/pglib_opf_case{name}.m")
    grid, step = DcOpf(case), 0.01
    draw = np.random.default_rng(5)
    load = case.load_mw * draw.uniform(0.9, 1.02, len(case.load_mw))
    out = grid.solve(load)
    for bus in draw.choice(len(load), 5, replace=False):
        more, less = load.copy(), load.copy()
        more[bus] += step
        less[bus] -= step
        up = (grid.solve(more).objective_usd_per_h - out.objective_usd_per_h) / step
        down = (out.objective_usd_per_h - grid.solve(less).objective_usd_per_h) / step
        assert down - 1e-4 <= out.lmp_usd_per_mwh[bus] <= up + 1e-4


def test_prices_of_quadratic_costs(data: Path) -> None:
    case = read_case(data / "grid/pglib_opf_case73_ieee_rts.m")
    grid, step = DcOpf(case), 1.0
    out = grid.solve()
    for bus in (2, 40, 66):
        more, less = case.load_mw.copy(), case.load_mw.copy()
        more[bus] += step
        less[bus] -= step
        slope = grid.solve(more).objective_usd_per_h - grid.solve(less).objective_usd_per_h
        assert out.lmp_usd_per_mwh[bus] == pytest.approx(slope / (2 * step), abs=0.05)


@settings(max_examples=8)
@given(st.integers(0, 100_000))
def test_an_outage_is_a_case_without_the_branch(data: Path, seed: int) -> None:
    """One grid through many outages and repairs against a fresh one for each."""
    draw = np.random.default_rng(seed)
    case = read_case(data / f"grid/pglib_opf_case{draw.choice(['14_ieee', '39_epri'])}.m")
    grid = DcOpf(case)
    lines = len(case.branch_from)
    out = np.zeros(lines, dtype=bool)
    for _ in range(3):
        for line in draw.choice(lines, 3, replace=False):
            out[line] = not out[line]
            grid.set_branch(int(line), not out[line])
        load = case.load_mw * draw.uniform(0.8, 1.1, len(case.load_mw))
        got = grid.solve(load)
        wanted = DcOpf(replace(case, branch_in_service=~out)).solve(load)
        assert got.objective_usd_per_h == pytest.approx(wanted.objective_usd_per_h, rel=1e-8)
        assert not got.flow_mw[out].any()
        served = got.generation_mw.sum() - got.spill_mw.sum() + got.shed_mw.sum()
        assert served == pytest.approx(load.sum() + case.shunt_mw.sum(), abs=1e-5)


def test_many_quadratic_solutions_stay_as_cheap_as_the_first(data: Path) -> None:
    """Tangents pile up and are dropped again; the objective does not notice."""
    case = read_case(data / "grid/pglib_opf_case73_ieee_rts.m")
    grid = DcOpf(case)
    first = grid.solve().objective_usd_per_h
    for scale in np.linspace(0.55, 1.0, 40):
        grid.solve(case.load_mw * scale)
    assert grid.solve().objective_usd_per_h == pytest.approx(first, rel=3e-9)


def test_load_that_bids_is_served_while_it_is_worth_its_price(tmp_path: Path) -> None:
    """200 MW at 10, as much at 30, 150 MW of load: whoever bids 20 gets the 50 that are left at 10,
    and makes the price; whoever bids 35 pays 30, and drives out the one that bids 20."""
    case = three(tmp_path, ("0.1 0 80", "0.1 0 0"))
    opf = DcOpf(case, bid_bus=np.array([2, 2, 2]))
    worth = np.array([20.0, 5.0, 35.0])
    out = opf.solve(bids=(np.array([60.0, 30.0, 0.0]), worth))
    np.testing.assert_allclose(out.bought_mw, [50, 0, 0], atol=1e-6)
    np.testing.assert_allclose(out.lmp_usd_per_mwh, 20.0)
    out = opf.solve(bids=(np.array([60.0, 30.0, 100.0]), worth))
    np.testing.assert_allclose(out.bought_mw, [0, 0, 100], atol=1e-6)
    np.testing.assert_allclose(out.lmp_usd_per_mwh, 30.0)
    out = opf.solve()  # nobody bids any more
    np.testing.assert_allclose(out.lmp_usd_per_mwh, 10.0)
    assert not out.bought_mw.any()


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(1, 80), st.floats(5, 60)), min_size=1))
@settings(max_examples=20)
def test_bids_are_generators_upside_down(
    tmp_path_factory: pytest.TempPathFactory, bids: list[tuple[int, float, float]]
) -> None:
    """A dispatchable load in a case file is a generator from -P to 0 at its own cost."""
    folder = tmp_path_factory.mktemp("case")
    bus = np.array([b for b, _, _ in bids])
    mw, worth = np.array([m for _, m, _ in bids]), np.array([w for _, _, w in bids])
    out = DcOpf(three(folder), bid_bus=bus).solve(bids=(mw, worth))
    case = three(folder)
    count = len(bids)
    case = replace(
        case,
        gen_bus=np.concatenate([case.gen_bus, bus]),
        gen_max_mw=np.concatenate([case.gen_max_mw, np.zeros(count)]),
        gen_min_mw=np.concatenate([case.gen_min_mw, -mw]),
        gen_in_service=np.concatenate([case.gen_in_service, np.ones(count, dtype=np.bool_)]),
        cost_polynomial=np.vstack(
            [case.cost_polynomial, np.column_stack([np.zeros(count), worth, np.zeros(count)])]
        ),
        cost_points=(*case.cost_points, *[np.empty((0, 2))] * count),
    )
    twin = DcOpf(case).solve()
    surplus = worth @ out.bought_mw - out.objective_usd_per_h
    assert surplus == pytest.approx(-twin.objective_usd_per_h, rel=1e-9, abs=1e-6)

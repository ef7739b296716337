"""The reader: what it reads, and what it says of what it cannot use."""

from pathlib import Path

import numpy as np
import pytest

from sim.grid import Case, CaseError, DcOpf, read_case
from tests.builders.meshes import THREE


def read(folder: Path, text: str) -> Case:
    file = folder / "three.m"
    file.write_text(text, encoding="utf-8")
    return read_case(file)


def test_a_case_becomes_arrays(tmp_path: Path) -> None:
    case = read(tmp_path, THREE)
    assert case.name == "three"
    assert case.base_mva == 100.0
    assert case.bus_number.tolist() == [1, 2, 7]
    assert case.bus_name == ("1", "2", "7")
    assert case.load_mw.tolist() == [0, 0, 150]
    assert case.gen_bus.tolist() == [0, 1]
    assert case.branch_to.tolist() == [1, 2, 2]
    assert case.tap.tolist() == [1, 1, 1]
    assert case.rate_a_mw.tolist() == [0, 80, 0]
    assert np.isinf(case.angle_max_deg).all()
    assert case.cost_polynomial.tolist() == [[0, 10, 0], [0, 30, 5]]
    assert [len(points) for points in case.cost_points] == [0, 0]


def test_commas_tabs_rows_on_one_line_names_and_unknown_matrices(tmp_path: Path) -> None:
    text = THREE.replace(
        "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;\n",
        "1,0,0,2, 0, 0, 100, 1e3;\t2 0 0 2 30 5 0 0",
    )
    text += "mpc.areas = [1 2];\nmpc.bus_name = {'North 50%'; 'O''Hare';\n 'South'};\n"
    case = read(tmp_path, text)
    assert case.bus_name == ("North 50%", "O'Hare", "South")
    assert case.cost_points[0].tolist() == [[0, 0], [100, 1000]]
    assert case.cost_polynomial.tolist() == [[0, 0, 0], [0, 30, 5]]


def test_angle_limits_of_zero_both_are_none(tmp_path: Path) -> None:
    text = THREE.replace("80 0 0 0 0 1 -360 360", "80 0 0 0 0 1 0 0")
    text = text.replace("2 7 0 0.1 0 0  0 0 0 0 1 -360 360", "2 7 0 0.1 0 0 0 0 0 0 1 -30 30")
    case = read(tmp_path, text)
    assert case.angle_min_deg.tolist() == [-np.inf, -np.inf, -30]
    assert case.angle_max_deg.tolist() == [np.inf, np.inf, 30]


def test_short_branches_have_no_angle_limits(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace(" -360 360;", ";"))
    assert np.isinf(case.angle_min_deg).all()


BUS_2 = "    2 2   0 0"
WRONG = {
    "old version": ("version = '2'", "version = '3'", "mpc.version = 3: must be '1' or '2'"),
    "no base": ("mpc.baseMVA = 100.0;", "", "mpc.baseMVA = missing: must be a number > 0"),
    "no branches": ("mpc.branch", "mpc.lines", "mpc.branch: missing; a case needs mpc.bus"),
    "ragged": ("1 2 0 0.1 0 0  0 0", "1 2 0 0.1 0", "mpc.branch row 2: 13 columns; must be 10"),
    "narrow": (" 1 200 0;", " 1;", "mpc.gen row 2: 10 columns; must be 8 as in row 1"),
    "a word": ("7 1 150", "7 1 high", "mpc.bus row 3, column 3: 'high' is neither a value"),
    "infinite load": ("7 1 150", "7 1 Inf", "row 3, column 3 (PD) = inf: must be finite [MW]"),
    "infinite shunt": (
        BUS_2 + " 0",
        BUS_2 + " Inf",
        "row 2, column 5 (GS) = inf: must be finite [MW]",
    ),
    "half a bus": (BUS_2, "    2.5 2   0 0", "(BUS_I) = 2.5: must be a whole number >= 1"),
    "twice": (BUS_2, "    1 2   0 0", "row 2, column 1 (BUS_I) = 1: already in row 1"),
    "bus type": ("7 1 150", "7 5 150", "row 3, column 2 (BUS_TYPE) = 5: must be 1, 2, 3 or 4"),
    "unknown gen bus": (
        "2 0 0 0 0 1 100 1 200 0",
        "9 0 0 0 0 1 100 1 200 0",
        "mpc.gen row 2, column 1 (GEN_BUS) = 9: no such bus; must be a BUS_I of mpc.bus",
    ),
    "unknown end": (
        "2 7 0 0.1",
        "2 8 0 0.1",
        "mpc.branch row 3, column 2 (T_BUS) = 8: no such bus",
    ),
    "unknown start": ("2 7 0 0.1", "8 7 0 0.1", "mpc.branch row 3, column 1 (F_BUS) = 8"),
    "loop": ("2 7 0 0.1", "7 7 0 0.1", "row 3, column 2 (T_BUS) = 7: must not be its F_BUS"),
    "no reactance": (
        "1 2 0 0.1",
        "1 2 0.1 0",
        "mpc.branch row 1, column 4 (BR_X) = 0: must not be 0 in service",
    ),
    "rating": ("0.1 0 80", "0.1 0 -80", "column 6 (RATE_A) = -80: must be >= 0 [MVA]"),
    "angles": ("80 0 0 0 0 1 -360 360", "80 0 0 0 0 1 20 10", "(ANGMIN) = 20: must be <= ANGMAX"),
    "tap": ("80 0 0 0 0 1", "80 0 0 -1 0 1", "column 9 (TAP) = -1: must be >= 0"),
    "bounds": (
        "1 0 0 0 0 1 100 1 200 0",
        "1 0 0 0 0 1 100 1 200 300",
        "mpc.gen row 1, column 10 (PMIN) = 300: must be <= PMAX = 200 [MW]",
    ),
    "islanded": (
        "    1 7 0 0.1 0 80 0 0 0 0 1 -360 360;\n    2 7 0 0.1 0 0  0 0 0 0 1",
        "    1 7 0 0.1 0 80 0 0 0 0 0 -360 360;\n    2 7 0 0.1 0 0  0 0 0 0 0",
        "mpc.bus row 3, column 1 (BUS_I) = 7: islanded, no way in service to a generator",
    ),
    "costs": ("    2 0 0 3 0 30 5;\n", "", "mpc.gencost: 1 rows; must be 2 (or 4) as mpc.gen"),
    "model": ("2 0 0 3 0 30 5", "3 0 0 3 0 30 5", "row 2, column 1 (MODEL) = 3: must be 1"),
    "short cost": (
        "2 0 0 3 0 30 5",
        "2 0 0 4 0 30 5",
        "mpc.gencost row 2, column 4 (NCOST) = 4: must be a whole number >= 1, with no more than "
        "the 3 values that follow",
    ),
    "concave": ("2 0 0 3 0 30 5", "2 0 0 3 -1 30 5", "(P^2) = -1: must be >= 0"),
    "concave cubic": (
        "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;",
        "    2 0 0 3 0 10 0 0;\n    2 0 0 4 -0.1 0 30 5;",
        "mpc.gencost row 2, column 5 (P^3) = -0.1: the cost must be convex from PMIN to PMAX",
    ),
    "unbounded": (
        "1 0 0 0 0 1 100 1 200 0",
        "1 0 0 0 0 1 100 1 200 -Inf",
        "mpc.gen row 1, column 10 (PMIN) = -inf: must be finite [MW]",
    ),
    "constraints of one's own": (
        "mpc.baseMVA = 100.0;",
        "mpc.baseMVA = 100.0; mpc.A = [1 2 3];",
        "mpc.A: constraints and costs of one's own are not modelled",
    ),
    "a loop": ("mpc.baseMVA = 100.0;", "for k = 1:3", "line 3: `for k = 1:3`: `for` is not"),
    "falling slopes": (
        "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;",
        "    2 0 0 3 0 10 0 0 0 0;\n    1 0 0 3 0 0 10 100 20 150;",
        "mpc.gencost row 2: its slopes must not fall",
    ),
    "falling points": (
        "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;",
        "    2 0 0 3 0 10 0 0 0 0;\n    1 0 0 3 0 0 10 100 5 150;",
        "mpc.gencost row 2: its points must have rising MW",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, name: str) -> None:
    before, after, words = WRONG[name]
    assert THREE.count(before) >= 1
    with pytest.raises(CaseError) as refused:
        read(tmp_path, THREE.replace(before, after, 1))
    assert words in str(refused.value)
    assert all(
        line.startswith(f"{tmp_path / 'three.m'}: ") for line in str(refused.value).split("\n")
    )


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = THREE.replace("1 2 0 0.1", "1 2 0.1 0").replace("2 0 0 3 0 30 5", "9 0 0 3 0 30 5")
    with pytest.raises(CaseError) as refused:
        read(tmp_path, text)
    assert len(str(refused.value).split("\n")) == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [("{'a'; 'b'}", "2 names; must be 3"), ("[1 2 3]", "must be texts in { }")],
)
def test_wrong_names(tmp_path: Path, names: str, words: str) -> None:
    with pytest.raises(CaseError, match=words):
        read(tmp_path, THREE + f"mpc.bus_name = {names};\n")


def test_statements_after_the_matrices_count(tmp_path: Path) -> None:
    """As case33bw does: from kW to MW, from ohm to per unit."""
    case = read(
        tmp_path,
        THREE.replace("7 1 150", "7 1 150000").replace("0.1 0", "10 0")
        + """[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3;      %% in Volts
Sbase = mpc.baseMVA * 1e6;              %% in VA
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
""",
    )
    assert case.load_mw.tolist() == [0, 0, 150]
    assert case.x_pu == pytest.approx(10.0 / (230e3**2 / 100e6))


FEEDER = """function mpc = feeder3
mpc.version = '2';
mpc.baseMVA = 10;
mpc.bus = [
 1 3 0 0 0 0 1 1 0 10 1 1 1;
 2 1 2000 1000 0 0 1 1 0 10 1 1.1 .9;
 3 1 1500 500 0 0 1 1 0 10 1 1.1 .9;
];
mpc.gen = [1 0 0 10 -10 1 100 1 10 0];
mpc.branch = [
 1 2 0.1 1.0 0 5 0 0 0 0 1 -360 360;
 2 3 0.1 2.0 0 5 0 0 0 0 1 -360 360;
 1 3 0.1 1.0 0 5 0 0 0 0 1 -360 360;
];
mpc.gencost = [2 0 0 3 0 20 0];
Vbase = mpc.bus(1, 10) * 1e3;
Sbase = mpc.baseMVA * 1e6;
mpc.branch(:, [3 4]) = mpc.branch(:, [3 4]) / (Vbase^2 / Sbase);
mpc.bus(:, [3, 4]) = mpc.bus(:, [3, 4]) / 1e3;
"""


def test_a_feeder_in_kw_and_ohm_costs_what_it_should(tmp_path: Path) -> None:
    case = read(tmp_path, FEEDER)
    found = DcOpf(case).solve()
    assert case.x_pu == pytest.approx([0.1, 0.2, 0.1])
    assert found.objective_usd_per_h == pytest.approx(70.0)
    assert found.lmp_usd_per_mwh == pytest.approx(20.0)
    assert found.shed_mw == pytest.approx(0.0, abs=1e-9)


def test_version_1_of_either_kind(tmp_path: Path) -> None:
    """Its columns after the eleventh of a branch are results, not limits of angles."""
    old = THREE.replace("mpc.version = '2';\n", "").replace("-360 360;", "55.5 -44.4;")
    for text in (
        old,
        old.replace("mpc = three", "[baseMVA, bus, gen, branch, areas, gencost] = three")
        .replace("mpc.", "")
        .replace("bus = [", "areas = [1 2];\nbus = ["),
    ):
        case = read(tmp_path, text)
        assert case.load_mw.tolist() == [0, 0, 150]
        assert np.isinf(case.angle_max_deg).all()


def test_isolated_buses_are_out_with_what_hangs_on_them(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace("    2 2   0 0", "    2 4   9 0"))
    assert case.load_mw.tolist() == [0, 0, 150]
    assert case.gen_in_service.tolist() == [True, False]
    assert case.branch_in_service.tolist() == [False, True, False]
    assert case.notes == ("isolated buses (type 4) are out, with 9 MW of load: 2",)


def test_names_given_twice_get_their_numbers(tmp_path: Path) -> None:
    names = """mpc.bus_name = {"North ""A"" 50%" % a comment, 'with quotes'
    'South'; 'South '};"""
    case = read(tmp_path, THREE + names)
    assert case.bus_name == ('North "A" 50%', "South (2)", "South (7)")
    assert "'South' more than once" in case.notes[0]


def test_other_encodings(tmp_path: Path) -> None:
    text = THREE + "mpc.bus_name = {'Müllheim'; 'São'; 'x'}; # not a comment of MATLAB's\n"
    for encoding, noted in (("utf-8-sig", 0), ("cp1252", 1), ("utf-16", 0)):
        (tmp_path / "three.m").write_bytes(text.replace("\n", "\r\n").encode(encoding))
        case = read_case(tmp_path / "three.m")
        assert case.bus_name == ("Müllheim", "São", "x")
        assert len(case.notes) == noted


def test_a_tie_without_impedance_is_a_very_short_line(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace("1 2 0 0.1", "1 2 0 0"))
    assert case.x_pu.tolist() == [1e-4, 0.1, 0.1]
    assert "branch row 1 (1–2)" in case.notes[0]
    found = DcOpf(case, voll_usd_per_mwh=None).solve()
    assert found.flow_mw == pytest.approx([75, 75, 75], abs=0.1)


def test_fields_that_are_not_modelled_are_named(tmp_path: Path) -> None:
    case = read(tmp_path, THREE + "mpc.dcline = [1 7 1 10 10 0 0 1 1 0 20 0 0 0 0 0 0];\n")
    assert case.notes == ("mpc.dcline is not modelled: the study is of the grid without it",)


COSTS = "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;"


def test_ragged_costs_are_filled_with_zeros(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace(COSTS, "2 0 0 3 0 10 0;\n1 0 0 3 0 0 10 100 20 300;"))
    assert case.cost_polynomial[0].tolist() == [0, 10, 0]
    assert case.cost_points[1].tolist() == [[0, 0], [10, 100], [20, 300]]


def test_slopes_that_fall_by_rounding_become_convex(tmp_path: Path) -> None:
    rounded = "2 0 0 3 0 10 0;\n1 0 0 4 0 0 10 100.01 20 200 30 301;"
    case = read(tmp_path, THREE.replace(COSTS, rounded))
    assert case.cost_points[1].tolist() == [[0, 0], [20, 200], [30, 301]]
    assert "fall by rounding" in case.notes[0]


def test_equal_points_are_one(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace(COSTS, "2 0 0 1 7 0 0 0;\n1 0 0 2 0 9 0 9;"))
    assert case.cost_polynomial.tolist() == [[0, 0, 7], [0, 0, 9]]


def test_cubic_costs_are_pieces_as_close_as_they_say(tmp_path: Path) -> None:
    case = read(tmp_path, THREE.replace(COSTS, "2 0 0 4 0 0 10 0;\n2 0 0 4 1e-3 0 10 5;"))
    mw = np.linspace(0, 200, 10_001)
    off = np.interp(mw, *case.cost_points[1].T) - (1e-3 * mw**3 + 10 * mw + 5)
    assert off.min() > -1e-6
    assert f"{off.max():.2g} USD/h above it at most" in case.notes[0]


def test_costs_of_what_is_out_of_service_do_not_matter(tmp_path: Path) -> None:
    text = THREE.replace("2 0 0 0 0 1 100 1 200 0", "2 0 0 0 0 1 100 0 200 0")
    assert read(tmp_path, text.replace("2 0 0 3 0 30 5", "2 0 0 3 -1 30 5")).notes == ()


def test_fields_that_say_nothing_of_the_grid_are_passed_over(tmp_path: Path) -> None:
    words = ("name", "case_name", "source", "comment", "description")
    lines = [f"mpc.{name} = 'three buses';\n" for name in words]
    lines += [f"mpc.{name} = [1 2 3];\n" for name in ("areas", "bus_geo", "bus_coord")]
    assert read(tmp_path, THREE + "".join(lines)).notes == ()

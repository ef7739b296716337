"""The reader: what it reads, and what it says of what it cannot use."""

from pathlib import Path

import numpy as np
import pytest

from sim.grid import Case, CaseError, read_case
from tests.grid.meshes import THREE


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
    text += "mpc.areas = [1 nonsense];\nmpc.bus_name = {'North 50%'; 'O''Hare';\n 'South'};\n"
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
    "old version": ("version = '2'", "version = '1'", "mpc.version = 1: must be '2'"),
    "no base": ("mpc.baseMVA = 100.0;", "", "mpc.baseMVA = missing: must be a number > 0"),
    "no branches": ("mpc.branch", "mpc.lines", "mpc.branch: missing; a case needs mpc.bus"),
    "ragged": ("1 2 0 0.1 0 0  0 0", "1 2 0 0.1 0", "mpc.branch row 2: 13 columns; must be 10"),
    "narrow": (" 1 200 0;", " 1;", "mpc.gen row 1: 8 columns; at least 10"),
    "a word": ("7 1 150", "7 1 high", "mpc.bus row 3, column 3 = high: must be a number"),
    "infinite load": ("7 1 150", "7 1 Inf", "row 3, column 3 (PD) = inf: must be finite [MW]"),
    "half a bus": (BUS_2, "    2.5 2   0 0", "(BUS_I) = 2.5: must be a whole number >= 1"),
    "twice": (BUS_2, "    1 2   0 0", "row 2, column 1 (BUS_I) = 1: already in row 1"),
    "bus type": ("7 1 150", "7 5 150", "row 3, column 2 (BUS_TYPE) = 5: must be 1, 2 or 3"),
    "isolated": ("7 1 150", "7 4 150", "row 3, column 2 (BUS_TYPE) = 4: islanded"),
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
    "cubic": (
        "    2 0 0 3 0 10 0;\n    2 0 0 3 0 30 5;",
        "    2 0 0 3 0 10 0 0;\n    2 0 0 4 0.1 0 30 5;",
        "mpc.gencost row 2, column 5 (P^3) = 0.1: must be 0; costs up to quadratic only",
    ),
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
    text = THREE.replace("1 2 0 0.1", "1 2 0 0").replace("2 0 0 3 0 30 5", "9 0 0 3 0 30 5")
    with pytest.raises(CaseError) as refused:
        read(tmp_path, text)
    assert len(str(refused.value).split("\n")) == 2


@pytest.mark.parametrize(
    ("names", "words"),
    [("{'a'; 'b'}", "2 names; must be 3"), ("{'a'; 'b'; 'a'}", "'a' more than once")],
)
def test_wrong_names(tmp_path: Path, names: str, words: str) -> None:
    with pytest.raises(CaseError, match=words):
        read(tmp_path, THREE + f"mpc.bus_name = {names};\n")

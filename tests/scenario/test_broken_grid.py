"""Broken grids: cases, rings and outages; one clear message each, and exit code 2."""

from pathlib import Path

import pytest

from sim.scenario import load
from tests.builders.broken import Change, both, cell, extra, remove, toml, write
from tests.builders.broken_energy import DAY, SHORT, WEEK, refuses
from tests.scenario.conftest import Check

LINK = "from_node,to_node,capacity_mw,loss_fraction,reactance_pu\n"
NODES = "name,kind\nercot,zone\nsubstation-1,substation\nfeeder-1,feeder\n"


CASE = """function mpc = triangle
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
 1 3 0  0 0 0 1 1 0 230 1 1.1 0.9
 2 1 50 0 0 0 1 1 0 230 1 1.1 0.9
 3 1 50 0 0 0 1 1 0 230 1 1.1 0.9
];
mpc.gen = [1 0 0 0 0 1 100 1 300 0];
mpc.gencost = [2 0 0 2 20 0];
mpc.branch = [
 1 2 0.01 0.1 0 100 0 0 0 0 1
 1 2 0.01 0.1 0 100 0 0 0 0 1
 2 3 0.01 0.1 0 100 0 0 0 0 1
 1 3 0.01 0.1 0 100 0 0 0 0 1
];
"""


RING = ("ercot,substation-1,30,0,0.1", "substation-1,feeder-1,16,0,0.1", "ercot,feeder-1,9,0,0.2")


def links(*rows: str, nodes: str = NODES) -> Change:
    return both(
        write("grid_nodes.csv", nodes), write("grid_links.csv", LINK + "\n".join(rows) + "\n")
    )


def outage(text: str) -> Change:
    return extra(f"[[grid.outages]]\nstart_utc = 2026-01-02T00:00:00Z\nhours = 5\n{text}\n")


def case(text: str = CASE, rest: str = "") -> Change:
    return both(
        write("triangle.m", text),
        remove("grid_nodes.csv"),
        remove("grid_links.csv"),
        cell("sites", 2, "grid_node", "2"),
        cell("sites", 3, "grid_node", "3"),
        extra(f'[grid]\ncase = "triangle.m"\n{rest}'),
    )


EAST = both(
    cell("sites", 2, "price_zone", "east"),
    extra('[prices.zones.east]\nmodel = "dc-opf"\n'),
)

# what is broken → (how, what the message must say)
BROKEN: dict[str, tuple[Change, list[str]]] = {
    "locational prices without a case": (
        EAST,
        ["prices.zones.east.model = 'dc-opf': needs a MATPOWER case: grid.case"],
    ),
    "locational prices of two settings": (
        both(case(), EAST, extra('[prices.zones.two]\nmodel = "dc-opf"\nupdate_s = 3600')),
        ["prices.zones: zones of model dc-opf must have the same settings"],
    ),
    "power flow between the control steps": (
        both(case(), EAST, extra("update_s = 1000")),
        ["prices.zones.east.update_s = 1000: must divide horizon.step_s = 900 s or be a multiple"],
    ),
    "a case beside the sheets": (
        both(
            write("triangle.m", CASE),
            extra('[grid]\ncase = "triangle.m"'),
            cell("sites", 2, "grid_node", "2"),
            cell("sites", 3, "grid_node", "3"),
        ),
        [
            "2 problems",
            "grid_nodes.csv: a scenario with a grid.case",
            "grid_links.csv: a scenario with a",
            "leave the rows out",
        ],
    ),
    "site at no bus": (
        both(case(), cell("sites", 2, "grid_node", "")),
        ["sites.csv: row 2 (alpha), grid_node: is required: the number of a bus", "(3 buses)"],
    ),
    "site at an unknown bus": (
        both(case(), cell("sites", 2, "grid_node", "7")),
        ["sites.csv: row 2 (alpha), grid_node = '7': allowed: 1, 2, 3"],
    ),
    "case file that is not there": (
        both(case(), remove("triangle.m")),
        ["scenario.toml: grid.case = 'triangle.m': no such file"],
    ),
    "case in a data folder that is not given": (
        both(case(), toml('case = "triangle.m"', 'case = "{data_dir}/triangle.m"')),
        ["grid.case = '{data_dir}/triangle.m': no data folder is given", "HASHWATT_DATA"],
    ),
    "case that is another file": (
        case("name,kind\nercot,zone\n"),
        [
            "grid.case = 'triangle.m'",
            "line 1: `name,kind`: 'name' is neither a value set before nor a function known here",
        ],
    ),
    "site at an isolated bus": (
        case(CASE.replace("3 1 50", "3 4 50")),
        ["row 3 (", "grid_node = '3': no power reaches this bus of the case"],
    ),
    "case that is not even text": (
        both(
            case(),
            lambda folder: (folder / "triangle.m").write_bytes(b"\x93NUMPY\xff\x00") and None,
        ),
        ["grid.case = 'triangle.m'", "is not a MATPOWER file", "NUL"],
    ),
    "case with a wrong branch": (
        case(CASE.replace("2 3 0.01 0.1", "2 9 0.01 0.1")),
        ["grid.case = 'triangle.m'", "mpc.branch row 3, column 2 (T_BUS) = 9: no such bus"],
    ),
    "ring without reactances": (
        links(RING[0], "substation-1,feeder-1,16,0,", RING[2]),
        ["grid_links.csv: row 3 (substation-1 → feeder-1), reactance_pu: is required", "ring"],
    ),
    "parallel links without reactances": (
        links(*RING[:2], "substation-1,feeder-1,16,0,"),
        ["grid_links.csv: row 4 (substation-1 → feeder-1), reactance_pu: is required"],
    ),
    "losses in a mesh": (
        links(*RING[:2], "ercot,feeder-1,9,0.02,0.2"),
        ["row 4 (ercot → feeder-1), loss_fraction = 0.02: must be 0", "has no losses"],
    ),
    "island in a mesh": (
        links(*RING, nodes=NODES + "island,feeder\n"),
        ["grid_nodes.csv: name 'island': no path of links leads to it from a zone"],
    ),
    "link to itself": (
        links(*RING[:2], "feeder-1,feeder-1,9,0,"),
        ["grid_links.csv: row 4, to_node = 'feeder-1': must not be its from_node"],
    ),
    "reactance of nothing": (
        links("ercot,substation-1,30,0,0", RING[1]),
        ["grid_links.csv: row 2 (substation-1), reactance_pu = '0': must be > 0 p.u."],
    ),
    "outage of an unknown link": (
        outage('from_node = "ercot"\nto_node = "substation"'),
        [
            "grid.outages, entry 1 = 'ercot → substation': no such link",
            "did you mean 'ercot → substation-1'?",
        ],
    ),
    "outage of an unknown branch": (
        both(case(), outage('from_node = "2"\nto_node = "9"')),
        ["grid.outages, entry 1 = '2 → 9': no such link", "1 → 2, 1 → 3, 2 → 3"],
    ),
    "outage of a circuit too many": (
        both(case(), outage('from_node = "2"\nto_node = "1"\ncircuit = 3')),
        ["grid.outages, entry 1, circuit = 3: must be 1 to 2", "2 links between the two"],
    ),
    "outages that overlap": (
        both(
            outage('from_node = "ercot"\nto_node = "substation-1"'),
            outage('from_node = "substation-1"\nto_node = "ercot"\nleft_fraction = 0.5'),
        ),
        [
            "entry 2 = 'substation-1 → ercot': overlaps entry 1 (ercot → substation-1)",
            "ends at 2026-01-02T05:00:00Z",
        ],
    ),
    "outage that leaves more than all": (
        outage('from_node = "ercot"\nto_node = "substation-1"\nleft_fraction = 50'),
        ["grid.outages.0.left_fraction = 50: must be <= 1"],
    ),
    "load series without a column": (
        both(DAY, case(rest='load_series = "day"')),
        ["grid: load_series and load_column: give both or none"],
    ),
    "load series without a case": (
        both(WEEK, extra('[grid]\nload_series = "day"\nload_column = "x"')),
        ["grid.load_series = 'day': scales the loads of a MATPOWER case"],
    ),
    "loads of the case beyond their series": (
        both(DAY, case(rest='load_series = "day"\nload_column = "x"')),
        ["scenario.toml: grid.load_series", *SHORT],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_message(name: str, folder: Path, check: Check) -> None:
    """Exit code 2; what is said names file, row or key, value and rule."""
    change, words = BROKEN[name]
    change(folder)
    refuses(check, words)


@pytest.mark.parametrize(
    "change",
    [
        links(*RING),
        links(RING[0], "substation-1,feeder-1,16,0.01,"),
        both(case(), EAST, outage('from_node = "2"\nto_node = "1"\ncircuit = 2')),
    ],
    ids=["ring", "tree", "case"],
)
def test_what_is_broken_here_is_otherwise_allowed(
    change: Change, folder: Path, check: Check
) -> None:
    change(folder)
    code, said = check()
    assert code == 0, said


def test_a_case_and_an_outage_are_found_from_a_scenario_that_builds_on_theirs(
    folder: Path,
) -> None:
    both(case(), EAST, outage('from_node = "2"\nto_node = "1"'))(folder)
    child = folder.parent / "children" / "first"
    child.mkdir(parents=True)
    (child / "scenario.toml").write_text('base = "../../broken"\n[grid]\nload_fraction = 1.5\n')
    scenario = load(child)
    assert scenario.case is not None
    assert scenario.case.load_mw.tolist() == [0.0, 50.0, 50.0]
    assert scenario.grid.load_fraction == 1.5
    assert [o.to_node for o in scenario.grid.outages] == ["1"]


def test_a_sheet_without_rows_makes_room_for_a_case(folder: Path) -> None:
    """A scenario that builds on one with a grid of sheets empties them below the header."""
    child = folder.parent / "child"
    child.mkdir()
    (child / "grid_nodes.csv").write_text("name,kind\n")
    (child / "grid_links.csv").write_text(LINK)
    (child / "triangle.m").write_text(CASE)
    (child / "scenario.toml").write_text('base = "../broken"\n[grid]\ncase = "triangle.m"\n')
    scenario = load(child, {"sites.*.grid_node": 2})
    assert scenario.grid_links == ()
    assert [site.grid_node for site in scenario.sites] == ["2", "2"]

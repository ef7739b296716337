"""PTDF against nodal equations and against the Laplacian of networkx; the flow kernels."""

from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.grid import Mesh, MeshError, flows, mesh_of, ptdf, read_case
from sim.kernels.mesh import balance, invert, line_flows, worst_overload
from tests.builders.meshes import THREE, live_islands, nodal_flows, random_mesh


def balanced(mesh: Mesh, seed: int) -> np.ndarray:
    """Injections that sum to 0 in every live island and are 0 elsewhere."""
    draw = np.random.default_rng(seed)
    injection = np.zeros(len(mesh.bus_names))
    for island in live_islands(mesh):
        buses = sorted(island)
        some = draw.normal(0.0, 10.0, len(buses))
        injection[buses] = some - some.mean()
    return injection


@given(st.integers(0, 100_000), st.integers(2, 14))
def test_flows_equal_the_nodal_equations(seed: int, buses: int) -> None:
    mesh = random_mesh(seed, buses)
    injection = balanced(mesh, seed)
    np.testing.assert_allclose(flows(mesh, injection), nodal_flows(mesh, injection), atol=1e-9)


@given(st.integers(0, 100_000), st.integers(2, 14))
def test_factors_equal_the_laplacian_of_networkx(seed: int, buses: int) -> None:
    mesh = random_mesh(seed, buses, outages=False)
    factors = ptdf(mesh)
    graph: nx.MultiGraph[int] = nx.MultiGraph()
    graph.add_nodes_from(range(buses))
    for n, (a, b) in enumerate(zip(mesh.from_bus.tolist(), mesh.to_bus.tolist(), strict=True)):
        graph.add_edge(a, b, weight=mesh.susceptance_mw[n])
    angle = np.linalg.pinv(nx.laplacian_matrix(graph).toarray())
    raw = mesh.susceptance_mw[:, None] * (angle[mesh.from_bus] - angle[mesh.to_bus])
    (slack,) = factors.slack_bus
    assert slack == mesh.source_bus[mesh.source_max_mw > 0].min()
    np.testing.assert_allclose(factors.matrix, raw - raw[:, [slack]], atol=1e-9)


def test_flows_of_118_buses(data: Path) -> None:
    mesh = mesh_of(read_case(data / "grid/pglib_opf_case118_ieee.m"))
    injection = balanced(mesh, 1)
    np.testing.assert_allclose(flows(mesh, injection), nodal_flows(mesh, injection), atol=1e-8)
    graph: nx.MultiGraph[int] = nx.MultiGraph()
    graph.add_nodes_from(range(118))
    for a, b, w in zip(mesh.from_bus, mesh.to_bus, mesh.susceptance_mw, strict=True):
        graph.add_edge(int(a), int(b), weight=w)
    angle = np.linalg.pinv(nx.laplacian_matrix(graph).toarray()) @ injection
    wanted = mesh.susceptance_mw * (angle[mesh.from_bus] - angle[mesh.to_bus])
    np.testing.assert_allclose(flows(mesh, injection), wanted, atol=1e-7)


@given(st.integers(0, 100_000), st.integers(2, 14))
def test_a_line_out_of_service_is_a_line_not_there(seed: int, buses: int) -> None:
    mesh = random_mesh(seed, buses)
    on = mesh.in_service
    gone = replace(
        mesh,
        line_names=tuple(n for n, kept in zip(mesh.line_names, on, strict=True) if kept),
        **{
            name: getattr(mesh, name)[on]
            for name in ("from_bus", "to_bus", "susceptance_mw", "shift_rad", "limit_mw")
        },
        in_service=on[on],
    )
    factors, wanted = ptdf(mesh), ptdf(gone)
    np.testing.assert_allclose(factors.matrix[on], wanted.matrix, atol=1e-9)
    assert not factors.matrix[~on].any()
    assert factors.dead_bus.tolist() == wanted.dead_bus.tolist()


def test_dead_islands_are_listed_and_nothing_flows_there(tmp_path: Path) -> None:
    mesh = three(tmp_path)
    mesh = replace(mesh, in_service=np.array([True, False, False]))
    factors = ptdf(mesh)
    assert factors.island.tolist() == [0, 0, 1]
    assert factors.slack_bus.tolist() == [0, -1]
    assert factors.dead_bus.tolist() == [False, False, True]
    assert not factors.matrix[:, 2].any()


def three(folder: Path, text: str = THREE) -> Mesh:
    (folder / "three.m").write_text(text)
    return mesh_of(read_case(folder / "three.m"))


def test_forms_of_susceptance_and_phase_shifts(tmp_path: Path) -> None:
    """Around a ring of three equal lines a shift of 3 degrees drives b x 1 degree."""
    (tmp_path / "three.m").write_text(
        THREE.replace("1 7 0 0.1 0 80 0 0 0 0", "1 7 0.1 0.1 0 80 0 0 0.5 3")
    )
    case = read_case(tmp_path / "three.m")
    plain = mesh_of(case)
    assert plain.susceptance_mw.tolist() == pytest.approx([1000, 500, 1000])
    assert not plain.shift_rad.any()
    taps = mesh_of(case, "1/(x·tap)")
    assert taps.susceptance_mw.tolist() == pytest.approx([1000, 2000, 1000])
    ring = replace(taps, susceptance_mw=np.full(3, 1000.0))
    np.testing.assert_allclose(
        ptdf(ring).base_mw, 1000.0 * np.deg2rad(1.0) * np.array([1, -1, 1]), rtol=1e-12
    )
    with pytest.raises(ValueError, match="must be 'x/"):
        mesh_of(case, "1/x")  # type: ignore[arg-type]


def test_parallel_lines_get_names_of_their_own(tmp_path: Path) -> None:
    mesh = three(tmp_path, THREE.replace("    2 7 0", "    1 7 0"))
    assert mesh.line_names == ("1 → 2", "1 → 7 (1)", "1 → 7 (2)")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("to_bus", np.array([1, 2, 9]), r"Mesh.to_bus\[2\] = 9: must be a bus, 0 to 2"),
        ("to_bus", np.array([1, 2, 1]), r"Mesh.to_bus\[2\] = 1: must not be the line's from_bus"),
        ("susceptance_mw", np.array([1.0, 0.0, 1.0]), r"susceptance_mw\[1\] = 0.0"),
        ("limit_mw", np.array([1.0, np.nan, 1.0]), r"limit_mw\[1\] = nan: must be >= 0"),
        ("source_max_mw", np.array([1.0, -1.0]), r"source_max_mw\[1\] = -1.0: must be >= its min"),
        ("load_mw", np.zeros(2), r"Mesh.load_mw: shape \(2,\); must be \(3,\)"),
        ("line_names", ("a", "b", "a"), r"Mesh.line_names: 'a' more than once"),
    ],
)
def test_a_mesh_that_contradicts_itself(
    tmp_path: Path, field: str, value: object, words: str
) -> None:
    with pytest.raises(MeshError, match=words):
        replace(three(tmp_path), **{field: value})  # type: ignore[arg-type]


def test_susceptances_that_cancel(tmp_path: Path) -> None:
    mesh = three(tmp_path, THREE.replace("    2 7 0", "    1 7 0"))
    with pytest.raises(MeshError, match="cancel"):
        ptdf(replace(mesh, susceptance_mw=np.array([1000.0, 500.0, -500.0])))


def test_the_kernels_against_numpy() -> None:
    draw = np.random.default_rng(1)
    factors, injection, base = draw.normal(size=(30, 50)), draw.normal(size=30), np.ones(50)
    injection[4] = 0.0
    flow = np.empty(50)
    line_flows(factors, injection, base, flow)
    np.testing.assert_allclose(flow, injection @ factors + base, rtol=1e-12)
    assert worst_overload(flow, np.full(50, np.inf)) == -1
    assert worst_overload(flow, np.abs(flow)) == -1
    limit = np.abs(flow)
    limit[[7, 9]] -= [0.1, 0.2]
    assert worst_overload(flow, limit) == 9


@given(st.integers(0, 100_000), st.integers(1, 20))
def test_an_inverse_is_that_of_numpy(seed: int, size: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    matrix[0, 0] = 0.0 if size > 1 else 1.0  # rows must be swapped
    inverse = np.empty((size, size))
    assert invert(matrix.copy(), inverse)
    np.testing.assert_allclose(inverse @ matrix, np.eye(size), atol=1e-7)
    matrix[-1] = matrix[0] if size > 1 else 0.0
    assert not invert(matrix, inverse)


@pytest.mark.parametrize(
    ("load", "start", "wanted", "enough"),
    [
        (30.0, [0.0, 0.0], [10.0, 20.0], True),  # by shares of what they can still do
        (15.0, [20.0, 10.0], [10.0, 5.0], True),
        (70.0, [0.0, 0.0], [20.0, 40.0], False),
        (-1.0, [5.0, 5.0], [0.0, 0.0], False),
    ],
)
def test_a_dispatch_moves_to_its_demand(
    load: float, start: list[float], wanted: list[float], enough: bool
) -> None:
    dispatch, one = np.array(start), np.zeros(2, dtype=np.int64)
    bounds = (np.zeros(2), np.array([20.0, 40.0]))
    demand = np.array([load, 0.0])
    assert balance(demand, one, one, *bounds, np.empty((1, 3)), dispatch) is enough
    assert dispatch.tolist() == pytest.approx(wanted)


def test_sources_without_end_rise_alike() -> None:
    dispatch, one = np.array([1.0, 2.0, 3.0]), np.zeros(3, dtype=np.int64)
    bounds = (np.zeros(3), np.array([np.inf, 9.0, np.inf]))
    assert balance(np.array([16.0, 0, 0]), one, one, *bounds, np.empty((1, 3)), dispatch)
    assert dispatch.tolist() == [6.0, 2.0, 8.0]

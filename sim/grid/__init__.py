"""A meshed grid: cases, power flows, nodal prices, and the load requests its lines can carry."""

from sim.grid.grant import Granted, MeshGrant
from sim.grid.matpower import Case, CaseError, read_case
from sim.grid.mesh import Mesh, MeshError, Ptdf, flows, islands, mesh_of, ptdf
from sim.grid.opf import DcOpf, Dispatch, OpfError

__all__ = [
    "Case",
    "CaseError",
    "DcOpf",
    "Dispatch",
    "Granted",
    "Mesh",
    "MeshError",
    "MeshGrant",
    "OpfError",
    "Ptdf",
    "flows",
    "islands",
    "mesh_of",
    "ptdf",
    "read_case",
]

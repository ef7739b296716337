"""N-1 security: the flow on every line after the outage of any single other line.

Line outage distribution factors from the PTDF (Wood, Wollenberg and Sheblé, Power Generation,
Operation and Control, 3rd ed. 2013, section 7.4): after an outage of line k, line l carries
flow_l + factor[l, k] flow_k, with injections as before.
"""

from typing import Final

import numpy as np

from sim.grid.mesh import Mesh, ptdf
from sim.types import Bools, Floats, Ints

ALONE: Final = 1e-6  # a line that carries all but this share of its own transfer is the only path
OVER_MW: Final = 1e-5  # beyond the solver's tolerance


class Security:
    """Single outages of a mesh. Shapes: `line`; `factor` (line, line) is (watched, out).

    Outages that disconnect part of the grid are left out: `alone` (line,).
    """

    def __init__(self, mesh: Mesh) -> None:
        matrix = ptdf(mesh).matrix
        transfer = matrix[:, mesh.from_bus] - matrix[:, mesh.to_bus]  # (line, line)
        own = transfer.diagonal()
        self.alone: Bools = mesh.in_service & (own > 1.0 - ALONE)
        out = mesh.in_service & ~self.alone & (mesh.susceptance_mw != 0.0)
        self.outages: Ints = np.flatnonzero(out)
        self.factor = transfer[:, self.outages] / (1.0 - own[self.outages])
        self.limit_mw = np.where(mesh.in_service, mesh.limit_mw, np.inf)

    def after_mw(self, flow_mw: Floats) -> Floats:
        """Flows (line, outage) after each outage; 0 on the line that is out."""
        after = flow_mw[:, None] + self.factor * flow_mw[self.outages]
        after[self.outages, np.arange(len(self.outages))] = 0.0
        return after

    def overloads(self, flow_mw: Floats) -> tuple[Ints, Ints]:
        """Pairs of an overloaded line and the outage that overloads it."""
        over = np.abs(self.after_mw(flow_mw)) > self.limit_mw[:, None] + OVER_MW
        line, outage = np.nonzero(over)
        return line, self.outages[outage]

    def factors(self, line: Ints, out: Ints) -> Floats:
        """Factors of pairs of lines."""
        return np.asarray(self.factor[line, np.searchsorted(self.outages, out)], dtype=np.float64)

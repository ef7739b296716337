"""The arrays of a fleet in one box, and the kernels of a control step as calls on the box.

Numba unpacks every array of every argument at each call, a quarter of a microsecond an array: with
a hundred arrays that is most of a step. A box is one pointer. It holds the same arrays that Python
sees; what either changes, the other reads.
"""

from typing import Any, Final

import numpy as np
from numba import typeof
from numba.core import config, types
from numba.experimental import structref

from sim.kernels import energy, grant, site
from sim.kernels.arrays import (
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    Course,
    Floats,
    Items,
    Limits,
    NodeGroups,
    NodeState,
    Programmes,
    ProgrammeState,
    Sites,
    SiteState,
)
from sim.kernels.jit import kernel
from sim.kernels.power import allot

DISABLED: Final = "DISABLE_JIT"  # a setting that numba fills when it is loaded
PLAIN: Final = bool(getattr(config, DISABLED))
FIELDS = (
    "asics", "asic", "nodes", "node", "sites", "site", "assets", "asset", "limits", "items",
    "programmes", "programme", "called_w",
)  # fmt: skip


@structref.register
class FleetType(types.StructRef):
    """Numba's type of a box."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Lengths known at compilation are not part of the type."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Fleet(structref.StructRefProxy):
    """A box as Python holds it; `box` makes one."""

    def __new__(cls, *fields: Any) -> Any:
        """The arrays in the order of FIELDS."""
        if PLAIN:
            made = object.__new__(cls)
            for name, value in zip(FIELDS, fields, strict=True):
                setattr(made, name, value)
            return made
        return structref.StructRefProxy.__new__(cls, *fields)


structref.define_proxy(Fleet, FleetType, list(FIELDS))


def fleet_type(*fields: Any) -> Any:
    """Numba's type of the box that holds these, before there is one; None in plain Python."""
    kind: Any = FleetType
    return None if PLAIN else kind([(n, typeof(v)) for n, v in zip(FIELDS, fields, strict=True)])


@kernel
def box(
    asics: AsicGroups,
    asic: AsicState,
    nodes: NodeGroups,
    node: NodeState,
    sites: Sites,
    site: SiteState,
    assets: Assets,
    asset: AssetState,
    limits: Limits,
    items: Items,
    programmes: Programmes,
    programme: ProgrammeState,
    called_w: Floats,
) -> Any:
    """Put the arrays of a fleet into a box."""
    return Fleet(
        asics, asic, nodes, node, sites, site, assets, asset, limits, items, programmes, programme,
        called_w,
    )  # fmt: skip


@kernel
def advance(fleet: Any, t_s: float) -> None:
    """`site.advance` on a box."""
    site.advance(fleet.asics, fleet.asic, fleet.nodes, fleet.node, t_s)


@kernel
def settle(fleet: Any, t_s: float) -> None:
    """`energy.measure`, then `site.settle` on a box."""
    energy.measure(fleet.site, fleet.programmes, fleet.programme, t_s - fleet.site.settled_s[0])
    at_site_j = np.zeros(fleet.site.price.shape[0])
    site.settle(
        fleet.asics, fleet.asic, fleet.nodes, fleet.node, fleet.sites, fleet.site, fleet.assets,
        fleet.asset, at_site_j, t_s,
    )  # fmt: skip


@kernel
def earn(fleet: Any, btc: Floats, usd_per_btc: float, fee: float) -> None:
    """`site.earn` on a box."""
    site.earn(fleet.site, btc, usd_per_btc, fee)


@kernel
def bill(fleet: Any, step_s: float) -> None:
    """`energy.bill` on a box."""
    energy.bill(fleet.site, fleet.programmes, fleet.programme, step_s)


@kernel
def look(fleet: Any, course: Course, step: int) -> None:
    """`site.look`, then `site.condition` on a box."""
    site.look(course, fleet.site, fleet.asset, fleet.programme, step)
    site.condition(fleet.asics, fleet.asic, fleet.nodes, fleet.node, fleet.sites, fleet.site)


@kernel
def condition(fleet: Any) -> None:
    """`site.condition` on a box."""
    site.condition(fleet.asics, fleet.asic, fleet.nodes, fleet.node, fleet.sites, fleet.site)


@kernel
def grant_nested(fleet: Any, t_s: float, step_s: float, usd_per_th: float) -> None:
    """Turn the WISH rows into GRANTED rows that no limit forbids (radial); see what stands by.

    First what may start at all (`READY`): staggered starts, and the shortest pause of a group that
    was lowered. Then the limits: contracted GPU nodes, serving, batch nodes, ASICs by margin per
    MWh at the meter, charging batteries; the least valuable is shed first, by turning machines off.
    `usd_per_th` [USD/TH] values a hash.
    """
    asics, asic, nodes, node = fleet.asics, fleet.asic, fleet.nodes, fleet.node
    sites, at, assets, asset = fleet.sites, fleet.site, fleet.assets, fleet.asset
    items, limits = fleet.items, fleet.limits
    grant.weigh(
        asics, asic, nodes, node, sites, at, assets, asset, limits, items, t_s, step_s, usd_per_th
    )
    room_w = limits.room_w.copy()
    allot(items.value, items.wish_w, items.site, limits, room_w, items.granted_w)
    grant.find_binding(at, limits, room_w)
    grant.settle_grant(
        asics, asic, nodes, node, sites, at, assets, asset, limits, items, t_s, usd_per_th
    )
    stand_by(fleet, step_s)


@kernel
def weigh(fleet: Any, t_s: float, step_s: float, usd_per_th: float) -> None:
    """`grant.weigh` on a box."""
    grant.weigh(
        fleet.asics, fleet.asic, fleet.nodes, fleet.node, fleet.sites, fleet.site, fleet.assets,
        fleet.asset, fleet.limits, fleet.items, t_s, step_s, usd_per_th,
    )  # fmt: skip


@kernel
def settle_grant(fleet: Any, t_s: float, step_s: float, usd_per_th: float) -> None:
    """`grant.settle_grant`, then `energy.stand_by` on a box."""
    grant.settle_grant(
        fleet.asics, fleet.asic, fleet.nodes, fleet.node, fleet.sites, fleet.site, fleet.assets,
        fleet.asset, fleet.limits, fleet.items, t_s, usd_per_th,
    )  # fmt: skip
    stand_by(fleet, step_s)


@kernel
def stand_by(fleet: Any, step_s: float) -> None:
    """`energy.stand_by` on a box; nothing where there is no programme."""
    if fleet.programmes.enrolled.shape[0] == 0:
        return
    energy.stand_by(
        fleet.asics, fleet.asic, fleet.sites, fleet.site, fleet.assets, fleet.asset,
        fleet.programmes, fleet.programme, step_s,
    )  # fmt: skip


@kernel
def call(fleet: Any, p: int) -> None:
    """`energy.call` on a box."""
    energy.call(fleet.site, fleet.programme, p)


@kernel
def call_caps(fleet: Any) -> None:
    """`energy.call_caps` on a box."""
    energy.call_caps(
        fleet.sites, fleet.site, fleet.programmes, fleet.programme, fleet.limits, fleet.called_w
    )

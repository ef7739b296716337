"""The arrays of a fleet in one box, which the kernels of a control step are called with.

Numba unpacks every array of every argument at each call, a quarter of a microsecond an array: with
a hundred arrays that is most of a step. A box is one pointer. It holds the same arrays that Python
sees; what either changes, the other reads.
"""

from typing import Any, Final

from numba import typeof
from numba.core import config, types
from numba.experimental import structref

from sim.kernels.arrays import (
    AsicGroups,
    AsicState,
    Assets,
    AssetState,
    Items,
    Limits,
    MeterState,
    NodeGroups,
    NodeState,
    PricesInForce,
    Programmes,
    ProgrammeState,
    Sites,
    SiteState,
    SupplyState,
)
from sim.kernels.jit import kernel
from sim.types import Floats

DISABLED: Final = "DISABLE_JIT"  # a setting that numba fills when it is loaded
PLAIN: Final = bool(getattr(config, DISABLED))


@structref.register
class FleetType(types.StructRef):
    """Numba's type of a box."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Lengths known at compilation are not part of the type."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Fleet(structref.StructRefProxy):
    """A box, in Python and in kernels; `pack` makes one."""

    asics: AsicGroups
    asic: AsicState
    nodes: NodeGroups
    node: NodeState
    sites: Sites
    site: SiteState
    prices: PricesInForce
    supply: SupplyState
    meters: MeterState
    assets: Assets
    asset: AssetState
    limits: Limits
    items: Items
    programmes: Programmes
    programme: ProgrammeState
    called_w: Floats  # (2, site) caps on machines by calls in force, and to come [W]

    def __new__(cls, *fields: Any) -> Any:
        """The arrays in the order of FIELDS."""
        if PLAIN:
            made = object.__new__(cls)
            for name, value in zip(FIELDS, fields, strict=True):
                setattr(made, name, value)
            return made
        return structref.StructRefProxy.__new__(cls, *fields)


FIELDS: Final = tuple(Fleet.__annotations__)
structref.define_proxy(Fleet, FleetType, list(FIELDS))


def fleet_type(groups: tuple[Any, ...]) -> Any:
    """Numba's type of the box that holds these, before there is one; None in plain Python."""
    kind: Any = FleetType
    return None if PLAIN else kind([(n, typeof(v)) for n, v in zip(FIELDS, groups, strict=True)])


@kernel
def box(groups: tuple[Any, ...]) -> Any:
    """Put groups of arrays, in the order of FIELDS, into a box for kernels."""
    return Fleet(*groups)


def pack(groups: tuple[Any, ...]) -> Fleet:
    """A box of these groups of arrays, in the order of FIELDS, with their names in Python."""
    made: Fleet = box(groups)
    vars(made).update(zip(FIELDS, groups, strict=True))
    return made

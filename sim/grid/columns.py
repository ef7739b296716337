"""MATPOWER's column names, for case files that use them.

Source: idx_bus.m, idx_brch.m, idx_gen.m and idx_cost.m of MATPOWER 8. Each function returns its
names in the order given here; `define_constants` defines them all.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final


def _numbered(names: str) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), 1)}


_BUS = _numbered("PQ PV REF NONE") | _numbered(
    "BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q MU_VMAX MU_VMIN"
)
_BRANCH_COLUMNS = _numbered(
    "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS ANGMIN ANGMAX "
    "PF QF PT QT MU_SF MU_ST MU_ANGMIN MU_ANGMAX"
)
_BRANCH_ORDER = (
    "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS "
    "PF QF PT QT MU_SF MU_ST ANGMIN ANGMAX MU_ANGMIN MU_ANGMAX"
)
_GEN_COLUMNS = _numbered(
    "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN PC1 PC2 QC1MIN QC1MAX QC2MIN QC2MAX "
    "RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF MU_PMAX MU_PMIN MU_QMAX MU_QMIN"
)
_GEN_ORDER = (
    "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN MU_PMAX MU_PMIN MU_QMAX MU_QMIN "
    "PC1 PC2 QC1MIN QC1MAX QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF"
)

IDX: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "idx_bus": _BUS,
        "idx_brch": {name: _BRANCH_COLUMNS[name] for name in _BRANCH_ORDER.split()},
        "idx_gen": {name: _GEN_COLUMNS[name] for name in _GEN_ORDER.split()},
        "idx_cost": _numbered("PW_LINEAR POLYNOMIAL")
        | _numbered("MODEL STARTUP SHUTDOWN NCOST COST"),
    }
)

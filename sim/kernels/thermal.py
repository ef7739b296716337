"""Heat and where it goes: humid air, fans, chillers, and what machines do when they run hot.

All ways of cooling are one machine with different figures. Heat leaves to a sink: the air outside,
that air after wet pads, or (a cooling tower) its wet bulb. At full speed the fans keep the warm
side (exhaust air, coolant, condenser) `approach_k` above the sink. Below full speed they run just
fast enough to hold the warm side at `hold_c`; at full speed it warms with the sink, and from
`derate_start_c` of the sink the machines slow down, above `trip_c` they are off.

A way of cooling is a row of figures, in the order of the constants below (units in the names).
"""

from math import atan, exp, sqrt
from typing import Final

import numpy as np

from sim.kernels.jit import kernel, pure_kernel
from sim.types import Floats

# Columns of a row of cooling figures; shares are W of cooling per W of machines.
BASE_SHARE: Final = 0  # runs whatever the weather: pumps, controls, fans of a closed room
FAN_SHARE: Final = 1  # outdoor fans at full speed
LEAST_FLOW: Final = 2  # lowest flow of the fans as a share of full flow
HOLD_C: Final = 3  # temperature at which the fans hold the warm side while they can
APPROACH_K: Final = 4  # warm side above the sink at full speed
EVAPORATIVE: Final = 5  # how far water takes the sink from dry bulb (0) to wet bulb (1)
CARNOT_FRACTION: Final = 6  # of a chiller; 0: none
EVAPORATING_C: Final = 7  # of its refrigerant
LEAST_LIFT_K: Final = 8  # below which its compressor gains nothing from a colder day
DERATE_START_C: Final = 9  # sink temperature up to which machines run at full speed
DERATE_BAND_K: Final = 10  # over which they fall to their lower speed
DERATE_FRACTION: Final = 11  # that speed, of hashrate and power
TRIP_C: Final = 12  # sink temperature above which they are off
COOLING_COLUMNS: Final = 13

# Magnus form over water, -40 to 50 C: Alduchov and Eskridge 1996, J. Appl. Meteorol. 35, 601;
# as in Lawrence 2005, Bull. Am. Meteorol. Soc. 86, 225, equation 6.
MAGNUS_A: Final = 17.625
MAGNUS_B_C: Final = 243.04
ZERO_C_K: Final = 273.15


@pure_kernel
def relative_humidity_pct(dry_c: float, dew_point_c: float) -> float:
    """Relative humidity [%] from dry bulb and dew point [C], at most 100.

    Quotient of two Magnus vapour pressures (Lawrence 2005), within 0.4 % of it from -40 to 50 C.
    """
    dew = MAGNUS_A * dew_point_c / (MAGNUS_B_C + dew_point_c)
    dry = MAGNUS_A * dry_c / (MAGNUS_B_C + dry_c)
    return min(100.0 * exp(dew - dry), 100.0)


@pure_kernel
def wet_bulb_c(dry_c: float, relative_humidity_pct: float) -> float:
    """Wet bulb [C] at sea level, never above the dry bulb.

    Stull 2011, J. Appl. Meteorol. Climatol. 50, 2267, equation 1: for 5 to 99 % and -20 to 50 C
    within -1.0 and +0.65 K (mean 0.3 K), but for air both cold and dry. Against adiabatic
    saturation from 10 to 50 C within 1.2 K (mean 0.3 K), too warm where it is hot and dry. Drier
    air counts as 5 %.
    """
    rh = min(max(relative_humidity_pct, 5.0), 100.0)
    wet_c = (
        dry_c * atan(0.151977 * sqrt(rh + 8.313659))
        + atan(dry_c + rh)
        - atan(rh - 1.676331)
        + 0.00391838 * rh * sqrt(rh) * atan(0.023101 * rh)
        - 4.686035
    )
    return min(wet_c, dry_c)


@kernel
def relative_humidities_pct(dry_c: Floats, dew_point_c: Floats) -> Floats:
    """Relative humidities (instant,) [%] of dry bulbs and dew points (instant,) [C]."""
    humidity_pct = np.empty(dry_c.shape[0])
    for i in range(dry_c.shape[0]):
        humidity_pct[i] = relative_humidity_pct(dry_c[i], dew_point_c[i])
    return humidity_pct


@kernel
def wet_bulbs_c(dry_c: Floats, dew_point_c: Floats) -> Floats:
    """Wet bulbs (instant,) [C] of dry bulbs and dew points (instant,) [C]; never below these.

    The lower bound mends Stull's formula where air is cold and dry.
    """
    wet_c = np.empty(dry_c.shape[0])
    for i in range(dry_c.shape[0]):
        humidity_pct = relative_humidity_pct(dry_c[i], dew_point_c[i])
        wet_c[i] = max(wet_bulb_c(dry_c[i], humidity_pct), min(dew_point_c[i], dry_c[i]))
    return wet_c


@kernel
def wet_bulbs_of(dry_c: Floats, humidity_pct: Floats) -> Floats:
    """Wet bulbs (instant,) [C] of dry bulbs [C] and relative humidities [%] (instant,)."""
    wet_c = np.empty(dry_c.shape[0])
    for i in range(dry_c.shape[0]):
        wet_c[i] = wet_bulb_c(dry_c[i], humidity_pct[i])
    return wet_c


@pure_kernel
def sink_c(cooling: Floats, dry_c: float, wet_c: float) -> float:
    """Temperature [C] of what takes the heat: between dry and wet bulb."""
    return float(dry_c - cooling[EVAPORATIVE] * (dry_c - wet_c))


@pure_kernel
def fan_flow(cooling: Floats, at_c: float) -> float:
    """Flow of the fans as a share of full flow, with a sink at `at_c`.

    The same heat in less air makes a larger difference: flow = approach / (hold - sink).
    """
    room_k = cooling[HOLD_C] - at_c
    if room_k <= cooling[APPROACH_K]:
        return 1.0
    return float(max(cooling[APPROACH_K] / room_k, cooling[LEAST_FLOW]))


@pure_kernel
def chiller_cop(cooling: Floats, condensing_c: float) -> float:
    """Heat taken in per W of a chiller: a fixed share of Carnot's T / (T_condensing - T)."""
    lift_k = max(condensing_c - cooling[EVAPORATING_C], cooling[LEAST_LIFT_K])
    carnot = (cooling[EVAPORATING_C] + ZERO_C_K) / lift_k
    return float(cooling[CARNOT_FRACTION] * carnot)


@pure_kernel
def cooling_share(cooling: Floats, dry_c: float, wet_c: float) -> float:
    """W of cooling per W of machines (PUE - 1 before overhead and losses).

    Fan power goes with the cube of the flow (affinity laws: ASHRAE Handbook, HVAC Systems and
    Equipment, chapter Fans). A chiller also takes away the heat of what runs inside with the
    machines.
    """
    at_c = sink_c(cooling, dry_c, wet_c)
    flow = fan_flow(cooling, at_c)
    share = float(cooling[BASE_SHARE] + cooling[FAN_SHARE] * flow * flow * flow)
    if cooling[CARNOT_FRACTION] > 0.0:
        cop = chiller_cop(cooling, at_c + cooling[APPROACH_K])
        share += (1.0 + cooling[BASE_SHARE]) / cop
    return share


@pure_kernel
def derating(cooling: Floats, dry_c: float, wet_c: float) -> float:
    """Factor on hashrate and power: 1, then falling over a band, then 0 (a jump: the trip)."""
    above_k = sink_c(cooling, dry_c, wet_c) - cooling[DERATE_START_C]
    if above_k <= 0.0:
        return 1.0
    if above_k > cooling[TRIP_C] - cooling[DERATE_START_C]:
        return 0.0
    fallen = min(above_k / cooling[DERATE_BAND_K], 1.0)
    return float(1.0 - (1.0 - cooling[DERATE_FRACTION]) * fallen)

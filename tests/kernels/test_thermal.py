"""Humid air, fans and chillers against theory, published pairs and a plain twin by type."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sim.kernels import thermal
from sim.kernels.thermal import (
    CARNOT_FRACTION,
    COOLING_COLUMNS,
    DERATE_FRACTION,
    EVAPORATING_C,
    FAN_SHARE,
    HOLD_C,
    LEAST_LIFT_K,
    chiller_cop,
    cooling_share,
    derating,
    fan_flow,
    relative_humidities_pct,
    relative_humidity_pct,
    sink_c,
    wet_bulb_c,
    wet_bulbs_c,
)
from sim.scenario import catalogue
from sim.scenario.catalogue import Cooling
from sim.types import Floats
from sim.validation.thermal import WET_BULBS, checks

WAYS = catalogue.cooling()
names = st.sampled_from(sorted(WAYS))
dry = st.floats(-40.0, 60.0)
humidity = st.floats(0.0, 100.0)


def twin(way: Cooling, dry_c: float, wet_c: float) -> float:
    """W of cooling per W of machines, each way of cooling in its own words."""
    if way.name == "chiller":
        refrigerant_k = way.evaporating_c + 273.15
        lift_k = dry_c + way.approach_k - way.evaporating_c
        if lift_k < way.least_lift_k:
            lift_k = way.least_lift_k
        heat = 1.0 + way.base_share
        return way.base_share + heat * lift_k / (way.carnot_fraction * refrigerant_k)
    if way.name == "tower":
        outside_c = wet_c
    elif way.name == "air-evaporative":
        outside_c = dry_c + 0.8 * (wet_c - dry_c)
    else:
        outside_c = dry_c
    at_full_c = way.hold_c - way.approach_k  # the sink at which the fans reach full speed
    if outside_c >= at_full_c:
        return way.base_share + way.fan_share
    flow = way.approach_k / (way.approach_k + at_full_c - outside_c)
    return way.base_share + way.fan_share * max(flow, way.least_flow) ** 3


def thermodynamic_wet_bulb_c(dry_c: float, humidity_pct: float) -> float:
    """Bisection of adiabatic saturation at sea level.

    ASHRAE Handbook, Fundamentals 2017, chapter 1, equation 33; vapour pressures by the Magnus form
    of WMO-No. 8, not by the kernel's coefficients.
    """

    def saturated_kg_per_kg(t_c: float, humidity: float = 1.0) -> float:
        vapour_hpa = humidity * 6.112 * math.exp(17.62 * t_c / (243.12 + t_c))
        return 0.621945 * vapour_hpa / (1013.25 - vapour_hpa)

    moisture = saturated_kg_per_kg(dry_c, humidity_pct / 100.0)
    low, high = -60.0, dry_c
    for _ in range(60):
        wet_c = (low + high) / 2.0
        latent = (2501.0 - 2.326 * wet_c) * saturated_kg_per_kg(wet_c)
        found = (latent - 1.006 * (dry_c - wet_c)) / (2501.0 + 1.86 * dry_c - 4.186 * wet_c)
        if found < moisture:
            low = wet_c
        else:
            high = wet_c
    return (low + high) / 2.0


def rows(seed: int, count: int = 10) -> list[Floats]:
    """Random figures that a cooling could have."""
    draw = np.random.default_rng(seed)
    low = np.array([0, 0, 0.1, 20, 1, 0, 0.2, 0, 5, 20, 0.1, 0.1, 40])
    high = np.array([0.1, 0.1, 1, 70, 20, 1, 0.7, 20, 20, 40, 10, 1, 60])
    figures = draw.uniform(low, high, (count, COOLING_COLUMNS))
    figures[::2, CARNOT_FRACTION] = 0.0  # every other one without a chiller
    return list(figures)


@pytest.mark.parametrize("pair", WET_BULBS)
def test_published_wet_bulbs(pair: tuple[float, float, float, tuple[float, float], str]) -> None:
    dry_c, humidity_pct, wet_c, (below_k, above_k), _ = pair
    assert below_k <= wet_bulb_c(dry_c, humidity_pct) - wet_c <= above_k


def test_wet_bulb_against_adiabatic_saturation() -> None:
    """The paper says -1.0 to +0.65 K, mean 0.3 K; against ASHRAE's equation it is a little more."""
    error_k = [
        wet_bulb_c(float(t), float(rh)) - thermodynamic_wet_bulb_c(t, rh)
        for t in range(10, 51, 2)
        for rh in range(5, 100, 2)
    ]
    assert min(error_k) > -1.2
    assert max(error_k) < 1.2
    assert np.abs(error_k).mean() < 0.35


def test_nearly_saturated_air_is_nearly_its_wet_bulb() -> None:
    """At 99 % the formula is at its best: every term counts."""
    for dry_c, within_k in ((10.0, 0.1), (20.0, 0.03), (30.0, 0.1)):
        wet_c = thermodynamic_wet_bulb_c(dry_c, 99.0)
        assert wet_bulb_c(dry_c, 99.0) == pytest.approx(wet_c, abs=within_k)


@given(dry, humidity, st.floats(0.0, 10.0), st.floats(0.0, 50.0))
def test_wet_bulb_rises_with_heat(
    dry_c: float, humidity_pct: float, by_k: float, by: float
) -> None:
    wet_c = wet_bulb_c(dry_c, humidity_pct)
    assert wet_c <= dry_c
    assert wet_bulb_c(dry_c + by_k, humidity_pct) >= wet_c - 1e-9
    if dry_c > 0.0 and humidity_pct >= 5.0:  # else outside the formula's validity
        assert wet_bulb_c(dry_c, min(humidity_pct + by, 100.0)) >= wet_c - 1e-9


@given(dry, st.floats(-50.0, 40.0))
def test_humidity_of_dew_point(dry_c: float, dew_c: float) -> None:
    got_pct = relative_humidity_pct(dry_c, dew_c)
    assert 0.0 < got_pct <= 100.0
    assert relative_humidity_pct(dry_c, dry_c) == pytest.approx(100.0)
    if dew_c < dry_c:  # the same vapour pressure by WMO-No. 8's coefficients
        exponents = [17.62 * t / (243.12 + t) for t in (dew_c, dry_c)]
        assert got_pct == pytest.approx(100 * math.exp(exponents[0] - exponents[1]), rel=0.02)


def test_humidity_of_a_comfortable_room() -> None:
    """20 C with a dew point of 9.3 C is half saturated (psychrometric tables)."""
    assert relative_humidity_pct(20.0, 9.27) == pytest.approx(50.0, abs=0.1)


@given(st.lists(st.tuples(dry, st.floats(-45.0, 40.0)), min_size=1, max_size=20))
def test_paths_equal_their_instants(pairs: list[tuple[float, float]]) -> None:
    dry_c, dew_c = (np.array(column) for column in zip(*pairs, strict=True))
    humidity_pct = relative_humidities_pct(dry_c, dew_c)
    wet_c = wet_bulbs_c(dry_c, dew_c)
    assert (wet_c <= dry_c).all()
    assert (wet_c >= np.minimum(dry_c, dew_c)).all()
    for i, (d, dew) in enumerate(pairs):
        assert humidity_pct[i] == relative_humidity_pct(d, dew)
        assert wet_c[i] == max(wet_bulb_c(d, humidity_pct[i]), min(d, dew))


def test_rows_are_in_the_order_of_the_kernel() -> None:
    assert len(Cooling._fields) == COOLING_COLUMNS + 2  # name and source
    for column, field in enumerate(Cooling._fields[1:-1]):
        assert getattr(thermal, field.upper()) == column
    row = WAYS["air"].row()
    assert row.shape == (COOLING_COLUMNS,)
    assert row[HOLD_C] == WAYS["air"].hold_c


@given(names, dry, humidity)
def test_share_equals_its_plain_twin(name: str, dry_c: float, humidity_pct: float) -> None:
    way, wet_c = WAYS[name], wet_bulb_c(dry_c, humidity_pct)
    assert cooling_share(way.row(), dry_c, wet_c) == pytest.approx(
        twin(way, dry_c, wet_c), rel=1e-12
    )


@given(names, st.floats(-3.0, 20.0), st.floats(0.0, 30.0))
def test_derating_equals_its_plain_twin(name: str, above_k: float, depression_k: float) -> None:
    way = WAYS[name]
    dry_c = way.derate_start_c + above_k + way.evaporative * depression_k
    outside_c = sink_c(way.row(), dry_c, dry_c - depression_k)
    assert outside_c == pytest.approx(way.derate_start_c + above_k)
    slow_c = way.derate_start_c + way.derate_band_k
    twin = np.interp(outside_c, [way.derate_start_c, slow_c], [1.0, way.derate_fraction])
    if outside_c > way.trip_c:
        twin = np.float64(0.0)
    assert derating(way.row(), dry_c, dry_c - depression_k) == pytest.approx(twin, abs=1e-9)


@given(st.integers(0, 10_000), dry, st.floats(0.0, 20.0), st.floats(0.0, 10.0))
def test_hotter_never_cools_cheaper_nor_runs_faster(
    seed: int, dry_c: float, depression_k: float, by_k: float
) -> None:
    wet_c = dry_c - depression_k
    for row in (*rows(seed), *(way.row() for way in WAYS.values())):
        share, factor = cooling_share(row, dry_c, wet_c), derating(row, dry_c, wet_c)
        assert 0.0 < share < 3.0
        assert factor == 0.0 or row[DERATE_FRACTION] - 1e-12 <= factor <= 1.0
        for hotter in ((dry_c + by_k, wet_c), (dry_c + by_k, wet_c + by_k)):
            assert cooling_share(row, *hotter) >= share - 1e-12
            assert derating(row, *hotter) <= factor + 1e-12


@given(names, dry)
def test_continuous_but_for_the_trip(name: str, dry_c: float) -> None:
    way, step_k = WAYS[name], 1e-6
    row = way.row()
    change = cooling_share(row, dry_c + step_k, dry_c) - cooling_share(row, dry_c, dry_c)
    assert abs(change) < 0.1 * step_k
    assume(way.evaporative == 0.0 and not dry_c <= way.trip_c < dry_c + step_k)
    assert abs(derating(row, dry_c + step_k, dry_c) - derating(row, dry_c, dry_c)) < step_k


@given(names, dry, humidity)
def test_fans_hold_the_warm_side_while_they_can(
    name: str, dry_c: float, humidity_pct: float
) -> None:
    way = WAYS[name]
    at_c = sink_c(way.row(), dry_c, wet_bulb_c(dry_c, humidity_pct))
    flow = fan_flow(way.row(), at_c)
    warm_c = at_c + way.approach_k / flow
    if way.least_flow < flow < 1.0:
        assert warm_c == pytest.approx(way.hold_c)
    elif flow == 1.0 and way.least_flow < 1.0:
        assert warm_c >= way.hold_c - 1e-9
    elif way.least_flow < 1.0:  # fans of one speed (chiller) hold nothing
        assert warm_c <= way.hold_c + 1e-9


def test_half_the_room_is_eight_times_the_power() -> None:
    """Air of 24.3 C leaves 31.4 K to 55.7 C: half the flow of 40 C, an eighth of the fan power."""
    row = WAYS["air"].row()
    full = cooling_share(row, 40.0, 25.0) - WAYS["air"].base_share
    half = cooling_share(row, 24.3, 15.0) - WAYS["air"].base_share
    assert full == pytest.approx(row[FAN_SHARE])
    assert full / half == pytest.approx(8.0)


@given(st.integers(0, 10_000), st.floats(0.0, 70.0))
def test_no_chiller_beats_carnot(seed: int, condensing_c: float) -> None:
    for row in rows(seed):
        lift_k = condensing_c - row[EVAPORATING_C]
        if lift_k <= 0.0 or row[CARNOT_FRACTION] == 0.0:
            continue
        carnot = (row[EVAPORATING_C] + 273.15) / lift_k
        assert 0.0 < chiller_cop(row, condensing_c) <= row[CARNOT_FRACTION] * carnot * (1 + 1e-12)
        assert chiller_cop(row, condensing_c) <= 293.15 / row[LEAST_LIFT_K]


def test_the_chiller_reaches_its_rating() -> None:
    """ASHRAE 90.1-2019: COP 2.96 at 35 C air with water of 6.7 C (refrigerant 1.7 C)."""
    row = WAYS["chiller"].row()
    row[EVAPORATING_C] = 1.7
    assert chiller_cop(row, 35.0 + WAYS["chiller"].approach_k) == pytest.approx(2.96, abs=0.01)


@pytest.mark.parametrize("name", sorted(WAYS))
def test_figures_are_sane(name: str) -> None:
    way = WAYS[name]
    assert way.source
    assert 0.0 <= way.evaporative <= 1.0
    assert 0.0 < way.least_flow <= 1.0
    assert 0.0 <= way.carnot_fraction < 1.0
    assert 0.0 < way.derate_fraction <= 1.0
    assert way.derate_start_c + way.derate_band_k <= way.trip_c
    # fans give all they have before the machines give way
    assert way.hold_c <= way.derate_start_c + way.approach_k
    shares = [cooling_share(way.row(), t, wet_bulb_c(t, 30.0)) for t in (15.0, 35.0, 45.0)]
    assert shares == sorted(shares)
    low, high = (0.15, 0.40) if name == "chiller" else (0.015, 0.065)
    assert low <= shares[0]
    assert shares[-1] <= high


def test_derating_of_the_s21_is_one_step() -> None:
    row = WAYS["air"].row()
    factors = [derating(row, t, 20.0) for t in (-30.0, 40.0, 40.5, 41.0, 46.9, 47.0, 47.1)]
    assert factors == pytest.approx([1.0, 1.0, 0.949, 0.898, 0.898, 0.898, 0.0])


def test_water_buys_degrees() -> None:
    """On a dry day of 48 C air-cooled machines are off, behind pads and towers they run."""
    dry_c = 48.0
    wet_c = wet_bulb_c(dry_c, 15.0)
    running = {n: derating(way.row(), dry_c, wet_c) for n, way in WAYS.items()}
    assert running["air"] == 0.0
    assert running["air-evaporative"] == running["tower"] == 1.0
    assert 0.0 < running["immersion"] < 1.0


def test_published_figures_without_data() -> None:
    made = list(checks(None))
    assert len(made) >= 10
    assert [c for c in made if not c.ok] == []

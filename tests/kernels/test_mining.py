"""The mining kernel against a plain twin that steps second by second."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.kernels import flows
from sim.kernels.mining import advance_groups
from sim.plant import Plant
from tests.conftest import build_scenario


def plant_with(draw_seed: int) -> Plant:
    """A plant in a random state."""
    plant = Plant.build(build_scenario())
    draw = np.random.default_rng(draw_seed)
    a = plant.asic
    a.running[:] = np.floor(a.deployed * draw.uniform(0.3, 0.8, 3))
    a.shut[:] = np.floor((a.deployed - a.running) * draw.random(3))
    a.heat[:] = draw.choice([0.0, 0.93, 1.0], 3)
    wish = draw.random(plant.asics.mode_w.shape) * (plant.asics.mode_w > 0) / 4
    for row, part in enumerate((1.0, 0.8, 0.6)):
        a.shares[row] = wish * part
    a.starting[:] = a.shares[2].sum(axis=1) * draw.random(3)
    a.starting_until_s[:] = draw.integers(0, 1500, 3)
    a.blocked[:] = draw.integers(0, 2, 3)
    return plant


def twin(plant: Plant, g: int, seconds: int) -> dict[int, float]:
    """One machine type, second by second, each sentence of the definition in turn."""
    groups, state = plant.asics, plant.asic
    nominal = groups.nominal_ths[g]
    out = dict.fromkeys(range(10), 0.0)
    ths = groups.mode_ths[g]
    failed = state.deployed[g] - state.running[g] - state.shut[g]
    for t in range(seconds):
        out[flows.DEPLOYED] += state.deployed[g] * nominal
        out[flows.LOST_FAILURE] += failed * nominal
        out[flows.LOST_OUTAGE] += state.shut[g] * nominal
        out[flows.LOST_THERMAL] += state.running[g] * nominal * (1 - state.heat[g])
        able = state.running[g] * state.heat[g]
        wish, ready, granted = state.shares[:, g]
        off = able * (1 - wish.sum()) * nominal
        slow = able * sum(wish * (nominal - ths))
        if state.blocked[g] and slow > 0:
            out[flows.LOST_LIMIT] += off + slow
        elif state.blocked[g]:
            out[flows.LOST_LIMIT] += off
            out[flows.LOST_MODE] += slow
        else:
            out[flows.LOST_PRICE] += off
            out[flows.LOST_MODE] += slow
        out[flows.LOST_RESTART] += able * sum((wish - ready) * ths)
        out[flows.LOST_LIMIT] += able * sum((ready - granted) * ths)
        hashing = able * sum(granted * ths)
        if t < state.starting_until_s[g] and granted.sum() > 0:
            booting = state.starting[g] / granted.sum() * hashing
            out[flows.LOST_RESTART] += booting
            hashing -= booting
        out[flows.HASHED] += hashing
        out[flows.ASIC_J] += able * sum(granted * groups.mode_w[g])
    return out


@given(st.integers(0, 10_000), st.integers(1, 1800))
def test_equals_its_plain_twin(seed: int, seconds: int) -> None:
    plant = plant_with(seed)
    expected = [twin(plant, g, seconds) for g in range(3)]
    advance_groups(plant.asics, plant.asic, 0, 3, float(seconds))
    for g in range(3):
        got = plant.asic.flow[:, g]
        wanted = np.array([expected[g][row] for row in range(10)])
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-6)


@given(st.integers(0, 10_000), st.lists(st.integers(1, 1799), max_size=10))
def test_two_pieces_equal_one(seed: int, cuts: list[int]) -> None:
    whole, pieces = plant_with(seed), plant_with(seed)
    advance_groups(whole.asics, whole.asic, 0, 3, 1800.0)
    for t in [*sorted(cuts), 1800]:
        for g in range(3):
            advance_groups(pieces.asics, pieces.asic, g, g + 1, float(t))
    np.testing.assert_allclose(pieces.asic.flow, whole.asic.flow, rtol=1e-9, atol=1e-6)


def test_the_past_is_not_run_again() -> None:
    plant = plant_with(1)
    advance_groups(plant.asics, plant.asic, 0, 3, 900.0)
    before = plant.asic.flow.copy()
    advance_groups(plant.asics, plant.asic, 0, 3, 600.0)
    np.testing.assert_array_equal(plant.asic.flow, before)

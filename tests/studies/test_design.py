"""Sampled designs: each method has the balance that it is known for, and the other has not."""

import numpy as np
import pytest

from sim.studies.design import sampled
from sim.studies.experiment import Design


def unit(method: str, points: int, seed: int) -> np.ndarray:
    """Points (point, factor) in the unit square."""
    ranges = {key: {"low": 0.0, "high": 1.0} for key in ("site.a", "site.b")}
    design = Design.model_validate(
        {"method": method, "points": points, "seed": seed, "ranges": ranges}
    )
    return np.array([list(p.levels.values()) for p in sampled(design, {})], dtype=float)


@pytest.mark.parametrize("seed", range(4))
def test_a_latin_hypercube_has_one_point_in_each_slice_of_each_factor(seed: int) -> None:
    values = np.sort(np.floor(unit("latin-hypercube", 10, seed) * 10), axis=0)
    np.testing.assert_array_equal(values, np.arange(10)[:, None] * np.ones(2))


@pytest.mark.parametrize("seed", range(4))
def test_a_sobol_sequence_has_one_point_in_each_box_of_equal_size(seed: int) -> None:
    """16 points: one in each of 16 x 1, 8 x 2, 4 x 4, 2 x 8 and 1 x 16 boxes."""
    values = unit("sobol", 16, seed)
    for across in (16, 8, 4, 2, 1):
        boxes = np.floor(values * np.array([across, 16 // across]))
        assert len(np.unique(boxes, axis=0)) == 16

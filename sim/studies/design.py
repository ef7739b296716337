"""From an experiment to its points: each a set of changes to the scenario, with a label."""

from itertools import product
from typing import Any, NamedTuple

import numpy as np

from sim.studies.experiment import Design, Experiment


class Point(NamedTuple):
    """One variant of the scenario: level or value of every factor, and the resulting changes."""

    levels: dict[str, str | float]
    changes: dict[str, Any]


def points_of(experiment: Experiment) -> list[Point]:
    """All points: the full factorial over the axes, the sampled design, or their product."""
    axes, design = experiment.axes, experiment.design
    corners = [
        Point(
            levels=dict(zip(axes, names, strict=True)),
            changes=experiment.changes
            | {
                k: v
                for axis, name in zip(axes, names, strict=True)
                for k, v in axes[axis][name].items()
            },
        )
        for names in product(*axes.values())
    ]
    if design is None:
        return corners
    inner = sampled(design, {})  # the same points at every corner, to pair the levels
    return [
        Point(corner.levels | point.levels, corner.changes | point.changes)
        for corner in corners
        for point in inner
    ]


def sampled(design: Design, changes: dict[str, Any]) -> list[Point]:
    """Points of a Latin hypercube or of a scrambled Sobol' sequence (scipy.stats.qmc)."""
    from scipy.stats import qmc  # imported late: it takes a second, and workers import this module

    dimensions = len(design.ranges)
    if design.method == "sobol":
        # Sobol' points are balanced in powers of two: draw the next power and truncate.
        exponent = max(0, (design.points - 1).bit_length())
        sampler = qmc.Sobol(dimensions, rng=np.random.default_rng(design.seed))
        unit = sampler.random_base2(exponent)[: design.points]
    else:
        sampler_ = qmc.LatinHypercube(dimensions, rng=np.random.default_rng(design.seed))
        unit = sampler_.random(design.points)
    points = []
    for row in unit:
        values = {
            key: range_.at(float(u))
            for (key, range_), u in zip(design.ranges.items(), row, strict=True)
        }
        points.append(Point(levels=dict(values), changes=changes | values))
    return points

"""Bounds on the size of a scenario, so that no input hangs or exhausts memory.

Each is far beyond what a planner needs; a run at the bound still fits into about 16 GiB.
"""

from collections.abc import Iterator
from typing import Final

from sim.scenario import catalogue
from sim.scenario.bitcoin import MinedNetwork
from sim.scenario.problems import Problem, row_of
from sim.scenario.scenario import Scenario
from sim.units import SECONDS_PER_HOUR

TOML: Final = "scenario.toml"
MAX_SITE_STEPS: Final = 100_000_000  # a year of quarter hours at 2,800 sites
MAX_FAILURES: Final = 20_000_000  # expected in a run, of all machines: each is an event
MAX_MACHINES: Final = 100_000_000  # in total: the whole network has about five million
THS_PER_EHS: Final = 1e6


def limits(s: Scenario) -> Iterator[Problem]:
    """Problems of size: sites and steps, failures, more machines than the network has."""
    steps = len(s.sites) * s.horizon.steps
    if steps > MAX_SITE_STEPS:
        yield Problem(
            TOML, "horizon.days", f"{s.horizon.days:g}",
            f"{len(s.sites):,} sites x {s.horizon.steps:,} steps of {s.horizon.step_s} s are "
            f"{steps:,}; must be at most {MAX_SITE_STEPS:,}: fewer days or a longer step_s",
        )  # fmt: skip
    machines = sum(group.count for group in s.asics)
    if machines > MAX_MACHINES:
        yield Problem(
            "asics.csv", "count", f"{machines:,} in all", f"must be at most {MAX_MACHINES:,}"
        )
    if s.faults.enabled:
        yield from _failures(s)
    yield from _network(s)


def _failures(s: Scenario) -> Iterator[Problem]:
    hours = s.horizon.seconds / SECONDS_PER_HOUR
    for key, sheet, count in (
        ("asic", "asics.csv", sum(group.count for group in s.asics)),
        ("gpu", "gpus.csv", sum(group.nodes for group in s.gpus)),
    ):
        mtbf_h = getattr(s.faults, key).mtbf_h
        expected = count * hours / mtbf_h
        if expected > MAX_FAILURES:
            yield Problem(
                TOML, f"faults.{key}.mtbf_h", f"{mtbf_h:g}",
                f"{count:,} machines of {sheet} would fail {expected:.3g} times in the run; must "
                f"be at most {MAX_FAILURES:,}: a longer mtbf_h, fewer machines or fewer days",
            )  # fmt: skip


def _network(s: Scenario) -> Iterator[Problem]:
    """The fleet's hashrate is part of the network's and cannot exceed it."""
    if not isinstance(s.network, MinedNetwork):
        return
    models = catalogue.asics(s.asic_models)
    known = [group for group in s.asics if group.model in models]
    modes = [models[group.model].modes.get(group.mode) for group in known]
    fleet_ths = sum(
        group.count * mode.hashrate_ths
        for group, mode in zip(known, modes, strict=True)
        if mode is not None and not group.project
    )
    network_ths = s.network.hashrate_ehs * THS_PER_EHS
    if fleet_ths > network_ths:
        largest = max(range(len(s.asics)), key=lambda i: s.asics[i].count)
        yield Problem(
            TOML, "network.hashrate_ehs", f"{s.network.hashrate_ehs:g}",
            f"the fleet alone has {fleet_ths / THS_PER_EHS:g} EH/s (most of it: asics.csv, "
            f"{row_of(largest, s.asics[largest].site, 'count')}); must be at least that, since the "
            "fleet is part of the network",
        )  # fmt: skip

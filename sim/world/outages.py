"""Failures of machines and links over the horizon, independent of decisions and repairs."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from sim.scenario.model import Faults
from sim.scenario.scenario import Scenario
from sim.streams import Streams
from sim.types import Floats, Ints
from sim.units import HOURS_PER_YEAR, SECONDS_PER_DAY, SECONDS_PER_HOUR

BLOCK_DAYS: Final = 30


class Failures(NamedTuple):
    """Failures that strike a group's running machines, each with its repair. Shape (n,)."""

    t_s: Ints
    machine: Ints  # index within the group
    spare_s: Ints  # wait for a part, 0 if none is needed
    repair_s: Ints  # hands-on time of a technician


class MachineFailures:
    """The failures of one group of identical machines.

    Every machine fails at the Weibull hazard of its age, as a Poisson process (minimal repair: a
    repaired machine is as old as before). A failure of a machine in repair is skipped, so with
    shape 1 the time between repair and failure is exponential.
    """

    def __init__(
        self, faults: Faults, machines: int, age_years: float, name: str, streams: Streams
    ) -> None:
        self.faults = faults
        self.machines = machines
        self.age_h = age_years * HOURS_PER_YEAR
        self.name = name
        self.streams = streams

    def block(self, first_day: int) -> Failures:
        """Failures of the BLOCK_DAYS days from `first_day` on, in order of time."""
        draw = self.streams.generator("failures", self.name, first_day)
        f = self.faults
        hours = BLOCK_DAYS * 24
        from_h = self.age_h + first_day * 24
        hazard = (np.array([from_h, from_h + hours]) / f.mtbf_h) ** f.weibull_shape
        count = int(draw.poisson(self.machines * (hazard[1] - hazard[0])))
        level = hazard[0] + draw.random(count) * (hazard[1] - hazard[0])
        age_h = f.mtbf_h * level ** (1.0 / f.weibull_shape)
        since_s = (age_h - self.age_h) * SECONDS_PER_HOUR
        t_s = np.clip(
            since_s.astype(np.int64),
            first_day * SECONDS_PER_DAY,
            (first_day + BLOCK_DAYS) * SECONDS_PER_DAY - 1,
        )
        machine = draw.integers(0, max(self.machines, 1), count)
        repair_s = _seconds(draw.exponential(f.repair_h, count))
        spare_s = _seconds(draw.exponential(f.spare_lead_h, count))
        spare_s[draw.random(count) >= f.spare_share] = 0
        order = np.argsort(t_s, kind="stable")
        return Failures(t_s[order], machine[order], spare_s[order], repair_s[order])


class RestartLuck:
    """Random draws of which machines of a group fail when switched on after a pause.

    A draw belongs to a machine and to its first, second, … restart, whenever a policy causes it.
    """

    def __init__(self, fraction: float, of: MachineFailures) -> None:
        self.fraction = fraction
        self.of = of
        self._known: dict[int, dict[int, tuple[int, int]]] = {}

    def failing(self, restart: int) -> dict[int, tuple[int, int]]:
        """Machines that fail at restart 0, 1, …, with their wait for a part and repair [s]."""
        if restart not in self._known:
            draw, faults = (
                self.of.streams.generator("restart", self.of.name, restart),
                self.of.faults,
            )
            machines = np.flatnonzero(draw.random(self.of.machines) < self.fraction)
            repair_s = _seconds(draw.exponential(faults.repair_h, len(machines)))
            spare_s = _seconds(draw.exponential(faults.spare_lead_h, len(machines)))
            spare_s[draw.random(len(machines)) >= faults.spare_share] = 0
            waits = zip(spare_s.tolist(), repair_s.tolist(), strict=True)
            self._known[restart] = dict(zip(machines.tolist(), waits, strict=True))
        return self._known[restart]


def in_order(
    groups: list[MachineFailures], horizon_s: int
) -> Iterator[tuple[int, int, int, int, int]]:
    """All failures of all groups by time: (t_s, group, machine, spare_s, repair_s)."""
    for first_day in range(0, -(-horizon_s // SECONDS_PER_DAY), BLOCK_DAYS):
        drawn = [group.block(first_day) for group in groups]
        if not drawn:
            return
        which = np.repeat(np.arange(len(drawn)), [len(d.t_s) for d in drawn])
        columns = [np.concatenate([d[k] for d in drawn]) for k in range(4)]
        order = np.argsort(columns[0], kind="stable")
        t_s, machine, spare_s, repair_s = (column[order].tolist() for column in columns)
        yield from zip(t_s, which[order].tolist(), machine, spare_s, repair_s, strict=True)


def _seconds(hours: Floats) -> Ints:
    return np.maximum(hours * SECONDS_PER_HOUR, 1.0).astype(np.int64)


class LinkChange(NamedTuple):
    """A change of the share of capacity left on a link, from `t_s` on."""

    t_s: int
    link: int  # row of grid_links.csv, or branch of the case
    left: float  # 0: out, 1: back


def link_changes(scenario: Scenario, streams: Streams) -> tuple[LinkChange, ...]:
    """Dated and random outages of links, in order of time; of two at once the deeper holds."""
    horizon_s = scenario.horizon.seconds
    changes: list[LinkChange] = []
    for link, outages in _outages(scenario, streams).items():
        before = 1.0
        for t_s in sorted({max(t, 0) for start, end, _ in outages for t in (start, end)}):
            now = min((left for start, end, left in outages if start <= t_s < end), default=1.0)
            if now != before and t_s < horizon_s:
                changes.append(LinkChange(t_s, link, now))
            before = now
    return tuple(sorted(changes))


def _outages(scenario: Scenario, streams: Streams) -> dict[int, list[tuple[int, int, float]]]:
    """Start, end [s] and share left of every outage, by link."""
    begin, horizon_s = scenario.horizon.start_utc, scenario.horizon.seconds
    found: dict[int, list[tuple[int, int, float]]] = {}
    for outage in scenario.grid.outages:
        start_s = round((outage.start_utc - begin).total_seconds())
        end_s = start_s + round(outage.hours * SECONDS_PER_HOUR)
        for row in links_between(scenario, outage.from_node, outage.to_node, outage.circuit):
            found.setdefault(row, []).append((start_s, end_s, outage.left_fraction))
    seen: dict[tuple[str, str], int] = {}
    for row, link in enumerate(scenario.grid_links):
        ends = (link.from_node, link.to_node)
        seen[ends] = seen.get(ends, -1) + 1
        if link.mtbf_h is None:
            continue
        draw = streams.generator("link", f"{ends[0]}/{ends[1]}/{seen[ends]}")
        out_s = draw.exponential(link.mtbf_h * SECONDS_PER_HOUR)
        while out_s < horizon_s:
            back_s = out_s + max(draw.exponential(link.repair_h * SECONDS_PER_HOUR), 1.0)
            found.setdefault(row, []).append((round(out_s), round(back_s), 0.0))
            out_s = back_s + draw.exponential(link.mtbf_h * SECONDS_PER_HOUR)
    return found


def links_between(
    scenario: Scenario, from_node: str, to_node: str, circuit: int | None
) -> list[int]:
    """Rows of the links between two nodes, in either direction: one circuit, or all."""
    if scenario.case is not None:
        case = scenario.case
        number = [str(n) for n in case.bus_number]
        ends = [
            (number[a], number[b]) for a, b in zip(case.branch_from, case.branch_to, strict=True)
        ]
    else:
        ends = [(x.from_node, x.to_node) for x in scenario.grid_links]
    wanted = {(from_node, to_node), (to_node, from_node)}
    found = [row for row, pair in enumerate(ends) if pair in wanted]
    return found if circuit is None else found[circuit - 1 : circuit]

"""Feasible plans (budget, connections, shared limits), and the scenario of a plan.

Capacity is planned on nameplate power. A site's connection, and every limit above it, must carry
the overhead, all GPU nodes at their highest load with `peak_pue` and, unless containers may
displace them, the ASICs at nominal power with the site's own PUE. In a meshed grid only the sites'
own connections count. The simulator then enforces all limits, hour by hour.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sim.scenario import Scenario, catalogue
from sim.scenario.deals import Project
from sim.scenario.gpu_market import USD_PER_GPU_H
from sim.scenario.problems import Problem, ScenarioError
from sim.scenario.rows import GpuGroup, MovedGroup
from sim.streams import Streams
from sim.studies.buildout.question import BuildoutRequest
from sim.types import Bools, Floats, Ints
from sim.units import W_PER_MW
from sim.world.gpu_market import gpu_paths
from sim.world.topology import compile_topology

Plan = tuple[int, ...]  # number of containers at each candidate site
PREFIX: Final = "buildout-"  # name prefix of the projects that a plan adds, one per site


class Yard:
    """The candidate sites of a question. Shapes: `site` (candidates), `limit` (of the grid).

    Raises:
        ScenarioError: if no site has room, or a project's name is taken.
    """

    def __init__(self, asked: BuildoutRequest) -> None:
        self.asked = asked
        scenario, question = asked.scenario, asked.question
        topology = compile_topology(scenario)
        names = [site.name for site in scenario.sites]
        passed = 1.0 - topology.loss
        taken_mw = _taken_mw(asked, with_asics=not question.displace)
        under = np.zeros((len(topology.limit_names), len(names)), dtype=np.bool_)
        for s, path in enumerate(topology.path):
            under[path[path >= 0], s] = True
        self.room_mw: Floats = topology.capacity_w / W_PER_MW - under @ (taken_mw / passed)
        c = question.container
        gpu = catalogue.gpus(scenario.gpu_models)[c.gpu]
        self.container_mw = c.nodes * c.gpus_per_node * gpu.max_w_per_gpu * c.peak_pue / W_PER_MW
        wanted = question.sites or tuple(names)
        index = np.array([names.index(name) for name in wanted])
        self._select(index, under, passed)
        if not question.sites:  # by default, where at least one container fits
            kept = np.array([self.fits(self.single(k)) for k in range(len(index))], dtype=np.bool_)
            index = index[kept]
            self._select(index, under, passed)
        if not len(index):
            what = f"no site has room for a container of {self.container_mw:.3g} MW"
            raise ScenarioError(asked.name, [Problem(f"{asked.name}.toml", "sites", "", what)])
        self.sites = tuple(names[i] for i in index)
        every_mw = _taken_mw(asked, with_asics=True)
        limit_mw = [scenario.sites[i].power_limit_mw for i in index]
        self.spare_mw: Floats = np.array(limit_mw) - every_mw[index]  # own connection, all running
        self.cost_usd: Floats = np.array([question.cost_usd(name) for name in self.sites])
        for name in self.sites:
            if PREFIX + name in scenario.projects:
                problem = Problem("scenario.toml", f"projects.{PREFIX}{name}", "", "is taken")
                raise ScenarioError(asked.name, [problem])

    def _select(self, index: Ints, under: Bools, passed: Floats) -> None:
        names = [site.name for site in self.asked.scenario.sites]
        self._uses_mw: Floats = under[:, index] * self.container_mw / passed[index]
        self.cost_usd = np.array([self.asked.question.cost_usd(names[i]) for i in index])

    @property
    def nothing(self) -> Plan:
        """The plan without a container."""
        return (0,) * len(self.cost_usd)

    def single(self, site: int) -> Plan:
        """One container at a candidate site."""
        return tuple(int(k == site) for k in range(len(self.cost_usd)))

    def capex_usd(self, plan: Plan) -> float:
        """Cost of a plan [USD]."""
        return float(self.cost_usd @ np.array(plan))

    def fits(self, plan: Plan) -> bool:
        """Whether a plan respects the budget, the maximum of each site, and every limit."""
        count = np.array(plan)
        question = self.asked.question
        uses_mw = self._uses_mw @ count
        within = (uses_mw <= np.maximum(self.room_mw, 0.0) + 1e-9) | (uses_mw == 0.0)
        return bool(
            (count >= 0).all()
            and (count <= question.most_per_site).all()
            and self.capex_usd(plan) <= question.budget_usd * (1.0 + 1e-12)
            and within.all()
        )

    def fill(self, order: Sequence[int]) -> Plan:
        """Fill the sites in the given order, each with as many containers as fit."""
        plan = self.nothing
        for site in order:
            while self.fits(more := moved(plan, None, site)):
                plan = more
        return plan

    def spread(self) -> Plan:
        """Add one container at each site in turn until no more fits."""
        plan, grew = self.nothing, True
        while grew:
            grew = False
            for site in range(len(plan)):
                if self.fits(more := moved(plan, None, site)):
                    plan, grew = more, True
        return plan

    def built(self, plan: Plan, usd_per_gpu_h: float | None = None) -> Scenario:
        """The scenario with a plan built, as one project at each of its sites.

        The empty plan gives the scenario itself. `usd_per_gpu_h` overrides the price of the
        containers' GPU-hours.
        """
        scenario, question = self.asked.scenario, self.asked.question
        c = question.container
        price = c.usd_per_gpu_h if usd_per_gpu_h is None else usd_per_gpu_h
        rows, projects = [], {}
        for site, usd, count in zip(self.sites, self.cost_usd, plan, strict=True):
            if not count:
                continue
            rows.append(
                GpuGroup(
                    site=site, gpu=c.gpu, gpus_per_node=c.gpus_per_node, nodes=c.nodes * count,
                    state=c.state, usd_per_gpu_h=price, utilisation=c.utilisation,
                    contract=c.contract, occupancy=c.occupancy,
                    opex_usd_per_gpu_h=c.opex_usd_per_gpu_h,
                    opex_usd_per_node_month=c.opex_usd_per_node_month,
                    project=PREFIX + site, source=c.source,
                )
            )  # fmt: skip
            projects[PREFIX + site] = Project(
                capex_usd=float(usd) * count,
                order_utc=question.ordered(scenario),
                lead_days=c.lead_days,
                lead_cv=c.lead_cv,
                commissioning_days=c.commissioning_days,
                finance=c.finance,
                source=c.source,
            )
        return scenario.model_copy(
            update={
                "gpus": (*scenario.gpus, *rows),
                "projects": {**scenario.projects, **projects},
            }
        )


def usual_usd_per_gpu_h(asked: BuildoutRequest) -> float:
    """The price of a GPU-hour in the question, or by default the market's mean.

    The mean is taken over the run and the seeds that the search may use.
    """
    container, scenario = asked.question.container, asked.scenario
    if container.usd_per_gpu_h is not None:
        return container.usd_per_gpu_h
    if container.gpu not in scenario.gpu_market.gpus:
        return USD_PER_GPU_H * scenario.what_if.gpu_price_factor
    search = asked.question.search
    seeds = range(search.first_seed, search.first_seed + search.seeds)
    paths = [gpu_paths(scenario, Streams(s)).usd_per_gpu_h[container.gpu] for s in seeds]
    return float(np.mean(paths)) * scenario.what_if.gpu_price_factor


def moved(plan: Plan, source: int | None, target: int | None) -> Plan:
    """A plan with one container fewer at `source` and one more at `target`; None skips either."""
    count = list(plan)
    if source is not None:
        count[source] -= 1
    if target is not None:
        count[target] += 1
    return tuple(count)


def _taken_mw(asked: BuildoutRequest, with_asics: bool) -> Floats:
    """Power of the existing equipment at each site, at the meter (all sites,) [MW]."""
    scenario, peak_pue = asked.scenario, asked.question.container.peak_pue
    taken = {site.name: site.overhead_mw for site in scenario.sites}
    pue = {site.name: site.pue_base for site in scenario.sites}
    ordered = {"", *(name for name, p in scenario.projects.items() if p.enabled)}
    for g in scenario.gpus:
        if g.project in ordered:
            node_w = g.gpus_per_node * catalogue.gpus(scenario.gpu_models)[g.gpu].max_w_per_gpu
            taken[g.site] += g.nodes * node_w * peak_pue / W_PER_MW
    for a in scenario.asics if with_asics else ():
        if a.project in ordered and not isinstance(a, MovedGroup):
            nominal_w = catalogue.asics(scenario.asic_models)[a.model].nominal.power_w
            taken[a.site] += a.count * nominal_w * pue[a.site] / W_PER_MW
    return np.array([taken[site.name] for site in scenario.sites])

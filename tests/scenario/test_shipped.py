"""What the shipped scenarios and catalogues promise to those who build on them."""

import inspect
import tomllib
from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.policies.look_ahead import LookAhead
from sim.policies.merit_order import MeritOrder
from sim.policies.price_threshold import PriceThreshold
from sim.policies.slo_guard import SloGuard
from sim.scenario import Scenario, ScenarioError, catalogue
from sim.scenario.bitcoin import GbmBtcPrice, JumpDiffusionBtcPrice
from sim.scenario.money import Treasury
from sim.scenario.rows import MovedGroup
from sim.scenario.shipped import experiments, scenarios
from sim.streams import Streams
from sim.world.gpu_market import gpu_paths
from tests.conftest import ROOT

CONFIGS = ROOT / "configs"
DEPLOYED_EHS = 50.0  # Cango's updates for 2025-12 and 2026-01
FLEET_J_PER_TH = (21.0, 22.0)  # 21.6 in 2025Q1, to the quarters' rounding and later purchases
FLEETS = ("tiny", "cango-2026", "ercot-2024")
MONEY = ("cango-pivot", "cango-strategies", "nfn8-stress")
OWN_CATALOGUE = ("asics.csv", "asic_modes.csv", "gpus.csv", "cooling.csv", "climates.csv")


@pytest.fixture(scope="module")
def cango() -> Scenario:
    """The fleet of early 2026; it needs nothing but the package."""
    return sim.load(CONFIGS / "cango-2026")


def nameplate(scenario: Scenario) -> tuple[float, float]:
    """Hashrate [EH/s] and power [MW] of all ASICs deployed."""
    models = catalogue.asics()
    ths = sum(g.count * models[g.model].nominal.hashrate_ths for g in scenario.asics)
    power_w = sum(g.count * models[g.model].nominal.power_w for g in scenario.asics)
    return ths / 1e6, power_w / 1e6


def demand_mw(scenario: Scenario) -> dict[str, float]:
    """What each site draws at the meter with all machines at the nameplate, on a mild day [MW]."""
    asics, gpus = catalogue.asics(), catalogue.gpus()
    machines_w: Counter[str] = Counter()
    for a in scenario.asics:
        machines_w[a.site] += round(a.count * asics[a.model].nominal.power_w)
    for n in scenario.gpus:
        machines_w[n.site] += round(n.nodes * n.gpus_per_node * gpus[n.gpu].max_w_per_gpu)
    return {s.name: machines_w[s.name] / 1e6 * s.pue_base + s.overhead_mw for s in scenario.sites}


def test_what_is_shipped_is_found_by_its_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sim.load("tiny") == sim.load(CONFIGS / "tiny")
    assert scenarios() == sorted(f.parent.name for f in CONFIGS.glob("*/scenario.toml"))
    assert experiments() == sorted(f.stem for f in (ROOT / "experiments").glob("*.toml"))
    (tmp_path / "tiny").mkdir()
    with pytest.raises(ScenarioError, match=r"no scenario\.toml in this folder"):
        sim.load("tiny")  # the folder one stands in comes first


def test_tiny_shows_every_kind_of_conflict() -> None:
    tiny = sim.load(CONFIGS / "tiny")
    assert len(tiny.sites) == 2
    assert len(tiny.asics) <= 5
    assert {g.state for g in tiny.gpus} == {"contracted", "batch"}
    assert tiny.horizon.days == 7
    demand = demand_mw(tiny)
    feeder = {n.name for n in tiny.grid_nodes if n.kind == "feeder"}
    assert {s.grid_node for s in tiny.sites} == feeder
    capacity = next(link.capacity_mw for link in tiny.grid_links if link.to_node in feeder)
    assert max(demand.values()) < capacity < sum(s.power_limit_mw for s in tiny.sites)
    machines = sum(g.count for g in tiny.asics)
    assert machines * tiny.horizon.days * 24 / tiny.faults.asic.mtbf_h > 5, "failures in the week"


def test_the_fleet_is_the_published_one(cango: Scenario) -> None:
    ehs, power_mw = nameplate(cango)
    assert len(cango.sites) == 48
    assert ehs == pytest.approx(DEPLOYED_EHS, abs=0.2)
    low, high = FLEET_J_PER_TH
    assert low <= power_mw / ehs <= high
    assert cango.treasury.opening_btc == 7528.3


def test_the_fleet_lies_mostly_in_the_united_states(cango: Scenario) -> None:
    countries = Counter(s.country for s in cango.sites)
    assert countries["US"] > len(cango.sites) / 2
    assert {"CA", "PY", "ET", "OM"} <= set(countries)
    s19_xp = sum(g.count for g in cango.asics if g.model == "Antminer S19 XP")
    assert s19_xp > sum(g.count for g in cango.asics) / 2


def test_the_chain_begins_within_its_epoch(cango: Scenario) -> None:
    network = cango.network
    assert network.model == "growth"
    assert network.epoch_start_utc is not None
    assert network.start_height is not None
    blocks = network.start_height - network.epoch_height
    seconds = (cango.horizon.start_utc - network.epoch_start_utc).total_seconds()
    assert 0 < blocks < 2016
    assert seconds / blocks == pytest.approx(600, rel=0.05)


@pytest.mark.parametrize("name", [*FLEETS, *MONEY])
def test_every_row_has_a_source(name: str, data: Path) -> None:
    scenario = sim.load(CONFIGS / name, {"data_dir": str(data)})
    sheets = ("sites", "asics", "gpus", "leases", "grid_nodes", "grid_links")
    for row in chain.from_iterable(getattr(scenario, sheet) for sheet in sheets):
        assert row.source.startswith(("published", "assumed")), row


@pytest.mark.parametrize("name", ["cango-2026", "ercot-2024"])
def test_limits_mostly_suffice_and_sometimes_bind(name: str, data: Path) -> None:
    scenario = sim.load(CONFIGS / name, {"data_dir": str(data)})
    demand = demand_mw(scenario)
    for site in scenario.sites:
        charging_mw = sum(b.power_mw for b in scenario.batteries if b.site == site.name)
        assert demand[site.name] <= 1.05 * site.power_limit_mw, site
        assert demand[site.name] + charging_mw >= 0.8 * site.power_limit_mw, site
    below: dict[str, float] = {}
    fed_by = {link.to_node: link for link in scenario.grid_links}
    for site in scenario.sites:
        node = site.grid_node
        while node is not None and node in fed_by:
            below[node] = below.get(node, 0.0) + site.power_limit_mw
            node = fed_by[node].from_node
    short = [node for node, limit_mw in below.items() if fed_by[node].capacity_mw < limit_mw]
    assert 0 < len(short) < len(below) / 2


def test_ercot_2024_is_a_recorded_year(data: Path) -> None:
    ercot = sim.load(CONFIGS / "ercot-2024", {"data_dir": str(data)})
    assert len(ercot.sites) == 48
    assert ercot.horizon.start_utc.year == 2024
    assert ercot.horizon.days == 365
    assert {ercot.network.model, ercot.btc_price.model} == {"replay"}
    assert {zone.model for zone in ercot.prices.zones.values()} == {"replay"}
    drivers = {getattr(x, "driver_column", None) for x in ercot.weather.climates.values()}
    assert drivers == {"temp_c_ercot"}  # the days of the prices
    assert not [w for w in ercot.warnings if "recorded prices stand beside" in str(w)]
    assert {s.climate for s in ercot.sites} <= set(ercot.weather.climates)
    assert min(s.power_limit_mw for s in ercot.sites) >= 5


def test_ercot_2024_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HASHWATT_DATA", raising=False)
    with pytest.raises(ScenarioError, match="data_dir"):
        sim.load(CONFIGS / "ercot-2024")


@pytest.mark.parametrize("name", MONEY)
def test_contracts_and_misfortunes_have_a_source(name: str, data: Path) -> None:
    scenario = sim.load(CONFIGS / name, {"data_dir": str(data)})
    sources = [
        *(loan.source for loan in scenario.loans.values()),
        *(host.source for host in scenario.hosts.values()),
        *(deposit.source for deposit in scenario.deposits.values()),
        *(project.source for project in scenario.projects.values()),
        *(sale.source for sale in scenario.treasury.sales),
        *(incident.source for incident in scenario.faults.incidents),
    ]
    assert sources
    for source in sources:
        assert "published" in source or "assumed" in source, source


def test_the_pivot_begins_as_the_company_did(data: Path) -> None:
    pivot = sim.load(CONFIGS / "cango-pivot", {"data_dir": str(data)})
    assert pivot.treasury.opening_btc == 7528.3
    assert [sale.btc for sale in pivot.treasury.sales] == [550.03, 4451, 2000]
    loan = pivot.loans["bitcoin-backed"]
    usd_per_btc = 87_292  # close of 2025-12-31
    assert loan.principal_usd / (loan.collateral_btc * usd_per_btc) == pytest.approx(0.70, abs=1e-3)
    assert loan.collateral_btc <= pivot.treasury.opening_btc
    assert all(group.project for group in pivot.gpus), "no GPU was there before the pivot"


def test_nfn8_has_its_counterparties(data: Path) -> None:
    nfn8 = sim.load(CONFIGS / "nfn8-stress", {"data_dir": str(data)})
    assert sum(lease.counterparties for lease in nfn8.leases) > 250
    there = [g for g in nfn8.asics if not isinstance(g, MovedGroup)]
    moved = [g for g in nfn8.asics if isinstance(g, MovedGroup)]
    machines: Counter[str] = Counter()
    for group in there:
        machines[group.owner] += group.count
    assert machines["own"] > 5000
    assert machines["leased"] == sum(lease.machines for lease in nfn8.leases)
    fire = next(i for i in nfn8.faults.incidents if i.kind == "fire")
    assert fire.destroyed_fraction is not None
    stood = sum(g.count for g in (*there, *moved) if g.site in fire.sites)
    share = stood * fire.destroyed_fraction / sum(g.count for g in there)
    assert share == pytest.approx(0.5, abs=0.01), "half of capacity"


def test_all_uses_of_power_spend_the_same() -> None:
    study = tomllib.loads((ROOT / "experiments/treasury-by-power.toml").read_text(encoding="utf-8"))
    folder = ROOT / "experiments" / study["scenario"]
    spent = {}
    for level, changes in study["axes"]["power"].items():
        scenario = sim.load(folder, {**study["changes"], **changes})
        ordered = [p for p in scenario.projects.values() if p.enabled]
        spent[level] = sum(p.capex_usd for p in ordered)
    assert spent.pop("nothing") == 0
    assert set(spent) == {"asics", "containers", "both"}
    assert len(set(spent.values())) == 1
    assert not any(p.enabled for p in sim.load(folder).projects.values())


def test_containers_at_published_rents_are_those_of_the_crossed_study() -> None:
    """The same two projects and sales, let at 1.70 and at 2.35 USD for good: no trend, no luck."""

    def axes(name: str) -> dict[str, dict[str, dict[str, object]]]:
        text = (ROOT / f"experiments/{name}.toml").read_text(encoding="utf-8")
        found: dict[str, dict[str, dict[str, object]]] = tomllib.loads(text)["axes"]
        return found

    crossed, rents = axes("treasury-by-power"), axes("treasury-by-rent")
    assert rents["treasury"].items() <= crossed["treasury"].items()
    path = "gpu_market.gpus.h100-sxm"
    for level, usd in (("containers-at-170", 1.70), ("containers-at-235", 2.35)):
        changes = dict(rents["power"][level])
        scenario = sim.load(CONFIGS / "cango-strategies", changes)
        found = gpu_paths(scenario, Streams(1)).usd_per_gpu_h["h100-sxm"]
        assert found == pytest.approx(np.full(730, usd))
        projects = {key: v for key, v in changes.items() if not key.startswith(path)}
        assert projects == crossed["power"]["containers"]


def test_the_catalogue_names_its_sources() -> None:
    for file in OWN_CATALOGUE:
        for row in catalogue.rows(file):
            assert row["source"].strip(), (file, row)


def test_the_nameplate_is_written_once() -> None:
    rows = catalogue.rows("asic_modes.csv")
    assert all(row["mode"] != "normal" for row in rows)
    names = Counter((row["model"], row["mode"]) for row in rows)
    assert max(names.values()) == 1
    assert max(Counter(row["model"] for row in catalogue.rows("asics.csv")).values()) == 1


def test_less_power_is_more_efficient() -> None:
    """Assumed modes trade hashrate for J/TH, as the measured ladder does."""
    for model in catalogue.asics().values():
        if "low" in model.modes:
            low, normal, high = (model.modes[name] for name in ("low", "normal", "high"))
            j_per_th = [m.power_w / m.hashrate_ths for m in (low, normal, high)]
            assert j_per_th == sorted(j_per_th), model.name
            assert low.hashrate_ths < normal.hashrate_ths < high.hashrate_ths
            assert low.source.startswith("assumed")
            assert high.source.startswith("assumed")


def test_a_gpu_takes_more_than_its_own_power() -> None:
    """A share of the server is in it, idle and at the most."""
    for gpu in catalogue.gpus().values():
        assert gpu.idle_w_per_gpu < gpu.tdp_w < gpu.max_w_per_gpu, gpu.name


def test_figures_of_asics_have_an_address_or_say_that_they_are_assumed() -> None:
    for row in catalogue.rows("asics.csv"):
        assert "http" in row["source"] or row["source"].startswith("assumed"), row["model"]


def test_how_far_the_price_processes_lie_apart_is_explained() -> None:
    """sqrt(0.198^2 + 341 (0.0003^2 + 0.0281^2)) = 0.555, 19 % above 0.468."""
    plain, jumps = GbmBtcPrice(), JumpDiffusionBtcPrice()
    second = jumps.jump_mean**2 + jumps.jump_deviation**2
    whole = (jumps.volatility_per_year**2 + jumps.jumps_per_year * second) ** 0.5
    for process in (GbmBtcPrice, JumpDiffusionBtcPrice):
        assert process.__doc__ is not None
        assert f"{whole:.3f}" in process.__doc__
        assert f"{whole / plain.volatility_per_year - 1:.0%}".replace("%", " %") in process.__doc__


def test_what_assumed_slippage_is_worth_stands_in_the_reference() -> None:
    """Two thirds of factor x volatility x sqrt(share of the day's volume)."""
    treasury = Treasury()
    assert treasury.__doc__ is not None
    for btc, factor in ((1000.0, 0.9), (3000.0, 0.9), (1000.0, 0.45)):
        share = btc / treasury.volume_btc_per_day
        lost = 2 / 3 * factor * treasury.volatility_per_day * share**0.5
        assert f"{100 * lost:.2f} %" in treasury.__doc__
    assert treasury.impact_factor == 0.9


def test_defaults_of_policies_say_that_they_are_assumed() -> None:
    for policy, name in (
        (LookAhead, "persistence"), (LookAhead, "hours"), (MeritOrder, "hours"),
        (PriceThreshold, "max_usd_per_mwh"),
        (SloGuard, "headroom"),
    ):  # fmt: skip
        default = inspect.signature(policy).parameters[name].default
        assert f"({default:g}: assumed)" in " ".join(str(policy.__doc__).split())

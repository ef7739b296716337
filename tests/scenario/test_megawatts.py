"""What planners write instead of numbers: MW of machines, a price alone, stock firmware."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.plant.machines import build_asics
from sim.scenario import Scenario, ScenarioError, assemble
from sim.scenario.warnings import nameplate_mw

SITE = {"name": "alpha", "climate": "waco-tx", "utc_offset_h": -6}
MARKET = {"price_zone": "zone", "power_limit_mw": 10}
OWN_PRICE = {"contract": "fixed", "energy_usd_per_mwh": 45, "power_limit_mw": 10}
ZONES = {"prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 45}}}}
S21 = {"site": "alpha", "model": "Antminer S21", "count": 500}


def made(
    site: dict[str, Any], tables: dict[str, Any] | None = None, **sheets: list[dict[str, Any]]
) -> Scenario:
    return assemble({"horizon": {"days": 0.25}, **(tables or {})}, {"sites": [{**SITE, **site}],
                    **sheets}, name="made")  # fmt: skip


def test_two_megawatts_of_h100_are_that_many_nodes() -> None:
    """A node of eight at 1,050 W with a PUE of 1.05 draws 8,820 W: 226 of them make 2 MW."""
    fleet = made(MARKET, ZONES, gpus=[{"site": "alpha", "gpu": "h100-sxm", "mw": 2}])
    (group,) = fleet.gpus
    assert group.nodes == 226
    assert "nodes: 2 MW by 8,820 W" in group.source


def test_megawatts_of_asics_count_the_cooling_of_their_site() -> None:
    fleet = made({**MARKET, "pue_base": 1.2}, ZONES,
                 asics=[{"site": "alpha", "model": "Antminer S21", "mw": 4.2}])  # fmt: skip
    assert fleet.asics[0].count == 1000


def test_a_connection_is_that_of_its_machines() -> None:
    fleet = made({"contract": "fixed", "energy_usd_per_mwh": 45, "overhead_mw": 0.1},
                 asics=[{**S21, "count": 1000}],
                 gpus=[{"site": "alpha", "gpu": "h100-sxm", "mw": 2}])  # fmt: skip
    (site,) = fleet.sites
    need = nameplate_mw(fleet, "alpha", planned=False) * site.pue_base + 0.1
    assert site.power_limit_mw == pytest.approx(need, abs=1e-3)
    assert site.power_limit_mw >= need
    assert "power_limit_mw assumed" in site.source


@pytest.mark.parametrize(
    ("gpus", "told"),
    [
        ({"gpu": "h100-sxm", "mw": 2, "nodes": 3}, "mw = '2': stands beside nodes = 3"),
        ({"gpu": "h100-sxm"}, "nodes: is required"),
        ({"gpu": "h100-sxm", "mw": 0}, "mw = '0': must be > 0 MW"),
        ({"gpu": "h100-sxm", "mw": "two"}, "mw = 'two': must be a number in MW"),
        ({"gpu": "h100", "mw": 2}, "gpu = 'h100': did you mean 'h100-sxm'?"),
        ({"gpu": "h100-sxm", "mw": "inf"}, "mw = 'inf': must be a finite number in MW"),
        ({"gpu": "h100-sxm", "mw": 2, "gpus_per_node": 0}, "gpus_per_node = '0': must be >= 1"),
    ],
)
def test_megawatts_that_make_no_number_are_refused(gpus: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        made(MARKET, ZONES, gpus=[{"site": "alpha", **gpus}])
    assert told in str(refused.value)


@pytest.mark.parametrize("column", ["mw", "count"])
def test_a_machine_that_is_not_known_is_named_before_what_follows_from_it(column: str) -> None:
    rows = [{"site": "alpha", "model": "Antminer S99", column: 3}]
    with pytest.raises(ScenarioError, match=r"row 2 \(alpha\), model = 'Antminer S99'") as refused:
        made(MARKET, ZONES, asics=rows)
    assert "count: is required" not in str(refused.value)


def test_a_site_with_a_price_needs_no_zone() -> None:
    """It pays the same as one that names a zone, and nobody has to write prices."""
    alone = sim.run(made(OWN_PRICE, asics=[S21]), "static", seed=1).kpis
    named = sim.run(made({**OWN_PRICE, "price_zone": "zone"}, ZONES, asics=[S21]), "static", seed=1)
    assert alone == named.kpis


def test_a_price_of_its_own_stands_beside_zones() -> None:
    sites = [
        {**SITE, **MARKET},
        {**SITE, "name": "zone", "contract": "hosted", "energy_usd_per_mwh": 60,
         "power_limit_mw": 5},
    ]  # fmt: skip
    fleet = assemble(ZONES, {"sites": sites, "asics": [S21]})
    assert [s.price_zone for s in fleet.sites] == ["zone", "zone (own price)"]
    assert fleet.prices.zones["zone (own price)"].model_dump()["usd_per_mwh"] == 60


@pytest.mark.parametrize("tables", [{}, ZONES])
def test_a_site_on_the_market_needs_a_zone(tables: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match="a site on the market needs a zone"):
        made({"power_limit_mw": 10}, tables, asics=[S21])


def test_stock_firmware_has_the_nameplate_alone() -> None:
    stock = {**S21, "firmware": "stock"}
    fleet = made(MARKET, ZONES, asics=[stock, S21])
    asics, _ = build_asics(fleet, ["alpha"])
    assert list(np.count_nonzero(asics.mode_ths, axis=1)) == [1, 3]
    assert asics.mode_w[0].max() == 3500
    (kept,) = made(MARKET, ZONES, asics=[stock]).asics
    assert build_asics(made(MARKET, ZONES, asics=[stock]), ["alpha"])[0].mode_ths.shape == (1, 1)
    assert kept.mode == "normal"
    with pytest.raises(ScenarioError, match="allowed: normal"):
        made(MARKET, ZONES, asics=[{**stock, "mode": "low"}])

"""Misfortune: what each kind of incident does to the plant, the firm and the events."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine.incidents import EFFECTS, Effect, complete
from sim.policies.merit_order import MeritOrder
from sim.policy import Decision, Observation
from sim.scenario.incidents import KINDS, PHRASES, Incident
from tests.builders.quiet import COOL, QUIET, Build, column, events, quiet

HOUR = 3600


def test_an_outage_takes_power_and_hashes_of_its_site_alone(build: Build) -> None:
    calm = quiet(build)
    hit = quiet(
        build,
        {"kind": "outage", "sites": ["alpha"], "start_utc": "2026-01-01T06:00:00Z", "hours": 3},
    )
    during = slice(6, 9)
    assert (column(hit, "alpha", "meter_mw")[during] == 0.0).all()  # its overhead is dark, too
    lost = column(hit, "alpha", "lost_outage_phs")[during]
    np.testing.assert_allclose(lost, column(hit, "alpha", "deployed_phs")[during])
    np.testing.assert_array_equal(column(hit, "bravo", "btc"), column(calm, "bravo", "btc"))
    assert column(hit, "alpha", "hashrate_phs")[12] == column(calm, "alpha", "hashrate_phs")[12]
    assert (6 * HOUR, "outage") in events(hit)
    assert (9 * HOUR, "outage over") in events(hit)


def test_a_network_cut_leaves_the_lights_on(build: Build) -> None:
    hit = quiet(
        build,
        {
            "kind": "network-cut",
            "sites": ["alpha"],
            "start_utc": "2026-01-01T06:00:00Z",
            "hours": 1,
        },
    )
    assert column(hit, "alpha", "hashrate_phs")[6] == 0.0
    assert column(hit, "alpha", "overhead_mw")[6] == pytest.approx(0.05)


def test_incidents_that_overlap_end_when_the_last_one_does(build: Build) -> None:
    hit = quiet(
        build,
        {"kind": "outage", "sites": ["alpha"], "start_utc": "2026-01-01T06:00:00Z", "hours": 4},
        {"kind": "network-cut", "sites": ["*"], "start_utc": "2026-01-01T08:00:00Z", "hours": 5},
    )
    hashing = column(hit, "alpha", "hashrate_phs") > 0
    assert not hashing[6:13].any()
    assert hashing[14:].all()
    assert hashing[:6].all()


def test_an_incident_within_a_control_step_counts_to_the_second(build: Build) -> None:
    hit = quiet(
        build,
        {"kind": "outage", "sites": ["alpha"], "start_utc": "2026-01-01T06:05:00Z", "hours": 0.1},
    )
    lost = column(hit, "alpha", "lost_outage_phs")[6]
    assert lost == pytest.approx(column(hit, "alpha", "deployed_phs")[6] * 0.1)


def test_failed_cooling_leaves_machines_a_share(build: Build) -> None:
    incident = {
        "kind": "cooling",
        "sites": ["alpha"],
        "start_utc": "2026-01-01T06:00:00Z",
        "hours": 2,
        "left_fraction": 0.25,
    }
    hit = quiet(build, incident)
    hashing = column(hit, "alpha", "hashrate_phs")
    assert hashing[6] == pytest.approx(hashing[3] * 0.25)
    assert hashing[9] == hashing[3]
    assert column(hit, "alpha", "lost_thermal_phs")[6] == pytest.approx(hashing[3] * 0.75)


def test_nodes_fail_by_date_and_come_back(build: Build) -> None:
    incident = {
        "kind": "node-failure",
        "sites": ["alpha"],
        "start_utc": "2026-01-01T06:00:00Z",
        "hours": 3,
        "left_fraction": 0.25,
    }
    hit = quiet(build, incident)
    on = column(hit, "alpha", "gpu_nodes_on")
    assert on[5:10].tolist() == [4.0, 1.0, 1.0, 1.0, 4.0]
    assert hit.kpis["gpu_node_failures"] == 3.0


def test_curtailment_is_a_limit_and_never_broken(build: Build) -> None:
    incident = {
        "kind": "curtailment",
        "sites": ["alpha"],
        "start_utc": "2026-01-01T06:00:00Z",
        "hours": 2,
        "left_fraction": 0.2,
    }
    hit = quiet(build, incident)
    meter = column(hit, "alpha", "meter_mw")
    assert meter[6] == pytest.approx(0.2 * 10.0)
    assert meter[5] > 4.0
    assert column(hit, "alpha", "lost_limit_phs")[6] > 0.0


def test_a_fire_destroys_whole_machines_for_good(build: Build) -> None:
    hit = quiet(
        build,
        {
            "kind": "fire",
            "sites": ["alpha"],
            "start_utc": "2026-01-01T06:00:00Z",
            "hours": 10,
            "destroyed_fraction": 0.5,
        },
    )
    deployed = column(hit, "alpha", "deployed_phs")
    assert deployed[40] == pytest.approx(deployed[0] * 0.5)
    hashing = column(hit, "alpha", "hashrate_phs")
    assert not hashing[6:16].any()
    assert hashing[17] == pytest.approx(hashing[0] * 0.5)
    assert hit.kpis["asic_availability_pct"] == 100.0  # what is gone is not in repair


def test_hashes_are_not_paid_while_the_pool_is_down(build: Build) -> None:
    hit = quiet(build, {"kind": "pool-outage", "start_utc": "2026-01-01T06:00:00Z", "hours": 2})
    assert (column(hit, "alpha", "btc")[6:8] == 0.0).all()
    assert column(hit, "alpha", "btc")[8] > 0.0


def test_a_price_spike_is_seen_by_policies(build: Build) -> None:
    incident = {
        "kind": "price-spike",
        "zones": ["zone"],
        "start_utc": "2026-01-01T06:00:00Z",
        "hours": 1,
        "usd_per_mwh": 4000,
    }
    scenario = build({**QUIET, "faults": {"enabled": False, "incidents": [incident]}}, sites=COOL)
    hit = sim.run(scenario, "merit-order")
    assert column(hit, "alpha", "price_usd_per_mwh")[6] == 4000.0
    assert column(hit, "alpha", "asic_mw")[6] == 0.0
    assert column(hit, "alpha", "asic_mw")[8] > 0.0


def test_machines_in_repair_may_burn(build: Build) -> None:
    """Whatever fails and burns, healthy, failed and shut machines add up, and repairs go on."""
    incident = {
        "kind": "fire",
        "sites": ["*"],
        "per_year": 300,
        "hours": 3,
        "destroyed_fraction": 0.3,
    }
    faults = {"asic": {"mtbf_h": 300, "spare_lead_h": 4}, "incidents": [incident]}
    scenario = build({**QUIET, "horizon": {"days": 6}, "faults": faults}, sites=COOL)
    hit = sim.run(scenario, "static")
    kinds = {kind for _, kind in events(hit)}
    assert {"failure", "repair", "machines destroyed"} <= kinds
    for site in ("alpha", "bravo"):
        parts = [n for n in hit.table("sites").column_names if n.startswith("lost_")]
        total = column(hit, site, "hashrate_phs") + sum(column(hit, site, n) for n in parts)
        np.testing.assert_allclose(total, column(hit, site, "deployed_phs"), rtol=1e-9, atol=1e-9)
    assert 0.0 < hit.kpis["asic_availability_pct"] < 100.0


def test_luck_at_random_belongs_to_the_target(build: Build) -> None:
    """A site's incidents stay the same when others are added."""
    one = {"kind": "outage", "sites": ["alpha"], "per_year": 500, "hours": 2}
    alone = quiet(build, one)
    with_others = quiet(build, {**one, "sites": ["alpha", "bravo"]})
    np.testing.assert_array_equal(
        column(alone, "alpha", "lost_outage_phs"), column(with_others, "alpha", "lost_outage_phs")
    )
    assert column(with_others, "bravo", "lost_outage_phs").any()


def test_a_fleet_that_serves_tokens_loses_nobody_in_an_outage(build: Build) -> None:
    """Requests of a site that goes dark go back to the router."""
    gpus = [
        {
            "site": site,
            "gpu": "h100-sxm",
            "nodes": 1,
            "model": "llama-3.1-8b",
            "state": "serving",
        }
        for site in ("alpha", "bravo")
    ]
    tenant = {
        "name": "desk",
        "region": "here",
        "model": "llama-3.1-8b",
        "rate_rps": 2,
        "prompt_mean_tokens": 500,
        "output_mean_tokens": 100,
        "patience_s": 60,
        "usd_per_mtok_in": 0.1,
        "usd_per_mtok_out": 0.2,
    }
    places = [{**s, "latitude": 40, "longitude": -90, "country": "US"} for s in COOL]
    regions = {"regions": {"here": {"latitude": 41, "longitude": -90}}}
    tables = {"horizon": {"days": 0.25}, "demand": regions}
    incident = {
        "kind": "outage",
        "sites": ["alpha"],
        "start_utc": "2026-01-01T02:00:00Z",
        "hours": 2,
    }
    hit = quiet(build, incident, tables=tables, sites=places, gpus=gpus, tenants=[tenant])
    k = hit.kpis
    served = column(hit, "alpha", "tokens_out")
    assert not served[2:4].any()
    assert served[0] > 0
    assert served[5] > 0
    assert (k["slo_attainment_pct"] or 0.0) > 90.0


EMERGENCY: dict[str, Any] = {
    "kind": "emergency", "sites": ["alpha"], "start_utc": "2026-01-01T05:00:00Z", "alert_h": 1.5,
    "hours": 2, "left_fraction": 0.02,
}  # fmt: skip


def test_an_emergency_is_an_alert_and_then_load_that_is_shed(build: Build) -> None:
    """0.2 MW are left: overhead and the reserved nodes run on, the ASICs are off; nobody pays."""
    hit = quiet(build, EMERGENCY | {"alert_h": 1.0})
    asic, gpu = column(hit, "alpha", "asic_mw"), column(hit, "alpha", "gpu_mw")
    assert asic[5] == pytest.approx(asic[4], rel=0.05)  # an alert takes nothing off
    assert column(hit, "alpha", "meter_mw")[6:8] == pytest.approx([0.2, 0.2], rel=0.05)
    assert (asic[6:8] < 0.15).all()
    assert gpu[6:8] == pytest.approx(gpu[4:6], rel=1e-6)
    assert asic[9] == pytest.approx(asic[4], rel=0.05)
    assert column(hit, "bravo", "asic_mw")[6] > 1.0
    assert hit.kpis["grid_services_usd"] is None
    assert hit.kpis["penalties_usd"] is None
    events = [e for e in hit.table("events").to_pylist() if e["subject"] == "incident"]
    assert [(e["t_s"] / 3600, e["event"], e["detail"]) for e in events] == [
        (5.0, "emergency alert", ""), (6.0, "load shed", "2% left"), (8.0, "emergency over", ""),
    ]  # fmt: skip


def test_a_policy_sees_the_level_of_an_emergency(build: Build) -> None:
    seen: list[tuple[float, int]] = []

    class Watch(MeritOrder):
        def decide(self, observation: Observation) -> Decision:
            seen.append((observation.t_s / 3600, int(observation.energy.emergency[0])))
            return super().decide(observation)

    faults = {"asic": {"mtbf_h": 1e8}, "gpu": {"mtbf_h": 1e8}, "incidents": [EMERGENCY]}
    sim.run(build({"faults": faults}), Watch())
    levels = dict(seen)
    assert [levels[h] for h in (4.75, 5.0, 6.25, 6.5, 8.25, 8.5, 12.0)] == [0, 1, 1, 2, 2, 0, 0]


@pytest.mark.parametrize(
    ("start", "first"), [("2025-12-31T23:30:00Z", 1), ("2025-12-31T22:00:00Z", 2)]
)
def test_an_emergency_that_began_before_the_run_goes_on(
    build: Build, start: str, first: int
) -> None:
    seen: list[int] = []

    class Watch(MeritOrder):
        def decide(self, observation: Observation) -> Decision:
            seen.append(int(observation.energy.emergency[0]))
            return super().decide(observation)

    faults = {"incidents": [EMERGENCY | {"start_utc": start}]}
    sim.run(build({"faults": faults, "horizon": {"days": 1}}), Watch())
    assert seen[0] == first
    assert seen[-1] == 0
    assert 2 in seen


def test_an_alert_belongs_to_an_emergency(build: Build) -> None:
    with pytest.raises(sim.ScenarioError, match="alert_h does not belong to it, but to emergency"):
        build({"faults": {"incidents": [EMERGENCY | {"kind": "curtailment"}]}})


def test_every_kind_has_keys_and_an_effect() -> None:
    assert EFFECTS.keys() == KINDS.keys()
    for kind, of in KINDS.items():
        keys = {*of.needs, *of.may} | ({of.strikes} - {""})
        assert keys <= Incident.model_fields.keys(), kind


def test_a_kind_without_an_effect_stops_the_import_not_a_run() -> None:
    with pytest.raises(TypeError, match="incidents: nothing-at-all: in one of"):
        complete(EFFECTS, {**KINDS, "nothing-at-all": KINDS["outage"]})
    with pytest.raises(TypeError, match="incidents: nothing-at-all: in one of"):
        complete({**EFFECTS, "nothing-at-all": Effect})
    assert complete(EFFECTS) is EFFECTS


def test_an_incident_says_what_its_keys_say() -> None:
    def words(**keys: Any) -> str:
        return ", ".join(Incident(start_utc="2026-01-01T00:00:00Z", **keys).words())

    assert words(kind="cooling", sites=("a",), hours=2, left_fraction=0.4) == "40% left"
    assert words(kind="outage", sites=("a",), hours=2) == ""
    fire = {"kind": "fire", "sites": ("a",), "destroyed_fraction": 0.25}
    assert words(**fire) == "25% of the machines destroyed"
    spike = {"kind": "price-spike", "zones": ("z",), "hours": 1, "usd_per_mwh": 5000}
    assert words(**spike) == "5000 USD/MWh"
    assert words(kind="delivery-delay", projects=("p",), days=30) == "30 days later"
    assert PHRASES.keys() <= Incident.model_fields.keys()

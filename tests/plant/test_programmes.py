"""Programmes that call for less load, by hand: the 7 MW site of `finance/test_energy_costs.py`."""

from typing import Any

import numpy as np
import pytest

import sim
from sim.engine import Engine
from sim.kernels.arrays import GRANTED
from sim.policy import Decision, Observation
from tests.builders.events import events
from tests.builders.one_site import START, Share, column, one_site
from tests.conftest import build_scenario

CALL = {"start_utc": "2026-01-01T12:30:00Z", "hours": 2}  # 6.5 hours after the start
ERS: dict[str, Any] = {
    "model": "emergency", "usd_per_mw_h": 10, "usd_per_mwh": 200, "penalty_usd_per_mwh": 1000,
    "notice_s": 1800, "calls": [CALL], "offer_fraction": 0.6,
}  # fmt: skip


def test_standing_by_is_paid_and_a_relay_delivers() -> None:
    """0.6 of 7 MW stand by all day at 10 USD/MW/h; a call of two hours takes them."""
    result = sim.run(one_site({"programmes": {"ers": ERS}}), "static")
    stood_mwh = 24 * 4.2
    assert result.kpis["grid_services_usd"] == pytest.approx(stood_mwh * 10 + 2 * 4.2 * 200)
    assert result.kpis["penalties_usd"] is None
    meter = column(result, "meter_mw")
    assert meter[[5, 7, 9]] == pytest.approx([7.0, 2.8, 7.0])
    assert meter[[6, 8]] == pytest.approx([4.9, 4.9])  # half an hour of each
    assert [e["t_s"] for e in events(result, "call")] == [6 * 3600]
    assert [e["t_s"] for e in events(result, "response due")] == [6.5 * 3600]
    over = events(result, "call over")
    assert over[0]["detail"] == "8.400 of 8.400 MWh delivered, penalty 0.00 USD"
    bound = result.table("limits").to_pylist()
    assert {(b["site"], b["limit"]) for b in bound} == {("site", "call")}


def test_a_policy_that_does_not_respond_pays_the_penalty() -> None:
    programmes = {"ers": {**ERS, "response": "manual"}}
    result = sim.run(one_site({"programmes": programmes}), "static")
    assert result.kpis["penalties_usd"] == pytest.approx(2 * 4.2 * 1000)
    assert column(result, "meter_mw")[7] == pytest.approx(7.0)


def test_merit_order_responds_to_a_manual_call() -> None:
    programmes = {"ers": {**ERS, "response": "manual"}}
    result = sim.run(one_site({"programmes": programmes}), "merit-order")
    assert result.kpis["penalties_usd"] is None
    assert events(result, "call over")[0]["detail"].endswith("penalty 0.00 USD")
    assert column(result, "meter_mw")[7] < 0.5 * column(result, "meter_mw")[5]


def test_less_than_the_minimum_response_fails_the_call() -> None:
    """Off for one of the two hours: 50 % delivered; the penalty is on what is missing."""
    lazy = Share(*[1.0] * 6, 1.0, 0.0, *[1.0] * 16)  # hour 7 of the call from 6.5 to 8.5
    for minimum, penalty in ((0.95, 4.2 * 1000), (0.4, None)):
        programmes = {"ers": {**ERS, "response": "manual", "minimum_response": minimum}}
        k = sim.run(one_site({"programmes": programmes}), lazy).kpis
        assert k["penalties_usd"] == (pytest.approx(penalty) if penalty else None)


def test_a_reserve_is_paid_by_performance() -> None:
    """A day's availability is paid times what its deployments delivered of what they owed.

    The first day is not sold: its gate closed before the run began.
    """
    rrs = {
        "model": "reserve", "usd_per_mw_h": 8, "offer_fraction": 1.0, "notice_s": 600,
        "calls": [{"start_utc": "2026-01-02T12:30:00Z", "hours": 2}], "response": "manual",
    }  # fmt: skip

    def paid(policy: Any, **more: Any) -> float:
        tables = {"programmes": {"rrs": {**rrs, **more}}, "horizon": {"days": 2}}
        result = sim.run(one_site(tables), policy)
        assert result.kpis["reserve_shortfalls_usd"] is None
        return result.kpis["grid_services_usd"] or 0.0

    assert paid("static", response="automatic") == pytest.approx(24 * 7 * 8)
    assert paid("static") == pytest.approx(0.0, abs=1e-6)
    assert paid(Share(*[1.0] * 31, 0.0, *[1.0] * 16)) == pytest.approx(24 * 7 * 8 / 2)


def test_no_load_stands_by_twice() -> None:
    programmes = {name: {**ERS, "calls": []} for name in ("first", "second")}
    result = sim.run(one_site({"programmes": programmes}), "static")
    assert column(result, "reserved_mw") == pytest.approx(7.0)  # 0.6 + 0.4


def test_two_calls_at_once_are_two_deliveries() -> None:
    programmes = {name: {**ERS, "offer_fraction": 0.4} for name in ("first", "second")}
    result = sim.run(one_site({"programmes": programmes}), "static")
    assert column(result, "meter_mw")[7] == pytest.approx(7 * 0.2)
    done = [e["detail"] for e in events(result, "call over")]
    assert done == ["5.600 of 5.600 MWh delivered, penalty 0.00 USD"] * 2


def test_a_policy_bids_and_the_programme_takes_no_more_than_it_may() -> None:
    class Bidder:
        def decide(self, observation: Observation) -> Decision:
            share = observation.asic.default_share
            return Decision(share, np.ones(0), offer_w=np.array([[5e6]]))

    programmes = {"ers": {**ERS, "max_mw": 3, "calls": []}}
    result = sim.run(one_site({"programmes": programmes}), Bidder())
    assert column(result, "reserved_mw") == pytest.approx(3.0)


class All:
    """Everything on, and all of it offered."""

    def decide(self, observation: Observation) -> Decision:
        offer_w = np.full(observation.energy.reserve_usd_per_mw_h.shape, 1e9)
        return Decision(
            observation.asic.default_share,
            np.ones_like(observation.gpu.available),
            offer_w=offer_w,
        )


def test_nodes_are_told_at_the_notice_so_that_they_are_empty_when_the_response_is_due() -> None:
    """All load is owed: nodes stop (drain, migrate) half an hour before, ASICs when it is due."""
    scenario = build_scenario(
        {
            "horizon": {"start_utc": START, "days": 1},
            "prices": {"zones": {"zone": {"model": "fixed", "usd_per_mwh": 40}}},
            "faults": {"enabled": False},
            "programmes": {"ers": ERS},
        },
        sites=[{"name": "site", "power_limit_mw": 20, "climate": "reykjavik-is"}],
        asics=[{"site": "site", "model": "Antminer S21", "count": 500}],
        gpus=[
            {"site": "site", "gpu": "h100-sxm", "nodes": 20, "state": state}
            for state in ("contracted", "batch")
        ],
    )
    engine = Engine(scenario, All(), 1)
    seen: dict[int, tuple[float, float]] = {}
    grant = engine.grant

    def look() -> None:
        grant()
        plant = engine.plant
        nodes = float(plant.node.shares[GRANTED].sum())
        seen[engine.now_s] = nodes, float(plant.asic.shares[GRANTED].sum())

    engine.grant = look  # type: ignore[method-assign]
    engine.phases = (*engine.phases[:5], look, engine.phases[6])
    engine.run()
    at = {hour: seen[int(hour * 3600)] for hour in (5.75, 6.25, 6.5, 8.25, 8.75)}
    assert at[5.75] == (2.0, 1.0)
    assert at[6.25] == (pytest.approx(0.0, abs=1e-9), 1.0)
    assert at[6.5] == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.0, abs=1e-9))
    assert at[8.25][1] == pytest.approx(0.0, abs=1e-9)
    assert at[8.75] == (2.0, 1.0)


def test_economic_curtailment_pays_below_the_baseline_when_prices_are_high() -> None:
    """Two days make the baseline of 7 MW; on the third, half off at 40 USD/MWh less 10."""
    programme = {
        "model": "economic", "threshold_usd_per_mwh": 41, "baseline_days": 2,
        "less_usd_per_mwh": 10,
    }  # fmt: skip
    policy = Share(*[1.0] * 48, *[0.5] * 24)
    tables = {"horizon": {"days": 3}, "programmes": {"dr": programme}}
    quiet = sim.run(one_site(tables, {"contract": "hosted", "energy_usd_per_mwh": 60}), policy)
    assert quiet.kpis["grid_services_usd"] is None  # never as dear as the threshold
    tables["programmes"] = {"dr": {**programme, "threshold_usd_per_mwh": 40}}
    # the first two days are no events: there is no baseline yet
    paid = sim.run(one_site(tables, {"contract": "hosted", "energy_usd_per_mwh": 60}), policy)
    assert paid.kpis["grid_services_usd"] == pytest.approx(24 * 3.5 * 30)


def test_calls_are_the_same_whatever_is_offered() -> None:
    ers = {**ERS, "calls": [], "calls_per_year": 1000, "call_h": 0.5}
    tables = {"horizon": {"days": 5}, "programmes": {"ers": ers}}
    times = [
        [e["t_s"] for e in events(sim.run(one_site(tables), policy, 3), "response due")]
        for policy in ("static", Share(0.2), "merit-order")
    ]
    assert len(times[0]) > 5
    assert times[0] == times[1] == times[2]


@pytest.mark.parametrize("curtailment", ["drain", "migrate"])
def test_serving_nodes_empty_within_the_notice_and_nobody_is_lost(curtailment: str) -> None:
    """A call takes all of one site: its requests end or move; it draws nothing when due."""
    from tests.builders.serving_scenarios import assert_nobody_is_lost, scenario_with

    ers = {**ERS, "sites": ["alpha"], "calls": [{**CALL, "start_utc": "2026-01-01T06:30:00Z"}]}
    scenario = scenario_with(
        [{"name": "acme", "rate_rps": 4.0, "prompt_mean_tokens": 2000.0}],
        {"curtailment": curtailment},
        days=0.5,
        faults={"enabled": False},
        programmes={"ers": {**ers, "notice_s": 900}},
    )
    engine = Engine(scenario, All(), 1)
    engine.run()
    assert engine.serving_fleet is not None
    assert_nobody_is_lost(engine.serving_fleet)  # type: ignore[arg-type]
    meter = np.asarray(engine.recorder.sites_table()["meter_mw"]).reshape(-1, 2)
    serving = np.asarray(engine.recorder.sites_table()["serving_mw"]).reshape(-1, 2)
    assert serving[7, 0] == pytest.approx(0.0, abs=1e-9)
    assert meter[7, 0] == pytest.approx(0.05, rel=0.02)  # overhead is left
    assert serving[5, 0] > 0.0
    assert serving[7, 1] > 0.0

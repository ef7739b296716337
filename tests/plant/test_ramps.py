"""Ramps of meters: what a decision moves, and what comes back, moves no faster; what trips does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim
from sim.policies.merit_order import MeritOrder
from sim.policy import Bids, Decision, Observation
from sim.scenario import Scenario
from sim.studies.bound.clairvoyant import left_out
from tests.builders.meshed_fleets import column, fleet
from tests.builders.one_site import one_site
from tests.builders.plain_sites import plain
from tests.builders.steps import Steps

RAMP = {"ramp_mw_per_min": 0.1}  # 1.5 MW in a step of a quarter of an hour


def one(tables: dict[str, Any] | None = None, site: dict[str, Any] | None = None, **more: Any):
    when = {"horizon": {"record_s": 900}}
    return one_site({**when, **(tables or {})}, {**RAMP, **(site or {})}, **more)


def meter(scenario: Scenario, policy: Any, seed: int = 1) -> np.ndarray:
    table = sim.run(scenario, policy, seed).table("sites")
    return np.asarray(table["granted_mw"]).reshape(-1, len(scenario.sites))


def test_a_meter_moves_by_its_ramp_both_ways() -> None:
    """7 MW off at once is 1.5 MW a step; so is 7 MW on."""
    share = np.ones(96)
    share[4:12] = 0.0
    mw = meter(one(), Steps(share))[:, 0]
    down, up = [5.5, 4.0, 2.5, 1.0, 0.0, 0.0, 0.0, 0.0], [1.5, 3.0, 4.5, 6.0, 7.0]
    assert mw[:4] == pytest.approx([7.0] * 4)  # the first grant moves from nowhere
    assert mw[4:17] == pytest.approx(down + up)


def test_what_a_ramp_holds_is_said() -> None:
    share = np.ones(96)
    share[4:12] = 0.0
    result = sim.run(one(), Steps(share))
    limits = result.table("limits").to_pylist()
    assert [row["t_s"] // 900 for row in limits if row["limit"] == "ramp"] == [
        4,
        5,
        6,
        7,
        12,
        13,
        14,
        15,
    ]
    wish = np.asarray(result.table("sites")["wish_mw"])
    assert wish[4:12] == pytest.approx(np.zeros(8))  # what was wished stays on record


def test_a_policy_sees_the_band() -> None:
    seen: list[Observation] = []

    class Watch(Steps):
        def decide(self, observation: Observation) -> Decision:
            seen.append(observation)
            return super().decide(observation)

    share = np.ones(96)
    share[4:12] = 0.0
    sim.run(one(), Watch(share))
    assert np.isinf(seen[0].energy.ramp_w).all()
    assert seen[5].energy.ramp_w[:, 0] == pytest.approx([4.0e6, 7.0e6])
    assert seen[12].energy.ramp_w[:, 0] == pytest.approx([-1.5e6, 1.5e6])
    assert seen[12].limits.cap_w == pytest.approx([1.5e6])


def test_a_rise_goes_to_the_best_machines_first() -> None:
    """Merit-order fills what the ramp leaves with the newer machines."""
    prices = [{"usd_per_mwh": 9_000}, {"usd_per_mwh": 30, "from_hour": 6, "to_hour": 24}]
    scenario = plain(
        {"tariffs": {"t": {"prices": prices, "utc_offset_h": -6}},
         "horizon": {"start_utc": "2026-01-01T06:00:00Z", "days": 1, "step_s": 900}},
        sites=[{"name": "alpha", "contract": "fixed", "tariff": "t", "ramp_mw_per_min": 0.05}],
        asics=[{"site": "alpha", "model": "Antminer S19j Pro 104T", "count": 500},
               {"site": "alpha", "model": "Antminer S21", "count": 200}], gpus=[],
    )  # fmt: skip
    seen: list[np.ndarray] = []

    class Watch(MeritOrder):
        def decide(self, observation: Observation) -> Decision:
            decision = super().decide(observation)
            seen.append(decision.asic_share.sum(axis=1))
            return decision

    sim.run(scenario, Watch())
    older, newer = seen[24]
    assert newer > 0.9
    assert older < 0.2


def test_what_trips_goes_at_once_and_comes_back_by_its_ramp() -> None:
    dark = {"kind": "curtailment", "sites": ["site"], "start_utc": "2026-01-01T08:00:00Z",
            "hours": 2, "left_fraction": 0.1}  # fmt: skip
    faults = {"enabled": True, "asic": {"mtbf_h": 1e8}, "incidents": [dark]}
    mw = meter(one({"faults": faults}), "static")[:, 0]
    assert mw[7:9] == pytest.approx([7.0, 2.0], rel=1e-3)
    assert mw[16:21] == pytest.approx([3.5, 5.0, 6.5, 7.0, 7.0], rel=1e-3)


drawn = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 10_000),
        "site_ramp": st.sampled_from([None, 0.02, 0.2]),
        "fleet_ramp": st.sampled_from([None, 0.03, 0.3]),
        "feeder_mw": st.sampled_from([None, 6.0]),
        "battery": st.booleans(),
        "gas": st.booleans(),
        "policy": st.sampled_from(["random", "merit-order", "look-ahead", "price-threshold"]),
    }
)


@given(drawn)
@settings(max_examples=12)
def test_no_meter_and_no_fleet_moves_faster_than_its_ramp(values: dict[str, Any]) -> None:
    """Whatever a policy wishes, step by step; no policy is above the bound for it."""
    ramp = {"ramp_mw_per_min": values["site_ramp"], "pue_slope_per_c": 0.0, "cooling": "line",
            "climate": "reykjavik-is"}  # fmt: skip
    sheets: dict[str, Any] = {"batteries": [], "generators": []}
    if values["battery"]:
        sheets["batteries"] = [
            {"site": "alpha", "power_mw": 1.5, "energy_mwh": 90}
        ]  # neither full nor empty in a day
    if values["gas"]:
        sheets["generators"] = [{"site": "alpha", "kind": "gas", "mw": 1, "usd_per_mwh": 35}]
    scenario = plain(
        {
            "horizon": {"days": 1, "step_s": 900, "record_s": 900},
            "grid": {"fleet_ramp_mw_per_min": values["fleet_ramp"]},
            "prices": {"zones": {"zone": {"model": "seasonal-jump", "profile": "ercot-west"}}},
            "mining": {"restart_s": 0, "min_off_s": 1800, "ramp_up_per_min": 0.05},
        },
        sites=[{"name": "alpha", **ramp}, {"name": "bravo", **ramp}],
        feeder_mw=values["feeder_mw"], **sheets,
    )  # fmt: skip
    mw = meter(scenario, values["policy"], values["seed"])
    moved = np.abs(np.diff(mw, axis=0))
    if values["site_ramp"] is not None:
        assert moved.max() <= 15 * values["site_ramp"] + 1e-6
    if values["fleet_ramp"] is not None:
        assert np.abs(np.diff(mw.sum(axis=1))).max() <= 15 * values["fleet_ramp"] + 1e-6
    usd = sim.run(scenario, values["policy"], values["seed"]).kpis["gross_margin_usd"]
    best = sim.bound(scenario, values["seed"]).usd
    assert (usd or 0.0) <= best + 1e-6 * abs(best)


def test_a_bidder_buys_what_a_ramp_holds_on(tmp_path: Path) -> None:
    """73 MW at any price until 10 o'clock, then nothing: 61 MW are there still and make 200 USD."""
    seen: dict[int, float] = {}

    class Late(MeritOrder):
        """Bids 4,000 USD/MWh until 10 o'clock, then nothing."""

        def bid(self, observation: Observation) -> Bids:
            bids = super().bid(observation)
            early = observation.t_s < 10 * 3600
            return bids._replace(usd_per_mwh=np.full(len(bids.site), 4_000.0 * early))

        def decide(self, observation: Observation) -> Decision:
            seen[observation.t_s // 3600] = float(observation.price_usd_per_mwh[0])
            share = observation.asic.default_share * (observation.t_s < 10 * 3600)
            return Decision(share, np.zeros(0))

    held = sim.run(fleet(tmp_path, ramp_mw_per_min=0.2), Late())
    mw, price = column(held, "granted_mw"), column(held, "price_usd_per_mwh")
    assert mw[9:13] == pytest.approx([73.18, 61.18, 49.18, 37.18])
    assert price[9:13] == pytest.approx([200.0, 200.0, 10.0, 10.0])
    assert seen[10] == pytest.approx(200.0)  # what it decides by is the price of what is held
    loose = sim.run(fleet(tmp_path), Late())
    assert column(loose, "granted_mw")[10] == pytest.approx(0.5)
    assert seen[10] == pytest.approx(10.0)


def test_a_bound_says_that_ramps_are_left_out() -> None:
    fleet_ramp = {"grid": {"fleet_ramp_mw_per_min": 1.0}}
    said = ("ramps of sites and of the fleet",)
    assert left_out(one_site(None, RAMP)) == left_out(one_site(fleet_ramp)) == said
    assert left_out(one_site()) == ()
    assert left_out(one_site({"mining": {"restart_s": 300}})) == ("restarts of ASICs",)

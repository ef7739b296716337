"""Tenants over time: prices that fall, customers that grow and leave, with common luck."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sim
from sim.scenario import ScenarioError
from sim.streams import Streams
from sim.world.demand import Requests
from tests.builders.serving_scenarios import scenario_with

YEAR_DAYS = 365.25


def by_day(
    column: str, fidelity: str, tables: dict[str, Any], **tenant: Any
) -> np.ndarray[Any, Any]:
    """Sums of a column of the sites over the three days."""
    scenario = scenario_with(
        [{"name": "acme", "slo_ttft_s": 1e-3, "rate_rps": 0.5, **tenant}],
        {"fidelity": fidelity},
        days=3,
        **tables,
    )
    sites = sim.run(scenario, "static", seed=2).table("sites")
    days = np.array(sites["t_s"]) // 86_400
    return np.bincount(days, np.array(sites[column]))


@pytest.mark.parametrize("fidelity", ["exact", "fluid"])
def test_tokens_and_credits_follow_the_price_of_the_day(fidelity: str, tmp_path: Path) -> None:
    """A recorded price of 5, 4 and 2 makes every token of a day 1, 0.8 and 0.4 times as dear."""
    file = tmp_path / "tokens.csv"
    lines = [f"2026-01-0{d}T00:00:00Z,{usd}" for d, usd in ((1, 5), (2, 4), (3, 2))]
    file.write_text("\n".join(["time_utc,usd", *lines, ""]), encoding="utf-8")
    path = {"model": "replay", "series": "llama", "column": "usd"}
    tables = {
        "series": {"llama": {"file": str(file)}}, "gpu_market": {"tokens": {"falls": path}},
    }  # fmt: skip
    for column in ("token_usd", "credit_usd"):
        stays = by_day(column, fidelity, {})
        falls = by_day(column, fidelity, tables, price_path="falls")
        assert stays.min() > 0
        assert falls / stays == pytest.approx([1.0, 0.8, 0.4])


def test_a_tenant_doubles_in_a_year_and_keeps_its_luck() -> None:
    grows = scenario_with([{"name": "acme", "growth_per_year": 1.0}], days=800)
    requests = Requests(grows, Streams(1))
    assert (requests.day(0).sent_s == Requests(scenario_with(), Streams(1)).day(0).sent_s).all()
    for fluid in (False, True):
        counts = [
            int(requests.counts(d * 86_400, (d + 1) * 86_400)[0]) if fluid
            else len(requests.day(d).sent_s)
            for d in (0, 365, 730)
        ]  # fmt: skip
        wanted = np.array([2.0 ** (d / YEAR_DAYS) for d in (0, 365, 730)]) * 2.0 * 86_400
        assert counts == pytest.approx(wanted, rel=5 / np.sqrt(wanted.min()))


def test_customers_leave_one_by_one_and_take_their_share_along() -> None:
    tenant = {"name": "acme", "customers": 4, "churn_per_year": 2.0}
    scenario = scenario_with([tenant], days=730)
    requests = Requests(scenario, Streams(3))
    gone = requests.departures()
    assert [left for _, _, left in gone] == [3, 2, 1, 0][: len(gone)]
    assert len(gone) >= 2
    for t_s, _, left in gone:
        day = t_s // 86_400 + 1
        count = len(requests.day(day).sent_s)
        now = sum(1 for other, _, _ in gone if other <= day * 86_400)
        assert now == 4 - left  # no other leaves on the same day
        mean = 2.0 * 86_400 * left / 4
        assert count == pytest.approx(mean, abs=5 * np.sqrt(mean) + 1)


def test_churn_is_the_share_that_leaves() -> None:
    """Of 2,000 customers at 0.5 a year about 1 - exp(-0.5) are gone after a year."""
    tenant = {"name": "acme", "customers": 2000, "churn_per_year": 0.5}
    requests = Requests(scenario_with([tenant], days=366), Streams(1))
    assert len(requests.departures()) / 2000 == pytest.approx(1 - np.exp(-0.5), abs=0.04)


def test_who_leaves_is_told() -> None:
    tenant = {"name": "acme", "customers": 3, "churn_per_year": 90.0}
    events = sim.run(scenario_with([tenant], {"fidelity": "fluid"}, days=3)).table("events")
    told = [e for e in events.to_pylist() if e["event"] == "customer leaves"]
    assert told[0]["subject"] == "acme"
    assert told[0]["detail"] == "2 are left"


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(ScenarioError, match="price_path"):
        scenario_with([{"name": "acme", "price_path": "none"}])

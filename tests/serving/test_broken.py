"""What a planner may get wrong about tenants and serving nodes, told with row, key and choice."""

from pathlib import Path
from typing import Any

import pytest

from sim.scenario import ScenarioError
from tests.builders.serving_scenarios import EAST, MODEL, SITES, scenario_with
from tests.conftest import build_scenario


def told(
    tenant: dict[str, Any] | None = None,
    gpu: dict[str, Any] | None = None,
    demand: dict[str, Any] | None = None,
    site: dict[str, Any] | None = None,
) -> str:
    with pytest.raises(ScenarioError) as error:
        build_scenario(
            tables={"demand": demand if demand is not None else EAST},
            sites=[{**SITES[0], **(site or {})}],
            asics=[],
            gpus=[
                {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "model": MODEL,
                 "state": "serving", **(gpu or {})}
            ],
            tenants=[{"name": "acme", "region": "east", "model": MODEL, **(tenant or {})}],
        )  # fmt: skip
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tenant": {"region": "west"}}, ["tenants.csv", "row 2 (acme), region", "'west'", "east"]),
        ({"tenant": {"model": "llama-2-7b"}}, ["tenants.csv", "model", "'llama-2-7b'", MODEL]),
        ({"tenant": {"residency": "no"}}, ["residency", "'NO'", "served in US"]),
        ({"tenant": {"lengths": "empirical"}}, ["row 2", "trace", "need its name"]),
        ({"tenant": {"trace": "azure"}}, ["trace", "'azure'"]),
        ({"tenant": {"rate_rps": -1}}, ["rate_rps", "-1", ">= 0"]),
        ({"tenant": {"slo_percentile": 101}}, ["slo_percentile", "101", "<= 100"]),
        ({"tenant": {"arrivals": "weekly"}}, ["arrivals", "'weekly'", "'gamma'"]),
        ({"gpu": {"model": "llama-9"}}, ["gpus.csv", "row 2 (alpha), model", "'llama-9'", MODEL]),
        ({"gpu": {"model": "llama-3.1-70b", "tp": 1}}, ["leave no room for KV", "one of 2, 4, 8"]),
        ({"gpu": {"gpus_per_node": 3, "tp": 2}}, ["tp = 2", "must divide gpus_per_node, 3"]),
        ({"site": {"latitude": None}}, ["sites.csv", "row 2 (alpha), latitude", "demand.links"]),
        ({"demand": EAST | {"fidelity": "rough"}}, ["demand.fidelity", "'rough'", "'fluid'"]),
        ({"demand": EAST | {"queue_limit": 0}}, ["demand.queue_limit", "0", ">= 1"]),
        (
            {"demand": EAST | {"traces": {"t": {"file": "gone.csv"}}}},
            ["demand.traces.t.file", "'gone.csv'", "no such file"],
        ),
    ],
)
def test_one_clear_message(changes: dict[str, Any], words: list[str]) -> None:
    message = told(**changes)
    for word in words:
        assert word in message, message


def test_a_bad_row_of_a_trace_is_named_in_the_scenarios_message(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("arrival_s,prompt_tokens,output_tokens\n0,5,x\n")
    message = told(demand=EAST | {"traces": {"t": {"file": str(file)}}})
    assert "line 2, output_tokens = 'x'" in message


def test_tenants_follow_a_recorded_trace(tmp_path: Path) -> None:
    from sim.streams import Streams
    from sim.world.demand import Requests

    file = tmp_path / "t.csv"
    rows = "".join(f"{i * 7},{100 + i},{10 + i}\n" for i in range(50))
    file.write_text("arrival_s,prompt_tokens,output_tokens\n" + rows)
    scenario = scenario_with(
        [
            {"name": "acme", "arrivals": "trace", "lengths": "empirical", "trace": "t",
             "rate_rps": 0.1},
            {"name": "bits", "arrivals": "gamma", "cv": 3.0, "profile": "flat", "rate_rps": 1.0},
        ],
        {"traces": {"t": {"file": str(file)}}},
        days=3,
    )  # fmt: skip
    assert "trace t" in scenario.recorded_sha256
    source = Requests(scenario, Streams(1))
    days = [source.day(d) for d in range(3)]
    for number, day in enumerate(days):
        assert (day.sent_s[1:] >= day.sent_s[:-1]).all()
        assert day.sent_s[0] >= number * 86_400
        assert day.sent_s[-1] < (number + 1) * 86_400
        mine = day.tenant == 0
        assert mine.sum() == pytest.approx(8640, abs=2)
        assert (day.output[mine] - day.prompt[mine] == -90).all()
    gaps = [g for d in days for g in (d.sent_s[d.tenant == 1][1:] - d.sent_s[d.tenant == 1][:-1])]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((g - mean) ** 2 for g in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(1.0, rel=0.05)
    assert deviation / mean == pytest.approx(3.0, rel=0.1)
    again = Requests(scenario, Streams(1)).day(1)
    assert again.sent_s.tobytes() == days[1].sent_s.tobytes()

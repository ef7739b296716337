"""Drafted tokens, stages and spread experts, as far as an iteration's time goes: by hand."""

from dataclasses import replace

import numpy as np
import pytest

from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import (
    LINK_SHARE,
    REDUCE_S,
    all_reduce,
    all_to_all,
    hops,
    kv_blocks,
    models,
    roofline,
    served,
)
from sim.scenario.catalogue.specs import Own, ServingSpec
from sim.scenario.engines import engine_of
from sim.scenario.warnings import warnings_of
from sim.serving import Engine, IterationTime, serve
from sim.types import Floats, Ints
from tests.conftest import build_scenario

PLAIN = IterationTime(0.011, 1e-5, 0.006, 3e-5, 1e-5, 1e-7, 1e-9, host_s=0.001)
SPECULATES = replace(PLAIN, speculative_tokens=4, accepted_tokens=2.5, draft_s=0.002)


def trace(count: int, rate: float, seed: int = 1) -> tuple[Floats, Ints, Ints]:
    draw = np.random.default_rng(seed)
    arrival = np.cumsum(draw.exponential(1.0 / rate, count))
    return arrival, draw.integers(20, 900, count), draw.integers(40, 400, count)


def test_a_draft_of_which_nothing_is_accepted_costs_what_it_costs() -> None:
    """Eight sequences and a prefill of 100: 2 ms, and 32 tokens more where memory limits."""
    none = replace(PLAIN, speculative_tokens=4, draft_s=0.002)
    more_s = none.of(108, 8, 4000, 5000) - PLAIN.of(108, 8, 4000, 5000)
    assert more_s == pytest.approx(0.002 + 8 * 4 * 1e-5)
    out, slow = (serve([0.0], [100], [50], Engine(t)) for t in (PLAIN, none))
    tpot_s = slow.finish_s - slow.first_token_s - (out.finish_s - out.first_token_s)
    assert tpot_s == pytest.approx(49 * (0.002 + 4 * 1e-5))


def test_nothing_drafted_is_no_speculation_to_the_byte() -> None:
    x = trace(300, 6.0)
    one, other = (serve(*x, Engine(t)) for t in (PLAIN, replace(PLAIN, speculative_tokens=0)))
    assert one.finish_s.tobytes() == other.finish_s.tobytes()
    assert PLAIN.columns()[:2] == (0.012, 1e-5)
    assert PLAIN.columns()[7] == 1.0


def test_a_step_of_speculation_by_hand() -> None:
    """A step checks 5 tokens of a sequence and emits 3.5 of them."""
    step_s = (
        0.001 + 0.002 + max(0.011 + 1e-5 * 5 * 8, 0.006 + 3e-5 * 5 * 8) + 1e-5 * 8 + 1e-7 * 4000
    )
    assert SPECULATES.of(8, 8, 4000) == pytest.approx(step_s / 3.5)
    prefill_s = SPECULATES.of(308, 8, 4000, 45_000) - SPECULATES.of(8, 8, 4000)
    line = max(0.014 / 3.5 + 1e-5 * (300 + 40 / 3.5), 0.009 / 3.5 + 3e-5 * (300 + 40 / 3.5))
    assert prefill_s == pytest.approx(line - (0.014 + 1e-5 * 40) / 3.5 + 1e-9 * 45_000)


def by_steps(x: tuple[Floats, Ints, Ints], t: IterationTime, accept: float) -> Floats:
    """A server that speculates in whole steps: each draft token is accepted with some luck.

    Whole prompts, no limits; the accepted are the drafts before the first that is refused.
    """
    arrival, prompt, output = x
    draw = np.random.default_rng(7)
    k = int(t.speculative_tokens)
    step = replace(t, speculative_tokens=0, accepted_tokens=0.0, draft_s=0.0)
    finish = np.zeros(len(arrival))
    waiting, running, now = list(range(len(arrival))), {}, 0.0
    while waiting or running:
        if not running:
            now = max(now, arrival[waiting[0]])
        new = [i for i in waiting if arrival[i] <= now]
        waiting = [i for i in waiting if arrival[i] > now]
        b, p = len(running), int(prompt[new].sum()) if new else 0
        context = sum(prompt[i] + done for i, done in running.items())
        q = float((prompt[new] ** 2 / 2).sum()) if new else 0.0
        extra = t.draft_s if b else 0.0
        now += extra + step.of(p + (k + 1) * b, 0, context, q) + step.decode_seq_s * b
        for i in list(running):
            lucky = int(np.cumprod(draw.random(k) < accept).sum())
            running[i] += 1 + lucky
        running |= dict.fromkeys(new, 1)
        for i in [i for i, done in running.items() if done >= output[i]]:
            finish[i] = now
            del running[i]
    return finish


@pytest.mark.parametrize("rate", [1.0, 8.0])
def test_its_error_against_a_server_that_draws_what_it_accepts(rate: float) -> None:
    """End to end within 3 % in the mean: the error of every sequence at the same pace."""
    accept = 0.7
    mean = sum(accept**j for j in range(1, 5))
    t = replace(SPECULATES, accepted_tokens=mean)
    x = trace(400, rate)
    e2e_s = by_steps(x, t, accept) - x[0]
    wide = Engine(t, max_batched_tokens=1 << 20, max_seqs=4096, kv_blocks=1 << 20)
    ours_s = serve(*x, wide).finish_s - x[0]
    assert ours_s.mean() == pytest.approx(e2e_s.mean(), rel=0.03)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"accepted_tokens": 1.0}, "accepted_tokens = 1.0: must be <= speculative_tokens, 0.0"),
        ({"draft_s": 0.1}, "nothing is drafted"),
        ({"speculative_tokens": -1.0}, "must be a number >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(PLAIN, **change)


ROW = ServingSpec(
    model="llama-3.1-8b", gpu="h100-sxm", tp=1, base_s=0.0064, token_s=1e-5,
    compute_base_s=0.002, compute_token_s=2e-5, kv_token_s=4e-8, prefill_context_s=1e-9,
    speculative_tokens=3, accepted_tokens=1.5, draft_s=0.001, source="ours",
)  # fmt: skip


def test_speculation_is_marked_wherever_its_number_stands() -> None:
    made = served("llama-3.1-8b", "h100-sxm", own=Own(serving=(ROW,)))
    assert made.engine.iteration.emitted == 2.5
    assert "speculative decoding approximate: 1.5 of 3 tokens accepted" in made.source
    _, word, _ = engine_of("llama-3.1-8b@h100-sxm", {}, Own(serving=(ROW,)))
    assert "approximate" in word
    node = {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "model": "llama-3.1-8b"}
    node["state"] = "serving"
    scenario = build_scenario(gpus=[node], serving_models=[ROW.model_dump(exclude_none=True)])
    said = [str(w) for w in warnings_of(scenario) if "approximate" in str(w)]
    assert len(said) == 1
    assert "gpus.csv" in said[0]
    assert not [w for w in warnings_of(build_scenario(gpus=[node])) if "approximate" in str(w)]


def test_one_stage_and_one_expert_group_are_what_was_there() -> None:
    for name in ("llama-3.1-70b", "qwen3-30b-a3b"):
        one = served(name, "h100-sxm", 4)
        assert one == served(name, "h100-sxm", 4, pp=1, ep=1)
        assert hops(models()[name], gpus()["h100-sxm"], 1) == (0.0, 0.0)


def test_two_stages_by_hand() -> None:
    """70B on 2 x 4 H100: 16,384 bytes a token once, half of what memory leaves to each batch."""
    model, card = models()["llama-3.1-70b"], gpus()["h100-sxm"]
    one, two = (served("llama-3.1-70b", "h100-sxm", 4, pp=n) for n in (1, 2))
    before, after = one.engine.iteration, two.engine.iteration
    hop_s = REDUCE_S + 16_384 / (LINK_SHARE * 450e9) * 100
    assert after.of(100, 0, 0) - before.of(100, 0, 0) == pytest.approx(hop_s)
    free_gb = 8 * (0.9 * 85.9 - 1.24) - model.weights_gb
    assert kv_blocks(model, card, 4, 2) == int(free_gb / 2 * 1e9 / (327_680 * 16))
    assert two.engine.max_seqs == one.engine.max_seqs // 2
    assert "2 stages approximate" in two.source
    node = {"site": "alpha", "gpu": "h100-sxm", "nodes": 1, "model": "llama-3.1-70b", "tp": 4,
            "pp": 2, "state": "serving"}  # fmt: skip
    assert [w for w in warnings_of(build_scenario(gpus=[node])) if "2 stages" in str(w)]
    # 405 GB in all would not fit on four: more stages make room
    with pytest.raises(ValueError, match="leave no room for KV on 4 h100-sxm"):
        served("llama-4-maverick-fp8", "h100-sxm", 4)
    assert served("llama-4-maverick-fp8", "h100-sxm", 4, pp=2).engine.kv_blocks > 1024


def test_spread_experts_by_hand() -> None:
    """Qwen3-30B-A3B on 8 H100: 48 layers, 8 experts a token, 7 of 8 elsewhere, eight send."""
    model, card = models()["qwen3-30b-a3b"], gpus()["h100-sxm"]
    begin_s, each_s = all_to_all(model, card, 8)
    assert begin_s == pytest.approx(96 * REDUCE_S)
    assert each_s == pytest.approx(2 * 48 * 8 * 2048 * 2 * 7 / 8 / 8 / 270e9)
    sliced, spread = roofline(model, card, 8), roofline(model, card, 8, ep=8)
    reduce_s, reduce_each_s = all_reduce(model, card, 8)
    assert spread.base_s - sliced.base_s == pytest.approx(begin_s - reduce_s / 2)
    assert spread.token_s - sliced.token_s == pytest.approx(each_s - reduce_each_s / 2)
    assert "experts on 8 GPUs approximate" in served("qwen3-30b-a3b", "h100-sxm", 8, ep=8).source
    for name, ep in (("qwen3-30b-a3b", 4), ("llama-3.1-70b", 8)):
        with pytest.raises(ValueError, match=f"ep = {ep} for {name} on tp = 8: must be 1"):
            served(name, "h100-sxm", 8, ep=ep)

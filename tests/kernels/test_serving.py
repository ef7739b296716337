"""The serving kernel against its plain twin: equal integers, times to 1e-9."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.kernels.requests import CLOCK, ENERGY, OUTSTANDING
from sim.kernels.serving import advance_engines
from sim.serving import Engine, IterationTime, NodePower, serve
from tests.kernels.serving_twin import serve_slowly

SLOPES = st.just(0.0) | st.floats(1e-15, 1e-4)
ITERATION = st.builds(
    IterationTime,
    base_s=st.floats(0.001, 0.05),
    token_s=SLOPES,
    compute_base_s=st.floats(-0.01, 0.02),
    compute_token_s=SLOPES,
    decode_seq_s=SLOPES,
    kv_token_s=st.just(0.0) | st.floats(1e-15, 1e-5),
    prefill_context_s=st.just(0.0) | st.floats(1e-15, 1e-7),
    host_s=st.sampled_from([0.0, 0.0024]),
)
POWER = st.builds(
    NodePower,
    idle_w=st.just(100.0),
    busy_w=st.floats(100.0, 400.0),
    prefill_j=st.floats(0.0, 0.1),
    decode_j=st.floats(0.0, 2.0),
    limit_w=st.floats(401.0, 900.0),
)
ENGINE = st.builds(
    Engine,
    iteration=ITERATION,
    max_batched_tokens=st.sampled_from([1, 3, 7, 16, 50, 256, 2048]),
    max_seqs=st.sampled_from([1, 2, 3, 8, 64]),
    kv_blocks=st.integers(3, 60),
    block_tokens=st.sampled_from([1, 2, 3, 7, 16, 32]),
    chunked_prefill=st.booleans(),
    reserve_full_prompt=st.booleans(),
    power=POWER,
)


def random_trace(seed: int, longest: int, rate: float, simultaneous: bool) -> tuple[Any, ...]:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 60))
    gaps_s = draw.exponential(1.0 / rate, count)
    if simultaneous:
        gaps_s[draw.random(count) < 0.5] = 0.0
    arrival_s = 1.0 + np.cumsum(gaps_s)
    prompt = draw.integers(1, longest + 1, count)
    output = np.where(draw.random(count) < 0.2, 1, draw.integers(1, longest + 1, count))
    hit = (prompt * draw.random(count) * (draw.random(count) < 0.3)).astype(np.int64)
    return arrival_s, prompt, output, hit


def assert_same(trace: tuple[Any, ...], engine: Engine) -> int:
    """Compare kernel and twin; how many preemptions there were."""
    fast = serve(*trace[:3], engine, trace[3])
    slow = serve_slowly(*(list(column) for column in trace[:3]), engine, list(trace[3]))
    assert fast.iterations == slow.iterations
    assert fast.preemptions.tolist() == [s.preemptions for s in slow.sequences]
    assert fast.rejected.tolist() == [s.rejected for s in slow.sequences]
    for name in ("first_token_s", "finish_s"):
        expected = [getattr(s, name) for s in slow.sequences]
        np.testing.assert_allclose(getattr(fast, name), expected, rtol=1e-9)
    assert fast.busy_s == pytest.approx(slow.busy_s, rel=1e-9)
    served = ~fast.rejected
    if served.any():
        open_s = np.nanmax(fast.finish_s) - trace[0][served][0]
        idle_j = engine.power.idle_w * (open_s - fast.busy_s)
        assert fast.energy_j - idle_j == pytest.approx(slow.energy_j, rel=1e-9, abs=1e-6)
    return int(fast.preemptions.sum())


@settings(max_examples=800, deadline=None)
@given(
    engine=ENGINE,
    seed=st.integers(0, 2**32),
    longest=st.sampled_from([1, 4, 30, 90]),
    rate=st.sampled_from([2.0, 30.0, 1000.0]),
    simultaneous=st.booleans(),
)
def test_the_jumping_kernel_equals_the_stepping_twin(
    engine: Engine, seed: int, longest: int, rate: float, simultaneous: bool
) -> None:
    assert_same(random_trace(seed, longest, rate, simultaneous), engine)


def test_a_small_cache_preempts_in_cascades_and_nothing_hangs() -> None:
    total = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        engine = Engine(
            IterationTime(0.01, 1e-5, 0.005, 3e-5, 1e-5, 1e-7, 1e-9),
            max_batched_tokens=int(draw.choice([8, 64, 512])),
            max_seqs=32,
            kv_blocks=int(draw.integers(8, 30)),
            block_tokens=int(draw.choice([4, 16])),
            chunked_prefill=bool(draw.random() < 0.7),
            reserve_full_prompt=bool(draw.random() < 0.3),
            power=NodePower(100.0, 300.0, 0.05, 1.0, 450.0),
        )
        total += assert_same(random_trace(seed, 100, 100.0, False), engine)
    assert total > 3_000


def test_what_can_never_fit_is_rejected() -> None:
    engine = Engine(IterationTime(0.01, 1e-5), kv_blocks=4, block_tokens=16)
    out = serve([0.0, 0.0, 0.0], [64, 60, 65], [1, 6, 1], engine)
    assert out.rejected.tolist() == [False, True, True]
    whole = Engine(IterationTime(0.01, 1e-5), max_batched_tokens=100, chunked_prefill=False)
    out = serve([0.0, 0.0], [100, 90], [1, 12], whole)
    assert out.rejected.tolist() == [False, True]
    assert math.isnan(out.finish_s[1])


def test_a_last_chunk_of_one_token_still_sets_the_first_token() -> None:
    engine = Engine(IterationTime(0.01, 0.0), max_batched_tokens=4)
    out = serve([0.0], [5], [2], engine)
    np.testing.assert_allclose((out.first_token_s[0], out.finish_s[0]), (0.02, 0.03))


@pytest.mark.parametrize("seed", range(40))
def test_cut_anywhere_it_is_the_same_to_the_byte(seed: int) -> None:
    """Additivity: the state after many short advances equals that after a long one."""
    from sim.kernels.traces import Trace, enqueue_all
    from sim.serving.engine import compile_engines, fresh_requests, fresh_state

    draw = np.random.default_rng(seed)
    engine = Engine(
        IterationTime(0.01, 1e-5, 0.005, 3e-5, 1e-5, 1e-7, 1e-9),
        max_batched_tokens=64,
        max_seqs=16,
        kv_blocks=int(draw.integers(12, 60)),
    )
    arrival, prompt, output, hit = random_trace(seed, 90, 30.0, True)
    end_s = 60.0
    states = []
    for cuts in ([], np.sort(draw.uniform(0.0, end_s, 500)), np.arange(1.0, end_s, 0.0037)):
        engines = compile_engines([engine, engine])
        state, requests = fresh_state(engines), fresh_requests(len(arrival))
        trace = Trace(arrival, prompt, output, hit, hit, hit)
        enqueue_all(engines, state, requests, trace, len(arrival) // 2)
        for until_s in (*cuts, end_s):
            advance_engines(engines, state, requests, 0, 2, until_s)
        states.append((state, requests))
    for state, requests in states[1:]:
        assert np.array_equal(state.counts, states[0][0].counts)
        assert np.array_equal(requests.counts, states[0][1].counts)
        assert requests.times.tobytes() == states[0][1].times.tobytes()
        assert state.times[:, CLOCK].tobytes() == states[0][0].times[:, CLOCK].tobytes()
        np.testing.assert_allclose(
            state.times[:, ENERGY], states[0][0].times[:, ENERGY], rtol=1e-12
        )
    assert states[0][0].counts[0, OUTSTANDING] == 0


@pytest.mark.parametrize(
    ("trace", "what"),
    [
        (([1.0, 0.5], [1, 1], [1, 1]), "request 1: arrival 0.5"),
        (([0.0, math.nan], [1, 1], [1, 1]), "request 1"),
        (([0.0], [0], [1]), "request 0.*0 prompt"),
        (([0.0], [1], [0]), "0 output"),
        (([0.0], [1, 2], [1]), "different lengths"),
        (([0.0], [1.5], [1]), "whole numbers"),
        ((["a"], [1], [1]), "arrival_s"),
    ],
)
def test_wrong_traces_are_named(trace: tuple[Any, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        serve(*trace, Engine(IterationTime(0.01, 0.0)))


def test_wrong_engines_are_named() -> None:
    with pytest.raises(ValueError, match="kv_blocks = 0"):
        Engine(IterationTime(0.01, 0.0), kv_blocks=0)
    with pytest.raises(ValueError, match="base_s = -1"):
        IterationTime(-1, 0.0)
    with pytest.raises(ValueError, match="longer than 0 s"):
        IterationTime(0.0, 0.0)
    with pytest.raises(ValueError, match="limit_w"):
        NodePower(busy_w=100.0, limit_w=50.0)


def test_an_overload_grows_the_table_and_loses_nobody() -> None:
    draw = np.random.default_rng(1)
    count = 20_000
    trace = (
        np.sort(draw.uniform(0, 10, count)),
        draw.integers(1, 50, count),
        draw.integers(1, 9, count),
    )
    out = serve(*trace, Engine(IterationTime(0.01, 1e-5), max_seqs=4))
    assert np.isfinite(out.finish_s).all()
    assert (out.first_token_s >= trace[0]).all()


def test_nothing_to_serve() -> None:
    out = serve([], [], [], Engine(IterationTime(0.01, 0.0)))
    assert (out.iterations, out.energy_j, len(out.finish_s)) == (0, 0.0, 0)

"""The block cache of the serving kernel against its plain twin, block by block."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.kernels.blocks import Cache, complete, look, release, take
from sim.kernels.pieces import MAGIC
from sim.kernels.requests import LEAF, OWN, PARENT, SEAT, SHARED, START, TOLD
from sim.scenario.catalogue.serving import served
from sim.serving import Engine, IterationTime, serve
from sim.serving.content import content_of
from sim.serving.engine import compile_engines, fresh_requests, fresh_state
from sim.serving.metrics import serve_on
from sim.serving.traces import read_trace
from tests.kernels.serving_twin import serve_slowly

ITERATION = IterationTime(0.01, 1e-5, 0.005, 3e-5, 1e-5, 1e-7, 1e-9)


def talk(seed: int) -> tuple[Any, ...]:
    """Requests out of a few texts: repeated, continued, cut, forked; told in part or not at all."""
    draw = np.random.default_rng(seed)
    count = int(draw.integers(2, 60))
    longest = int(draw.choice([6, 30, 120]))
    texts = [tuple(draw.integers(0, 2, 2 * longest).tolist()) for _ in range(draw.integers(1, 4))]
    arrival_s, prompt, output, told = [], [], [], []
    now_s = 1.0
    pace_s = float(draw.choice([0.003, 0.03, 0.3]))
    for _ in range(count):
        if draw.random() < 0.6:
            now_s += float(draw.exponential(pace_s))
        text = texts[int(draw.integers(len(texts)))]
        fork = int(draw.integers(0, len(text)))
        if draw.random() < 0.4:
            text = (*text[:fork], *draw.integers(0, 2, len(text) - fork).tolist())
            texts[int(draw.integers(len(texts)))] = text
        p = int(draw.integers(1, longest + 1))
        o = int(draw.choice([1, int(draw.integers(1, longest + 1))]))
        known = {0: 0, 1: p}.get(int(draw.integers(4)), int(draw.integers(p, p + o + 1)))
        arrival_s.append(now_s)
        prompt.append(p)
        output.append(o)
        told.append(text[:known])
    return arrival_s, prompt, output, told


def nasty_engine(seed: int) -> Engine:
    draw = np.random.default_rng(seed + 10**6)
    return Engine(
        ITERATION,
        max_batched_tokens=int(draw.choice([3, 8, 64, 512])),
        max_seqs=int(draw.choice([2, 8, 32])),
        kv_blocks=int(draw.integers(4, 70)),
        block_tokens=int(draw.choice([1, 2, 3, 4, 16])),
        chunked_prefill=bool(draw.random() < 0.7),
        reserve_full_prompt=bool(draw.random() < 0.4),
        prefix_cache=True,
    )


def compared(seed: int) -> Any:
    """Kernel and twin agree on a nasty case; what the kernel says."""
    arrival_s, prompt, output, told = talk(seed)
    engine = nasty_engine(seed)
    lengths = np.array([len(t) for t in told])
    fast = serve(arrival_s, prompt, output, engine, content=content_of(told, 1, lengths))
    slow = serve_slowly(arrival_s, prompt, output, engine, told=told)
    served = [s for s in slow.sequences if not s.rejected]
    assert fast.hit_tokens[~fast.rejected].tolist() == [s.found for s in served]
    assert fast.preemptions.tolist() == [s.preemptions for s in slow.sequences]
    assert fast.rejected.tolist() == [s.rejected for s in slow.sequences]
    assert fast.iterations == slow.iterations
    for name in ("first_token_s", "finish_s"):
        expected = [getattr(s, name) for s in slow.sequences]
        np.testing.assert_allclose(getattr(fast, name), expected, rtol=1e-9)
    return fast


@pytest.mark.parametrize("part", range(8))
def test_the_cache_of_pieces_equals_the_cache_of_blocks(part: int) -> None:
    hits = preempted = 0
    for seed in range(100 * part, 100 * (part + 1)):
        out = compared(seed)
        hits += int((out.hit_tokens > 0).sum())
        preempted += int(out.preemptions.sum())
    assert hits > 400
    assert preempted > 100


def test_nodes_that_share_a_place_in_the_index_are_told_apart() -> None:
    for seed in range(60):
        arrival_s, prompt, output, told = talk(seed)
        engine = nasty_engine(seed)
        made = content_of(told, 1, np.array([len(t) for t in told]))
        spread = 64 * np.arange(len(made.nodes)) % (64 * len(made.nodes) - 1) + 8 * (seed % 8)
        nodes = np.zeros((int(spread.max(initial=0)) + 1, 2), dtype=np.int64)
        parent = made.nodes[:, PARENT]
        nodes[spread, PARENT] = np.where(parent < 0, -1, spread[parent])
        nodes[spread, START] = made.nodes[:, START]
        far = made._replace(nodes=nodes, leaf=np.where(made.leaf < 0, -1, spread[made.leaf]))
        near_out = serve(arrival_s, prompt, output, engine, content=made)
        far_out = serve(arrival_s, prompt, output, engine, content=far)
        assert far_out.hit_tokens.tolist() == near_out.hit_tokens.tolist()
        assert far_out.finish_s.tobytes() == near_out.finish_s.tobytes()


def chat(seed: int, count: int = 400, system: int = 100) -> tuple[Any, ...]:
    """Conversations behind one system prompt: each turn begins with all that was said before."""
    draw = np.random.default_rng(seed)
    said: dict[int, tuple[int, ...]] = {}
    arrival_s, prompt, output, told = np.cumsum(draw.exponential(0.05, count)), [], [], []
    for _ in range(count):
        who = int(draw.integers(0, 60))
        before = said.get(who, tuple(range(system)))
        asked = (*before, *draw.integers(10**6, 10**9, int(draw.integers(5, 60))).tolist())
        answer = tuple(draw.integers(10**6, 10**9, int(draw.integers(1, 40))).tolist())
        prompt.append(len(asked))
        output.append(len(answer))
        told.append((*asked, *answer))
        said[who] = told[-1]
    return arrival_s, prompt, output, told


ROOMY = Engine(ITERATION, kv_blocks=20_000, prefix_cache=True)


def a_cache_of_four() -> Cache:
    """Four blocks of four tokens, and three requests of the same eight tokens."""
    engine = Engine(ITERATION, kv_blocks=4, block_tokens=4, prefix_cache=True)
    state = fresh_state(compile_engines([engine], np.zeros(1, dtype=np.int64)))
    chains = fresh_requests(3, np.array([[-1, 0]])).chains
    chains[:, [LEAF, TOLD, SHARED, OWN]] = 0, 8, 0, -1
    chains[:, SEAT] = 1, 2, 3
    return Cache(state.memory[0], chains, np.array([[-1, 0]]), 4, MAGIC // 4 + 1)


def test_a_younger_copy_that_was_overwritten_is_not_given_up_for_the_one_that_is_held() -> None:
    cache = a_cache_of_four()
    complete(cache, 0, 8, False, 0, 1)
    complete(cache, 1, 8, False, 0, 1)
    assert release(cache, 0, 8, 2) == 2
    assert look(cache, 2, 8, 2, 3) == (2, 2, False)
    cache.chains[2, SHARED] = 2
    take(cache, 2, 2, 3)
    assert release(cache, 1, 8, 4) == 2
    assert release(cache, 2, 8, 5) == 2  # the two that were free until then have been taken
    assert look(cache, 2, 8, 2, 5) == (2, 2, False)


@pytest.mark.parametrize("free", [2, 0])  # with 0 the older copy has been overwritten
def test_an_older_copy_known_later_is_not_given_up_for_the_one_that_is_held(free: int) -> None:
    cache = a_cache_of_four()
    complete(cache, 0, 4, True, 3, 1)  # its second block is full after five iterations
    assert look(cache, 1, 7, 3, 2) == (1, 0, False)
    cache.chains[1, SHARED] = 1
    take(cache, 1, 1, 2)
    complete(cache, 1, 8, False, 2, 3)
    assert look(cache, 2, 8, 2, 4) == (2, 0, False)  # the second block is the other's
    cache.chains[2, SHARED] = 2
    take(cache, 2, 2, 4)
    assert release(cache, 0, 8, 5) == 1
    assert release(cache, 1, 8, 6) == 0
    assert release(cache, 2, 8, 7) == 2
    assert look(cache, 2, 8, free + 2, 7) == (2, 2, False)


def test_a_cache_finds_no_more_than_an_endless_one_and_a_larger_one_no_less_here() -> None:
    arrival_s, prompt, output, told = chat(1)
    content = content_of(told, 1, np.array([len(t) for t in told]))
    seen: set[tuple[int, ...]] = set()
    endless = []
    for p, text in zip(prompt, told, strict=True):
        full = [text[: 16 * (j + 1)] for j in range((p - 1) // 16)]
        endless.append(16 * next((j for j, t in enumerate(full) if t not in seen), len(full)))
        seen.update(text[: 16 * (j + 1)] for j in range(len(text) // 16))
    found = []
    for blocks in (60, 200, 600, 20_000):
        out = serve(arrival_s, prompt, output, replace(ROOMY, kv_blocks=blocks), content=content)
        assert (out.hit_tokens <= endless).all()
        assert (out.hit_tokens % 16 == 0).all()
        found.append(int(out.hit_tokens.sum()))
    assert found == sorted(found)
    assert found[0] < 0.5 * found[-1]
    assert found[-1] > 0.5 * sum(endless)  # some come before what they begin with is computed


def test_without_a_cache_or_without_content_nothing_is_found() -> None:
    arrival_s, prompt, output, told = chat(2)
    content = content_of(told, 1, np.array([len(t) for t in told]))
    off = serve(arrival_s, prompt, output, replace(ROOMY, prefix_cache=False), content=content)
    none = serve(arrival_s, prompt, output, ROOMY)
    plain = serve(arrival_s, prompt, output, replace(ROOMY, prefix_cache=False))
    for out in (off, none):
        assert not out.hit_tokens.any()
        assert out.finish_s.tobytes() == plain.finish_s.tobytes()
        assert (out.iterations, out.energy_j) == (plain.iterations, plain.energy_j)


def test_a_prompt_sent_again_computes_its_last_block_only() -> None:
    engine = Engine(IterationTime(0.01, 0.001), kv_blocks=100, prefix_cache=True)
    blocks = ([0, 4, 8], [1, 2, 3, 4, 1, 2, 3, 4])
    out = serve([0.0, 1.0], [64, 64], [1, 1], engine, blocks=blocks)
    assert out.hit_tokens.tolist() == [0, 48]  # of 63 tokens that may be found, whole blocks
    np.testing.assert_allclose(out.first_token_s, [0.01 + 0.064, 1.0 + 0.01 + 0.016])


def test_an_answer_is_found_by_the_next_turn() -> None:
    engine = Engine(IterationTime(0.01, 0.0), kv_blocks=100, block_tokens=4, prefix_cache=True)
    blocks = ([0, 4, 9], [1, 2, 3, 4, 1, 2, 3, 4, 5])
    out = serve([0.0, 5.0], [8, 22], [9, 1], engine, blocks=blocks)
    assert out.hit_tokens.tolist() == [0, 16]  # 8 + 9 - 1 tokens have KV: four blocks


def test_what_is_taken_from_the_front_is_forgotten_oldest_and_deepest_first() -> None:
    engine = Engine(IterationTime(0.01, 0.0), kv_blocks=6, block_tokens=1, prefix_cache=True)
    blocks = ([0, 3, 6, 8, 11, 14], [1, 2, 3, 11, 12, 13, 21, 22, 1, 2, 3, 11, 12, 13])
    # three of 1.. and three of 11.. fill the memory; 21 and 22 overwrite 3 and 2
    prompts, outputs = [3, 3, 2, 3, 3], [1, 1, 1, 1, 1]
    out = serve([0, 1, 2, 3, 4], prompts, outputs, engine, blocks=blocks)
    assert out.hit_tokens.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("blocks", "what"),
    [
        (([0, 1], [1]), "2 offsets .* must be 3"),
        (([0, 3, 3], [1, 2, 3]), "3 hashes for request 0"),
        (([0, 1, 0], []), "-1 hashes for request 1"),
        (([0, 1, 2], [1]), "must be 3, from 0 to 1"),
    ],
)
def test_wrong_blocks_are_named(blocks: Any, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        serve([0.0, 1.0], [20, 20], [12, 12], ROOMY, blocks=blocks)
    with pytest.raises(ValueError, match="one of the two"):
        serve([0.0], [20], [12], ROOMY, blocks=([0, 1], [1]), content=content_of([[1]], 16, ONE))
    with pytest.raises(ValueError, match="one cache at a time"):
        serve([0.0], [20], [12], ROOMY, [16])


ONE = np.array([16])


@pytest.mark.needs_data
def test_a_published_trace_finds_what_memory_holds_and_all_that_its_hashes_allow(
    data: Path,
) -> None:
    trace = read_trace(data / "llm_traces/mooncake_conversation_trace.jsonl.gz")
    assert trace.hit_tokens is not None
    engine = served("llama-3.1-8b", "h100-sxm").engine
    prompts = trace.prompt_tokens.sum()
    out = serve_on(trace, engine, prefix_caching=True)
    assert (out.hit_tokens <= trace.hit_tokens).all()
    assert trace.hit_tokens.sum() / prompts == pytest.approx(0.374, abs=0.001)  # endless
    assert 0.01 < out.hit_tokens.sum() / prompts < 0.1
    huge = replace(engine, kv_blocks=300_000, block_tokens=512)  # its own blocks, all
    apart = trace._replace(arrival_s=100.0 * np.arange(len(trace.arrival_s)))
    all_ = serve_on(apart, huge, prefix_caching=True)
    most = np.minimum(trace.hit_tokens, (trace.prompt_tokens - 1) // 512 * 512)
    assert all_.hit_tokens.tolist() == most.tolist()

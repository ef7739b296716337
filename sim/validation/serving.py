"""The serving engine against a real vLLM server and against Vidur, request by request.

Vidur's schedulers differ from ours, so a difference may come from the iteration time, the scheduler
or our kernel. `vidur_schedule` separates them: it is Vidur's scheduler, and with Vidur's own
durations it reproduces every batch of the recording.
"""

import csv
import gzip
import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import nnls

from sim.serving import Engine, IterationTime, Served, serve
from sim.types import Floats, Ints
from sim.validation.check import Check, Found, guarded

VLLM: Final = "serving/vllm019_rtx4090_llama31_8b_requests.jsonl.gz"
NEEDS_DATA: Final = [f"a recorded vLLM server ({VLLM})", "recorded Vidur runs (serving/vidur_*)"]
MAPE: Final = 0.03
MEAN: Final = 0.02
PERCENTILE: Final = 0.05
CAUSE: Final = (
    0.02  # how close a changed Vidur must come to ours for the change to count as the cause
)
FIT: Final = 0.03

# SERVING_DATA.md, RTX 4090 and Llama-3.1-8B: layer profiles of vLLM 0.19. What a profile of layers
# leaves out is added to both lines: head and sampler 1.1 ms, decode attention 0.4 ms.
BESIDE_LAYERS_S: Final = 1.1e-3 + 0.4e-3
RTX_4090: Final = IterationTime(
    base_s=15.49e-3 + BESIDE_LAYERS_S,
    token_s=3.09e-5,
    compute_base_s=5.09e-3 + BESIDE_LAYERS_S,
    compute_token_s=8.81e-5,
    decode_seq_s=6.4e-6,
    kv_token_s=1.42e-7,
    prefill_context_s=4.3e-9,
)
RTX_4090_ENGINE: Final = Engine(
    RTX_4090,
    max_batched_tokens=2048,
    max_seqs=256,
    kv_blocks=2588,
    block_tokens=16,
    reserve_full_prompt=True,
)

BLOCK_TOKENS: Final = 16
BATCH_CAP: Final = 128
PROMPT_TOKENS: Final = 4096  # Vidur's "vllm": prompts of a batch, padded to the longest
CHUNK_TOKENS: Final = 512  # Vidur's "sarathi": tokens of a batch
KINK_TOKENS: Final = 8  # Vidur rounds the tokens of a batch up to multiples of it
MAX_KINK_TOKENS: Final = 512  # far beyond it every batch is compute-bound
PERCENTILES: Final = tuple((what, p) for what in ("TTFT", "end to end") for p in (50, 90, 99))

# (iteration, P, B, K, Q) to seconds, as in `IterationTime`.
Seconds = Callable[[int, int, int, int, float], float]


class Trace(NamedTuple):
    """Requests of a recording and the times at which they were served."""

    arrival_s: Floats  # (request,) sorted
    prompt: Ints
    output: Ints
    first_token_s: Floats
    finish_s: Floats


class Plan(NamedTuple):
    """How Vidur schedules a run."""

    blocks: int
    watermark: int  # KV blocks that an admission must leave free
    chunked: bool  # its "sarathi", chunks beside decodes; else its "vllm", prompts before decodes
    mixes: bool  # decodes take part in a batch with prompts


class Schedule(NamedTuple):
    """The result of a scheduler on a trace."""

    first_token_s: Floats
    finish_s: Floats
    batches: Ints  # (iteration, [prefill tokens, decodes, their context tokens])


# Watermarks are 1 % of the blocks.
RUNS: Final = {
    "8b-sarathi-conv-4000-6.45": Plan(30_208, 302, chunked=True, mixes=True),
    "8b-vllm-fixed-1000-5": Plan(30_208, 302, chunked=False, mixes=False),
    "70b-vllm-conv-1000-1.0": Plan(3_328, 33, chunked=False, mixes=False),
}


def checks(data: Path | None) -> Iterator[Found]:
    """The real server first, then each Vidur run."""
    if data is None:
        return
    yield from guarded("real vLLM", partial(_vllm, data))
    for name in RUNS:
        yield from guarded(f"Vidur, {name}", partial(_vidur, data, name))


def vllm_trace(path: Path, clock: str = "queued_ts") -> Trace:
    """The record on the engine's monotonic clock, from the first arrival on [s].

    `queued_ts` is when the scheduler accepted a request, on the clock of the token times. vLLM
    schedules an iteration while the previous one still runs, so a request queued then waits for the
    end of that one, as an arrival does in ours: from second 1.5 to 4, when the KV cache is full,
    first tokens come 0 to 30 ms early. (Before that, the server's first iterations took 0.46 s
    longer than ours, as after a start. They are kept.)
    `arrival_time` is when the client's request arrived, on the wall clock. The smallest difference
    of the two is taken as the clock offset. The rest, 30 ms on average, is spent in the front end
    and in the iteration that was already scheduled; we model neither.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    queued_s, arrival_s, first_s, last_s = (
        np.array([row[key] for row in rows], dtype=np.float64)
        for key in ("queued_ts", "arrival_time", "first_token_ts", "last_token_ts")
    )
    if clock == "arrival_time":
        queued_s = arrival_s + (queued_s - arrival_s).min()
    order = np.argsort(queued_s, kind="stable")
    zero_s = queued_s[order[0]]
    return Trace(
        (queued_s - zero_s)[order],
        np.array([row["input_toks"] for row in rows])[order],
        np.array([row["output_toks"] for row in rows])[order],
        (first_s - zero_s)[order],
        (last_s - zero_s)[order],
    )


def _vllm(data: Path) -> Iterator[Check]:
    source = f"{VLLM}; vLLM 0.19, Llama-3.1-8B on an RTX 4090"
    for clock in ("queued_ts", "arrival_time"):
        trace = vllm_trace(data / VLLM, clock)
        served = serve(trace.arrival_s, trace.prompt, trace.output, RTX_4090_ENGINE)
        real_s, ours_s = trace.finish_s - trace.arrival_s, served.finish_s - trace.arrival_s
        error = float(np.mean(np.abs(ours_s / real_s - 1.0)))
        yield Check(
            "real vLLM, per request",
            f"end to end from {clock}, mean absolute error of {len(real_s)} requests",
            0.0,
            round(100 * error, 2),
            "%",
            f"at most {MAPE:.0%}",
            error <= MAPE,
            source,
        )
        decodes = np.maximum(trace.output - 1, 1)
        for item, real, ours in (
            ("TTFT", trace.first_token_s - trace.arrival_s, served.first_token_s - trace.arrival_s),
            (
                "TPOT",
                (trace.finish_s - trace.first_token_s) / decodes,
                (served.finish_s - served.first_token_s) / decodes,
            ),
            ("end to end", real_s, ours_s),
        ):
            expected, got = float(real.mean()), float(ours.mean())
            yield Check(
                "real vLLM, mean",
                f"{item} from {clock}",
                round(expected, 4),
                round(got, 4),
                "s",
                f"{MEAN:.0%}; it is {got / expected - 1.0:+.2%}",
                abs(got / expected - 1.0) <= MEAN,
                source,
            )


def vidur_trace(data: Path, name: str) -> Trace:
    """The requests of a Vidur run."""
    columns = _columns(data / f"serving/vidur_{name}_requests.csv.gz")
    return Trace(
        columns["arrived_at"],
        columns["num_prefill_tokens"].astype(np.int64),
        columns["num_decode_tokens"].astype(np.int64),
        columns["prefill_completed_at"],
        columns["completed_at"],
    )


def vidur_batches(data: Path, name: str) -> tuple[Ints, Floats, Floats]:
    """(iteration, [P, B, K]), (iteration,) Q and (iteration,) seconds of a Vidur run."""
    columns = _columns(data / f"serving/vidur_{name}_batches.csv.gz")
    pbk = [columns[key] for key in ("prefill_tokens", "decode_batch", "decode_kv_tokens")]
    context = columns["sum_chunk_times_kv"] + 0.5 * columns["sum_chunk_sq"]
    return np.stack(pbk, axis=1).astype(np.int64), context, columns["exec_time_s"]


def fitted(batches: Ints, context: Floats, seconds: Floats) -> IterationTime:
    """Fit `IterationTime` to iterations by least squares.

    A decoding sequence may cost less than a prompt token, which one line plus a term >= 0 per
    sequence cannot express; a kink can. max(base + token n, compute_base + compute_token n) is
    base + token n + steeper max(n - kink, 0): linear with coefficients >= 0 for a given kink. The
    kink is the best multiple of KINK_TOKENS up to MAX_KINK_TOKENS.
    """
    prefill, decodes, kv = batches.astype(np.float64).T
    tokens = prefill + decodes
    best = (math.inf, 0.0, np.zeros(6))
    for kink in range(0, MAX_KINK_TOKENS + 1, KINK_TOKENS):
        steeper = np.maximum(tokens - kink, 0.0)
        ones = np.ones_like(tokens)
        terms = np.stack([ones, tokens, steeper, decodes, kv, context, seconds], axis=1)
        largest = terms.max(axis=0)
        size = np.where(largest > 0.0, largest, 1.0)  # scale columns: seconds and tokens squared
        upper = np.linalg.qr(terms / size).R  # the same residual with seven rows
        found, residual = nnls(upper[:, :-1], upper[:, -1])
        found *= size[-1] / size[:-1]
        if residual < best[0]:
            best = (float(residual), float(kink), found)
    _, kink_tokens, (base_s, token_s, steeper_s, decode_s, kv_s, context_s) = best
    return IterationTime(
        base_s=float(base_s),
        token_s=float(token_s),
        compute_base_s=float(base_s - steeper_s * kink_tokens),
        compute_token_s=float(token_s + steeper_s),
        decode_seq_s=float(decode_s),
        kv_token_s=float(kv_s),
        prefill_context_s=float(context_s),
    )


def nearest_engine(plan: Plan, iteration: IterationTime) -> Engine:
    """The engine settings closest to Vidur's.

    Vidur reserves its watermark from admissions only; here it is subtracted from the blocks, for
    all. The limit of "vllm" counts prompts only; ours also counts the decodes beside them.
    """
    return Engine(
        iteration,
        max_batched_tokens=CHUNK_TOKENS if plan.chunked else PROMPT_TOKENS + BATCH_CAP,
        max_seqs=BATCH_CAP,
        kv_blocks=plan.blocks - plan.watermark,
        block_tokens=BLOCK_TOKENS,
        chunked_prefill=plan.chunked,
        reserve_full_prompt=True,
    )


def vidur_schedule(trace: Trace, plan: Plan, seconds: Seconds) -> Schedule:
    """Vidur's replica schedulers (vidur/scheduler/replica_scheduler, 7d475133), one replica.

    Args:
        trace: requests; their recorded times are ignored.
        plan: which of the schedulers, and how many blocks.
        seconds: duration of an iteration.
    """
    arrival_s: list[float] = trace.arrival_s.tolist()
    prompt: list[int] = trace.prompt.tolist()  # grows at a restart: what was decoded is prefilled
    total: list[int] = (trace.prompt + trace.output).tolist()
    count = len(prompt)
    first_s, finish_s = [math.nan] * count, [math.nan] * count
    done = [0] * count  # Vidur's processed tokens: a whole prompt gives one more, its first output
    held: dict[int, int] = {}  # blocks of each admitted request
    waiting: deque[int] = deque()
    batches: list[tuple[int, int, int]] = []
    free, clock_s, coming = plan.blocks, 0.0, 0

    def claim() -> list[int]:
        """Decoding requests with a block for their next token; the latest restarts if none."""
        nonlocal free
        left = deque(sorted(held))  # in order of arrival
        ready = []
        while left:
            i = left.popleft()
            if done[i] < prompt[i]:
                continue
            while free < 1:
                victim = left.pop() if left else i
                free += held.pop(victim)
                prompt[victim], done[victim] = max(done[victim], prompt[victim]), 0
                waiting.appendleft(victim)
                if victim == i:
                    break
            if i not in held:
                break
            if done[i] > held[i] * BLOCK_TOKENS:
                held[i] += 1
                free -= 1
            ready.append(i)
        return ready

    while coming < count or waiting or held:
        if not waiting and not held:
            clock_s = max(clock_s, arrival_s[coming])
        while coming < count and arrival_s[coming] <= clock_s:
            waiting.append(coming)
            coming += 1
        decodes = claim() if plan.mixes else []
        budget = CHUNK_TOKENS - len(decodes)
        chunks: list[tuple[int, int]] = []
        if plan.chunked:
            for i in sorted(i for i in held if done[i] < prompt[i]):
                n = min(prompt[i] - done[i], budget)
                if n > 0:
                    chunks.append((i, n))
                    budget -= n
        longest = 0
        while waiting and len(held) < BATCH_CAP:
            i = waiting[0]
            blocks = -(-prompt[i] // BLOCK_TOKENS)
            n = min(prompt[i], budget) if plan.chunked else prompt[i]
            longest = max(longest, n)
            too_long = not plan.chunked and (len(chunks) + 1) * longest > PROMPT_TOKENS
            if free - blocks < plan.watermark or n <= 0 or too_long:
                break
            waiting.popleft()
            held[i] = blocks
            free -= blocks
            chunks.append((i, n))
            budget -= n
        if not plan.mixes and not chunks:
            decodes = claim()
        if not decodes and not chunks:
            raise RuntimeError(f"Vidur's scheduler is stuck at {clock_s} s")

        prefill, kv = sum(n for _, n in chunks), sum(done[i] for i in decodes)
        context = sum(n * (done[i] + 0.5 * n) for i, n in chunks)
        clock_s += seconds(len(batches), prefill, len(decodes), kv, context)
        batches.append((prefill, len(decodes), kv))
        for i, n in chunks + [(i, 1) for i in decodes]:
            done[i] += n
            if done[i] == prompt[i]:
                done[i] += 1
                if math.isnan(first_s[i]):
                    first_s[i] = clock_s
            if done[i] == total[i]:
                finish_s[i] = clock_s
                free += held.pop(i)
    return Schedule(np.array(first_s), np.array(finish_s), np.array(batches))


def recorded(seconds: Floats) -> Seconds:
    """Durations as recorded, in sequence; none for iterations beyond the record."""
    known: list[float] = seconds.tolist()
    return lambda k, *_: known[k] if k < len(known) else 0.0


def modelled(iteration: IterationTime) -> Seconds:
    """Durations from our iteration time model."""
    return lambda _, prefill, decodes, kv, context: iteration.of(
        prefill + decodes, decodes, kv, context
    )


def _vidur(data: Path, name: str) -> Iterator[Check]:
    plan, trace = RUNS[name], vidur_trace(data, name)
    batches, context, seconds = vidur_batches(data, name)
    source = f"serving/vidur_{name}; microsoft/vidur 7d475133"
    again = vidur_schedule(trace, plan, recorded(seconds))
    same = np.array_equal(again.batches, batches)
    late_s = max(
        float(np.abs(again.first_token_s - trace.first_token_s).max()),
        float(np.abs(again.finish_s - trace.finish_s).max()),
    )
    yield Check(
        "Vidur's scheduler, remade",
        f"{name}: worst time of {len(trace.prompt)} requests, with the recorded durations",
        0.0,
        late_s,
        "s",
        f"1e-6 s, and all of {len(batches)} batches equal",
        same and late_s <= 1e-6,
        source,
    )

    iteration = fitted(batches, context, seconds)
    rows = zip(batches.tolist(), context.tolist(), strict=True)
    fit_s = np.array([iteration.of(p + b, b, k, q) for (p, b, k), q in rows])
    error = float(np.mean(np.abs(fit_s / seconds - 1.0)))
    yield Check(
        "Vidur's iteration time, fitted",
        f"{name}: mean absolute error of {len(seconds)} iterations",
        0.0,
        round(100 * error, 2),
        "%",
        f"at most {FIT:.0%}",
        error <= FIT,
        source,
    )

    served = serve(trace.arrival_s, trace.prompt, trace.output, nearest_engine(plan, iteration))
    own = vidur_schedule(trace, plan, modelled(iteration))
    if plan.mixes:
        apart_s = float(np.abs(served.finish_s - own.finish_s).max())
        yield Check(
            "Vidur's scheduler and ours",
            f"{name}: worst finish of {len(trace.prompt)} requests, with our iteration time",
            0.0,
            round(apart_s, 9),
            "s",
            "1e-6 s: decodes first, then chunks, whole prompts reserved, and no lack of blocks",
            apart_s <= 1e-6,
            source,
        )
    like_ours = plan._replace(blocks=plan.blocks - plan.watermark, watermark=0, mixes=True)
    changed = own if plan.mixes else vidur_schedule(trace, like_ours, modelled(iteration))
    for what, share in PERCENTILES:
        expected, got, own_s, changed_s = (
            _percentile(trace, times, what, share) for times in (trace, served, own, changed)
        )
        fits = abs(got / expected - 1.0) <= PERCENTILE
        time_is_right = abs(own_s / expected - 1.0) <= PERCENTILE
        cause_is_known = not plan.mixes and abs(got / changed_s - 1.0) <= CAUSE
        explained = time_is_right and cause_is_known
        tolerance = f"{PERCENTILE:.0%}; it is {got / expected - 1.0:+.1%}"
        tolerance += f", Vidur's scheduler with our iteration time {own_s / expected - 1.0:+.1%}"
        if not fits and explained:
            tolerance += (
                "; explained: Vidur's decodes stand still while prompts run, ours go along. With "
                "decodes in its prompt batches, and the watermark off its blocks, Vidur's "
                f"scheduler gives {changed_s:.4g} s, ours {got / changed_s - 1.0:+.1%} beside it"
            )
        yield Check(
            "Vidur, percentiles",
            f"{name}: {what} p{share}",
            round(expected, 4),
            round(got, 4),
            "s",
            tolerance,
            fits or explained,
            source,
        )


def _percentile(trace: Trace, times: Trace | Schedule | Served, what: str, share: int) -> float:
    at_s = times.first_token_s if what == "TTFT" else times.finish_s
    return float(np.percentile(at_s - trace.arrival_s, share))


def _columns(path: Path) -> dict[str, Floats]:
    with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        names = next(rows)
        table = np.array(list(rows), dtype=np.float64)
    return dict(zip(names, table.T, strict=True))

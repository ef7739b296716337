"""An engine as its operator sets it up, and what it makes of a trace."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.kernels.arrays import Bools, Floats, Ints
from sim.kernels.requests import (
    BLOCK_TOKENS,
    BUSY,
    CLOCK,
    ENERGY,
    ENGINE_COUNTS,
    ENGINE_TIMES,
    FREE,
    HEAD,
    ITERATIONS,
    KV_BLOCKS,
    LAST,
    MAX_SEQS,
    MAX_SLOTS,
    PARTIAL,
    REQUEST_COUNTS,
    REQUEST_TIMES,
    TAIL,
    Engines,
    EngineState,
    Requests,
)
from sim.kernels.serving import MAX_TOKENS, serve_trace

SIZES: Final = (
    "max_batched_tokens",
    "max_seqs",
    "kv_blocks",
    "block_tokens",
    "chunked_prefill",
    "reserve_full_prompt",
)
MAX_BLOCK_TOKENS: Final = 4096
SPARE_SLOTS: Final = 1024


@dataclass(frozen=True)
class IterationTime:
    """Duration of an iteration [s]: the kinked line of a roofline, and what attention adds.

    host_s + max(base_s + token_s n, compute_base_s + compute_token_s n) + decode_seq_s B +
    kv_token_s K + prefill_context_s Q, with n tokens computed, B decoding sequences, K tokens of
    their context and Q = sum over prefills of chunk times (context before it + chunk / 2). The
    first line is bound by bandwidth (the weights are read once), the second by arithmetic.
    `host_s` is what the host takes between two iterations (scheduling, sampling, sending tokens).
    """

    base_s: float
    token_s: float
    compute_base_s: float = 0.0
    compute_token_s: float = 0.0
    decode_seq_s: float = 0.0
    kv_token_s: float = 0.0
    prefill_context_s: float = 0.0
    host_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or (value < 0.0 and name != "compute_base_s"):
                raise ValueError(f"IterationTime.{name} = {value}: must be a number >= 0 [s]")
        if self.of(1, 1, 1) <= 0.0 or self.of(1, 0, 0) <= 0.0:
            raise ValueError("IterationTime: an iteration of one token must take longer than 0 s")

    def of(self, tokens: float, decodes: float, kv_tokens: float, context: float = 0.0) -> float:
        """Seconds of one iteration: n, B, K and Q of the definition."""
        lines = (
            self.base_s + self.token_s * tokens,
            self.compute_base_s + self.compute_token_s * tokens,
        )
        rest = self.decode_seq_s * decodes + self.kv_token_s * kv_tokens
        return self.host_s + max(lines) + rest + self.prefill_context_s * context

    def columns(self) -> tuple[float, ...]:
        """As the kernels have it (7,): what the host takes is part of both lines."""
        return (
            self.base_s + self.host_s,
            self.token_s,
            self.compute_base_s + self.host_s,
            self.compute_token_s,
            self.decode_seq_s,
            self.kv_token_s,
            self.prefill_context_s,
        )


@dataclass(frozen=True)
class NodePower:
    """Power of an engine: `idle_w`, and in an iteration the smaller of `limit_w` and
    `busy_w` + (`prefill_j` x prefill tokens + `decode_j` x decoding sequences) / duration.
    """

    idle_w: float = 0.0
    busy_w: float = 0.0
    prefill_j: float = 0.0
    decode_j: float = 0.0
    limit_w: float = math.inf

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0.0:
                raise ValueError(f"NodePower.{name} = {value}: must be >= 0")
        if self.limit_w <= self.busy_w:
            raise ValueError(f"NodePower.limit_w = {self.limit_w}: must be above busy_w [W]")


@dataclass(frozen=True)
class Engine:
    """A continuous-batching engine with its KV cache; vLLM's V1 scheduler decides."""

    iteration: IterationTime
    max_batched_tokens: int = 8192
    max_seqs: int = 256
    kv_blocks: int = 25_000
    block_tokens: int = 16
    chunked_prefill: bool = True
    reserve_full_prompt: bool = False
    power: NodePower = field(default_factory=NodePower)

    def __post_init__(self) -> None:
        for name in ("max_batched_tokens", "max_seqs", "kv_blocks", "block_tokens"):
            value = getattr(self, name)
            if value < 1 or value != int(value):
                raise ValueError(f"Engine.{name} = {value}: must be a whole number >= 1")
        if self.block_tokens > MAX_BLOCK_TOKENS:
            raise ValueError(
                f"Engine.block_tokens = {self.block_tokens}: must be <= {MAX_BLOCK_TOKENS}"
            )


class Served(NamedTuple):
    """What became of the requests of a trace, in its order."""

    first_token_s: Floats  # (request,) NaN when rejected
    finish_s: Floats  # (request,) NaN when rejected
    preemptions: Ints  # (request,) how often it was thrown out for lack of blocks
    rejected: Bools  # (request,) it could never fit
    iterations: int
    energy_j: float  # from the first arrival to the last finish, idle time included
    busy_s: float  # in iterations


def serve(
    arrival_s: npt.ArrayLike,
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    engine: Engine,
    hit_tokens: npt.ArrayLike | None = None,
) -> Served:
    """Serve a trace on one engine, every token (MODEL.md section 4).

    Args:
        arrival_s: (request,) sorted [s].
        prompt_tokens: (request,) at least 1.
        output_tokens: (request,) at least 1.
        engine: its settings.
        hit_tokens: (request,) prompt tokens whose KV a prefix cache holds; at least one token of
            the prompt is computed all the same. None: no prefix caching.

    Raises:
        ValueError: for arrays of different lengths, unsorted arrivals, tokens below 1 or hits
            beyond the prompt; it names the first such request.
    """
    arrival = _column("arrival_s", arrival_s, np.float64)
    prompt = _column("prompt_tokens", prompt_tokens, np.int64)
    output = _column("output_tokens", output_tokens, np.int64)
    hit = _column("hit_tokens", [] if hit_tokens is None else hit_tokens, np.int64)
    count = len(arrival)
    if {len(prompt), len(output)} != {count} or len(hit) not in (0, count):
        raise ValueError(
            f"arrays of different lengths: {count} arrivals, {len(prompt)} prompts, "
            f"{len(output)} outputs, {len(hit)} hits"
        )
    first_token_s, finish_s = np.empty(count), np.empty(count)
    preemptions, rejected = np.empty(count, np.int64), np.empty(count, np.bool_)
    results = (first_token_s, finish_s, preemptions, rejected)
    engines = compile_engines([engine])
    slots = min(2 * engine.max_seqs + SPARE_SLOTS, MAX_SLOTS)
    state = fresh_state(engines, slots)
    requests, owner, idle = fresh_requests(slots), np.zeros(slots, np.int64), np.arange(slots)
    progress = np.array([0, slots])
    trace = (arrival, prompt, output, hit)
    while True:
        code = serve_trace(engines, state, requests, owner, idle, progress, *trace, *results)
        if code == -1:
            break
        if code >= 0:
            raise ValueError(_wrong_request(code, *trace))
        if slots == MAX_SLOTS:
            raise ValueError(
                f"more than {MAX_SLOTS} requests are waiting: the engine is overloaded"
            )
        more = min(slots, MAX_SLOTS - slots)
        requests = Requests(
            *(
                np.concatenate([a, b[:more]])
                for a, b in zip(requests, fresh_requests(more), strict=True)
            )
        )
        owner = np.concatenate([owner, np.zeros(more, np.int64)])
        idle = np.concatenate([np.arange(slots, slots + more), idle])
        slots += more
        progress[1] = more
        state = state._replace(done=np.zeros(slots, np.int64))
    busy_s, energy_j = float(state.times[0, BUSY]), float(state.times[0, ENERGY])
    if not rejected.all():
        open_s = float(state.times[0, CLOCK] - arrival[np.argmin(rejected)])
        energy_j += engine.power.idle_w * (open_s - busy_s)
    return Served(*results, int(state.counts[0, ITERATIONS]), energy_j, busy_s)


def _wrong_request(i: int, arrival: Floats, prompt: Ints, output: Ints, hit: Ints) -> str:
    return (
        f"request {i}: arrival {arrival[i]} s, {prompt[i]} prompt and {output[i]} output tokens"
        + (f", {hit[i]} of the prompt cached" if len(hit) else "")
        + "; arrivals must be finite and sorted, tokens at least 1 and at most "
        f"{MAX_TOKENS} together, hits from 0 to the prompt"
    )


def fresh_requests(slots: int) -> Requests:
    """An empty table."""
    return Requests(np.zeros((slots, REQUEST_COUNTS), np.int64), np.zeros((slots, REQUEST_TIMES)))


def compile_engines(kinds: Sequence[Engine], kind: Ints | None = None) -> Engines:
    """Arrays of engines; `kind` (engine,) says which settings each has. None: one of each."""
    return Engines(
        kind=np.arange(len(kinds)) if kind is None else kind,
        seconds=np.array([k.iteration.columns() for k in kinds]).reshape(-1, 7),
        power=np.array([astuple(k.power) for k in kinds]).reshape(-1, 5),
        size=np.array([[int(getattr(k, name)) for name in SIZES] for k in kinds]).reshape(-1, 6),
    )


def fresh_state(engines: Engines, collect: int = 0) -> EngineState:
    """Empty engines at time 0; `collect` slots of finished requests may wait to be collected."""
    count = len(engines.kind)
    size = engines.size[engines.kind]
    counts = np.zeros((count, ENGINE_COUNTS), dtype=np.int64)
    counts[:, FREE] = size[:, KV_BLOCKS]
    counts[:, [PARTIAL, LAST, HEAD, TAIL]] = -1
    times = np.zeros((count, ENGINE_TIMES))
    times[:, CLOCK] = -np.inf
    seats = np.minimum(size[:, MAX_SEQS], size[:, KV_BLOCKS])
    return EngineState(
        counts=counts,
        times=times,
        heap=np.zeros((count, 2 * max(seats, default=1)), dtype=np.int64),
        due=np.zeros((count, max(size[:, BLOCK_TOKENS], default=1)), dtype=np.int64),
        done=np.zeros(collect, dtype=np.int64),
        dones=np.zeros(1, dtype=np.int64),
    )


def _column(name: str, values: npt.ArrayLike, kind: type[np.generic]) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError(f"{name}: must be one row of numbers, not {array.dtype} {array.shape}")
    if kind is np.int64 and array.dtype.kind == "f" and not np.array_equal(array, np.floor(array)):
        raise ValueError(f"{name}: tokens are whole numbers")
    return np.ascontiguousarray(array, dtype=kind)

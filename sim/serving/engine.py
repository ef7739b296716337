"""An inference engine with its settings, and the serving of a trace on it."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sim.kernels.blocks import forget
from sim.kernels.requests import (
    BLOCK_TOKENS,
    BUSY,
    CHAIN_COLUMNS,
    CLOCK,
    CONTENT_COLUMNS,
    ENERGY,
    ENGINE_COUNTS,
    ENGINE_TIMES,
    FREE,
    FRONT,
    HEAD,
    INDEX,
    ITERATIONS,
    KV_BLOCKS,
    LAST,
    LEAF,
    MASK,
    MAX_SEQS,
    MAX_SLOTS,
    PARTIAL,
    PIECE_COLUMNS,
    PREFIX_CACHE,
    REQUEST_COUNTS,
    REQUEST_TIMES,
    SECONDS_COLUMNS,
    TAIL,
    Engines,
    EngineState,
    Requests,
)
from sim.kernels.traces import (
    DONE,
    MAX_TOKENS,
    MORE_SLOTS,
    Outcome,
    Slots,
    Trace,
    serve_trace,
)
from sim.serving.content import NOTHING_TOLD, Content, content_of
from sim.types import Bools, Floats, Ints

SIZES: Final = (
    "max_batched_tokens",
    "max_seqs",
    "kv_blocks",
    "block_tokens",
    "chunked_prefill",
    "reserve_full_prompt",
    "prefix_cache",
)
MAX_BLOCK_TOKENS: Final = 4096
SPARE_SLOTS: Final = 1024


@dataclass(frozen=True)
class IterationTime:
    """Duration of an iteration [s]: a two-piece roofline, plus attention.

    host_s + max(base_s + token_s n, compute_base_s + compute_token_s n) + decode_seq_s B +
    kv_token_s K + prefill_context_s Q, with n tokens computed, B decoding sequences, K tokens of
    their context and Q = sum over prefills of chunk times (context before it + chunk / 2). The
    first piece is bound by bandwidth (the weights are read once), the second by arithmetic.
    `host_s` is host time between two iterations (scheduling, sampling, sending tokens).

    Speculative decoding (Leviathan, Kalman, Matias, 2023), approximate: a step that drafts
    `speculative_tokens` for each sequence in `draft_s` checks that many and one more, and emits
    1 + `accepted_tokens` of them in the mean. Here every iteration emits one token a sequence and
    takes that share of a step, with as many tokens computed; a prefill computes all of its own.
    """

    base_s: float
    token_s: float
    compute_base_s: float = 0.0
    compute_token_s: float = 0.0
    decode_seq_s: float = 0.0
    kv_token_s: float = 0.0
    prefill_context_s: float = 0.0
    host_s: float = 0.0
    speculative_tokens: float = 0.0
    accepted_tokens: float = 0.0
    draft_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or (value < 0.0 and name != "compute_base_s"):
                raise ValueError(f"IterationTime.{name} = {value}: must be a number >= 0 [s]")
        if self.accepted_tokens > self.speculative_tokens:
            raise ValueError(
                f"IterationTime.accepted_tokens = {self.accepted_tokens}: must be <= "
                f"speculative_tokens, {self.speculative_tokens}"
            )
        if self.draft_s > 0.0 and self.speculative_tokens == 0.0:
            raise ValueError(
                f"IterationTime.draft_s = {self.draft_s} [s]: nothing is drafted; "
                "speculative_tokens must be > 0"
            )
        if self.of(1, 1, 1) <= 0.0 or self.of(1, 0, 0) <= 0.0:
            raise ValueError("IterationTime: an iteration of one token must take longer than 0 s")

    @property
    def emitted(self) -> float:
        """Mean tokens emitted per step and sequence: 1 without speculation."""
        return 1.0 + self.accepted_tokens

    def of(self, tokens: float, decodes: float, kv_tokens: float, context: float = 0.0) -> float:
        """Duration of one iteration [s]; the arguments are n, B, K and Q of the class."""
        base_s, token_s, other_s, other_token_s, seq_s, kv_s, context_s, each = self.columns()
        x = tokens - decodes + each * decodes
        lines = max(base_s + token_s * x, other_s + other_token_s * x)
        return lines + (seq_s * decodes + kv_s * kv_tokens) + context_s * context

    def columns(self) -> tuple[float, ...]:
        """Kernel coefficients (SECONDS_COLUMNS,); terms outside a step are in both pieces."""
        beside_s, emitted = self.host_s + self.draft_s, self.emitted
        return (
            (self.base_s + beside_s) / emitted,
            self.token_s,
            (self.compute_base_s + beside_s) / emitted,
            self.compute_token_s,
            self.decode_seq_s / emitted,
            self.kv_token_s / emitted,
            self.prefill_context_s,
            (1.0 + self.speculative_tokens) / emitted,
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
    """A continuous-batching engine with its KV cache; scheduled as by vLLM V1."""

    iteration: IterationTime
    max_batched_tokens: int = 8192
    max_seqs: int = 256
    kv_blocks: int = 25_000
    block_tokens: int = 16
    chunked_prefill: bool = True
    reserve_full_prompt: bool = False
    prefix_cache: bool = False  # blocks can be reused until they are overwritten
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
    """Outcome of each request of a trace, in the trace's order."""

    first_token_s: Floats  # (request,) NaN when rejected
    finish_s: Floats  # (request,) NaN when rejected
    preemptions: Ints  # (request,) times it was preempted for lack of blocks
    rejected: Bools  # (request,) too long ever to fit
    iterations: int
    energy_j: float  # from the first arrival to the last finish, idle time included
    busy_s: float  # time spent in iterations
    hit_tokens: Ints  # (request,) prompt tokens found in a cache at first admission


def serve(
    arrival_s: npt.ArrayLike,
    prompt_tokens: npt.ArrayLike,
    output_tokens: npt.ArrayLike,
    engine: Engine,
    hit_tokens: npt.ArrayLike | None = None,
    blocks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    content: Content | None = None,
) -> Served:
    """Serve a trace on one engine, every token (docs/MODEL.md section 4).

    Args:
        arrival_s: (request,) sorted [s].
        prompt_tokens: (request,) at least 1.
        output_tokens: (request,) at least 1.
        engine: its settings.
        hit_tokens: (request,) prompt tokens whose KV another kind of cache holds; at least one
            token of the prompt is computed anyway. None: there is no such cache.
        blocks: for an engine with `prefix_cache`: offsets (request + 1,) into hashes, one for each
            full block of `engine.block_tokens` of a prompt (or of its answer as well), in order;
            two requests with equal hashes up to a block are equal up to there.
        content: the same as a tree (`content_of`), for blocks of any size. Without `blocks` and
            `content` no requests share a prefix.

    Raises:
        ValueError: for arrays of different lengths, unsorted arrivals, tokens below 1, hits
            beyond the prompt (it names the first such request), or hits beside a prefix cache.
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
    if engine.prefix_cache and len(hit):
        raise ValueError("hit_tokens beside Engine.prefix_cache: one cache at a time")
    if blocks is not None and content is not None:
        raise ValueError("blocks and content: one of the two tells what requests begin with")
    if blocks is not None and engine.prefix_cache:
        content = _tree(blocks, prompt, output, engine.block_tokens)
    content = content if engine.prefix_cache and content is not None else NOTHING_TOLD
    if len(content.leaf) not in (0, count):
        raise ValueError(f"content of {len(content.leaf)} requests for {count} arrivals")
    rejected = np.empty(count, np.bool_)
    preemptions, found = np.empty(count, np.int64), np.zeros(count, np.int64)
    outcome = Outcome(np.empty(count), np.empty(count), preemptions, rejected, found)
    engines = compile_engines([engine])
    slots = min(2 * engine.max_seqs + SPARE_SLOTS, MAX_SLOTS)
    state = fresh_state(engines, slots, content.deepest)
    nodes = content.nodes if engine.prefix_cache else None
    requests = fresh_requests(slots, nodes)
    owner, idle = np.zeros(slots, np.int64), np.arange(slots)
    progress = np.array([0, slots])
    trace = Trace(arrival, prompt, output, hit, content.leaf, content.told)
    while True:
        memory = Slots(owner, idle, progress)
        code = serve_trace(engines, state, requests, memory, trace, outcome)
        if code == DONE:
            break
        if code != MORE_SLOTS:
            raise ValueError(_wrong_request(code, arrival, prompt, output, hit))
        if slots == MAX_SLOTS:
            raise ValueError(
                f"more than {MAX_SLOTS} requests are waiting: the engine is overloaded"
            )
        more = min(slots, MAX_SLOTS - slots)
        requests = longer(requests, more)
        owner = np.concatenate([owner, np.zeros(more, np.int64)])
        idle = np.concatenate([np.arange(slots, slots + more), idle])
        slots += more
        progress[1] = more
        state = state._replace(done=np.zeros(slots, np.int64))
    busy_s, energy_j = float(state.times[0, BUSY]), float(state.times[0, ENERGY])
    if not rejected.all():
        open_s = float(state.times[0, CLOCK] - arrival[np.argmin(rejected)])
        energy_j += engine.power.idle_w * (open_s - busy_s)
    iterations = int(state.counts[0, ITERATIONS])
    return Served(*outcome[:4], iterations, energy_j, busy_s, found)


def _tree(
    blocks: tuple[npt.ArrayLike, npt.ArrayLike], prompt: Ints, output: Ints, block: int
) -> Content:
    offsets = _column("offsets of blocks", blocks[0], np.int64)
    hashes = _column("hashes of blocks", blocks[1], np.int64)
    if len(offsets) != len(prompt) + 1 or offsets[0] != 0 or offsets[-1] != len(hashes):
        raise ValueError(
            f"blocks: {len(offsets)} offsets from {offsets[:1]} to {offsets[-1:]}: must be "
            f"{len(prompt) + 1}, from 0 to {len(hashes)}, the number of hashes"
        )
    each = np.diff(offsets)
    wrong = (each < 0) | (each > (prompt + output) // block)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"blocks: {each[i]} hashes for request {i}, of {prompt[i]} + {output[i]} tokens; must "
            f"be from 0 to {(prompt[i] + output[i]) // block}, one for each full block of {block}"
        )
    values = hashes.tolist()
    ends = offsets.tolist()
    lists = [values[a:b] for a, b in zip(ends[:-1], ends[1:], strict=True)]
    return content_of(lists, block, each * block)


def _wrong_request(i: int, arrival: Floats, prompt: Ints, output: Ints, hit: Ints) -> str:
    return (
        f"request {i}: arrival {arrival[i]} s, {prompt[i]} prompt and {output[i]} output tokens"
        + (f", {hit[i]} of the prompt cached" if len(hit) else "")
        + "; arrivals must be finite and sorted, tokens at least 1 and at most "
        f"{MAX_TOKENS} together, hits from 0 to the prompt"
    )


def fresh_requests(slots: int, nodes: Ints | None = None) -> Requests:
    """An empty request table; `nodes` (node, CONTENT_COLUMNS) of a block cache, or None."""
    chains = np.zeros((0 if nodes is None else slots, CHAIN_COLUMNS), np.int64)
    chains[:, LEAF] = -1
    return Requests(
        counts=np.zeros((slots, REQUEST_COUNTS), np.int64),
        times=np.zeros((slots, REQUEST_TIMES)),
        chains=chains,
        content=np.zeros((0, CONTENT_COLUMNS), np.int64) if nodes is None else nodes,
    )


def longer(requests: Requests, more: int) -> Requests:
    """The same table with `more` empty slots appended."""
    fresh = fresh_requests(more, requests.content if len(requests.chains) else None)
    return Requests(
        counts=np.concatenate([requests.counts, fresh.counts]),
        times=np.concatenate([requests.times, fresh.times]),
        chains=np.concatenate([requests.chains, fresh.chains]),
        content=requests.content,
    )


def compile_engines(kinds: Sequence[Engine], kind: Ints | None = None) -> Engines:
    """Arrays of engines; `kind` (engine,) is the settings index of each. None: one of each kind."""
    return Engines(
        kind=np.arange(len(kinds)) if kind is None else kind,
        seconds=np.array([k.iteration.columns() for k in kinds]).reshape(-1, SECONDS_COLUMNS),
        power=np.array([astuple(k.power) for k in kinds]).reshape(-1, 5),
        size=np.array([[int(getattr(k, name)) for name in SIZES] for k in kinds]).reshape(-1, 7),
    )


def fresh_state(engines: Engines, collect: int = 0, deepest: int = 1) -> EngineState:
    """Empty engines at time 0; `collect` slots of finished requests may wait to be collected.

    `deepest` is how many nodes of content an answer may run through (block caches only).
    """
    count = len(engines.kind)
    size = engines.size[engines.kind]
    counts = np.zeros((count, ENGINE_COUNTS), dtype=np.int64)
    counts[:, FREE] = size[:, KV_BLOCKS]
    counts[:, [PARTIAL, LAST, HEAD, TAIL]] = -1
    times = np.zeros((count, ENGINE_TIMES))
    times[:, CLOCK] = -np.inf
    seats = np.minimum(size[:, MAX_SEQS], size[:, KV_BLOCKS])
    cached = size[:, PREFIX_CACHE] != 0
    # A piece holds at least one block, or is where an answer will be written.
    rows = int(max((size[:, KV_BLOCKS] + deepest * seats)[cached], default=0)) + 4
    places = 1 << (2 * rows).bit_length()
    entries = INDEX + places + rows * PIECE_COLUMNS if cached.any() else 1
    memory = _on_lines(count, entries)
    for e in np.flatnonzero(cached):
        memory[e, MASK], memory[e, FRONT] = places - 1, -1
        forget(memory[e], 0, int(size[e, KV_BLOCKS]))
    return EngineState(
        counts=counts,
        times=times,
        heap=np.zeros((count, 2 * max(seats, default=1)), dtype=np.int64),
        due=np.zeros((count, max(size[:, BLOCK_TOKENS], default=1)), dtype=np.int64),
        done=np.zeros(collect, dtype=np.int64),
        dones=np.zeros(1, dtype=np.int64),
        memory=memory,
    )


def _on_lines(rows: int, columns: int) -> Ints:
    """Zeros (rows, columns), aligned to a cache line of 64 bytes."""
    room = np.zeros(rows * columns + 8, dtype=np.int64)
    skip = -room.ctypes.data // 8 % 8
    return room[skip : skip + rows * columns].reshape(rows, columns)


def _column(name: str, values: npt.ArrayLike, kind: type[np.generic]) -> npt.NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iuf"):
        raise ValueError(f"{name}: must be one row of numbers, not {array.dtype} {array.shape}")
    if kind is np.int64 and array.dtype.kind == "f" and not np.array_equal(array, np.floor(array)):
        raise ValueError(f"{name}: tokens are whole numbers")
    return np.ascontiguousarray(array, dtype=kind)

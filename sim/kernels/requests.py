"""The arrays of serving: requests by slot, engines (one model replica each) and their state.

A row is what is touched together: eight integers of a request are one cache line. Shapes: `slot`
requests in memory, `engine` replicas, `kind` settings that engines share.
"""

from typing import Final, NamedTuple

import numpy as np

from sim.kernels.jit import part
from sim.types import Floats, Ints

# Columns of `Requests.counts`.
PROMPT: Final = 0  # tokens
OUTPUT: Final = 1  # tokens
HIT: Final = 2  # tokens whose KV exists already when it is admitted
GENERATED: Final = 3  # tokens emitted, while it waits or is prefilled
FINISH_IT: Final = 4  # iterations after which a decoding request is finished; else -1
NEXT: Final = 5  # slot behind it, in its engine's queue or running list; -1 at the end
PREVIOUS: Final = 6  # slot before it
PREEMPTIONS: Final = 7
REQUEST_COUNTS: Final = 8

# Columns of `Requests.times` [s].
ARRIVAL: Final = 0  # at the engine
FIRST_TOKEN: Final = 1
FINISH: Final = 2
REQUEST_TIMES: Final = 3

# Columns of `Engines.seconds`: docs/MODEL.md section 4.
BASE_S: Final = 0
TOKEN_S: Final = 1
COMPUTE_BASE_S: Final = 2
COMPUTE_TOKEN_S: Final = 3
DECODE_SEQ_S: Final = 4
KV_TOKEN_S: Final = 5
PREFILL_CONTEXT_S: Final = 6
DECODE_TOKENS: Final = 7  # computed for a token that a sequence decodes: 1 without speculation
SECONDS_COLUMNS: Final = 8

# Columns of `Engines.power`.
IDLE_W: Final = 0
BUSY_W: Final = 1
PREFILL_J: Final = 2
DECODE_J: Final = 3
LIMIT_W: Final = 4

# Columns of `Engines.size`.
MAX_BATCHED_TOKENS: Final = 0
MAX_SEQS: Final = 1
KV_BLOCKS: Final = 2
BLOCK_TOKENS: Final = 3
CHUNKED_PREFILL: Final = 4
RESERVE_FULL_PROMPT: Final = 5
PREFIX_CACHE: Final = 6

# Columns of `EngineState.counts`.
ITERATIONS: Final = 0
BATCH: Final = 1  # decoding sequences
KV: Final = 2  # sum over them of computed + 1, for the next iteration [tokens]
FREE: Final = 3  # blocks
RUNNING: Final = 4  # decoding sequences and the partial prefill
PARTIAL: Final = 5  # slot of the request whose prefill goes on, or -1
COMPUTED: Final = 6  # its tokens whose KV exists
LAST: Final = 7  # slot at the end of the running list, or -1
HEAD: Final = 8  # slot at the front of the queue, or -1
TAIL: Final = 9  # slot at the end of the queue, or -1
HEAP: Final = 10  # entries in the heap
TAKEN: Final = 11  # iterations since the batch last changed
LATE: Final = 12  # requests that finished at the engine's clock
OUTSTANDING: Final = 13  # requests in the queue and in the running list
PREFILLED: Final = 14  # tokens computed by prefills, recomputation included
EMITTED: Final = 15  # tokens
PREEMPTED: Final = 16  # times a sequence was thrown out for lack of blocks
ENGINE_COUNTS: Final = 17

# Columns of `EngineState.times`.
CLOCK: Final = 0  # end of the last iteration that began [s]
EPOCH: Final = 1  # when the batch last changed [s]
STEP: Final = 2  # duration of the first iteration since then [s]
BUSY: Final = 3  # seconds in iterations
ENERGY: Final = 4  # joules in iterations
LAST_W: Final = 5  # power of the last iterations [W]
ENGINE_TIMES: Final = 6

# Columns of `Requests.chains`.
LEAF: Final = 0  # last node of its content, or -1
TOLD: Final = 1  # tokens from its first on, prompt and output, whose content is told
SHARED: Final = 2  # blocks found when it was last admitted
OWN: Final = 3  # the last piece that it computed itself, or -1
SEAT: Final = 4  # the engine's admissions when it was last admitted: order in the running list
HITS: Final = 5  # tokens found when it was first admitted
TOP: Final = 6  # the last piece of what it shares, where SHARED is above 0
STEM: Final = 7  # the node that it is of
CHAIN_COLUMNS: Final = 8  # a cache line

# Columns of `Requests.content`.
PARENT: Final = 0  # node, or -1
START: Final = 1  # tokens before it
CONTENT_COLUMNS: Final = 2

# Entries of `EngineState.memory` of an engine; then its index of nodes, then a row a piece.
FRONT: Final = 0  # piece at the front of the queue of free blocks: the next to be overwritten
REAR: Final = 1  # piece at its end
QUEUED: Final = 2  # blocks in it, those included that were taken since it was last settled
SPARE: Final = 3  # stack of empty rows, or -1
UNUSED: Final = 4  # the first row that was never used
ADMISSIONS: Final = 5
MASK: Final = 6  # places in the index, a power of two, less 1
LOOSE: Final = 7  # free blocks that hold nothing known, behind the last piece of the queue
INDEX: Final = 8  # first piece of a node, at the place of its number or behind; else -1

# Columns of a piece: neighbouring blocks of one content with the same users. The first eight are a
# cache line: all that is touched of a piece when one beside it in the queue comes or goes.
NODE: Final = 0  # of the content
LO: Final = 1  # first block, counted from the first token of the content
HI: Final = 2  # one beyond the last
USERS: Final = 3  # running requests that hold it; 0: it stands in the queue of free blocks
EXTRA: Final = 4  # free blocks that hold nothing known, before it in the queue
AHEAD: Final = 5  # neighbours in the queue of free blocks
BEHIND: Final = 6
LEFT: Final = 7  # neighbours among the pieces of its node, by age; the first's LEFT is the last
RIGHT: Final = 8
GROWS: Final = 9  # slot of the decoding request that is still writing it, or -1
SLOPE: Final = 10  # iterations that decoding takes for a block; 0: all became known at once
DOWN: Final = 11  # the piece below it, of the request that computed it
BORN: Final = 12  # iterations after which its prefill was done
STAMP: Final = 13  # the same for block 0, had it been written by decoding
RANK: Final = 14  # SEAT of who computed it
PIECE_COLUMNS: Final = 16  # two cache lines

SLOT_BITS: Final = 26
MAX_SLOTS: Final = 1 << SLOT_BITS


class Requests(NamedTuple):
    """Requests by slot."""

    counts: Ints  # (slot, REQUEST_COUNTS)
    times: Floats  # (slot, REQUEST_TIMES), NaN for what has not happened
    chains: Ints  # (slot, CHAIN_COLUMNS) what they hold of a block cache; empty: there is none
    content: Ints  # (node, CONTENT_COLUMNS) a tree of what prompts and answers begin with


class Engines(NamedTuple):
    """What never changes."""

    kind: Ints  # (engine,)
    seconds: Floats  # (kind, SECONDS_COLUMNS) iteration time
    power: Floats  # (kind, 5)
    size: Ints  # (kind, 7)


class EngineState(NamedTuple):
    """What changes. Additive: cutting an advance anywhere gives the same bytes of every integer."""

    counts: Ints  # (engine, ENGINE_COUNTS)
    times: Floats  # (engine, ENGINE_TIMES)
    heap: Ints  # (engine, twice the largest max_seqs): FINISH_IT and slot of decoding requests
    due: Ints  # (engine, largest block_tokens): decoding sequences by when they take a block
    done: Ints  # (finished and not yet collected,) slots; empty: nobody collects
    dones: Ints  # (1,) how many
    memory: Ints  # (engine, entry) block caches; (engine, 1): there is none


@part
def enqueue(counts: Ints, request: Ints, e: int, slot: int) -> None:
    """Put a request at the end of the queue of engine e; its ARRIVAL is never before the tail's."""
    tail = counts[e, TAIL]
    request[slot, NEXT] = -1
    request[slot, PREVIOUS] = tail
    if tail >= 0:
        request[tail, NEXT] = slot
    else:
        counts[e, HEAD] = slot
    counts[e, TAIL] = slot
    counts[e, OUTSTANDING] += 1


@part
def fill_slot(
    request: Ints, when: Floats, slot: int, arrival_s: float, prompt: int, output: int, hit: int
) -> None:
    """Write a new request into a slot; at least one token of its prompt is computed."""
    request[slot, PROMPT] = prompt
    request[slot, OUTPUT] = output
    request[slot, HIT] = min(hit, prompt - 1)
    request[slot, GENERATED] = 0
    request[slot, FINISH_IT] = -1
    request[slot, PREEMPTIONS] = 0
    when[slot, ARRIVAL] = arrival_s
    when[slot, FIRST_TOKEN] = np.nan
    when[slot, FINISH] = np.nan


@part
def fits(size: Ints, kind: int, prompt: int, output: int, hit: int) -> bool:
    """Whether a request could ever be served by an engine with these settings."""
    tokens = prompt + output - 1
    if tokens > size[kind, KV_BLOCKS] * size[kind, BLOCK_TOKENS]:
        return False
    return bool(size[kind, CHUNKED_PREFILL] != 0 or tokens - hit <= size[kind, MAX_BATCHED_TOKENS])

"""Models that GPUs can serve: measured engines, and a roofline for unmeasured combinations."""

import math
from dataclasses import fields, replace
from functools import cache
from typing import Any, Final, NamedTuple

from sim.scenario.catalogue import GpuModel, described, gpus
from sim.scenario.catalogue.specs import NONE_OWN, ModelSpec, Own, ServingSpec
from sim.serving.engine import SIZES, Engine, IterationTime, NodePower

MEMORY_SHARE: Final = 0.9  # vLLM's gpu_memory_utilization, its default
# Memory besides weights and KV on each GPU: 0.9 x 25.25 GB - 16.06 GB - 2,588 blocks of
# 16 x 131,072 B, in the vLLM 0.19 record of an RTX 4090.
ACTIVATION_GB: Final = 1.24
BLOCK_TOKENS: Final = 16  # vLLM's default
READ_GB_PER_S: Final = 2.0  # assumed: weights from a local NVMe disk
# Process start, compilation and warm-up of vLLM with an 8B model on an L40S with compiler caches:
# 34 + 10 + 13 + 7 s; without caches 200 s (tensorfuse.io, 2025-09-01). 70B in fp8 on eight
# GPUs: 145 s of compilation and graphs (github.com/vllm-project/vllm/issues/19824). With the
# weights a cold start takes 1 to 3 minutes.
START_S: Final = 64.0
# vLLM's server defaults by memory, 70 and 160 GiB [GB]: budget and sequences. An A100 takes those
# of smaller GPUs (vllm/engine/arg_utils.py).
DEFAULTS: Final = ((75.2, 2048, 256), (171.8, 8192, 1024), (math.inf, 16_384, 1024))
SMALL_DEFAULTS: Final = "a100"
# assumed: an engine needs room for 16 Ki tokens
MIN_BLOCKS: Final = 1024
# Power of an H100 from the ML.ENERGY leaderboard, by experiments/fit_iteration_time.py: in an
# iteration [W], and for each token that a sequence decodes [J]; within 5 % of the published points.
REFERENCE: Final = {"llama-3.1-8b": (476.0, 0.02148), "llama-3.1-70b": (415.0, 0.02938)}
SMALL_B: Final = 25.0  # assumed: models below take the small reference
IDLE_SHARE: Final = 75.0 / 700.0  # H100: 75 W idle of 700 W (splitwise-sim's power model)
# All-reduce (or other transfer): share of the link's data-sheet rate that it reaches, and latency
# before it begins [s], assumed. For the 160 all-reduces of an iteration of Llama-3.1-70B, the time
# beyond reading the weights is about 0, 1.5 and 3 ms on 2, 4 and 8 H100.
LINK_SHARE: Final = 0.6
REDUCE_S: Final = 10e-6
# Measured over ideal, medians over the measured engines, by experiments/fit_iteration_time.py.
ROOFLINE: Final = {
    "base_s": 1.44,
    "token_s": 0.35,
    "compute_base_s": 0.71,
    "compute_token_s": 1.17,
    "decode_seq_s": 0.0,
    "kv_token_s": 1.12,
    "prefill_context_s": 2.24,
}


class ModelClass(NamedTuple):
    """A dense or mixture-of-experts model, as published."""

    name: str
    parameters_b: float
    active_b: float
    layers: int
    hidden: int
    kv_bytes_per_token: float
    weights_gb: float
    source: str
    experts_per_token: int = 0


class Measured(NamedTuple):
    """A row of `serving.csv`: times in seconds, errors of the fit in per cent."""

    model: str
    gpu: str
    tp: int
    base_s: float
    token_s: float
    compute_base_s: float
    compute_token_s: float
    decode_seq_s: float
    kv_token_s: float
    prefill_context_s: float
    host_s: float
    speculative_tokens: int
    accepted_tokens: float
    draft_s: float
    mape_pct: str
    worst_pct: str
    source: str
    settings: tuple[tuple[str, int | bool], ...] = ()  # of the engine, where not the defaults

    @property
    def iteration(self) -> IterationTime:
        """Its iteration time."""
        return IterationTime(*(getattr(self, f.name) for f in fields(IterationTime)))


class ServedModel(NamedTuple):
    """A model on `tp` GPUs of a kind: an engine with its memory, power and time to load.

    With `pp` stages it is one of pp engines that take turns on tp x pp GPUs.
    """

    model: str
    gpu: str
    tp: int
    engine: Engine
    weights_gb: float
    kv_bytes_per_token: float
    load_s: float
    measured: bool  # False: a roofline from published figures
    source: str
    pp: int = 1
    ep: int = 1


@cache
def models(own: tuple[ModelSpec, ...] = ()) -> dict[str, ModelClass]:
    """Model classes by name; `own` rows go before built-in ones."""
    return {
        row.model: ModelClass(
            name=row.model,
            parameters_b=row.parameters_b,
            active_b=row.parameters_b if row.active_b is None else row.active_b,
            layers=row.layers,
            hidden=row.hidden,
            kv_bytes_per_token=2.0 * row.layers * row.kv_heads * row.head_dim * 2.0,  # K, V in bf16
            weights_gb=row.parameters_b * row.bytes_per_parameter,
            source=row.source,
            experts_per_token=row.experts_per_token,
        )
        for row in (*described("models.csv", ModelSpec), *own)
    }


@cache
def measured(own: tuple[ServingSpec, ...] = ()) -> dict[tuple[str, str, int], Measured]:
    """Measured iteration times by model, GPU and tensor parallelism; `own` rows go first."""
    found = {}
    for row in (*described("serving.csv", ServingSpec), *own):
        cells = row.model_dump()
        given = tuple((name, cells.pop(name)) for name in SIZES)
        settings = tuple((name, value) for name, value in given if value is not None)
        found[row.model, row.gpu, row.tp] = Measured(**cells, settings=settings)
    return found


def served_models(own: Own = NONE_OWN) -> list[ServedModel]:
    """Every measured combination whose weights fit."""
    known, cards = models(own.models), gpus(own.gpus)
    return [
        served(*key, own)
        for key in measured(own.serving)
        if kv_blocks(known[key[0]], cards[key[1]], key[2]) >= MIN_BLOCKS
    ]


@cache
def served(
    model: str,
    gpu: str,
    tp: int | None = None,
    own: Own = NONE_OWN,
    host_s: float | None = None,
    pp: int = 1,
    ep: int = 1,
) -> ServedModel:
    """An engine of the catalogue; `tp` None: the fewest GPUs measured, or that suffice.

    `own` holds a scenario's machines and measurements, which override the catalogue. `host_s` is
    the host time of this deployment per iteration [s]; None: that of the row. `pp` stages of tp
    GPUs each run pp batches at once: each batch is an engine of its own, with its share of the KV
    blocks and sequences, and passes through all stages (`hops`). With `ep` = tp, whole experts are
    spread over the GPUs and tokens are sent to them (`all_to_all`); only rooflines support it.

    Raises:
        ValueError: for a model or GPU that is not in the catalogue, and for weights that do not
            fit, with what is allowed.
    """
    known_models, cards, times = models(own.models), gpus(own.gpus), measured(own.serving)
    for name, known in ((model, known_models), (gpu, cards)):
        if name not in known:
            raise ValueError(f"{name!r} is not in the catalogue; there are {', '.join(known)}")
    made, card = known_models[model], cards[gpu]
    enough = [n for n in (1, 2, 4, 8, 16) if kv_blocks(made, card, n, pp) >= MIN_BLOCKS]
    if tp is None:
        known_tp = [n for n in enough if (model, gpu, n) in times]
        tp = next(iter(known_tp or enough), None)
    if tp is None or kv_blocks(made, card, tp, pp) < MIN_BLOCKS:
        raise ValueError(
            f"the weights of {model}, {made.weights_gb:.0f} GB, leave no room for KV on "
            f"{(tp or 16) * pp} {gpu} of {card.memory_gb:g} GB"
            + (f"; tp must be one of {', '.join(map(str, enough))}" if enough else "")
        )
    if not 1 <= pp <= made.layers:
        raise ValueError(f"pp = {pp} for {model}: must be 1 to {made.layers}, its layers")
    if ep not in (1, tp) or (ep > 1 and not made.experts_per_token):
        raise ValueError(
            f"ep = {ep} for {model} on tp = {tp}: must be 1"
            + (f" or {tp}, experts whole on each GPU" if made.experts_per_token else ": no mixture")
        )
    row = times.get((model, gpu, tp)) if ep == 1 else None
    iteration = row.iteration if row is not None else roofline(made, card, tp, ep=ep)
    hop_s, hop_token_s = hops(made, card, pp)
    if pp > 1:
        iteration = replace(
            iteration,
            base_s=iteration.base_s + hop_s,
            token_s=iteration.token_s + hop_token_s,
            compute_base_s=iteration.compute_base_s + hop_s,
            compute_token_s=iteration.compute_token_s + hop_token_s,
        )
    if host_s is not None:
        iteration = replace(iteration, host_s=host_s)
    small = SMALL_DEFAULTS in gpu.lower()
    tokens, seqs = next(d[1:] for d in DEFAULTS if small or card.memory_gb < d[0])
    settings: dict[str, Any] = {
        "max_batched_tokens": tokens,
        "max_seqs": max(seqs // pp, 1),
        "kv_blocks": kv_blocks(made, card, tp, pp),
        "block_tokens": BLOCK_TOKENS,
        "reserve_full_prompt": True,
    }
    settings |= dict(row.settings if row is not None else ())
    return ServedModel(
        model=model,
        gpu=gpu,
        tp=tp,
        engine=Engine(iteration, **settings, power=power(made, card, tp, iteration)),
        weights_gb=made.weights_gb,
        kv_bytes_per_token=made.kv_bytes_per_token,
        load_s=START_S + made.weights_gb / READ_GB_PER_S,
        measured=row is not None,
        source="; ".join(_sources(row, pp, ep)),
        pp=pp,
        ep=ep,
    )


def _sources(row: Measured | None, pp: int, ep: int) -> list[str]:
    """Sources of an iteration time, and its approximations."""
    said = [row.source if row is not None else "roofline from published bandwidth and FLOP/s"]
    if row is not None and row.speculative_tokens:
        said.append(
            f"speculative decoding approximate: {row.accepted_tokens:g} of "
            f"{row.speculative_tokens} tokens accepted in every step"
        )
    if pp > 1:
        said.append(f"{pp} stages approximate: nobody waits for a stage")
    if ep > 1:
        said.append(f"experts on {ep} GPUs approximate: evenly loaded")
    return said


def kv_blocks(model: ModelClass, gpu: GpuModel, tp: int, pp: int = 1) -> int:
    """KV blocks available to each of pp batches; 0 or less where the weights do not fit."""
    free_gb = tp * pp * (MEMORY_SHARE * gpu.memory_gb - ACTIVATION_GB) - model.weights_gb
    return math.floor(free_gb / pp * 1e9 / (model.kv_bytes_per_token * BLOCK_TOKENS))


def roofline(
    model: ModelClass,
    gpu: GpuModel,
    tp: int,
    factors: dict[str, float] | None = ROOFLINE,
    ep: int = 1,
) -> IterationTime:
    """Iteration time from published bandwidth, FLOP/s and model size; None: the ideal machine.

    Bandwidth-bound: weights are read once an iteration, and KV for each token of context.
    Compute-bound: two FLOPs for each active parameter and token (at the fp8 rate where the weights
    have a byte or less; attention's too, which is approximate), and 4 x layers x hidden for each
    pair of tokens in attention. On several GPUs two all-reduces a layer are on top of both, with
    experts on `ep` of them one and an all-to-all. A mixture reads all its weights (exact for large
    batches only).
    """
    bytes_per_s = gpu.bandwidth_tb_s * 1e12 * tp
    narrow = model.weights_gb <= model.parameters_b  # at most a byte per parameter
    tflops = gpu.fp8_tflops if narrow and gpu.fp8_tflops else gpu.bf16_tflops
    flops_per_s = tflops * 1e12 * tp
    base_s = model.weights_gb * 1e9 / bytes_per_s
    token_s = 2.0 * model.active_b * 1e9 / flops_per_s
    ideal = {
        "base_s": base_s,
        "token_s": token_s,
        "compute_base_s": base_s,
        "compute_token_s": token_s,
        "decode_seq_s": 0.0,
        "kv_token_s": model.kv_bytes_per_token / bytes_per_s,
        "prefill_context_s": 4.0 * model.layers * model.hidden / flops_per_s,
    }
    if factors is None:
        return IterationTime(**ideal)
    real = {name: value * factors[name] for name, value in ideal.items()}
    begin_s, each_s = all_reduce(model, gpu, tp)
    if ep > 1:
        there_s, sent_s = all_to_all(model, gpu, ep)
        begin_s, each_s = 0.5 * begin_s + there_s, 0.5 * each_s + sent_s
    for name in ("base_s", "compute_base_s"):
        real[name] += begin_s
    for name in ("token_s", "compute_token_s"):
        real[name] += each_s
    return IterationTime(**real)


def all_reduce(model: ModelClass, gpu: GpuModel, tp: int) -> tuple[float, float]:
    """Time added by tensor parallelism [s]: per iteration, and per token.

    Two all-reduces a layer, of `hidden` values in bf16 for each token; a ring of tp GPUs sends each
    byte 2 (tp - 1) / tp times.
    """
    if tp == 1:
        return 0.0, 0.0
    sent_bytes = 2.0 * model.layers * 2.0 * model.hidden * 2.0 * (tp - 1) / tp
    return 2.0 * model.layers * REDUCE_S, sent_bytes / (LINK_SHARE * gpu.link_gb_s * 1e9)


def all_to_all(model: ModelClass, gpu: GpuModel, ep: int) -> tuple[float, float]:
    """Time added by expert parallelism [s]: per iteration, and per token.

    In each layer a token's `hidden` values in bf16 go to its experts and come back; of these
    (ep - 1) / ep are on another GPU, and ep GPUs send at once, evenly (assumed).
    """
    if ep == 1:
        return 0.0, 0.0
    sent_bytes = 2.0 * model.layers * model.experts_per_token * model.hidden * 2.0 * (ep - 1) / ep
    return 2.0 * model.layers * REDUCE_S, sent_bytes / ep / (LINK_SHARE * gpu.link_gb_s * 1e9)


def hops(model: ModelClass, gpu: GpuModel, pp: int) -> tuple[float, float]:
    """Time added by pp pipeline stages [s]: per iteration, and per token.

    A token's `hidden` values in bf16 are sent once between consecutive stages.
    """
    sent_bytes = (pp - 1) * model.hidden * 2.0
    return (pp - 1) * REDUCE_S, sent_bytes / (LINK_SHARE * gpu.link_gb_s * 1e9)


def power(model: ModelClass, gpu: GpuModel, tp: int, iteration: IterationTime) -> NodePower:
    """Power of an engine with its share of the server.

    A GPU draws the reference's power of an H100 by share of its own range from idle to limit
    (assumed for other GPUs), at an equal batch: joules a token follow from the time of an iteration
    of 128 sequences. A prefill bound by arithmetic draws the limit. What the server draws beside
    its GPUs is part of `idle_w_per_gpu` and `max_w_per_gpu`, the same of both where the source has
    no more (DGX). Approximate beyond the H100: a 70B that decodes on A100 was measured at 74, 60
    and 43 % of the limit on 2, 4 and 8 GPUs (splitwise-sim's perf_model.csv), here 62 % on each.
    """
    reference = "llama-3.1-8b" if model.parameters_b < SMALL_B else "llama-3.1-70b"
    busy_w, decode_j = REFERENCE[reference]
    reference_tp = 1 if reference == "llama-3.1-8b" else 4
    times = measured()[reference, "h100-sxm", reference_tp].iteration
    idle_w, limit_w = IDLE_SHARE * 700.0, 700.0
    busy = (busy_w - idle_w) / (limit_w - idle_w)
    alone = replace(iteration, host_s=0.0)  # host time adds no joules to a token
    # Watts of a decoding batch of 128 with 500 tokens each, beyond busy, as a share of the range.
    batch, context = 128, 128 * 500
    more = decode_j * batch / times.of(batch, batch, context) / (limit_w - idle_w)
    range_w = tp * (gpu.max_w_per_gpu - gpu.idle_w_per_gpu)
    idle_node_w = tp * gpu.idle_w_per_gpu
    busy_node_w = idle_node_w + busy * range_w
    limit_node_w = tp * gpu.max_w_per_gpu
    return NodePower(
        idle_w=idle_node_w,
        busy_w=busy_node_w,
        prefill_j=(limit_node_w - busy_node_w) * iteration.compute_token_s,
        decode_j=more * range_w * alone.of(batch, batch, context) / batch,
        limit_w=limit_node_w,
    )

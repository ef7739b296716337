"""Row models of machines, in the catalogue's files and in a scenario's sheets."""

from typing import Literal, NamedTuple

from pydantic import model_validator

from sim.scenario.quantity import REQUIRED, Table, quantity


class AsicSpec(Table):
    """A row of `asic_models.csv`: a machine of one's own, or a firmware mode of any machine.

    A row of mode normal is the nameplate, and replaces a machine of the catalogue of that name with
    all its modes; rows of other modes are added to the machine.
    """

    model: str = quantity(REQUIRED, "", "name, as in asics.csv", min_length=1)
    mode: str = quantity("normal", "", "firmware mode; normal: the nameplate", min_length=1)
    hashrate_ths: float = quantity(REQUIRED, "TH/s", "of one machine", gt=0, le=100_000)
    power_w: float = quantity(REQUIRED, "W", "of one machine, at the wall", gt=0, le=1_000_000)
    cooling: Literal["air", "hydro", "immersion"] = quantity(
        "air", "", "what takes the heat; of the row of mode normal"
    )
    maker: str = quantity("", "", "who makes it")
    release: str = quantity("", "", "when it came out")
    note: str = quantity("", "", "what else is known")
    source: str = quantity("", "", "where the row's figures come from")

    @property
    def j_per_th(self) -> float:
        """Efficiency [J/TH]."""
        return self.power_w / self.hashrate_ths


class GpuSpec(Table):
    """A row of `gpu_models.csv`: a GPU of one's own, or in place of one of the catalogue.

    The server's own power is shared out to its GPUs.
    """

    gpu: str = quantity(REQUIRED, "", "name, as in gpus.csv", min_length=1)
    maker: str = quantity("", "", "who makes it")
    memory_gb: float = quantity(REQUIRED, "GB", "of one GPU", gt=0, le=10_000)
    tdp_w: float = quantity(REQUIRED, "W", "limit of the GPU alone", gt=0, le=20_000)
    idle_w_per_gpu: float = quantity(
        REQUIRED, "W", "idle, with its share of the server", gt=0, le=20_000
    )
    max_w_per_gpu: float = quantity(
        REQUIRED, "W", "at most, with its share of the server", gt=0, le=40_000
    )
    bandwidth_tb_s: float = quantity(REQUIRED, "TB/s", "of its memory", gt=0, le=1000)
    bf16_tflops: float = quantity(REQUIRED, "TFLOP/s", "dense", gt=0, le=1_000_000)
    fp8_tflops: float | None = quantity(
        None,
        "TFLOP/s",
        "dense, for weights of a byte or less; default: as bf16",
        gt=0,
        le=1_000_000,
    )
    link_gb_s: float = quantity(
        32.0,
        "GB/s",
        "to the other GPUs of a node, each way: NVLink, PCIe",
        source="assumed: PCIe 4.0 x16",
        gt=0,
        le=100_000,
    )
    usd_per_gpu: float | None = quantity(
        None, "USD", "new, with its share of server, network and container", gt=0, le=1_000_000
    )
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _more_than_idle(self) -> "GpuSpec":
        if self.idle_w_per_gpu >= self.max_w_per_gpu:
            raise ValueError(
                f"idle_w_per_gpu = {self.idle_w_per_gpu:g}: must be < max_w_per_gpu, "
                f"{self.max_w_per_gpu:g} W"
            )
        return self


class ModelSpec(Table):
    """A row of `models.csv`: a language model of one's own, or in place of one of the catalogue.

    The figures are those of its `config.json` and model card. Where it has no row in
    serving_models.csv, a roofline says how long it takes.
    """

    model: str = quantity(REQUIRED, "", "name, as in gpus.csv and tenants.csv", min_length=1)
    parameters_b: float = quantity(REQUIRED, "1e9", "parameters", gt=0, le=100_000)
    active_b: float | None = quantity(
        None, "1e9", "parameters that a token uses; default: all, as a dense model does", gt=0
    )
    experts_per_token: int = quantity(
        0,
        "experts",
        "num_experts_per_tok of a mixture; 0: dense",
        source="assumed: dense",
        ge=0,
        le=10_000,
    )
    layers: int = quantity(REQUIRED, "layers", "num_hidden_layers", ge=1, le=10_000)
    hidden: int = quantity(REQUIRED, "-", "hidden_size", ge=1, le=1_000_000)
    kv_heads: int = quantity(REQUIRED, "heads", "num_key_value_heads", ge=1, le=10_000)
    head_dim: int = quantity(REQUIRED, "-", "head_dim", ge=1, le=10_000)
    bytes_per_parameter: float = quantity(
        2.0,
        "B",
        "of the weights as they are served: 2 in bf16, 1 in fp8",
        source="bf16: 16 bits",
        gt=0,
        le=8,
    )
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _no_more_than_all(self) -> "ModelSpec":
        if self.active_b is not None and self.active_b > self.parameters_b:
            raise ValueError(
                f"active_b = {self.active_b:g}: must be <= parameters_b, {self.parameters_b:g}"
            )
        return self


class ServingSpec(Table):
    """A row of `serving_models.csv`: measured iteration times of a model on some GPUs.

    The columns are those of `sim.serving.engine.IterationTime`, which says what they mean, and
    settings of its `Engine`.
    """

    model: str = quantity(REQUIRED, "", "model of `hashwatt list models` or of models.csv")
    gpu: str = quantity(REQUIRED, "", "GPU of the catalogue or of gpu_models.csv")
    tp: int = quantity(REQUIRED, "GPUs", "tensor parallelism", ge=1, le=16)
    base_s: float = quantity(REQUIRED, "s", "reading the weights", gt=0, le=100)
    token_s: float = quantity(REQUIRED, "s", "for a token, where memory limits", ge=0, le=1)
    compute_base_s: float = quantity(REQUIRED, "s", "where arithmetic limits", ge=-100, le=100)
    compute_token_s: float = quantity(
        REQUIRED, "s", "for a token, where arithmetic limits", ge=0, le=1
    )
    decode_seq_s: float = quantity(
        0.0, "s", "for a sequence that decodes", source="assumed: none", ge=0, le=1
    )
    kv_token_s: float = quantity(REQUIRED, "s", "for a token of context read", ge=0, le=1)
    prefill_context_s: float = quantity(
        REQUIRED, "s", "for a pair of tokens in a prefill's attention", ge=0, le=1
    )
    host_s: float = quantity(
        0.0, "s", "what the host adds to an iteration", source="assumed: hidden", ge=0, le=1
    )
    speculative_tokens: int = quantity(
        0,
        "tokens",
        "drafted for each sequence in a step; 0: no speculative decoding",
        source="assumed: none",
        ge=0,
        le=64,
    )
    accepted_tokens: float = quantity(
        0.0,
        "tokens",
        "of these accepted, in the mean: a step emits one more (approximate: every sequence at "
        "this pace)",
        source="assumed: none",
        ge=0,
        le=64,
    )
    draft_s: float = quantity(
        0.0, "s", "what drafting adds to a step", source="assumed: nothing", ge=0, le=1
    )
    max_batched_tokens: int | None = quantity(
        None, "tokens", "budget of an iteration; default: vLLM's for the GPU", ge=1, le=1 << 24
    )
    max_seqs: int | None = quantity(
        None, "seqs", "running at most; default: vLLM's for the GPU", ge=1, le=1 << 20
    )
    kv_blocks: int | None = quantity(
        None, "blocks", "of the KV cache; default: what the weights leave", ge=1, le=1 << 40
    )
    block_tokens: int | None = quantity(
        None, "tokens", "of a block; default: 16, vLLM's", ge=1, le=4096
    )
    chunked_prefill: bool | None = quantity(None, "", "whether prompts are split; default: yes")
    reserve_full_prompt: bool | None = quantity(
        None, "", "admit only what fits whole; default: yes, as vLLM 0.19"
    )
    prefix_cache: bool | None = quantity(
        None, "", "KV blocks stay known until they are overwritten; default: no"
    )
    mape_pct: str = quantity("", "", "mean error of the fit in per cent")
    worst_pct: str = quantity("", "", "worst error of the fit in per cent")
    source: str = quantity("", "", "where the row's figures come from")

    @model_validator(mode="after")
    def _no_more_than_drafted(self) -> "ServingSpec":
        if self.accepted_tokens > self.speculative_tokens:
            raise ValueError(
                f"accepted_tokens = {self.accepted_tokens:g}: must be <= speculative_tokens, "
                f"{self.speculative_tokens}"
            )
        if self.draft_s > 0.0 and not self.speculative_tokens:
            raise ValueError(f"draft_s = {self.draft_s:g}: speculative_tokens must be > 0")
        return self


class Own(NamedTuple):
    """Rows of a scenario's sheets that extend or override the catalogue."""

    asics: tuple[AsicSpec, ...] = ()
    gpus: tuple[GpuSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    serving: tuple[ServingSpec, ...] = ()


NONE_OWN = Own()

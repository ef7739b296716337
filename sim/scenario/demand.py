"""Demand for tokens: tenants (one row each of `tenants.csv`), regions, and network latencies."""

from typing import Literal

from pydantic import field_validator, model_validator

from sim.scenario.quantity import REQUIRED, Table, quantity


class Region(Table):
    """Where requests come from."""

    latitude: float = quantity(REQUIRED, "deg", "north is positive", ge=-90, le=90)
    longitude: float = quantity(REQUIRED, "deg", "east is positive", ge=-180, le=180)


class WanLink(Table):
    """A link of the wide-area network, both ways."""

    a: str = quantity(REQUIRED, "", "region, site or any name of a network node")
    b: str = quantity(REQUIRED, "", "region, site or any name of a network node")
    latency_ms: float = quantity(REQUIRED, "ms", "one way", ge=0, le=10_000)


class RequestTrace(Table):
    """A recorded trace of requests, for arrivals or for lengths."""

    file: str = quantity(
        REQUIRED, "", "CSV, JSONL or Parquet; path in the scenario's folder or under {data_dir}"
    )


class EngineFile(Table):
    """A table of `[engines]`: an engine as `hashwatt calibrate-engine` writes it.

    It goes before the catalogue's row of its model, GPU and tensor parallelism.
    """

    file: str = quantity(REQUIRED, "", "TOML file with model, gpu, tp, settings and [iteration]")


class Demand(Table):
    """Requests for tokens, and how they are routed and kept."""

    fidelity: Literal["exact", "fluid"] = quantity(
        "exact", "", "exact: every request, every token; fluid: measured surfaces"
    )
    balancing: Literal["round-robin", "least-outstanding", "power-of-two", "prefix-aware"] = (
        quantity("power-of-two", "", "which engine of a site takes a request")
    )
    prefix_cache: bool = quantity(
        False, "", "engines find blocks of the prompt that they still hold from other requests"
    )
    queue_limit: int = quantity(
        512,
        "requests",
        "requests at an engine beyond which it refuses",
        source="assumed",
        ge=1,
        le=1_000_000,
    )
    curtailment: Literal["drain", "preempt", "migrate"] = quantity(
        "preempt",
        "",
        "a node that is switched off: drain: finishes what it has; preempt: sends its requests "
        "back to the router, their KV is lost; migrate: sends them on with their KV",
    )
    migration_gbit_per_s: float = quantity(
        10.0, "Gbit/s", "link over which KV moves to another site", source="assumed", gt=0
    )
    hold_s: float = quantity(
        30.0,
        "s",
        "between two attempts of the router to place what it got back",
        source="assumed",
        gt=0,
    )
    km_per_ms: float = quantity(
        200.0, "km/ms", "speed of light in fibre", source="refractive index of about 1.5", gt=0
    )
    route_factor: float = quantity(
        1.5, "-", "length of a fibre route over the great circle", source="assumed", ge=1
    )
    regions: dict[str, Region] = quantity({}, "", "where requests come from, by name")
    links: tuple[WanLink, ...] = quantity(
        (), "", "network by its links; none: straight from each region to each site"
    )
    traces: dict[str, RequestTrace] = quantity({}, "", "recorded request traces, by name")


class Tenant(Table):
    """A row of `tenants.csv`: a firm that buys tokens."""

    name: str = quantity(REQUIRED, "", "unique name", min_length=1)
    region: str = quantity(REQUIRED, "", "a region of [demand.regions]")
    model: str = quantity(REQUIRED, "", "model it asks for, as in gpus.csv")
    rate_rps: float = quantity(
        1.0, "1/s", "mean rate of requests", source="assumed", ge=0, le=1_000_000
    )
    arrivals: Literal["poisson", "gamma", "trace"] = quantity(
        "poisson", "", "gamma: bursts of cv; trace: the recorded instants, over and over"
    )
    cv: float = quantity(
        2.0,
        "-",
        "gamma: coefficient of variation of the gaps between requests",
        source="assumed",
        gt=0,
        le=20,
    )
    profile: Literal["flat", "conversation", "api"] = quantity(
        "conversation",
        "",
        "rate by hour of the day; conversation: BurstGPT, api: ServeGen m-small",
        source="BurstGPT_1 (61 days), ServeGen (14 days)",
    )
    weekend_factor: float = quantity(
        1.0, "-", "rate on Saturday and Sunday over that on a weekday", source="assumed", ge=0
    )
    utc_offset_h: float = quantity(
        0.0, "h", "local time of the profile", source="assumed", ge=-12, le=14
    )
    lengths: Literal["lognormal", "empirical"] = quantity(
        "lognormal", "", "empirical: pairs drawn from the trace"
    )
    trace: str | None = quantity(None, "", "a trace of [demand.traces]")
    prompt_mean_tokens: float = quantity(
        1155.0, "tokens", "lognormal mean", source="Azure conversation trace, 2023", ge=1, le=1e6
    )
    prompt_cv: float = quantity(
        0.96, "-", "standard deviation / mean", source="Azure conversation trace, 2023", ge=0, le=10
    )
    output_mean_tokens: float = quantity(
        211.0, "tokens", "lognormal mean", source="Azure conversation trace, 2023", ge=1, le=1e6
    )
    output_cv: float = quantity(
        0.77, "-", "standard deviation / mean", source="Azure conversation trace, 2023", ge=0, le=10
    )
    max_tokens: int = quantity(
        16_384, "tokens", "longest prompt, and longest output", source="assumed", ge=1, le=4_000_000
    )
    prefix_share: float = quantity(
        0.0, "-", "share of a prompt that a prefix cache holds", source="off", ge=0, le=1
    )
    system_prompt_tokens: int = quantity(
        0,
        "tokens",
        "with which all prompts begin, before the text",
        source="off",
        ge=0,
        le=1_000_000,
    )
    turns: float = quantity(
        1.0,
        "-",
        "mean turns of a conversation; each asks with all before",
        source="off",
        ge=1,
        le=1e4,
    )
    think_s: float = quantity(
        60.0, "s", "mean time from a turn to the next one", source="assumed", gt=0, le=86_400
    )
    slo_ttft_s: float = quantity(
        2.0, "s", "time to first token that is promised", source="assumed", gt=0
    )
    slo_tpot_s: float = quantity(
        0.1, "s", "time per output token that is promised", source="assumed", gt=0
    )
    slo_percentile: float = quantity(
        95.0, "%", "share of a day's requests that must meet both", source="assumed", ge=0, le=100
    )
    usd_per_mtok_in: float = quantity(
        0.2, "USD/Mtoken", "price of a million prompt tokens", source="assumed", ge=0, le=10_000
    )
    usd_per_mtok_out: float = quantity(
        0.6, "USD/Mtoken", "price of a million output tokens", source="assumed", ge=0, le=10_000
    )
    price_path: str | None = quantity(
        None, "", "a name of [gpu_market.tokens]: how both prices go; default: they stay"
    )
    growth_per_year: float = quantity(
        0.0,
        "1/y",
        "growth of what each customer asks for: 1 doubles the rate in a year",
        source="assumed: none",
        gt=-1,
        le=100,
    )
    customers: int = quantity(
        1,
        "customers",
        "equal customers behind the tenant, of whom each may leave",
        source="assumed",
        ge=1,
        le=100_000,
    )
    churn_per_year: float = quantity(
        0.0,
        "1/y",
        "rate at which a customer leaves for good (exponential): 0.1 is about 10 % in a year",
        source="assumed: none",
        ge=0,
        le=100,
    )
    credit_fraction: float = quantity(
        0.25,
        "-",
        "share of a day's bill given back when the day missed the SLO",
        source="assumed",
        ge=0,
        le=1,
    )
    patience_s: float | None = quantity(
        None, "s", "a client whose prefill has not begun by then gives up; default: never", gt=0
    )
    retries: int = quantity(
        0, "times", "how often a client comes back", source="assumed", ge=0, le=100
    )
    backoff_s: float = quantity(
        5.0, "s", "until it comes back; doubles each time", source="assumed", gt=0
    )
    residency: str = quantity(
        "", "", "countries that may serve it, separated by blanks; empty: any"
    )
    source: str = quantity("", "", "where the row's figures come from")

    @field_validator("residency")
    @classmethod
    def _countries(cls, text: str) -> str:
        return " ".join(text.upper().split())

    @model_validator(mode="after")
    def _complete(self) -> "Tenant":
        if self.trace is None and "trace" in (self.arrivals, *("trace",) * self.empirical):
            raise ValueError("trace: arrivals or lengths of a trace need its name")
        return self

    @property
    def empirical(self) -> bool:
        """Whether lengths come from the trace."""
        return self.lengths == "empirical"

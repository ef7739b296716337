"""Engine settings that serve a load within its latency targets, and the cost of each.

For each candidate the smallest number of replicas is found by bisection, with the exact kernel
serving every request of the load.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from sim.serving.engine import Engine, Served
from sim.serving.metrics import latencies, serve_on, within
from sim.serving.mix import lognormal
from sim.serving.traces import Trace
from sim.types import OnProgress

BUDGETS: Final = (2048, 8192, 16_384)  # max_batched_tokens to try
SEQUENCES: Final = (32, 128, 512)  # max_seqs to try
LEAST_S: Final = 600.0  # shortest load generated from a rate
LEAST_REQUESTS: Final = 2_000
MOST_REQUESTS: Final = 200_000
MOST_REPLICAS: Final = 4_096
ALONE_S: Final = 1e5  # gap between requests served one by one
HOURS_PER_YEAR: Final = 8_766.0


class Slo(NamedTuple):
    """Latency targets: `percentile` of the requests meet both."""

    ttft_s: float
    tpot_s: float
    percentile: float


class Prices(NamedTuple):
    """Prices and limits for the cost of a candidate."""

    usd_per_mwh: float
    gpu_years: float  # straight-line depreciation period of a GPU
    usd_per_mtok: float | None  # revenue per million output tokens; None: not known
    power_cap_w: float  # limit of the power of all engines at their limits


class Candidate(NamedTuple):
    """A model on GPUs of a kind, with settings to try."""

    gpu: str
    tp: int
    engine: Engine
    usd_per_gpu: float | None
    measured: bool
    pp: int = 1  # a replica is `pp` engines, on tp GPUs each
    ep: int = 1


class Choice(NamedTuple):
    """A candidate with the replicas that the target needs."""

    gpu: str
    tp: int
    pp: int
    ep: int
    max_batched_tokens: int
    max_seqs: int  # of a replica
    replicas: int
    gpus: int
    attained_pct: float
    ttft_s: float  # at the percentile of the target
    tpot_s: float
    power_kw: float  # mean over the load
    limit_kw: float
    tokens_per_mwh: float  # output tokens
    usd_per_mtok: float | None  # capital and energy cost per million output tokens
    cost_usd_per_mw_year: float | None
    margin_usd_per_mw_year: float | None  # None: price or cost not known
    measured: bool
    pareto: bool


def load_of_rate(
    rate_rps: float, prompt: tuple[float, float], output: tuple[float, float]
) -> Trace:
    """Poisson requests of lognormal lengths (mean tokens, coefficient of variation); fixed seed."""
    count = int(min(max(rate_rps * LEAST_S, LEAST_REQUESTS), MOST_REQUESTS))
    draw = np.random.Generator(np.random.Philox(key=2026))
    arrival = np.cumsum(draw.exponential(1.0 / rate_rps, count))
    return Trace(
        arrival - arrival[0],
        lognormal(draw, *prompt, count),
        lognormal(draw, *output, count),
        None,
        "rate",
        0,
        True,
    )


def settings(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Every candidate with every budget and number of sequences; numbers larger than KV blocks
    could ever hold are skipped.
    """
    found = []
    for candidate in candidates:
        for budget in BUDGETS:
            for seqs in SEQUENCES:
                engine = candidate.engine
                share = max(seqs // candidate.pp, 1)
                if share > budget or share > engine.kv_blocks:
                    continue
                fields = {name: getattr(engine, name) for name in engine.__dataclass_fields__}
                fields |= {"max_batched_tokens": budget, "max_seqs": share}
                found.append(candidate._replace(engine=Engine(**fields)))
    return found


def attained(trace: Trace, engine: Engine, replicas: int, slo: Slo) -> float:
    """Share of the requests that meet both targets [%]; one that never fits meets none."""
    out = serve_on(trace, engine, replicas)
    if out.rejected.all():
        return 0.0
    good = within(latencies(trace.arrival_s, trace.output_tokens, out), slo.ttft_s, slo.tpot_s)
    return 100.0 * int(good.sum()) / len(trace.arrival_s)


def fewest(trace: Trace, engine: Engine, slo: Slo, pp: int = 1) -> int | None:
    """The smallest number of replicas that meets the target; None: no number does.

    Each replica is `pp` engines. Serving requests one by one bounds what any number of replicas can
    reach. More replicas are assumed never to do worse.
    """
    one_by_one = np.arange(len(trace.arrival_s), dtype=np.float64) * ALONE_S
    alone = trace._replace(arrival_s=one_by_one)
    if attained(alone, engine, 1, slo) < slo.percentile:
        return None
    most = min(len(trace.arrival_s), MOST_REPLICAS)
    low, high = 0, 1
    while attained(trace, engine, high * pp, slo) < slo.percentile:
        if high == most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        if attained(trace, engine, middle * pp, slo) < slo.percentile:
            low = middle
        else:
            high = middle
    return high


def recommend(
    trace: Trace,
    candidates: Sequence[Candidate],
    slo: Slo,
    prices: Prices,
    progress: OnProgress = lambda done, total: None,
) -> list[Choice]:
    """All candidates that meet the target within the power cap, cheapest tokens first.

    Pareto-optimal ones in USD per million tokens, tokens per MWh and GPUs are marked.
    """
    found: list[Choice] = []
    seen: set[Choice] = set()
    for number, candidate in enumerate(candidates):
        progress(number, len(candidates))
        replicas = fewest(trace, candidate.engine, slo, candidate.pp)
        if replicas is None:
            continue
        choice = _priced(trace, candidate, replicas, slo, prices)
        outcome = choice._replace(max_batched_tokens=0, max_seqs=0)
        if choice.limit_kw * 1e3 <= prices.power_cap_w and outcome not in seen:
            seen.add(outcome)  # skip larger settings with the same outcome
            found.append(choice)
    progress(len(candidates), len(candidates))
    marked = [c._replace(pareto=not any(_beats(other, c) for other in found)) for c in found]
    return sorted(marked, key=lambda c: (_cost(c), -c.tokens_per_mwh, c.gpus))


def _priced(trace: Trace, candidate: Candidate, replicas: int, slo: Slo, prices: Prices) -> Choice:
    engine = candidate.engine
    engines = replicas * candidate.pp
    out = serve_on(trace, engine, engines)
    served = latencies(trace.arrival_s, trace.output_tokens, out)
    good = within(served, slo.ttft_s, slo.tpot_s)
    span_s = float(np.nanmax(out.finish_s) - trace.arrival_s[0])
    energy_j = _energy_j(trace, engine, out, engines, span_s)
    tokens = int(trace.output_tokens[~out.rejected].sum())
    gpus = engines * candidate.tp
    mwh = energy_j / 3.6e9
    hours = span_s / 3600.0
    cost = None
    if candidate.usd_per_gpu is not None:
        capital = gpus * candidate.usd_per_gpu * hours / (prices.gpu_years * HOURS_PER_YEAR)
        cost = capital + mwh * prices.usd_per_mwh
    mw_years = mwh / HOURS_PER_YEAR
    margin = None
    if cost is not None and prices.usd_per_mtok is not None:
        margin = (tokens / 1e6 * prices.usd_per_mtok - cost) / mw_years
    tpot = served.tpot_s[~np.isnan(served.tpot_s)]
    return Choice(
        candidate.gpu,
        candidate.tp,
        candidate.pp,
        candidate.ep,
        engine.max_batched_tokens,
        engine.max_seqs * candidate.pp,
        replicas,
        gpus,
        100.0 * int(good.sum()) / len(trace.arrival_s),
        float(np.percentile(served.ttft_s, slo.percentile)),
        float(np.percentile(tpot, slo.percentile)) if len(tpot) else 0.0,
        energy_j / span_s / 1e3,
        engines * engine.power.limit_w / 1e3,
        tokens / mwh,
        None if cost is None else cost / (tokens / 1e6),
        None if cost is None else cost / mw_years,
        margin,
        candidate.measured,
        False,
    )


def _energy_j(trace: Trace, engine: Engine, out: Served, engines: int, span_s: float) -> float:
    """Energy of all engines over the whole span [J]: `serve` counts from an engine's first request
    to its last; outside this it idles.
    """
    open_s = 0.0
    for k in range(engines):
        finish = out.finish_s[k::engines]
        mine = ~out.rejected[k::engines]
        if mine.any():
            open_s += float(np.nanmax(finish) - trace.arrival_s[k::engines][np.argmax(mine)])
    return out.energy_j + engine.power.idle_w * (engines * span_s - open_s)


def _cost(choice: Choice) -> float:
    return math.inf if choice.usd_per_mtok is None else choice.usd_per_mtok


def _beats(one: Choice, other: Choice) -> bool:
    """Whether `one` is nowhere worse than `other`, and somewhere better."""
    mine = (_cost(one), -one.tokens_per_mwh, one.gpus)
    its = (_cost(other), -other.tokens_per_mwh, other.gpus)
    return all(a <= b for a, b in zip(mine, its, strict=True)) and mine != its

"""Requests of a pool's tenants: each with its own burstiness and length distribution."""

import math
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np

from sim.types import Floats, Ints

SHORT_TOKENS: Final = 4096  # up to here the mean of rounded lengths is summed; beyond, integrated


class Recorded(NamedTuple):
    """A trace that a tenant replays, or draws its lengths from."""

    arrival_s: Floats  # (request,) starts at 0; empty: instants are not replayed
    prompt: Ints  # (request,) tokens; empty: lengths are lognormal
    output: Ints  # (request,)


NOT_RECORDED: Final = Recorded(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))


class Stream(NamedTuple):
    """The requests of one tenant at a pool, and how patient its clients are."""

    weight: float  # its share of the pool's requests, in proportion to the others
    prompt_mean: float
    prompt_cv: float
    output_mean: float
    output_cv: float
    longest: int  # cap of prompts and outputs [tokens]
    cv: float = 1.0  # coefficient of variation of gaps between requests (gamma); 1: Poisson
    kept: float = 1.0  # share of its requests that come to this pool; the others go elsewhere
    prefix_share: float = 0.0  # share of a prompt held by another kind of cache
    patience_s: float = math.inf
    retries: int = 0
    backoff_s: float = 1.0
    recorded: Recorded = NOT_RECORDED

    def key(self) -> tuple[object, ...]:
        """Key of everything that determines the stream."""
        columns = [sha256(np.ascontiguousarray(x).tobytes()).hexdigest() for x in self.recorded]
        return (*self[:-1], *columns)

    def gap_cv(self) -> float:
        """Coefficient of variation of the gaps between the tenant's requests."""
        gaps = np.diff(self.recorded.arrival_s)
        return float(gaps.std() / gaps.mean()) if len(gaps) > 1 and gaps.any() else self.cv

    def means(self) -> tuple[float, float]:
        """Mean tokens of prompts and outputs as sent: whole, at least 1, capped."""
        if len(self.recorded.prompt):
            cut = (np.minimum(x, self.longest) for x in self.recorded[1:])
            return tuple(float(x.mean()) for x in cut)  # type: ignore[return-value]
        return (
            mean_tokens(self.prompt_mean, self.prompt_cv, self.longest),
            mean_tokens(self.output_mean, self.output_cv, self.longest),
        )


class Sent(NamedTuple):
    """Requests of all streams in order of time, at one request per unit of time."""

    at: Floats  # (request,)
    stream: Ints  # (request,)
    prompt: Ints  # (request,)
    output: Ints  # (request,)


def lognormal(draw: np.random.Generator, mean: float, cv: float, count: int) -> Ints:
    """Draw lognormal lengths [tokens], at least 1."""
    return _whole(_lognormal(draw, mean, cv, count))


def _lognormal(draw: np.random.Generator, mean: float, cv: float, count: int) -> Floats:
    variance = np.log1p(cv * cv)
    values = draw.lognormal(np.log(mean) - variance / 2.0, np.sqrt(variance), count)
    return np.asarray(values)


def _whole(lengths: Floats) -> Ints:
    return np.asarray(np.maximum(np.rint(lengths), 1.0).astype(np.int64))


def mean_tokens(mean: float, cv: float, longest: int) -> float:
    """Mean of min(max(round(X), 1), longest) for a lognormal X of that mean and cv [tokens]."""
    sigma = math.sqrt(math.log1p(cv * cv))
    if sigma == 0.0:
        return float(min(max(round(mean), 1), longest))
    mu = math.log(mean) - sigma * sigma / 2.0

    def above(x: float) -> float:
        return 0.5 * math.erfc((math.log(x) - mu) / (sigma * math.sqrt(2.0)))

    def within(x: float) -> float:  # mean of min(X, x)
        part = 0.5 * math.erfc((mu + sigma * sigma - math.log(x)) / (sigma * math.sqrt(2.0)))
        return mean * part + x * above(x)

    few = min(longest, SHORT_TOKENS)
    total = 1.0 + sum(above(k + 0.5) for k in range(1, few))
    return total + within(longest) - within(few) if longest > few else total


def draw_lengths(
    draw: np.random.Generator, mean: float, cv: float, longest: int, count: int
) -> Ints:
    """Draw capped lognormal lengths whose mean is that of the distribution, not of the sample."""
    values = _lognormal(draw, mean, cv, count)
    wanted = mean_tokens(mean, cv, longest)
    for _ in range(3):  # each cut lowers the mean a little again
        values *= wanted / np.minimum(_whole(values), longest).mean()
    return np.minimum(_whole(values), longest)


def draw_sent(draw: np.random.Generator, mix: Sequence[Stream], count: int) -> Sent:
    """About `count` requests of a mix; each stream has its share, bursts and lengths."""
    weights = np.array([m.weight for m in mix])
    parts = []
    for i, m in enumerate(mix):
        share = m.weight / weights.sum()
        at, picked = _instants(draw, m, share * count)
        at = at / share
        size = int(np.searchsorted(at, count))
        if len(m.recorded.prompt):
            chosen = (
                picked[:size] if len(picked) else draw.integers(0, len(m.recorded.prompt), size)
            )
            prompt, output = (np.minimum(x[chosen], m.longest) for x in m.recorded[1:])
        elif size:
            prompt = draw_lengths(draw, m.prompt_mean, m.prompt_cv, m.longest, size)
            output = draw_lengths(draw, m.output_mean, m.output_cv, m.longest, size)
        else:
            prompt = output = np.zeros(0, np.int64)
        parts.append((at[:size], np.full(size, i), prompt, output))
    at, stream, prompt, output = (np.concatenate(x) for x in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    return Sent(at[order], stream[order], prompt[order], output[order])


def _instants(draw: np.random.Generator, m: Stream, span: float) -> tuple[Floats, Ints]:
    """Instants of a stream beyond `span`, at one per unit of time; of a trace also its rows.

    Keeping each request with the same probability joins a geometric number of gamma gaps: bursts of
    a tenant served at several places are thinner at each.
    """
    recorded = m.recorded
    if len(recorded.arrival_s):
        rows = len(recorded.arrival_s)
        round_s = float(recorded.arrival_s[-1]) * rows / max(rows - 1, 1) or 1.0
        rounds = int(span / (m.kept * rows)) + 2
        at = (np.arange(rounds)[:, None] * round_s + recorded.arrival_s[None, :]).ravel()
        stays = draw.random(len(at)) < m.kept
        picked = np.tile(np.arange(rows), rounds)[stays]
        return at[stays] * (m.kept * rows / round_s), picked
    size = int(span + 8.0 * max(m.cv, 1.0) * math.sqrt(span) + 32)
    if m.cv == 1.0:
        return np.cumsum(draw.exponential(1.0, size)), np.zeros(0, np.int64)
    shape = 1.0 / m.cv**2
    together = draw.geometric(m.kept, size) if m.kept < 1.0 else np.ones(size)
    return np.cumsum(draw.gamma(shape * together, m.kept / shape)), np.zeros(0, np.int64)

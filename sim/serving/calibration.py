"""Fits an engine to a server's own request record, using the exact kernel.

A server differs from the profile of its layers in three small ways: the host time added to each
iteration, and factors on the profile's compute time and on its KV read time. They are fitted to the
requests that finished first; the rest of the record measures how well they predict.
"""

import math
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import qmc, t

from sim.kernels.requests import CONTENT_COLUMNS, PARENT
from sim.serving.content import Content
from sim.serving.engine import Engine, IterationTime, Served
from sim.serving.metrics import serve_on
from sim.serving.request_log import RequestLog
from sim.serving.traces import Trace
from sim.types import Floats, Ints, OnProgress

FACTORS: Final = ("host_s", "compute_factor", "kv_factor")
LEVEL: Final = 0.95
METHOD: Final = "jackknife over 10 blocks of completions, and 1 % of error in the form"
ROUNDS: Final = 8
POINTS: Final = 16  # exact runs in each round
RUNS: Final = ROUNDS * POINTS
BLOCKS: Final = 10  # of completions, for the intervals: neighbours err together
NO_HOST_S: Final = 1e-9  # a host term below this counts as none
LEAST: Final = 20  # fewest completions to fit on, and to predict
OUTLIER: Final = 0.01  # share of end-to-end time beyond which errors count linearly
FORM: Final = 0.01  # assumed: error of the form of the iteration time, share of end-to-end time
SHRINK: Final = 0.6  # of the box from round to round
BOX: Final = {True: 0.25, False: 0.6}  # half width of the first box, by `measured`
# Prior means of host, compute and KV, and their standard deviations (assumed): the host as a share
# of an iteration, the others as logarithms. A record alone cannot separate the host from KV where
# its batch hardly changes.
MIDDLE: Final = np.array([0.1, 0.0, 0.0])
DOUBT: Final = {True: np.array([0.2, 0.2, 0.1]), False: np.array([0.2, 1.0, 0.3])}


class Factor(NamedTuple):
    """A fitted value and its interval at LEVEL."""

    value: float
    low: float
    high: float


class Calibration(NamedTuple):
    """A calibrated engine; `train` and `test` hold the errors on both parts of the record."""

    engine: Engine
    factors: dict[str, Factor]
    train: dict[str, Any]
    test: dict[str, Any]


class _Problem(NamedTuple):
    log: RequestLog
    start: Engine
    replicas: int
    chosen: Ints  # (train,) requests to fit
    scale_s: float  # scale of the host term: an iteration of one sequence

    def engine(self, x: Floats) -> Engine:
        """The engine at point `x`: host share of an iteration, and logarithms of the factors."""
        return replace(self.start, iteration=scaled(self.start.iteration, *self.factors(x)))

    def factors(self, x: Floats) -> tuple[float, float, float]:
        """Host time [s], compute factor and KV factor."""
        host_s = float(x[0]) * self.scale_s
        return (host_s if host_s > NO_HOST_S else 0.0), math.exp(x[1]), math.exp(x[2])

    def residuals(self, x: Floats) -> Floats:
        """Errors of last and first token as shares of the request's end-to-end time (2 train,)."""
        out = served(self.log, self.engine(x), self.replicas)
        e2e_s = (self.log.finish_s - self.log.arrival_s)[self.chosen]
        last = (out.finish_s - self.log.finish_s)[self.chosen] / e2e_s
        first = (out.first_token_s - self.log.first_token_s)[self.chosen] / e2e_s
        return np.concatenate([last, first])


def scaled(row: IterationTime, host_s: float, compute: float, kv: float) -> IterationTime:
    """An iteration time with `host_s` [s] added, and compute and KV times scaled."""
    return replace(
        row,
        host_s=row.host_s + host_s,
        compute_token_s=row.compute_token_s * compute,
        prefill_context_s=row.prefill_context_s * compute,
        kv_token_s=row.kv_token_s * kv,
    )


def calibrate(
    log: RequestLog,
    start: Engine,
    train: float = 0.4,
    measured: bool = True,
    replicas: int = 1,
    progress: OnProgress = lambda done, total: None,
) -> Calibration:
    """Fit host, compute and KV factors on the first `train` of the completions.

    In each round the exact kernel runs at points of a box, each request's error is modelled as
    linear in the factors, and the box moves to the robust least-squares solution and shrinks. This
    is robust against single requests that swap places.

    Args:
        log: requests in order of arrival.
        start: engine before the fit, with the server's settings.
        train: share of the completions, in order of time, to fit.
        measured: whether `start` rests on a measurement; otherwise it may be farther off.
        replicas: engines that share the requests, round-robin.
        progress: called with the runs done and their total.

    Raises:
        ValueError: for too few completions, or a request that the engine can never serve.
    """
    order = np.argsort(log.finish_s, kind="stable")
    count = round(train * len(order))
    if min(count, len(order) - count) < LEAST:
        raise ValueError(
            f"{len(order)} requests, of which {count} are fitted: must be at least {LEAST} to fit "
            f"and {LEAST} to predict"
        )
    never = served(log, start, replicas).rejected
    if never.any():
        i = int(np.argmax(never))
        raise ValueError(
            f"request {i} of {log.prompt_tokens[i]} and {log.output_tokens[i]} tokens can never be "
            "served by this engine: its settings are not the server's"
        )
    scale_s = start.iteration.of(1, 1, 1)
    problem = _Problem(log, start, replicas, order[:count], scale_s)
    x, lines, errors = _fit(problem, measured, progress)
    engine = problem.engine(x)
    out = served(log, engine, replicas)
    return Calibration(
        engine,
        _intervals(problem, x, lines, errors, measured),
        accuracy(log, out, order[:count]),
        accuracy(log, out, order[count:]),
    )


def served(log: RequestLog, engine: Engine, replicas: int) -> Served:
    """Serve the record's requests on one engine, or round-robin on several.

    A record does not say which prompts share a prefix. With a prefix cache, a preempted request
    finds what remains of its own blocks.
    """
    columns = (log.arrival_s, log.prompt_tokens, log.output_tokens)
    count = len(log.arrival_s)
    nodes = np.zeros((count, CONTENT_COLUMNS), dtype=np.int64)
    nodes[:, PARENT] = -1
    own = Content(nodes, np.arange(count), log.prompt_tokens + log.output_tokens, 1)
    trace = Trace(*columns, None, "log", log.dropped, True)
    return serve_on(trace._replace(content=own), engine, replicas)


def _fit(problem: _Problem, measured: bool, progress: OnProgress) -> tuple[Floats, Floats, Floats]:
    """Best point, derivatives there (2 train, factor) and errors there (2 train,)."""
    middle, half = MIDDLE.copy(), np.full(3, BOX[measured])
    unit = qmc.Sobol(3, scramble=False).random(RUNS).reshape(ROUNDS, POINTS, 3)
    points: list[Floats] = []
    errors: list[Floats] = []
    for number in range(ROUNDS):
        for point in middle + half * (2.0 * unit[number] - 1.0):
            point[0] = max(point[0], 0.0)
            points.append(point)
            errors.append(problem.residuals(point))
            progress(len(points), RUNS)
        x, found = np.array(points), np.array(errors)
        near = (np.abs(x - middle) <= 1.2 * half + 1e-12).all(axis=1)
        terms = np.column_stack([np.ones(near.sum()), x[near] - middle])
        at_middle, *slopes = np.linalg.lstsq(terms, found[near], rcond=None)[0]
        lines = np.array(slopes).T
        step = _step(at_middle, lines, middle, measured, 1.5 * half, 0.0)
        inside = (np.abs(step) < half).all()
        middle = middle + step
        at_middle = at_middle + lines @ step
        half = half * (SHRINK if inside else 1.0)
    return middle, lines, np.asarray(at_middle)


def _step(
    errors: Floats, lines: Floats, middle: Floats, measured: bool, reach: Floats, least: float
) -> Floats:
    """Robust least squares of errors that are linear in the factors, within `reach`; the host
    share stays above `least`.
    """
    # Errors of neighbours correlate: a block counts as one error against the prior.
    doubt = _doubt(len(errors), measured)
    low = np.maximum(-reach, [least - middle[0], -np.inf, -np.inf])

    def of(z: Floats) -> Floats:
        return np.concatenate([errors + lines @ z, doubt @ (middle + z - MIDDLE)])

    def slopes(z: Floats) -> Floats:
        return np.vstack([lines, doubt])

    bounds = (low, reach)
    start = np.maximum(np.zeros(3), low)
    found = least_squares(
        of, start, jac=slopes, bounds=bounds, loss="soft_l1", f_scale=OUTLIER, xtol=1e-10
    )
    return np.asarray(found.x)


def _doubt(errors: int, measured: bool) -> Floats:
    """Weight of the prior against so many errors (factor, factor)."""
    return np.diag(FORM * math.sqrt(errors / BLOCKS) / DOUBT[measured])


def _intervals(
    problem: _Problem, x: Floats, lines: Floats, errors: Floats, measured: bool
) -> dict[str, Factor]:
    """Each factor with its interval, from fits that each leave out one block of completions."""
    count = len(problem.chosen)
    block = np.tile(np.arange(count) * BLOCKS // count, 2)
    free = (x, measured, np.full(3, np.inf), -np.inf)
    whole = x + _step(errors, lines, *free)
    kept = [block != b for b in range(BLOCKS)]
    others = np.array([x + _step(errors[k], lines[k], *free) for k in kept])
    spread = np.sqrt((BLOCKS - 1) / BLOCKS * ((others - others.mean(axis=0)) ** 2).sum(axis=0))
    # Uncertainty from the form of the iteration time: errors of FORM, equal within a block.
    doubt = _doubt(len(errors), measured)
    open_ = np.linalg.inv(lines.T @ lines + doubt @ doubt) * FORM**2 * len(errors) / BLOCKS
    spread = np.sqrt(spread**2 + np.diag(open_))
    reach = float(t.ppf(0.5 + LEVEL / 2.0, BLOCKS - 1)) * spread
    ends = [problem.factors(point) for point in (x, whole - reach, whole + reach)]
    return {
        name: Factor(value, min(low, value), max(high, value))
        for name, value, low, high in zip(FACTORS, *ends, strict=True)
    }


def accuracy(log: RequestLog, out: Served, chosen: Ints) -> dict[str, Any]:
    """Error of a run against the record, for the chosen requests [%]."""
    n, arrival = len(chosen), log.arrival_s[chosen]
    decodes = np.maximum(log.output_tokens[chosen] - 1, 1)
    many = log.output_tokens[chosen] > 1
    real, ours = (
        {
            "ttft": first[chosen] - arrival,
            "tpot": ((last - first)[chosen] / decodes)[many],
            "e2e": last[chosen] - arrival,
        }
        for first, last in (
            (log.first_token_s, log.finish_s),
            (out.first_token_s, out.finish_s),
        )
    )

    def error_pct(expected: float, got: float) -> float | None:
        return 100.0 * (got / expected - 1.0) if expected > 0.0 else None

    found: dict[str, Any] = {"n": n}
    found["e2e_mape_pct"] = 100.0 * float(np.mean(np.abs(ours["e2e"] / real["e2e"] - 1.0)))
    for name in ("ttft", "tpot"):
        means = [
            float(values[name].mean()) if len(values[name]) else 0.0 for values in (real, ours)
        ]
        found[f"{name}_mean_error_pct"] = error_pct(*means)
    for q in (50, 90, 99):
        points = [float(np.percentile(values["e2e"], q)) for values in (real, ours)]
        found[f"e2e_p{q}_error_pct"] = error_pct(*points)
    return found

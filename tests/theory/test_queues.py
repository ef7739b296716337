"""The serving engine as the queues of textbooks: waiting times within confidence intervals.

An iteration lasts STEP_S whatever is in it, and a request of D output tokens takes D of them: its
service time is D STEP_S. Time is measured in mean service times of TOKENS iterations, so an
iteration is 1/1000 of it. What the discreteness does:

- A geometric D in place of an exponential service has 1/(2 TOKENS) = 0.05 % less second moment.
- With one seat nothing else: an idle engine starts at once, and a seat is freed at the end of an
  iteration, where the next request takes it.
- With more seats an arrival beside running requests waits for the end of their iteration: at most
  0.001 mean service times.

Both are far below the intervals, which are asserted to be narrow too: at most PRECISE of the value.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sim.serving import Engine, IterationTime, serve
from sim.types import Floats, Ints

TOKENS = 1000  # mean output
STEP_S = 1.0 / TOKENS
REPLICATIONS = 20
REQUESTS = 200_000  # of a replication
WARM_UP = 10_000  # the first requests find an engine emptier than in the long run
CONFIDENCE = 0.999  # of each of the two dozen intervals
PRECISE = 0.04

Draw = Callable[[np.random.Generator], Ints]


def geometric(draw: np.random.Generator) -> Ints:
    return draw.geometric(1.0 / TOKENS, REQUESTS)


def fixed(_: np.random.Generator) -> Ints:
    return np.full(REQUESTS, TOKENS)


def simulate(rate: float, output: Draw, engine: Engine, seed: int) -> tuple[Floats, Floats, Ints]:
    """Waits for a seat and responses of a replication [mean services], and the outputs."""
    draw = np.random.default_rng([seed, round(1e6 * rate)])
    arrival_s = np.cumsum(draw.exponential(1.0 / rate, REQUESTS))
    tokens = output(draw)
    served = serve(arrival_s, np.ones(REQUESTS, dtype=np.int64), tokens, engine)
    assert not served.rejected.any()
    assert not served.preemptions.any()
    wait_s = served.first_token_s - arrival_s - STEP_S
    response_s = served.finish_s - arrival_s
    return wait_s[WARM_UP:], response_s[WARM_UP:], tokens[WARM_UP:]


def agrees(replications: list[float], expected: float) -> None:
    """Whether theory lies in Student's interval of independent replications, a narrow one."""
    mean, error = float(np.mean(replications)), float(stats.sem(replications))
    half = error * float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(replications) - 1))
    assert half <= PRECISE * expected
    assert mean == pytest.approx(expected, abs=half)


def seats(count: int) -> Engine:
    return Engine(IterationTime(base_s=STEP_S, token_s=0.0), max_seqs=count, kv_blocks=1_000_000)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_m_m_1(load: float) -> None:
    """Mean wait rho / (1 - rho); responses are exponential with rate 1 - rho."""
    runs = [simulate(load, geometric, seats(1), seed)[:2] for seed in range(REPLICATIONS)]
    agrees([wait.mean() for wait, _ in runs], load / (1.0 - load))
    agrees([(wait > 1e-9).mean() for wait, _ in runs], load)
    for share in (0.5, 0.9):
        late = -math.log(1.0 - share) / (1.0 - load)
        agrees([(response > late).mean() for _, response in runs], 1.0 - share)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_m_d_1(load: float) -> None:
    """Half the wait of M/M/1, by Pollaczek and Khinchine."""
    runs = [simulate(load, fixed, seats(1), seed)[:2] for seed in range(REPLICATIONS)]
    agrees([wait.mean() for wait, _ in runs], 0.5 * load / (1.0 - load))
    agrees([response.mean() for _, response in runs], 1.0 + 0.5 * load / (1.0 - load))


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival waits in M/M/c: Erlang's recursion for B, then C."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


@pytest.mark.parametrize(("servers", "load"), [(2, 0.7), (8, 0.8)])
def test_m_m_c(servers: int, load: float) -> None:
    """Erlang's C is who waits longer than an iteration; their mean wait is 1 / (c - a)."""
    offered = servers * load
    engine = seats(servers)
    runs = [simulate(offered, geometric, engine, seed)[:2] for seed in range(REPLICATIONS)]
    waiting = erlang_c(servers, offered)
    agrees([(wait > STEP_S).mean() for wait, _ in runs], waiting)
    agrees([wait.mean() for wait, _ in runs], waiting / (servers - offered))
    agrees([r.mean() for _, r in runs], 1.0 + waiting / (servers - offered))


@pytest.mark.parametrize("output", [geometric, fixed])
def test_processor_sharing(output: Draw) -> None:
    """An iteration as long as its batch is wide shares the engine: M/G/1-PS.

    The mean response is 1 / (1 - rho) whatever the service distribution, and the response of a
    request in proportion to its size.
    """
    load = 0.6
    engine = Engine(IterationTime(base_s=0.0, token_s=STEP_S), kv_blocks=1_000_000)
    runs = [simulate(load, output, engine, seed)[1:] for seed in range(REPLICATIONS)]
    agrees([response.mean() for response, _ in runs], 1.0 / (1.0 - load))
    large = [response[d >= TOKENS] / (d[d >= TOKENS] * STEP_S) for response, d in runs]
    agrees([slowdown.mean() for slowdown in large], 1.0 / (1.0 - load))

"""Figures of serving. As in `kpis`: one function each, its docstring defines it."""

import math

from sim.kernels import flows
from sim.kernels.traffic import (
    ARRIVED,
    EXPIRED,
    LANE_CACHED_TOKENS,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_PREEMPTIONS,
    LANE_RETURNED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    REJECTED,
    SERVED,
)
from sim.results.kpi import SERVING, Totals, kpi, ratio
from sim.results.serving import serving_cost_usd


def _lanes(t: Totals, row: int) -> float:
    serving = t.recorder.serving
    return math.nan if serving is None else float(serving.lanes[row].sum())


def _tenants(t: Totals, row: int) -> float:
    serving = t.recorder.serving
    return math.nan if serving is None else float(serving.totals[row].sum())


def _percentile_s(t: Totals, metric: str, q: float) -> float:
    serving = t.recorder.serving
    return math.nan if serving is None else serving.percentile_s(metric, q)


@kpi("USD", SERVING)
def token_revenue_usd(t: Totals) -> float:
    """Input and output tokens of served requests times their prices."""
    return math.nan if t.recorder.serving is None else float(t.flow[flows.TOKEN_USD])


@kpi("count", SERVING)
def requests_arrived(t: Totals) -> float:
    """Requests that clients sent; each once, however often it was tried."""
    return _tenants(t, ARRIVED)


@kpi("count", SERVING)
def requests_served(t: Totals) -> float:
    """Requests that got all their tokens."""
    return _tenants(t, SERVED)


@kpi("count", SERVING)
def requests_rejected(t: Totals) -> float:
    """Requests that were refused for good."""
    return _tenants(t, REJECTED)


@kpi("count", SERVING)
def requests_expired(t: Totals) -> float:
    """Requests whose clients gave up for good."""
    return _tenants(t, EXPIRED)


@kpi("count", SERVING)
def requests_returned(t: Totals) -> float:
    """Times that a switched-off or failed engine gave a request back to the router."""
    return _lanes(t, LANE_RETURNED)


@kpi("-", SERVING)
def preemptions_per_request(t: Totals) -> float:
    """Times a served request was thrown out for lack of KV blocks."""
    return ratio(_lanes(t, LANE_PREEMPTIONS), _tenants(t, SERVED))


@kpi("%", SERVING)
def prefix_hit_pct(t: Totals) -> float:
    """Share of the tokens of served prompts that a block cache held at their admission."""
    return 100.0 * ratio(_lanes(t, LANE_CACHED_TOKENS), _lanes(t, LANE_TOKENS_IN))


@kpi("%", SERVING)
def slo_attainment_pct(t: Totals) -> float:
    """Requests served within their TTFT and TPOT / requests that ended in any way."""
    ended = _tenants(t, SERVED) + _tenants(t, REJECTED) + _tenants(t, EXPIRED)
    return 100.0 * ratio(_lanes(t, LANE_GOOD), ended)


@kpi("1/s", SERVING)
def goodput_rps(t: Totals) -> float:
    """Requests served within their SLO."""
    return _lanes(t, LANE_GOOD) / t.seconds


@kpi("tokens/s", SERVING)
def good_tokens_per_s(t: Totals) -> float:
    """Output tokens of requests served within their SLO."""
    return _lanes(t, LANE_GOOD_TOKENS) / t.seconds


@kpi("Mtoken", SERVING)
def tokens_in_mtok(t: Totals) -> float:
    """Prompt tokens of served requests."""
    return _lanes(t, LANE_TOKENS_IN) / 1e6


@kpi("Mtoken", SERVING)
def tokens_out_mtok(t: Totals) -> float:
    """Output tokens of served requests."""
    return _lanes(t, LANE_TOKENS_OUT) / 1e6


@kpi("s", SERVING)
def ttft_p50_s(t: Totals) -> float:
    """Time to first token at the client, WAN both ways included, median."""
    return _percentile_s(t, "ttft_s", 50.0)


@kpi("s", SERVING)
def ttft_p95_s(t: Totals) -> float:
    """Time to first token at the client, 95th percentile."""
    return _percentile_s(t, "ttft_s", 95.0)


@kpi("s", SERVING)
def ttft_p99_s(t: Totals) -> float:
    """Time to first token at the client, 99th percentile."""
    return _percentile_s(t, "ttft_s", 99.0)


@kpi("s", SERVING)
def tpot_p50_s(t: Totals) -> float:
    """Time per output token after the first of a request, median over requests."""
    return _percentile_s(t, "tpot_s", 50.0)


@kpi("s", SERVING)
def tpot_p95_s(t: Totals) -> float:
    """Time per output token after the first of a request, 95th percentile."""
    return _percentile_s(t, "tpot_s", 95.0)


@kpi("s", SERVING)
def tpot_p99_s(t: Totals) -> float:
    """Time per output token after the first of a request, 99th percentile."""
    return _percentile_s(t, "tpot_s", 99.0)


@kpi("s", SERVING)
def e2e_p50_s(t: Totals) -> float:
    """From sending to the last token at the client, median."""
    return _percentile_s(t, "e2e_s", 50.0)


@kpi("s", SERVING)
def e2e_p95_s(t: Totals) -> float:
    """From sending to the last token at the client, 95th percentile."""
    return _percentile_s(t, "e2e_s", 95.0)


@kpi("s", SERVING)
def e2e_p99_s(t: Totals) -> float:
    """From sending to the last token at the client, 99th percentile."""
    return _percentile_s(t, "e2e_s", 99.0)


@kpi("J/token", SERVING)
def joules_per_token(t: Totals) -> float:
    """Energy of the serving nodes / output tokens."""
    return ratio(float(t.flow[flows.TOKEN_J]), _lanes(t, LANE_TOKENS_OUT))


@kpi("USD/Mtoken", SERVING)
def energy_cost_usd_per_mtok(t: Totals) -> float:
    """Energy bills, shared out to serving nodes by energy, / output tokens."""
    usd = float(serving_cost_usd(t.recorder.flow).sum())
    return ratio(usd, _lanes(t, LANE_TOKENS_OUT) / 1e6)

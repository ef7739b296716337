"""Clients are answered: what they waited, whether that kept the SLO, and the log."""

from sim.kernels.bins import bin_of
from sim.kernels.jit import part, pure_kernel
from sim.kernels.requests import FINISH, FIRST_TOKEN, HITS, OUTPUT, PREEMPTIONS, PROMPT
from sim.kernels.traffic import (
    AWAY,
    E2E,
    EMPTY,
    LANE_CACHED_TOKENS,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_PREEMPTIONS,
    LANE_SERVED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    LOGGED,
    NOBODY,
    NUMBER,
    PHASE,
    POOL,
    SENT,
    SERVED,
    SLO_TPOT_S,
    SLO_TTFT_S,
    TENANT,
    TPOT,
    TTFT,
    Service,
)


@pure_kernel
def collect(service: Service, t_s: float) -> None:
    """Answer the clients whose requests have finished by `t_s` [s]; others finish after it."""
    kept = 0
    done = service.engine_state.done
    dones = service.engine_state.dones
    for k in range(dones[0]):
        slot = done[k]
        if service.requests.times[slot, FINISH] > t_s:
            done[kept] = slot
            kept += 1
            continue
        _answer(service, slot)
        if service.tally.log_counts.shape[0] > 0:
            _log(service, slot)
        service.clients.counts[slot, PHASE] = NOBODY
        marks = service.state.marks
        service.state.idle[marks[EMPTY]] = slot
        marks[EMPTY] += 1
    dones[0] = kept


@part
def _answer(service: Service, slot: int) -> None:
    """Count a request that was served."""
    request = service.requests.counts
    when = service.requests.times
    tally = service.tally
    lanes = tally.lanes
    tenant = service.clients.counts[slot, TENANT]
    lane = service.router.lane[tenant, service.clients.counts[slot, POOL]]
    output = request[slot, OUTPUT]
    away_s = service.clients.times[slot, AWAY]
    sent_s = service.clients.times[slot, SENT]
    ttft_s = when[slot, FIRST_TOKEN] + away_s - sent_s
    e2e_s = when[slot, FINISH] + away_s - sent_s
    tpot_s = 0.0
    tally.bins[lane, TTFT, bin_of(ttft_s)] += 1
    tally.bins[lane, E2E, bin_of(e2e_s)] += 1
    if output > 1:
        tpot_s = (when[slot, FINISH] - when[slot, FIRST_TOKEN]) / (output - 1)
        tally.bins[lane, TPOT, bin_of(tpot_s)] += 1
    lanes[LANE_SERVED, lane] += 1
    lanes[LANE_TOKENS_IN, lane] += request[slot, PROMPT]
    lanes[LANE_TOKENS_OUT, lane] += output
    lanes[LANE_PREEMPTIONS, lane] += request[slot, PREEMPTIONS]
    if service.requests.chains.shape[0] > 0:
        lanes[LANE_CACHED_TOKENS, lane] += service.requests.chains[slot, HITS]
    terms = service.router.terms
    if ttft_s <= terms[tenant, SLO_TTFT_S] and tpot_s <= terms[tenant, SLO_TPOT_S]:
        lanes[LANE_GOOD, lane] += 1
        lanes[LANE_GOOD_TOKENS, lane] += output
    tally.tenants[SERVED, tenant] += 1


@part
def _log(service: Service, slot: int) -> None:
    """Keep a request that was served."""
    request = service.requests.counts
    when = service.requests.times
    client = service.clients.counts
    away_s = service.clients.times[slot, AWAY]
    log_counts = service.tally.log_counts
    log_times = service.tally.log_times
    row = service.state.marks[LOGGED]
    service.state.marks[LOGGED] += 1
    log_counts[row, 0] = client[slot, NUMBER]
    log_counts[row, 1] = client[slot, TENANT]
    log_counts[row, 2] = client[slot, POOL]
    log_counts[row, 3] = request[slot, PROMPT]
    log_counts[row, 4] = request[slot, OUTPUT]
    log_counts[row, 5] = request[slot, PREEMPTIONS]
    log_times[row, 0] = service.clients.times[slot, SENT]
    log_times[row, 1] = when[slot, FIRST_TOKEN] + away_s
    log_times[row, 2] = when[slot, FINISH] + away_s
    log_times[row, 3] = away_s

"""Serving results: rows by tenant, site and interval, latency histograms, single requests."""

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.kernels import flows
from sim.kernels.bins import BINS
from sim.kernels.traffic import (
    ARRIVED,
    E2E,
    EXPIRED,
    LANE_CACHED_TOKENS,
    LANE_EXPIRED,
    LANE_GOOD,
    LANE_GOOD_TOKENS,
    LANE_LOST_TOKENS,
    LANE_PREEMPTIONS,
    LANE_REJECTED,
    LANE_RETURNED,
    LANE_ROWS,
    LANE_SENT,
    LANE_SERVED,
    LANE_TOKENS_IN,
    LANE_TOKENS_OUT,
    REJECTED,
    RETRIED,
    TENANT_ROWS,
    TPOT,
    TTFT,
)
from sim.serving_fleet import ServingFleet
from sim.serving_fleet.histograms import BIN_MIDDLE_S, percentile_s
from sim.types import Bools, Floats, Ints

METRICS: Final = {"ttft_s": TTFT, "tpot_s": TPOT, "e2e_s": E2E}
LANE_COLUMNS: Final = {
    "requests_sent": LANE_SENT,
    "requests_served": LANE_SERVED,
    "requests_refused": LANE_REJECTED,
    "requests_given_up": LANE_EXPIRED,
    "requests_returned": LANE_RETURNED,
    "requests_good": LANE_GOOD,
    "tokens_in": LANE_TOKENS_IN,
    "tokens_out": LANE_TOKENS_OUT,
    "tokens_good": LANE_GOOD_TOKENS,
    "tokens_lost": LANE_LOST_TOKENS,
    "preemptions": LANE_PREEMPTIONS,
    "tokens_cached": LANE_CACHED_TOKENS,
}
TENANT_COLUMNS: Final = {
    "requests_arrived": ARRIVED,
    "requests_rejected": REJECTED,
    "requests_expired": EXPIRED,
    "requests_retried": RETRIED,
}
STATES: Final = ("requests_waiting", "requests_running", "requests_held")


class _Interval(NamedTuple):
    start_s: int
    lanes: Ints  # (LANE_ROWS, lane) of the interval
    tenants: Ints  # (TENANT_ROWS, tenant)
    states: tuple[Ints, Ints, Ints]  # waiting, running (lane,), held (tenant,) at its end
    bins: tuple[Ints, Ints, Ints, Ints]  # lane, metric, bin, requests


class ServingRecord:
    """Filled by the engine at the end of each recording interval."""

    def __init__(self, serving_fleet: ServingFleet) -> None:
        self.serving_fleet = serving_fleet
        scenario = serving_fleet.scenario
        self.tenants = [t.name for t in scenario.tenants]
        self.sites = serving_fleet.site_names
        self.lanes = np.zeros((LANE_ROWS, len(serving_fleet.lanes)), dtype=np.int64)
        self.totals = np.zeros((TENANT_ROWS, len(self.tenants)), dtype=np.int64)
        self.bins = np.zeros((len(serving_fleet.lanes), len(METRICS), BINS), dtype=np.int64)
        self.intervals: list[_Interval] = []

    def interval(self, start_s: int) -> None:
        """Record activity since the last call and reset the histograms."""
        fresh = self.serving_fleet.flush()
        tally, now = self.serving_fleet.tally, self.serving_fleet.present()
        filled = np.nonzero(tally.bins) if fresh else (np.zeros(0, dtype=np.int64),) * 3
        lane, metric, place = (x.astype(np.int64) for x in filled)
        self.intervals.append(
            _Interval(
                start_s,
                tally.lanes - self.lanes,
                tally.tenants - self.totals,
                (now.waiting, now.running, now.held),
                (lane, metric, place, tally.bins[lane, metric, place]),
            )
        )
        if fresh:
            self.bins += tally.bins
            self.serving_fleet.begin_histograms()
        self.lanes, self.totals = tally.lanes.copy(), tally.tenants.copy()

    def percentile_s(self, metric: str, q: float, lanes: Bools | None = None) -> float:
        """Percentile `q` of a latency over the run [s], within 1 %; NaN if none was served."""
        chosen = self.bins if lanes is None else self.bins[lanes]
        return percentile_s(chosen[:, METRICS[metric]].sum(axis=0), q)

    def site_columns(self) -> dict[str, Ints]:
        """Columns of the sites table, (interval x site,): sums over each site's lanes."""
        x, sites = self.serving_fleet, len(self.sites)
        found = {}
        for name, row in LANE_COLUMNS.items():
            by_site = np.zeros((len(self.intervals), sites), dtype=np.int64)
            for k, i in enumerate(self.intervals):
                np.add.at(by_site[k], x.lane_site, i.lanes[row])
            found[name] = by_site.ravel()
        return found

    def tables(self, flow: Floats) -> dict[str, pa.Table]:
        """`serving`, `tenants` and `requests`; `flow` (interval, SITE_FLOWS, site)."""
        return {
            "serving": self.summary(flow),
            "tenants": self._tenants_table(),
            "requests": self._requests_table(),
        }

    def summary(self, flow: Floats) -> pa.Table:
        """A row for the fleet, each tenant and each serving site: service, energy and cost.

        Energy and its cost are allocated to the tenants of a site by output tokens.
        """
        x = self.serving_fleet
        tokens = self.lanes[LANE_TOKENS_OUT].astype(np.float64)
        of_site = np.bincount(x.lane_site, tokens, len(self.sites)).clip(min=1.0)
        share = tokens / of_site[x.lane_site]
        lane_j = flow[:, flows.TOKEN_J].sum(axis=0)[x.lane_site] * share
        lane_cost = serving_cost_usd(flow)[x.lane_site] * share
        lane_usd = self.lane_usd
        every = np.ones(len(x.lanes), dtype=np.bool_)
        scopes = [("fleet", "", every)]
        scopes += [("tenant", t, x.lane_tenant == i) for i, t in enumerate(self.tenants)]
        scopes += [
            ("site", self.sites[s], x.lane_site == s) for s in dict.fromkeys(s for s, _ in x.pools)
        ]
        rows = []
        for scope, name, lanes in scopes:
            got = self.lanes[:, lanes].sum(axis=1)
            lost = self.lanes[[LANE_REJECTED, LANE_EXPIRED]][:, lanes].sum()
            if scope == "tenant":  # retried requests are not lost
                lost = self.totals[[REJECTED, EXPIRED], self.tenants.index(name)].sum()
            elif scope == "fleet":
                lost = self.totals[[REJECTED, EXPIRED]].sum()
            ended = int(got[LANE_SERVED] + lost)
            row: dict[str, Any] = {"scope": scope, "name": name}
            row |= {column: int(got[k]) for column, k in LANE_COLUMNS.items()}
            out = int(got[LANE_TOKENS_OUT])
            row["token_revenue_usd"] = float(lane_usd[lanes].sum())
            row["joules_per_token"] = float(lane_j[lanes].sum()) / out if out else None
            cost = float(lane_cost[lanes].sum()) * 1e6
            row["energy_cost_usd_per_mtok"] = cost / out if out else None
            row["slo_attainment_pct"] = 100.0 * int(got[LANE_GOOD]) / ended if ended else None
            for metric in METRICS:
                for q in (50, 95, 99):
                    value = self.percentile_s(metric, q, lanes)
                    key = f"{metric.removesuffix('_s')}_p{q}_s"
                    row[key] = None if np.isnan(value) else value
            rows.append(row)
        return pa.Table.from_pylist(rows)

    @property
    def lane_usd(self) -> Floats:
        """Value of the lanes' tokens (lane,) at the prices at the start [USD]."""
        tokens = self.lanes[[LANE_TOKENS_IN, LANE_TOKENS_OUT]]
        return np.asarray((tokens.T * self.serving_fleet.lane_usd).sum(axis=1))

    def _tenants_table(self) -> pa.Table:
        """A row per interval, tenant and site; site "" stands for the router and clients."""
        x = self.serving_fleet
        lanes, tenants, n = len(x.lanes), len(self.tenants), len(self.intervals)
        start_s = np.array([i.start_s for i in self.intervals], dtype=np.int64)
        columns: dict[str, Any] = {
            "t_s": np.repeat(start_s, lanes + tenants),
            "tenant": _names(
                np.tile(np.concatenate([x.lane_tenant, np.arange(tenants)]), n), self.tenants
            ),
            "site": _names(
                np.tile(np.concatenate([x.lane_site, np.full(tenants, len(self.sites))]), n),
                [*self.sites, ""],
            ),
        }
        blank = np.zeros(0, dtype=np.int64)
        for name in dict.fromkeys([*TENANT_COLUMNS, *LANE_COLUMNS]):
            parts = []
            for i in self.intervals:
                of_lane = i.lanes[LANE_COLUMNS[name]] if name in LANE_COLUMNS else np.zeros(lanes)
                row = TENANT_COLUMNS.get(name)
                of_tenant = np.zeros(tenants) if row is None else i.tenants[row]
                parts += [of_lane, of_tenant]
            columns[name] = np.concatenate([blank, *parts]).astype(np.int64)
        for k, name in enumerate(STATES):
            parts = []
            for i in self.intervals:
                parts += [i.states[k] if k < 2 else np.zeros(lanes)]
                parts += [i.states[k] if k == 2 else np.zeros(tenants)]
            columns[name] = np.concatenate([blank, *parts]).astype(np.int64)
        return pa.table(columns)

    def _requests_table(self) -> pa.Table:
        """A row per request if kept, else histograms with percentiles within 1 %."""
        x = self.serving_fleet
        if x.keep_all:
            counts = np.concatenate([c for c, _ in x.log] or [np.zeros((0, 6), np.int64)])
            times = np.concatenate([t for _, t in x.log] or [np.zeros((0, 4))])
            order = np.argsort(counts[:, 0], kind="stable")
            counts, times = counts[order], times[order]
            site = np.array([s for s, _ in x.pools], dtype=np.int64)[counts[:, 2]]
            return pa.table(
                {
                    "request": counts[:, 0],
                    "tenant": _names(counts[:, 1], self.tenants),
                    "site": _names(site, self.sites),
                    "sent_s": times[:, 0],
                    "first_token_s": times[:, 1],
                    "finish_s": times[:, 2],
                    "latency_s": times[:, 3],
                    "prompt_tokens": counts[:, 3],
                    "output_tokens": counts[:, 4],
                    "preemptions": counts[:, 5],
                }
            )
        rows = [np.concatenate(c) for c in zip(*(i.bins for i in self.intervals), strict=True)]
        lane, metric, place, number = rows or [np.zeros(0, np.int64)] * 4
        start_s = np.repeat(
            np.array([i.start_s for i in self.intervals], dtype=np.int64),
            [len(i.bins[0]) for i in self.intervals],
        )
        return pa.table(
            {
                "t_s": start_s,
                "tenant": _names(x.lane_tenant[lane], self.tenants),
                "site": _names(x.lane_site[lane], self.sites),
                "metric": _names(metric, list(METRICS)),
                "latency_s": BIN_MIDDLE_S[place],
                "requests": number,
            }
        )


def serving_cost_usd(flow: Floats) -> Floats:
    """Energy cost of serving nodes (site,) [USD], allocated by energy per interval."""
    machines_j = flow[:, flows.SITE_ASIC_J] + flow[:, flows.SITE_GPU_J]
    share = flow[:, flows.TOKEN_J] / machines_j.clip(min=1e-9)
    return np.asarray((flow[:, flows.ENERGY_USD] * share).sum(axis=0))


def _names(index: Ints, names: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(index.astype(np.int32), pa.array(names, pa.string()))

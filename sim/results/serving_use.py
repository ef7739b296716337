"""Work and earnings of serving nodes by model, site, pool and tenant: table `serving_use`.

A pool is the nodes of one model at one site. GPU hours, energy, costs and capital of a pool are
allocated to its tenants by output tokens; a pool without tokens is allocated to no tenant. So rows
of a scope sum to the fleet's, except such pools among tenants. Margin is as in the table `worth`:
revenue less energy and other operating cost (credits and opex), then less the capital charge, both
before tax.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from sim.kernels.traffic import LANE_TOKENS_IN, LANE_TOKENS_OUT
from sim.results import uses
from sim.results.recorder import Recorder
from sim.results.worth import ENERGY, OTHER, REVENUE, Worth
from sim.serving_fleet.work import BUSY_S, POWERED_S, REQUEST_S, SEAT_S
from sim.types import Bools, Floats
from sim.units import J_PER_MWH, SECONDS_PER_HOUR

TOKENS_PER_MTOK: Final = 1e6
SUMS: Final = (
    "tokens_in_mtok", "tokens_out_mtok", "powered_gpu_h", "busy_gpu_h", "seat_h", "request_h",
    "gpu_h", "machine_mwh", "energy_mwh", "revenue_usd", "energy_usd", "other_usd", "margin_usd",
    "capital_usd", "margin_after_capital_usd",
)  # fmt: skip
# Column: numerator, denominator, factor.
RATIOS: Final = {
    "gpu_utilisation_pct": ("busy_gpu_h", "powered_gpu_h", 100.0),
    "requests_per_seat": ("request_h", "seat_h", 1.0),
    "joules_per_token": ("machine_mwh", "tokens_out_mtok", J_PER_MWH / TOKENS_PER_MTOK),
    "token_revenue_usd_per_gpu_h": ("revenue_usd", "gpu_h", 1.0),
    "token_revenue_usd_per_mwh": ("revenue_usd", "energy_mwh", 1.0),
    "margin_after_capital_usd_per_gpu_h": ("margin_after_capital_usd", "gpu_h", 1.0),
}


class _Parts(NamedTuple):
    """One part per tenant and pool, then pools without tokens."""

    tenant: list[str]
    site: list[str]
    model: list[str]
    sums: Floats  # (SUMS, part)


def table(recorder: Recorder, worth: Worth) -> pa.Table:
    """`serving_use.parquet`: rows of scope fleet, model, site, pool and tenant."""
    parts = _parts(recorder, worth)
    rows = [_row("fleet", "", "", "", parts, np.ones(len(parts.site), dtype=np.bool_))]
    pools = list(dict.fromkeys(zip(parts.site, parts.model, strict=True)))
    scopes: dict[str, list[tuple[str, str, str]]] = {
        "model": [("", m, "") for m in dict.fromkeys(parts.model)],
        "site": [(s, "", "") for s in dict.fromkeys(parts.site)],
        "pool": [(s, m, "") for s, m in pools],
        "tenant": [("", "", t) for t in dict.fromkeys(parts.tenant) if t],
    }
    for scope, names in scopes.items():
        for site, model, tenant in names:
            mine = np.array(
                [
                    site in ("", s) and model in ("", m) and tenant in ("", t)
                    for t, s, m in zip(parts.tenant, parts.site, parts.model, strict=True)
                ]
            )
            rows.append(_row(scope, site, model, tenant, parts, mine))
    texts = [(x, pa.string()) for x in ("scope", "site", "model", "tenant")]
    numbers = [(x, pa.float64()) for x in (*SUMS, *RATIOS)]
    return pa.Table.from_pylist(rows, pa.schema([*texts, *numbers]))


def _row(
    scope: str, site: str, model: str, tenant: str, parts: _Parts, mine: Bools
) -> dict[str, Any]:
    sums = dict(zip(SUMS, parts.sums[:, mine].sum(axis=1).tolist(), strict=True))
    ratios = {
        name: factor * sums[above] / sums[below] if sums[below] > 0.0 else None
        for name, (above, below, factor) in RATIOS.items()
    }
    named = {"scope": scope, "site": site, "model": model, "tenant": tenant}
    return {**named, **sums, **ratios}


def _parts(recorder: Recorder, worth: Worth) -> _Parts:
    record, serving = recorder.uses, recorder.serving
    assert serving is not None
    total = record.flow.sum(axis=0)
    of_use = _of_uses(total, worth)
    lanes = serving.serving_fleet.lanes
    lane_tokens = serving.lanes[[LANE_TOKENS_IN, LANE_TOKENS_OUT]] / TOKENS_PER_MTOK
    out = lane_tokens[1]
    of_pool = np.bincount(record.of_lane, out, len(record.uses))
    lane_usd = serving.lane_usd
    usd_of_pool = np.bincount(record.of_lane, lane_usd, len(record.uses))
    tenant, site, model, columns = [], [], [], []
    for k, lane in enumerate(lanes):
        use = int(record.of_lane[k])
        if of_pool[use] <= 0.0:
            continue
        sums = of_use[:, use] * (out[k] / of_pool[use])
        paid = of_use[SUMS.index("revenue_usd"), use]
        mine = paid * lane_usd[k] / usd_of_pool[use] if usd_of_pool[use] > 0.0 else 0.0
        more = mine - sums[SUMS.index("revenue_usd")]
        for name in ("revenue_usd", "margin_usd", "margin_after_capital_usd"):
            sums[SUMS.index(name)] += more
        sums[:2] = lane_tokens[:, k]
        tenant.append(serving.tenants[lane.tenant])
        site.append(recorder.sites[lane.site])
        model.append(lane.model)
        columns.append(sums)
    for i, use_ in enumerate(record.uses):
        if use_.kind == uses.TOKENS and of_pool[i] <= 0.0 and total[:, i].any():
            tenant.append("")
            site.append(recorder.sites[use_.site])
            model.append(use_.name)
            columns.append(of_use[:, i])
    return _Parts(tenant, site, model, np.array(columns).reshape(-1, len(SUMS)).T)


def _of_uses(total: Floats, worth: Worth) -> Floats:
    """SUMS of each use (SUMS, use), with tokens zero."""
    count = total.shape[1]
    hours = 1.0 / SECONDS_PER_HOUR
    machine_mwh = total[uses.MACHINE_J] / J_PER_MWH
    revenue, energy, other = (worth.usd[row, :count] for row in (REVENUE, ENERGY, OTHER))
    margin, capital = revenue - energy - other, worth.capital_usd[:count]
    found = {
        "powered_gpu_h": total[uses.WORK + POWERED_S] * hours,
        "busy_gpu_h": total[uses.WORK + BUSY_S] * hours,
        "seat_h": total[uses.WORK + SEAT_S] * hours,
        "request_h": total[uses.WORK + REQUEST_S] * hours,
        "gpu_h": total[uses.GPU_S] * hours,
        "machine_mwh": machine_mwh,
        "energy_mwh": machine_mwh + total[uses.COOLING_J] / J_PER_MWH,
        "revenue_usd": revenue,
        "energy_usd": energy,
        "other_usd": other,
        "margin_usd": margin,
        "capital_usd": capital,
        "margin_after_capital_usd": margin - capital,
    }
    return np.array([found.get(name, np.zeros(count)) for name in SUMS])

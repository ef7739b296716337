"""Uses of power: what each came to in an interval adds up to what its site came to."""

import pytest

from tests.builders.stored_runs import RUNS, Stored

pytestmark = pytest.mark.xdist_group("kpi_twin")  # the runs are made once

UNIT_OF: dict[str, tuple[str, str]] = {  # column of sites: of uses, both as sums
    "(asic_mw + gpu_mw) * hours": ("machine_mwh", "true"),
    "gpu_mw * hours": ("machine_mwh", "kind <> 'mining'"),
    "serving_mw * hours": ("machine_mwh", "kind = 'tokens'"),
    "cooling_mw * hours": ("cooling_mwh", "true"),
    "hashrate_phs * hours / 24": ("ph_days", "true"),
    "gpu_nodes_on * hours": ("on_h", "true"),
    "gpu_nodes * hours": ("machine_h", "kind <> 'mining'"),
    "gpu_usd": ("revenue_usd", "kind = 'GPU hours'"),
    "token_usd": ("revenue_usd", "kind = 'tokens'"),
    "credit_usd": ("credit_usd", "true"),
}


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("of_site", UNIT_OF)
def test_uses_add_up_to_their_site(stored: dict[str, Stored], kind: str, of_site: str) -> None:
    of_use, which = UNIT_OF[of_site]
    worst = stored[kind].value(
        f"""(
        WITH whole AS (SELECT t_s, site, {of_site} AS value
                       FROM sites, (SELECT record_s / 3600 AS hours FROM run)),
        parts AS (SELECT t_s, site, sum({of_use}) AS value FROM uses WHERE {which} GROUP BY ALL)
        SELECT max(abs(whole.value - coalesce(parts.value, 0)) / greatest(abs(whole.value), 1))
        FROM whole LEFT JOIN parts USING (t_s, site))"""
    )
    assert worst is not None
    assert worst < 1e-9


def test_modes_are_told_apart(stored: dict[str, Stored]) -> None:
    """A reckless policy mixes the modes of a group: each hashes at its own efficiency."""
    rows = (
        stored["energy"]
        .sql.sql(
            "SELECT use, sum(machine_mwh) * 3600 / (sum(ph_days) * 86.4) AS j_per_th FROM uses "
            "WHERE kind = 'mining' AND ph_days > 0 GROUP BY use"
        )
        .fetchall()
    )
    assert len(rows) >= 2
    assert len({round(j_per_th, 1) for _, j_per_th in rows}) == len(rows)

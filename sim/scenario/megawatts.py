"""Machines by power: `mw` of a row instead of a count, and connections derived from machines.

A planner may write 2 MW of H100 nodes. MW are at the meter: nameplate times the site's PUE.
Derived values are noted in the row's `source`.
"""

import math
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from sim.scenario import catalogue
from sim.scenario.catalogue.specs import Own
from sim.scenario.cells import Row
from sim.scenario.problems import Problem, row_of, shown, unknown
from sim.scenario.rows import GpuGroup, Site
from sim.units import W_PER_MW

Rows = dict[str, list[Row]]


class _Counted(NamedTuple):
    """A sheet of machines: columns of number and kind, the kinds, and power per machine [W]."""

    column: str
    key: str
    names: Callable[[Own], Collection[str]]
    each_w: Callable[[dict[str, str], Own], float]


def _asic_w(cells: dict[str, str], own: Own) -> float:
    return catalogue.asics(own.asics)[cells["model"]].nominal.power_w


def _node_w(cells: dict[str, str], own: Own) -> float:
    default = GpuGroup.model_fields["gpus_per_node"].default
    gpus_per_node = int(cells.get("gpus_per_node", default))
    return gpus_per_node * catalogue.gpus(own.gpus)[cells["gpu"]].max_w_per_gpu


_SHEETS: Final = {
    "asics": _Counted("count", "model", lambda own: catalogue.asics(own.asics), _asic_w),
    "gpus": _Counted("nodes", "gpu", lambda own: catalogue.gpus(own.gpus), _node_w),
}


def counted(sheets: Rows, own: Own, problems: list[Problem]) -> Rows:
    """Fill in the count of every row and the limit of every site, as far as they can be derived.

    What cannot be derived, for example for an unknown machine, is left to the checks.
    """
    sites = {row.cells.get("name", ""): row.cells for row in sheets["sites"]}
    found = dict(sheets)
    need_mw = dict.fromkeys(sites, 0.0)
    for sheet, (column, key, names, each_w) in _SHEETS.items():
        rows = []
        for i, row in enumerate(sheets[sheet]):
            cells = dict(row.cells)
            site = cells.get("site", "")
            try:
                meter_w = each_w(cells, own) * _number(sites[site], "pue_base")
                if "mw" in cells and column in cells:
                    what = f"stands beside {column} = {cells[column]}; give one of them"
                    where = row_of(i, site, "mw")
                    problems.append(Problem(f"{sheet}.csv", where, shown(cells["mw"]), what))
                elif "mw" in cells:
                    mw = float(cells["mw"])
                    cells[column] = str(math.floor(mw * W_PER_MW / meter_w + 1e-9))
                    said = f"{column}: {mw:g} MW by {meter_w:,.0f} W at the meter, cooling included"
                    cells["source"] = _joined(cells, said)
                need_mw[site] += float(cells[column]) * meter_w / W_PER_MW
            except (KeyError, ValueError, OverflowError, ZeroDivisionError):
                # Problems of other cells are left to the checks. Only a bad name that leaves a site
                # without its derived limit, and so unchecked, is reported here.
                if "mw" in cells:
                    cells.setdefault(column, "0")
                if "power_limit_mw" not in sites.get(site, {"power_limit_mw": ""}):
                    file, known = f"{sheet}.csv", names(own)
                    name = cells.get(key, "")
                    problems += unknown(
                        file, row_of(i, site, key), name, known, f"hashwatt list {sheet}"
                    )
            rows.append(row._replace(cells=cells))
        found[sheet] = rows
    found["sites"] = [_connected(row, need_mw) for row in sheets["sites"]]
    return found


def _connected(row: Row, need_mw: dict[str, float]) -> Row:
    """Give a site without a power limit the limit that its machines need."""
    cells = dict(row.cells)
    if "power_limit_mw" in cells or not need_mw.get(cells.get("name", "")):
        return row
    try:
        need = need_mw[cells["name"]] + _number(cells, "overhead_mw")
    except ValueError:
        return row
    cells["power_limit_mw"] = f"{math.ceil(need * 1000.0 - 1e-6) / 1000.0:g}"
    said = "power_limit_mw assumed: what its machines draw with cooling and overhead"
    cells["source"] = _joined(cells, said)
    return row._replace(cells=cells)


def _number(cells: dict[str, str], column: str) -> float:
    return float(cells.get(column, Site.model_fields[column].default))


def _joined(cells: dict[str, str], said: str) -> str:
    return f"{cells['source']}; {said}" if cells.get("source") else said

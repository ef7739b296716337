"""KPIs say their unit and group; all are there, whatever was imported first."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from sim.results import kpis
from sim.results.kpi import ENERGY, LOST, REGISTERED, SERVING, Kpi, kpi
from sim.results.kpis import KPIS, unit_of
from sim.results.kpis_text import causes, rows
from sim.studies.kpis import is_indicator, titled


def nothing(_: object) -> float:
    """Nothing at all.

    Not even that.
    """
    return math.nan


def add(monkeypatch: pytest.MonkeyPatch, name: str, unit: str, group: str) -> None:
    monkeypatch.setitem(KPIS, name, Kpi(name, unit, group, nothing))


@pytest.mark.parametrize(
    ("name", "unit", "group"),
    [
        ("energy_mwh_per_btc", "MWh/BTC", ENERGY),
        ("capex_usd_per_mw", "USD/MW", ENERGY),
        ("lost_tokens_mtok", "Mtoken", SERVING),
    ],
)
def test_a_unit_is_what_the_kpi_says_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, unit: str, group: str
) -> None:
    add(monkeypatch, name, unit, group)
    assert unit_of(name) == unit
    assert list(rows({name: 1.5})) == [(name, "1.500", unit, "Nothing at all")]
    assert titled(name).endswith(f"[{unit}]")


def test_a_name_that_begins_with_lost_is_no_cause_of_lost_hashrate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add(monkeypatch, "lost_tokens_mtok", "Mtoken", SERVING)
    add(monkeypatch, "lost_orders_ehs", "EH/s", ENERGY)
    known: dict[str, float | None] = {"deployed_ehs": 4.0, "operating_ehs": 3.0}
    known |= {"lost_price_ehs": 1.0, "lost_tokens_mtok": 9.0, "lost_orders_ehs": 9.0}
    said = list(causes(known))
    assert len(said) == 2
    assert " ".join(said[1].split()) == "price 1.000 EH/s 25.00 % switched off by the policy"


def test_every_cause_of_lost_hashrate_is_said_in_words() -> None:
    lost = [k for k in KPIS.values() if k.group == LOST]
    assert len(lost) == 7
    assert all(k.cause and k.unit == "EH/s" for k in lost)


def test_plain_numbers_have_no_unit_behind_them() -> None:
    assert [unit_of(n) for n in ("pue", "asic_failures", "insolvent", "no such KPI")] == [""] * 4
    assert {n for n in KPIS if is_indicator(n)} == {"insolvent", "margin_called"}


def test_every_kpi_has_a_unit_a_group_and_a_definition() -> None:
    for k in KPIS.values():
        assert k.unit, k.name
        assert k.group, k.name
        assert k.definition.endswith("."), k.name


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="'pue' stands there twice"):
        kpi("-", ENERGY)(type(nothing)(nothing.__code__, globals(), "pue"))


def test_every_file_of_kpis_is_listed() -> None:
    assert kpis.__file__ is not None
    files = Path(kpis.__file__).parent.glob("kpis_*.py")
    holding = {f"sim.results.{f.stem}" for f in files if "\n@kpi(" in f.read_text("utf-8")}
    assert {m.__name__ for m in kpis.MODULES} == holding
    assert set(KPIS) == set(REGISTERED)


def test_all_are_there_in_one_order_whatever_was_imported_first() -> None:
    code = (
        "import sim.results.kpis_money, sim.results.kpis_gpu\n"
        "from sim.results.kpis import KPIS\n"
        "print(*KPIS)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == list(KPIS)

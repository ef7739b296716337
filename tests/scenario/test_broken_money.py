"""Broken loans, contracts, projects and incidents: one clear message each, exit code 2."""

import shutil
from pathlib import Path

import pytest

from sim.scenario import ScenarioError, load
from tests.builders.broken import Change, both, cell, extra, write
from tests.builders.broken_energy import column, refuses
from tests.conftest import ROOT
from tests.scenario.conftest import Check

LEASES = "name,site,model,machines,usd_per_machine_month,start_utc,end_utc,sale_usd_per_machine\n"
LEASED = cell("asics", 3, "owner", "leased")  # 800 Antminer S21 at alpha
FOURTH, FIFTH = "2026-01-04T00:00:00Z", "2026-01-05T00:00:00Z"
HOST = '[hosts.h]\nsites = ["alpha"]\n'
OUTAGE = 'kind = "outage"\nsites = ["alpha"]\n'


def loan(text: str, rest: str = "collateral_btc = 4") -> Change:
    opening = "[treasury]\nopening_usd = 1e6\nopening_btc = 10\n"
    return extra(f"{opening}[loans.a]\nprincipal_usd = 1e5\n{rest}\n{text}\n")


def second(name: str, text: str) -> str:
    return f"\n[loans.{name}]\nprincipal_usd = 1\ncollateral_btc = 1\n{text}\n"


def lease(*rows: str) -> Change:
    return both(LEASED, write("leases.csv", LEASES + "".join(f"{row}\n" for row in rows)))


def project(text: str) -> Change:
    return extra(f"[projects.p]\ncapex_usd = 1e6\norder_utc = 2026-01-02T00:00:00Z\n{text}\n")


def yard(text: str) -> Change:
    return project(f"substations_mw = {{ alpha = 2 }}\n{text}")


def sale(text: str) -> Change:
    return extra(f"[[treasury.sales]]\nstart_utc = 2026-01-02T00:00:00Z\n{text}\n")


def incident(text: str) -> Change:
    return extra(f"[[faults.incidents]]\n{text}\n")


# what is broken → (how, what the message must say)
BROKEN: dict[str, tuple[Change, list[str]]] = {
    # Loans.
    "loan without collateral": (loan("", ""), ["loans.a.collateral_btc: is required [BTC]"]),
    "collateral of nothing": (
        loan("", "collateral_btc = 0"),
        ["loans.a.collateral_btc = 0: must be > 0 BTC"],
    ),
    "initial above warning": (
        loan("initial_ltv = 0.66\ncure_ltv = 0.68"),
        ["loans.a: initial_ltv = 0.66: must be <= warning_ltv = 0.65"],
    ),
    "warning above call": (
        loan("warning_ltv = 0.75"),
        ["loans.a: warning_ltv = 0.75: must be <= call_ltv = 0.7"],
    ),
    "call above liquidation": (
        loan("call_ltv = 0.85"),
        ["loans.a: call_ltv = 0.85: must be <= liquidation_ltv = 0.8"],
    ),
    "liquidation above automatic": (
        loan("liquidation_ltv = 0.95"),
        ["loans.a: liquidation_ltv = 0.95: must be <= automatic_ltv = 0.9"],
    ),
    "cure above call": (
        loan("cure_ltv = 0.75"),
        ["cure_ltv = 0.75: must lie between initial_ltv = 0.5 and call_ltv = 0.7"],
    ),
    "cure below initial": (
        loan("cure_ltv = 0.4"),
        ["cure_ltv = 0.4: must lie between initial_ltv = 0.5 and call_ltv = 0.7"],
    ),
    "release above initial": (
        loan("release_ltv = 0.55"),
        ["release_ltv = 0.55: must be <= initial_ltv = 0.5"],
    ),
    "limit below the principal": (
        loan("limit_usd = 5"),
        ["limit_usd = 5: must be >= principal_usd = 100000"],
    ),
    "rate in percent": (loan("rate_per_year = 10"), ["loans.a.rate_per_year = 10: must be <= 1"]),
    "unknown interest": (
        loan('interest = "weekly"'),
        ["loans.a.interest = 'weekly'", "'monthly' or 'capitalised'"],
    ),
    "maturity before the start": (
        loan(f"start_utc = {FIFTH}\nmaturity_utc = {FOURTH}"),
        [f"loans.a: maturity_utc = {FOURTH}: must be after start_utc = {FIFTH}"],
    ),
    "maturity before the run": (
        loan("maturity_utc = 2025-06-01T00:00:00Z"),
        ["loans.a.maturity_utc = 2025-06-01T00:00:00Z", "the start of the run, 2026-01-01"],
    ),
    "refinanced by itself": (
        loan(f'refinance = "a"\nmaturity_utc = {FOURTH}' + second("b", "")),
        ["loans.a.refinance = 'a': allowed: b"],
    ),
    "refinanced by nobody": (
        loan(f'refinance = "bank"\nmaturity_utc = {FOURTH}' + second("banc", "")),
        ["loans.a.refinance = 'bank': did you mean 'banc'? allowed: banc"],
    ),
    "refinanced without maturity": (
        loan('refinance = "b"' + second("b", f"start_utc = {FOURTH}")),
        ["loans.a.refinance = 'b': needs loans.a.maturity_utc"],
    ),
    "refinanced on another day": (
        loan(f'refinance = "b"\nmaturity_utc = {FIFTH}' + second("b", f"start_utc = {FOURTH}")),
        [f"loans.b.start_utc = {FOURTH}: must be the maturity of loans.a, {FIFTH}"],
    ),
    "two refinanced by one": (
        loan(
            f'refinance = "c"\nmaturity_utc = {FOURTH}'
            + second("b", f'refinance = "c"\nmaturity_utc = {FOURTH}')
            + second("c", f"start_utc = {FOURTH}")
        ),
        ["loans.b.refinance = 'c': refinances loans.a already"],
    ),
    # Treasury.
    "collateral that is not there": (
        extra("[treasury]\nopening_btc = 1\n[loans.a]\nprincipal_usd = 1e5\ncollateral_btc = 4\n"),
        ["treasury.opening_btc = 1", "hold 4 BTC as collateral", "give at least that"],
    ),
    "sale of both": (sale("btc = 1\nusd = 1"), ["treasury.sales.0: give one of btc and usd"]),
    "sale of neither": (sale(""), ["treasury.sales.0: give one of btc and usd"]),
    "sale of nothing": (sale("btc = 0"), ["treasury.sales.0.btc = 0: must be > 0 BTC"]),
    "sale that repays nobody": (
        both(loan(""), sale('btc = 1\nrepays = "b"')),
        ["treasury.sales.0.repays = 'b': allowed: a"],
    ),
    "unknown model of treasury": (
        extra('[treasury]\nmodel = "hodl"'),
        ["treasury.model = 'hodl'", "'hold', 'sell-all', 'sell-to-cover' or 'target-reserve'"],
    ),
    # Leases.
    "lease at no site": (
        lease("m,alpa,Antminer S21,10,50,,,"),
        ["leases.csv: row 2 (m), site = 'alpa'", "did you mean 'alpha'?"],
    ),
    "lease of no such machines": (
        lease("m,alpha,Antminer S99,10,50,,,"),
        ["leases.csv: row 2 (m), machines = 10", "0 machines 'Antminer S99'"],
    ),
    "lease of too many": (
        lease("m,alpha,Antminer S21,500,50,,,", "n,alpha,Antminer S21,301,50,,,"),
        ["leases.csv: row 3 (n), machines = 301", "has 800", "up to this row take 801"],
    ),
    "lease of own machines": (
        both(lease("m,alpha,Antminer S19 XP,10,50,,,")),
        ["row 2 (m), machines = 10", "0 machines 'Antminer S19 XP' with owner leased at 'alpha'"],
    ),
    "two leases of one name": (
        lease("m,alpha,Antminer S21,10,50,,,", "m,alpha,Antminer S21,11,50,,,"),
        ["leases.csv: name = 'm': names must be unique"],
    ),
    "lease that ends before it starts": (
        lease(f"m,alpha,Antminer S21,10,50,{FIFTH},{FOURTH},"),
        [f"row 2 (m): end_utc = {FOURTH}: must be after start_utc = {FIFTH}"],
    ),
    "sale to a lessor on no day": (
        lease("m,alpha,Antminer S21,10,50,,,900"),
        ["row 2 (m): sale_usd_per_machine: needs start_utc"],
    ),
    "unknown owner": (
        cell("asics", 3, "owner", "rented"),
        ["asics.csv: row 3 (alpha), owner = 'rented'", "'own', 'hosted' or 'leased'"],
    ),
    # Projects.
    "machines of a project at no site": (
        both(
            yard(""),
            lambda folder: column(folder, "gpus", "project", "p"),
            cell("gpus", 2, "site", "alpa"),
        ),
        ["gpus.csv: row 2 (alpa), site = 'alpa'", "did you mean 'alpha'?"],
    ),
    "substation at no site": (
        project("substations_mw = { alpa = 2 }"),
        ["projects.p.substations_mw = 'alpa'", "did you mean 'alpha'?"],
    ),
    "substation of nothing": (
        project("substations_mw = { alpha = 0 }"),
        ["projects.p: substations_mw.alpha = 0: must be > 0 MW"],
    ),
    "nodes of no project": (
        both(yard(""), lambda folder: column(folder, "gpus", "project", "q")),
        ["gpus.csv: row 2 (alpha), project = 'q': allowed: p"],
    ),
    "ASICs of no project": (
        lambda folder: column(folder, "asics", "project", "q"),
        ["asics.csv: row 2 (alpha), project = 'q'", "none is defined"],
    ),
    "project that delivers nothing": (project(""), ["projects.p: delivers nothing: name it in"]),
    "project without a day": (
        extra("[projects.p]\ncapex_usd = 1e6\nsubstations_mw = { alpha = 2 }"),
        ["projects.p.order_utc: is required [UTC]"],
    ),
    "project on an unknown loan": (
        both(loan(""), yard('finance = "b"')),
        ["projects.p.finance = 'b'", "allowed: a, btc, cash"],
    ),
    "called off before the order": (
        yard("cancel_utc = 2026-01-01T00:00:00Z"),
        ["cancel_utc = 2026-01-01T00:00:00Z: must not be before order_utc = 2026-01-02"],
    ),
    "parts beyond the whole": (
        yard("deposit_fraction = 0.7"),
        ["projects.p: deposit_fraction + delivery_fraction = 1.2: must be <= 1"],
    ),
    "part beyond the whole": (
        yard("deposit_fraction = 1.5"),
        ["projects.p.deposit_fraction = 1.5: must be <= 1"],
    ),
    "all machines fail and more": (
        yard("failed_fraction = 1.5"),
        ["projects.p.failed_fraction = 1.5: must be <= 1"],
    ),
    # Hosts and deposits.
    "host at no site": (
        extra('[hosts.h]\nsites = ["alpa"]'),
        ["hosts.h.sites = 'alpa'", "did you mean 'alpha'?"],
    ),
    "host of nothing": (
        extra("[hosts.h]\nsites = []"),
        ["hosts.h.sites = []: must name at least one"],
    ),
    "host without sites": (extra("[hosts.h]"), ["hosts.h.sites: is required"]),
    "host that names a site twice": (
        extra('[hosts.h]\nsites = ["alpha", "alpha"]'),
        ["hosts.h.sites = 'alpha': stands there more than once"],
    ),
    "move to where one is": (
        extra(HOST + 'move_to = "alpha"'),
        ["hosts.h.move_to = 'alpha': allowed: bravo"],
    ),
    "move to nowhere": (
        extra(HOST + 'move_to = "brovo"'),
        ["hosts.h.move_to = 'brovo': did you mean 'bravo'?"],
    ),
    "move on from where one moved": (
        extra(HOST + 'move_to = "bravo"\n[hosts.g]\nsites = ["bravo"]\nmove_to = "charlie"\n'),
        ["2 problems", "hosts.h.move_to = 'bravo': machines move once, and hosts.g", "'charlie'"],
    ),
    "two hosts of one site": (
        extra(HOST + '[hosts.g]\nsites = ["alpha"]'),
        ["hosts.g.sites = 'alpha': is with another already: hosts.h"],
    ),
    "profit share in percent": (
        extra(HOST + "profit_share = 30"),
        ["hosts.h.profit_share = 30: must be <= 1"],
    ),
    "deposit with no host": (
        extra(HOST + '[deposits.d]\nusd = 5\nhost = "j"'),
        ["deposits.d.host = 'j': allowed: h"],
    ),
    "deposit that comes back before it is paid": (
        extra(f"[deposits.d]\nusd = 5\npaid_utc = {FIFTH}\nreturned_utc = {FOURTH}"),
        [f"deposits.d: returned_utc = {FOURTH}: must be after paid_utc = {FIFTH}"],
    ),
    "deposit of nothing": (
        extra("[deposits.d]\nusd = 0"),
        ["deposits.d.usd = 0: must be > 0 USD"],
    ),
    # Offtakes and insurance.
    "offtake of batch nodes": (
        extra('[offtakes.o]\nsites = ["bravo"]'),
        ["offtakes.o.sites = 'bravo'", "state contracted; it has batch"],
    ),
    "offtake where no node is": (
        both(cell("gpus", 3, "site", "alpha"), extra('[offtakes.o]\nsites = ["bravo"]')),
        ["offtakes.o.sites = 'bravo'", "state contracted; it has none"],
    ),
    "offtake at no site": (
        extra('[offtakes.o]\nsites = ["alpa"]'),
        ["offtakes.o.sites = 'alpa'", "did you mean 'alpha'?"],
    ),
    "two offtakes of one site": (
        extra('[offtakes.o]\nsites = ["alpha"]\n[offtakes.q]\nsites = ["alpha"]'),
        ["offtakes.q.sites = 'alpha': is with another already: offtakes.o"],
    ),
    "insurance of no site": (
        extra('[insurance.i]\nsites = ["alpa"]'),
        ["insurance.i.sites = 'alpa'", "did you mean 'alpha'?"],
    ),
    "insurance against the unknown": (
        extra('[insurance.i]\nperils = ["flood"]'),
        ["insurance.i.perils.0 = 'flood': allowed: 'fire'"],
    ),
    # Incidents.
    "unknown kind of incident": (
        incident('kind = "flood"\nsites = ["alpha"]\nper_year = 2\nhours = 3'),
        ["faults.incidents.0.kind = 'flood'", "'outage', 'network-cut'", "'delivery-delay'"],
    ),
    "incident of no kind": (
        incident('sites = ["alpha"]\nper_year = 2'),
        ["faults.incidents.0.kind: is required"],
    ),
    "outage of no length": (
        incident(OUTAGE + "per_year = 2"),
        ["faults.incidents.0: outage: hours is required"],
    ),
    "incident by date and by rate": (
        incident(OUTAGE + f"hours = 3\nper_year = 2\nstart_utc = {FOURTH}"),
        ["faults.incidents.0: outage: give one of start_utc and per_year"],
    ),
    "incident at no time": (
        incident(OUTAGE + "hours = 3"),
        ["faults.incidents.0: outage: give one of start_utc and per_year"],
    ),
    "outage of a host": (
        incident('kind = "outage"\nhosts = ["h"]\nhours = 3\nper_year = 2'),
        ["faults.incidents.0: outage: hosts does not belong to it, which strikes sites"],
    ),
    "outage of nothing": (
        incident('kind = "outage"\nhours = 3\nper_year = 2'),
        ["faults.incidents.0: outage: sites is required"],
    ),
    "outage of a pool of sites": (
        incident('kind = "pool-outage"\nsites = ["alpha"]\nhours = 3\nper_year = 2'),
        ["faults.incidents.0: pool-outage: sites does not belong to it"],
    ),
    "outage that leaves a part": (
        incident(OUTAGE + "hours = 3\nper_year = 2\nleft_fraction = 0.5"),
        ["outage: left_fraction does not belong to it, but to cooling and curtailment"],
    ),
    "outage with a price": (
        incident(OUTAGE + "hours = 3\nper_year = 2\nusd_per_mwh = 5"),
        ["faults.incidents.0: outage: usd_per_mwh does not belong to it"],
    ),
    "fire that destroys percents": (
        incident('kind = "fire"\nsites = ["alpha"]\nper_year = 2\ndestroyed_fraction = 50'),
        ["faults.incidents.0.destroyed_fraction = 50: must be <= 1"],
    ),
    "outage at no site": (
        incident('kind = "outage"\nsites = ["alpa"]\nhours = 3\nper_year = 2'),
        ["faults.incidents.0.sites (outage) = 'alpa'", "did you mean 'alpha'?"],
    ),
    "outage of one site twice": (
        incident('kind = "outage"\nsites = ["alpha", "alpha"]\nhours = 3\nper_year = 2'),
        ["faults.incidents.0.sites (outage) = 'alpha': stands there more than once"],
    ),
    "spike in no zone": (
        incident(
            'kind = "price-spike"\nzones = ["wset"]\nhours = 3\nper_year = 2\nusd_per_mwh = 9'
        ),
        ["faults.incidents.0.zones (price-spike) = 'wset'", "did you mean 'west'?"],
    ),
    "notice of no host": (
        both(
            extra(HOST),
            incident(f'kind = "termination"\nhosts = ["g"]\nstart_utc = {FOURTH}'),
        ),
        ["faults.incidents.0.hosts (termination) = 'g': allowed: h"],
    ),
    "delay of no project": (
        both(
            yard(""),
            incident(f'kind = "delivery-delay"\nprojects = ["q"]\ndays = 3\nstart_utc = {FOURTH}'),
        ),
        ["faults.incidents.0.projects (delivery-delay) = 'q': allowed: p"],
    ),
    # What if.
    "energy for nothing": (
        extra("[what_if]\nenergy_price_factor = 0"),
        ["what_if.energy_price_factor = 0: must be > 0"],
    ),
    "bitcoin below nothing": (
        extra("[what_if]\nbtc_price_factor = -1"),
        ["what_if.btc_price_factor = -1: must be > 0"],
    ),
}

PLAIN = {
    "hosts.h.sites": '[hosts.h]\nsites = "alpha"',
    "offtakes.o.sites": '[offtakes.o]\nsites = "alpha"',
    "insurance.i.sites": '[insurance.i]\nsites = "alpha"',
    "insurance.i.perils": '[insurance.i]\nperils = "fire"',
    "faults.incidents.0.sites": '[[faults.incidents]]\nkind = "fire"\nsites = "alpha"\nper_year=1',
    "treasury.sales": "[treasury]\nsales = { btc = 1 }",
    "faults.incidents": '[faults.incidents]\nkind = "outage"',
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_clear_message(name: str, folder: Path, check: Check) -> None:
    """Exit code 2; what is said names file, row or key, value and rule."""
    change, words = BROKEN[name]
    change(folder)
    refuses(check, words)


@pytest.mark.parametrize("key", PLAIN)
def test_a_list_is_not_a_plain_text(key: str, folder: Path, check: Check) -> None:
    extra(PLAIN[key])(folder)
    refuses(check, [f"scenario.toml: {key} = ", "must be a list: [ … ]"])


def test_a_spike_does_not_lift_a_price_out_of_a_power_flow(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "meshed"
    shutil.copytree(ROOT / "configs/meshed-118", folder)
    here = {"data_dir": str(data)}
    zone = next(iter(load(folder, here).prices.zones))
    incident(
        f'kind = "price-spike"\nzones = ["{zone}"]\nhours = 3\nper_year = 2\nusd_per_mwh = 900'
    )(folder)
    with pytest.raises(ScenarioError) as error:
        load(folder, here)
    (problem,) = error.value.problems
    assert problem.where == "faults.incidents.0.zones"
    assert problem.value == f"'{zone}'"
    assert "power flow" in problem.message


def test_what_is_broken_here_is_otherwise_allowed(folder: Path, check: Check) -> None:
    for change in (
        loan(f'refinance = "b"\nmaturity_utc = {FOURTH}' + second("b", f"start_utc = {FOURTH}")),
        sale('btc = 1\nrepays = "a"'),
        lease("m,alpha,Antminer S21,800,50,,,"),
        yard('finance = "a"\ncancel_utc = 2026-01-02T00:00:00Z'),
        extra(HOST + f'move_to = "bravo"\n[hosts.g]\nsites = ["bravo"]\nends_utc = {FIFTH}'),
        extra('[deposits.d]\nusd = 5\nhost = "h"\nreturned_utc = 2025-01-01T00:00:00Z'),
        extra('[offtakes.o]\nsites = ["alpha"]\n[insurance.i]\nsites = ["alpha"]'),
        incident(OUTAGE + "hours = 3\nper_year = 2"),
        incident('kind = "cooling"\nsites = ["*"]\nhours = 3\nper_year = 2\nleft_fraction = 0.5'),
    ):
        change(folder)
    code, said = check()
    assert code == 0, said

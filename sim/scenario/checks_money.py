"""Checks of loans, contracts, projects and incidents of a scenario."""

from collections import Counter
from collections.abc import Iterable, Iterator

from sim.scenario.model import DcOpfPrice
from sim.scenario.problems import Problem, instant, row_of, shown, unique, unknown
from sim.scenario.scenario import Scenario

TOML = "scenario.toml"
EVERYWHERE = "*"


def money(s: Scenario) -> Iterator[Problem]:
    """Check treasury, loans and insurance."""
    for k, sale in enumerate(s.treasury.sales):
        if sale.repays is not None:
            yield from unknown(TOML, f"treasury.sales.{k}.repays", sale.repays, s.loans)
    pledged = 0.0
    for name, loan in s.loans.items():
        if loan.start_utc is None or loan.start_utc < s.horizon.start_utc:
            pledged += loan.collateral_btc
        if loan.maturity_utc is not None and loan.maturity_utc <= s.horizon.start_utc:
            what = f"must be after the start of the run, {instant(s.horizon.start_utc)}"
            yield Problem(TOML, f"loans.{name}.maturity_utc", instant(loan.maturity_utc), what)
    yield from _refinanced(s)
    yield from _funding(s)
    if pledged > s.treasury.opening_btc:
        yield Problem(
            TOML,
            "treasury.opening_btc",
            f"{s.treasury.opening_btc:g}",
            f"loans outstanding at the start hold {pledged:g} BTC as collateral, which is part of "
            "it: give at least that",
        )
    for name, policy in s.insurance.items():
        yield from _names(f"insurance.{name}.sites", policy.sites, _sites(s))


def _funding(s: Scenario) -> Iterator[Problem]:
    """Funding tables must be among the steps, and the revolver's name be free."""
    funding = s.funding
    for step in ("revolver", "equity"):
        if getattr(funding, step) is not None and step not in funding.steps:
            what = f"has no effect: {step!r} is not among funding.steps"
            yield Problem(TOML, f"funding.{step}", "", what)
    if funding.revolver is not None and "revolver" in s.loans:
        what = "is the name of funding.revolver on the books: give the loan another"
        yield Problem(TOML, "loans.revolver", "", what)


def _refinanced(s: Scenario) -> Iterator[Problem]:
    """A loan is refinanced by one other loan of its own, which begins at its maturity."""
    first: dict[str, str] = {}
    for name, loan in s.loans.items():
        if loan.refinance is None:
            continue
        where, value = f"loans.{name}.refinance", shown(loan.refinance)
        follower = s.loans.get(loan.refinance)
        if follower is None or follower is loan:
            yield from unknown(TOML, where, loan.refinance, set(s.loans) - {name})
        elif loan.maturity_utc is None:
            yield Problem(TOML, where, value, f"needs loans.{name}.maturity_utc")
        elif first.setdefault(loan.refinance, name) != name:
            what = f"refinances loans.{first[loan.refinance]} already: name a loan of its own"
            yield Problem(TOML, where, value, what)
        elif follower.start_utc != loan.maturity_utc:
            begins = instant(follower.start_utc) if follower.start_utc else ""
            what = f"must be the maturity of loans.{name}, {instant(loan.maturity_utc)}"
            yield Problem(TOML, f"loans.{loan.refinance}.start_utc", begins, what)


def deals(s: Scenario) -> Iterator[Problem]:
    """Check hosts, leases, deposits and offtakes."""
    sites = _sites(s)
    for name, host in s.hosts.items():
        yield from _names(f"hosts.{name}.sites", host.sites, sites)
        if host.move_to is not None:
            where = f"hosts.{name}.move_to"
            yield from unknown(TOML, where, host.move_to, sites - set(host.sites))
            for other, its in s.hosts.items():
                if other != name and its.move_to is not None and host.move_to in its.sites:
                    what = f"machines move once, and hosts.{other} moves those of this site, too"
                    yield Problem(TOML, where, shown(host.move_to), what)
    yield from _shared({f"hosts.{n}": h.sites for n, h in s.hosts.items()})
    yield from _leases(s, sites)
    for name, deposit in s.deposits.items():
        if deposit.host is not None:
            yield from unknown(TOML, f"deposits.{name}.host", deposit.host, s.hosts)
    for name, offtake in s.offtakes.items():
        yield from _names(f"offtakes.{name}.sites", offtake.sites, sites)
        for site in offtake.sites:
            states = {g.state for g in s.gpus if g.site == site}
            if site in sites and states != {"contracted"}:
                has = f"has {', '.join(sorted(states))}" if states else "has none"
                what = f"all its rows of gpus.csv must be of state contracted; it {has}"
                yield Problem(TOML, f"offtakes.{name}.sites", shown(site), what)
    yield from _shared({f"offtakes.{n}": o.sites for n, o in s.offtakes.items()})


def _leases(s: Scenario, sites: set[str]) -> Iterator[Problem]:
    yield from unique("leases.csv", [lease.name for lease in s.leases])
    there: Counter[tuple[str, str]] = Counter()
    for group in s.asics:
        if group.owner == "leased":
            there[group.site, group.model] += group.count
    asked: Counter[tuple[str, str]] = Counter()
    for i, lease in enumerate(s.leases):
        where = row_of(i, lease.name, "site")
        yield from unknown("leases.csv", where, lease.site, sites)
        key = lease.site, lease.model
        asked[key] += lease.machines
        if lease.site in sites and asked[key] > there[key]:
            yield Problem(
                "leases.csv",
                row_of(i, lease.name, "machines"),
                str(lease.machines),
                f"asics.csv has {there[key]} machines {lease.model!r} with owner leased at "
                f"{lease.site!r}; leases up to this row take {asked[key]}",
            )


def projects(s: Scenario) -> Iterator[Problem]:
    """Check projects, and the rows that they deliver."""
    sites = _sites(s)
    named = {g.project for g in s.asics} | {g.project for g in s.gpus}
    for sheet, rows in (
        ("asics.csv", [(g.site, g.project) for g in s.asics]),
        ("gpus.csv", [(g.site, g.project) for g in s.gpus]),
    ):
        for i, (site, wanted) in enumerate(rows):
            if wanted:
                yield from unknown(sheet, row_of(i, site, "project"), wanted, s.projects)
    for name, project in s.projects.items():
        where = f"projects.{name}"
        yield from _names(f"{where}.substations_mw", project.substations_mw, sites)
        if name not in named and not project.substations_mw:
            yield Problem(
                TOML,
                where,
                "",
                "delivers nothing: name it in column project of gpus.csv or asics.csv, or give "
                "substations_mw",
            )
        if project.finance not in ("cash", "btc"):
            yield from unknown(TOML, f"{where}.finance", project.finance, {"cash", "btc", *s.loans})


def incidents(s: Scenario) -> Iterator[Problem]:
    """Check the targets of incidents."""
    allowed: dict[str, set[str]] = {
        "sites": _sites(s) | {EVERYWHERE},
        "zones": set(s.prices.zones),
        "hosts": set(s.hosts),
        "projects": set(s.projects),
    }
    for k, incident in enumerate(s.faults.incidents):
        for target, names in allowed.items():
            where = f"faults.incidents.{k}.{target} ({incident.kind})"
            yield from _names(where, getattr(incident, target), names)
        for zone in incident.zones:
            if isinstance(s.prices.zones.get(zone), DcOpfPrice):
                what = "its price comes out of a power flow: let a link go out instead"
                yield Problem(TOML, f"faults.incidents.{k}.zones", shown(zone), what)


def _sites(s: Scenario) -> set[str]:
    return {site.name for site in s.sites}


def _names(where: str, given: Iterable[str], allowed: set[str]) -> Iterator[Problem]:
    for name, count in Counter(tuple(given)).items():
        yield from unknown(TOML, where, name, allowed)
        if count > 1:
            yield Problem(TOML, where, shown(name), "stands there more than once")


def _shared(sites: dict[str, tuple[str, ...]]) -> Iterator[Problem]:
    """A site may belong to only one host, or only one offtake."""
    first: dict[str, str] = {}
    for where, names in sites.items():
        for name in names:
            if first.setdefault(name, where) != where:
                what = f"is with another already: {first[name]}"
                yield Problem(TOML, f"{where}.sites", shown(name), what)

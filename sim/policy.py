"""The interface between the fleet and a policy: Observation in, Decision out."""

import difflib
import inspect
import re
import tomllib
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sim.kernels.arrays import BY_THE_HOUR, BY_THE_TOKEN, RESERVED, Limits
from sim.kernels.border import LayoutError, as_numbers
from sim.types import Bools, Floats, Ints
from sim.units import HASHES_PER_TH

# `GpuView.contracted` by the way in which nodes earn: RESERVED, BY_THE_HOUR, BY_THE_TOKEN.
CONTRACTED: Final = np.array([1.0, 0.0, 0.5])


class AsicView(NamedTuple):
    """The ASIC groups. Shapes: `group` groups of identical machines, `mode` firmware modes."""

    site: Ints  # (group,) index of the group's site
    available: Floats  # (group,) machines that have not failed
    heat: Floats  # (group,) thermal factor on hashrate and power alike, 0 (tripped) to 1
    meter_factor: Floats  # (group,) W at the meter for a W of machines: cooling and losses
    mode_ths: Floats  # (group, mode) hashrate of one machine [TH/s], 0 where there is no mode
    mode_w: Floats  # (group, mode) power of one machine at the wall [W], 0 where there is no mode
    default_share: Floats  # (group, mode) 1 at the firmware mode the scenario names
    share: Floats  # (group, mode) granted in the interval that ends now


class GpuView(NamedTuple):
    """The groups of GPU nodes. Shape: `node` groups of identical nodes."""

    site: Ints  # (node,) index of the group's site
    available: Floats  # (node,) nodes that have not failed
    node_w: Floats  # (node,) mean power of one node, let or not; serving tokens: its most [W]
    meter_factor: Floats  # (node,) W at the meter for a W of nodes
    usd_per_h: Floats  # (node,) earnings of a node-hour on (serving: an estimate), less opex
    credit_usd_per_h: Floats  # (node,) extra cost of a node-hour off [USD/h]
    contracted: Floats  # (node,) 1 reserved, 0.5 serving tokens, 0 batch: `way` says it by name
    share: Floats  # (node,) granted in the interval that ends now

    @property
    def way(self) -> Ints:
        """How each group of nodes earns (node,): RESERVED, BY_THE_HOUR or BY_THE_TOKEN."""
        contracted = np.asarray(self.contracted)
        sold = np.where(contracted > 0.0, BY_THE_TOKEN, BY_THE_HOUR)
        return np.asarray(np.where(contracted < 1.0, sold, RESERVED), dtype=np.int64)


class ServingView(NamedTuple):
    """Tenants that buy tokens. Shapes: `tenant`, `site`, `node` as in GpuView."""

    rate_rps: Floats  # (tenant,) requests sent in the interval that ends now [1/s]
    latency_s: Floats  # (tenant, site) one way; NaN: the site may not serve the tenant
    outstanding: Floats  # (node,) requests in the queues and batches of a group
    waiting: Floats  # (node,) of them in queues
    seats: Floats  # (node,) requests of mean length that one node's engines hold at once
    ttft_s: Floats  # (tenant,) P95 of the interval that ends now; NaN: none served, or a fluid


class DemandView(NamedTuple):
    """Demand charges, each at its site. Shapes: `charge`, `hour` this one and those to come.

    First the charges on this month's peak. Then, marked `later`, the most that a ratchet would
    carry of it into later months, if these have no peak of their own.
    """

    site: Ints  # (charge,)
    usd_per_mw: Floats  # (charge,) of a peak above `peak_w`; 0: nothing is billed this month
    peak_w: Floats  # (charge,) billed anyway: the month's peak so far, or the ratchet's floor
    left_s: Floats  # (charge,) to the end of the billing month
    later: Bools  # (charge,)
    measured: Bools  # (hour, charge) whether part of an hour counts; a week ahead, by rule


NO_DEMAND: Final = DemandView(
    np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0), np.zeros(0),
    np.zeros(0, dtype=np.bool_), np.zeros((168, 0), dtype=np.bool_),
)  # fmt: skip


class EnergyView(NamedTuple):
    """Contracts, programmes and assets. Shapes: `site`, `programme`, `battery`, `generator`.

    `called_w`: the most that machines of a site may draw under calls in force (row 0) and announced
    calls (row 1); inf where there is none, negative where batteries must also discharge. A relay
    enforces automatic calls. The upper ramp limit is also in `limits.cap_w`.

    `day_ahead_next_usd_per_mwh` is the only forecast given: the prices published by now, for the
    rest of today and from 13:30 local standard time for all of tomorrow, in order of the hours;
    without delivery, as `day_ahead_usd_per_mwh`. A policy makes any other forecast itself, from
    what it has observed.
    """

    day_ahead_usd_per_mwh: Floats  # (site,) of this hour, NaN: none is known
    block_w: Floats  # (site,) physical block of a PPA, used first
    block_usd_per_mwh: Floats  # (site,) its price with delivery
    carbon_kg_per_mwh: Floats  # (site,) of the zone
    peak_risk: float  # chance that this step is the month's coincident peak
    peak_usd_per_mw: Floats  # (site,) cost of a MW at that peak, 0 under an all-in price
    month_peak_w: Floats  # (site,) highest control step of the billing month so far
    reserve_usd_per_mw_h: Floats  # (programme, site) availability price, 0 where not enrolled
    called_w: Floats  # (2, site)
    battery_site: Ints  # (battery,)
    battery: Floats  # (battery, 4): power [W], energy [J], one-way efficiency, wear [USD/J]
    stored_j: Floats  # (battery,)
    generator_site: Ints  # (generator,)
    available_w: Floats  # (generator,)
    generator_usd_per_mwh: Floats  # (generator,) fuel and upkeep
    day_ahead_next_usd_per_mwh: Floats  # (hour, site) hours after this one, NaN: not published
    demand: DemandView
    export_usd_per_mwh: Floats  # (site,) export price now: the zone's price
    export_w: Floats  # (site,) export limit
    overhead_w: Floats  # (site,) draw of the site other than machines, at the meter
    loss: Floats  # (site,) share of the meter's power that is lost on the way to the site
    emergency: Ints  # (site,) the operator's level: 0 none, 1 an alert, 2 load is shed
    ramp_w: Floats  # (2, site) lowest and highest meter power under ramp limits now, inf: none
    reserve_duration_h: Floats  # (programme,) how long a battery must deliver; NaN: emergency
    hold_w: Floats  # (programme, site) sold a day ahead for now, less load shed by calls
    shortfall_usd_per_mw_h: Floats  # (programme, site) cost of not holding it now, 0: none sold
    sold_next_w: Floats  # (hour, programme, site) published awards of later hours
    sold_next_usd_per_mw_h: Floats  # (hour, programme) their price

    @property
    def battery_power_w(self) -> Floats:
        """Maximum charging or discharging power at the terminals (battery,) [W]."""
        return self.battery[:, 0]

    @property
    def battery_energy_j(self) -> Floats:
        """Energy capacity (battery,) [J]."""
        return self.battery[:, 1]

    @property
    def battery_one_way(self) -> Floats:
        """One-way efficiency, of charging and of discharging alike (battery,) [-]."""
        return self.battery[:, 2]

    @property
    def battery_wear_usd_per_j(self) -> Floats:
        """Wear cost of discharging (battery,) [USD/J]."""
        return self.battery[:, 3]


class Market(NamedTuple):
    """Market data of one instant."""

    usd_per_btc: float
    difficulty: float
    hashprice_usd_per_ph_day: float  # net of the pool's fee
    peak_risk: float
    peak_usd_per_mw: Floats  # (site,)
    day_ahead_next_usd_per_mwh: Floats  # (hour, site)
    demand: DemandView


NO_SERVING: Final = ServingView(
    np.zeros(0), np.zeros((0, 0)), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)
)


class Observation(NamedTuple):
    """What a policy sees at one instant: read-only, with no information from the future."""

    t_s: int  # seconds since the start of the run
    step_s: int  # the decision holds until t_s + step_s
    price_usd_per_mwh: Floats  # (site,) marginal price of grid energy, with delivery
    ambient_c: Floats  # (site,)
    usd_per_btc: float
    difficulty: float
    hashprice_usd_per_ph_day: float  # net of the pool's fee
    asic: AsicView
    gpu: GpuView
    limits: Limits  # nested limits at the meter, own supply, caps of calls
    energy: EnergyView
    serving: ServingView = NO_SERVING

    @property
    def usd_per_th(self) -> float:
        """Earnings of a tera-hash [USD/TH], equal to USD per second for 1 TH/s."""
        return self.hashprice_usd_per_ph_day / (1e15 / HASHES_PER_TH * 86_400)


class Decision(NamedTuple):
    """A wish: the share of the available machines to run, by firmware mode.

    Each row of `asic_share` sums to at most 1; the rest of the group is off. Limits may cut the
    wish. Where a field is None: routes stay as they were, batteries idle, generators run where they
    are cheaper than the grid and export where the zone pays more than their fuel, and nothing is
    offered beyond the standing offers of the scenario.
    """

    asic_share: Floats  # (group, mode) 0 to 1
    gpu_share: Floats  # (node,) 0 to 1
    route: Floats | None = None  # (tenant, site) routing weight of an open engine
    battery_w: Floats | None = None  # (battery,) positive charging, negative discharging
    generation_w: Floats | None = None  # (generator,)
    offer_w: Floats | None = None  # (programme, site) offered to stand by: see ReserveOffers


class ReserveOffers(NamedTuple):
    """Reserves offered for the hours of the next day. Shapes: `hour`, `programme`, `site`.

    Emergency programmes take offers step by step (`Decision.offer_w`); their entries are ignored.
    """

    power_w: Floats  # (hour, programme, site) load that can be shed, or batteries [W]
    least_usd_per_mw_h: Floats  # (hour, programme, site) lowest price accepted [USD/MW/h]
    at_most_w: Floats  # (hour, site) of all products together [W]


class Bids(NamedTuple):
    """Load that a policy would draw, by price. Shape: `bid`, the same bids at every step."""

    site: Ints
    power_w: Floats  # of machines, at the meter [W]
    usd_per_mwh: Floats  # highest price, with delivery, at which the load runs


@runtime_checkable
class Policy(Protocol):
    """Any object with `decide`. It may keep state of its own, and sees only observations."""

    def decide(self, observation: Observation) -> Decision:
        """The wish for the interval that begins at `observation.t_s`."""
        ...


@runtime_checkable
class Bidder(Policy, Protocol):
    """A policy that bids where the fleet's load makes the price (`dc-opf`).

    Its bids are cleared with the grid. It then decides at the clearing price, and each site is
    capped at what it has bought (`limits.cap_w`).
    """

    def bid(self, observation: Observation) -> Bids:
        """Load by price for the interval that begins at `observation.t_s`; the observed prices are
        those of the interval before."""
        ...


@runtime_checkable
class Offerer(Policy, Protocol):
    """A policy that offers reserves hour by hour for the next day, until gate closure.

    For any other policy, `Decision.offer_w` at gate closure counts for every hour, at any price.
    """

    def offer(self, observation: Observation, begins_s: Ints) -> ReserveOffers:
        """Offers for the hours that begin at `begins_s` (hour,) in run seconds."""
        ...


class PolicyError(Exception):
    """A policy cannot be loaded, or its decision is invalid."""


def policy_spec(text: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a policy as people write them: `name:key=value,key=value`.

    The name may be an address with a colon of its own (`mine:Cheap:floor=20`). A value is read as
    TOML, or else as text.

    Raises:
        PolicyError: where a parameter is not of the form key=value.
    """
    parts = text.split(":")
    first = next((i for i, part in enumerate(parts) if i and "=" in part), len(parts))
    name, given = ":".join(parts[:first]), ":".join(parts[first:])
    parameters: dict[str, Any] = {}
    for pair in re.split(r",(?=\s*\w+\s*=)", given) if given else ():
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not equals or not key.isidentifier() or not value or key in parameters:
            what = "is given twice" if key in parameters else "is not of the form key=value"
            raise PolicyError(
                f"policy {text!r}: {pair.strip()!r} {what}; write {name}:key=value,key=value"
            )
        try:
            parameters[key] = tomllib.loads(f"value = {value}")["value"]
        except (ValueError, RecursionError):
            parameters[key] = value
    return name, parameters


def policy_class(spec: str, builtin: dict[str, str]) -> type:
    """The class of a policy, by built-in name or as "package.module:Class"; it is not called.

    Importing a module runs its code: see `refuse_code` for names that come from files.
    """
    address = builtin.get(spec, spec)
    module_name, _, class_name = address.partition(":")
    if not class_name:
        near = difflib.get_close_matches(spec, builtin, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        names = ", ".join(sorted(builtin))
        raise PolicyError(f'policy {spec!r}: {hint}allowed: {names}, or "package.module:Class"')
    try:
        made = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise PolicyError(f"policy {spec!r} cannot be imported: {error}") from None
    if not isinstance(made, type):
        raise PolicyError(f"policy {spec!r}: {class_name} is no class; a policy is one class")
    if not callable(getattr(made, "decide", None)):
        raise PolicyError(f"policy {spec!r}: {class_name} has no method decide(observation)")
    return made


def load_policy(spec: str, parameters: dict[str, Any], builtin: dict[str, str]) -> Policy:
    """Make a policy from its built-in name or "package.module:Class", with keyword parameters."""
    made = policy_class(spec, builtin)
    _refuse_parameters(spec, parameters, made)
    try:
        policy: Policy = made(**parameters)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"policy {spec!r} with parameters {parameters}: {error}") from None
    return policy


def refuse_code(
    spec: str, builtin: dict[str, str], where: str = "policy.name", *, allowed: bool = False
) -> None:
    """Raise PolicyError where a file names code, unless `allowed`.

    A scenario or an experiment is data and may come from anyone: reading it must not run code.
    """
    if not allowed and spec not in builtin and ":" in spec:
        what = "names code, which a file may not; allowed: " + ", ".join(sorted(builtin))
        how = f"or give it with --policy {spec}, or say --allow-code (in Python: allow_code=True)"
        raise PolicyError(f"{where} = {spec!r}: {what}; {how}")


# Parameter types that are checked by annotation: a text would count as true and compare with none.
_NAMED: Final[dict[str, type]] = {"bool": bool, "int": int, "float": float}
_KINDS: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "bool": ((bool, np.bool_), "true or false"),
    "int": ((int, np.integer), "a whole number"),
    "float": ((int, float, np.integer, np.floating), "a number"),
}


def _refuse_parameters(spec: str, given: dict[str, Any], made: type) -> None:
    """Raise PolicyError for an unknown parameter, or for a missing required one."""
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):  # classes written in C may have no signature
        return
    keywords = {
        name: p
        for name, p in signature.parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }
    any_name = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = [] if any_name else sorted(set(given) - set(keywords))
    if unknown:
        near = difflib.get_close_matches(unknown[0], keywords, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        allowed = ", ".join(keywords) or "none"
        what = f"no parameter {unknown[0]!r}; {hint}allowed: {allowed}"
        raise PolicyError(f"policy {spec!r}: {what}")
    missing = [n for n, p in keywords.items() if p.default is p.empty and n not in given]
    if missing:
        raise PolicyError(f"policy {spec!r}: needs the parameter {missing[0]!r}")
    for name, value in given.items():
        kind = keywords[name].annotation if name in keywords else None
        for known, (types, words) in _KINDS.items():
            truth = known == "bool"
            if kind in (known, _NAMED[known]) and not (
                isinstance(value, types) and (truth or not isinstance(value, bool | np.bool_))
            ):
                raise PolicyError(f"policy {spec!r}: {name} = {value!r}: must be {words}")


def decision_problems(decision: object, observation: Observation) -> list[str]:
    """Problems of a decision, as messages; empty when it can be granted."""
    if not isinstance(decision, Decision):
        return [f"decide returned {type(decision).__name__}; it must return a sim.Decision"]
    problems = []
    wanted = {
        "asic_share": observation.asic.mode_ths.shape,
        "gpu_share": observation.gpu.available.shape,
    }
    for name, shape in wanted.items():
        share = getattr(decision, name)
        if not isinstance(share, np.ndarray) or share.dtype != np.float64:
            kind = getattr(share, "dtype", type(share).__name__)
            problems.append(f"{name} is {kind}; it must be a numpy array of float64")
        elif share.shape != shape:
            problems.append(f"{name} has shape {share.shape}; it must be {shape}")
        elif np.isnan(share).any():
            problems.append(f"{name} has NaN at index {_first(np.isnan(share))}")
        elif (share < 0).any():
            problems.append(f"{name} is below 0 at index {_first(share < 0)}")
        else:
            total = share.sum(axis=1) if share.ndim == 2 else share
            if (total > 1 + 1e-9).any():
                row = int(np.argmax(total > 1 + 1e-9))
                problems.append(f"{name}: row {row} sums to {total[row]:.6g}; at most 1 is allowed")
    return problems + option_problems(decision, observation)


def option_problems(decision: Decision, observation: Observation) -> list[str]:
    """Problems of the optional parts of a decision, as messages."""
    energy = observation.energy
    problems = []
    for name, shape, least in (
        ("route", observation.serving.latency_s.shape, 0.0),
        ("battery_w", energy.stored_j.shape, -np.inf),
        ("generation_w", energy.available_w.shape, 0.0),
        ("offer_w", energy.reserve_usd_per_mw_h.shape, 0.0),
    ):
        given = getattr(decision, name)
        if given is None:
            continue
        try:
            values = as_numbers(name, given)
        except LayoutError as error:
            problems.append(str(error))
            continue
        if values.shape != shape:
            problems.append(f"{name} has shape {values.shape}; it must be {shape}")
            continue
        if not values.size or (values.min() >= least and np.isfinite(values.sum())):
            continue  # NaN fails every comparison, inf shows in the sum
        wrong = ~(np.isfinite(values) & (values >= least))
        if wrong.any():
            below = "" if least < 0.0 else "below 0 or "
            problems.append(f"{name} is {below}not finite at index {_first(wrong)}")
    return problems


def offer_problems(offers: object, hours: int, programmes: int, sites: int) -> str:
    """Problem of reserve offers, as a message; empty when a market can take them."""
    if not isinstance(offers, ReserveOffers):
        return f"offer returned {type(offers).__name__}; it must return a sim.policy.ReserveOffers"
    shape = hours, programmes, sites
    for name, given, wanted in zip(
        ReserveOffers._fields, offers, (shape, shape, (hours, sites)), strict=True
    ):
        try:
            values = as_numbers(name, given)
        except LayoutError as error:
            return str(error)
        if values.shape != wanted:
            return f"{name} has shape {values.shape}; it must be {wanted}"
        endless = name == "at_most_w"
        wrong = np.isnan(values) | (values < 0.0 if name != "least_usd_per_mw_h" else False)
        wrong |= np.isinf(values) & (not endless)
        if wrong.any():
            return f"{name} is NaN, infinite or below 0 at index {_first(wrong)}"
    return ""


def bid_problems(bids: object, sites: int) -> str:
    """Problem of bids, as a message; empty when they can be cleared."""
    if not isinstance(bids, Bids):
        return f"bid returned {type(bids).__name__}; it must return a sim.policy.Bids"
    site, power_w, usd = (np.asarray(part) for part in bids)
    if site.ndim != 1 or power_w.shape != site.shape or usd.shape != site.shape:
        return f"shapes {site.shape}, {power_w.shape}, {usd.shape}; all three must be (bid,)"
    if site.dtype.kind not in "iu" or (site.size and not 0 <= site.min() <= site.max() < sites):
        return f"site must be whole numbers from 0 to {sites - 1}"
    for name, part in (("power_w", power_w), ("usd_per_mwh", usd)):
        if part.dtype.kind not in "iuf" or not np.isfinite(part).all():
            return f"{name} must be finite numbers"
    return "power_w is below 0" if (power_w < 0.0).any() else ""


def _first(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])

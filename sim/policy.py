"""The contract between the fleet and whoever decides: Observation in, Decision out."""

import pickle
from importlib import import_module
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sim.kernels.arrays import Limits
from sim.units import HASHES_PER_TH

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class AsicView(NamedTuple):
    """The ASIC groups. Shapes: `group` groups of identical machines, `mode` firmware modes."""

    site: Ints  # (group,) index of the group's site
    available: Floats  # (group,) machines that have not failed
    heat: Floats  # (group,) thermal factor on hashrate and power alike, 0 (tripped) to 1
    mode_ths: Floats  # (group, mode) hashrate of one machine [TH/s], 0 where there is no mode
    mode_w: Floats  # (group, mode) power of one machine at the wall [W], 0 where there is no mode
    default_share: Floats  # (group, mode) 1 at the firmware mode the scenario names
    share: Floats  # (group, mode) granted in the interval that ends now


class GpuView(NamedTuple):
    """The groups of GPU nodes. Shape: `node` groups of identical nodes."""

    site: Ints  # (node,) index of the group's site
    available: Floats  # (node,) nodes that have not failed
    node_w: Floats  # (node,) power of one node, serving tokens: its most [W]
    usd_per_h: Floats  # (node,) what a node-hour on earns, or is taken to earn [USD/h]
    credit_usd_per_h: Floats  # (node,) what a node-hour off costs on top [USD/h]
    contracted: Floats  # (node,) 1 reserved, 0.5 serving tokens, 0 batch
    share: Floats  # (node,) granted in the interval that ends now


class ServingView(NamedTuple):
    """Tenants who buy tokens. Shapes: `tenant`, `site`, `node` as in GpuView."""

    rate_rps: Floats  # (tenant,) requests sent in the interval that ends now [1/s]
    latency_s: Floats  # (tenant, site) one way; NaN: the site may not serve the tenant
    outstanding: Floats  # (node,) requests in the queues and batches of a group


NO_SERVING: Final = ServingView(np.zeros(0), np.zeros((0, 0)), np.zeros(0))


class Observation(NamedTuple):
    """What a policy sees at one instant: read-only, and nothing of the future."""

    t_s: int  # seconds since the start of the run
    step_s: int  # the decision holds until t_s + step_s
    price_usd_per_mwh: Floats  # (site,) energy price in force, with delivery
    ambient_c: Floats  # (site,)
    meter_factor: Floats  # (site,) W at the meter for a W at the machines (PUE and losses)
    usd_per_btc: float
    difficulty: float
    hashprice_usd_per_ph_day: float  # net of the pool's fee
    asic: AsicView
    gpu: GpuView
    limits: Limits  # nested limits at the meter
    serving: ServingView = NO_SERVING

    @property
    def usd_per_th(self) -> float:
        """What a tera-hash earns [USD/TH]; USD per second for a TH/s."""
        return self.hashprice_usd_per_ph_day / (1e15 / HASHES_PER_TH * 86_400)


class Decision(NamedTuple):
    """A wish: the share of the available machines that runs, by firmware mode.

    Each row of `asic_share` sums to at most 1; what is left is off. Limits may cut the wish.
    """

    asic_share: Floats  # (group, mode) 0 to 1
    gpu_share: Floats  # (node,) 0 to 1
    route: Floats | None = None  # (tenant, site) weight of an open engine; None: as before


@runtime_checkable
class Policy(Protocol):
    """Anything with `decide`. State of its own is allowed; it is told nothing but observations."""

    def decide(self, observation: Observation) -> Decision:
        """The wish for the interval that begins at `observation.t_s`."""
        ...


class PolicyError(Exception):
    """A policy that cannot be loaded, or a decision that makes no sense."""


def load_policy(spec: str, parameters: dict[str, Any], builtin: dict[str, str]) -> Policy:
    """A policy by built-in name or as "package.module:Class", made with keyword parameters."""
    address = builtin.get(spec, spec)
    module_name, _, class_name = address.partition(":")
    if not class_name:
        names = ", ".join(sorted(builtin))
        raise PolicyError(f'policy {spec!r}: allowed: {names}, or "package.module:Class"')
    try:
        made = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise PolicyError(f"policy {spec!r} cannot be imported: {error}") from None
    try:
        policy = made(**parameters)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"policy {spec!r} with parameters {parameters}: {error}") from None
    if not isinstance(policy, Policy):
        raise PolicyError(f"policy {spec!r}: {class_name} has no method decide(observation)")
    return policy


def decision_problems(decision: object, observation: Observation) -> list[str]:
    """What is wrong with a decision, in words; empty when it can be granted."""
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
    if decision.route is not None:
        shape = observation.serving.latency_s.shape
        route = np.asarray(decision.route)
        if route.shape != shape:
            problems.append(f"route has shape {route.shape}; it must be {shape}")
        elif not (np.isfinite(route) & (route >= 0)).all():
            wrong = _first(~(np.isfinite(route) & (route >= 0)))
            problems.append(f"route is below 0 or not finite at index {wrong}")
    return problems


def check_policy(policy: object) -> list[str]:
    """Tell the author of a policy what is wrong with it; an empty list is good news.

    It is shown a day of a small invented fleet, twice: every decision must have the right shape,
    lie between 0 and 1 without NaN, leave the observation alone, and be the same for a fresh copy
    of the policy that sees the same day.
    """
    if not isinstance(policy, Policy):
        return [f"{type(policy).__name__} has no method decide(observation)"]
    try:
        copies = [pickle.loads(pickle.dumps(policy)) for _ in range(2)]
    except Exception as error:  # whatever an author's object raises when pickled
        return [f"it cannot be pickled (runs in other processes need that): {error}"]
    problems: list[str] = []
    for step in range(96):
        decisions = []
        for copy in copies:
            observation = _example(step)
            try:
                decision = copy.decide(observation)
            except Exception as error:  # any failure of an author's code is a finding
                return [f"decide fails at step {step}: {type(error).__name__}: {error}"]
            problems += decision_problems(decision, observation)
            if not _same(observation, _example(step)):
                problems.append(f"decide changes its observation at step {step}")
            decisions.append(decision)
        if not problems and not _same(*decisions):
            problems.append(f"two fresh copies decide differently at step {step}")
        if problems:
            return problems
    return []


def _first(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b, equal_nan=a is not None))


def _example(step: int) -> Observation:
    """An invented fleet: three sites, four ASIC groups with three modes, two groups of nodes.

    Its arrays are writable on purpose: a policy that changes them is found out.
    """
    draw = np.random.Generator(np.random.Philox(key=step))
    full = np.array([[0.0, 1.0, 0.0]] * 4)
    return Observation(
        t_s=900 * step,
        step_s=900,
        price_usd_per_mwh=draw.normal(40.0, 60.0, 3),
        ambient_c=draw.uniform(-10.0, 48.0, 3),
        meter_factor=draw.uniform(1.03, 1.2, 3),
        usd_per_btc=90_000.0,
        difficulty=1.4e14,
        hashprice_usd_per_ph_day=float(draw.uniform(20.0, 60.0)),
        asic=AsicView(
            site=np.array([0, 0, 1, 2]),
            available=draw.integers(900, 1000, 4).astype(np.float64),
            heat=np.array([1.0, 1.0, 0.95, 0.0 if step % 7 == 0 else 1.0]),
            mode_ths=np.array([[112.0, 140.0, 150.0], [160.0, 200.0, 216.0]] * 2),
            mode_w=np.array([[2110.0, 3010.0, 3460.0], [2450.0, 3500.0, 4025.0]] * 2),
            default_share=full.copy(),
            share=full * draw.uniform(0.0, 1.0),
        ),
        gpu=GpuView(
            site=np.array([0, 2]),
            available=np.array([4.0, 8.0]),
            node_w=np.array([7980.0, 7980.0]),
            usd_per_h=np.array([16.0, 12.0]),
            credit_usd_per_h=np.array([8.0, 0.0]),
            contracted=np.array([1.0, 0.0]),
            share=np.ones(2),
        ),
        limits=Limits(
            path=np.array([[0, 3], [1, 3], [2, -1]]), room_w=np.array([5e6, 4e6, 3e6, 6e6])
        ),
        serving=ServingView(
            rate_rps=draw.uniform(0.0, 5.0, 2),
            latency_s=np.array([[0.01, 0.04, 0.02], [0.03, np.nan, 0.01]]),
            outstanding=np.array([0.0, 12.0]),
        ),
    )

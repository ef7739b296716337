"""Compiled entries read memory on trust: what comes from outside is converted or refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sim
from sim.example_fleets import example
from sim.gym import Codec, FleetEnv
from sim.kernels.border import LayoutError
from sim.kernels.dispatch import AsicUses, offer_load
from sim.kernels.jit import specialise
from sim.policies.merit_order import MeritOrder
from sim.policy import Decision, Observation, PolicyError
from sim.scenario import Scenario
from sim.types import Floats, Ints


def double(x: Floats, places: Ints, out: Floats) -> None:
    for i in range(len(out)):
        out[i] = 2.0 * x[places[i]]


GIVEN = np.array([3.0, 5.0, 7.0])
KINDS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda a: a,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "backwards": lambda a: a[..., ::-1].copy()[..., ::-1],
    "Fortran order": np.asfortranarray,
    "whole numbers": lambda a: a.astype(np.int64),
    "small whole numbers": lambda a: a.astype(np.uint16),
    "single precision": lambda a: a.astype(np.float32),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "a list": lambda a: a.tolist(),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "complex": (GIVEN * 1j, "complex128"),
    "text": (np.array(["3", "5", "7"]), "allowed: float64"),
    "objects": (GIVEN.astype(object), "object"),
    "too short": (GIVEN[:2], r"shape \(2,\); it must be \(3,\)"),
    "a row too many": (GIVEN[None], r"shape \(1, 3\)"),
    "ragged": ([[3.0], [5.0, 7.0]], "not an array of numbers"),
    "nothing": (None, "object"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_can_be_read_is_converted(kind: str) -> None:
    entry = specialise(double, np.zeros(3), np.arange(3), np.empty(3), out=1)
    out = np.empty(3)
    entry(
        KINDS[kind](GIVEN),
        KINDS[kind](np.array([2, 1, 0])) if "single" not in kind else [2, 1, 0],
        out,
    )
    assert out.tolist() == [14.0, 10.0, 6.0]


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_refused_by_name(kind: str) -> None:
    entry = specialise(double, np.zeros(3), np.arange(3), np.empty(3), out=1)
    value, message = REFUSED[kind]
    with pytest.raises(LayoutError, match=f"double: x .*{message}"):
        entry(value, np.arange(3), np.empty(3))


def test_a_fraction_is_no_index_and_what_is_written_is_never_a_copy() -> None:
    entry = specialise(double, np.zeros(3), np.arange(3), np.empty(3), out=1)
    with pytest.raises(LayoutError, match="places is float64; allowed: int64"):
        entry(GIVEN, np.array([0.0, 1.5, 2.0]), np.empty(3))
    for out in (np.empty(6)[::2], np.empty(3, np.float32), [0.0] * 3):
        with pytest.raises(LayoutError, match="out"):
            entry(GIVEN, np.arange(3), out)


def test_the_first_example_does_not_set_the_kind() -> None:
    entry = specialise(double, [1, 2, 3], np.arange(3), np.empty(3), out=1)
    out = np.empty(3)
    entry(GIVEN, np.arange(3), out)
    assert out.tolist() == [6.0, 10.0, 14.0]


def test_own_arguments_are_bound() -> None:
    out = np.empty(3)
    entry = specialise(double, GIVEN, np.arange(3), np.empty(3), own=1, out=1)
    entry([2, 1, 0], out)
    assert out.tolist() == [14.0, 10.0, 6.0]


# A policy that hands a changed observation on to a built-in one.


class HandOn:
    """Merit-order on what `change` makes of the observation."""

    def __init__(self, change: Callable[[Observation], Observation]) -> None:
        self.change, self.rest = change, MeritOrder()

    def decide(self, observation: Observation) -> Decision:
        return self.rest.decide(self.change(observation))


def handed(kind: Callable[[Any], Any], *names: str) -> Callable[[Observation], Observation]:
    def change(o: Observation) -> Observation:
        asic = o.asic._replace(**{n: kind(getattr(o.asic, n)) for n in names})
        return o._replace(asic=asic, gpu=o.gpu._replace(available=kind(o.gpu.available)))

    return change


@pytest.fixture(scope="module")
def day() -> Scenario:
    return sim.load("configs/tiny", {"horizon.days": 1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_may_hand_on_an_observation_in_any_layout(day: Scenario, kind: str) -> None:
    whole = "whole" in kind
    names = ("available",) if whole or "single" in kind else ("available", "heat", "mode_w", "site")
    seen = sim.run(day, HandOn(handed(KINDS[kind], *names)))
    assert seen.kpis == sim.run(day, HandOn(lambda o: o)).kpis


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("available", np.ones(1), r"available has shape \(1,\); it must be"),
        ("available", None, "shape"),
        ("heat", np.array([1j, 1j]), "complex|shape"),
        ("site", np.array([0, 99]), "asic.site goes from 0 to 99|shape"),
        ("site", np.array([0, -1]), "goes from -1|shape"),
    ],
)
def test_a_policy_that_breaks_an_observation_is_told(
    day: Scenario, name: str, value: Any, message: str
) -> None:
    def change(o: Observation) -> Observation:
        groups = len(o.asic.site)
        broken = value if value is None or len(value) < 2 else np.resize(value, groups)
        return o._replace(asic=o.asic._replace(**{name: broken}))

    with pytest.raises(LayoutError, match=message):
        sim.run(day, HandOn(change))


def with_energy(observation: Observation, **changed: Any) -> Observation:
    return observation._replace(energy=observation.energy._replace(**changed))


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("single precision", "a list")])
def test_batteries_may_be_handed_on_in_any_layout(kind: str) -> None:
    o = example(0, "five sites")
    names = ("battery_site",) if "whole" in kind else ("battery_site", "battery")
    seen = with_energy(o, **{n: KINDS[kind](getattr(o.energy, n)) for n in names})
    found, wanted = MeritOrder().decide(seen).battery_w, MeritOrder().decide(o).battery_w
    assert found is not None
    assert wanted is not None
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    ("name", "cut"), [("battery", np.s_[:-1]), ("battery", np.s_[:, :3]), ("stored_j", np.s_[:-1])]
)
def test_batteries_that_are_not_all_there_are_refused(name: str, cut: Any) -> None:
    """A row too few was once read from whatever lies behind in memory."""
    first = example(0, "five sites")
    with pytest.raises((ValueError, IndexError)):  # the former is also that of layouts
        MeritOrder().decide(with_energy(first, **{name: getattr(first.energy, name)[cut]}))


def test_a_complex_price_is_refused() -> None:
    o = example(0)
    with pytest.raises(TypeError, match="complex"):
        MeritOrder().decide(o._replace(price_usd_per_mwh=o.price_usd_per_mwh * 1j))


def test_a_changed_worth_of_nodes_is_seen_at_every_step(day: Scenario) -> None:
    """What a node earns is looked at again when a policy replaces it."""
    seen: list[float] = []

    class Flip:
        def __init__(self) -> None:
            self.rest = MeritOrder()

        def decide(self, o: Observation) -> Decision:
            worth = 0.0 if o.t_s % 1800 else 1e6
            gpu = o.gpu._replace(
                usd_per_h=np.full(len(o.gpu.site), worth),
                credit_usd_per_h=np.zeros(len(o.gpu.site)),
            )
            decision = self.rest.decide(o._replace(gpu=gpu, price_usd_per_mwh=np.full(2, 90.0)))
            seen.append(float(decision.gpu_share.sum()))
            return decision

    sim.run(day, Flip())
    assert set(seen[1::2]) == {0.0}
    assert min(seen[::2]) > 0.0


# Decisions.


class Wish:
    def __init__(self, kind: Callable[[Any], Any]) -> None:
        self.kind = kind

    def decide(self, o: Observation) -> Decision:
        return Decision(self.kind(o.asic.default_share), self.kind(np.ones(len(o.gpu.site))))


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "a list"])
def test_decisions_in_any_layout(day: Scenario, kind: str) -> None:
    assert sim.run(day, Wish(KINDS[kind])).kpis == sim.run(day, Wish(KINDS["as it is"])).kpis


@pytest.mark.parametrize(
    "kind",
    [
        lambda a: a * 1j,
        lambda a: a.astype(str),
        lambda a: a.astype(object),
        lambda a: a.tolist(),
        lambda a: a * np.nan,
        lambda a: a + np.inf,
        lambda a: a - 0.5,
        lambda a: a * 1.1,
        lambda a: a[:-1],
    ],
)
def test_decisions_that_are_none(day: Scenario, kind: Callable[[Any], Any]) -> None:
    with pytest.raises(PolicyError, match="asic_share"):
        sim.run(day, Wish(kind))


# Agents.


def test_actions_in_any_layout(day: Scenario) -> None:
    env = FleetEnv(day, seed=1)
    env.reset(seed=1)
    codec: Codec = env.codec
    action = np.linspace(0.1, 0.9, len(codec.low)).round(1)
    codec.fill(wanted := codec.decision(), action)
    for name, kind in KINDS.items():
        if "whole" in name or "single" in name:
            continue
        codec.fill(found := codec.decision(), kind(action))
        assert found.asic_share.tolist() == wanted.asic_share.tolist(), name
        assert found.gpu_share.tolist() == wanted.gpu_share.tolist(), name
    for wrong in (action * 1j, action.astype(str), action[:-1], action[None], None):
        with pytest.raises(ValueError, match="action"):
            env.step(wrong)


def test_kernels_that_are_not_specialised_look_at_types_themselves() -> None:
    """The dispatcher reads a strided array as what it is."""
    available = np.array([10.0, -1.0, 20.0, -1.0])[::2]
    one, offer_w = np.ones(2), np.zeros((1, 1))
    watts = np.array([[100.0], [100.0]])
    asics = AsicUses(np.zeros(2, np.int64), available, one, one)
    offer_load(asics, watts, np.ones((2, 1)), one[:1, None], offer_w)
    assert offer_w.item() == 3000.0

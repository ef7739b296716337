"""Check a policy for its author, before a run fails."""

import datetime
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final, NamedTuple

import numpy as np

from sim.example_fleets import DAY, FLEETS, trying
from sim.policy import Decision, Observation, Policy, decision_problems

NOON: Final = 48  # step from which the altered day differs
SLOW_MS: Final = 50.0  # a year in steps of 15 minutes then takes half an hour
TELLS_TIME: Final = (BuiltinFunctionType, type)  # types that may tell the time in a module
AHEAD_S: Final = 86_400 + 3_661  # clock advance at each step: another hour and day


class _Day(NamedTuple):
    """What a copy of a policy did in a day."""

    decisions: list[Decision]
    problems: list[str]
    took_s: list[float]


def check_policy(
    policy: object,
    slow_ms: float = SLOW_MS,
    fleets: Sequence[str] = FLEETS,
    clock: Callable[[], float] | None = None,
) -> list[str]:
    """Problems of a policy, as messages for its author; an empty list means none were found.

    The policy is run for a day on small invented fleets (one site of ASICs, GPUs alone, with and
    without batteries, generators, programmes and tenants), with prices from -1,000 to 15,000
    USD/MWh and -45 to 55 degrees C. Every decision must have the right shape, lie between 0 and 1
    without NaN and leave the observation unchanged. Each day runs on a fresh copy. A second copy,
    for which `time` and `datetime` give other hours and days, must decide the same: a policy uses
    no clock, no random numbers of its own and no state outside the object. A third copy, whose day
    differs after noon, must decide the same until noon: a policy does not see the future. For each
    fleet the mean and the 95th percentile of a decision's time may reach `slow_ms` [ms]; one-off
    costs such as compilation do not count.

    Args:
        policy: an object with `decide`.
        slow_ms: longest time of a decision [ms].
        fleets: names from `sim.example_fleets.FLEETS`; default: all. An agent trained for the
            shapes of one fleet works on no other.
        clock: clock that times decisions [s]; default: `time.perf_counter`.
    """
    if not isinstance(policy, Policy):
        return [f"{type(policy).__name__} has no method decide(observation)"]
    for fleet in fleets:
        problems = _on(policy, fleet, slow_ms, clock or time.perf_counter)
        if problems:
            return [f"{problem} (fleet: {fleet})" for problem in problems]
    return []


def _on(policy: Policy, fleet: str, slow_ms: float, timer: Callable[[], float]) -> list[str]:
    """Problems on one fleet; later checks run only if earlier ones find nothing."""
    try:
        kept = pickle.dumps(policy)
        spare = pickle.loads(kept)
    except Exception as error:  # pickling an author's object may raise anything
        return [f"it cannot be pickled (runs in other processes need that): {error}"]
    first = _day(kept, fleet, timer)
    if first.problems:
        return first.problems
    # One more decision: 97 is prime, so state kept elsewhere falls out of step.
    with suppress(Exception):
        spare.decide(trying(0, fleet))
    second = _day(kept, fleet, timer, clock=True)
    if second.problems:
        return second.problems
    step = _first_other(first, second, DAY)
    if step is not None:
        again = _day(kept, fleet, timer)
        if not again.problems and _first_other(first, again, DAY) is None:
            return [f"the decision at step {step} depends on the clock of this machine"]
        return [f"two fresh copies decide differently at step {step}"]
    took_ms = 1e3 * np.minimum(first.took_s, second.took_s)
    for name, value in (("mean", took_ms.mean()), ("95th percentile", np.quantile(took_ms, 0.95))):
        if not value <= slow_ms:
            return [
                f"decide takes {value:.1f} ms ({name} of {DAY} steps); "
                f"more than {slow_ms:g} ms makes years slow"
            ]
    other = _day(kept, fleet, timer, turn=NOON)
    if other.problems:
        return other.problems
    step = _first_other(first, other, NOON)
    return [] if step is None else [f"the decision at step {step} depends on what comes later"]


def _day(
    kept: bytes,
    fleet: str,
    timer: Callable[[], float],
    turn: int = DAY,
    clock: bool = False,
) -> _Day:
    """Run a pickled policy for a day, altered from step `turn`; `clock`: with altered clocks."""
    numbers = [step if step < turn else step + DAY for step in range(DAY)]
    day = [trying(number, fleet) for number in numbers]
    found = _Day([], [], [])
    kind = type(pickle.loads(kept))
    with _other_clock(kind) if clock else nullcontext([0]) as ahead_s:
        policy: Policy = pickle.loads(kept)
        for step, observation in enumerate(day):
            ahead_s[0] += AHEAD_S
            began = timer()
            try:
                decision = policy.decide(observation)
            except Exception as error:  # any failure of an author's code is a finding
                what = f"{type(error).__name__}: {error}"
                return _Day([], [f"decide fails at step {step}{_told(observation)}: {what}"], [])
            found.took_s.append(timer() - began)
            problems = decision_problems(decision, observation)
            if problems:
                at = f" at step {step}{_told(observation)}"
                return _Day([], [problem + at for problem in problems], [])
            if not _same(observation, trying(numbers[step], fleet)):
                return _Day([], [f"decide changes its observation at step {step}"], [])
            found.decisions.append(pickle.loads(pickle.dumps(decision)))  # copies arrays
    return found


@contextmanager
def _other_clock(kind: type) -> Iterator[list[int]]:
    """Make clocks run ahead, under whatever name a module or the class `kind` holds them.

    Yields the advance [s], to be changed in place.
    """
    ahead_s = [0]
    instead = _clocks(ahead_s)
    undo: list[Callable[[], object]] = []
    try:
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            home = names.get("__name__") if isinstance(names, dict) else None
            if not isinstance(names, dict) or home == __name__:
                continue
            top = str(home).partition(".")[0]
            inner = top in sys.stdlib_module_names and top != "time"
            for name, value in list(names.items()):
                false = instead(value, inner) if type(value) in TELLS_TIME else None
                if false is not None:
                    undo.append(partial(names.__setitem__, name, value))
                    names[name] = false
        for owner in kind.__mro__[:-1]:
            for name, value in list(vars(owner).items()):
                plain = getattr(value, "__func__", value)
                false = instead(plain, False)
                if false is not None:
                    undo.append(partial(setattr, owner, name, value))
                    setattr(owner, name, staticmethod(false))
                given = getattr(plain, "__defaults__", None)
                if (
                    isinstance(plain, FunctionType)
                    and given
                    and any(instead(g, False) is not None for g in given)
                ):
                    undo.append(partial(setattr, plain, "__defaults__", given))
                    plain.__defaults__ = tuple(instead(g, False) or g for g in given)
        yield ahead_s
    finally:
        for back in reversed(undo):
            back()


def _clocks(ahead_s: list[int]) -> Callable[[Any, bool], Any]:
    """Build replacements for functions and classes that tell the time; None for anything else.

    Within the standard library (second argument) the monotonic clock stays: threads wait by it.
    """
    real_time, real_datetime, real_date = time.time, datetime.datetime, datetime.date
    real_day = np.datetime64

    def ahead() -> datetime.timedelta:
        return datetime.timedelta(seconds=ahead_s[0])

    def now() -> float:
        return real_time() + ahead_s[0]

    class Alike(type):
        """Instances made before the replacement count as instances too."""

        def __instancecheck__(cls, given: object) -> bool:
            return isinstance(given, cls.__mro__[1])

        def __subclasscheck__(cls, given: type) -> bool:
            return issubclass(given, cls.__mro__[1])

    class Now(real_datetime, metaclass=Alike):  # type: ignore[misc, valid-type]  # made at run time
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
            return real_datetime.now(tz) + ahead()

        @classmethod
        def utcnow(cls) -> datetime.datetime:
            return real_datetime.now(datetime.UTC).replace(tzinfo=None) + ahead()

        @classmethod
        def today(cls) -> datetime.datetime:
            return real_datetime.now() + ahead()

    class Today(real_date, metaclass=Alike):  # type: ignore[misc, valid-type]  # made at run time
        @classmethod
        def today(cls) -> datetime.date:
            return (real_datetime.now() + ahead()).date()

    class AlikeDay(Alike):
        def __call__(cls, *given: Any) -> Any:
            found = real_day(*given)
            if not given or given[0] not in ("now", "today"):
                return found
            return (real_day("now", "s") + np.timedelta64(ahead_s[0], "s")).astype(found.dtype)

    class Day(real_day, metaclass=AlikeDay):  # type: ignore[misc, valid-type]  # made at run time
        pass

    def of(function: Any) -> Any:
        return lambda seconds=None: function(now() if seconds is None else seconds)

    def plus(function: Any, per_s: int = 1) -> Any:
        return lambda *given: function(*given) + ahead_s[0] * per_s

    local = time.localtime
    steady = ("monotonic", "perf_counter", "clock_gettime")
    replaced: dict[int, tuple[Any, Any]] = {
        id(real): (real, false)
        for real, false in (
            (time.time, now),
            (time.time_ns, lambda: int(now() * 1e9)),
            (time.localtime, of(time.localtime)),
            (time.gmtime, of(time.gmtime)),
            (time.ctime, of(time.ctime)),
            (time.strftime, lambda text, t=None, f=time.strftime: f(text, t or local(now()))),
            (real_datetime, Now),
            (real_date, Today),
            (real_day, Day),
        )
    }
    kept_inside = set()
    for name, per_s in ((n + end, p) for n in steady for end, p in (("", 1), ("_ns", 10**9))):
        real = getattr(time, name, None)  # not every system has all of them
        if real is not None:
            replaced[id(real)] = real, plus(real, per_s)
            kept_inside.add(id(real))

    def instead(value: Any, inner: bool) -> Any:
        real, false = replaced.get(id(value), (None, None))
        if real is not None and real is value:
            return None if inner and id(value) in kept_inside else false
        if isinstance(value, BuiltinFunctionType):  # such as datetime.now under another name
            for real, kind in ((real_datetime, Now), (real_date, Today)):
                if value.__self__ is real and value.__name__ in vars(kind):
                    return getattr(kind, value.__name__)
        return None

    return instead


def _first_other(a: _Day, b: _Day, steps: int) -> int | None:
    """The first step at which two copies decide differently."""
    pairs = zip(a.decisions[:steps], b.decisions[:steps], strict=True)
    return next((step for step, (x, y) in enumerate(pairs) if not _same(x, y)), None)


def _told(observation: Observation) -> str:
    """The extreme values of a step, in brackets."""
    price, ambient = observation.price_usd_per_mwh, observation.ambient_c
    told = [f"{price.max():,.0f} USD/MWh"] if price.max() > 1_000.0 else []
    told += [f"{price.min():,.0f} USD/MWh"] if price.min() < -100.0 else []
    told += [f"{ambient.min():.0f} °C"] if ambient.min() < -20.0 else []
    return f" ({', '.join(told)})" if told else ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b, equal_nan=a is not None))

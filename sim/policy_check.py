"""What is wrong with a policy, for its author, before a run finds out."""

import datetime
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final, NamedTuple

import numpy as np

from sim.example_fleets import DAY, FLEETS, trying
from sim.policy import Decision, Observation, Policy, decision_problems

NOON: Final = 48  # the step from which a day may turn out otherwise
SLOW_MS: Final = 50.0  # a year in steps of 15 minutes is then half an hour
AHEAD_S: Final = 86_400 + 3_661  # by which the clock runs on at each step: another hour and day


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
    """Tell the author of a policy what is wrong with it; an empty list is good news.

    It is shown a day of small invented fleets (one site of ASICs, GPUs alone, with and without
    batteries, generators, programmes and tenants), with prices from -1,000 to 15,000 USD/MWh and
    -45 to 55 degrees C. Every decision must have the right shape, lie between 0 and 1 without NaN
    and leave the observation alone. Fresh copies see each day: a second one, for which the clock of
    `time` and `datetime` says other hours and days, must decide the same (no clock, no luck of its
    own, nothing kept outside the object), and a third, for which the day turns out otherwise after
    noon, the same until noon (nothing of the future). Of each fleet's decisions the mean and the
    95th percentile may take `slow_ms` [ms]; what is slow only once, as compiling, does not count.

    Args:
        policy: an object with `decide`.
        slow_ms: most time of a decision [ms].
        fleets: which it is shown, of `sim.example_fleets.FLEETS`; default: all. An agent that was
            trained for the shapes of one fleet knows no other.
        clock: what decisions are timed by [s]; default: `time.perf_counter`.
    """
    if not isinstance(policy, Policy):
        return [f"{type(policy).__name__} has no method decide(observation)"]
    for fleet in fleets:
        problems = _on(policy, fleet, slow_ms, clock or time.perf_counter)
        if problems:
            return [f"{problem} (fleet: {fleet})" for problem in problems]
    return []


def _on(policy: Policy, fleet: str, slow_ms: float, timer: Callable[[], float]) -> list[str]:
    """What is wrong on one fleet; later checks only where earlier ones find nothing."""
    try:
        copies = [pickle.loads(pickle.dumps(policy)) for _ in range(4)]
    except Exception as error:  # whatever an author's object raises when pickled
        return [f"it cannot be pickled (runs in other processes need that): {error}"]
    first = _day(copies[0], fleet, timer)
    if first.problems:
        return first.problems
    second = _day(copies[1], fleet, timer, clock=True)
    if second.problems:
        return second.problems
    step = _first_other(first, second, DAY)
    if step is not None:
        again = _day(copies[2], fleet, timer)
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
    other = _day(copies[3], fleet, timer, turn=NOON)
    if other.problems:
        return other.problems
    step = _first_other(first, other, NOON)
    return [] if step is None else [f"the decision at step {step} depends on what comes later"]


def _day(
    policy: Policy,
    fleet: str,
    timer: Callable[[], float],
    turn: int = DAY,
    clock: bool = False,
) -> _Day:
    """A day of a policy. From step `turn` on it is another one; `clock`: so is the wall clock."""
    numbers = [step if step < turn else step + DAY for step in range(DAY)]
    day = [trying(number, fleet) for number in numbers]
    found = _Day([], [], [])
    with _other_clock() if clock else nullcontext([0]) as ahead_s:
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
            found.decisions.append(pickle.loads(pickle.dumps(decision)))  # its arrays are its own
    return found


@contextmanager
def _other_clock() -> Iterator[list[int]]:
    """The wall clock of `time` and `datetime` runs ahead, by whatever name a module calls it.

    Yields the seconds [s] by which it does, to be changed in place.
    """
    ahead_s = [0]
    real_time, real_datetime, real_date = time.time, datetime.datetime, datetime.date

    def ahead() -> datetime.timedelta:
        return datetime.timedelta(seconds=ahead_s[0])

    def now() -> float:
        return real_time() + ahead_s[0]

    class Alike(type):
        """What was made before is an instance too."""

        def __instancecheck__(cls, given: object) -> bool:
            return isinstance(given, cls.__mro__[1])

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

    def of(function: Any) -> Any:
        return lambda seconds=None: function(now() if seconds is None else seconds)

    local = time.localtime
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
        )
    }
    changed: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if not isinstance(names, dict) or names.get("__name__") == __name__:
                continue
            for name, value in list(names.items()):
                real, false = replaced.get(id(value), (None, None))
                if real is not None and value is real:
                    names[name] = false
                    changed.append((names, name, real))
        yield ahead_s
    finally:
        for names, name, real in changed:
            names[name] = real


def _first_other(a: _Day, b: _Day, steps: int) -> int | None:
    """The first step at which two copies decide differently."""
    pairs = zip(a.decisions[:steps], b.decisions[:steps], strict=True)
    return next((step for step, (x, y) in enumerate(pairs) if not _same(x, y)), None)


def _told(observation: Observation) -> str:
    """What is extreme about a step, in brackets."""
    price, ambient = observation.price_usd_per_mwh, observation.ambient_c
    told = [f"{price.max():,.0f} USD/MWh"] if price.max() > 1_000.0 else []
    told += [f"{price.min():,.0f} USD/MWh"] if price.min() < -100.0 else []
    told += [f"{ambient.min():.0f} °C"] if ambient.min() < -20.0 else []
    return f" ({', '.join(told)})" if told else ""


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple):
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(np.array_equal(a, b, equal_nan=a is not None))

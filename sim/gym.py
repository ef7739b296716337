"""The same simulation as a Gymnasium environment, and a trained agent as a policy.

    env = gymnasium.make("sim.gym:hashwatt/Fleet-v0", scenario="configs/tiny")
    sim.run(scenario, AgentPolicy(agent))

Both directions share one `Codec`: how an observation becomes a vector, and a vector a decision.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, cast

import gymnasium
import numpy as np
from gymnasium import spaces

from sim.arithmetic import strict
from sim.engine import Engine
from sim.kernels.agent import Controls, Machines, Numbers, decode_groups, decode_sites, encode
from sim.kernels.border import as_numbers
from sim.kernels.jit import specialise
from sim.plant import Plant
from sim.policy import NO_DEMAND, Decision, Market, Observation
from sim.results.result import RunResult
from sim.runner import result_of
from sim.scenario import Scenario, load
from sim.types import Floats
from sim.units import SECONDS_PER_DAY

ID: Final = "hashwatt/Fleet-v0"
WEEK_S: Final = 7 * SECONDS_PER_DAY
Control = Literal["site", "group"]
NOTHING: Final = np.zeros(0)

# Fields of an observation and their divisors: round figures of typical size (assumed).
FLEET: Final = {
    "day_sin": 1.0,
    "day_cos": 1.0,
    "week_sin": 1.0,
    "week_cos": 1.0,
    "usd_per_btc": 1e5,
    "hashprice_usd_per_ph_day": 50.0,
    "peak_risk": 1.0,
}
AT_SITE: Final = {
    "price_usd_per_mwh": 50.0,
    "day_ahead_usd_per_mwh": 50.0,
    "ambient_c": 20.0,
    "month_peak_w": 1e7,
}


class Info(TypedDict):
    """Extra data of a step; `gross_margin_usd` is the sum of the rewards so far."""

    seed: int
    t_s: int
    gross_margin_usd: float


class Codec:
    """Encodes observations as vectors and decodes vectors as decisions, for the fleet of `example`.

    An observation is a vector of float32; `fields` says where each field lies:

    - `day_sin`, `day_cos`, `week_sin`, `week_cos`: phase of the day and week since the start [-];
    - `usd_per_btc`, `hashprice_usd_per_ph_day`, `peak_risk`: one value each;
    - `price_usd_per_mwh`, `day_ahead_usd_per_mwh` (the price where none is known), `ambient_c`,
      `month_peak_w`, `called` and `announced` (calls, 0 or 1): (site,);
    - `asic_on` (group,), `gpu_on` (node,): granted shares; `stored` (battery,): state of charge.

    With `normalised` values are divided by the scales of FLEET and AT_SITE; otherwise they have the
    units of their names. Tenants are left out: the fleet's own router routes their requests.

    An action is a vector, clipped to `low` to `high`: with control "site" a share for the ASICs
    of each site in the scenario's firmware modes (site,), then a share for the GPU nodes of each
    site that has any, 0 to 1; with "group" a share for each firmware mode of each ASIC group
    (group, mode), scaled down where a group's sum is above 1, then one for each group of nodes
    (node,). Both end with the power of each battery as a share of its maximum (battery,), from -1,
    discharging, to 1, charging. Generators and offers follow the fleet's own rules.
    """

    def __init__(self, example: Observation, control: Control = "site", normalised: bool = True):
        if control not in ("site", "group"):
            raise ValueError(f"control is {control!r}; allowed: site, group")
        asic, gpu, energy = example.asic, example.gpu, example.energy
        sites = len(example.price_usd_per_mwh)
        sizes = {
            **dict.fromkeys(FLEET, 1),
            **dict.fromkeys((*AT_SITE, "called", "announced"), sites),
            "asic_on": len(asic.site),
            "gpu_on": len(gpu.site),
            "stored": len(energy.battery_site),
        }
        ends = np.cumsum(list(sizes.values())).tolist()
        self.fields = {
            name: slice(end - size, end)
            for (name, size), end in zip(sizes.items(), ends, strict=True)
        }
        self.size = ends[-1]
        scale = np.array([*FLEET.values(), *AT_SITE.values()])
        self._scale = scale if normalised else np.ones_like(scale)
        self._energy_j = np.array(energy.battery_energy_j)
        self.fit(example)
        self._shapes = asic.mode_w.shape, gpu.site.shape, energy.battery_site.shape
        power_w = np.array(energy.battery_power_w)
        if control == "site":
            with_nodes, column = np.unique(gpu.site, return_inverse=True)
            machines = sites + len(with_nodes)
            fixed: tuple[Any, ...] = (
                np.array(asic.site),
                sites + column,
                np.array(asic.default_share),
                power_w,
            )
            decode: Callable[..., None] = decode_sites
        else:
            machines = asic.mode_w.size + len(gpu.site)
            column = asic.mode_w.size + np.arange(len(gpu.site))
            fixed = (column, np.array(asic.mode_w), power_w)
            decode = decode_groups
        self.low = np.concatenate([np.zeros(machines), np.full(len(power_w), -1.0)])
        self.high = np.ones(machines + len(power_w))
        empty = Controls(*(np.empty(shape) for shape in self._shapes))
        self._decode = specialise(decode, self.low, *fixed, empty, out=1)
        self._fixed = fixed

    def fit(self, example: Observation) -> None:
        """Prepare for observations whose arrays are shaped like these: encoding is then faster."""
        self._encode = specialise(
            encode, *self._seen(example), np.empty(self.size, np.float32), out=1
        )

    def observe(self, observation: Observation) -> Numbers:
        """The vector (size,) of an observation."""
        out = np.empty(self.size, dtype=np.float32)
        self._encode(*self._seen(observation), out)
        return out

    def decision(self) -> Decision:
        """An empty decision to `fill`; without batteries where there are none."""
        asic_share, gpu_share, battery_w = (np.zeros(shape) for shape in self._shapes)
        return Decision(asic_share, gpu_share, battery_w=battery_w if battery_w.size else None)

    def fill(self, decision: Decision, action: Floats) -> None:
        """Write an action into a decision.

        Raises:
            ValueError: if the action has another shape.
        """
        action = as_numbers("action", action)
        if action.shape != self.low.shape:
            raise ValueError(f"action has shape {action.shape}; allowed: {self.low.shape}")
        battery_w = NOTHING if decision.battery_w is None else decision.battery_w
        controls = Controls(decision.asic_share, decision.gpu_share, battery_w)
        self._decode(action, *self._fixed, controls)

    def _seen(self, observation: Observation) -> tuple[Any, ...]:
        day = observation.t_s % SECONDS_PER_DAY * (math.tau / SECONDS_PER_DAY)
        week = observation.t_s % WEEK_S * (math.tau / WEEK_S)
        energy = observation.energy
        fleet = (
            math.sin(day),
            math.cos(day),
            math.sin(week),
            math.cos(week),
            observation.usd_per_btc,
            observation.hashprice_usd_per_ph_day,
            energy.peak_risk,
        )
        at_site = (
            observation.price_usd_per_mwh,
            energy.day_ahead_usd_per_mwh,
            observation.ambient_c,
            energy.month_peak_w,
        )
        return (
            fleet,
            at_site,
            energy.called_w,
            Machines(
                observation.asic.share, observation.gpu.share, energy.stored_j, self._energy_j
            ),
            self._scale,
        )


class _Told:
    """A policy that returns the last decision it was given."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.decision = codec.decision()

    def decide(self, observation: Observation) -> Decision:
        return self.decision


class FleetEnv(gymnasium.Env[Numbers, Floats]):
    """A run of a scenario, one control step at a time; `Codec` defines observations and actions.

    The reward is the gross margin between two decisions [USD]: mining, inference and grid services
    less energy, fees, credits and penalties; rewards of an episode sum to the KPI
    `gross_margin_usd`. An episode is truncated at the horizon and terminates when the firm is
    insolvent. An event within a control step (a call, a link outage) needs a new decision: the
    action is repeated.

    `reset(seed=n)` makes the same world as `sim.run(scenario, seed=n)`. Without a seed the first
    world is that of the argument `seed`; later ones are drawn from the environment's generator.

    Args:
        scenario: from `sim.load`, or the path of a scenario folder.
        seed: of the first world, where `reset` is given none.
        control: "site" or "group".
        normalised: divide observations by the scales of FLEET and AT_SITE.
        render_mode: must be None; there is no rendering.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - as Gymnasium declares it

    def __init__(
        self,
        scenario: Scenario | str | Path,
        seed: int | None = None,
        control: Control = "site",
        normalised: bool = True,
        render_mode: None = None,
    ) -> None:
        self.scenario = scenario if isinstance(scenario, Scenario) else load(scenario)
        self.render_mode = render_mode
        self._first_seed = seed
        self.codec = Codec(_outline(self.scenario), control, normalised)
        far = float(np.finfo(np.float32).max)
        self.observation_space = spaces.Box(-far, far, (self.codec.size,), np.float32)
        self.action_space = spaces.Box(self.codec.low, self.codec.high, dtype=np.float64)
        self._told = _Told(self.codec)
        self._engine: Engine | None = None
        self._over = True
        self._seed = 0
        self._margin_usd = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Numbers, dict[str, Any]]:
        """Make a new world, at its first decision; there are no options.

        Raises:
            ValueError: if `options` is not empty.
        """
        if options:
            raise ValueError(f"options {sorted(options)}; allowed: none")
        if seed is None:
            seed, self._first_seed = self._first_seed, None
        super().reset(seed=seed)
        self._seed = int(self.np_random.integers(2**31)) if seed is None else seed
        with strict(lambda: 0):
            engine = self._engine = Engine(self.scenario, self._told, self._seed, live=True)
            engine.start()
            self._over = not engine.until_decision()
        self.codec.fit(engine.observation)
        self._margin_usd = engine.gross_margin_usd
        return self.codec.observe(engine.observation), self._info(engine)

    def step(self, action: Floats) -> tuple[Numbers, float, bool, bool, dict[str, Any]]:
        """One control step under `action`: observation, reward [USD], terminated, truncated, info.

        Raises:
            PolicyError: if the action has NaN.
            ValueError: if it has another shape than the action space.
        """
        engine = self._engine
        if engine is None or self._over:
            raise gymnasium.error.ResetNeeded("the episode is over or has not begun: call reset")
        self.codec.fill(self._told.decision, action)
        with strict(lambda: engine.now_s):
            engine.proceed()
            truncated = not engine.until_decision()
        if truncated:  # at the horizon no decision is made, so none was observed
            engine.observation = engine.observation._replace(t_s=engine.now_s)
        terminated = engine.firm.insolvent_s is not None
        self._over = truncated or terminated
        before_usd, self._margin_usd = self._margin_usd, engine.gross_margin_usd
        reward_usd = self._margin_usd - before_usd
        seen = self.codec.observe(engine.observation)
        return seen, reward_usd, terminated, truncated, self._info(engine)

    def result(self, name: str = "agent") -> RunResult:
        """The result of an episode that reached the horizon, as from `sim.run`.

        Raises:
            ResetNeeded: if no episode has reached it.
        """
        engine = self._engine
        if engine is None or engine.now_s < self.scenario.horizon.seconds:
            raise gymnasium.error.ResetNeeded("no episode has reached the horizon")
        return result_of(engine, name, {}, self._seed, {})

    def _info(self, engine: Engine) -> dict[str, Any]:
        info: Info = {
            "seed": self._seed,
            "t_s": engine.observation.t_s,
            "gross_margin_usd": self._margin_usd,
        }
        return cast("dict[str, Any]", info)


class AgentPolicy:
    """A trained agent as a policy for `sim.run`, with actions applied as in FleetEnv.

    Within a control step the last action is repeated, as in the environment.

    Args:
        agent: a callable, or an object with `predict(observation)`, that returns an action or a
            tuple that begins with one (as in stable-baselines3).
        control: as the agent was trained.
        normalised: as the agent was trained.
    """

    def __init__(self, agent: Any, control: Control = "site", normalised: bool = True) -> None:
        self.agent = agent
        self.control: Control = control
        self.normalised = normalised
        self._predict: Callable[[Numbers], Any] = getattr(agent, "predict", agent)
        if not callable(self._predict):
            raise ValueError(f"agent {agent!r}: allowed: an object with predict, or a callable")
        self._codec: Codec | None = None
        self._step_s = 0
        self._action = np.empty(0)

    def decide(self, observation: Observation) -> Decision:
        """The agent's action at a control step; the same one until the next."""
        if self._codec is None or observation.t_s == 0:
            self._codec = Codec(observation, self.control, self.normalised)
            self._step_s = observation.step_s
        if observation.step_s == self._step_s:
            answer = self._predict(self._codec.observe(observation))
            action = answer[0] if isinstance(answer, tuple) else answer
            self._action = np.array(as_numbers("action", action), dtype=np.float64)
        decision = self._codec.decision()
        self._codec.fill(decision, self._action)
        return decision

    def __reduce__(self) -> tuple[Any, ...]:
        return AgentPolicy, (self.agent, self.control, self.normalised)  # the rest is run state


def _outline(scenario: Scenario) -> Observation:
    """An observation of the fleet before the run begins, for its shapes."""
    nowhere = np.zeros(len(scenario.sites))
    market = Market(0.0, 0.0, 0.0, 0.0, nowhere, np.zeros((0, len(nowhere))), NO_DEMAND)
    return Plant.build(scenario).observe(0, scenario.horizon.step_s, market)


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point="sim.gym:FleetEnv")

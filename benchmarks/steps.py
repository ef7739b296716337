"""How long a fleet-year takes, and where: one process, one core, after warm-up.

Absolute seconds depend on the machine and on the hour; so every time is also given as a multiple of
a simpy timeout measured in the same run (a machine that handles a million timeouts a second makes
one of them 1 µs).

    python benchmarks/steps.py [--smoke] [--json]
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from pathlib import Path

import simpy

import sim
from sim.report.summary import draw
from sim.scenario import Scenario
from sim.scenario.energy import EmergencyProgramme, ReserveProgramme
from sim.scenario.rows import Battery, PowerContract

CONFIGS = Path(__file__).parent.parent / "configs"


def simpy_timeout_us(count: int = 200_000) -> float:
    """A timeout of one process that does nothing else [µs]."""
    env = simpy.Environment()

    def process() -> object:
        while True:
            yield env.timeout(1)

    env.process(process())
    began = time.perf_counter()
    env.run(count)
    return (time.perf_counter() - began) / count * 1e6


def with_energy(scenario: Scenario) -> Scenario:
    """Two reserve programmes and calls on every site, batteries and blocks on every fourth."""
    reserve = ReserveProgramme(usd_per_mw_h=4.0, calls_per_year=12)
    some = [s for s in scenario.sites if s.contract == "market"][::4]
    return scenario.model_copy(
        update={
            "programmes": {
                "reserve": reserve,
                "emergency": EmergencyProgramme(usd_per_mw_h=3.0, calls_per_year=4),
            },
            "batteries": tuple(Battery(site=s.name, power_mw=5, energy_mwh=10) for s in some),
            "power_contracts": tuple(
                PowerContract(site=s.name, kind="ppa", mw=5, strike_usd_per_mwh=35) for s in some
            ),
        }
    )


def fleet(
    step_s: int, days: int, faults: bool, repeats: int, serving: str, energy: bool = False
) -> dict[str, float]:
    """Medians over repeats of loading, building, simulating and writing [s].

    `serving` none: without tenants and the nodes that serve them; else its fidelity. `energy`: with
    programmes, batteries and contracts.
    """
    overrides = {"horizon.step_s": step_s, "horizon.days": days, "faults.enabled": faults}
    times: dict[str, list[float]] = {"load": [], "build": [], "simulate": [], "write": []}
    for _ in range(repeats):
        began = time.perf_counter()
        scenario = sim.load(CONFIGS / "cango-2026", overrides)
        if serving == "none":
            nodes = tuple(g for g in scenario.gpus if g.state != "serving")
            scenario = scenario.model_copy(update={"gpus": nodes, "tenants": ()})
        else:
            demand = scenario.demand.model_copy(update={"fidelity": serving})
            scenario = scenario.model_copy(update={"demand": demand})
        if energy:
            scenario = with_energy(scenario)
        times["load"].append(time.perf_counter() - began)
        result = sim.run(scenario, "merit-order", 1)
        times["build"].append(result.timing["build_s"])
        times["simulate"].append(result.timing["simulate_s"])
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            result.save(Path(folder) / "result", [draw])
            times["write"].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two days, once: does it run?")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    days, repeats = (2, 1) if arguments.smoke else (365, 3)
    for serving in ("none", "fluid", "exact"):  # compile, import
        fleet(900, 1, True, 1, serving)
    fleet(900, 1, True, 1, "none", True)
    unit_us = statistics.median(simpy_timeout_us() for _ in range(3))
    rows = []
    cases = (
        (900, days, False, "none", False),
        (900, days, False, "none", True),
        (900, days, True, "none", False),
        (300, days, True, "none", False),
        (900, days, True, "fluid", False),
        (900, 2, True, "exact", False),
    )
    for step_s, length, faults, serving, energy in cases:
        t = fleet(step_s, length, faults, repeats, serving, energy)
        steps = length * 86_400 // step_s
        rows.append(
            {
                "fleet": f"48 sites, {length} days, {step_s} s, failures "
                f"{'on' if faults else 'off'}, serving {serving}"
                f"{', programmes, batteries and contracts' if energy else ''}",
                "simulate_s": t["simulate"],
                "step_us": t["simulate"] / steps * 1e6,
                "step_simpy_timeouts": t["simulate"] / steps * 1e6 / unit_us,
                "load_s": t["load"],
                "build_s": t["build"],
                "write_s": t["write"],
            }
        )
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if arguments.json:
        print(json.dumps({"simpy_timeout_us": unit_us, "peak_gib": peak_gib, "rows": rows}))
        return
    print(f"a simpy timeout takes {unit_us:.2f} µs here; peak memory {peak_gib:.2f} GiB")
    for row in rows:
        print(
            f"{row['fleet']}: simulate {row['simulate_s']:.2f} s, "
            f"{row['step_us']:.0f} µs a step = {row['step_simpy_timeouts']:.0f} simpy timeouts; "
            f"load {row['load_s']:.2f}, build {row['build_s']:.2f}, write {row['write_s']:.2f} s"
        )


if __name__ == "__main__":
    main()

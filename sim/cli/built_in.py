"""What is built in: list."""

import inspect
import tomllib
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sim.cli.app import app, examples
from sim.cli.console import WRONG_INPUT, fail, say_json, say_table
from sim.cli.inputs import Json, load_scenario, report_errors
from sim.scenario.problems import suggest
from sim.scenario.shipped import CONFIGS, scenarios

if TYPE_CHECKING:  # what it leads to takes a second to load
    from sim.scenario.catalogue.specs import Own

KINDS: Final = (
    "policies", "asics", "gpus", "models", "scenarios", "climates", "profiles", "kpis", "layouts",
)  # fmt: skip
AT_LENGTH: Final = ("source", "class", "note")  # of each row; printed only where they are asked for


@app.command(
    "list",
    epilog=examples(
        "list scenarios", "list asics --sources", "list gpus my-fleet", "list kpis --json"
    ),
)
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(KINDS))],
    scenario: Annotated[
        str | None, typer.Argument(help="asics, gpus, models: with a scenario's own machines.")
    ] = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Where each row comes from, instead of its figures.")
    ] = False,
    as_json: Json = False,
) -> None:
    """What is built in; asics, gpus and models of a scenario too."""
    if what not in KINDS:
        fail(WRONG_INPUT, f"list {what!r}: {suggest(what, KINDS)}")
    if scenario is not None and what not in MACHINES:
        fail(WRONG_INPUT, f"list {what} {scenario}: of a scenario there are {', '.join(MACHINES)}")
    with report_errors():
        own = load_scenario(scenario, None, None).own if scenario is not None else None
    rows = MACHINES[what](own) if what in MACHINES else _built_in(what)
    if as_json:
        say_json(rows)
        return
    if sources:
        names = [*list(rows[0])[:1], *(name for name in AT_LENGTH if name in rows[0])]
        if len(names) == 1:
            fail(WRONG_INPUT, f"list {what} --sources: no row of this list has a source")
        rows = [{name: row[name] for name in names} for row in rows]
    else:
        rows = [{k: v for k, v in row.items() if k not in AT_LENGTH} for row in rows]
    say_table(what, rows)


def _built_in(what: str) -> list[dict[str, Any]]:
    from sim.scenario import catalogue

    if what == "policies":
        return _policies()
    if what == "climates":
        return [
            {
                "climate": row["climate"],
                "mean C": float(row["mean_c"]),
                "season +/- C": float(row["seasonal_amplitude_c"]),
                "day +/- C": float(row["diurnal_amplitude_c"]),
                "dew point C": float(row["dew_mean_c"]),
                "source": row["source"],
            }
            for row in catalogue.rows("climates.csv")
        ]
    if what == "profiles":
        first = {row["profile"]: row["source"] for row in catalogue.rows("price_profiles.csv")}
        regional = {row["region"]: row["source"] for row in catalogue.rows("region_memory.csv")}
        first |= {
            name: f"{regional[region]} (model regional)"
            for name, (region, _) in catalogue.region_zones().items()
            if name not in first
        }
        return [{"profile": name, "calibrated": source, "source": source}
                for name, source in first.items()]  # fmt: skip
    if what == "kpis":
        return _kpis()
    if what == "layouts":
        return _layouts()
    texts = {name: (CONFIGS / name / "scenario.toml").read_text("utf-8") for name in scenarios()}
    return [
        {"scenario": name, "description": tomllib.loads(text).get("description", "")}
        for name, text in texts.items()
    ]


def _policies() -> list[dict[str, Any]]:
    """Every policy with what it does and the parameters it takes."""
    from sim.policies import BUILTIN
    from sim.policy import policy_class

    found = []
    for name, address in BUILTIN.items():
        made = policy_class(name, BUILTIN)
        about = inspect.cleandoc(made.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        takes = inspect.signature(made).parameters.values()
        found.append({"policy": name, "does": about, "parameters": ", ".join(map(str, takes)),
                      "class": address})  # fmt: skip
    return found


def _kpis() -> list[dict[str, Any]]:
    """Every KPI of a run with unit, group and definition."""
    from sim.results.kpis import KPIS

    return [
        {"kpi": name, "unit": k.unit, "group": k.group, "definition": k.definition}
        for name, k in sorted(KPIS.items())
    ]


def _layouts() -> list[dict[str, Any]]:
    """Files of others that are read as they are: series of markets, traces of requests."""
    from sim.scenario.series import layouts
    from sim.serving.layouts import LAYOUTS

    traces = [
        {
            "layout": layout.name,
            "description": "a trace of requests",
            "recognised by": ", ".join((layout.arrival[0], layout.prompt[0], layout.output[0])),
        }
        for layout in LAYOUTS
    ]
    return layouts() + traces


def _asics(own: "Own | None") -> list[dict[str, Any]]:
    """Every ASIC with its nameplate and firmware modes."""
    from sim.scenario import catalogue

    rows = own.asics if own else ()
    return [
        {
            "model": a.name,
            "TH/s": a.nominal.hashrate_ths,
            "W": a.nominal.power_w,
            "J/TH": round(a.nominal.power_w / a.nominal.hashrate_ths, 1),
            "cooling": a.cooling,
            "modes": ", ".join(a.modes),
            "source": a.nominal.source,
            **_whose(own, any(row.model == a.name for row in rows)),
        }
        for a in catalogue.asics(rows).values()
    ]


def _gpus(own: "Own | None") -> list[dict[str, Any]]:
    """Every GPU with its share of the server."""
    from sim.scenario import catalogue

    rows = own.gpus if own else ()
    return [
        {
            "gpu": g.name,
            "memory GB": g.memory_gb,
            "TDP W": g.tdp_w,
            "idle W": g.idle_w_per_gpu,
            "max W": g.max_w_per_gpu,
            "TB/s": g.bandwidth_tb_s,
            "bf16 TFLOPS": g.bf16_tflops,
            "source": g.source,
            **_whose(own, any(row.gpu == g.name for row in rows)),
        }
        for g in catalogue.gpus(rows).values()
    ]


def _whose(own: "Own | None", is_own: bool) -> dict[str, str]:
    """Who says so, where a scenario was asked too."""
    return {} if own is None else {"of": "scenario" if is_own else "catalogue"}


def _served_models(own: "Own | None") -> list[dict[str, Any]]:
    """Every measured engine, then the fewest GPUs of each kind for which a roofline stands in."""
    from sim.scenario.catalogue import gpus
    from sim.scenario.catalogue.serving import models, served, served_models
    from sim.scenario.catalogue.specs import NONE_OWN

    added = own or NONE_OWN
    engines = served_models(added)
    known = {(m.model, m.gpu) for m in engines}
    for model in models(added.models):
        for gpu in gpus(added.gpus):
            if (model, gpu) not in known:
                try:
                    engines.append(served(model, gpu, None, added))
                except ValueError:
                    continue  # it does not fit
    mine = {row.model for row in added.models} | {row.gpu for row in added.gpus}
    timed = {(row.model, row.gpu, row.tp) for row in added.serving}
    return [
        {
            "model": m.model,
            "gpu": m.gpu,
            "tp": m.tp,
            "ms/token, batch 1": round(1e3 * m.engine.iteration.of(1, 1, 1000), 2),
            "batch 32": round(1e3 * m.engine.iteration.of(32, 32, 32_000), 2),
            "KV ktoken": m.engine.kv_blocks * m.engine.block_tokens // 1000,
            "load s": round(m.load_s),
            "source": m.source,
            **_whose(own, bool({m.model, m.gpu} & mine) or (m.model, m.gpu, m.tp) in timed),
        }
        for m in engines
    ]


# What a scenario may add to, by who lists it with the scenario's own.
MACHINES: Final[dict[str, Callable[["Own | None"], list[dict[str, Any]]]]] = {
    "asics": _asics,
    "gpus": _gpus,
    "models": _served_models,
}

"""What is built in: list."""

import tomllib
from typing import Annotated, Any, Final

import typer

from sim.cli.app import app
from sim.cli.inputs import CONFIGS, Json
from sim.cli.words import WRONG_INPUT, fail, say_json, say_table

KINDS: Final = ("policies", "asics", "gpus", "models", "scenarios", "layouts")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help=" | ".join(KINDS))], as_json: Json = False
) -> None:
    """What is built in."""
    rows = _built_in(what)
    if as_json:
        say_json(rows)
    else:
        say_table(what, rows)


def _built_in(what: str) -> list[dict[str, Any]]:
    from sim.scenario import catalogue

    if what == "policies":
        from sim.policies import BUILTIN

        return [{"policy": name, "class": address} for name, address in BUILTIN.items()]
    if what == "asics":
        return [
            {
                "model": a.name,
                "TH/s": a.nominal.hashrate_ths,
                "W": a.nominal.power_w,
                "J/TH": round(a.nominal.power_w / a.nominal.hashrate_ths, 1),
                "cooling": a.cooling,
                "modes": ", ".join(a.modes),
                "source": a.nominal.source,
            }
            for a in catalogue.asics().values()
        ]
    if what == "gpus":
        return [g._asdict() for g in catalogue.gpus().values()]
    if what == "models":
        return _served_models()
    if what == "layouts":
        from sim.scenario.series import layouts

        return layouts()
    if what == "scenarios":
        files = sorted(CONFIGS.glob("*/scenario.toml"))
        return [
            {
                "scenario": f.parent.name,
                "description": tomllib.loads(f.read_text("utf-8")).get("description", ""),
            }
            for f in files
        ]
    return fail(WRONG_INPUT, f"list {what!r}: allowed: {', '.join(KINDS)}")


def _served_models() -> list[dict[str, Any]]:
    """Every measured engine, then the fewest GPUs of each kind for which a roofline stands in."""
    from sim.scenario.catalogue import gpus
    from sim.scenario.catalogue.serving import models, served, served_models

    engines = served_models()
    known = {(m.model, m.gpu) for m in engines}
    for model in models():
        for gpu in gpus():
            if (model, gpu) not in known:
                try:
                    engines.append(served(model, gpu))
                except ValueError:
                    continue  # it does not fit
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
        }
        for m in engines
    ]

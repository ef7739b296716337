"""Engines for a load under a promise, and what they cost: recommend."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sim.cli.app import app, examples
from sim.cli.console import FAILED, WRONG_INPUT, echo, fail, say, say_json
from sim.cli.inputs import AllowPath, Json, load_scenario, report_errors
from sim.cli.progress import Progress, Quiet
from sim.cli.serving import OwnModels

if TYPE_CHECKING:  # what it leads to takes a second to load
    from sim.scenario.catalogue.specs import Own
    from sim.serving.recommend import Candidate, Choice, Slo

TENSOR_PARALLEL: Final = (1, 2, 4, 8)
SLO_KEYS: Final = ("ttft", "tpot", "percentile")
PERCENTILE: Final = 95.0  # assumed, where --slo does not say
USD_PER_MWH: Final = 60.0  # assumed
GPU_YEARS: Final = 5.0  # assumed
PROMPT: Final = 1000.0  # assumed: means and spread of tokens where only a rate is given
OUTPUT: Final = 200.0
CV: Final = 1.0
MOST_STAGES: Final = 64  # as in gpus.csv
MOST_PER_S: Final = 1e5  # requests: 8.6 billion a day, more than any service is known to have
HEADER: Final = (
    "GPU            tp pp ep  budget  seqs repl.  GPUs  kept %  TTFT s TPOT ms     kW Mtok/MWh"
    " USD/Mtok  USD/MW-year  margin/MW-y  times"
)


@app.command(
    "recommend",
    epilog=examples(
        "recommend --model llama-3.1-8b --gpus h100-sxm,l40s --slo ttft=1,tpot=0.05 --rate 20",
        "recommend --model llama-3.1-70b --gpus h100-sxm,h200-sxm,b200 "
        "--slo ttft=2,tpot=0.06,percentile=99 --trace trace.csv --power-cap-kw 500 --plot it.png",
    ),
)
def recommend(
    model: Annotated[str, typer.Option(help="A model of `hashwatt list models`.")],
    gpus: Annotated[str, typer.Option(help="GPUs of `hashwatt list gpus`, with commas.")],
    slo: Annotated[str, typer.Option(help="ttft=S,tpot=S[,percentile=P] (95).")],
    trace: Annotated[Path | None, typer.Option(help="Requests, as serve-trace reads them.")] = None,
    rate: Annotated[float | None, typer.Option(help="Poisson requests a second.")] = None,
    prompt_tokens: Annotated[float, typer.Option(help="With --rate: mean.")] = PROMPT,
    output_tokens: Annotated[float, typer.Option(help="With --rate: mean.")] = OUTPUT,
    power_cap_kw: Annotated[
        float | None, typer.Option(help="What all engines may draw at their limits.")
    ] = None,
    pp: Annotated[
        str, typer.Option(help="Pipeline stages to try, with commas (approximate).")
    ] = "1",
    ep: Annotated[
        str, typer.Option(help="1, tp or 1,tp: experts whole on the TP GPUs too (approximate).")
    ] = "1",
    usd_per_mwh: Annotated[float, typer.Option(help="Price of energy.")] = USD_PER_MWH,
    gpu_years: Annotated[float, typer.Option(help="Over which GPUs are written off.")] = GPU_YEARS,
    usd_per_mtok: Annotated[
        float | None, typer.Option(help="Paid for a million output tokens: tells the margin.")
    ] = None,
    scenario: OwnModels = None,
    allow_path: AllowPath = False,
    plot: Annotated[Path | None, typer.Option(help="Cost against tokens per MWh.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also what others beat.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Tensor parallelism, budget, sequences and replicas for a load under an SLO."""
    from sim.serving.recommend import Prices, load_of_rate, settings
    from sim.serving.recommend import recommend as choose
    from sim.serving.traces import TraceError, read_trace

    promise = _slo(slo)
    if (trace is None) == (rate is None):
        fail(WRONG_INPUT, "give one of --trace and --rate")
    positive = {"--rate": rate, "--prompt-tokens": prompt_tokens, "--output-tokens": output_tokens,
                "--power-cap-kw": power_cap_kw, "--gpu-years": gpu_years}  # fmt: skip
    for name, value in positive.items():
        if value is not None and not 0.0 < value < math.inf:
            fail(WRONG_INPUT, f"{name} {value:g}: must be above 0")
    if rate is not None and rate > MOST_PER_S:
        fail(WRONG_INPUT, f"--rate {rate:g}: at most {MOST_PER_S:g} requests a second")
    with report_errors():
        own = None
        if scenario is not None:
            own = load_scenario(scenario, None, None, allow_path).own
    shown = Progress(quiet)
    try:
        if trace is not None:
            if not trace.is_file():
                fail(WRONG_INPUT, f"{trace}: no such file")
            requests = read_trace(trace)
        else:
            requests = load_of_rate(rate or 1.0, (prompt_tokens, CV), (output_tokens, CV))
        stages, spread = _stages(pp), _spread(ep)
        tried = settings(_candidates(model, gpus, own, stages, spread))
        cap_w = math.inf if power_cap_kw is None else power_cap_kw * 1e3
        prices = Prices(usd_per_mwh, gpu_years, usd_per_mtok, cap_w)
        with shown.cells("serving", "settings") as tell:
            found = choose(requests, tried, promise, prices, tell or (lambda done, total: None))
    except (TraceError, ValueError) as error:
        fail(WRONG_INPUT, str(error))
    shown.end()
    assumed = _assumed(rate is not None, usd_per_mwh, gpu_years)
    if any(choice.pp * choice.ep > 1 for choice in found):
        assumed.append(
            "approximate (~): nobody waits for a stage, and spread experts are evenly loaded"
        )
    if plot is not None and found:
        from sim.report.recommend import draw_choices

        load = trace.name if trace is not None else f"{rate:g} requests/s"
        try:
            draw_choices(found, f"{model}, {load}, {slo}", plot)
        except (OSError, ValueError) as error:
            fail(FAILED, f"{plot}: cannot be drawn: {error}")
    rows = [choice._asdict() for choice in found]
    if as_json:
        say_json({"model": model, "slo": promise._asdict(), "requests": len(requests.arrival_s),
                  "tried": len(tried), "assumed": assumed, "choices": rows})  # fmt: skip
        return
    if not found:
        echo(
            f"none of {len(tried)} settings keeps {slo}"
            + (" within the power cap" * bool(power_cap_kw))
        )
        return
    echo(f"{len(found)} of {len(tried)} settings keep {slo}; those that no other beats:")
    echo(HEADER)
    for choice in found:
        if choice.pareto or show_all:
            echo(_line(choice))
    for text in assumed:
        say(f"assumed: {text}")


def _slo(text: str) -> "Slo":
    from sim.serving.recommend import Slo

    values: dict[str, float] = {"percentile": PERCENTILE}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            equals = ""
        if not equals or name not in SLO_KEYS or not 0.0 < values[name] < math.inf:
            fail(WRONG_INPUT, f"--slo {text!r}: write ttft=S,tpot=S[,percentile=P], each above 0")
    if not {"ttft", "tpot"} <= set(values) or values["percentile"] > 100.0:
        fail(WRONG_INPUT, f"--slo {text!r}: needs ttft and tpot [s], percentile up to 100")
    return Slo(values["ttft"], values["tpot"], values["percentile"])


def _stages(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(p.isascii() and p.isdigit() and 1 <= int(p) <= MOST_STAGES for p in parts):
        fail(WRONG_INPUT, f"--pp {text!r}: write whole numbers of stages, 1 to {MOST_STAGES}")
    return list(dict.fromkeys(map(int, parts)))


def _spread(text: str) -> list[bool]:
    parts = [part.strip() for part in text.split(",")]
    if not set(parts) <= {"1", "tp"}:
        fail(WRONG_INPUT, f"--ep {text!r}: must be 1, tp or 1,tp")
    return list(dict.fromkeys(part == "tp" for part in parts))


def _candidates(
    model: str, text: str, own: "Own | None", stages: list[int], spread: list[bool]
) -> "list[Candidate]":
    """The model on every GPU named, at every parallelism that its weights allow."""
    from sim.scenario import catalogue
    from sim.scenario.catalogue.serving import served
    from sim.scenario.catalogue.specs import NONE_OWN
    from sim.serving.recommend import Candidate

    known = own or NONE_OWN
    found: list[Candidate] = []
    for gpu in dict.fromkeys(part.strip() for part in text.split(",")):
        before, refused = len(found), ""
        for pp in stages:
            try:
                least = served(model, gpu, None, known, None, pp).tp
            except ValueError as error:  # what is not in the catalogue, or does not fit
                refused = refused or str(error)
                continue
            for tp in TENSOR_PARALLEL:
                for ep in dict.fromkeys(tp if wide else 1 for wide in spread):
                    if tp >= least:
                        made = served(model, gpu, tp, known, None, pp, ep)
                        usd = catalogue.gpus(known.gpus)[gpu].usd_per_gpu
                        found.append(Candidate(gpu, tp, made.engine, usd, made.measured, pp, ep))
        if len(found) == before:
            raise ValueError(refused or f"{model} on {gpu}: needs more than {TENSOR_PARALLEL[-1]}")
    return found


def _assumed(by_rate: bool, usd_per_mwh: float, gpu_years: float) -> list[str]:
    found = ["GPUs are bought at the catalogue's price; replicas take requests round-robin"]
    if by_rate:
        found.append(
            f"Poisson arrivals, lognormal lengths with a coefficient of variation of {CV:g}"
        )
    if usd_per_mwh == USD_PER_MWH:
        found.append(f"energy at {USD_PER_MWH:g} USD/MWh (--usd-per-mwh)")
    if gpu_years == GPU_YEARS:
        found.append(f"GPUs are written off over {GPU_YEARS:g} years (--gpu-years)")
    return found


def _line(choice: "Choice") -> str:
    def text(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    return (
        f"{choice.gpu:14.14s}{choice.tp:3d}{choice.pp:3d}{choice.ep:3d}{choice.max_batched_tokens:8d}{choice.max_seqs:6d}"
        f"{choice.replicas:6d}{choice.gpus:6d}{choice.attained_pct:8.2f}{choice.ttft_s:8.3f}"
        f"{1e3 * choice.tpot_s:7.1f}{choice.power_kw:8.2f}{choice.tokens_per_mwh / 1e6:9,.0f}"
        f"{text(choice.usd_per_mtok, '.3f'):>9s}{text(choice.cost_usd_per_mw_year, ',.0f'):>13s}"
        f"{text(choice.margin_usd_per_mw_year, ',.0f'):>13s}"
        f"  {'measured' if choice.measured else 'roofline'}{' ~' * (choice.pp * choice.ep > 1)}"
    )

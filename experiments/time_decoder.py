"""Times of a random-weight 8B decoder on a GPU, beside the catalogue's row.

    python experiments/time_decoder.py [--gpu h100-sxm] [--minutes 8]

Prefills and decodes at a dozen points of batch and context, in bf16, with PyTorch alone: what a
plain decoder takes, without a server's host. It has not been run on a GPU yet; the catalogue's rows
come from elsewhere. Where there is no GPU, or no PyTorch, it says so and ends with 1.
"""

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from sim.scenario.catalogue import gpus
from sim.scenario.catalogue.serving import ModelClass, models, served
from sim.serving import IterationTime

MODEL: Final = "llama-3.1-8b"
HEADS, FEED, VOCABULARY = 32, 14_336, 128_256  # config.json of meta-llama/Llama-3.1-8B
MINUTES: Final = 8.0
WARM_UP, REPEATS = 2, 7
CLOSE: Final = 1.25  # memory that a point may take, over weights and KV
# Names of torch.cuda.get_device_name, by a part of them.
NAMES: Final = {"A100": "a100-sxm", "H100": "h100-sxm", "H200": "h200-sxm", "L40S": "l40s",
                "4090": "rtx-4090", "RTX PRO 6000": "rtx-pro-6000", "GB200": "gb200",
                "B200": "b200", "MI300X": "mi300x"}  # fmt: skip


class Point(NamedTuple):
    """A pass through the decoder: `tokens` new ones for each of `batch` sequences."""

    kind: str  # prefill or decode
    batch: int
    context: int  # tokens before the new ones
    tokens: int


def grid() -> list[Point]:
    """The dozen points: prefills of one prompt, decodes over batch and context."""
    prefills = [Point("prefill", 1, 0, n) for n in (256, 1024, 4096, 8192)]
    decodes = [(1, 512), (1, 8192), (8, 2048), (32, 512), (32, 2048), (64, 1024), (128, 512),
               (256, 256)]  # fmt: skip
    return prefills + [Point("decode", b, context, 1) for b, context in decodes]


def expected_s(point: Point, t: IterationTime) -> float:
    """What an iteration time says of a point [s]."""
    if point.kind == "prefill":
        n = point.batch * point.tokens
        return t.of(n, 0, 0, point.batch * point.tokens * (point.context + point.tokens / 2))
    return t.of(point.batch, point.batch, point.batch * (point.context + 1))


def needed_gb(point: Point, model: ModelClass) -> float:
    """Memory that a point needs [GB]: weights and KV."""
    tokens = point.batch * (point.context + point.tokens)
    return model.weights_gb + tokens * model.kv_bytes_per_token / 1e9


def catalogue_name(device: str) -> str | None:
    """The catalogue's name of a device as its driver says it; None: it has none."""
    return next((name for part, name in NAMES.items() if part in device), None)


def table(points: Iterable[tuple[Point, float | None]], t: IterationTime) -> list[str]:
    """Lines of measured [ms] beside the row's; None: a point that was left out."""
    lines = [f"{'pass':8s}{'batch':>6s}{'context':>9s}{'tokens':>8s}{'measured':>11s}"
             f"{'catalogue':>11s}{'ratio':>8s}"]  # fmt: skip
    ratios = []
    for point, seconds in points:
        row_s = expected_s(point, t)
        start = f"{point.kind:8s}{point.batch:6d}{point.context:9d}{point.tokens:8d}"
        if seconds is None:
            lines.append(f"{start}{'left out':>11s}{1e3 * row_s:8.2f} ms")
            continue
        ratios.append(seconds / row_s)
        lines.append(f"{start}{1e3 * seconds:8.2f} ms{1e3 * row_s:8.2f} ms{ratios[-1]:8.2f}")
    if ratios:
        lines.append(f"measured over catalogue: median {statistics.median(ratios):.2f}, "
                     f"{min(ratios):.2f} to {max(ratios):.2f}")  # fmt: skip
    return lines


def decoder(torch: Any, model: ModelClass) -> Callable[[Point], Callable[[], Any]]:
    """Random weights in bf16; for a point, a pass through all layers."""
    functional = torch.nn.functional
    head = model.hidden // HEADS
    kv_heads = round(model.kv_bytes_per_token / (4.0 * model.layers * head))

    def weight(rows: int, columns: int) -> Any:
        return torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * 0.02

    wide = (HEADS + 2 * kv_heads) * head
    layers = [
        (weight(wide, model.hidden), weight(model.hidden, model.hidden),
         weight(2 * FEED, model.hidden), weight(model.hidden, FEED))
        for _ in range(model.layers)
    ]  # fmt: skip
    out = weight(VOCABULARY, model.hidden)
    ones = torch.ones(model.hidden, device="cuda", dtype=torch.bfloat16)

    def of(point: Point) -> Callable[[], Any]:
        shape = (point.batch, kv_heads, point.context, head)
        past = [torch.randn(2, *shape, device="cuda", dtype=torch.bfloat16) for _ in layers]
        x0 = torch.randn(point.batch, point.tokens, model.hidden, device="cuda",
                         dtype=torch.bfloat16)  # fmt: skip

        def run() -> Any:
            x = x0
            for (qkv, o, up, down), (k_past, v_past) in zip(layers, past, strict=True):
                y = functional.rms_norm(x, (model.hidden,), ones) @ qkv.T
                y = y.view(point.batch, point.tokens, HEADS + 2 * kv_heads, head).transpose(1, 2)
                q, k, v = y.split((HEADS, kv_heads, kv_heads), dim=1)
                if point.context:
                    k, v = torch.cat((k_past, k), 2), torch.cat((v_past, v), 2)
                a = functional.scaled_dot_product_attention(
                    q, k, v, is_causal=point.tokens > 1, enable_gqa=True
                )
                x = x + a.transpose(1, 2).reshape(point.batch, point.tokens, -1) @ o.T
                gate, rise = (functional.rms_norm(x, (model.hidden,), ones) @ up.T).chunk(2, -1)
                x = x + (functional.silu(gate) * rise) @ down.T
            return (x[:, -1] @ out.T).argmax(-1)

        return run

    return of


def timed_s(torch: Any, run: Callable[[], Any]) -> float:
    """Median of REPEATS passes [s], after WARM_UP others."""
    took = []
    with torch.inference_mode():
        for i in range(WARM_UP + REPEATS):
            torch.cuda.synchronize()
            began = time.perf_counter()
            run()
            torch.cuda.synchronize()
            if i >= WARM_UP:
                took.append(time.perf_counter() - began)
    return statistics.median(took)


def no_gpu() -> str:
    """Why nothing can be timed here; "": it can."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return "PyTorch is not installed: pip install torch, on a machine with a GPU"
    return "" if torch.cuda.is_available() else "PyTorch finds no GPU here: nothing is timed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--gpu", help="name in the catalogue; default: by the device's own")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="points after it are left")
    chosen = parser.parse_args()
    if why := no_gpu():
        print(f"time_decoder: {why}", file=sys.stderr)
        return 1
    torch = importlib.import_module("torch")
    began = time.monotonic()
    device = torch.cuda.get_device_name(0)
    gpu = chosen.gpu or catalogue_name(device)
    if gpu not in gpus():
        allowed = ", ".join(gpus())
        print(f"time_decoder: {device}: give --gpu, one of {allowed}", file=sys.stderr)
        return 2
    made, model = served(MODEL, gpu, 1), models()[MODEL]
    room_gb = torch.cuda.mem_get_info()[0] / 1e9
    print(f"{device}, PyTorch {torch.__version__}; row {MODEL} {gpu} tp 1: {made.source}")
    of, found = decoder(torch, model), []
    for point in grid():
        late = time.monotonic() - began > 60.0 * chosen.minutes
        if late or CLOSE * needed_gb(point, model) > room_gb:
            found.append((point, None))
            continue
        found.append((point, timed_s(torch, of(point))))
        torch.cuda.empty_cache()
    print("\n".join(table(found, made.engine.iteration)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The choices of `recommend`: cost of serving a load against tokens per megawatt-hour."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt

from sim.report.canvas import save
from sim.serving.recommend import Choice

COLOURS: Final = ("#08519c", "#d94801", "#238b45", "#6a51a3", "#a50f15", "#525252")


def draw_choices(choices: Sequence[Choice], title: str, file: Path) -> None:
    """Draw USD per million output tokens over output tokens per MWh, one colour per GPU.

    Choices that no other choice beats are filled and named. A choice without a GPU price has no
    cost and is not drawn.
    """
    figure, axis = plt.subplots(figsize=(9, 5.5), layout="constrained")
    priced = [choice for choice in choices if choice.usd_per_mtok is not None]
    names = list(dict.fromkeys(choice.gpu for choice in priced))
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        mine = [choice for choice in priced if choice.gpu == name]
        for chosen in (False, True):
            points = [c for c in mine if c.pareto == chosen]
            axis.scatter(
                [c.tokens_per_mwh / 1e6 for c in points],
                [c.usd_per_mtok or 0.0 for c in points],
                s=52 if chosen else 22,
                facecolor=colour if chosen else "none",
                edgecolor=colour,
                label=name if chosen == any(c.pareto for c in mine) else None,
                zorder=3 if chosen else 2,
            )
    front = sorted((c for c in priced if c.pareto), key=lambda c: c.tokens_per_mwh)
    for number, c in enumerate(front):
        axis.annotate(
            f"{c.gpus} GPUs, tp {c.tp}, {c.max_batched_tokens:,} tokens, {c.max_seqs} seqs",
            (c.tokens_per_mwh / 1e6, c.usd_per_mtok or 0.0),
            xytext=(-8, -12 if number % 2 else 10),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color="0.25",
        )
    axis.set(
        xlabel="million output tokens / MWh",
        ylabel="USD / million output tokens (capital and energy)",
        xlim=(0, None),
        ylim=(0, None),
    )
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    if names:
        axis.legend(frameon=False, loc="upper right", title="filled: beaten by none")
    figure.suptitle(title)
    save(figure, file, 140)
    plt.close(figure)

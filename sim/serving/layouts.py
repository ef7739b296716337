"""Layouts of published request traces, one entry each.

Sources: README files of Azure/AzurePublicDataset (2023 and 2024), kvcache-ai/Mooncake,
HPMLL/BurstGPT, alibaba-edu/qwen-bailian-usagetraces-anon; ai-dynamo's data generator, which writes
Mooncake's layout with any block size; vLLM's `bench serve --save-detailed`; OpenAI's `usage`.
"""

from collections.abc import Container
from typing import Final, NamedTuple

from sim.serving.trace_files import plain


class Layout(NamedTuple):
    """Column titles, compared after `plain`; of alternatives the first present is used."""

    name: str
    arrival: tuple[str, ...]
    prompt: tuple[str, ...]
    output: tuple[str, ...]
    unit_s: float  # seconds per unit of arrival, where it is a number
    marks: tuple[str, ...] = ()  # columns that distinguish it from layouts with the same three
    hits: tuple[str, ...] = ()  # prompt tokens that were cached
    hashes: str = ""  # hashes of the prompt's blocks
    block_tokens: int = 0  # tokens per hash, as published
    whole: bool = False  # arrivals are whole numbers in this layout
    epoch: bool = False  # arrivals may be instants since 1970, in s, ms, µs or ns by their size

    def columns(self, there: Container[str]) -> tuple[str, str, str] | None:
        """Its columns of arrival, prompt and output, if all are present."""
        if not all(plain(mark) in there for mark in self.marks):
            return None
        found = [
            next((name for name in map(plain, names) if name in there), None)
            for names in (self.arrival, self.prompt, self.output)
        ]
        arrival, prompt, output = found
        if arrival is None or prompt is None or output is None:
            return None
        return arrival, prompt, output


LAYOUTS: Final = (
    Layout("Azure", ("TIMESTAMP",), ("ContextTokens",), ("GeneratedTokens",), 1.0),
    Layout(
        "Qwen-Bailian", ("timestamp",), ("input_length",), ("output_length",), 1.0,
        marks=("chat_id",), hashes="hash_ids", block_tokens=16,
    ),
    Layout(
        "Mooncake", ("timestamp",), ("input_length",), ("output_length",), 1e-3,
        hashes="hash_ids", block_tokens=512, whole=True,
    ),
    Layout("BurstGPT", ("Timestamp",), ("Request tokens",), ("Response tokens",), 1.0),
    Layout(
        "plain", ("arrival_s",), ("prompt_tokens",), ("output_tokens",), 1.0, hits=("hit_tokens",)
    ),
    Layout("vLLM benchmark", ("start_times",), ("input_lens",), ("output_lens",), 1.0),
    Layout(
        "vLLM requests", ("arrival_time",), ("num_prompt_tokens", "prompt_tokens"),
        ("num_generation_tokens", "num_output_tokens", "completion_tokens"), 1.0,
        hits=("num_cached_tokens",), epoch=True,
    ),
    Layout(
        "usage log", ("created", "created_at", "timestamp", "time", "start_time", "request_time"),
        ("usage.prompt_tokens", "usage.input_tokens", "prompt_tokens", "input_tokens"),
        ("usage.completion_tokens", "usage.output_tokens", "completion_tokens", "output_tokens"),
        1.0, hits=("usage.prompt_tokens_details.cached_tokens", "cached_tokens"), epoch=True,
    ),
)  # fmt: skip

# Known layouts that cannot be used as published, with what they lack.
LACKING: Final = {
    "conversations": "ShareGPT has texts, but neither arrivals nor counts of tokens",
    "input_lens": "vLLM's benchmark saved no start_times (--save-detailed of vLLM 0.11 and later)",
}


def layouts() -> str:
    """All layouts with their columns, for messages."""
    return "; ".join(f"{f.name}: {f.arrival[0]}, {f.prompt[0]}, {f.output[0]}" for f in LAYOUTS)

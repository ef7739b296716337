"""Logs of requests as servers and publishers write them."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from experiments.strangers.trial import Kind, Trial
from sim.serving.traces import read_trace

Draw = np.random.Generator


def _trace(
    name: str, content: str | bytes, right: object = None, says: Sequence[str] = ()
) -> Trial:
    """What comes out is arrivals [s], prompts, outputs and hits of a trace."""

    def read(folder: Path) -> object:
        trace = read_trace(folder / name)
        hits = None if trace.hit_tokens is None else trace.hit_tokens.tolist()
        outputs = trace.output_tokens.tolist()
        return [trace.arrival_s.tolist(), trace.prompt_tokens.tolist(), outputs, hits]

    return Trial({name: content}, read, right, tuple(says))


def _requests(draw: Draw, count: int = 8) -> tuple[list[float], list[int], list[int]]:
    arrival = np.cumsum(draw.integers(1, 9000, count)) / 1e3
    prompts, outputs = draw.integers(100, 5000, count), draw.integers(1, 900, count)
    return (arrival - arrival[0]).round(3).tolist(), prompts.tolist(), outputs.tolist()


def csv_traces(draw: Draw, number: int) -> Trial:
    """Azure, BurstGPT, plain, with marks, delimiters and orders of their own."""
    t, p, o = _requests(draw)
    rows = list(zip(t, p, o, strict=True))
    right = [t, p, o, None]
    if number % 4 == 0:
        lines = [
            f"2023-11-16 18:{15 + int(a) // 60:02d}:{a % 60:09.6f},{b},{c}" for a, b, c in rows
        ]
        text = "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines])
        return _rounded(_trace("a.csv", text, right))
    if number % 4 == 1:
        head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
        lines = [f"{a + 5:.3f},x,{b},{c},{b + c},y" for a, b, c in rows]
        return _trace("b.csv", "\n".join([head, *lines]).encode("utf-8-sig"), right)
    head = "arrival_s,prompt_tokens,output_tokens"
    lines = [f"{a},{b},{c}" for a, b, c in rows]
    if number % 4 == 2:
        return _trace("p.csv.gz", gzip.compress("\n".join([head, *lines[::-1]]).encode()), right)
    return _trace("p.csv", "\n".join([head, *lines]).replace(",", ";").encode("utf-16"), right)


def records(draw: Draw, number: int) -> Trial:
    """vLLM's benchmark and request records, usage logs in any unit of time."""
    t, p, o = _requests(draw)
    if number % 3 == 0:
        saved = {"input_lens": p, "output_lens": o, "start_times": [100.5 + a for a in t]}
        return _trace("v.json", json.dumps(saved), [t, p, o, None])
    if number % 3 == 1:
        lines = [
            {"arrival_time": 1.7e9 + a, "num_prompt_tokens": b, "num_generation_tokens": c}
            for a, b, c in zip(t, p, o, strict=True)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return _rounded(_trace("r.jsonl", text, [t, p, o, None]))
    unit = (1, 1000, 1_000_000)[number % 9 // 3]
    whole = [float(int(a)) for a in t]
    lines = [
        {"created": (1_750_000_000 + int(a)) * unit, "usage": {"prompt_tokens": b,
         "completion_tokens": c, "prompt_tokens_details": {"cached_tokens": 64}}}
        for a, b, c in zip(whole, p, o, strict=True)
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return _trace("u.jsonl", text, [whole, p, o, [64] * len(p)])


def _rounded(trial: Trial) -> Trial:
    """Arrivals to the millisecond: seconds since 1970 keep no more."""
    read = trial.read

    def rounded(folder: Path) -> object:
        found: Any = read(folder)
        return [[round(x, 3) for x in found[0]], *found[1:]]

    return trial._replace(read=rounded)


def prefixes(draw: Draw, number: int) -> Trial:
    """Hashes of blocks: seconds with blocks of 16, milliseconds with blocks of 512."""
    block, unit, shared = (16, 1.0, 30) if number % 2 else (512, 1e3, 3)
    own = int(draw.integers(2, 9))
    first, second = block * shared + 5, block * (shared + own)
    gap_s = float(draw.integers(1, 60)) + (0.5 if number % 2 else 0.0)
    more = {"chat_id": 1} if number % 2 else {}
    times = [t if number % 2 else int(t) for t in (7.0 * unit, (7.0 + gap_s) * unit)]
    rows: list[dict[str, object]] = [
        {**more, "timestamp": times[0], "input_length": first, "output_length": 9,
         "hash_ids": [*range(shared + 1)]},
        {**more, "timestamp": times[1], "input_length": second, "output_length": 8,
         "hash_ids": [*range(shared), *range(900, 900 + own)]},
    ]  # fmt: skip
    lines = [json.dumps(row) for row in (rows[::-1] if number % 3 == 2 else rows)]
    right = [[0.0, gap_s], [first, second], [9, 8], [0, block * shared]]
    return _trace("m.jsonl", "\n".join(lines) + "\n", right)


PLAIN: Final = "arrival_s,prompt_tokens,output_tokens,hit_tokens\n"
ROW: Final = '{"timestamp":0,"input_length":1300,"output_length":5,"hash_ids":%s}\n'


def wrong_traces(draw: Draw, number: int) -> Trial:
    rows = int(draw.integers(1, 6))
    good, line = "1,5,5,0\n" * rows, f"line {rows + 2}"
    much = int(draw.integers(2**24 + 1, 2**40))
    name, text, words = (
        ("p.csv", PLAIN + good + "2,6,6,\n", [line, "hit_tokens"]),
        ("p.csv", PLAIN + good + f"1,{much},5,0\n", [line, f"'{much}'", "16,777,216"]),
        ("p.csv", PLAIN + good + "nan,5,5,0\n", [line, "arrival_s"]),
        ("p.csv", PLAIN + good + "1,5\n", [line, "2 columns"]),
        ("m.jsonl", ROW % "[0,1,2]" + ROW % "null", ["line 2, hash_ids = None"]),
        ("m.jsonl", ROW % "[0]", ["line 1", "must be 3"]),
        ("m.jsonl", ROW % "[[1]]", ["line 1, hash_ids"]),
        ("m.jsonl", (ROW % "[0,1,2]").replace("1300", "true"), ["line 1, input_length = True"]),
        ("m.jsonl", "[" * 100_000, ["line 1: is nested too deeply"]),
        ("s.json", '[{"id": "a", "conversations": []}]', ["ShareGPT has texts"]),
        ("p.csv.gz", "no gzip", ["p.csv.gz: cannot be read"]),
    )[number % 11]  # fmt: skip
    return _trace(name, text, says=words)


KINDS: Final[dict[str, Kind]] = {
    "traces: CSV of Azure, BurstGPT, plain": csv_traces,
    "traces: vLLM, usage logs": records,
    "traces: hashes of prefixes": prefixes,
    "traces: wrong cells": wrong_traces,
}

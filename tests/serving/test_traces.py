"""Traces as others publish them, and the command that serves them."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.serving.metrics import latencies, serve_on
from sim.serving.traces import TraceError, read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ENGINE = "[iteration]\nbase_s = 0.01\ntoken_s = 1e-5\n[power]\nidle_w = 100\nbusy_w = 300\n"


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


def test_azure(tmp_path: Path) -> None:
    rows = "2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
    trace = read_trace(written(tmp_path, "a.csv.gz", AZURE + rows))
    assert trace.format == "Azure"
    np.testing.assert_allclose(trace.arrival_s, [0.0, 4.314579], atol=1e-6)
    assert trace.prompt_tokens.tolist() == [374, 396]
    assert trace.hit_tokens is None


def test_mooncake_tells_which_prefixes_were_seen(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [0, 1, 2]},
        {"timestamp": 1500, "input_length": 1500, "output_length": 5, "hash_ids": [0, 1, 7]},
        {"timestamp": 2000, "input_length": 900, "output_length": 5, "hash_ids": [9, 1]},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    trace = read_trace(written(tmp_path, "m.jsonl", text))
    assert trace.format == "Mooncake"
    assert trace.arrival_s.tolist() == [0.0, 1.5, 2.0]
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [0, 1024, 0]


def test_burstgpt_without_its_failures_and_in_order(tmp_path: Path) -> None:
    text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    text += "9,ChatGPT,30,4,34,x\n5,ChatGPT,10,2,12,x\n7,GPT-4,20,0,20,x\n"
    trace = read_trace(written(tmp_path, "b.csv", text))
    assert (trace.format, trace.dropped, trace.sorted) == ("BurstGPT", 1, False)
    assert trace.arrival_s.tolist() == [0.0, 4.0]
    assert trace.prompt_tokens.tolist() == [10, 30]


def test_plain_parquet(tmp_path: Path) -> None:
    columns = {"arrival_s": [0.0, 1.0], "prompt_tokens": [5, 6], "output_tokens": [7, 8]}
    file = tmp_path / "p.parquet"
    pq.write_table(pa.table({**columns, "hit_tokens": [0, 9]}), file)
    trace = read_trace(file)
    assert trace.format == "plain"
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [0, 6]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", AZURE + "2023-11-16 18:15:46,374,44\nsoon,1,1\n", "line 3, TIMESTAMP = 'soon'"),
        ("a.csv", AZURE + "2023-11-16 18:15:46,0,44\n", "line 2, ContextTokens = '0'.*at least 1"),
        ("a.csv", AZURE + "2023-11-16 18:15:46,5,-1\n", "GeneratedTokens = '-1'.*at least 0"),
        ("a.csv", AZURE + "2023-11-16 18:15:46,5\n", "line 2: 2 columns, the header has 3"),
        ("a.csv", "x,y\n1,2\n", "columns x, y; recognised are Azure: TIMESTAMP"),
        ("a.csv", AZURE, "has no request"),
        ("a.jsonl", '{"timestamp": 0,\n', "a.jsonl: line 1: Expecting"),
        ("a.jsonl", "[1]\n", "line 1: must be an object"),
        (
            "a.jsonl",
            '{"timestamp":0,"input_length":1.5,"output_length":1}\n',
            "line 1, input_length = 1.5",
        ),
        ("a.txt", "", "must end with .csv, .jsonl, .parquet"),
        ("a.parquet", "nonsense", "a.parquet: "),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, name: str, text: str, what: str) -> None:
    with pytest.raises(TraceError, match=what):
        read_trace(written(tmp_path, name, text))


def test_replicas_share_the_requests_round_robin(tmp_path: Path) -> None:
    rows = "".join(f"{i * 0.05},{100 + i},{5 + i % 7}\n" for i in range(40))
    trace = read_trace(written(tmp_path, "t.csv", "arrival_s,prompt_tokens,output_tokens\n" + rows))
    from sim.serving import Engine, IterationTime

    engine = Engine(IterationTime(0.01, 1e-4))
    one, three = serve_on(trace, engine), serve_on(trace, engine, engines=3)
    assert np.isfinite(three.finish_s).all()
    slow, fast = (latencies(trace.arrival_s, trace.output_tokens, o) for o in (one, three))
    assert fast.e2e_s.mean() < slow.e2e_s.mean()


def run_cli(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["serve-trace", *map(str, arguments)])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    rows = "".join(f"{i * 0.1},{50 + i},{4}\n" for i in range(30))
    trace = written(tmp_path, "t.csv", "arrival_s,prompt_tokens,output_tokens\n" + rows)
    return trace, written(tmp_path, "e.toml", "max_seqs = 8\n" + ENGINE)


def test_the_command_prints_one_json_document(files: tuple[Path, Path], tmp_path: Path) -> None:
    trace, engine = files
    out, plot = tmp_path / "r.parquet", tmp_path / "l.png"
    done = run_cli(
        trace, "--engine", engine, "--slo-ttft", 1, "--out", out, "--plot", plot, "--json"
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["requests"] == 30
    assert told["ttft_p50_s"] > 0.0
    assert told["slo_attainment_pct"] == 100.0
    assert told["energy_j"] > 0.0
    assert pq.read_table(out).num_rows == 30
    assert plot.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["{t}", "--engine", "llama-3.1-8b"], "write MODEL@GPU"),
        (["{t}", "--engine", "llama-9@h100-sxm"], "not in the catalogue"),
        (["{t}", "--engine", "none.toml"], "none.toml"),
        (["gone.csv", "--engine", "{e}"], "no such file"),
        (["{t}", "--engine", "{e}", "--kv-blocks", "0"], "kv_blocks = 0"),
        (["{t}", "--engine", "{e}", "--rate-scale", "0"], "must be above 0"),
        (["{t}", "--engine", "{e}", "--prefix-caching"], "no hash_ids or hit_tokens"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    files: tuple[Path, Path], arguments: list[str], what: str
) -> None:
    t, e = files
    done = run_cli(*(a.format(t=t, e=e) for a in arguments))
    assert done.exit_code == 2
    assert what in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.needs_data
def test_the_published_traces_are_read_whole(data: Path) -> None:
    azure = read_trace(data / "llm_traces/AzureLLMInferenceTrace_conv.csv.gz")
    assert len(azure.arrival_s) == 19_366
    assert azure.prompt_tokens.mean() == pytest.approx(1154.7, abs=0.1)
    assert azure.output_tokens.mean() == pytest.approx(211.1, abs=0.1)
    mooncake = read_trace(data / "llm_traces/mooncake_conversation_trace.jsonl.gz")
    assert len(mooncake.arrival_s) + mooncake.dropped == 12_031
    assert mooncake.hit_tokens is not None
    assert 0.2 < mooncake.hit_tokens.sum() / mooncake.prompt_tokens.sum() < 0.6

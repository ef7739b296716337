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
        ("a.txt", "", "must end with .csv, .jsonl, .json, .parquet"),
        ("a.parquet", "nonsense", "a.parquet: "),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, name: str, text: str, what: str) -> None:
    with pytest.raises(TraceError, match=what):
        read_trace(written(tmp_path, name, text))


PLAIN = "arrival_s,prompt_tokens,output_tokens,hit_tokens\n"
ROW = '{"timestamp":0,"input_length":1300,"output_length":5,"hash_ids":%s}\n'


def qwen(name: str, **more: object) -> str:
    """Two turns as Qwen-Bailian publishes them: seconds, blocks of 16 tokens."""
    rows = [
        {**more, "timestamp": 61.114, "input_length": 521, "output_length": 132,
         name: [*range(33)]},
        {**more, "timestamp": 90.5, "input_length": 700, "output_length": 12,
         name: [*range(32), *range(100, 112)]},
    ]  # fmt: skip
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("more", [{"chat_id": 159}, {}])
def test_qwen_bailian_is_in_seconds_and_blocks_of_16(tmp_path: Path, more: Any) -> None:
    trace = read_trace(written(tmp_path, "q.jsonl", qwen("hash_ids", **more)))
    assert trace.arrival_s.tolist() == [0.0, pytest.approx(29.386)]
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [0, 512]


def test_hits_are_counted_in_order_of_arrival(tmp_path: Path) -> None:
    rows = [(2000, [0, 1, 2]), (0, [0, 1]), (1000, [0])]
    text = "".join(
        json.dumps({"timestamp": t, "input_length": 512 * len(h), "output_length": 1,
                    "hash_ids": h}) + "\n" for t, h in rows
    )  # fmt: skip
    trace = read_trace(written(tmp_path, "m.jsonl", text))
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [0, 512, 1024]
    assert not trace.sorted


def test_blocks_of_another_size_tell_themselves(tmp_path: Path) -> None:
    row = {"timestamp": 5, "input_length": 130, "output_length": 1, "hash_ids": [1, 2, 3]}
    text = json.dumps(row) + "\n" + json.dumps(row | {"timestamp": 1005}) + "\n"
    trace = read_trace(written(tmp_path, "d.jsonl", text))
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [0, 130]  # three of 64
    assert trace.arrival_s.tolist() == pytest.approx([0.0, 1.0])


def test_vllms_benchmark(tmp_path: Path) -> None:
    saved = {"backend": "vllm", "duration": 9.0, "input_lens": [10, 20, 30],
             "output_lens": [5, 0, 7], "start_times": [100.5, 101.0, 103.5],
             "ttfts": [0.1, 0.0, 0.2], "errors": ["", "timeout", ""]}  # fmt: skip
    trace = read_trace(written(tmp_path, "b.json", json.dumps(saved)))
    assert (trace.format, trace.dropped) == ("vLLM benchmark", 1)
    assert trace.arrival_s.tolist() == [0.0, 3.0]
    del saved["start_times"]
    with pytest.raises(TraceError, match="saved no start_times"):
        read_trace(written(tmp_path, "b.json", json.dumps(saved)))


@pytest.mark.parametrize("scale", [1, 1_000, 1_000_000])
def test_usage_logs_in_any_unit_of_time(tmp_path: Path, scale: int) -> None:
    rows = [
        {"id": "x", "created": (1_750_000_000 + t) * scale, "usage": {"prompt_tokens": 100 + t,
         "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 64}}}
        for t in (0, 7)
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    trace = read_trace(written(tmp_path, "u.jsonl", text))
    assert trace.format == "usage log"
    assert trace.arrival_s.tolist() == pytest.approx([0.0, 7.0])
    assert trace.hit_tokens is not None
    assert trace.hit_tokens.tolist() == [64, 64]


def test_request_records_of_vllm(tmp_path: Path) -> None:
    text = '{"arrival_time": 5.5, "num_prompt_tokens": 3, "num_generation_tokens": 4}\n'
    assert read_trace(written(tmp_path, "r.jsonl", text)).format == "vLLM requests"


def test_azure_of_2024_has_a_zone(tmp_path: Path) -> None:
    rows = "2024-05-10 00:00:00.009930+00:00,2162,5\n2024-05-10 00:00:01.009930+00:00,2399,6\n"
    trace = read_trace(written(tmp_path, "a.csv", AZURE + rows))
    assert trace.arrival_s.tolist() == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"])
def test_sheets_as_programmes_save_them(
    tmp_path: Path, encoding: str, separator: str, end: str
) -> None:
    text = 'Timestamp,Model,REQUEST tokens," Response tokens",é\n5,"a b",472,18,x\n6.5,,1,2,y\n'
    (tmp_path / "b.csv").write_bytes(
        text.replace(",", separator).replace("\n", end).encode(encoding)
    )
    trace = read_trace(tmp_path / "b.csv")
    assert trace.format == "BurstGPT"
    assert trace.arrival_s.tolist() == [0.0, 1.5]
    assert trace.prompt_tokens.tolist() == [472, 1]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("p.csv", PLAIN + "1,5,5,\n2,6,6,1\n", "line 2, hit_tokens = ''.*whole number"),
        ("p.csv", PLAIN + "1,1_000,5,0\n", "prompt_tokens = '1_000'"),
        ("p.csv", PLAIN + "1,99999999,5,0\n", "line 2, prompt_tokens = '99999999'.*16,777,216"),
        ("p.csv", PLAIN + f"1,{'9' * 5000},5,0\n", "line 2, prompt_tokens"),
        ("p.csv", PLAIN + "1," + "x" * 140_000 + ",5,0\n", "line 2, prompt_tokens = 'xxx"),
        ("p.csv", PLAIN + "1,5,5,0\n1e300,5,5,0\n", "line 3, arrival_s.*100 years"),
        ("p.csv", PLAIN + "1750000000000,5,5,0\n", "cannot be seconds"),
        ("p.csv", PLAIN + "nan,5,5,0\n", "arrival_s = 'nan'"),
        ("p.csv", "arrival_s,arrival_s\n1,2\n", "'arrival_s' more than once"),
        ("p.csv", "", "columns ; recognised"),
        ("m.jsonl", ROW % "[0,1,2]" + ROW % "null", "line 2, hash_ids = None"),
        ("m.jsonl", ROW % "[0,1,2]" + "\n" + ROW % "3", "line 3, hash_ids = 3: must be a list"),
        ("m.jsonl", ROW % "[[1]]", "line 1, hash_ids = ..1..: must be a list of whole"),
        ("m.jsonl", ROW % "[0]", "1 hashes for 1300 tokens: must be 3"),
        ("m.jsonl", ROW.replace(":0,", ":0.5,") % "[0,1,2]", "timestamp = 0.5.*whole milliseconds"),
        ("m.jsonl", ROW.replace(":0,", ":NaN,") % "[0,1,2]", "timestamp = nan"),
        ("m.jsonl", ROW.replace("1300", "[3]") % "[0]", "input_length = .3.: must be a whole"),
        ("m.jsonl", ROW.replace("1300", "true") % "[0]", "input_length = True: must be a whole"),
        ("m.jsonl", ROW.replace("1300", "1e19") % "[0]", "input_length = 1e.19: must be"),
        ("m.jsonl", ROW.replace("1300", "9" * 400) % "[0]", "input_length = 999"),
        (
            "m.jsonl",
            ROW.replace("1300", "9" * 5000) % "[0]",
            "line 1: a number has too many digits",
        ),
        ("m.jsonl", "[" * 100_000, "line 1: is nested too deeply"),
        ("s.json", '[{"id": "a", "conversations": []}]', "ShareGPT has texts"),
        ("a.csv", AZURE + "9999-12-31 00:00:00,5,5\n", "line 2, TIMESTAMP"),
        (
            "a.csv",
            AZURE + "2023-11-16 18:15:46,5,5\n2023-11-16 18:15:46Z,5,5\n",
            "line 3, TIMESTAMP",
        ),
    ],
)
def test_a_strangers_file_is_refused_with_its_place(
    tmp_path: Path, name: str, text: str, what: str
) -> None:
    with pytest.raises(TraceError, match=what):
        read_trace(written(tmp_path, name, text))


def test_a_hit_that_is_true_or_false_is_refused(tmp_path: Path) -> None:
    row = '{"arrival_s":0,"prompt_tokens":5,"output_tokens":5,"hit_tokens":true}\n'
    with pytest.raises(TraceError, match="hit_tokens = True"):
        read_trace(written(tmp_path, "p.jsonl", row))


def test_broken_and_swollen_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress((PLAIN + "1,5,5,0\n" * 1000).encode())
    for broken in (packed[:40], packed[:30] + b"xxxxxx" + packed[36:], b"no gzip"):
        (tmp_path / "p.csv.gz").write_bytes(broken)
        with pytest.raises(TraceError, match=r"p.csv.gz: cannot be read"):
            read_trace(tmp_path / "p.csv.gz")
    monkeypatch.setattr("sim.serving.trace_files.MAX_TEXT_BYTES", 1000)
    (tmp_path / "p.csv.gz").write_bytes(packed)
    with pytest.raises(TraceError, match="must be at most 1,000 bytes of text, unpacked"):
        read_trace(tmp_path / "p.csv.gz")


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

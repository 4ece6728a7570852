"""What the collector sends and writes, against a server whose delays are known."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentsim.validation.layouts import read_cases
from agentsim.workload.formats import read_trace

Serve = Callable[..., Any]
Collect = Callable[..., int]


def runs(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def requests(folder: Path, run_id: str) -> list[dict[str, str]]:
    with gzip.open(folder / "requests" / f"{run_id}.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def prompts(server: Any) -> list[list[int]]:
    """All prompts but that of the first request, which only looks how the server answers."""
    return [body["prompt"] for body in server.bodies[1:]]


def test_prompts_have_exactly_the_lengths_asked_for(
    serve: Serve, collect: Collect, tmp_path: Path
) -> None:
    """Sweeps send each length, and each batch at each context, with outputs of fixed length."""
    server = serve()
    grid = ("--prefill", "64,8", "--decode", "1,3x16,32", "--decode-tokens", "5")
    assert collect(server.url, tmp_path, *grid) == 0
    sent = [(len(body["prompt"]), body["max_tokens"]) for body in server.bodies[1:]]
    assert sent == [(64, 1), (8, 1), *[(16, 5)] * 4, *[(32, 5)] * 4]
    assert all(body["ignore_eos"] for body in server.bodies)
    assert [int(row["prompt_tokens"]) for row in requests(tmp_path, "prefill-1")] == [64, 8]


def test_no_two_prompts_begin_alike(serve: Serve, collect: Collect, tmp_path: Path) -> None:
    """Neither in a run nor between repeats, so that nothing is found in a prefix cache."""
    server = serve()
    assert collect(server.url, tmp_path, "--decode", "4x32", "--repeats", "2") == 0
    assert len({tuple(prompt[:16]) for prompt in prompts(server)}) == 8


def test_times_are_those_of_the_server(serve: Serve, collect: Collect, tmp_path: Path) -> None:
    """No time is shorter than the server's delays; the parts add up."""
    ttft_s, gap_s, outputs = 0.03, 0.005, 6
    server = serve(ttft_s=ttft_s, gap_s=gap_s)
    arguments = ("--decode", "2x16", "--decode-tokens", str(outputs))
    assert collect(server.url, tmp_path, *arguments) == 0
    for row in requests(tmp_path, "decode-1"):
        assert float(row["ttft_s"]) >= ttft_s
        assert float(row["e2e_s"]) >= ttft_s + (outputs - 1) * gap_s
        assert float(row["e2e_s"]) - float(row["ttft_s"]) >= 0.9 * (outputs - 1) * gap_s
        assert 0 < float(row["itl_p50_s"]) <= float(row["itl_p90_s"]) <= float(row["itl_p99_s"])
        assert int(row["pieces"]) == int(row["output_tokens"]) == outputs


def test_an_open_loop_is_the_same_for_a_seed(
    serve: Serve, collect: Collect, tmp_path: Path
) -> None:
    """Lengths within their bounds, as many as asked for, sent no earlier than due."""
    load = ("--poisson", "200", "--requests", "20", "--prompt-tokens", "4:40")
    found = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        server = serve()
        assert collect(server.url, tmp_path / name, *load, "--seed", seed) == 0
        found.append(sorted(len(prompt) for prompt in prompts(server)))
        rows = requests(tmp_path / name, "poisson-200-1")
        arrivals = [float(row["arrival_s"]) for row in rows]
        assert arrivals == sorted(arrivals) and arrivals[0] == 0
    assert found[0] == found[1] != found[2]
    assert len(found[0]) == 20 and min(found[0]) >= 4 and max(found[0]) <= 40


TRACE: list[dict[str, Any]] = [
    {"type": "header", "format": "agentsim-trace", "version": 1, "block_size": 8},
    {"type": "session", "session": "s"},
    {"session": "s", "id": "a", "output_tokens": 6, "prompt": [["sys", 20], ["~task", 10]]},
    {"session": "s", "id": "b", "delay": 0.02, "output_tokens": 4, "extends": "a", "keep": 34},
    {"session": "s", "id": "c", "output_tokens": 2, "extends": "a", "keep": 10, "after": ["a"]},
    {
        "session": "s",
        "id": "d",
        "after": ["b", "c"],
        "output_tokens": 1,
        "prompt": [["sys", 20], ["out:b", 3], ["x", 5]],
    },
    {"type": "session", "session": "t"},
    {"session": "t", "id": "a", "output_tokens": 3, "prompt": [["sys", 12], ["~task", 10]]},
    {"session": "t", "id": "b", "output_tokens": 3, "blocks": ["p", "q"]},
]
LENGTHS = {("s", "b"): 50, ("s", "c"): 30, ("t", "b"): 12}


def trace_file(tmp_path: Path) -> Path:
    lines = []
    for given in TRACE:
        line = {"type": "call", **given}
        if line["type"] == "call":
            known = sum(count for _, count in line.get("prompt", ()))
            line["input_tokens"] = LENGTHS.get((line["session"], line["id"]), known)
        lines.append(json.dumps(line) + "\n")
    place = tmp_path / "agents.jsonl"
    place.write_text("".join(lines), encoding="utf-8")
    return place


@pytest.mark.parametrize("with_ids", [True, False])
def test_a_replay_shares_what_the_trace_shares(
    serve: Serve, collect: Collect, tmp_path: Path, with_ids: bool
) -> None:
    """Prefixes, named segments and, where the server tells them, the tokens of its answers."""
    server = serve(with_ids=with_ids)
    arguments = ("--replay", str(trace_file(tmp_path)), "--agents", "1")
    assert collect(server.url, tmp_path / "out", *arguments) == 0
    rows = requests(tmp_path / "out", "replay-agents-1")
    names = [(row["session"], row["call"]) for row in rows]
    sent = dict(zip(names, prompts(server), strict=True))
    made = dict(zip(names, server.outputs[1:], strict=True))
    first, second = sent["s", "a"], sent["s", "b"]
    assert (len(first), len(second)) == (30, 50)
    assert second[:30] == first
    assert (second[30:34] == made["s", "a"][:4]) == with_ids
    assert sent["s", "c"][:10] == first[:10] and sent["s", "c"][10] != first[10]
    join = sent["s", "d"]
    assert join[:20] == first[:20]
    assert (join[20:23] == made["s", "b"][:3]) == with_ids
    other = sent["t", "a"]
    assert other[:12] == first[:12] and other[12:] != first[20:30]
    assert len(sent["t", "b"]) == 12
    told = "of the server" if with_ids else "placeholders"
    assert [row["outputs"] for row in runs(tmp_path / "out")] == [told]


def test_a_replay_waits_for_answers_and_tools(
    serve: Serve, collect: Collect, tmp_path: Path
) -> None:
    """A call is sent after the answers it names and its delay; both sessions begin at once."""
    server = serve(ttft_s=0.02)
    assert collect(server.url, tmp_path / "out", "--replay", str(trace_file(tmp_path))) == 0
    rows = {(r["session"], r["call"]): r for r in requests(tmp_path / "out", "replay-agents-1")}
    start = {name: float(row["arrival_s"]) for name, row in rows.items()}
    end = {name: start[name] + float(row["e2e_s"]) for name, row in rows.items()}
    assert start["s", "b"] >= end["s", "a"] + 0.02 - 1e-5
    assert start["s", "c"] >= end["s", "a"] - 1e-5
    assert start["s", "d"] >= max(end["s", "b"], end["s", "c"]) - 1e-5
    assert start["t", "a"] < end["s", "a"]
    kept = read_trace(tmp_path / "out" / runs(tmp_path / "out")[0]["trace"])
    assert [len(session.calls) for session in kept] == [4, 2]
    assert all(call.delay_ns is not None for session in kept for call in session.calls)


def test_validate_reads_what_was_written(serve: Serve, collect: Collect, tmp_path: Path) -> None:
    """With the server's settings from its own metrics, and what the options state."""
    server = serve(ttft_s=0.01)
    arguments = ("--poisson", "100", "--requests", "5", "--server", "max_num_seqs=16")
    assert collect(server.url, tmp_path / "mine", *arguments) == 0
    (row,) = runs(tmp_path / "mine")
    assert (row["block_size"], row["num_gpu_blocks"], row["max_num_seqs"]) == ("16", "1000", "16")
    assert (row["max_model_len"], row["engine_version"], row["engine"]) == (
        "4096",
        "0.32.0",
        "vllm",
    )
    (case,) = read_cases(tmp_path / "mine")
    assert case.run_id == "poisson-100-1"


def test_who_gives_up_is_written_down(serve: Serve, collect: Collect, tmp_path: Path) -> None:
    """A request without an answer in time has failed, and the run goes on."""

    def delay(number: int) -> None:
        server.delays = (30.0, 0.0) if number == 2 else (0.0, 0.0)

    server = serve(on_request=delay)
    assert collect(server.url, tmp_path, "--prefill", "8,8", "--timeout", "0.3") == 0
    rows = requests(tmp_path, "prefill-1")
    assert [row["ok"] for row in rows] == ["0", "1"]
    assert (rows[0]["e2e_s"], rows[0]["ttft_s"]) == ("0.300000", "")
    assert runs(tmp_path)[0]["n_failed"] == "1"


def test_an_interruption_keeps_the_runs_before_it(
    serve: Serve, collect: Collect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in the second run: the first is whole, of the second there is nothing."""

    def interrupt(number: int) -> None:
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)

    server = serve(ttft_s=0.05, on_request=interrupt)
    # a shell's background job ignores the signal, and its children with it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert collect(server.url, tmp_path, "--prefill", "8,8,8", "--repeats", "2") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted; 1 runs are in" in capsys.readouterr().err
    assert [row["run_id"] for row in runs(tmp_path)] == ["prefill-1"]
    assert [path.name for path in (tmp_path / "requests").iterdir()] == ["prefill-1.csv.gz"]


def test_a_server_that_fails_keeps_the_runs_before(
    serve: Serve, collect: Collect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run in which it fails is not written."""

    def fail(number: int) -> None:
        if number == 5:
            server.reply = b"HTTP/1.1 500 Oops\r\n\r\nout of memory\n"

    server = serve(on_request=fail)
    assert collect(server.url, tmp_path, "--prefill", "8,8", "--repeats", "2") == 2
    assert capsys.readouterr().err.endswith("HTTP 500: out of memory\n")
    assert [row["run_id"] for row in runs(tmp_path)] == ["prefill-1"]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (
            {"reply": b'HTTP/1.1 400 Bad Request\r\n\r\n{"error": {"message": "too\\nlong"}}'},
            "HTTP 400: too long",
        ),
        ({"reply": b"SSH-2.0-OpenSSH\r\n"}, "not an HTTP server: it answers b'SSH-2.0-OpenSSH"),
        ({"reply": OK % (5, b"hello")}, "expected a stream of completions, got b'hello'"),
        ({"reply": OK % (11, b"data: {oops")}, "expected JSON in the stream, got b'{oops'"),
        ({"reply": OK % (99, b"data: ")}, "an answer broke off"),
        ({"reply": b"HTTP/1.1 200 OK\r\n\r\n" + b'data: {"choices": [{}]}\n'}, "broke off after 1"),
        ({"heed_length": False}, "made 1 tokens where 4 were asked for"),
        ({"ttft_s": 30.0}, "no answer to 16 tokens within 0.3 s"),
    ],
)
def test_a_server_that_cannot_be_measured_is_one_line(
    serve: Serve,
    collect: Collect,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    behaviour: dict[str, Any],
    message: str,
) -> None:
    """Exit code 2, nothing written."""
    url = serve(**behaviour).url
    assert collect(url, tmp_path / "out", "--prefill", "8", "--timeout", "0.3") == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_nobody_listens(
    collect: Collect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A closed port is one line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert collect(f"http://127.0.0.1:{port}", tmp_path, "--prefill", "8") == 2
    assert "refuses connections: is the server running?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to measure"),
        (("--replay", "none.jsonl"), "none.jsonl"),
        (("--prefill", "8", "--model", "other"), "does not serve 'other'; it serves m"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line(
    serve: Serve,
    collect: Collect,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    assert collect(serve().url, tmp_path, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_run_is_never_replaced(
    serve: Serve, collect: Collect, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same run again needs another folder; another run is added."""
    server = serve()
    assert collect(server.url, tmp_path, "--prefill", "8") == 0
    assert collect(server.url, tmp_path, "--prefill", "8") == 2
    assert "run 'prefill-1' is there: name another folder" in capsys.readouterr().err
    assert collect(server.url, tmp_path, "--decode", "1x8") == 0
    assert [row["run_id"] for row in runs(tmp_path)] == ["prefill-1", "decode-1"]


@pytest.mark.parametrize(
    "arguments", [("--prefill", "0"), ("--decode", "4"), ("--poisson", "-1"), ("--server", "x=1")]
)
def test_an_option_that_cannot_be_read(
    collect: Collect, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        collect("http://127.0.0.1:1", tmp_path, *arguments)
    assert ended.value.code == 2

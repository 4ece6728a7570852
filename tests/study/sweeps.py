"""Small sweeps for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentsim.study.sweep.points import Plan
from agentsim.study.sweep.spec import read_spec

#: Twelve points; the four with max_model_len 16 cannot run.
GRID = """
trace = "trace.jsonl"
figures = ["runtime", "p95 ttft", "cost"]

[base]
engine.max_num_batched_tokens = 512

[vary]
gpu = ["l4", "h100"]
engine.max_model_len = [4096, 2048, 16]
agents.num_agents = [1, 2]
"""
NUM_POINTS, NUM_FAILED = 12, 4


def write_trace(place: Path, *, sessions: int = 2, output_tokens: int = 8) -> None:
    """Sessions of two calls each."""
    lines: list[dict[str, Any]] = [{"type": "header", "format": "agentsim-trace", "version": 1}]
    for number in range(sessions):
        own = {"session": f"s{number}"}
        call = {"type": "call", **own, "input_tokens": 200, "output_tokens": output_tokens}
        lines += [
            {"type": "session", **own},
            {**call, "id": "a"},
            {**call, "id": "b", "after": ["a"], "delay": 0.5, "extends": "a", "keep": 190},
        ]
    place.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def write_spec(folder: Path, text: str = GRID) -> Path:
    """A spec beside a trace."""
    write_trace(folder / "trace.jsonl")
    place = folder / "spec.toml"
    place.write_text(text, encoding="utf-8")
    return place


def plan_of(folder: Path, text: str = GRID) -> Plan:
    return Plan(read_spec(write_spec(folder, text)))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {place.name: place.read_bytes() for place in sorted(folder.iterdir())}

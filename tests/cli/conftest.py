"""A small trace for the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def trace(tmp_path: Path) -> str:
    """Two sessions; the first has two calls with a tool between, the second one call."""
    lines: list[dict[str, Any]] = [
        {"type": "header", "format": "agentsim-trace", "version": 1},
        {"type": "session", "session": "s"},
        {"type": "call", "session": "s", "id": "a", "input_tokens": 500, "output_tokens": 20},
        {
            "type": "call",
            "session": "s",
            "id": "b",
            "after": ["a"],
            "delay": 2.5,
            "extends": "a",
            "keep": 520,
            "input_tokens": 600,
            "output_tokens": 10,
        },
        {"type": "session", "session": "t"},
        {"type": "call", "session": "t", "id": "a", "input_tokens": 300, "output_tokens": 1},
    ]
    place = tmp_path / "trace.jsonl"
    place.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(place)

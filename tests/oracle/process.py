"""A real vLLM in a process of its own that answers scenario after scenario: `real_vllm`."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]


def chosen_seeds(text: str) -> list[int]:
    """The seeds that a text such as `3,40:60` names."""
    seeds: list[int] = []
    for part in text.split(","):
        start, colon, stop = part.partition(":")
        seeds += range(int(start), int(stop) if colon else int(start) + 1)
    return seeds


class RealVllm:
    """The process: a scenario a line in, its lines out."""

    def __init__(self, interpreter: str, script: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [interpreter, "-W", "ignore", str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, scenario: Json) -> list[Json]:
        """The lines of a scenario."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(scenario), file=self.process.stdin, flush=True)
        text = self.process.stdout.readline()
        assert text, "the process with vLLM has ended; its stderr says why"
        answer = json.loads(text)
        assert "lines" in answer, answer["error"]
        lines: list[Json] = answer["lines"]
        return lines

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def real_vllm(script: Path, *arguments: str) -> Iterator[RealVllm]:
    """The process of a script, or a skip that says what is missing; for fixtures."""
    interpreter = os.environ.get("AGENTSIM_VLLM_PYTHON", "")
    if not interpreter and importlib.util.find_spec("vllm") is None:
        pytest.skip("no vLLM here: install it or name an interpreter in AGENTSIM_VLLM_PYTHON")
    real = RealVllm(interpreter or sys.executable, script, *arguments)
    yield real
    real.close()

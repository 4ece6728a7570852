"""The defaults against measured points of one L4: within 15 %, as docs/model.md lists them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from agentsim.domain.batch import BatchShape
from agentsim.domain.config import Config, EngineConfig
from agentsim.machine.roofline import Roofline
from agentsim.machine.system import build_system

LIMIT = 0.15


def cost_on_l4(model: str) -> Roofline:
    return build_system(Config(gpu="l4", model=model, engine=EngineConfig(max_model_len=8192))).cost


def decode_ms(cost: Roofline, batch: int, context: int) -> float:
    total = batch * context
    shape = BatchShape(batch, batch, batch, decode_context=total, window_decode_context=total)
    return cost.step_ns(shape) / 1e6


def prefill_s(cost: Roofline, start: int, end: int, window: int) -> float:
    """Seconds of the steps that compute tokens `start` to `end`, in chunks of 2048."""
    seconds = 0.0
    for first in range(start, end, 2048):
        chunk = min(2048, end - first)
        pairs = chunk * first + chunk * (chunk + 1) // 2
        near = sum(min(window, position) for position in range(first + 1, first + chunk + 1))
        reach = min(first + chunk, chunk + window)
        shape = BatchShape(chunk, 1, 1, chunk, pairs, first + chunk, 0, near, reach, 0)
        seconds += cost.step_ns(shape) / 1e9
    return seconds


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_decode_of_mistral_in_awq_and_fp16(shared: Path) -> None:
    """Short prompts (16 tokens taken), the context half way through the output."""
    rows = rows_of(shared / "measured/l4-points/mistral-7b_decode.csv")
    assert len(rows) == 12
    for row in rows:
        cost = cost_on_l4(row["model"])
        context = 16 + int(row["output_tokens"]) // 2
        simulated = decode_ms(cost, int(row["batch"]), context)
        assert simulated == pytest.approx(float(row["ms_per_step"]), rel=LIMIT)


def test_decode_of_qwen_half_a_billion_shows_the_floor(shared: Path) -> None:
    """Median inter-token times of a closed loop: 256 prompt tokens, half of 128 outputs."""
    rows = rows_of(shared / "measured/l4-points/published.csv")
    rows = [row for row in rows if row["model"].startswith("Qwen/Qwen2.5-0.5B")]
    assert len(rows) == 6
    cost = cost_on_l4("qwen2.5-0.5b")
    for row in rows:
        batch = int("".join(filter(str.isdigit, row["load"])))
        assert decode_ms(cost, batch, 320) == pytest.approx(float(row["itl_p50_ms"]), rel=LIMIT)


@pytest.mark.parametrize(
    ("file", "model", "window"),
    [
        ("gemma4-12b-w4a16-ec2-2026-06-15.csv", "gemma-4-12b-w4a16", 1024),
        ("gemma4-4b-w4a16-gce-2026-07-12.csv", "gemma-4-e4b-w4a16", 512),
    ],
)
def test_long_prefills_of_gemma(shared: Path, file: str, model: str, window: int) -> None:
    """Concurrency 1, half the prompt cached, 4096 tokens and more; 0.1 s of network taken off."""
    cost = cost_on_l4(model)
    rows = rows_of(shared / "measured/l4-points/grids" / file)
    compared = 0
    for row in rows:
        prompt, cached = int(row["prompt_tokens"]), int(row["longest_prefix_sent_before_tokens"])
        if row["concurrency"] == "1" and prompt >= 4096:
            measured = float(row["latency_mean_s"]) - 0.1
            assert prefill_s(cost, cached, prompt, window) == pytest.approx(measured, rel=LIMIT)
            compared += 1
    assert compared == 3


def test_twice_the_prompt_of_gemma_takes_as_much_longer_as_measured(shared: Path) -> None:
    """What a run adds over that of half its prompt: the network's part cancels."""
    file = shared / "measured/l4-points/grids/gemma4-12b-w4a16-ec2-2026-06-15.csv"
    cost = cost_on_l4("gemma-4-12b-w4a16")
    measured, simulated = {}, {}
    for row in rows_of(file):
        prompt = int(row["prompt_tokens"])
        if row["concurrency"] == "1" and prompt >= 512:
            measured[prompt] = float(row["latency_mean_s"])
            cached = int(row["longest_prefix_sent_before_tokens"])
            simulated[prompt] = prefill_s(cost, cached, prompt, 1024)
    for prompt in sorted(measured)[1:]:
        added = simulated[prompt] - simulated[prompt // 2]
        assert added == pytest.approx(measured[prompt] - measured[prompt // 2], rel=LIMIT)

"""vLLM's request log: token ids as blocks, sessions by content, answers, times without a year."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.domain.trace import Call
from agentsim.errors import TraceError
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.report import ImportReport
from importers.samples import sample


def read(lines: list[str], path: Path) -> tuple[list[list[Call]], ImportReport]:
    (path / "vllm.log").write_text("\n".join(lines) + "\n")
    trace, report = import_logs([str(path / "vllm.log")])
    return [list(session.calls) for session in trace], report


def received(id: str, ids: list[int], time: str = "01-01 00:00:00", limit: int = 50) -> str:
    return (
        f"INFO {time} [logger.py:42] Received request {id}: prompt: 'x, prompt_token_ids: [1]', "
        f"params: SamplingParams(n=1, max_tokens={limit}), prompt_token_ids: {ids}, "
        "prompt_embeds shape: None, lora_request: None."
    )


def test_token_ids_are_exact_blocks_shared_across_sessions() -> None:
    trace, _ = import_logs([str(sample("vllm-log"))])
    (first, second), (other,) = (session.calls for session in trace)
    assert (first.input_tokens, second.input_tokens, other.input_tokens) == (78, 108, 88)
    assert first.blocks is not None
    assert second.blocks is not None
    assert other.blocks is not None
    assert len(first.blocks) == 5  # the last one partial
    assert first.blocks[:4] == second.blocks[:4]
    assert first.blocks[4] != second.blocks[4]
    assert first.blocks[:3] == other.blocks[:3]  # a system prompt of 48 tokens
    assert first.blocks[3] != other.blocks[3]


def test_hashes_of_token_ids_are_keyed() -> None:
    from agentsim.workload.importers.assemble import Options

    path = [str(sample("vllm-log"))]
    one, other = (
        next(iter(import_logs(path, options=Options(key=key))[0])).calls[0].blocks
        for key in (b"a", b"b")
    )
    assert one is not None
    assert other is not None
    assert not set(one) & set(other)


def test_answers_by_ids_by_text_and_missing() -> None:
    trace, report = import_logs([str(sample("vllm-log"))])
    (first, second), (other,) = (session.calls for session in trace)
    assert (first.output_tokens, first.output_estimated, first.finish) == (10, False, "stop")
    assert second.output_estimated  # text only
    assert second.measured is not None
    assert second.measured.e2e_ns == 3_000_000_000  # of whole seconds
    assert (other.output_tokens, other.output_estimated) == (64, True)  # its max_tokens
    assert report.warnings["requests whose prompt is not logged; left out"].count == 1


def test_ids_in_a_prompts_own_text_are_not_its_ids(tmp_path: Path) -> None:
    ((call,),), _ = read([received("a", list(range(40)))], tmp_path)
    assert call.input_tokens == 40


def test_a_new_year_does_not_run_backwards(tmp_path: Path) -> None:
    ids = list(range(64))
    lines = [
        received("a", ids, "12-31 23:59:58"),
        "INFO 12-31 23:59:59 [logger.py:71] Generated response a: output: 'x', "
        "output_token_ids: [1, 2], finish_reason: stop",
        received("b", [*ids, *range(99, 120)], "01-01 00:00:02"),
    ]
    ((_, second),), _ = read(lines, tmp_path)
    assert second.delay_ns == 3_000_000_000


def test_a_time_that_is_none_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"vllm.log:1: no such time"):
        read([received("a", [1, 2], "13-41 00:00:00")], tmp_path)

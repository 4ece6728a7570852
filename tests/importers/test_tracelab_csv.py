"""TraceLab's replay CSV."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.errors import TraceError
from importers.samples import sample
from importers.sessions import MS, S, read

HEAD = "id,round_idx,prefix_len,input_len,output_len,tool_wait_after_ms\n"


def test_a_prompt_is_prefix_and_input_and_the_wait_comes_after_the_round() -> None:
    trace, report = read(sample("tracelab-csv"))
    one = trace.find("one").calls
    assert [call.input_tokens for call in one] == [500, 600, 650]
    assert [(call.extends, call.keep) for call in one] == [
        (None, 0), ("main/0", 540), ("main/1", 630),
    ]  # fmt: skip
    assert [call.delay_ns for call in one] == [None, 285_500_000, 1200 * MS]
    assert trace.find("two").at_ns == S
    assert trace.find("two").calls[1].keep == 100
    assert not report.warnings


def test_prefixes_nobody_sent_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEAD}s,0,100,10,5,0\ns,1,500,10,5,0\n")
    trace, report = read(path)
    assert [call.input_tokens for call in trace.find("s").calls] == [110, 510]
    assert trace.find("s").calls[1].keep == 115
    assert set(report.warnings) == {
        "first rounds with a prefix that nobody sent",
        "prefixes longer than the round before",
    }


def test_rounds_out_of_order_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{HEAD}s,1,0,10,5,0\ns,0,0,10,5,0\n")
    with pytest.raises(TraceError, match=r"t.csv:3: field 'round_idx': expected more than 1"):
        read(path)


def test_a_count_beside_a_control_character_is_read(tmp_path: Path) -> None:
    """U+001C is a space to `str`, but none to `int`."""
    log = tmp_path / "log.csv"
    text = sample("tracelab-csv").read_text()
    log.write_text(text.replace(",0,0,", ",0,\x1c00,", 1))
    trace, _ = read(log)
    assert trace.num_calls > 0

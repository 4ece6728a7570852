"""BLIS' TraceV2: one file or two."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.errors import TraceError
from importers.samples import sample
from importers.sessions import MS, read

KIND = "rounds without a header; taken as whole prompts"


def test_rounds_are_added_up_where_the_header_says_so() -> None:
    trace, report = read(sample("blis"))
    first, second = trace.find("s1").calls
    assert (first.input_tokens, second.input_tokens) == (120, 120 + 10 + 30)
    assert (second.extends, second.keep) == ("main/0", 130)
    assert second.delay_ns == 250 * MS
    assert second.measured is not None
    assert (second.measured.ttft_ns, second.measured.e2e_ns) == (50 * MS, 70 * MS)
    assert report.warnings["requests that failed"].count == 1


def test_a_group_shares_its_prefix_and_the_servers_count_is_the_better_one() -> None:
    trace, _ = read(sample("blis"))
    roots = {session.id: session.calls[0] for session in trace}
    ones = [call.segments for call in roots.values() if call.segments is not None]
    assert len(ones) == 2
    assert ones[0][0] == ones[1][0]
    assert ones[0][0][1] == 100
    assert ones[0][1] != ones[1][1]
    assert sorted(call.input_tokens for call in roots.values()) == [31, 120, 125]


def test_header_and_table_may_be_one_file(tmp_path: Path) -> None:
    folder = sample("blis")
    path = tmp_path / "trace.txt"
    table = (folder / "trace.csv").read_text()
    path.write_text((folder / "trace.yaml").read_text() + table)
    one, two = read(path)[0].find("s1"), read(folder)[0].find("s1")
    assert one.calls == two.calls


def test_without_a_header_rounds_are_whole_prompts_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text((sample("blis") / "trace.csv").read_text())
    trace, report = read(path)
    assert trace.find("s1").calls[1].input_tokens == 130
    assert report.warnings[KIND].count == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("trace_version: 2", "trace_version: 9", "trace_version '9': expected one of 2, 3"),
        ("microseconds", "seconds", "time_unit 'seconds': expected 'microseconds'"),
    ],
)
def test_another_version_or_unit_is_refused(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "trace.yaml"
    path.write_text((sample("blis") / "trace.yaml").read_text().replace(old, new))
    with pytest.raises(TraceError, match=message):
        read(path)


def test_zero_waits_were_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    text = (sample("blis") / "trace.csv").read_text()
    path.write_text(text.replace(",250000\n", ",0\n"))
    trace, _ = read(path)
    assert trace.find("s1").calls[1].delay_ns == 310 * MS  # from the clocks: 400 ms - 90 ms

"""What every trace format must do, ours or an outsider's."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError
from agentsim.workload.formats import FORMATS, read_trace
from agentsim.workload.lines import decode_object, open_lines


class FormatContract:
    """Tests of a format `name`, with a small file of it: two calls, the second on the last line."""

    def test_it_is_detected_and_no_other_claims_it(
        self, name: str, sample: bytes, tmp_path: Path
    ) -> None:
        path = written(sample, tmp_path)
        assert read_trace(path).sessions == read_trace(path, format=name).sessions
        assert [other for other in FORMATS if claims(other, path)] == [name]

    def test_it_gives_calls_in_order_with_resolved_references(
        self, name: str, sample: bytes, tmp_path: Path
    ) -> None:
        trace = read_trace(written(sample, tmp_path))
        assert trace.num_calls == 2
        for session in trace:
            seen: list[str] = []
            for call in session.calls:
                assert all(needed in seen for needed in call.after)
                seen.append(call.id)

    def test_a_line_cut_short_names_file_and_line(
        self, name: str, sample: bytes, tmp_path: Path
    ) -> None:
        path = written(sample.rstrip()[:-5], tmp_path)
        with pytest.raises(TraceError, match=rf"^{path}:{sample.count(bytes([10]))}: "):
            read_trace(path)

    def test_reading_twice_gives_the_same(self, name: str, sample: bytes, tmp_path: Path) -> None:
        path = written(sample, tmp_path)
        first: Trace = read_trace(path)
        assert first.sessions == read_trace(path).sessions


def written(sample: bytes, folder: Path) -> Path:
    path = folder / "t"
    path.write_bytes(sample)
    return path


def claims(name: str, path: Path) -> bool:
    """Whether a format takes a file for one of its own."""
    with open_lines(path) as lines:
        assert lines.first is not None
        if FORMATS[name].detect_line(lines.first):
            return True
        try:
            record = decode_object(lines, 1, lines.first)
        except TraceError:
            return False
        return FORMATS[name].detect(record)

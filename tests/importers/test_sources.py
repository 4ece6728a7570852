"""What files may do to an import: names, links, sizes, encodings, clocks; one clear line each."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agentsim.domain.trace import Call
from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from agentsim.workload.importers import sources
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.sources import LogFile, find_logs
from agentsim.workload.write import write_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
ROW = "2026-01-01 00:00:00.5,1500,13\n"
KIB = 1 << 10


def log(path: Path, rows: int = 1) -> Path:
    """A small log of a known format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + ROW * rows)
    return path


def found(*paths: Path | str) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of the files that paths stand for, and what was passed over."""
    passed: list[tuple[str, str]] = []
    files = find_logs([str(path) for path in paths], lambda *what: passed.append(what))
    return [file.name for file in files], passed


def refused(*paths: Path | str, **options: Any) -> str:
    """The one line with which an import stops."""
    with pytest.raises(TraceError) as error:
        import_logs([str(path) for path in paths], **options)
    assert "\n" not in str(error.value)
    return str(error.value)


class TestFolders:
    def test_all_files_below_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        files = [log(tmp_path / name) for name in ("b.csv", "a/z.csv", "a/b/y.csv", "c")]
        names, passed = found(tmp_path)
        assert sorted(names) == sorted(map(str, files))
        assert names == found(tmp_path)[0]
        assert not passed

    def test_links_in_a_folder_are_passed_over_and_reported(self, tmp_path: Path) -> None:
        """To a file outside, to a folder outside, to the folder itself, to nothing."""
        outside = log(tmp_path / "outside" / "secret.csv")
        inside = log(tmp_path / "logs" / "a.csv")
        folder = tmp_path / "logs"
        (folder / "file").symlink_to(outside)
        (folder / "folder").symlink_to(outside.parent)
        (folder / "loop").symlink_to(folder)
        (folder / "dangling").symlink_to(tmp_path / "nothing")
        names, passed = found(folder)
        assert names == [str(inside)]
        assert sorted(passed) == [
            ("symbolic links passed over", str(folder / name))
            for name in ("dangling", "file", "folder", "loop")
        ]

    def test_a_link_that_the_user_names_is_read(self, tmp_path: Path) -> None:
        target = log(tmp_path / "a.csv")
        (tmp_path / "link.csv").symlink_to(target)
        assert found(tmp_path / "link.csv")[0] == [str(tmp_path / "link.csv")]

    def test_a_file_counts_once_however_often_it_is_named(self, tmp_path: Path) -> None:
        path = log(tmp_path / "a" / "a.csv")
        (tmp_path / "link.csv").symlink_to(path)
        roundabout = tmp_path / "a" / ".." / "a" / "a.csv"
        names, _ = found(path, path, roundabout, tmp_path / "a", tmp_path / "link.csv",
                         tmp_path / "*" / "*.csv")  # fmt: skip
        assert names == [str(path)]

    def test_hidden_files_and_folders_are_not_read(self, tmp_path: Path) -> None:
        log(tmp_path / ".hidden.csv")
        log(tmp_path / ".git" / "a.csv")
        assert found(tmp_path) == ([], [])

    def test_pipes_and_devices_are_never_opened(self, tmp_path: Path) -> None:
        """Reading them would wait for ever."""
        os.mkfifo(tmp_path / "pipe")
        assert found(tmp_path)[0] == []
        assert "no regular file" in refused(tmp_path / "pipe")
        assert "no regular file" in refused("/dev/zero")

    def test_files_of_no_known_format_are_passed_over_unless_named(self, tmp_path: Path) -> None:
        log(tmp_path / "a.csv")
        notes = tmp_path / "notes.txt"
        notes.write_text("nothing that is known\n")
        _, report = import_logs([str(tmp_path)])
        assert report.warnings["files of no known format passed over"].example == str(notes)
        assert f"{notes}: no log format known" in refused(notes)


class TestPatterns:
    def test_files_of_a_pattern_are_in_order(self, tmp_path: Path) -> None:
        files = [log(tmp_path / name) for name in ("1.csv", "2.csv", "x/3.csv")]
        assert found(tmp_path / "*.csv")[0] == [str(file) for file in files[:2]]
        assert sorted(found(tmp_path / "**" / "*.csv")[0]) == sorted(map(str, files))

    def test_a_pattern_that_fits_nothing_is_an_error(self, tmp_path: Path) -> None:
        assert refused(tmp_path / "*.csv") == f"{tmp_path / '*.csv'}: no such file"

    def test_a_file_whose_name_is_a_pattern_is_that_file(self, tmp_path: Path) -> None:
        path = log(tmp_path / "[a]*.csv")
        log(tmp_path / "a.csv")
        assert found(path)[0] == [str(path)]

    def test_names_with_dots_and_odd_bytes_lead_nowhere_else(self, tmp_path: Path) -> None:
        """What a file or a session is called never becomes a path that is written or read."""
        folder = tmp_path / "in"
        odd = os.fsdecode(b"a\xff\n b.csv")
        paths = [log(folder / name) for name in ("x..csv", "%2e%2e%2fx.csv", odd)]
        names, _ = found(folder)
        assert len(names) == len(paths)
        before = sorted(tmp_path.rglob("*"))
        trace, _ = import_logs([str(folder)])
        assert trace.num_calls == len(paths)
        assert sorted(tmp_path.rglob("*")) == before
        write_trace(trace, tmp_path / "trace.jsonl")  # as UTF-8
        assert read_trace(tmp_path / "trace.jsonl").num_calls == len(paths)

    def test_errors_of_a_file_with_line_ends_in_its_name_are_one_line(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"a\xff\nb.csv")
        path.write_text("zebra\n")
        assert "a\\udcff\\nb.csv: no log format" in refused(path)

    def test_a_pattern_may_go_up_as_any_path(self, tmp_path: Path) -> None:
        path = log(tmp_path / "a" / "a.csv")
        (tmp_path / "b").mkdir()
        (name,) = found(tmp_path / "b" / ".." / "a" / "*.csv")[0]
        assert Path(name).resolve() == path.resolve()

    def test_links_that_a_pattern_meets_in_folders_below_are_passed_over(
        self, tmp_path: Path
    ) -> None:
        outside = log(tmp_path / "outside" / "a.csv")
        folder = tmp_path / "in" / "project"
        folder.mkdir(parents=True)
        (folder / "link.csv").symlink_to(outside)
        names, passed = found(tmp_path / "in" / "*")
        assert names == []
        assert len(passed) == 1


class TestGzip:
    def test_packed_files_read_as_plain_ones(self, tmp_path: Path) -> None:
        plain = log(tmp_path / "plain.csv", rows=50)
        packed = tmp_path / "packed.csv"
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        two = tmp_path / "two.csv.gz"  # two members, as log rotation makes them
        lines = plain.read_bytes().splitlines(keepends=True)
        two.write_bytes(gzip.compress(b"".join(lines[:9])) + gzip.compress(b"".join(lines[9:])))
        for path in (plain, packed, two):
            assert import_logs([str(path)])[0].num_calls == 50

    @pytest.mark.parametrize("lines", [True, False])
    def test_a_bomb_is_refused_in_little_memory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: bool
    ) -> None:
        """Small packed, huge unpacked: of short lines, or of one."""
        monkeypatch.setattr(sources, "MAX_DOCUMENT", 256 * KIB)
        monkeypatch.setattr(sources, "MAX_RATIO", 100)
        path = tmp_path / "bomb.csv.gz"
        body = ROW.encode() * 400_000 if lines else b"9" * 12_000_000
        path.write_bytes(gzip.compress(HEADER.encode() + body, 9))
        assert path.stat().st_size < len(body) / 250
        tracemalloc.start()
        try:
            text = refused(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert text == f"{path}: gzip data unpacks to more than 100 times its size"
        assert peak < 8 * sources.MIB

    def test_data_that_packs_well_is_no_bomb(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv.gz"
        path.write_bytes(gzip.compress((HEADER + ROW * 20_000).encode(), 9))
        assert import_logs([str(path)])[0].num_calls == 20_000

    @pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
    def test_a_file_cut_within_its_packed_data(self, tmp_path: Path, share: float) -> None:
        data = gzip.compress((HEADER + "".join(
            f"2026-01-01 00:00:{i % 60:02}.{i},{i * 7919 % 9973},13\n" for i in range(5000)
        )).encode())  # fmt: skip
        path = tmp_path / "a.csv.gz"
        path.write_bytes(data[: max(12, int(len(data) * share))])
        assert f"{path}" in refused(path, format="azure")
        assert "gzip data ends early: the file is cut off" in refused(path, format="azure")

    def test_damage_within_packed_data(self, tmp_path: Path) -> None:
        data = bytearray(gzip.compress((HEADER + ROW * 100).encode()))
        data[len(data) // 2] ^= 0xFF
        path = tmp_path / "a.csv.gz"
        path.write_bytes(data)
        assert "gzip data" in refused(path, format="azure")


class TestSizes:
    def test_a_line_longer_than_the_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "MAX_LINE", 64 * KIB)
        path = log(tmp_path / "a.csv")
        with path.open("a") as file:
            file.write("9" * (5 << 20) + ",1,1\n")
        tracemalloc.start()
        try:
            assert f"{path}:3: a line longer than" in refused(path)
            assert tracemalloc.get_traced_memory()[1] < 4 * sources.MIB
        finally:
            tracemalloc.stop()

    def test_a_line_of_just_the_limit_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "MAX_LINE", 100)
        path = tmp_path / "a"
        path.write_bytes(b"x" * 99 + b"\n")
        (file,) = find_logs([str(path)], lambda kind, example: None)
        assert [len(line.text) for line in file.lines()] == [100]
        path.write_bytes(b"x" * 100 + b"\n")
        with pytest.raises(TraceError, match=":1: a line longer"):
            list(file.lines())

    def test_a_document_longer_than_the_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources, "MAX_DOCUMENT", 64 * KIB)
        path = tmp_path / "run.traj.json"
        text = '[{"role": "system", "content": "' + "zebra " * 50_000 + '"}]'
        path.write_text(text)
        assert f"{path}: a JSON document longer than" in refused(path)

    def test_a_document_nested_too_deep(self, tmp_path: Path) -> None:
        path = tmp_path / "run.traj.json"
        path.write_text('[{"role": "user", "content": ' + "[" * 100_000 + "]" * 100_000 + "}]")
        assert refused(path) == f"{path}: malformed JSON: nested too deep"

    def test_messages_nested_deeper_than_they_can_be_read(self, tmp_path: Path) -> None:
        """JSON of that depth can be read; what walks through it may not come to its end."""
        path = tmp_path / "run.traj.json"
        for depth in range(50, 500, 50):
            inner = '{"content": [' * depth + '"zebra"' + "]}" * depth
            path.write_text('[{"role": "user", "content": "zebra"}, '
                            f'{{"role": "assistant", "content": [{inner}]}}]')  # fmt: skip
            try:
                assert import_logs([str(path)])[0].num_calls == 1
            except TraceError as error:
                assert "nested too deep" in str(error)
                assert str(path) in str(error)

    @pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"   \n"])
    def test_files_that_hold_nothing(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(data)
        assert str(path) in refused(path)
        for name in ("azure", "mini-swe-agent", "openhands", "atif"):
            assert str(path) in refused(path, format=name)

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert refused(tmp_path) == f"{tmp_path}: no log of a format known here found"


class TestText:
    @pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-32"])
    def test_other_encodings_are_one_clear_line(self, tmp_path: Path, encoding: str) -> None:
        path = tmp_path / "a.jsonl"
        record = {"history": [], "tool_call_metadata": "zébra"}
        path.write_bytes(json.dumps(record, ensure_ascii=False).encode(encoding) + b"\n")
        assert str(path) in refused(path)
        assert f"{path}:1: " in refused(path, format="openhands", skip_bad=False)

    def test_bytes_that_are_no_text_name_their_line(self, tmp_path: Path) -> None:
        path = log(tmp_path / "a.csv")
        path.write_bytes(path.read_bytes() + b"\xff\xfe,1,1\n" + ROW.encode())
        assert f"{path}:3: " in refused(path)
        trace, report = import_logs([str(path)], skip_bad=True)
        assert (trace.num_calls, report.left_out) == (2, 1)

    def test_a_byte_order_mark_and_windows_line_ends_are_passed_over(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(b"\xef\xbb\xbf" + (HEADER + ROW).replace("\n", "\r\n").encode())
        assert import_logs([str(path)])[0].num_calls == 1

    def test_a_last_line_half_written_is_reported(self, tmp_path: Path) -> None:
        path = log(tmp_path / "a.csv", rows=3)
        path.write_text(path.read_text()[:-20])
        trace, report = import_logs([str(path)])
        assert trace.num_calls == 2
        assert any("not written to their end" in kind for kind in report.warnings)


class TestReading:
    def test_a_file_that_may_not_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The superuser may read all: the operating system's answer is put in its place."""
        path = log(tmp_path / "a.csv")
        path.chmod(0)
        if os.access(path, os.R_OK):

            def denied(*_: object) -> None:
                raise PermissionError(13, "Permission denied")

            monkeypatch.setattr("builtins.open", denied)
        text = refused(path)
        monkeypatch.undo()
        path.chmod(stat.S_IRUSR)
        assert text == f"{path}: cannot be opened: Permission denied"

    def test_a_folder_that_may_not_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(path: object) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", denied)
        assert refused(tmp_path) == f"{tmp_path}: cannot be read: Permission denied"

    def test_a_file_that_vanishes_meanwhile(self, tmp_path: Path) -> None:
        path = log(tmp_path / "a.csv")
        (file,) = find_logs([str(path)], lambda kind, example: None)
        path.unlink()
        with pytest.raises(TraceError, match="cannot be opened"):
            list(file.lines())

    def test_a_disk_that_fails(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Failing(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, into: Any) -> int:
                raise OSError(5, "Input/output error")

        path = log(tmp_path / "a.csv")
        (file,) = find_logs([str(path)], lambda kind, example: None)
        monkeypatch.setattr(LogFile, "open", lambda self: io.BufferedReader(Failing()))
        with pytest.raises(TraceError, match="cannot be read: Input/output error"):
            list(file.lines())


class TestStandardInput:
    @pytest.mark.parametrize("packed", [False, True])
    def test_a_log_from_standard_input(self, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
        data = (HEADER + ROW * 3).encode()
        given(monkeypatch, gzip.compress(data) if packed else data)
        trace, report = import_logs(["-"])
        assert (trace.num_calls, report.formats) == (3, {"azure": 1})

    def test_errors_name_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given(monkeypatch, (HEADER + "x,1,1\n").encode())
        assert refused("-").startswith("<stdin>:2: ")

    def test_a_bomb_from_standard_input_stays_in_little_memory(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its packed size may be unknown; a line has a longest length all the same."""
        monkeypatch.setattr(sources, "MAX_LINE", 64 * KIB)
        given(monkeypatch, gzip.compress(HEADER.encode() + b"9" * (20 << 20), 9))
        assert refused("-").startswith("<stdin>:2: a line longer than")

    def test_nothing_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        given(monkeypatch, b"")
        assert refused("-") == "<stdin>: empty: expected a log"

    def test_a_document_from_standard_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        messages = [{"role": "user", "content": "zebra"}, {"role": "assistant", "content": "a"}]
        given(monkeypatch, json.dumps(messages).encode())
        trace, _ = import_logs(["-"])
        assert [session.id for session in trace] == ["stdin"]


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Put these bytes on standard input."""
    stream = SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(data)))
    monkeypatch.setattr("sys.stdin", stream)


class TestClocks:
    """On ATIF, whose steps have one time each, and mini-swe-agent, with both ends of a call."""

    def calls(self, path: Path, value: Any) -> tuple[list[Call], Any]:
        path.write_text(json.dumps(value))
        trace, report = import_logs([str(path)])
        return list(next(iter(trace)).calls), report

    def test_steps_whose_clock_runs_backwards(self, tmp_path: Path) -> None:
        steps = [
            {"step_id": i, "source": "agent", "message": "", "timestamp": f"2026-01-01T00:00:{at}Z",
             "metrics": {"prompt_tokens": 100 * i, "completion_tokens": 1}}
            for i, at in enumerate(("50", "10", "30"), 1)
        ]  # fmt: skip
        value = {"schema_version": "ATIF-v1.6", "session_id": "s", "steps": steps}
        calls, _ = self.calls(tmp_path / "a.json", value)
        assert [call.input_tokens for call in calls] == [200, 300, 100]  # by time
        assert all(call.delay_ns is None or call.delay_ns >= 0 for call in calls)

    def test_answers_before_their_prompts_are_reported(self, tmp_path: Path) -> None:
        """A negative duration: its end is dropped, the rest of the run is read."""
        at = {"user": 1000, "assistant": 900}
        messages = [
            {"role": role, "content": "zebra", "extra": {"timestamp": at[role]}}
            for role in ("user", "assistant", "user", "assistant")
        ]
        value = {"mini_version": "2", "messages": messages}
        calls, report = self.calls(tmp_path / "a.traj.json", value)
        assert len(calls) == 2
        assert all(call.measured is None or call.measured.e2e_ns is None for call in calls)
        assert any("end before they start" in kind for kind in report.warnings)

    def test_negative_times_and_durations_name_file_and_field(self, tmp_path: Path) -> None:
        path = tmp_path / "a.traj.json"
        message = {"role": "assistant", "content": "zebra", "extra": {"timestamp": -1}}
        path.write_text(json.dumps({"mini_version": "2", "messages": [message]}))
        wanted = f"{path}: field 'timestamp': expected a number of seconds >= 0, got -1"
        assert refused(path) == wanted

    def test_calls_of_one_id_count_once_and_are_reported(self, tmp_path: Path) -> None:
        """The same trajectory in two files."""
        step = {"step_id": 1, "source": "agent", "message": "", "metrics": {"prompt_tokens": 9}}
        value = {"schema_version": "ATIF-v1.6", "session_id": "s", "steps": [step]}
        for name in ("a.json", "b.json"):
            (tmp_path / name).write_text(json.dumps(value))
        trace, report = import_logs([str(tmp_path)])
        assert trace.num_calls == 1
        assert report.warnings["calls logged twice; the first counts"].count == 1


def test_a_session_without_a_name_gets_one_that_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    usage = {"prompt_tokens": 9, "completion_tokens": 1}
    path.write_text(json.dumps({"session_id": "", "input": "zebra", "output": "a",
                                "timestamp": 1, "usage": usage}) + "\n")  # fmt: skip
    trace, _ = import_logs([str(path)], format="openai")
    write_trace(trace, tmp_path / "trace.jsonl")
    assert read_trace(tmp_path / "trace.jsonl").num_calls == 1

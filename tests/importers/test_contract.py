"""What every importer keeps, whatever its format: one class of tests over all rows of IMPORTERS."""

from __future__ import annotations

import gzip
import re
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.domain.config import load_config
from agentsim.errors import TraceError, UserError
from agentsim.simulator import simulate
from agentsim.workload.formats import FORMATS, read_trace
from agentsim.workload.importers.assemble import Options
from agentsim.workload.importers.formats import IMPORTERS
from agentsim.workload.importers.reading import detect, import_logs
from agentsim.workload.importers.sources import find_logs
from agentsim.workload.write import records_of, write_trace
from importers.samples import files_of, sample

#: Words that stand in the texts of all samples (prompts, answers, tool input and output), nowhere
#: else: none may reach the output.
SECRET = re.compile(rb"zebra\w*|quokka\w*", re.IGNORECASE)


def written(paths: list[str], **options: object) -> bytes:
    """The trace that an import gives, as it would be written."""
    trace, _ = import_logs(paths, **options)  # type: ignore[arg-type]
    return b"\n".join(msgspec.json.encode(record) for record in records_of(trace))


@pytest.mark.parametrize("name", list(IMPORTERS))
class TestImporter:
    """Laws of all formats."""

    def test_its_sample_is_found_by_content(self, name: str) -> None:
        for file in find_logs([str(sample(name))], lambda kind, example: None):
            assert detect(file)[0] == name

    def test_a_sample_has_calls_and_every_figure_a_standing(self, name: str) -> None:
        trace, report = import_logs([str(sample(name))])
        assert report.formats == {name: len(files_of(sample(name)))}
        assert report.calls == trace.num_calls > 0
        assert report.sessions == len(trace) > 0
        for counts in report.standing.values():
            assert sum(counts.values()) == report.calls
        assert report.left_out == 0

    def test_references_resolve_and_waits_are_not_negative(self, name: str) -> None:
        for session in import_logs([str(sample(name))])[0]:
            seen = {}
            for call in session.calls:
                assert call.id not in seen
                assert all(other in seen for other in call.after)
                assert call.delay_ns is None or call.delay_ns >= 0
                if call.extends is not None:
                    base = seen[call.extends]
                    assert 0 < call.keep <= call.input_tokens
                    assert call.keep <= base.input_tokens + base.output_tokens
                if call.segments is not None:
                    assert sum(tokens for _, tokens in call.segments) == call.input_tokens
                seen[call.id] = call

    def test_the_output_is_a_trace_that_reads_back_and_runs(
        self, name: str, tmp_path: Path
    ) -> None:
        trace, _ = import_logs([str(sample(name))])
        target = tmp_path / "trace.jsonl.gz"
        write_trace(trace, target)
        again = read_trace(target)
        assert list(records_of(again)) == list(records_of(trace))
        config = load_config(sets=["agents.too_long=skip", "model=qwen2.5-0.5b"])
        run = simulate(again, config)
        assert run.requests.num_rows == trace.num_calls

    def test_replay_reads_the_same_file(self, name: str) -> None:
        """Mooncake is read directly: the same calls under other names."""
        path = str(sample(name))
        read, imported = read_trace(path), import_logs([path])[0]
        if name in FORMATS:
            assert [s.calls[0].blocks for s in read] == [s.calls[0].blocks for s in imported]
        else:
            assert list(records_of(read)) == list(records_of(imported))

    def test_the_same_bytes_again_and_packed(self, name: str, tmp_path: Path) -> None:
        folder = sample(name)
        packed = tmp_path / folder.name
        for file in files_of(folder):
            target = packed / file.relative_to(folder) if folder.is_dir() else packed
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        assert written([str(folder)]) == written([str(folder)]) == written([str(packed)])

    def test_no_text_of_the_log_is_kept(self, name: str) -> None:
        assert not SECRET.findall(written([str(sample(name))]))

    def test_redacted_names_differ_by_key_and_hide_what_they_were(self, name: str) -> None:
        path = [str(sample(name))]
        plain, _ = import_logs(path)
        first, again, other = (
            written(path, options=Options(redact=True, key=key)) for key in (b"a", b"a", b"b")
        )
        assert first == again != other
        for session in plain:
            assert f'"{session.id}"'.encode() not in first
            for tool in (tool for call in session.calls for tool in call.tools):
                assert f'"{tool.name}"'.encode() not in first

    def test_a_log_still_being_written_is_read_to_its_last_whole_record(
        self, name: str, tmp_path: Path
    ) -> None:
        """Formats of lines; a cut document is one clear line."""
        whole, _ = import_logs([str(sample(name))])
        (file,) = files_of(sample(name))[:1]
        data = file.read_bytes().rstrip(b"\n")
        cut = tmp_path / file.name
        cut.write_bytes(data[: -max(3, len(data.rpartition(b"\n")[2]) // 2)])
        try:
            trace, report = import_logs([str(cut)], format=name)
        except TraceError as error:
            assert str(cut) in str(error)
            assert "\n" not in str(error)
        else:
            assert trace.num_calls <= whole.num_calls
            assert report.warnings

    @settings(max_examples=40)
    @given(data=st.data())
    def test_damage_is_one_clear_line(self, name: str, data: st.DataObject) -> None:
        """Bytes changed, cut, doubled: a trace or a line that names the file, never a traceback."""
        file = files_of(sample(name))[0]
        text = bytearray(file.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(text) - 1))
            kind = data.draw(st.sampled_from(("change", "cut", "double", "digit")))
            if kind == "change":
                text[at] = data.draw(st.integers(0, 255))
            elif kind == "cut":
                del text[at : at + data.draw(st.integers(1, 40))]
            elif kind == "double":
                text[at:at] = text[at : at + data.draw(st.integers(1, 200))]
            else:
                text[at:at] = data.draw(
                    st.sampled_from((b"-", b"9" * 30, b"null", b"1e400", b'"x"'))
                )
            if not text:
                return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file.name
            path.write_bytes(text)
            for skip_bad in (False, True):
                try:
                    trace, _ = import_logs([str(path)], format=name, skip_bad=skip_bad)
                except UserError as error:
                    assert "\n" not in str(error)
                    assert str(path) in str(error)
                else:
                    assert trace.num_calls > 0


def test_every_format_has_one_file_and_one_row() -> None:
    from agentsim.workload import importers

    package = Path(importers.__path__[0])
    common = {
        "assemble", "atif_steps", "chat", "claude_calls", "formats", "gateway", "hashed", "linking",
        "logged", "otlp", "prefix", "reading", "records", "report", "sink", "sources", "spans",
        "tokens", "usage", "values",
    }  # fmt: skip
    files = {path.stem for path in package.glob("*.py")} - common - {"__init__"}
    assert files == {name.replace("-", "_") for name in IMPORTERS}

"""The table of formats: each entry keeps the same rules; detection; formats of outsiders."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from agentsim.domain.trace import Call, Session, Trace
from agentsim.errors import ConfigError, TraceError, UnknownName
from agentsim.workload.formats import FORMATS, Format, read_trace
from agentsim.workload.lines import Lines
from workload.contract import FormatContract
from workload.texts import HEADER, call_line, text_of

#: A small file of each format: two calls.
SAMPLES = {
    "agentsim": text_of(HEADER, call_line(), call_line()),
    "mooncake": text_of(
        {"timestamp": 0, "input_length": 1300, "output_length": 50, "hash_ids": [0, 1, 2]},
        {"timestamp": 9000, "input_length": 1700, "output_length": 40, "hash_ids": [0, 1, 7, 8]},
    ),
}


def test_every_format_of_ours_has_a_sample() -> None:
    assert list(FORMATS) == list(SAMPLES)


@pytest.mark.parametrize(("name", "sample"), SAMPLES.items())
class TestEveryFormat(FormatContract):
    """It keeps what every format must."""

    def test_json_cut_short_is_told(self, name: str, sample: bytes, tmp_path: Path) -> None:
        path = tmp_path / "t"
        path.write_bytes(sample.rstrip()[:-5])
        with pytest.raises(TraceError, match=": malformed JSON: "):
            read_trace(path)


def test_a_file_of_no_known_format_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('\n{"sessionId":"s","message":{}}\n')
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == (
        f"{path}:2: not a trace format known here (fields 'sessionId, message'): expected one of "
        "agentsim, mooncake; a v1 trace begins with a header"
    )


def test_other_spellings_of_a_format_are_known(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(SAMPLES["agentsim"])
    for spelling in ("v1", "agentsim-trace"):
        assert read_trace(path, format=spelling).sessions == read_trace(path).sessions


def test_an_unknown_format_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean 'mooncake'"):
        read_trace(tmp_path / "x", format="moncake")


class _EntryPoint:
    name = "foreign"
    value = "foreign:FORMAT"

    def __init__(self, load: Callable[[], Format]) -> None:
        self.load = load


def _foreign() -> Format:
    def read(lines: Lines) -> Trace:
        calls = [Call(f"main/{number}", 1, 1) for number, _ in lines]
        return Trace([Session("s", tuple(calls))])

    return Format("a format of someone else", lambda record: "foreign" in record, read)


def _broken() -> Format:
    raise ImportError("no module named foreign")


def _install(monkeypatch: pytest.MonkeyPatch, load: Callable[[], Format]) -> None:
    monkeypatch.setattr(metadata, "entry_points", lambda group: [_EntryPoint(load)])


def test_a_format_of_an_outsider_is_detected_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, _foreign)
    path = tmp_path / "t"
    path.write_text('{"foreign":1}\n{"foreign":2}\n')
    assert read_trace(path).num_calls == 2
    assert read_trace(path, format="foreign").num_calls == 2


def test_an_outsiders_format_that_does_not_load_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(monkeypatch, _broken)
    with pytest.raises(ConfigError, match="foreign"):
        read_trace(tmp_path / "t", format="foreign")

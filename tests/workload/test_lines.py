"""Opening a trace: plain, gzip, standard input, and everything below JSON that can go wrong."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from agentsim.errors import TraceError
from agentsim.workload.formats import read_trace
from workload.texts import HEADER, call_line, text_of

TEXT = text_of(HEADER, *[call_line() for _ in range(50)])


def _file(folder: Path, data: bytes, name: str = "t.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_plain_and_gzip_give_the_same_trace_whatever_the_name(tmp_path: Path) -> None:
    plain = read_trace(_file(tmp_path, TEXT))
    packed = read_trace(_file(tmp_path, gzip.compress(TEXT), "packed.jsonl"))
    assert plain.sessions == packed.sessions
    assert plain.num_calls == 50


@pytest.mark.parametrize("data", [TEXT, gzip.compress(TEXT)], ids=["plain", "gzip"])
def test_a_dash_reads_standard_input(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert read_trace("-").num_calls == 50


def test_errors_of_standard_input_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = text_of(HEADER, call_line(delay=-1))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bad)))
    with pytest.raises(TraceError, match=r"^<stdin>:2: field 'delay': "):
        read_trace("-")


def test_blank_lines_a_byte_order_mark_and_crlf_do_no_harm(tmp_path: Path) -> None:
    messy = b"\xef\xbb\xbf\r\n\r\n" + TEXT.replace(b"\n", b"\r\n\r\n") + b"   \n"
    assert read_trace(_file(tmp_path, messy)).num_calls == 50


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    path = _file(tmp_path, b"\n\n" + text_of(HEADER, "", call_line(delay=-1)))
    with pytest.raises(TraceError, match=rf"^{path}:5: "):
        read_trace(path)


def test_a_last_line_needs_no_newline(tmp_path: Path) -> None:
    assert read_trace(_file(tmp_path, TEXT.rstrip(b"\n"))).num_calls == 50


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "no.jsonl"
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}: no such file: check the path"


def test_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        read_trace(tmp_path)
    assert str(caught.value) == f"{tmp_path}: no log of a format known here found"


def test_a_path_that_cannot_be_is_told() -> None:
    with pytest.raises(TraceError, match="cannot be opened"):
        read_trace("a\0b")


@pytest.mark.parametrize("data", [b"", b"\n \n", gzip.compress(b"")], ids=["none", "blank", "gzip"])
def test_an_empty_file_is_told(tmp_path: Path, data: bytes) -> None:
    path = _file(tmp_path, data)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value) == f"{path}: empty: expected a trace"


def test_a_truncated_gzip_is_told_at_every_length(tmp_path: Path) -> None:
    packed = gzip.compress(TEXT)
    for length in range(2, len(packed) - 1, 7):
        path = _file(tmp_path, packed[:length])
        with pytest.raises(TraceError) as caught:
            read_trace(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: gzip data ends early, after line "), message
        assert message.endswith(": the file is cut off, copy it again")


def test_a_damaged_gzip_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 0xFF  # in the checksum
    with pytest.raises(TraceError, match="gzip data is damaged after line"):
        read_trace(_file(tmp_path, bytes(packed)))


def test_a_wide_encoding_is_told(tmp_path: Path) -> None:
    path = _file(tmp_path, TEXT.decode().encode("utf-16"))
    with pytest.raises(TraceError, match=r":1: not UTF-8 text: save the trace as UTF-8$"):
        read_trace(path)

"""Real logs, damaged: whatever they hold comes out as a valid trace or as one clear line."""

from __future__ import annotations

import gzip
import json
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.errors import UserError
from agentsim.workload.formats import read_trace
from agentsim.workload.importers.formats import IMPORTERS
from agentsim.workload.importers.reading import detect, import_logs
from agentsim.workload.importers.sources import find_logs
from agentsim.workload.write import write_trace

#: A sample is cut to its first lines up to this size, so that an example takes little time.
LARGEST = 60_000
#: Memory that damage may cost beyond what the samples themselves take.
MOST_GROWTH_KIB = 400 * 1024

#: What other programs, other versions and other clocks may have written in a field's place.
ODD_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    (
        None, True, False, 0, -1, 1.5, -0.0, 1e308, 2**31, 2**63, 2**200, "", "-1", "1e9", "nan",
        "\x00", "\ud800", "x" * 10_000, [], {}, [[]], [None], {"": None}, [1, "a", {}], "main",
        "2026-01-01T00:00:00Z", "1970-01-01T00:00:00", "9999-12-31T23:59:59.999999999Z",
        "0001-01-01T00:00:00+14:00", "2026-13-45T99:00:00Z",
    )
)  # fmt: skip


def samples_of(folder: Path) -> dict[str, Path]:
    """The smallest real log of each format."""
    found: dict[str, Path] = {}
    files = (path for path in folder.rglob("*") if path.suffix in {".json", ".jsonl", ".csv",
                                                                    ".traj"})  # fmt: skip
    for path in sorted(files, key=lambda path: (path.stat().st_size, path.name)):
        (file,) = find_logs([str(path)], lambda kind, example: None)
        name, importer = detect(file)
        if importer is not None:
            found.setdefault(name, path)
    return found


@pytest.fixture(scope="module")
def samples(shared: Path) -> dict[str, Path]:
    return samples_of(shared / "traces")


def cut(data: bytes) -> bytes:
    """The first lines of a log of lines; a document stays whole."""
    if len(data) <= LARGEST or data.count(b"\n") < 20:
        return data
    head = data[:LARGEST].rpartition(b"\n")[0]
    is_lines = not data.lstrip().startswith(b"[") and not data.lstrip().startswith(b"{\n")
    return head + b"\n" if is_lines else data


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def change(draw: st.DataObject, value: Any) -> None:
    """Put something odd in one place of a JSON value, or take it away, or repeat it."""
    every = list(places(value))
    if not every:
        return
    container, key = every[draw.draw(st.integers(0, len(every) - 1))]
    kind = draw.draw(st.sampled_from(("odd", "odd", "gone", "twice", "deep", "moved")))
    if kind == "odd":
        container[key] = draw.draw(ODD_VALUES)
    elif kind == "gone":
        del container[key]
    elif kind == "twice" and isinstance(container, list):
        container.insert(key, json.loads(json.dumps(container[key])))
    elif kind == "deep":
        for _ in range(draw.draw(st.sampled_from((3, 60)))):
            container[key] = [container[key]]
    else:
        other, place = every[draw.draw(st.integers(0, len(every) - 1))]
        other[place] = json.loads(json.dumps(container[key]))


def written(value: Any) -> bytes:
    return json.dumps(value).encode()


def damaged(draw: st.DataObject, data: bytes) -> bytes:
    """A log of JSON lines, a JSON document or a CSV file with a few changes."""
    if draw.draw(st.booleans()):
        try:
            return changed(draw, data)
        except ValueError:
            pass  # a CSV file has no JSON values
    text = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(text) - 1))
        kind = draw.draw(st.sampled_from(("byte", "cut", "swap", "number", "end")))
        if kind == "byte":
            text[at] = draw.draw(st.integers(0, 255))
        elif kind == "cut":
            del text[at : at + draw.draw(st.integers(1, 400))]
        elif kind == "swap":
            text[at:at] = text[-draw.draw(st.integers(1, 400)) :]
        elif kind == "number":
            text[at:at] = draw.draw(st.sampled_from((b"-", b"9" * 400, b"1e999", b"null", b",,")))
        else:
            del text[at:]
        if not text:
            return b"\n"
    return bytes(text)


def changed(draw: st.DataObject, data: bytes) -> bytes:
    """The same with changes to JSON values; those of lines also lose their order."""
    try:
        value = json.loads(data)
    except ValueError:
        lines = [json.loads(line) for line in data.splitlines()]
        for _ in range(draw.draw(st.integers(1, 4))):
            change(draw, lines[draw.draw(st.integers(0, len(lines) - 1))])
        if draw.draw(st.booleans()):
            lines.reverse()  # clocks that run backwards, references to what comes later
        return b"".join(written(line) + b"\n" for line in lines)
    for _ in range(draw.draw(st.integers(1, 4))):
        change(draw, value)
    return written(value)


@pytest.mark.parametrize("name", list(IMPORTERS))
def test_a_damaged_real_log_is_a_trace_or_one_clear_line(
    name: str, samples: dict[str, Path]
) -> None:
    if name not in samples:
        pytest.skip(f"no real log of {name} in the reference data")
    path = samples[name]
    data = cut(path.read_bytes())
    check_examples(name, path, data)


def check_examples(name: str, path: Path, data: bytes) -> None:
    @settings(max_examples=settings().max_examples // 5)
    @given(draw=st.data())
    def check(draw: st.DataObject) -> None:
        log = damaged(draw, data)
        packed = draw.draw(st.booleans())
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, path.name)
            target.write_bytes(gzip.compress(log, 1) if packed else log)
            for skip_bad in (False, True):
                check_import(name, target, skip_bad=skip_bad)

    check_import_of(name, data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH_KIB


def check_import_of(name: str, data: bytes) -> None:
    """The sample itself can be read, so that what follows is about the damage."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "whole")
        target.write_bytes(data)
        trace, _ = import_logs([str(target)], format=name)
        assert trace.num_calls > 0


def check_import(name: str, target: Path, *, skip_bad: bool) -> None:
    try:
        trace, report = import_logs([str(target)], format=name, skip_bad=skip_bad)
    except UserError as error:
        assert "\n" not in str(error)
        assert str(target) in str(error)
        return
    assert report.calls == trace.num_calls > 0
    out = target.parent / "trace.jsonl"
    write_trace(trace, out)
    assert read_trace(out).num_calls == trace.num_calls

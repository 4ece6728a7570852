"""Logs whose JSON is sound but whose values are not what they should be: a trace, or one line."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentsim.errors import UserError
from agentsim.workload.importers.formats import IMPORTERS
from agentsim.workload.importers.reading import import_logs
from importers.samples import files_of, sample

ODD = (
    None, -1, 0, 10**30, -5.5, "x", "", [], {}, [[]], [None], {"a": 1}, True, "9" * 30, "\ud800",
    {"type": []}, {"content": [{}]}, "[1", "2026-13-01T00:00:00Z", {"messages": [1]},
)  # fmt: skip
ENDINGS = (".json", ".jsonl", ".traj")
NAMES = [
    name for name in IMPORTERS if any(f.suffix in ENDINGS for f in files_of(sample(name)))
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values within a value."""
    found = [path]
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, each in inner:
        found.extend(places(each, (*path, key)))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value at a path."""
    if not path:
        return new
    value = copy.copy(value)
    value[path[0]] = put(value[path[0]], path[1:], new)
    return value


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_odd_values_are_one_clear_line(name: str, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from([f for f in files_of(sample(name)) if f.suffix in ENDINGS]))
    is_lines = file.suffix == ".jsonl"
    text = file.read_text()
    records = [json.loads(line) for line in text.splitlines()] if is_lines else json.loads(text)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(records)[1:]))
        records = put(records, path, data.draw(st.sampled_from(ODD)))
    text = "".join(f"{json.dumps(r)}\n" for r in records) if is_lines else json.dumps(records)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / file.name
        target.write_text(text)
        for skip_bad in (False, True):
            try:
                import_logs([str(target)], format=name, skip_bad=skip_bad)
            except UserError as error:
                assert "\n" not in str(error)
                assert str(target) in str(error)

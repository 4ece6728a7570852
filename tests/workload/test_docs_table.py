"""The table in docs/traces.md: what it says of each public trace, and flags with which it fits."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from agentsim.workload.fit import fit_to_limit
from agentsim.workload.formats import read_trace
from agentsim.workload.heads import share_heads

DOCS = Path(__file__).parents[2] / "docs" / "traces.md"
ROW = re.compile(r"^\| `(\S+jsonl\S*)` \| (\d+) \| (\d+) \| (\d+) \| (?:`(.*)` )?\|$", re.MULTILINE)
ROWS = ROW.findall(DOCS.read_text(encoding="utf-8"))


def test_the_table_has_every_trace(shared: Path) -> None:
    folder = shared / "traces"
    found = [*folder.glob("**/*calls.jsonl.gz"), *folder.glob("mooncake/*.jsonl")]
    assert sorted(row[0] for row in ROWS) == sorted(str(p.relative_to(folder)) for p in found)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_counts_are_true_and_the_flags_make_it_fit(row: tuple[str, ...], shared: Path) -> None:
    name, sessions, calls, longest, flags = row
    trace = read_trace(shared / "traces" / name)
    prompts = [call.input_tokens for session in trace for call in session.calls]
    assert (len(trace), len(prompts), max(prompts)) == (int(sessions), int(calls), int(longest))
    words = shlex.split(flags)
    values = dict(zip(words[::2], words[1::2], strict=True))
    prefix = values.get("--shared-prefix")
    headed = share_heads(trace, None if prefix is None else int(prefix))
    fitted = fit_to_limit(headed, 32_768, values.get("--too-long", "refuse"))
    assert fitted.num_calls == len(prompts)

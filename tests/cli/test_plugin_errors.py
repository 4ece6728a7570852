"""A plug-in that raises is named, with the line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.program import fails

SRE = str(Path(__file__).parents[2] / "traces" / "itbench-sre.jsonl")


def test_an_error_inside_a_plug_in_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_policy.py").write_text(
        "class Broken:\n"
        '    """Breaks."""\n'
        "    can_overtake = False\n"
        "    def rank(self, request):\n"
        "        return request.no_such_field\n"
        "    rank_back = victim = rank\n"
    )
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[agentsim.schedulers]\nbroken = broken_policy:Broken\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "broken_policy", raising=False)
    told = fails("replay", SRE, "--set", "engine.policy=broken")
    assert told.startswith("plug-in 'broken': ")
    assert "broken_policy.py:5: AttributeError: " in told
    assert "no_such_field" in told

"""TraceLab's rounds, beside the Codex rollout they are derived from."""

from __future__ import annotations

import json
from pathlib import Path

from importers.samples import sample
from importers.sessions import MS, S, calls_of, read


def test_a_round_lasts_from_its_last_input_to_its_report() -> None:
    trace, report = read(sample("tracelab"))
    calls = calls_of(trace.find("codex:one"))
    first, second, third = calls.values()
    assert first.measured is not None
    assert first.measured.e2e_ns == round(3.5 * S)
    assert (second.delay_ns, second.trigger) == (1500 * MS, "tool")
    assert (third.delay_ns, third.trigger) == (600 * S, "user")
    assert [tool.duration_ns for tool in first.tools] == [1100 * MS, 1900 * MS]
    assert report.explained_share == 1.0


def test_the_providers_cache_is_measured_and_the_prefix_follows_from_growth() -> None:
    trace, _ = read(sample("tracelab"))
    first, second, third = trace.find("codex:one").calls
    assert second.measured is not None
    assert second.measured.cached_tokens == 300
    assert (second.extends, second.keep) == ("main/0", first.input_tokens + first.output_tokens)
    assert (third.extends, third.keep) == ("main/1", 1180)


def test_the_shared_rounds_are_those_of_the_rollout(shared: Path) -> None:
    folder = shared / "traces" / "tracelab" / "raw"
    trace, report = read(folder / "codex-rounds.jsonl")
    assert report.formats == {"tracelab": 1}
    (session,) = trace
    wanted: list[tuple[int, ...]] = []
    for line in (folder / "codex-session.jsonl").read_text().splitlines():
        payload = json.loads(line)["payload"]
        if payload.get("type") == "token_count" and payload.get("info"):
            usage = payload["info"]["last_token_usage"]
            counts = tuple(
                usage[name] for name in ("input_tokens", "cached_input_tokens", "output_tokens")
            )
            if not wanted or wanted[-1] != counts:
                wanted.append(counts)
    assert [
        (call.input_tokens, call.measured and call.measured.cached_tokens, call.output_tokens)
        for call in session.calls
    ] == wanted


def test_the_rollout_itself_gives_the_same_calls(shared: Path) -> None:
    folder = shared / "traces" / "tracelab" / "raw"
    (rounds,) = read(folder / "codex-rounds.jsonl")[0]
    (rollout,) = read(folder / "codex-session.jsonl")[0]
    assert len(rounds.calls) == len(rollout.calls)
    for one, other in zip(rounds.calls, rollout.calls, strict=True):
        for name in ("input_tokens", "output_tokens", "after", "extends", "keep", "trigger"):
            assert getattr(one, name) == getattr(other, name), (one.id, name)
        assert [tool.name for tool in one.tools] == [tool.name for tool in other.tools]
        if one.delay_ns is not None:
            assert other.delay_ns is not None
            assert abs(one.delay_ns - other.delay_ns) < 100 * MS

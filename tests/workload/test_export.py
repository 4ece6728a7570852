"""Exports hold what their formats can: compared with prompts spelled out token by token."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings

from agentsim.cli import command
from agentsim.domain.trace import Call, Measured, Session, Tool, Trace
from agentsim.errors import ConfigError, TraceError, UnknownName
from agentsim.workload.exporters.report import ExportReport
from agentsim.workload.exporters.targets import TARGETS, export
from agentsim.workload.formats import read_trace
from agentsim.workload.heads import share_heads
from agentsim.workload.importers.agentic_mooncake import read_agentic_mooncake
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.reading import import_logs
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import find_logs
from agentsim.workload.importers.tokens import find_counter
from workload.generated import BLOCK_SIZE, Token, common, spelled_out, traces

MS = 10**6
S = 10**9
shared_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(trace: Trace, target: str, folder: Path, **more: Any) -> tuple[Path, ExportReport]:
    path = folder / f"out.{target}"
    return path, export(trace, target, path, **more)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_sharing(found: list[tuple[list[int], Call, list[Token]]]) -> None:
    """Ids are equal as far as the tokens are, block by block; other adapters share nothing."""
    for (ids, call, tokens), (others, other, other_tokens) in combinations(found, 2):
        same = common(tokens, other_tokens) if call.adapter == other.adapter else 0
        blocks = -(-same // BLOCK_SIZE) if tokens == other_tokens else same // BLOCK_SIZE
        shared = common(ids, others)  # type: ignore[arg-type]
        assert shared == (blocks if call.adapter == other.adapter else 0)
        assert not set(ids[shared:]) & set(others[shared:])


@shared_folder
@given(traces())
def test_hashes_are_shared_as_far_as_the_tokens_are(tmp_path: Path, trace: Trace) -> None:
    path, report = written(trace, "agentic-mooncake", tmp_path, block_size=BLOCK_SIZE)
    made = rows(path)
    calls = list(spelled_out(share_heads(trace)))
    assert len(made) == len(calls) == report.calls
    found = []
    for row, (session, call, tokens, _) in zip(made, calls, strict=True):
        assert row["request_id"] == f"{session}/{call.id}"
        assert (row["input_length"], row["output_length"]) == (len(tokens), call.output_tokens)
        assert len(row["hash_ids"]) == -(-len(tokens) // BLOCK_SIZE)
        found.append((row["hash_ids"], call, tokens))
    check_sharing(found)


@shared_folder
@given(traces())
def test_mooncake_has_every_call_in_the_order_of_times(tmp_path: Path, trace: Trace) -> None:
    path, _ = written(trace, "mooncake", tmp_path)
    made = rows(path)
    times = [row["timestamp"] for row in made]
    assert times == sorted(times)
    again = read_trace(path)
    sizes = [(call.input_tokens, call.output_tokens) for s in again for call in s.calls]
    wanted = [(call.input_tokens, call.output_tokens) for s in trace for call in s.calls]
    assert sorted(sizes) == sorted(wanted)
    starts = {call.at_ns + s.at_ns for s in trace for call in s.calls if call.at_ns is not None}
    assert starts <= {s.at_ns for s in again}


@shared_folder
@given(traces())
def test_the_graph_comes_back_from_agentic_mooncake(tmp_path: Path, trace: Trace) -> None:
    path, _ = written(trace, "agentic-mooncake", tmp_path, block_size=BLOCK_SIZE)
    sink = Sink(find_counter("chars:4"))
    (file,) = find_logs([str(path)], sink.warn)
    read_agentic_mooncake(file, sink)
    logged: dict[str, LoggedCall] = {}
    home: dict[str, str] = {}
    for name, _, calls in sink.sessions():
        for each in calls:
            logged[each.id], home[each.id] = each, name
    assert not sink.report.warnings
    assert len(logged) == trace.num_calls
    for session in trace:
        for call in session.calls:
            name = f"{session.id}/{call.id}"
            each = logged[name]
            assert each.after == tuple(f"{session.id}/{other}" for other in call.after)
            assert (each.input_tokens, each.output_tokens) == (
                call.input_tokens,
                call.output_tokens,
            )
            assert all(home[other] == home[name] for other in each.after)
            if call.after and call.delay_ns is not None:
                assert each.delay_ns == call.delay_ns
            if not call.after and call.at_ns is not None:
                assert each.start_ns == session.at_ns + call.at_ns


def by_agent(trace: Trace) -> dict[tuple[str, str], list[tuple[Call, list[Token], list[Token]]]]:
    found = defaultdict(list)
    for session, call, prompt, answer in spelled_out(share_heads(trace)):
        found[session, call.agent].append((call, prompt, answer))
    return found


def name_of(session: str, agent: str) -> str:
    return session if agent == "main" else f"{session}/{agent}"


@shared_folder
@given(traces())
def test_turns_come_back_from_aiperf(tmp_path: Path, trace: Trace) -> None:
    path, report = written(trace, "aiperf", tmp_path, block_size=BLOCK_SIZE)
    again, _ = import_logs([str(path)], format="mooncake-delta")
    wanted: dict[str, list[Call]] = {}
    num_cut = 0
    for (session, agent), calls in by_agent(trace).items():
        part: list[Call] = []
        parts = [part]
        before: list[Token] | None = None
        for call, prompt, answer in calls:
            if before is not None and prompt[: len(before)] != before:
                part = []
                parts.append(part)
                num_cut += 1
            part.append(call)
            before = prompt + answer
        for number, each in enumerate(parts):
            name = name_of(session, agent)
            wanted[f"{name}#{number + 1}" if number else name] = each
    assert {session.id for session in again} == set(wanted)
    assert (
        report.lost.get(
            "calls whose prompt does not go on with all that went before; they begin a session", 0
        )
        == num_cut
    )
    for each_session in again:
        calls_of = wanted[each_session.id]
        assert [call.input_tokens for call in each_session.calls] == [
            c.input_tokens for c in calls_of
        ]
        assert [call.output_tokens for call in each_session.calls] == [
            c.output_tokens for c in calls_of
        ]
        for number, (call, one) in enumerate(
            zip(each_session.calls[1:], calls_of[1:], strict=True)
        ):
            before_it = each_session.calls[number]
            assert call.keep == before_it.input_tokens + before_it.output_tokens
            if one.after == (calls_of[number].id,) and one.delay_ns is not None:
                assert call.delay_ns == one.delay_ns


@shared_folder
@given(traces())
def test_rounds_come_back_from_tracelab_csv(tmp_path: Path, trace: Trace) -> None:
    path, _ = written(trace, "tracelab-csv", tmp_path)
    again, report = import_logs([str(path)], format="tracelab-csv")
    assert not report.warnings
    agents = by_agent(trace)
    assert {s.id for s in again} == {name_of(*key) for key in agents}
    for key, calls in agents.items():
        session = again.find(name_of(*key))
        before: list[Token] = []
        for number, ((one, prompt, answer), call) in enumerate(
            zip(calls, session.calls, strict=True)
        ):
            assert (call.input_tokens, call.output_tokens) == (one.input_tokens, one.output_tokens)
            assert call.keep == common(before, prompt)
            before = prompt + answer
            if number and one.after == (calls[number - 1][0].id,) and one.delay_ns is not None:
                assert call.delay_ns == one.delay_ns


def agents() -> Trace:
    """A session with a sub-agent that is joined, one that is compacted, and a shared head."""
    first = Session(
        "one",
        (
            Call("main/0", 1000, 50, trigger="user", model="m", at_ns=0,
                 measured=Measured(e2e_ns=2 * S)),
            Call("sub/0", 600, 40, agent="sub", after=("main/0",), delay_ns=0, trigger="spawn"),
            Call("main/1", 1300, 30, after=("main/0", "sub/0"), turn=1, delay_ns=500 * MS,
                 extends="main/0", keep=1050, trigger="tool", tools=(Tool("Bash"),)),
        ),
        system_tokens=400,
        tool_tokens=200,
    )  # fmt: skip
    second = Session(
        "two",
        (
            Call("main/0", 900, 60),
            Call("main/1", 1000, 10, after=("main/0",), turn=1, delay_ns=1500 * MS + 1,
                 extends="main/0", keep=960),
            Call("main/2", 700, 10, after=("main/1",), turn=2, extends="main/1", keep=600),
        ),
        at_ns=3 * S,
        system_tokens=400,
        tool_tokens=200,
        priority=1,
    )  # fmt: skip
    return Trace([first, second])


def test_declared_heads_are_shared_by_sessions(tmp_path: Path) -> None:
    path, _ = written(agents(), "agentic-mooncake", tmp_path, block_size=100)
    ids = {row["request_id"]: row["hash_ids"] for row in rows(path)}
    assert ids["one/main/0"][:6] == ids["two/main/0"][:6]
    assert ids["one/main/0"][6:] != ids["two/main/0"][6:9]
    assert ids["two/main/2"][:6] == ids["two/main/1"][:6]
    assert not set(ids["one/sub/0"]) & set(ids["one/main/0"])


def test_waits_and_joins_stay_where_the_target_has_them(tmp_path: Path) -> None:
    path, report = written(agents(), "agentic-mooncake", tmp_path)
    made = {row["request_id"]: row for row in rows(path)}
    assert made["one/main/1"]["wait_for"] == ["one/main/0", "one/sub/0"]
    assert made["one/main/1"]["tool_wait_ms"] == 500
    assert made["two/main/1"]["delay"] == 1500.000001
    assert made["two/main/0"]["timestamp"] == 3000
    assert dict(report.lost) == {
        "models": 1,
        "triggers": 3,
        "tools": 1,
        "measured values": 1,
        "priorities": 1,
        "waits that the trace does not tell; taken as 0": 1,
    }


def test_what_aiperf_cannot_hold_is_counted(tmp_path: Path) -> None:
    path, report = written(agents(), "aiperf", tmp_path)
    made = [(row["session_id"], row["input_length"], row.get("delay")) for row in rows(path)]
    assert made == [
        ("one", 1000, None),
        ("one", 250, 500),
        ("one/sub", 600, None),
        ("two", 900, None),
        ("two", 40, 1500.000001),
        ("two#2", 700, None),
    ]
    assert report.lost["waits for other calls than the one before of the agent"] == 2
    cut = "calls whose prompt does not go on with all that went before; they begin a session"
    assert report.lost[cut] == 1


def test_weka_sessions_come_back_from_agentic_mooncake(tmp_path: Path, shared: Path) -> None:
    """Real sessions with sub-agents: order, waits, tokens; prefixes to the block."""
    raw = str(shared / "traces" / "weka-claude-code" / "raw")
    trace, _ = import_logs([raw], format="weka")
    path, _ = written(trace, "agentic-mooncake", tmp_path, block_size=64)
    again, report = import_logs([str(path)])
    assert report.formats == {"agentic-mooncake": 1}
    assert len(again) == len(trace)
    for session in trace:
        other = again.find(session.id)
        names = {call.id: call.id.replace(f"{session.id}/", "") for call in other.calls}
        ones = {call.id: call for call in session.calls}
        assert {names[call.id] for call in other.calls} == set(ones)
        for call in other.calls:
            one = ones[names[call.id]]
            assert (call.input_tokens, call.output_tokens) == (one.input_tokens, one.output_tokens)
            assert tuple(names[name] for name in call.after) == one.after
            if one.delay_ns is not None:
                assert call.delay_ns == one.delay_ns


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_long_session_is_exported_quickly_enough_to_its_end(target: str, tmp_path: Path) -> None:
    """A session of 400 growing calls: ids of shared blocks are made once."""
    calls = [Call("main/0", 5000, 100)]
    for number in range(1, 400):
        last = calls[-1]
        whole = last.input_tokens + last.output_tokens
        calls.append(
            Call(f"main/{number}", whole + 200, 100, after=(last.id,), extends=last.id, keep=whole)
        )
    path, report = written(Trace([Session("s", tuple(calls))]), target, tmp_path, block_size=16)
    assert report.calls == 400
    assert len(path.read_text().splitlines()) == 400 + (target == "tracelab-csv")


@pytest.mark.parametrize("target", list(TARGETS))
def test_the_same_bytes_again_and_packed(target: str, tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b.gz"
    export(agents(), target, one)
    export(agents(), target, two)
    assert gzip.decompress(two.read_bytes()) == one.read_bytes()


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be written"):
        export(agents(), "aiperf", tmp_path / "none" / "out")
    with pytest.raises(ConfigError, match=r"--block-size: expected an integer >= 1, got 0"):
        export(agents(), "aiperf", tmp_path / "out", block_size=0)
    with pytest.raises(UnknownName):
        export(agents(), "aiperv", tmp_path / "out")
    assert not list(tmp_path.iterdir())


SOURCE = '{"type":"call","session":"s","input_tokens":100,"output_tokens":10,"model":"m"}\n'


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, ["export", *words])
    return done.exit_code, done.output


def test_the_command_writes_and_says_what_is_lost(tmp_path: Path) -> None:
    source, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    source.write_text(SOURCE)
    assert run(str(source), "--to", "mooncake", "-o", str(out)) == (
        0,
        f"1 call in 1 session written to {out} as mooncake.\nWhat mooncake cannot hold:\n"
        "  1 models\n",
    )
    assert rows(out) == [
        {"timestamp": 0, "input_length": 100, "output_length": 10, "hash_ids": [0]}
    ]
    code, text = run(str(source), "--to", "mooncake", "-o", str(out), "--json", "--force")
    assert (code, json.loads(text)) == (0, {"sessions": 1, "calls": 1, "lost": {"models": 1}})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "mooncake", "-o", "{out}"], "exists already; --force replaces it"),
        (["--to", "moon", "-o", "new"], "unknown export format 'moon'"),
        (["--to", "aiperf", "-o", "{folder}/x", "--block-size", "0"], "--block-size"),
        (["--to", "aiperf", "-o", "{folder}/none/x"], "cannot be written"),
    ],
)
def test_bad_words_are_one_line_and_exit_2(tmp_path: Path, words: list[str], message: str) -> None:
    source, out = tmp_path / "t.jsonl", tmp_path / "out.jsonl"
    source.write_text(SOURCE)
    out.write_text("")
    code, text = run(str(source), *(w.format(out=out, folder=tmp_path) for w in words))
    assert code == 2
    assert message in text
    assert len(text.splitlines()) <= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "t.jsonl"]

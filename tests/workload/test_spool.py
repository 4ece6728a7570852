"""A trace whose sessions are on disk is the same trace, and so is one read line by line in full."""

from __future__ import annotations

import gc
import io
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsim.domain.trace import Call, Session, StoredSessions, Trace
from agentsim.errors import DoesNotFit, TraceError
from agentsim.workload import fit, heads, spool, v1
from agentsim.workload.lines import Lines
from agentsim.workload.mooncake import read_mooncake
from agentsim.workload.spool import MAX_IN_MEMORY, MAX_NESTED, PartFile, SessionSpool, collect
from workload.generated import traces
from workload.texts import HEADER, call_line, text_of

NO_LIMIT = 10**9

# -- reading, whatever the lines

#: Ids as they are made, and others that look like them.
_NAMES = [f"{agent}/{turn}" for agent in ("main", "sub") for turn in range(6)] + ["x", "main/0/0"]
_VALUES: dict[str, list[Any]] = {
    "agent": ["main", "sub", "sub", "main/0"],
    "id": [*_NAMES, None],
    "turn": [0, 1, 4, None],
    "delay": [None, 0, 0.5],
    "blocks": [[1, 2**70, "h"], [1]],
    "prompt": [[["sys", 40]], [["sys", 35], ["out:main/0", 5]], [["sys", 38], ["out:x", 2]]],
    "tools": [[], [{"name": "t"}], [{"name": "t", "exit": 1}]],
    "measured": [{}, {"ttft": 1}, {"tbt": 1}],
    "prompt_tokens": [40, 41],
    "keep": [0, 40],
    "max_tokens": [1, 0],
    "colour": ["red"],
    "slo": [None, {"ttft": 2}],
    "deadline": [5],
}


def _call_line(chance: Any, ids: dict[str, list[str]]) -> dict[str, Any]:
    """A call line that is often right, given the ids of its session's earlier calls."""
    session = chance.choice("aaaabbbbcdef")
    known = ids.setdefault(session, [])
    line: dict[str, Any] = {"session": session, "input_tokens": 40}
    line["output_tokens"] = chance.randrange(10)
    for field in chance.sample(sorted(_VALUES), chance.choice([0, 0, 0, 1, 2])):
        line[field] = chance.choice(_VALUES[field])
    names = known if known and chance.random() < 0.9 else _NAMES
    if chance.random() < 0.5:
        extends = names[-1] if chance.random() < 0.5 else chance.choice(names)
        line |= {"extends": extends, "keep": chance.randrange(46)}
    if chance.random() < 0.2:
        line["after"] = [chance.choice(names) for _ in range(chance.randrange(3))]
    return {"type": "call", **line}


_SESSION_LINES = st.fixed_dictionaries(
    {"type": st.just("session"), "session": st.sampled_from("abcdefgh"), "at": st.integers(0, 2)},
    optional={"keep_granularity": st.just(16), "tenant": st.just("t"), "repo": st.just("r")},
)
_HEADERS = st.sampled_from([HEADER, {**HEADER, "block_size": 16, "keep_covers": "input"}])


@st.composite
def _texts(draw: st.DrawFn) -> bytes:
    """Session lines, then calls of all sessions; half of them end with a line that is refused."""
    starts = draw(st.lists(_SESSION_LINES, max_size=6, unique_by=lambda line: line["session"]))
    lines = [draw(_HEADERS), *starts]
    chance, is_bad_wanted = draw(st.randoms(use_true_random=False)), draw(st.booleans())
    ids: dict[str, list[str]] = {}
    for number in range(draw(st.integers(1, 50))):
        line = _call_line(chance, ids)
        read = _outcome(text_of(*lines, line), NO_LIMIT)
        if not isinstance(read, str):
            lines.append(line)
            ids |= {session.id: [call.id for call in session.calls] for session in read[0]}
        elif is_bad_wanted and number > 25:
            return text_of(*lines, line)
    return text_of(*lines)


def _outcome(text: bytes, max_in_memory: int) -> Any:
    """All that reading a text gives: a trace's parts, or the message."""
    try:
        trace = v1.read_v1(Lines("trace.jsonl", io.BytesIO(text)), max_in_memory)
    except TraceError as error:
        return str(error)
    return list(trace), trace.header, trace.notes, trace.num_calls, len(trace)


@given(_texts(), st.integers(0, 15))
def test_lines_read_through_a_spool_give_what_they_give_in_memory(text: bytes, size: int) -> None:
    """Sessions that were put away come back when another line of theirs comes."""
    assert _outcome(text, size) == _outcome(text, NO_LIMIT)


@given(_texts(), st.integers(0, 15))
def test_the_quick_way_through_a_line_gives_what_the_strict_one_gives(
    text: bytes, size: int
) -> None:
    quick = _outcome(text, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(v1, "plain_call", lambda _: None)
        patch.setattr(v1, "is_plainly_right", lambda *_: False)
        assert _outcome(text, NO_LIMIT) == quick


def _two_long_sessions(**of_the_third: Any) -> list[dict[str, Any]]:
    return [
        call_line(
            session=session,
            **({"extends": f"main/{turn - 1}", "keep": 90} if turn else {}),
            **(of_the_third if turn == 3 else {}),
        )
        for turn in range(20)
        for session in "ab"
    ]


def test_a_call_that_goes_on_from_the_last_one_needs_no_more_of_its_session() -> None:
    text = text_of(HEADER, *_two_long_sessions())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartFile, "read", lambda *_: pytest.fail("read from disk"))
        trace = v1.read_v1(Lines("t", io.BytesIO(text)), max_in_memory=10)
    assert tuple(trace) == v1.read_v1(Lines("t", io.BytesIO(text))).sessions


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"id": "main/2"}, "'id': 'main/2' is the id of an earlier call"),
        ({"turn": 2}, "'id': 'main/2' is the id of an earlier call"),
        ({"agent": "new", "id": "main/2"}, "'id': 'main/2' is the id of an earlier call"),
        ({"extends": "main/2", "keep": 111}, "'keep': expected at most 110 "),
        ({"prompt": [["sys", 89], ["out:main/2", 11]]}, "'prompt': segment 'out:main/2': "),
        ({"after": ["main/2", "main/99"]}, "'after': 'main/99' is not an earlier call"),
        ({"after": ["main/2"], "extends": "main/3", "keep": 110}, ""),
        ({"prompt": [["sys", 90], ["out:main/2", 10]]}, ""),
        ({"id": "other", "turn": 2}, ""),
    ],
)
def test_what_is_on_disk_is_asked_where_a_line_names_it(line: dict[str, Any], message: str) -> None:
    last = call_line(session="b", input_tokens=100, **line)
    if "keep" in line:
        last["input_tokens"] = 200
    text = text_of(HEADER, *_two_long_sessions(), last)
    read = _outcome(text, max_in_memory=10)
    assert read == _outcome(text, NO_LIMIT)
    assert message in read if message else not isinstance(read, str)


def test_an_id_that_runs_ahead_of_its_turn_is_not_forgotten() -> None:
    lines = [line | {"after": []} for line in _two_long_sessions(id="main/9")]
    for line in lines:
        line.pop("extends", line.pop("keep", None))
    read = _outcome(text_of(HEADER, *lines), max_in_memory=10)
    assert read == _outcome(text_of(HEADER, *lines), NO_LIMIT)
    assert "'id': 'main/9' is the id of an earlier call" in read


# -- a spool as a sequence


@given(traces(), st.integers(0, 12))
def test_a_spool_is_the_same_sequence(trace: Trace, size: int) -> None:
    stored = Trace(collect(reversed(trace.sessions), size), trace.header)
    assert tuple(stored) == tuple(stored) == trace.sessions
    assert list(zip(stored, stored, strict=True)) == list(zip(trace, trace, strict=True))
    assert [stored.sessions[place] for place in range(-1, len(trace))] == [
        trace.sessions[place] for place in range(-1, len(trace))
    ]
    assert tuple(stored.sessions[1:]) == trace.sessions[1:]
    assert (len(stored), stored.num_calls) == (len(trace), trace.num_calls)
    assert [stored.find(session.id) for session in trace] == list(trace)
    with pytest.raises(KeyError):
        stored.find("nobody")
    with pytest.raises(IndexError):
        stored.sessions[len(trace)]


def test_only_what_is_much_is_put_on_disk() -> None:
    sessions = [Session(f"s{n}", (Call("main/0", 1, 1),)) for n in range(5)]
    assert isinstance(collect(sessions, 10), list)
    assert isinstance(collect(sessions, 9), SessionSpool)


def test_sessions_with_one_check_sum_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "crc32", lambda _: 7)
    sessions = [Session(name, (Call("main/0", 1, 1),)) for name in "abc"]
    stored = Trace(collect(sessions, 0))
    assert [stored.find(name).id for name in "cab"] == ["c", "a", "b"]
    with pytest.raises(KeyError):
        stored.find("d")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=5), _JSON))
def test_what_is_kept_of_a_line_comes_back_to_the_bit(extra: dict[str, Any]) -> None:
    line = msgspec.json.encode({"type": "call", "session": "s", **call_line(), "more": extra})
    trace = v1.read_v1(Lines("t", io.BytesIO(text_of(HEADER, line))), 0)
    assert isinstance(trace.sessions, SessionSpool)
    again = trace.sessions[0].calls[0].extra
    assert repr(again) == repr({"more": msgspec.json.decode(line)["more"]})


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, 10**4000, -0.0, 5e-324, 1.0, 1e22, "\0\u2028\U0001f600"]
)
def test_numbers_of_any_size_come_back(value: Any) -> None:
    call = Call(
        "main/0", 1, 1, blocks=(value,) if isinstance(value, int) else None, extra={"": value}
    )
    (session,) = collect([Session("s", (call,))], 0)
    assert repr(session.calls) == repr((call,))


@pytest.mark.parametrize("depth", [MAX_NESTED - 1, MAX_NESTED + 1, 700])
def test_deeply_nested_values_come_back_from_deep_in_the_stack(depth: int) -> None:
    text = b'{"type":"call","session":"s","input_tokens":1,"output_tokens":1,"x":%s}'
    text %= b"[" * depth + b"]" * depth
    trace = v1.read_v1(Lines("t", io.BytesIO(text)), 0)

    def below(frames: int) -> dict[str, Any] | None:
        return below(frames - 1) if frames else trace.sessions[0].calls[0].extra

    extra = below(500)
    assert extra is not None
    nested = 0
    value = extra["x"]
    while value:
        nested, value = nested + 1, value[0]
    assert nested == depth - 1


# -- what changes a trace


@pytest.mark.parametrize("change", ["heads", "prefix", "skip", "truncate", "compact"])
@given(trace=traces(), limit=st.integers(2, 60))
def test_a_stored_trace_is_changed_as_one_in_memory(change: str, trace: Trace, limit: int) -> None:
    def changed(given: Trace) -> Trace:
        if change in ("heads", "prefix"):
            return heads.share_heads(given, limit if change == "prefix" else None)
        return fit.fit_to_limit(given, limit, change)

    stored = Trace(collect(trace, 0), trace.header, trace.notes)
    expected = changed(trace)
    with pytest.MonkeyPatch.context() as patch:
        for module in (fit, heads):
            patch.setattr(module, "collect", partial(collect, max_in_memory=0))
        found = changed(stored)
    assert (found is stored) == (expected is trace)
    assert isinstance(found.sessions, StoredSessions) or not found.num_calls
    assert tuple(found) == expected.sessions
    assert (found.notes, found.header) == (expected.notes, expected.header)
    assert found.num_calls == expected.num_calls


@given(trace=traces(), limit=st.integers(2, 60))
def test_a_stored_trace_is_refused_as_one_in_memory(trace: Trace, limit: int) -> None:
    stored = Trace(collect(trace, 0))
    if fit.fit_to_limit(trace, limit, "truncate") is trace:
        assert fit.fit_to_limit(stored, limit) is stored
        return
    with pytest.raises(DoesNotFit) as in_memory:
        fit.fit_to_limit(trace, limit)
    with pytest.raises(DoesNotFit) as on_disk:
        fit.fit_to_limit(stored, limit)
    assert str(on_disk.value) == str(in_memory.value)


def test_mooncake_lines_are_put_on_disk_as_well() -> None:
    rows = [
        {"timestamp": at, "input_length": 600, "output_length": 5, "hash_ids": [at, 2**80]}
        for at in (3, 1, 2)
    ]
    lines = [Lines("m", io.BytesIO(text_of(*rows))) for _ in range(2)]
    stored = read_mooncake(lines[0], max_in_memory=1)
    assert isinstance(stored.sessions, SessionSpool)
    assert tuple(stored) == read_mooncake(lines[1]).sessions


# -- files


def _long_trace(num_sessions: int, num_calls: int) -> Iterator[bytes]:
    yield text_of(HEADER)
    for session in range(num_sessions):
        for turn in range(num_calls):
            more = {"extends": f"main/{turn - 1}", "keep": 110} if turn else {}
            line = call_line(session=f"s{session}", **{"input_tokens": 110, **more})
            yield msgspec.json.encode(line) + b"\n"


class _Stream(io.RawIOBase):
    """A file that is made while it is read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def readline(self, size: int | None = -1, /) -> bytes:
        return next(self._pieces, b"")


def _peak_bytes(max_in_memory: int) -> int:
    tracemalloc.start()
    try:
        lines = Lines("t", _Stream(_long_trace(100, 100)))  # type: ignore[arg-type]
        trace = v1.read_v1(lines, max_in_memory)
        for _ in range(2):
            assert sum(len(session.calls) for session in trace) == 10_000
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_trace() -> None:
    assert _peak_bytes(1_000) < 1_500_000
    assert _peak_bytes(NO_LIMIT) > 3_000_000


def test_a_long_trace_is_put_on_disk_by_default() -> None:
    sessions = 2
    pieces = _long_trace(sessions, MAX_IN_MEMORY // sessions)
    trace = v1.read_v1(Lines("t", _Stream(pieces)))  # type: ignore[arg-type]
    assert isinstance(trace.sessions, SessionSpool)
    assert trace.num_calls == MAX_IN_MEMORY


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="open files are not listed here")
def test_the_file_goes_with_the_trace() -> None:
    before = len(os.listdir("/proc/self/fd"))
    trace = v1.read_v1(Lines("t", _Stream(_long_trace(3, 3))), 0)  # type: ignore[arg-type]
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del trace
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "wb"))
    with pytest.raises(TraceError) as caught:
        v1.read_v1(Lines("t", _Stream(_long_trace(3, 3))), 0)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "a long trace cannot be kept on disk: No space left on device: "
        "name a folder with room in TMPDIR"
    )

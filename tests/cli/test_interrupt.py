"""Runs written as they go, and runs that are stopped: what is on the disk is complete."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from agentsim.cli import screen
from agentsim.domain.records import Run
from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine import ledger, recorder
from agentsim.errors import Interrupted
from agentsim.report import store, summary
from agentsim.report.store import read_run, write_run
from agentsim.report.summary import summarize
from agentsim.simulator import simulate
from cli.program import agentsim

NUM_SESSIONS, NUM_CALLS = 6, 4


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Trace:
    """Six sessions of four calls each; a chunk is six calls at least, or nine steps."""
    monkeypatch.setattr(ledger, "CHUNK_CALLS", 6)
    monkeypatch.setattr(recorder, "CHUNK_STEPS", 9)

    def calls(number: int) -> tuple[Call, ...]:
        after = [(), *((str(i),) for i in range(NUM_CALLS))]
        return tuple(Call(str(i), 40 + number, 5 + i, after[i]) for i in range(NUM_CALLS))

    return Trace(Session(f"s{i}", calls(i), at_ns=i * 200_000_000) for i in range(NUM_SESSIONS))


def stop_at(number: int) -> Callable[[int, int, int], None]:
    """A listener that is stopped by Ctrl-C when so many calls are done."""

    def listen(calls_done: int, num_calls: int, now_ns: int) -> None:
        if calls_done == number:
            raise KeyboardInterrupt

    return listen


def rows(run: Run) -> dict[tuple[str, str], tuple[int, ...]]:
    """The integers of each request."""
    names = [name for name, dtype in run.requests.dtypes.items() if dtype == "int64"]
    keys = zip(run.requests["session"], run.requests["call"], strict=True)
    return dict(zip(keys, zip(*(run.requests[name] for name in names), strict=True), strict=True))


def test_a_run_is_written_alike_as_it_goes_and_afterwards(sessions: Trace, tmp_path: Path) -> None:
    run = simulate(sessions, out=tmp_path / "goes")
    write_run(simulate(sessions), tmp_path / "after")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["after", "goes"]
    for place in (tmp_path / "after").iterdir():
        assert place.read_bytes() == (tmp_path / "goes" / place.name).read_bytes()
    assert run.requests.path == tmp_path / "goes" / "requests.parquet"
    assert run.requests.num_chunks == run.sessions.num_chunks == 3
    assert run.steps.num_chunks > 1
    assert json.loads((tmp_path / "goes" / "run.json").read_text())["complete"] is True


def test_a_chunk_of_requests_holds_the_sessions_of_its_number(sessions: Trace) -> None:
    run = simulate(sessions)
    for lives, calls in zip(run.sessions.chunks(), run.requests.chunks(), strict=True):
        assert calls["session"].tolist() == np.repeat(lives["session"], NUM_CALLS).tolist()
        assert calls["call"].tolist() == ["0", "1", "2", "3"] * len(lives["session"])
    assert (np.diff(run.sessions["finished_ns"]) >= 0).all()


@pytest.mark.parametrize("number", [1, 9, 17, NUM_SESSIONS * NUM_CALLS])
def test_a_stopped_run_leaves_what_was_done(sessions: Trace, tmp_path: Path, number: int) -> None:
    with pytest.raises(Interrupted) as caught:
        simulate(sessions, progress=stop_at(number), out=tmp_path / "run")
    assert [place.name for place in tmp_path.iterdir()] == ["run"]
    part, whole = read_run(tmp_path / "run"), simulate(sessions)
    told = {"calls_done": part.requests.num_rows, "calls": NUM_SESSIONS * NUM_CALLS}
    assert part.facts["interrupted"] == told
    assert json.loads((tmp_path / "run" / "run.json").read_text())["complete"] is False
    assert str(tmp_path / "run") in str(caught.value)
    assert f"{part.requests.num_rows} of 24 calls" in str(caught.value)
    assert part.requests.num_rows == number  # all that were answered
    assert rows(part).items() <= rows(whole).items()
    num_steps = part.steps.num_rows
    assert part.steps["end_ns"].tolist() == whole.steps["end_ns"].tolist()[:num_steps]
    assert num_steps >= number  # a call takes five steps or more, six run at a time
    assert summarize(part).calls == ({"finished": told["calls_done"]} if told["calls_done"] else {})
    write_run(part, tmp_path / "copy")
    assert (tmp_path / "copy" / "run.json").read_text() == (
        tmp_path / "run" / "run.json"
    ).read_text()


def test_a_stopped_run_that_is_written_nowhere_says_so(sessions: Trace) -> None:
    with pytest.raises(Interrupted, match="of 24 calls; nothing was written"):
        simulate(sessions, progress=stop_at(9))


def test_a_run_that_fails_leaves_nothing(sessions: Trace, tmp_path: Path) -> None:
    def fail(*_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        simulate(sessions, progress=fail, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_run_is_not_written_twice(
    sessions: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = simulate(sessions, out=tmp_path / "run")
    run.facts["more"] = 1
    monkeypatch.setattr(store, "RunFolder", None)
    write_run(run, tmp_path / "run")
    assert read_run(tmp_path / "run").facts["more"] == 1


@pytest.fixture
def ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C just before the second call of three is told."""
    tell = screen.Ticker.__call__

    def listen(self: screen.Ticker, calls_done: int, num_calls: int, now_ns: int) -> None:
        if calls_done == 2:
            signal.raise_signal(signal.SIGINT)
        tell(self, calls_done, num_calls, now_ns)

    monkeypatch.setattr(screen.Ticker, "__call__", listen)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_command_by_one_line(trace: str, tmp_path: Path) -> None:
    handler, out = signal.getsignal(signal.SIGINT), tmp_path / "out"
    result = agentsim("replay", trace, "--out", str(out))
    assert (result.exit_code, result.stdout) == (130, "")
    num_calls = read_run(out).requests.num_rows
    assert result.stderr == (
        f"agentsim: error: interrupted after {num_calls} of 3 calls; they are in {out}\n"
    )
    result = agentsim("replay", trace)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.endswith("of 3 calls; nothing was written\n")
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_after_the_run_says_that_it_was_written(
    trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(summary, "summarize", stop)
    result = agentsim("replay", trace, "--out", str(tmp_path / "out"))
    assert result.exit_code == 130
    assert f"after 3 of 3 calls; they are in {tmp_path / 'out'}" in result.stderr
    assert read_run(tmp_path / "out").requests.num_rows == 3


def test_a_second_ctrl_c_takes_effect_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), screen.Ticker("replay"):
        signal.raise_signal(signal.SIGINT)
        reached = True
        signal.raise_signal(signal.SIGINT)
    assert reached

"""Chrome trace events say what the columns say, and nothing that a viewer would drop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agentsim.domain.config import load_config
from agentsim.domain.records import Run
from agentsim.errors import UserError
from agentsim.report.lanes import lanes
from agentsim.report.timeline.write import write_timeline
from agentsim.report.where import agent_time
from agentsim.simulator import simulate
from agentsim.workload.formats import read_trace
from report.runs import S, request, run, session, step, two_turns
from report.trace_events import Events, read_events

SWE = Path(__file__).parents[2] / "traces" / "swe-agent.jsonl"


def events_of(made: Run, folder: Path, **more: int) -> Events:
    write_timeline(made, folder / "t.json", **more)
    return read_events(folder / "t.json")


@pytest.fixture(scope="module")
def crowded() -> Run:
    """Agents that queue and lose their blocks, on two replicas."""
    sets = ["agents.num_agents=20", "cluster.replicas=2", "engine.num_gpu_blocks=1500"]
    sets += ["engine.max_model_len=20000", "agents.too_long='truncate'"]
    made = simulate(read_trace(str(SWE)), load_config(sets=sets))
    assert made.requests["preemptions"].sum() > 0
    return made


def test_two_turns_as_on_paper(tmp_path: Path) -> None:
    made = two_turns()
    found = events_of(made, tmp_path)
    assert [(s.depth, s.name, s.start_ns // S, s.end_ns // S) for s in found.slices] == [
        (2, "queue", 2, 3), (2, "prefill", 3, 5), (2, "decode", 5, 8), (1, "main", 2, 8),
        (2, "prefill", 12, 16), (2, "decode", 16, 20), (1, "main", 12, 20), (0, "session", 0, 20),
        (0, "prefill", 3, 5), (0, "decode", 5, 6), (0, "decode", 6, 7), (0, "decode", 7, 8),
        (0, "prefill", 12, 16), (0, "decode", 16, 18), (0, "decode", 18, 20),
    ]  # fmt: skip
    used = found.counters[2, "KV blocks used"]
    assert [(at_ns // S, blocks) for at_ns, blocks in used] == [
        (0, 0), (3, 10), (5, 20), (7, 30), (8, 0), (12, 30), (16, 40), (18, 50), (20, 0),
    ]  # fmt: skip


def test_nothing_is_held_after_the_last_answer(tmp_path: Path) -> None:
    """Asynchronous scheduling runs a step beyond a stop token."""
    calls = [request("s", "a", (0, 0, 1, 2)), request("s", "b", (4, 5, 6, 7))]
    steps = [step(0, 2), step(2, 3, new_tokens=0), step(5, 7, used_blocks=20)]
    found = events_of(run(calls, steps, [session("s", 0, 7)]), tmp_path)
    used = found.counters[2, "KV blocks used"]
    assert [(at_ns // S, n) for at_ns, n in used] == [(0, 10), (2, 0), (5, 20), (7, 0)]


def test_only_decode_steps_that_touch_are_condensed(tmp_path: Path) -> None:
    """Prefills stay, as does what a pause or another number of sequences divides."""
    prefill = {"prefill_tokens": 5, "num_tokens": 5, "new_tokens": 0}
    steps = [
        step(0, 1, **prefill), step(1, 2, **prefill), step(2, 3), step(3, 4), step(5, 6),
        step(6, 7, num_seqs=2, num_tokens=2, new_tokens=2),
    ]  # fmt: skip
    made = run([request("s", "a", (0, 0, 1, 7))], steps, [session("s", 0, 7)])
    shown = [s for s in events_of(made, tmp_path, max_steps=1).slices if s.thread == "steps"]
    assert [(s.start_ns // S, s.end_ns // S, s.args.get("steps", 1)) for s in shown] == [
        (0, 1, 1), (1, 2, 1), (2, 4, 2), (5, 6, 1), (6, 7, 1),
    ]  # fmt: skip


def test_waits_are_slices_before_their_call(tmp_path: Path) -> None:
    calls = [
        request("s", "a", (2, 2, 3, 4), delay_ns=2 * S),
        request("s", "b", (6, 6, 7, 8), delay_ns=2 * S),
    ]
    found = events_of(run(calls, [step(2, 4), step(6, 8)], [session("s", 0, 8)]), tmp_path)
    waits = [(s.start_ns // S, s.end_ns // S) for s in found.slices if s.name == "tool wait"]
    assert waits == [(0, 2), (4, 6)]


def test_sub_agents_at_once_have_tracks_of_their_own(tmp_path: Path) -> None:
    """The reader refuses slices that overlap on one thread."""
    calls = [
        request("s", "a", (0, 0, 1, 10)),
        request("s", "x", (2, 2, 3, 6), agent="one"),
        request("s", "y", (3, 3, 4, 5), agent="two"),
        request("s", "z", (7, 7, 8, 9), agent="two"),
    ]
    found = events_of(run(calls, [step(0, 10)], [session("s", 0, 10)]), tmp_path)
    threads = {s.args["call"]: s.thread for s in found.slices if "call" in s.args}
    assert threads == {
        "a": "agent 0", "x": "agent 0, beside 1", "y": "agent 0, beside 2",
        "z": "agent 0, beside 2",
    }  # fmt: skip


def test_a_call_that_never_reached_the_server_has_no_phase(tmp_path: Path) -> None:
    calls = [request("s", "a", (2, 2, -1, 2), status="skipped", first_token_ns=-1, delay_ns=S)]
    found = events_of(run(calls, [], [session("s", 0, 2)]), tmp_path)
    names = [(s.name, s.end_ns - s.start_ns) for s in found.slices]
    assert names == [("tool wait", S), ("main", 0), ("session", 2 * S)]


def test_phases_are_those_of_the_requests(crowded: Run, tmp_path: Path) -> None:
    """Nothing is lost or told twice: sums of slices are sums of columns, to the nanosecond."""
    found = events_of(crowded, tmp_path)
    calls = crowded.requests
    spent = dict.fromkeys(("tool wait", "front end", "queue", "prefill", "decode"), 0)
    for part in found.slices:
        if part.thread.startswith("agent") and part.name in spent:
            spent[part.name] += part.end_ns - part.start_ns
    assert spent["decode"] == (calls["finished_ns"] - calls["first_token_ns"]).sum()
    assert spent["prefill"] == (calls["first_token_ns"] - calls["scheduled_ns"]).sum()
    assert spent["tool wait"] == calls["delay_ns"].sum()
    before = (calls["scheduled_ns"] - calls["submitted_ns"]).sum()
    assert spent["front end"] + spent["queue"] == before
    # no two calls of a session at once: the slices divide it as the summary does
    shares = {name: int(ns.sum()) for name, ns in agent_time(crowded).items()}
    assert spent["queue"] == shares["queue"] and spent["tool wait"] == shares["tools"]
    decoding = shares["prefill"] + shares["decode"] + shares["recomputation"]
    assert spent["prefill"] + spent["decode"] == decoding


def test_steps_and_counters_are_those_of_the_columns(crowded: Run, tmp_path: Path) -> None:
    found = events_of(crowded, tmp_path)
    steps = crowded.steps
    shown = [s for s in found.slices if s.thread == "steps"]
    rows = [(s.start_ns, s.end_ns, s.args["tokens"], s.args["prefill"]) for s in shown]
    names = ("start_ns", "end_ns", "num_tokens", "prefill_tokens")
    order = np.lexsort((steps["step"], steps["replica"]))
    columns = zip(*(steps[name][order].tolist() for name in names), strict=True)
    assert sorted(rows) == sorted(columns)
    for replica in (0, 1):
        mine = steps["replica"] == replica
        for column, name in (
            ("used_blocks", "KV blocks used"),
            ("running", "requests running"),
            ("waiting", "requests waiting"),
        ):
            times, values = map(np.array, zip(*found.counters[2 + replica, name], strict=True))
            place = np.searchsorted(times, steps["start_ns"][mine], side="right") - 1
            # a step beyond a stop token runs while no call is there: nothing is held
            there = steps["new_tokens"][mine] > 0
            assert (values[place] == steps[column][mine])[there].all()
            assert values[-1] == 0
        points = found.counters.get((2 + replica, "preemptions total"), [(0, 0)])
        assert points[-1][1] == steps["preempted"][mine].sum()


def test_long_runs_are_condensed_and_say_so(crowded: Run, tmp_path: Path) -> None:
    """Slices of equal decode steps in a row lose no step, no token and no time."""
    whole, short = (events_of(crowded, tmp_path, max_steps=most) for most in (10**6, 100))
    assert "condensed" not in whole.about
    assert "decode steps" in short.about["condensed"]
    shown = [s for s in short.slices if s.thread == "steps"]
    assert len(shown) < crowded.steps.num_rows / 3
    assert sum(s.args.get("steps", 1) for s in shown) == crowded.steps.num_rows
    assert sum(s.args["tokens"] for s in shown) == crowded.steps["num_tokens"].sum()
    busy_ns = (crowded.steps["end_ns"] - crowded.steps["start_ns"]).sum()
    assert sum(s.end_ns - s.start_ns for s in shown) == busy_ns
    assert all(len(points) <= 101 for points in short.counters.values())
    agents = [[s for s in e.slices if s.thread != "steps"] for e in (whole, short)]
    assert agents[0] == agents[1]


def test_a_packed_file_holds_the_same_and_has_no_date(tmp_path: Path) -> None:
    for name in ("a.json", "a.json.gz", "b.json.gz"):
        write_timeline(two_turns(), tmp_path / name)
    assert read_events(tmp_path / "a.json") == read_events(tmp_path / "a.json.gz")
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()


def test_names_of_the_trace_are_text(tmp_path: Path) -> None:
    name = 'a"b\\\n\u2028é\ud800'
    calls = [request(name, name, (0, 0, 1, 2), agent=name)]
    found = events_of(run(calls, [step(0, 2)], [session(name, 0, 2)]), tmp_path)
    expected = name.replace("\ud800", "?")
    assert expected in [s.name for s in found.slices]
    assert found.slices[-2].args["id"] == expected


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "t.json").mkdir()
    with pytest.raises(UserError, match=r"--timeline .*t.json: cannot be written"):
        write_timeline(two_turns(), tmp_path / "t.json")
    assert [path.name for path in tmp_path.iterdir()] == ["t.json"]


def test_lanes_of_many_calls_never_overlap(crowded: Run) -> None:
    for part in lanes(crowded):
        assert (np.diff(part.edges, axis=0) >= 0).all()
        assert (part.edges[0] >= part.sessions["started_ns"][part.owners]).all()
        assert (part.edges[-1] <= part.sessions["finished_ns"][part.owners]).all()

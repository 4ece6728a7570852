"""Events of the agents: sessions, their waits, and calls with what each of them waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentsim.domain.records import Run
from agentsim.report.lanes import PHASES, lanes
from agentsim.report.timeline.events import begin_slice, end_slice

#: Process of the agents.
AGENTS = 1

#: Columns of a call that its slice carries.
_TOLD = (
    *("session", "agent", "call", "replica", "status", "prompt_tokens", "cached_tokens"),
    *("output_tokens", "preemptions", "recomputed_tokens"),
)


def agent_events(run: Run, threads: Mapping[tuple[int, int], int]) -> Iterator[str]:
    """Slices of all sessions, in the order in which they ended; on a thread, in that of time.

    A session is a slice around what is on its agent's own track. A call is named for the agent or
    sub-agent that sent it, with its phases inside; phases of no length are left out.

    Parameters
    ----------
    threads : mapping
        From slot and lane to thread.
    """
    for part in lanes(run):
        slots, rows = part.sessions["slot"].tolist(), range(len(part.sessions["slot"]))
        first = part.owners.searchsorted(rows).tolist()
        last = part.owners.searchsorted(rows, side="right").tolist()
        lane, edges = part.lanes.tolist(), part.edges.T.tolist()
        told = list(zip(*(part.calls[name].tolist() for name in _TOLD), strict=True))
        lives = (part.sessions[name].tolist() for name in ("session", "started_ns", "finished_ns"))
        for row, (name, begin_ns, end_ns) in enumerate(zip(*lives, strict=True)):
            slot, own = slots[row], threads[slots[row], 0]
            num_calls = last[row] - first[row]
            yield begin_slice("session", begin_ns, AGENTS, own, {"id": name, "calls": num_calls})
            for call in range(first[row], last[row]):
                args = dict(zip(_TOLD, told[call], strict=True))
                yield from _call(threads[slot, lane[call]], edges[call], args)
            yield end_slice(end_ns, AGENTS, own)


def _call(thread: int, edges: list[int], told: dict[str, int | str]) -> Iterator[str]:
    begin_ns, sent_ns, *_, end_ns = edges
    if sent_ns > begin_ns:
        yield begin_slice(PHASES[0], begin_ns, AGENTS, thread)
        yield end_slice(sent_ns, AGENTS, thread)
    yield begin_slice(str(told["agent"] or "call"), sent_ns, AGENTS, thread, told)
    for phase, since_ns, until_ns in zip(PHASES[1:], edges[1:-1], edges[2:], strict=True):
        if until_ns > since_ns:
            yield begin_slice(phase, since_ns, AGENTS, thread)
            yield end_slice(until_ns, AGENTS, thread)
    yield end_slice(end_ns, AGENTS, thread)

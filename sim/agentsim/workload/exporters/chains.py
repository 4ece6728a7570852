"""Sessions of one call after another, for formats without dependencies: `chains`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from agentsim.domain.trace import Call, Session
from agentsim.workload.exporters.prompts import SessionPrompts, Spans, common_tokens
from agentsim.workload.exporters.times import gap_ns, submissions, wait_ns

OTHER_AGENTS = "waits for other calls than the one before of the agent"
CUT = "calls whose prompt does not go on with all that went before; they begin a session"


class Link(NamedTuple):
    """A call in a chain.

    Attributes
    ----------
    shared : int
        Tokens of its prompt that are those of the call before in the chain, prompt then answer.
    wait_ns : int
        The wait after the answer to that call.
    at_ns : int
        When it is sent, by the clock of the trace.
    """

    call: Call
    prompt: Spans
    shared: int
    wait_ns: int
    at_ns: int


def chains(
    session: Session, lose: Callable[[str], None], *, whole: bool
) -> Iterator[tuple[str, list[Link]]]:
    """The calls of a session in chains, one an agent, each with a name.

    Parameters
    ----------
    session : Session
    lose : callable
        Told what chains cannot hold.
    whole : bool
        A chain ends where a prompt does not begin with the prompt before and its answer.
    """
    calls = {call.id: call for call in session.calls}
    at_ns = submissions(session, lose)
    prompts = SessionPrompts(session)
    found: dict[str, list[list[Link]]] = {}
    for call in session.calls:
        prompt = prompts.add(call)
        parts = found.setdefault(call.agent, [[]])
        before = parts[-1][-1].call if parts[-1] else None
        shared = common_tokens(prompts.whole(before.id), prompt) if before is not None else 0
        wait = wait_ns(call, calls, lose) if before is not None else 0
        if call.after != (() if before is None else (before.id,)):
            lose(OTHER_AGENTS)
            gap = gap_ns(before, call) if before is not None else None
            wait = wait if gap is None else gap
        if whole and before is not None and shared < before.input_tokens + before.output_tokens:
            lose(CUT)
            parts.append([])
        parts[-1].append(Link(call, prompt, shared, wait, at_ns[call.id]))
    for agent, parts in found.items():
        name = session.id if agent == "main" else f"{session.id}/{agent}"
        for number, part in enumerate(parts):
            yield f"{name}#{number + 1}" if number else name, part

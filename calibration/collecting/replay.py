"""The agents of a trace, closed loop, against a real server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.heads import share_heads
from collecting.client import Client, sleep_until
from collecting.folder import Sent
from collecting.tokens import SessionPrompts


def as_sent(trace: Trace, tool_scale: float) -> Trace:
    """The trace as it is replayed: every wait is said, every answer has at least one token.

    Parameters
    ----------
    tool_scale : float
        Multiplies the waits between calls.
    """
    sessions = [
        msgspec.structs.replace(
            session, calls=tuple(_sent(session, call, tool_scale) for call in session.calls)
        )
        for session in share_heads(trace)
    ]
    return Trace(sessions, trace.header)


def _sent(session: Session, call: Call, tool_scale: float) -> Call:
    outputs = max(1, call.output_tokens) if call.input_tokens else call.output_tokens
    if not call.after:
        wait_ns = call.at_ns if call.delay_ns is None else call.delay_ns
        return msgspec.structs.replace(call, delay_ns=wait_ns or 0, output_tokens=outputs)
    wait_ns = _recorded_wait_ns(session, call) if call.delay_ns is None else call.delay_ns
    return msgspec.structs.replace(
        call, delay_ns=round(wait_ns * tool_scale), output_tokens=outputs
    )


def _recorded_wait_ns(session: Session, call: Call) -> int:
    """The wait by the recorded times; 0 where the trace does not have them."""
    ends = [
        other.at_ns + other.measured.e2e_ns
        for other in session.calls
        if other.id in call.after
        and other.at_ns is not None
        and other.measured is not None
        and other.measured.e2e_ns is not None
    ]
    if call.at_ns is None or len(ends) < len(call.after):
        return 0
    return max(0, call.at_ns - max(ends))


class Replay:
    """A replay of a trace that `as_sent` gives.

    Parameters
    ----------
    agents : int
        Sessions at work at a time; the others follow in the order of the trace.
    progress : callable
        Called when a call is answered.

    Attributes
    ----------
    sent : list of Sent
    has_ids : bool
        Whether the server told the tokens of every answer; where not, placeholders stand for them
        in the prompts that go on from it.
    """

    def __init__(
        self, trace: Trace, client: Client, agents: int, progress: Callable[[], None]
    ) -> None:
        self.sent: list[Sent] = []
        self.has_ids = True
        self._client = client
        self._waiting = deque(trace)
        self._agents = agents
        self._progress = progress

    async def run(self) -> None:
        """Run all sessions to their last answers."""
        await asyncio.gather(*(self._agent() for _ in range(self._agents)))

    async def _agent(self) -> None:
        while self._waiting:
            await self._session(self._waiting.popleft())

    async def _session(self, session: Session) -> None:
        start_ns = self._client.now_ns()
        prompts = SessionPrompts(self._client.tokens, session)
        tasks: dict[str, asyncio.Task[int]] = {}
        for call in session.calls:
            after = [tasks[name] for name in call.after]
            coroutine = self._call(session, call, prompts, after, start_ns)
            tasks[call.id] = asyncio.create_task(coroutine)
        await asyncio.gather(*tasks.values())

    async def _call(
        self,
        session: Session,
        call: Call,
        prompts: SessionPrompts,
        after: list[asyncio.Task[int]],
        start_ns: int,
    ) -> int:
        """Wait, send, wait for the answer; when that came."""
        free_ns = max(await asyncio.gather(*after), default=start_ns)
        due_ns = free_ns + (call.delay_ns or 0)
        prompt = prompts.prompt(call)
        if not len(prompt):
            await sleep_until(due_ns)
            prompts.answered(call, ())
            return due_ns
        body = self._client.body(prompt, call.output_tokens, with_ids=True)
        await sleep_until(due_ns)
        answer = await self._client.complete(body)
        prompts.answered(call, answer.token_ids)
        self.has_ids &= len(answer.token_ids) >= call.output_tokens
        self.sent.append(Sent(len(prompt), call.output_tokens, answer, session.id, call.id))
        self._progress()
        return answer.end_ns

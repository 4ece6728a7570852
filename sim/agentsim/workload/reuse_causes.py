"""Why prompts were sent before: by the session itself, by others as a head, or behind it."""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Trace
from agentsim.workload.heads import head_tokens
from agentsim.workload.prefix_tree import PrefixTree
from agentsim.workload.reuse import SessionPrompts


class Causes(msgspec.Struct, frozen=True):
    """Prompt tokens that were sent before, each counted once.

    Attributes
    ----------
    own_history : int
        By the session itself.
    shared_head : int
        By others, or by another agent of the session: system prompt, tools and what else stands at
        the head of a kind of agent.
    other_sessions : int
        By others, behind the head.
    """

    own_history: int
    shared_head: int
    other_sessions: int


def causes_of(trace: Trace) -> Causes:
    """Divide the tokens that `reuse.reuse_of` finds.

    Parameters
    ----------
    trace : Trace
        With its heads shared (`heads.share_heads`).
    """
    trees: dict[str, PrefixTree] = {}
    own_history = shared_head = other_sessions = 0
    for session in trace:
        among_all = SessionPrompts(trees, session.id, session)
        alone = SessionPrompts({}, session.id, session)
        heads = head_tokens(session)
        agents: dict[str, None] = {}
        for call in session.calls:
            found, own = among_all.add(call), alone.add(call)
            among_all.add_answer(call.id)
            alone.add_answer(call.id)
            head = min(found, heads[call.id])
            if call.agent in agents:
                head = max(0, head - own)
            else:
                own = max(0, own - head)
            agents[call.agent] = None
            own_history += own
            shared_head += head
            other_sessions += found - own - head
        among_all.drop()
    return Causes(own_history, shared_head, other_sessions)

"""The client that drops the oldest part of its history when the prompt is too long."""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Call, Session
from agentsim.workload.heads import first_tokens, head_tokens
from agentsim.workload.lineage import Lineage, extending


class Truncation:
    """Truncates the prompts of one session; ask for its calls in their order.

    What is left of a truncated prompt is its head and its newest tokens. The latter stand at other
    positions than before, so nothing behind the head is shared with any other prompt.

    Attributes
    ----------
    num_truncated, num_tokens : int
        Prompts truncated so far, and the tokens they lost.
    """

    def __init__(self, session: Session, max_model_len: int) -> None:
        self.num_truncated = 0
        self.num_tokens = 0
        self._max_model_len = max_model_len
        self._heads = head_tokens(session)
        self._lineage = Lineage(session)

    def fit(self, call: Call) -> Call:
        """The call as it is sent."""
        if call.input_tokens < self._max_model_len:
            return self._lineage.rebased(call)
        room = self._max_model_len - max(1, call.output_tokens)
        tokens = max(room, self._max_model_len // 2)
        head = min(self._heads[call.id], tokens)
        self._lineage.change(call.id, head)
        self.num_truncated += 1
        self.num_tokens += call.input_tokens - tokens
        shorter = msgspec.structs.replace(call, input_tokens=tokens)
        if call.segments is None:
            return extending(shorter, self._lineage.base_of(call, at_most=head))
        kept = first_tokens(call.segments, head)
        private = ((f"~cut:{call.id}", tokens - head),) if tokens > head else ()
        return msgspec.structs.replace(shorter, segments=(*kept, *private))

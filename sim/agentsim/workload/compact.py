"""The client that summarises its history when the prompt is too long, as coding agents do.

The summary is taken as given: the call that would write it is not added.
"""

from __future__ import annotations

import msgspec

from agentsim.domain.trace import Call, Session
from agentsim.workload.heads import common_tokens, first_tokens, head_tokens
from agentsim.workload.lineage import Base, Lineage, extending


class Compaction:
    """Compacts the prompts of one session; ask for its calls in their order.

    A prompt that is too long becomes a new base: its head and a summary, together `tokens` long.
    A later call that went on from it goes on from the new base: it keeps as much of the base's end
    as before and appends as much as before, so its prompt is shorter by what the base lost. A call
    that drops more of its base than the summary holds has begun anew by itself and is left as it
    was.

    Attributes
    ----------
    num_compacted, num_shortened, num_tokens : int
        Prompts compacted so far; those shorter because of an earlier compaction; tokens saved by
        both.
    """

    def __init__(self, session: Session, longest: int, tokens: int) -> None:
        self.num_compacted = 0
        self.num_shortened = 0
        self.num_tokens = 0
        self._longest = longest
        self._tokens = tokens
        self._heads = head_tokens(session)
        self._lineage = Lineage(session)
        self._sent: dict[str, Call] = {}
        self._latest: dict[str, str] = {}

    def fit(self, call: Call) -> Call:
        """The call as it is sent."""
        sent = self._grown(call) or self._lineage.rebased(call)
        if sent.input_tokens > self._longest:
            sent = self._summarised(call)
            self.num_compacted += 1
        elif sent.input_tokens < call.input_tokens:
            self.num_shortened += 1
        self.num_tokens += call.input_tokens - sent.input_tokens
        if sent.input_tokens != call.input_tokens:
            self._lineage.change(call.id, min(self._heads[call.id], sent.input_tokens))
        self._sent[call.id] = sent
        self._latest[call.agent] = call.id
        return sent

    def _grown(self, call: Call) -> Call | None:
        """The call going on from a base that has become shorter; None if it does not."""
        base = self._original_base(call)
        if base.call_id is None or not self._lineage.is_changed(base.call_id):
            return None
        original, sent = self._lineage.originals[base.call_id], self._sent[base.call_id]
        keep = sent.input_tokens + base.keep - original.input_tokens
        if keep <= min(self._heads[base.call_id], sent.input_tokens):
            return None
        tokens = call.input_tokens - (original.input_tokens - sent.input_tokens)
        shorter = msgspec.structs.replace(call, input_tokens=tokens)
        return extending(shorter, Base(base.call_id, keep))

    def _original_base(self, call: Call) -> Base:
        """What the call goes on from: the call it names, or the last one of its agent."""
        if call.extends is not None:
            return Base(call.extends, call.keep)
        latest = self._latest.get(call.agent)
        if latest is None:
            return Base(None, 0)
        before = self._lineage.originals[latest]
        if call.segments is not None and before.segments is not None:
            answer = (f"out:{before.id}", before.output_tokens)
            return Base(latest, common_tokens((*before.segments, answer), call.segments))
        if call.blocks is not None and before.blocks is not None:
            return Base(latest, _common_block_tokens(before, call))
        return Base(None, 0)

    def _summarised(self, call: Call) -> Call:
        head = min(self._heads[call.id], self._longest)
        tokens = max(self._tokens, head)
        shorter = msgspec.structs.replace(call, input_tokens=tokens)
        if call.segments is None:
            return extending(shorter, self._lineage.base_of(call, at_most=head))
        kept = first_tokens(call.segments, head)
        summary = ((f"~summary:{call.id}", tokens - head),) if tokens > head else ()
        return msgspec.structs.replace(shorter, segments=(*kept, *summary))


def _common_block_tokens(one: Call, other: Call) -> int:
    same = 0
    for left, right in zip(one.blocks or (), other.blocks or (), strict=False):
        if left != right:
            break
        same += 1
    return min(same * one.block_tokens, one.input_tokens, other.input_tokens)

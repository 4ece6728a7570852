"""From what a trace says of a prompt to its path in a replica's content tree."""

from __future__ import annotations

from agentsim.domain.trace import Call, Session
from agentsim.machine.content import ContentTree, Span, Tip


class SessionPaths:
    """The paths of one session's calls, each of prompt and output together.

    A path lives until its call is done and no later call extends it.

    Parameters
    ----------
    tree : ContentTree
    session : Session
    uid : str
        Differs between any two runs of sessions; keeps private names apart.
    """

    def __init__(self, tree: ContentTree, session: Session, uid: str) -> None:
        self._tree = tree
        self._uid = uid
        self._calls = {call.id: call for call in session.calls}
        self._tips: dict[str, Tip] = {}
        self._users = dict.fromkeys(self._calls, 1)  # its own run, and the calls that extend it
        for call in session.calls:
            if call.extends is not None:
                self._users[call.extends] += 1

    def open(self, call: Call) -> Tip:
        """The path of a call."""
        tip = self._tips.get(call.id)
        if tip is None:
            tip = self._tips[call.id] = self._make(call)
            if call.extends is not None:
                self.close(call.extends)
        return tip

    def close(self, call_id: str) -> None:
        """One who needed the path of this call needs it no more."""
        self._users[call_id] -= 1
        if not self._users[call_id]:
            tip = self._tips.pop(call_id, None)
            if tip is not None:
                self._tree.drop(tip)

    def drop(self) -> None:
        """No call of the session follows."""
        for tip in self._tips.values():
            self._tree.drop(tip)
        self._tips.clear()

    def skip(self, call: Call) -> None:
        """The call never runs."""
        if call.id not in self._tips and call.extends is not None:
            self.close(call.extends)
        self.close(call.id)

    def _make(self, call: Call) -> Tip:
        adapter = call.adapter or ""
        output = (self._own(f"out:{call.id}"), 0, call.output_tokens)
        fresh = self._own(f"new:{call.id}")
        if call.extends is not None:
            base = self._calls[call.extends]
            if (base.adapter or "") == adapter and call.keep:
                rest = (fresh, 0, call.input_tokens - call.keep)
                return self._tree.extend(self.open(base), call.keep, [rest, output])
        spans: list[Span]
        if call.segments is not None:
            spans = [(self._name(name), 0, length) for name, length in call.segments]
        elif call.blocks is not None:
            size = call.block_tokens
            whole = call.input_tokens // size
            spans = [(block, 0, size) for block in call.blocks[:whole]]
            last = call.blocks[whole] if whole < len(call.blocks) else fresh
            spans.append((last, 0, call.input_tokens - size * len(spans)))
        else:
            spans = [(fresh, 0, call.input_tokens)]
        return self._tree.insert([*spans, output], adapter)

    def _name(self, segment: str) -> str:
        """A segment's name in the tree: private ones get the session's own."""
        return self._own(segment) if segment.startswith(("~", "out:")) else segment

    def _own(self, name: str) -> str:
        return f"{self._uid}\x1f{name}"

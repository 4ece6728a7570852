"""What an export wrote, and what its target cannot hold: `ExportReport`."""

from __future__ import annotations

from collections import Counter

import msgspec

from agentsim.domain.trace import Call, Session

#: What a call or a session may have beside tokens and order, as the report calls it.
FIELDS = (
    "models",
    "adapters",
    "priorities",
    "deadlines",
    "tools",
    "triggers",
    "measured values",
    "limits of answers",
    "marks of estimates",
)


class ExportReport(msgspec.Struct):
    """What came out of an export.

    Attributes
    ----------
    lost : Counter
        Each thing that the target cannot hold, and how many calls or sessions had it.
    """

    sessions: int = 0
    calls: int = 0
    lost: Counter[str] = msgspec.field(default_factory=Counter)

    def lose(self, kind: str) -> None:
        """Note something that is lost."""
        self.lost[kind] += 1

    def session(self, session: Session) -> None:
        """Count a session, and the fields of it that no target holds."""
        self.sessions += 1
        self.calls += len(session.calls)
        found = Counter(kind for call in session.calls for kind in _fields(call))
        found["deadlines"] += session.deadline_ns is not None
        found["priorities"] += bool(session.priority)
        for kind, number in found.items():
            if number:
                self.lost[kind] += number


def _fields(call: Call) -> list[str]:
    has = {
        "models": call.model,
        "adapters": call.adapter,
        "priorities": call.priority,
        "deadlines": (call.extra or {}).get("deadline") or (call.extra or {}).get("slo"),
        "tools": call.tools,
        "triggers": call.trigger,
        "measured values": call.measured,
        "limits of answers": call.max_tokens,
        "marks of estimates": call.input_estimated or call.output_estimated,
    }
    return [kind for kind in FIELDS if has[kind]]

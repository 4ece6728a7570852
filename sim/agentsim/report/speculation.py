"""What drafts brought, in a few words."""

from __future__ import annotations

from agentsim.report.durations import count, duration, percent
from agentsim.report.figures import Speculation, WithoutSpeculation

#: Fields of `WithoutSpeculation` in the order of their runs, and how the screen names them.
_CAUSES = {
    "synchronous_s": "synchronous scheduling",
    "memory_s": "memory",
    "accepted_s": "accepted drafts",
    "verification_s": "verification",
    "proposal_s": "proposals",
}


def speculation_text(drafts: Speculation) -> str:
    """Drafts kept and wasted; what that gained or lost, where it was compared."""
    kept = f"kept {drafts.accepted:,} of {count(drafts.drafted, 'draft token')}"
    text = f"{kept} ({percent(drafts.acceptance)})"
    if drafts.accepted_length is not None:
        text += f", {drafts.accepted_length:.2f} tokens a step"
    if drafts.without is None:
        return text
    return f"{text};\n{_gain(drafts.without)}"


def _gain(without: WithoutSpeculation) -> str:
    verb = "gained" if without.gained_s >= 0 else "lost"
    told = f"{verb} {duration(abs(without.gained_s))} on {duration(without.runtime_s)} without it"
    seconds = {name: getattr(without, field) for field, name in _CAUSES.items()}
    causes = [
        f"{name} {'+' if spent > 0 else '-'}{duration(abs(spent))}"
        for name, spent in seconds.items()
        if spent
    ]
    return f"{told}: {', '.join(causes)}" if causes else told

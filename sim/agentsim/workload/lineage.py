"""Where a prompt's tokens come from, when calls it was built on are changed or dropped."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from agentsim.domain.trace import Call, Session


class Base(NamedTuple):
    """The call that a prompt goes on from, and how many tokens of it."""

    call_id: str | None
    keep: int


class Lineage:
    """The calls of a session as they were, and which of them no longer hold their tokens.

    Attributes
    ----------
    originals : dict of str to Call
        The calls as the trace has them.
    """

    def __init__(self, session: Session) -> None:
        self.originals = {call.id: call for call in session.calls}
        self._intact: dict[str, int] = {}

    def is_changed(self, call_id: str) -> bool:
        """Whether the call's prompt is not what it was."""
        return call_id in self._intact

    def change(self, call_id: str, intact: int) -> None:
        """Only the first `intact` tokens of this prompt are still what they were (0: dropped)."""
        self._intact[call_id] = intact

    def base_of(self, call: Call, at_most: int) -> Base:
        """The nearest base of the call (as it was) that still holds the tokens it keeps.

        A base that no longer holds them is passed over for its own base, as far as both agree; the
        last of the line gives what of it is intact.

        Parameters
        ----------
        call : Call
        at_most : int
            Keep no more than so many tokens.
        """
        base, keep = call.extends, min(call.keep, at_most)
        while base is not None and keep > self._intact.get(base, keep):
            original = self.originals[base]
            if original.extends is None:
                keep = self._intact[base]
            else:
                base, keep = original.extends, min(keep, original.keep)
        return Base(base, keep)

    def rebased(self, call: Call) -> Call:
        """The call with the same tokens, going on from a base that still holds them."""
        if call.extends is None or call.extends not in self._intact:
            return call
        return extending(call, self.base_of(call, at_most=call.keep))


def extending(call: Call, base: Base) -> Call:
    """The call, keeping the first tokens of `base`; sharing nothing if that is none."""
    if base.call_id is None or not base.keep:
        return msgspec.structs.replace(
            call, extends=None, keep=0, segments=None, blocks=None, block_tokens=0
        )
    return msgspec.structs.replace(
        call, extends=base.call_id, keep=base.keep, segments=None, blocks=None, block_tokens=0
    )

"""Token ids for prompts: equal names give equal tokens, every collection has its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agentsim.domain.chance import address
from agentsim.domain.trace import Call, Session

Ids = npt.NDArray[np.int32]


class Tokens:
    """Endless stretches of tokens by name.

    Parameters
    ----------
    salt : str
        Stretches of another salt differ, so that nothing is found in the server's prefix cache
        that an earlier run has sent.
    low, high : int
        Token ids are drawn from these, `high` excluded.
    """

    def __init__(self, salt: str, low: int, high: int) -> None:
        self._salt = salt
        self._low = low
        self._high = high
        self._known: dict[str, Ids] = {}

    def first(self, name: str, count: int) -> Ids:
        """The first `count` tokens of a stretch; more of it begins with the same."""
        known = self._known.get(name)
        if known is None or len(known) < count:
            bits = np.random.Philox(key=address(0, self._salt, name))
            drawn = np.random.Generator(bits).integers(self._low, self._high, count, np.int32)
            known = self._known[name] = drawn
        return known[:count]


class SessionPrompts:
    """The prompts of one session, token by token as its trace says.

    Parameters
    ----------
    tokens : Tokens
    session : Session
        Names that belong to it alone are kept apart by its id.
    """

    def __init__(self, tokens: Tokens, session: Session) -> None:
        self._tokens = tokens
        self._id = session.id
        self._calls = {call.id: call for call in session.calls}
        self._prompts: dict[str, Ids] = {}
        self._outputs: dict[str, Ids] = {}

    def prompt(self, call: Call) -> Ids:
        """The prompt of a call, shape (input_tokens,); answers it has in it are known by now."""
        if call.id not in self._prompts:
            parts = [np.zeros(0, np.int32), *self._parts(call)]
            self._prompts[call.id] = np.concatenate(parts)
        return self._prompts[call.id]

    def answered(self, call: Call, token_ids: tuple[int, ...]) -> None:
        """Keep an answer for the prompts that go on from it; what is missing is made up."""
        output = self._own(f"out:{call.id}", call.output_tokens).copy()
        known = token_ids[: call.output_tokens]
        output[: len(known)] = known
        self._outputs[call.id] = output

    def _parts(self, call: Call) -> list[Ids]:
        if call.extends is not None:
            base = [self.prompt(self._calls[call.extends]), self._output(call.extends)]
            new = self._own(f"new:{call.id}", call.input_tokens - call.keep)
            return [np.concatenate(base)[: call.keep], new]
        if call.segments is not None:
            return [self._segment(name, count) for name, count in call.segments]
        if call.blocks is not None:
            before = call.block_tokens * (len(call.blocks) - 1)
            sizes = [call.block_tokens] * (len(call.blocks) - 1) + [call.input_tokens - before]
            return [
                self._tokens.first(f"block:{name!r}", size)
                for name, size in zip(call.blocks, sizes, strict=True)
            ]
        return [self._own(f"new:{call.id}", call.input_tokens)]

    def _output(self, call_id: str) -> Ids:
        if call_id not in self._outputs:  # a call beside this one: nobody waits for its answer
            return self._own(f"out:{call_id}", self._calls[call_id].output_tokens)
        return self._outputs[call_id]

    def _segment(self, name: str, count: int) -> Ids:
        if name.startswith("out:"):
            return self._output(name.removeprefix("out:"))[:count]
        return self._own(name, count) if name.startswith("~") else self._tokens.first(name, count)

    def _own(self, name: str, count: int) -> Ids:
        return self._tokens.first(f"own:{self._id}:{name}", count)

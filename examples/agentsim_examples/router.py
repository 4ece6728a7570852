"""A router: a session stays on its replica, where its KV cache is."""

from __future__ import annotations

from collections.abc import Sequence

from agentsim.policies.routers import Routed


class SessionAffinity:
    """The replica of the session's last call; a new session goes where least is to do."""

    def __init__(self, num_replicas: int, seed: int) -> None:
        self._home: dict[str, int] = {}

    def choose(self, request: Routed, loads: Sequence[int]) -> int:
        """Home, or the first of the least loaded."""
        home = self._home.get(request.session)
        if home is None:
            home = self._home[request.session] = min(range(len(loads)), key=loads.__getitem__)
        return home

"""Replicas behind a router, and the paths of a session's prompts in the content of each."""

from __future__ import annotations

from agentsim.domain.trace import Call, Session
from agentsim.engine.paths import SessionPaths
from agentsim.engine.replica import Replica
from agentsim.engine.static import StaticServer
from agentsim.errors import InvariantBroken
from agentsim.machine.content import Tip
from agentsim.policies.routers import Router

Server = Replica | StaticServer


class Arrived:
    """A request as its router sees it (`policies.routers.Routed`)."""

    def __init__(self, session: Session, name: str, call: Call) -> None:
        self.session = name
        self.num_prompt = call.input_tokens
        self._session = session
        self._call = call

    def prefix(self, num_tokens: int) -> str:
        """A name of the prompt's first tokens: equal for prompts that begin with the same."""
        call, names = self._call, []
        kept: list[tuple[str, int]] = []
        while call.extends is not None and call.keep:
            kept.append((call.id, call.keep))
            call = next(other for other in self._session.calls if other.id == call.extends)
        left = min([num_tokens, call.input_tokens, *(keep for _, keep in kept)])
        own = f"{self.session}/{call.id}"
        if call.segments is not None:
            stretches = [
                (f"{self.session}/{name}" if name.startswith(("~", "out:")) else name, length)
                for name, length in call.segments
            ]
        elif call.blocks is not None:
            stretches = [(f"#{block}", call.block_tokens) for block in call.blocks]
        else:
            stretches = [(own, call.input_tokens)]
        for name, length in stretches:
            names.append(f"{name}:{min(length, left)}")
            left -= length
            if left <= 0:
                break
        return "|".join(names)


class Fleet:
    """The servers of a run.

    Parameters
    ----------
    servers : list
        One replica or more, all alike.
    router : Router or None
        Chooses among several.
    """

    def __init__(self, servers: list[Server], router: Router | None) -> None:
        self.servers = servers
        self._router = router
        self._loads = [0] * len(servers)

    def route(self, session: Session, name: str, call: Call) -> int:
        """The number of the server for a call, which then counts as its load until `answered`."""
        number = 0
        if self._router is not None:
            number = self._router.choose(Arrived(session, name, call), tuple(self._loads))
            if not 0 <= number < len(self.servers):
                raise InvariantBroken(
                    f"the router chose replica {number} of {len(self.servers)} for {name}/{call.id}"
                )
        self._loads[number] += 1
        return number

    def answered(self, number: int) -> None:
        """A call of this server is answered."""
        self._loads[number] -= 1


class FleetPaths:
    """The paths of one session's calls, in the tree of each server that any of them went to."""

    def __init__(self, servers: list[Server], session: Session, uid: str) -> None:
        self._servers = servers
        self._session = session
        self._uid = uid
        self._paths: dict[int, SessionPaths] = {}

    def open(self, call: Call, number: int) -> Tip:
        """The path of a call that goes to a server."""
        paths = self._paths.get(number)
        if paths is None:
            server = self._servers[number]
            assert isinstance(server, Replica)
            tree = server.batcher.pool.tree
            paths = self._paths[number] = SessionPaths(tree, self._session, self._uid)
        return paths.open(call)

    def close(self, call_id: str, number: int) -> None:
        """A call has been answered by a server."""
        self._paths[number].close(call_id)

    def skip(self, call: Call) -> None:
        """The call never runs."""
        for paths in self._paths.values():
            paths.skip(call)

    def drop(self) -> None:
        """No call follows: what was kept for calls that went elsewhere is not needed."""
        for paths in self._paths.values():
            paths.drop()

"""ATIF, the Agent Trajectory Interchange Format of Harbor, versions 1.0 to 1.8.

A step has one time, which is taken for the end of its call, and no durations. A call is an agent
step with a prompt count; agent steps before it that have none are parts of the same answer, for
some writers put the usage on a later step. Without any counts the text is counted, which lacks
system prompt and tool definitions where the trajectory does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from agentsim.workload.importers.atif_steps import Step, num_equal, placeholder, tables
from agentsim.workload.importers.chat import Pieces
from agentsim.workload.importers.logged import LoggedCall, LoggedTool, Piece
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import table, tokens

_VERSION = re.compile(r'"schema_version"\s*:\s*"ATIF-v1\.')
_CONTINUED = re.compile(r"-cont-\d+$")
_CHILDREN = "subagent_trajectories"
#: Sub-agents of sub-agents, beyond which a file is taken to be damaged.
_DEEPEST = 16
#: Counts whose sums the trajectory states, as `total_...`.
_TOTALS = ("prompt_tokens", "completion_tokens", "cached_tokens")


def is_atif(file: LogFile) -> bool:
    """Whether a file names this format's version."""
    return _VERSION.search(file.text) is not None


def read_atif(file: LogFile, sink: Sink) -> None:
    """Read the trajectories of a file: one, or one a line."""
    for number, found in sink.documents(file):
        with sink.guard():
            session, agent = _place(file, number, found, sink)
            trajectory = _Trajectory(file, number, found, sink, session=session, agent=agent)
            for call in list(trajectory.calls()):
                sink.call(session, call)


def _place(file: LogFile, number: int | None, found: dict[str, Any], sink: Sink) -> tuple[str, str]:
    """The session and agent of a document: what is read first, and what continues it, is main."""
    session, name = found.get("session_id"), found.get("trajectory_id")
    name = name if isinstance(name, str) and name else None
    if not isinstance(session, str) or not session:
        return sink.fresh(name or file.stem, f"{file.name}:{number}"), "main"
    root = _CONTINUED.sub("", session)
    base = _CONTINUED.sub("", name or session)
    is_main = root != session or sink.claim(f"atif main {root}", base) == base
    return root, "main" if is_main else name or session


class _Trajectory:
    """One trajectory, its sub-agents' calls in their places."""

    def __init__(
        self,
        file: LogFile,
        number: int | None,
        found: dict[str, Any],
        sink: Sink,
        *,
        session: str,
        agent: str,
        spawner: str | None = None,
        depth: int = 0,
    ) -> None:
        if depth > _DEEPEST:
            raise file.error(f"sub-agents nested more than {_DEEPEST} deep", number)
        self._file, self._number, self._sink = file, number, sink
        self._session, self._agent, self._spawner, self._depth = session, agent, spawner, depth
        self._key = f"{agent}/{found.get('trajectory_id') or found.get('session_id') or ''}"
        default = table(file, number, "agent", found.get("agent")).get("model_name")
        self._steps = []
        for raw in tables(file, number, found, "steps"):
            model = raw.get("model_name") or default
            self._steps.append(Step(file, number, raw, model if isinstance(model, str) else None))
        self._totals = table(file, number, "final_metrics", found.get("final_metrics"))
        self._children: dict[str, dict[str, Any]] = {}
        for place, each in enumerate(tables(file, number, found, _CHILDREN), 1):
            name = str(each.get("trajectory_id") or f"sub-agent-{place}")
            self._children[f"{name}~{place}" if name in self._children else name] = each
        self._is_alone = not self._children
        self._models: set[str | None] = set()
        self._last: LoggedCall | None = None
        self._last_ids: list[Any] = []

    def calls(self) -> Iterator[LoggedCall]:
        """The calls in order."""
        has_counts = any(s.has_model and s.count(_TOTALS[0]) is not None for s in self._steps)
        yield from self._by_usage() if has_counts else self._by_text()
        for name in list(self._children):  # that no step names
            yield from self._child(name, None)

    def _by_usage(self) -> Iterator[LoggedCall]:
        parts: list[Step] = []
        user: Step | None = None
        sums = dict.fromkeys(_TOTALS, 0)
        for step in self._steps:
            if step.is_copy:
                continue
            if step.is_user:
                user = step
            if not step.has_model:
                yield from self._spawned([step])
                continue
            parts.append(step)
            if step.count(_TOTALS[0]) is None:
                continue
            if len(parts) > 1:
                kind = "token counts on a later step than their call's first"
                self._sink.warn(kind, step.where)
            for name in sums:
                sums[name] += step.count(name) or 0
            yield from self._split(self._stated(parts, user), step)
            yield from self._spawned(parts)
            parts, user = [], None
        if parts:
            kind = "agent steps without token counts at the end; left out"
            self._sink.warn(kind, parts[0].where)
        self._compare(sums)

    def _stated(self, parts: list[Step], user: Step | None) -> LoggedCall:
        """The call of some steps, the last of which has its counts."""
        step = parts[-1]
        answer = step.count("completion_tokens")
        if answer is None:
            pieces = Pieces(self._sink)
            said = (piece for part in parts for piece in pieces.of(part.said()))
            guess: int | None = sum(piece.tokens for piece in said)
        else:
            guess = placeholder(parts, answer)
        return self._call(
            parts,
            user,
            input_tokens=step.count("prompt_tokens") or 0,
            output_tokens=(answer or 0) if guess is None else guess,
            cached_tokens=step.count("cached_tokens"),
            output_estimated=guess is not None,
        )

    def _call(self, parts: list[Step], user: Step | None, **more: Any) -> LoggedCall:
        """A call with what its steps say whether they hold counts or not."""
        trigger = "tool" if self._last is not None and self._last.tools else None
        if user is not None:
            trigger = "spawn" if self._last is None and self._depth else "user"
        return LoggedCall(
            id=f"{self._key}/{parts[-1].key}",
            agent=self._agent,
            model=parts[-1].model,
            start_ns=None if user is None else user.at_ns,
            end_ns=parts[0].at_ns,
            spawned_by=self._spawner,
            trigger=trigger,
            tools=tuple(LoggedTool(name) for part in parts for name in part.tools),
            **more,
        )

    def _split(self, call: LoggedCall, step: Step) -> Iterator[LoggedCall]:
        """The call; or as many, if its counts are sums."""
        several = step.num_calls
        if several == 1:
            yield self._placed(call, step)
            return
        self._sink.warn("steps of several calls; their sums are split evenly", step.where)
        for place in range(several):
            share = msgspec.structs.replace(
                call,
                id=f"{call.id}.{place}",
                input_tokens=(call.input_tokens + place) // several,
                output_tokens=(call.output_tokens + place) // several,
                start_ns=call.start_ns if place == 0 else None,
                end_ns=call.end_ns if place == several - 1 else None,
                trigger=call.trigger if place == 0 else None,
                cached_tokens=None,
                tools=call.tools if place == several - 1 else (),
                input_estimated=True,
                output_estimated=True,
            )
            yield self._placed(share, None)

    def _placed(self, call: LoggedCall, step: Step | None) -> LoggedCall:
        """The call with what the log shows of the context that it continues.

        Writers may put a sub-agent's steps among its parent's: a new model begins a context of its
        own unless the prompt goes on growing.
        """
        before = self._last
        if before is not None and call.model not in self._models:
            whole = before.input_tokens + before.output_tokens
            call = msgspec.structs.replace(call, is_reset=call.input_tokens < whole)
        self._models.add(call.model)
        ids = step.ids("prompt_token_ids") if step is not None else []
        if ids and self._last_ids and before is not None:
            keep = num_equal(self._last_ids, ids)
            call = msgspec.structs.replace(call, base=before.id, keep=keep)
        made = step.ids("completion_token_ids") if step is not None else []
        self._last_ids = [*ids, *made] if ids else []
        self._last = call
        return call

    def _by_text(self) -> Iterator[LoggedCall]:
        pieces, prompt = Pieces(self._sink), list[Piece]()
        user: Step | None = None
        for step in self._steps:
            if step.is_user:
                user = step
            added = pieces.of(step.said())
            if step.has_model and not step.is_copy:
                self._last = self._call(
                    [step],
                    user,
                    input_tokens=sum(piece.tokens for piece in prompt),
                    output_tokens=sum(piece.tokens for piece in added),
                    pieces=tuple(prompt),
                    answer=added[0].digest if added else None,
                    input_estimated=True,
                    output_estimated=True,
                )
                yield self._last
                yield from self._spawned([step])
                user = None
            prompt += [*added, *pieces.of(step.results())]
        if self._last is not None:
            self._sink.warn("trajectories without token counts; text is counted", self._file.name)

    def _spawned(self, steps: list[Step]) -> Iterator[LoggedCall]:
        """The calls of the sub-agents that some steps started."""
        spawner = self._last.id if self._last is not None else None
        for step in steps:
            for ref in step.sub_agents:
                name = ref.get("trajectory_id")
                if isinstance(name, str) and name in self._children:
                    yield from self._child(name, spawner)
                elif isinstance(name, str) and spawner is not None:
                    self._sink.spawned(self._session, name, spawner)
                else:
                    self._sink.warn("sub-agents in other files; read as sessions", step.where)

    def _child(self, name: str, spawner: str | None) -> Iterator[LoggedCall]:
        yield from _Trajectory(
            self._file,
            self._number,
            self._children.pop(name),
            self._sink,
            session=self._session,
            agent=name,
            spawner=spawner,
            depth=self._depth + 1,
        ).calls()

    def _compare(self, sums: dict[str, int]) -> None:
        """Report totals that differ from the sums of the steps; they may include sub-agents."""
        for name, found in sums.items():
            stated = self._totals.get(f"total_{name}")
            total = tokens(self._file, self._number, f"total_{name}", stated)
            if total is not None and total != found and self._is_alone:
                self._sink.warn(
                    "steps that do not add up to the file's totals",
                    f"{self._file.name}: {name} {total}, of steps {found}",
                )

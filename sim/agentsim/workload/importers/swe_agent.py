"""SWE-agent's ``.traj`` files, one JSON document a run, of all ages from 0.2 on.

They hold text and no token counts, so each message is counted. ``history`` only grows; what was
really sent stands in ``query`` (or ``messages``) of the steps of newer files, where processors may
have rewritten old observations. ``execution_time`` (1.0 and later) is how long an action ran; no
file says when, or how long the model took.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsim.workload.importers.logged import LoggedCall, LoggedTool, Piece
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.values import items, nanoseconds, table, tokens

_STEPS = re.compile(r'"trajectory"\s*:\s*\[')
_STEP_FIELDS = tuple(re.compile(rf'"{name}"\s*:') for name in ("action", "observation", "response"))
#: Counted prompts that are off by more than this from the file's own total are reported.
_MOST_OFF = 0.1
#: Processors that leave out or rewrite what was said before.
_REWRITES = ("last_n_observations", "closed_window", "remove_regex")


def is_swe_agent(file: LogFile) -> bool:
    """Whether a file is a trajectory of actions, observations and responses."""
    begins = _STEPS.search(file.text)
    return begins is not None and all(name.search(file.text) for name in _STEP_FIELDS)


def read_swe_agent(file: LogFile, sink: Sink) -> None:
    """Read the run of a file."""
    for number, run in sink.documents(file):
        with sink.guard():
            calls = list(_Run(file, number, run, sink).calls())
            session = sink.fresh(_name(file), f"{file.name}:{number}")
            for call in calls:
                sink.call(session, call)


def _name(file: LogFile) -> str:
    """The run's name: the file's, which often holds dots."""
    if file.path is None:
        return file.stem
    return re.sub(r"(\.gz|\.traj|\.json)+$", "", Path(file.name).name) or file.stem


@dataclass(frozen=True, slots=True)
class _Message:
    """A message, counted, and the names of the tools that it calls."""

    text: str
    piece: Piece
    names: tuple[str, ...]


class _Run:
    """One document."""

    def __init__(self, file: LogFile, number: int | None, run: dict[str, Any], sink: Sink) -> None:
        self._file, self._number, self._sink = file, number, sink
        self._pieces: dict[tuple[str, str], Piece] = {}
        self._steps = [
            table(file, number, "trajectory[]", step)
            for step in items(file, number, "trajectory", run.get("trajectory"))
        ]
        self._history = [
            table(file, number, "history[]", message)
            for message in items(file, number, "history", run.get("history"))
        ]
        config = run.get("replay_config")
        self._config = file.decode(config.encode(), number) if isinstance(config, str) else config
        info = table(file, number, "info", run.get("info"))
        self._stats = table(file, number, "info.model_stats", info.get("model_stats"))

    def calls(self) -> Iterator[LoggedCall]:
        """The calls in order."""
        sent = [step for step in self._steps if _sent(step)]
        found = list(self._as_sent(sent) if sent else self._by_history())
        if not sent:
            self._compare(found)
        yield from found

    def _as_sent(self, steps: list[dict[str, Any]]) -> Iterator[LoggedCall]:
        """From the prompts that the steps hold."""
        answers = [self._message(each) for each in self._history if _is_answer(each)]
        wait: int | None = None
        for turn, step in enumerate(steps):
            prompt = [
                self._message(table(self._file, self._number, "query[]", each))
                for each in items(self._file, self._number, "query", _sent(step))
            ]
            response = _text({"content": step.get("response")})
            known = next((each for each in answers if each.text.startswith(response)), None)
            if known is None:
                known = _Message(response, self._piece("assistant", response), ())
            else:
                del answers[: answers.index(known) + 1]
            lasts = self._lasts(step)
            yield self._call(turn, tuple(each.piece for each in prompt), known, wait, lasts)
            wait = lasts

    def _by_history(self) -> Iterator[LoggedCall]:
        """From the messages of a history, each call's prompt being all before its answer."""
        pieces: list[Piece] = []
        wait: int | None = None
        steps = list(self._steps)
        turn = 0
        for raw in self._history:
            message = self._message(raw)
            if _is_answer(raw):
                at = next((i for i, step in enumerate(steps) if _responds(step, raw)), 0)
                lasts = self._lasts(steps[at]) if steps else None
                yield self._call(turn, tuple(pieces), message, wait, lasts)
                wait, turn = lasts, turn + 1
                del steps[: at + 1]
            pieces.append(message.piece)

    def _call(
        self,
        turn: int,
        prompt: tuple[Piece, ...],
        answer: _Message,
        wait_ns: int | None,
        lasts_ns: int | None,
    ) -> LoggedCall:
        names = answer.names or ("shell",)
        one_ns = lasts_ns if len(names) == 1 else None
        is_estimate = self._sink.counter.is_estimate
        return LoggedCall(
            id=f"{turn}",
            input_tokens=sum(piece.tokens for piece in prompt),
            output_tokens=answer.piece.tokens,
            model=self._model(),
            delay_ns=wait_ns,
            pieces=prompt,
            answer=answer.piece.digest,
            trigger="tool" if turn else "user",
            tools=tuple(LoggedTool(name, duration_ns=one_ns) for name in names),
            input_estimated=is_estimate,
            output_estimated=is_estimate,
        )

    def _message(self, raw: dict[str, Any]) -> _Message:
        role, text = str(raw.get("role", "")), _text(raw)
        calls = raw.get("tool_calls")
        names = [
            str(each["function"].get("name"))
            for each in (calls if isinstance(calls, list) else ())
            if isinstance(each, dict) and isinstance(each.get("function"), dict)
        ]
        return _Message(text, self._piece(role, text), tuple(names))

    def _piece(self, role: str, text: str) -> Piece:
        """A message's piece, counted once: prompts repeat the same messages."""
        if (role, text) not in self._pieces:
            self._pieces[role, text] = self._sink.piece(role, text)
        return self._pieces[role, text]

    def _lasts(self, step: dict[str, Any]) -> int | None:
        return nanoseconds(self._file, self._number, "execution_time", step.get("execution_time"))

    def _model(self) -> str | None:
        agent = self._config.get("agent") if isinstance(self._config, dict) else None
        model = agent.get("model") if isinstance(agent, dict) else None
        name = model.get("name") if isinstance(model, dict) else None
        return name if isinstance(name, str) else None

    def _compare(self, calls: list[LoggedCall]) -> None:
        """Report prompts that were rewritten before they were sent, as far as the file shows it."""
        name = self._file.name
        if any(self._rewrites(each, len(calls)) for each in self._processors()):
            self._sink.warn(
                "histories rewritten before they were sent; prompts are taken as they grew", name
            )
        made = tokens(self._file, self._number, "api_calls", self._stats.get("api_calls"))
        sent = tokens(self._file, self._number, "tokens_sent", self._stats.get("tokens_sent"))
        if not sent or made != len(calls):
            return
        counted = sum(call.input_tokens for call in calls)
        if abs(counted - sent) > _MOST_OFF * sent:
            self._sink.warn(
                "counted prompts differ from the file's own total",
                f"{name}: {counted} counted, {sent} sent",
            )

    def _processors(self) -> list[Any]:
        """What the run's configuration does to a history before it is sent."""
        agent = self._config.get("agent") if isinstance(self._config, dict) else None
        found = agent if isinstance(agent, dict) else {}
        several = found.get("history_processors")
        return several if isinstance(several, list) else [found.get("history_processor")]

    @staticmethod
    def _rewrites(processor: Any, num_calls: int) -> bool:
        """Whether a processor changed a prompt of so many calls: `n` observations stay whole."""
        kind = processor.get("type") if isinstance(processor, dict) else None
        least = processor.get("n") if kind == "last_n_observations" else None
        if isinstance(least, int):
            return num_calls > least + 1
        return kind in _REWRITES


def _sent(step: dict[str, Any]) -> Any:
    """The prompt that a step holds, if it does."""
    return step.get("query") or step.get("messages")


def _is_answer(message: dict[str, Any]) -> bool:
    return message.get("role") == "assistant" and not message.get("is_demo")


def _responds(step: dict[str, Any], message: dict[str, Any]) -> bool:
    return _text({"content": step.get("response")}) == _text({"content": message.get("content")})


def _text(message: dict[str, Any]) -> str:
    """All that a message says: text, or parts with a text, then its tool calls as JSON."""
    content, calls = message.get("content"), message.get("tool_calls")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    try:
        said = json.dumps(calls) if calls else ""
    except RecursionError:
        said = ""
    return "".join(str(text) for text in texts if text is not None) + said

"""Agent runs by their sizes, a row a session (Dynamo's ``applied_compute_agentic``).

``num_turns`` times an answer, a tool that ran for so many seconds and what it gave back, all put
behind ``input_prompt_length``; then a last answer. The file has no times of arrival and does not
say what sessions share.
"""

from __future__ import annotations

from typing import Any

from agentsim.workload.importers.hashed import required
from agentsim.workload.importers.logged import LoggedCall, LoggedTool
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect
from agentsim.workload.importers.values import items, nanoseconds

_LISTS = ("assistant_response_length", "tool_call_output_length", "tool_call_latency")
_LAST = "final_assistant_response_length"


def is_applied_compute(file: LogFile) -> bool:
    """Whether the first row has these fields."""
    return file.first is not None and {"num_turns", "input_prompt_length", *_LISTS} <= set(
        file.first
    )


def read_applied_compute(file: LogFile, sink: Sink) -> None:
    """Read the sessions of a file."""
    stem = file.stem
    for number, row in sink.objects(file):
        with sink.guard():
            for call in _calls(file, number, row):
                sink.call(f"{stem}-{number:07d}", call)


def _calls(file: LogFile, number: int, row: dict[str, Any]) -> list[LoggedCall]:
    turns = required(file, number, "num_turns", row.get("num_turns"))
    lists = [items(file, number, name, row.get(name)) for name in _LISTS]
    for name, values in zip(_LISTS, lists, strict=True):
        if len(values) != turns:
            raise expect(file, number, name, values, f"an array of {turns} values, as num_turns")
    prompt = required(file, number, "input_prompt_length", row.get("input_prompt_length"))
    calls: list[LoggedCall] = []
    keep = delay_ns = None
    for turn, (answer, given, latency) in enumerate(zip(*lists, strict=True)):
        output = required(file, number, f"{_LISTS[0]}[{turn}]", answer)
        result = required(file, number, f"{_LISTS[1]}[{turn}]", given)
        lasts_ns = nanoseconds(file, number, f"{_LISTS[2]}[{turn}]", latency)
        tool = LoggedTool("unnamed", duration_ns=lasts_ns, result_tokens=result)
        calls.append(_call(turn, prompt, output, keep=keep, delay_ns=delay_ns, tools=(tool,)))
        keep, delay_ns = prompt + output, lasts_ns
        prompt = keep + result
    output = required(file, number, _LAST, row.get(_LAST))
    return [*calls, _call(turns, prompt, output, keep=keep, delay_ns=delay_ns)]


def _call(
    turn: int,
    prompt: int,
    output: int,
    *,
    keep: int | None,
    delay_ns: int | None,
    tools: tuple[LoggedTool, ...] = (),
) -> LoggedCall:
    before = str(turn - 1) if turn else None
    return LoggedCall(
        id=str(turn),
        input_tokens=prompt,
        output_tokens=output,
        after=() if before is None else (before,),
        delay_ns=delay_ns,
        base=before,
        keep=keep,
        trigger="user" if before is None else "tool",
        tools=tools,
    )

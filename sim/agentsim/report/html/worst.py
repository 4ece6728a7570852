"""The slowest sessions and calls of a run: where to look first."""

from __future__ import annotations

import heapq
from typing import Any

from agentsim.domain.records import Run
from agentsim.domain.units import NS_PER_S
from agentsim.report.durations import duration
from agentsim.report.html.mark import Html, short, tag
from agentsim.report.html.tables import Cell, table
from agentsim.report.metrics import SERVED

_ROWS = 10


def slowest(run: Run) -> tuple[Html, Html]:
    """Tables of sessions by their time, and of calls by E2E."""
    return _sessions(run), _calls(run)


def _sessions(run: Run) -> Html:
    names = ("session", "slot", "started_ns", "finished_ns", "num_calls", "waited_ns")
    found: list[tuple[Any, ...]] = []
    for chunk in run.sessions.chunks(*names):
        lives = zip(*(chunk[name].tolist() for name in names), strict=True)
        kept = ((start - end, name, slot, start, calls, waited)
                for name, slot, start, end, calls, waited in lives)  # fmt: skip
        found = heapq.nsmallest(_ROWS, [*found, *kept])
    rows = [
        (_name(name), slot, _time(-lasted), _time(waited), f"{calls:,}", _time(start))
        for lasted, name, slot, start, calls, waited in found
    ]
    heads = ("session", "agent", "took", "of it tool waits", "calls", "began at")
    return table(heads, rows, caption="Slowest sessions", is_sorted=True)


def _calls(run: Run) -> Html:
    names = ("session", "call", "submitted_ns", "scheduled_ns", "first_token_ns", "finished_ns",
             "prompt_tokens", "cached_tokens", "output_tokens")  # fmt: skip
    found: list[tuple[Any, ...]] = []
    for chunk in run.requests.chunks(*names, where={"status": SERVED}):
        order = (chunk["submitted_ns"] - chunk["finished_ns"]).argsort(kind="stable")[:_ROWS]
        lives = zip(*(chunk[name][order].tolist() for name in names), strict=True)
        kept = ((row[2] - row[5], *row) for row in lives)
        found = heapq.nsmallest(_ROWS, [*found, *kept])
    rows = [
        (
            tag("span", _name(session), " ", tag("bdi", short(call, 32))),
            _time(-lasted),
            _time(first - sent) if first >= 0 else "-",
            _time(scheduled - sent) if scheduled >= 0 else "-",
            f"{prompt:,}",
            f"{cached:,}",
            f"{output:,}",
            _time(sent),
        )
        for lasted, session, call, sent, scheduled, first, _, prompt, cached, output in found
    ]
    heads = (
        "session, call",
        "E2E",
        "TTFT",
        "queued",
        "prompt tokens",
        "cached",
        "output",
        "sent at",
    )
    return table(heads, rows, caption="Slowest calls", is_sorted=True)


def _name(session: str) -> Html:
    return tag("bdi", short(session, 64))


def _time(ns: int) -> Cell:
    return Cell(duration(ns / NS_PER_S), ns / NS_PER_S)

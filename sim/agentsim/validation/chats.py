"""Tables of chats with several replicas behind a router, one run a row.

``threads`` chats go on as closed loops: each sends its next message when the answer has come. Or
(``max_conversations``) a list of prompts, each a chat so far, is sent in turn. The texts are in no
table: the lengths of messages are drawn, such that the prompts add up to the total of the row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentsim.domain.chance import uniforms
from agentsim.domain.trace import Call, Session, Trace
from agentsim.validation.bench_tables import arrival_settings, request_rate
from agentsim.validation.case import Case, NotSimulated
from agentsim.validation.columns import figures_in
from agentsim.validation.draws import (
    NUM_REPEATS,
    OUTPUTS,
    PROMPTS,
    Segments,
    lengths,
    one_call,
    poisson,
)
from agentsim.validation.servers import assumed, gpu_name, model_name, read_server
from agentsim.validation.tables import Record, columns_of_file, read_table

_NEEDED = ("gpu", "model", "replicas", "routing", "prompt_tokens_total", "output_tokens_total")
_THREADS = ("threads", "requests", "concurrent_threads")
_LISTED = ("max_conversations", "n_ok", "max_concurrency")
#: The fewest messages of a user in a thread, and in a chat whose prompts are listed: 16 messages,
#: half of them the user's.
LEAST_IN_THREAD, LEAST_IN_CHAT = 3, 8


def is_chat_table(path: Path) -> bool:
    """Whether a CSV file has one run of chats a row."""
    columns = set(columns_of_file(path))
    is_told = columns >= set(_THREADS) or columns >= set(_LISTED)
    return columns >= set(_NEEDED) and is_told


def read_chat_table(path: Path) -> Iterator[Case | NotSimulated]:
    """The runs of such a file.

    Raises
    ------
    UserError
        If a column or a value is missing or wrong.
    """
    for number, row in enumerate(read_table(path, _NEEDED), 1):
        run_id, source = f"{path.parent.name}/{path.stem}/{number}", path.parent.name
        server = read_server(row)
        if server.obstacle is not None:
            yield NotSimulated(run_id, source, server.obstacle)
            continue
        load: Threads | Listed
        if "threads" in row.fields:
            load, settings, made = _threads(source, row)
        else:
            load, settings, made = _listed(source, row)
        longest = [] if row.has("max_model_len") else ["engine.max_model_len=-1"]
        yield Case(
            run_id,
            source,
            gpu_name(row),
            model_name(row),
            _figures(row),
            load,
            (*server.settings, *settings, *longest),
            num_repeats=server.repeats(NUM_REPEATS, is_drawn=True),
            choices=server.choices,
            num_requests=load.num_requests,
            preset=server.preset,
            assumptions=(*server.assumptions, *made),
        )


def _figures(row: Record) -> dict[tuple[str, str], float]:
    """The figures of a row; ITL of equal outputs follows from the means."""
    found = figures_in(row)
    ttft, e2e = found.get(("ttft", "mean")), found.get(("e2e", "mean"))
    if row.has("max_completion_tokens") and ttft is not None and e2e is not None:
        if e2e < ttft:
            raise row.fault("ttft_mean_s", "no more than e2e_mean_s")
        made = row.count("output_tokens_total", 1) / row.count("requests", 1)
        if made > 1:
            found["itl", "mean"] = (e2e - ttft) / (made - 1)
    return found


def _threads(source: str, row: Record) -> tuple[Threads, list[str], list[dict[str, object]]]:
    load = Threads(
        source,
        row.count("threads", 1),
        row.count("requests", 1),
        row.count("prompt_tokens_total", 1),
        row.count("output_tokens_total", 1),
    )
    if load.num_requests < load.num_threads * LEAST_IN_THREAD:
        raise row.fault("requests", f"at least {LEAST_IN_THREAD} of each thread")
    about = f"drawn: geometric, at least {LEAST_IN_THREAD}, with the mean of the source"
    tokens = "drawn: lognormal as in ShareGPT, such that prompts add up to the source's total"
    made = [
        assumed("messages of a thread", load.num_requests / load.num_threads, about),
        assumed("tokens of a message", "lognormal", tokens),
        assumed("output tokens", load.output_tokens, "all alike: most end at the client's limit"),
    ]
    return load, [f"agents.num_agents={row.count('concurrent_threads', 1)}"], made


def _listed(source: str, row: Record) -> tuple[Listed, list[str], list[dict[str, object]]]:
    load = Listed(
        source,
        row.count("max_conversations", 1),
        row.count("n_ok", 1),
        row.count("prompt_tokens_total", 1),
        row.count("output_tokens_total", 1),
        request_rate(row),
    )
    made = [
        assumed(
            "prompts sent in turn",
            load.num_prompts,
            "so many are made of the chats and sent again until there are enough",
        ),
        assumed("messages of a chat", 2 * LEAST_IN_CHAT, "the fewest that its file may hold"),
        assumed("tokens of a message", "lognormal", "drawn as in ShareGPT, to the source's total"),
    ]
    return load, arrival_settings(row, load.num_requests), made


@dataclass(frozen=True, slots=True)
class Threads:
    """Chats in which each message follows the answer to the one before."""

    name: str
    num_threads: int
    num_requests: int
    prompt_tokens: int
    output_total: int

    @property
    def output_tokens(self) -> int:
        """Tokens of each answer."""
        return max(1, round(self.output_total / self.num_requests))

    def __call__(self, repeat: int) -> Trace:
        counts = thread_lengths(repeat, self.name, self.num_threads, self.num_requests)
        made = self.output_tokens
        before = sum(made * count * (count - 1) // 2 for count in counts)
        weights = [count - place for count in counts for place in range(count)]
        messages = _messages(repeat, self.name, weights, self.prompt_tokens - before)
        sessions, done = [], 0
        for number, count in enumerate(counts):
            mine = messages[done : done + count]
            done += count
            sessions.append(Session(f"{number:06d}", _chat(mine, made)))
        return Trace(sessions)


@dataclass(frozen=True, slots=True)
class Listed:
    """Prompts made of chats so far, shuffled, sent in turn."""

    name: str
    num_prompts: int
    num_requests: int
    prompt_tokens: int
    output_total: int
    rate: float

    def __call__(self, repeat: int) -> Trace:
        prompts, outputs = self._prompts(repeat)
        order = np.argsort(uniforms(repeat, "shuffle", self.name, len(prompts)), kind="stable")
        times = poisson(repeat, self.name, self.rate, self.num_requests)
        turns = (int(order[number % len(order)]) for number in range(self.num_requests))
        return Trace(
            one_call(f"{number:06d}", at_ns, prompts[place], outputs[place])
            for number, (at_ns, place) in enumerate(zip(times, turns, strict=True))
        )

    def _prompts(self, repeat: int) -> tuple[list[Segments], list[int]]:
        """The list: of each chat the prompts of its user, and the lengths of the answers."""
        count = self.num_prompts
        total = round(self.output_total * count / self.num_requests)
        answers = lengths(repeat, f"{self.name}/answer", count, total, OUTPUTS)
        places = [number % LEAST_IN_CHAT for number in range(count)]
        rest = [min(LEAST_IN_CHAT, count - n + place) - place for n, place in enumerate(places)]
        before = sum(tokens * (more - 1) for tokens, more in zip(answers, rest, strict=True))
        total = round(self.prompt_tokens * count / self.num_requests) - before
        messages = _messages(repeat, self.name, rest, total)
        prompts: list[Segments] = []
        for number, place in enumerate(places):
            own = (f"user-{number}", messages[number])
            if place == 0:
                prompts.append((own,))
            else:
                said = (f"answer-{number - 1}", answers[number - 1])
                prompts.append((*prompts[-1], said, own))
        return prompts, answers


def thread_lengths(repeat: int, name: str, num_threads: int, num_requests: int) -> list[int]:
    """Messages of each thread: geometric above `LEAST_IN_THREAD`, with the mean of the source."""
    more = num_requests / num_threads - LEAST_IN_THREAD
    if more <= 0:
        return [LEAST_IN_THREAD] * num_threads
    shares = uniforms(repeat, "messages", name, num_threads)
    drawn = np.floor(np.log1p(-shares) / math.log(more / (1 + more)))
    return [LEAST_IN_THREAD + int(count) for count in drawn]


def _messages(repeat: int, name: str, weights: Sequence[int], total: int) -> list[int]:
    """Tokens of messages, each in as many prompts as its weight says, that make up `total`."""
    mean = max(1.0, total / sum(weights))
    count = len(weights)
    return lengths(repeat, f"{name}/message", count, max(count, round(mean * count)), PROMPTS)


def _chat(messages: Sequence[int], output_tokens: int) -> tuple[Call, ...]:
    """A closed loop: each prompt is the one before, its answer, and the next message."""
    calls: list[Call] = []
    segments: Segments = ()
    for place, tokens in enumerate(messages):
        if calls:
            segments = (*segments, (f"out:{calls[-1].id}", output_tokens))
        segments = (*segments, (f"~user-{place}", tokens))
        calls.append(
            Call(
                id=f"main/{place}",
                input_tokens=sum(length for _, length in segments),
                output_tokens=output_tokens,
                after=(calls[-1].id,) if calls else (),
                delay_ns=0,
                turn=place,
                segments=segments,
            )
        )
    return tuple(calls)

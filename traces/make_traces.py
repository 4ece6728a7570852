"""Make the traces of this folder: `python traces/make_traces.py [FOLDER]`.

The same bytes each time. What is given and what is reconstructed is told in README.md; every number
below that is not given says "assumed".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from agentsim.domain.trace import Call, Header, Session, Trace
from agentsim.domain.units import NS_PER_MS
from agentsim.workload.synthetic import Table, Turn, growing_prompt, shares, spread
from agentsim.workload.write import write_trace

SEED = 1

# ---------------------------------------------------------------------------------- ITBench SRE

#: Given by the case study (incident 1).
SRE_CALLS = 93
SRE_PROMPT_TOKENS = 648_971
SRE_OUTPUT_TOKENS = 8_301
#: Given: the Hugging Face run finished, and could hold about 8 000 tokens.
SRE_LONGEST_PROMPT = 8_000
#: Reconstructed: of the 89 s that the Serial run leaves beside decoding, about 24 s are prefill
#: (some 38 000 tokens not in the cache, at 1 600 tokens/s: 26 GFLOP a token at 42 TFLOP/s, the
#: middle of what is measured on L4s); the rest is tools.
SRE_TOOL_MS = 65_000


class Context(NamedTuple):
    """One growth of a prompt: a task, or a task gone on with after a summary."""

    agent: str
    task: str
    num_calls: int


#: Assumed. The agent (CrewAI, two agents, sequential) diagnoses, reports, remediates, reports; when
#: its window is full it goes on from a summary. So many contexts make prompts that grow, average
#: 6 978 tokens and never pass 8 000.
SRE_CONTEXTS = (
    *(Context("diagnosis", "diagnose", 9),) * 6,
    Context("diagnosis", "report-diagnosis", 4),
    *(Context("remediation", "remediate", 10),) * 3,
    Context("remediation", "report-remediation", 5),
)
#: Assumed: system prompt and tool descriptions; the task's text.
SRE_HEAD_TOKENS = {"diagnosis": 4_400, "remediation": 4_100}
SRE_TASK_TOKENS = {
    "diagnose": 380,
    "report-diagnosis": 300,
    "remediate": 360,
    "report-remediation": 300,
}
#: Assumed: the last prompt of a context; a Thought and an Action; an observation (the size is then
#: scaled to the given total).
SRE_LAST_PROMPT: Table = ((0.0, 7_700.0), (1.0, 7_980.0))
SRE_OUTPUT: Table = ((0.0, 30.0), (0.1, 45.0), (0.5, 80.0), (0.9, 150.0), (1.0, 300.0))
SRE_OBSERVATION: Table = ((0.0, 20.0), (0.1, 45.0), (0.5, 130.0), (0.9, 420.0), (1.0, 900.0))
#: Assumed shape: shell commands of unattended coding agents (p50 0.7 - 0.9 s, p90 2.5 - 2.8 s),
#: scaled to the total above. Two uses of kubectl for one of each other tool.
SRE_TOOL_TIME: Table = ((0.0, 0.1), (0.1, 0.2), (0.5, 0.8), (0.9, 2.6), (1.0, 6.0))
SRE_TOOLS = ("kubectl", "metrics", "kubectl", "logs", "kubectl", "traces")


def sre_trace() -> Trace:
    """The case study's run of the ITBench SRE agent on incident 1."""
    outputs = shares(spread(SRE_OUTPUT, SRE_CALLS, SEED, "sre-output"), SRE_OUTPUT_TOKENS)
    durations = _sre_durations()
    sizes = _sre_sizes_to_total(outputs)
    calls: list[Call] = []
    first = 0
    for number, context in enumerate(SRE_CONTEXTS):
        where = slice(first, first + context.num_calls)
        first += context.num_calls
        turns = _sre_turns(outputs[where], sizes.observations[where], durations[where])
        before = calls[-1] if calls else None
        agent_calls = [call for call in calls if call.agent == context.agent]
        calls += growing_prompt(
            context.agent,
            len(agent_calls),
            _sre_prompt(context, number, sizes.first_prompts[number]),
            turns,
            after=before.id if before else None,
            trigger=_sre_trigger(context, number),
        )
    header = Header(
        source="reconstruction of the ITBench SRE run of the case study, see README.md",
        tokenizer="qwen2.5",
        extra={"made_by": "make_traces.py", "seed": SEED},
    )
    return Trace([Session("itbench-incident-1", tuple(calls))], header)


def _sre_durations() -> list[int]:
    """Milliseconds after each call: a tool's run, or 0 where a context ends."""
    num_runs = SRE_CALLS - len(SRE_CONTEXTS)
    runs = iter(shares(spread(SRE_TOOL_TIME, num_runs, SEED, "sre-tool"), SRE_TOOL_MS))
    durations = []
    for context in SRE_CONTEXTS:
        durations += [next(runs) for _ in range(context.num_calls - 1)]
        durations.append(0)
    return durations


class SreSizes(NamedTuple):
    """First prompts by context, observations by call; in tokens."""

    first_prompts: list[int]
    observations: list[int]


def _sre_sizes_to_total(outputs: Sequence[int]) -> SreSizes:
    """Sizes with which the prompts add up to the given total.

    The last prompts are drawn; the larger the observations before them, the smaller the sum. The
    largest scale that does not fall below the total is found by bisection, what is left over is
    moved from first prompts to first observations, one token at a time.
    """
    weights = spread(SRE_OBSERVATION, SRE_CALLS, SEED, "sre-observation")
    last_prompts = [
        round(tokens) for tokens in spread(SRE_LAST_PROMPT, len(SRE_CONTEXTS), SEED, "sre-last")
    ]
    low, high = 0.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        sizes = _sre_sizes(outputs, weights, last_prompts, middle)
        if sum(_sre_prompts(outputs, sizes)) >= SRE_PROMPT_TOKENS:
            low = middle
        else:
            high = middle
    sizes = _sre_sizes(outputs, weights, last_prompts, low)
    surplus = sum(_sre_prompts(outputs, sizes)) - SRE_PROMPT_TOKENS
    firsts = [0]
    for context in SRE_CONTEXTS[:-1]:
        firsts.append(firsts[-1] + context.num_calls)
    for index in range(surplus):
        number = index % len(SRE_CONTEXTS)
        sizes.first_prompts[number] -= 1
        sizes.observations[firsts[number]] += 1
    return sizes


def _sre_sizes(
    outputs: Sequence[int], weights: Sequence[float], last_prompts: Sequence[int], scale: float
) -> SreSizes:
    observations = [max(10, round(weight * scale)) for weight in weights]
    first_prompts = []
    first = 0
    for context, last_prompt in zip(SRE_CONTEXTS, last_prompts, strict=True):
        grows = range(first, first + context.num_calls - 1)
        first_prompts.append(last_prompt - sum(outputs[i] + observations[i] for i in grows))
        first += context.num_calls
    return SreSizes(first_prompts, observations)


def _sre_prompts(outputs: Sequence[int], sizes: SreSizes) -> list[int]:
    prompts: list[int] = []
    for context, first_prompt in zip(SRE_CONTEXTS, sizes.first_prompts, strict=True):
        tokens = first_prompt
        for _ in range(context.num_calls):
            index = len(prompts)
            prompts.append(tokens)
            tokens += outputs[index] + sizes.observations[index]
    return prompts


def _sre_turns(
    outputs: Sequence[int], observations: Sequence[int], durations: Sequence[int]
) -> list[Turn]:
    return [
        Turn(output, observation, SRE_TOOLS[index % len(SRE_TOOLS)], duration * NS_PER_MS)
        for index, (output, observation, duration) in enumerate(
            zip(outputs, observations, durations, strict=True)
        )
    ]


def _sre_prompt(context: Context, number: int, tokens: int) -> tuple[tuple[str, int], ...]:
    head = (f"sys:sre-{context.agent}", SRE_HEAD_TOKENS[context.agent])
    task = (f"task:{context.task}", SRE_TASK_TOKENS[context.task])
    return (head, task, (f"~findings-{number}", tokens - head[1] - task[1]))


def _sre_trigger(context: Context, number: int) -> str:
    if number == 0:
        return "user"
    return "resume" if context == SRE_CONTEXTS[number - 1] else "spawn"


# ------------------------------------------------------------------------------------ SWE-agent

#: Given by the case study: instances, and the longest context SWE-agent reached.
SWE_SESSIONS = 20
SWE_LONGEST_PROMPT = 28_000
#: Given: p10, p50, p90 of published SWE-agent trajectories; the ends are assumed.
SWE_NUM_CALLS: Table = ((0.0, 3.0), (0.1, 4.0), (0.5, 11.0), (0.9, 15.0), (1.0, 24.0))
SWE_FIRST_PROMPT: Table = (
    (0.0, 1_050.0),
    (0.1, 1_100.0),
    (0.5, 1_900.0),
    (0.9, 2_700.0),
    (1.0, 4_000.0),
)
SWE_OUTPUT: Table = ((0.0, 15.0), (0.1, 29.0), (0.5, 81.0), (0.9, 153.0), (1.0, 500.0))
SWE_OBSERVATION: Table = ((0.0, 10.0), (0.1, 42.0), (0.5, 160.0), (0.9, 1_100.0), (1.0, 4_000.0))
SWE_TOOL_TIME: Table = ((0.0, 0.1), (0.1, 0.12), (0.5, 0.24), (0.9, 0.76), (1.0, 20.0))
#: Assumed: one set-up for all instances, so one system prompt (published: 0.35 - 1.5 k).
SWE_HEAD_TOKENS = 1_000
SWE_TOOLS = ("open", "search", "edit", "bash")


def swe_trace() -> Trace:
    """Twenty SWE-agent runs with the shape of published ones."""
    lengths = [round(n) for n in spread(SWE_NUM_CALLS, SWE_SESSIONS, SEED, "swe-calls")]
    first_prompts = spread(SWE_FIRST_PROMPT, SWE_SESSIONS, SEED, "swe-first")
    outputs = [round(n) for n in spread(SWE_OUTPUT, sum(lengths), SEED, "swe-output")]
    observations = [round(n) for n in spread(SWE_OBSERVATION, sum(lengths), SEED, "swe-result")]
    durations = spread(SWE_TOOL_TIME, sum(lengths), SEED, "swe-tool")
    longest = lengths.index(max(lengths))
    sessions = []
    first = 0
    for number, (num_calls, tokens) in enumerate(zip(lengths, first_prompts, strict=True)):
        where = slice(first, first + num_calls)
        first += num_calls
        results = observations[where]
        if number == longest:
            growth = SWE_LONGEST_PROMPT - round(tokens) - sum(outputs[where][:-1])
            results = [*shares(results[:-1], growth), results[-1]]
        turns = [
            Turn(output, result, SWE_TOOLS[index % 4], round(seconds * 1000) * NS_PER_MS)
            for index, (output, result, seconds) in enumerate(
                zip(outputs[where], results, durations[where], strict=True)
            )
        ]
        prompt = (("sys:swe-agent", SWE_HEAD_TOKENS), ("~issue", round(tokens) - SWE_HEAD_TOKENS))
        calls = growing_prompt("main", 0, prompt, turns, after=None, trigger="user")
        sessions.append(Session(f"instance-{number + 1:02d}", tuple(calls)))
    header = Header(
        source="synthetic, with the shape of published SWE-agent runs, see README.md",
        tokenizer="qwen2.5",
        extra={"made_by": "make_traces.py", "seed": SEED},
    )
    return Trace(sessions, header)


TRACES = {"itbench-sre.jsonl": sre_trace, "swe-agent.jsonl": swe_trace}


def main(folder: Path) -> None:
    """Write all traces into a folder."""
    for name, make in TRACES.items():
        write_trace(make(), folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

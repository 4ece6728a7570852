"""Against the offline replay of NVIDIA Dynamo (Rust): ``python against_dynamo.py``.

Both get the same trace file, block size, number of blocks and limits. "Simulation" is what each
tool spends between having read the trace and having the result: `wall_time_ms` of their report,
`simulate` of ours. Their report knows no processor time: of that wall time it is taken to be the
share that it is of the whole process. Steps are those in which at least one sequence decodes;
theirs are counted from the log of one more run, which is not timed.
"""

import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import loads
from measure import HERE, Cost, Row, agentsim, best, ratio, rival, run, shared, show

TIMES = 3
INSTALL = (
    "pip install --no-deps ai-dynamo==1.4.2 ai-dynamo-runtime==1.4.2; "
    "pip install msgspec transformers pydantic"
)
KV_TOKENS = 430_080
"""What an H100 holds beside llama-3.1-8b; a multiple of every block size."""

STRETCH = 3
"""Times of the trace are multiplied by this for a load that both sustain."""

LOG_OF_STEPS = {"DYN_LOG": "dynamo_mocker::common::perf_model=trace"}


@dataclass(frozen=True, slots=True)
class Pair:
    """One load: how each of the two runs it.

    Attributes
    ----------
    trace : str
        Ours.
    settings : list of str
        Ours, as KEY=VALUE.
    theirs : list of str
        Their whole command but the report's file.
    """

    trace: str
    settings: list[str]
    theirs: list[str]

    @property
    def whole(self) -> list[str]:
        """Our command, as anyone would type it."""
        sets = [part for setting in self.settings for part in ("--set", setting)]
        return agentsim("replay", self.trace, *sets)

    @property
    def alone(self) -> list[str]:
        """Our simulation without the report."""
        return [sys.executable, str(HERE / "simulate_alone.py"), self.trace, *self.settings]


@dataclass(frozen=True, slots=True)
class Result:
    """Best times of a pair: the whole process and the simulation alone; calls and steps."""

    ours: Cost
    theirs: Cost
    our_sim: Cost
    their_sim: Cost
    calls: int
    our_steps: int


def pair(
    interpreter: str,
    trace: str,
    block: int,
    theirs: list[str],
    arrival: str,
    *,
    replicas: int = 1,
) -> Pair:
    """The same machine for both; `theirs` is their load. Several replicas route by prefix."""
    limits = {"block_size": block, "num_gpu_blocks": KV_TOKENS // block}
    limits |= {"max_num_seqs": 256, "max_num_batched_tokens": 8192}
    settings = [f"engine.{name}={value}" for name, value in limits.items()]
    settings += ["gpu=h100", "model=llama-3.1-8b", f"agents.arrival={arrival}"]
    command = [interpreter, "-m", "dynamo.replay", *theirs, "--replay-mode", "offline"]
    command += ["--num-workers", str(replicas), "--extra-engine-args", json.dumps(limits)]
    if replicas > 1:
        settings += [f"cluster.replicas={replicas}", "cluster.routing=prefix-hash"]
        command += ["--router-mode", "kv_router"]
    return Pair(trace, settings, command)


def measure(what: Pair, folder: Path) -> Result:
    """Run ours and theirs in turn; the best of `TIMES`."""
    report = folder / "report.json"
    theirs_command = [*what.theirs, "--report-json", str(report)]
    ours, theirs, our_sims, their_sims = [], [], [], []
    alone: dict[str, Any] = {}
    for _ in range(TIMES):
        ours.append(run(what.whole))
        whole = run(theirs_command)
        theirs.append(whole)
        told = json.loads(report.read_text(encoding="utf-8"))
        their_sims.append(simulation_of(whole, told["wall_time_ms"] / 1000))
        alone = json.loads(run(what.alone).output)
        our_sims.append(Cost(alone["wall_s"], alone["cpu_s"]))
        if alone["calls"] != told["completed_requests"]:
            raise RuntimeError(f"{alone['calls']} calls, theirs {told['completed_requests']}")
    return Result(
        best(ours), best(theirs), best(our_sims), best(their_sims),
        alone["calls"], alone["decode_steps"],
    )  # fmt: skip


def simulation_of(whole: Cost, wall_s: float) -> Cost:
    """The cost of a part of a process of which only the wall time is known."""
    assert whole.cpu_s is not None
    return Cost(wall_s, wall_s * whole.cpu_s / whole.wall_s)


def count_steps(what: Pair, folder: Path) -> int:
    """Steps of theirs in which a sequence decodes."""
    log = run([*what.theirs, "--report-json", str(folder / "report.json")], LOG_OF_STEPS)
    steps = (log.output + log.errors).count("Decode time prediction")
    if not steps:
        raise RuntimeError("their log tells of no step")
    return steps


def share(cost: Cost, parts: int) -> Cost:
    """The cost of one of many parts."""
    return replace(cost, wall_s=cost.wall_s / parts, cpu_s=cost.cpu_s and cost.cpu_s / parts)


def mooncake(interpreter: str, folder: Path) -> list[Row]:
    """The conversation trace: three sizes of block as recorded, one at a load both sustain."""
    trace = shared("traces/mooncake/conversation_trace.dev.jsonl")
    slower = loads.write_lines(folder / "slower.jsonl", loads.stretched(trace, STRETCH))
    rows = []
    for name, path, block in [
        ("512", str(trace), 512),
        ("64", str(trace), 64),
        ("16", str(trace), 16),
        (f"16, at 1/{STRETCH} of the rate", slower, 16),
    ]:
        theirs = [path, "--trace-block-size", "512"]
        what = pair(interpreter, path, block, theirs, "recorded")
        result, their_steps = measure(what, folder), count_steps(what, folder)
        load = f"Mooncake conversation, blocks of {name}"
        rows += compared(load, result) + steps_compared(load, result, their_steps)
    return rows


def compared(load: str, result: Result) -> list[Row]:
    """The whole process and the simulation alone, with their goals."""
    ours, theirs = result.our_sim, result.their_sim
    each, their_each = share(ours, result.calls), share(theirs, result.calls)
    return [
        Row(f"{load}: whole process", result.ours, result.theirs,
            ratio(result.ours, result.theirs), at_most=1.0),
        Row(f"{load}: simulation", f"{ours}; {each} a request",
            f"{theirs}; {their_each} a request", ratio(ours, theirs), at_most=2.0, aim="then 1"),
    ]  # fmt: skip


def steps_compared(load: str, result: Result, their_steps: int) -> list[Row]:
    """The simulation for each step: the two machines do not take the same number of them."""
    ours, theirs = share(result.our_sim, result.our_steps), share(result.their_sim, their_steps)
    return [
        Row(
            f"{load}: simulation, a step",
            f"{ours} of {result.our_steps:,}",
            f"{theirs} of {their_steps:,}",
            ratio(ours, theirs),
        )
    ]


def requests(interpreter: str, folder: Path) -> list[Row]:
    """Poisson requests of 1,000 + 200 tokens at 5/s: what one more costs."""
    few, many = 1_000, 11_000
    results = []
    for count in (few, many):
        lines = loads.requests_v1(loads.poisson(count))
        trace = loads.write_lines(folder / f"requests{count}.jsonl", lines)
        theirs = ["--input-tokens", "1000", "--output-tokens", "200", "--request-rate", "5"]
        what = pair(interpreter, trace, 64, [*theirs, "--request-count", str(count)], "recorded")
        results.append(measure(what, folder))
    few_result, many_result = results
    ours = slope(few_result.our_sim, many_result.our_sim, many - few)
    other = slope(few_result.their_sim, many_result.their_sim, many - few)
    load = "requests of 1,000 + 200 tokens, 5/s: one more, simulation"
    return [Row(load, per_second(ours), per_second(other), ratio(ours, other))]


def slope(few: Cost, many: Cost, more: int) -> Cost:
    """Of one of the requests that `many` has more."""
    assert few.cpu_s is not None and many.cpu_s is not None
    return Cost((many.wall_s - few.wall_s) / more, (many.cpu_s - few.cpu_s) / more)


def agents(interpreter: str, folder: Path) -> list[Row]:
    """200 agents of 10 turns, closed loop, each prompt behind the last one; ten times as many on
    eight replicas."""
    one, eight = (
        "200 agents of 10 turns, closed loop",
        "2,000 agents of 10 turns, 8 replicas by prefix",
    )
    return [
        closed_loop(one, (200, 10), 1, interpreter, folder),
        closed_loop(eight, (2000, 10), 8, interpreter, folder),
    ]


def closed_loop(
    load: str, size: tuple[int, int], replicas: int, interpreter: str, folder: Path
) -> Row:
    """Agents and turns, each call sent when the one before is answered."""
    block = 64
    trace = loads.write_lines(folder / "agents.jsonl", loads.agents_v1(*size))
    hashed = loads.write_lines(folder / "hashed.jsonl", loads.agents_hashed(*size, block))
    theirs = [hashed, "--trace-format", "agentic_mooncake", "--trace-block-size", str(block)]
    both = pair(interpreter, trace, block, theirs, "closed-loop", replicas=replicas)
    result = measure(both, folder)
    ours, other = share(result.our_sim, result.calls), share(result.their_sim, result.calls)
    return Row(
        f"{load}: a call, simulation", per_second(ours), per_second(other), ratio(ours, other)
    )


def per_second(one: Cost) -> str:
    """The time of one, and how many fit a processor second."""
    assert one.cpu_s is not None
    return f"{one}: {1 / one.cpu_s:,.0f}/s"


def rows() -> list[Row]:
    """All loads."""
    interpreter = rival("AGENTSIM_DYNAMO_PYTHON", "dynamo.replay", INSTALL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loads_of_both = (mooncake, requests, agents)
        return [row for load in loads_of_both for row in load(interpreter, folder)]


if __name__ == "__main__":
    show(rows)

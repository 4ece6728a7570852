"""Measure a server of your own, for `agentsim validate`; docs/measuring.md explains it.

    python calibration/collect.py --url http://127.0.0.1:8000 --model NAME --gpu h100 -o mine \\
        --prefill 128,512,2048 --decode 1,4,16x512,2048 --poisson 2 --replay trace.jsonl --repeats 3

The server speaks OpenAI's streaming ``/v1/completions`` and takes prompts as token ids, as vLLM
does. Each run is written when it is complete; Ctrl-C keeps the runs before it.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from collecting.client import Client
from collecting.endpoint import Endpoint
from collecting.folder import RUN_COLUMNS, Folder
from collecting.plans import Plan, decode_plan, poisson_plan, prefill_plan, run_plan
from collecting.replay import Replay, as_sent
from collecting.server_facts import check_answers, facts_of
from collecting.tokens import Tokens

from agentsim.domain.trace import Trace
from agentsim.errors import UserError
from agentsim.workload.formats import read_trace

#: Columns of runs.csv that `--server` may state.
_STATED = RUN_COLUMNS[RUN_COLUMNS.index("n_gpu") : RUN_COLUMNS.index("ignore_eos")]
_USAGE, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Collect; the exit code: 0 done, 2 for what the caller can put right, 130 interrupted."""
    options = _parser().parse_args(arguments)
    try:
        folder = Folder(options.out)
        asyncio.run(_collect(options, folder))
    except UserError as error:
        print(f"collect: error: {error}", file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:
        print(f"\ncollect: interrupted; {len(folder)} runs are in {options.out}", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="collect.py", description="Measure an OpenAI-compatible server."
    )
    add = parser.add_argument
    add("--url", required=True, help="where the server listens, such as http://127.0.0.1:8000")
    add("--model", required=True, help="the model's name at the server")
    add("-o", "--out", required=True, type=Path, metavar="FOLDER", help="new, or of earlier runs")
    add("--gpu", required=True, help="what it runs on, as in 'agentsim list gpus'")
    add("--as", dest="table_model", metavar="NAME", help="the model as in 'agentsim list models'")
    add(
        "--server",
        type=_setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"what the server does not say itself: {', '.join(_STATED)}",
    )
    add("--prefill", type=_counts, metavar="LENGTHS", help="prompts alone, such as 128,512,2048")
    add("--decode", type=_grid, metavar="BATCHESxCONTEXTS", help="such as 1,4,16x512,2048")
    add("--decode-tokens", type=_count, default=64, metavar="N", help="output; default 64")
    add("--poisson", type=_rates, default=[], metavar="RATES", help="requests a second, as 1,2,4")
    add("--requests", type=_count, default=100, metavar="N", help="of each rate; default 100")
    add("--prompt-tokens", type=_bounds, default=(128, 1024), metavar="LOW:HIGH", help="of those")
    add("--output-tokens", type=_bounds, default=(16, 128), metavar="LOW:HIGH", help="of those")
    add("--replay", metavar="TRACE", help="agents of a trace, closed loop")
    add("--agents", type=_count, metavar="N", help="sessions at work at a time; default: all")
    add("--tool-scale", type=_number, default=1.0, metavar="X", help="multiplies waits for tools")
    add("--repeats", type=_count, default=1, metavar="N", help="of each run; default 1")
    add("--timeout", type=_number, default=600.0, metavar="S", help="the client's; default 600")
    add("--seed", type=int, default=0, help="of what is drawn; default 0")
    add(
        "--token-ids",
        type=_bounds,
        default=(1000, 7999),
        metavar="LOW:HIGH",
        help="prompts are made of these; default 1000:7999",
    )
    return parser


async def _collect(options: argparse.Namespace, folder: Folder) -> None:
    plans = _plans(options)
    trace = None if options.replay is None else as_sent(_trace(options), options.tool_scale)
    if not plans and trace is None:
        raise UserError("nothing to measure: give --prefill, --decode, --poisson or --replay")
    names = [plan.name for plan in plans]
    if trace is not None:
        names.append(f"replay-{Path(options.replay).name.partition('.')[0]}")
    repeats = range(1, options.repeats + 1)
    folder.check_new([f"{name}-{repeat}" for name in names for repeat in repeats])
    salt = secrets.token_hex(4)
    client = _client(options, f"{salt}/check")
    facts = {
        "source": "measured by collect.py",
        "gpu": options.gpu,
        "model": options.table_model or options.model,
        "served_model": options.model,
        "ignore_eos": "True",
        "client_timeout_s": f"{options.timeout:g}",
        "seed": str(options.seed),
        **await facts_of(client),
        **dict(options.server),
    }
    await check_answers(client)
    for repeat in repeats:
        facts["repeat"] = str(repeat)
        for plan in plans:
            run = {**facts, "run_id": f"{plan.name}-{repeat}", "salt": salt}
            await _measure(plan, _client(options, f"{salt}/{run['run_id']}"), run, folder)
        if trace is not None:
            run = {**facts, "run_id": f"{names[-1]}-{repeat}", "salt": salt}
            client = _client(options, f"{salt}/{run['run_id']}")
            await _replay(trace, options.agents, client, run, folder)


async def _measure(plan: Plan, client: Client, facts: dict[str, str], folder: Folder) -> None:
    progress = _Progress(facts["run_id"], plan.num_requests)
    sent = await run_plan(plan, client, progress)
    facts |= {"arrival": plan.arrival, "workload": plan.name}
    folder.add(facts, sent)
    progress.done("")


async def _replay(
    trace: Trace, agents: int | None, client: Client, facts: dict[str, str], folder: Folder
) -> None:
    num_agents = min(agents or len(trace), len(trace))
    progress = _Progress(facts["run_id"], trace.num_calls)
    replay = Replay(trace, client, num_agents, progress)
    await replay.run()
    outputs = "of the server" if replay.has_ids else "placeholders"
    facts |= {
        "arrival": "closed loop",
        "workload": "agents",
        "agents": str(num_agents),
        "outputs": outputs,
    }
    folder.add(facts, replay.sent, trace)
    progress.done(f"; answers in later prompts: {outputs}")


def _client(options: argparse.Namespace, salt: str) -> Client:
    low, high = options.token_ids
    tokens = Tokens(salt, low, high + 1)
    return Client(Endpoint.parse(options.url), options.model, tokens, options.timeout)


def _trace(options: argparse.Namespace) -> Trace:
    trace = read_trace(options.replay)
    if not trace.num_calls:
        raise UserError(f"{options.replay}: the trace holds no call")
    return trace


def _plans(options: argparse.Namespace) -> list[Plan]:
    plans = []
    if options.prefill:
        plans.append(prefill_plan(options.prefill))
    if options.decode:
        batches, contexts = options.decode
        plans.append(decode_plan(batches, contexts, options.decode_tokens))
    plans += [
        poisson_plan(
            rate, options.requests, options.prompt_tokens, options.output_tokens, options.seed
        )
        for rate in options.poisson
    ]
    return plans


class _Progress:
    """Requests answered, on stderr; on a terminal as they come."""

    def __init__(self, run_id: str, total: int) -> None:
        self._run_id = run_id
        self._total = total
        self._count = 0

    def __call__(self) -> None:
        self._count += 1
        if sys.stderr.isatty():
            print(f"\r{self._line()}", end="", file=sys.stderr, flush=True)

    def done(self, more: str) -> None:
        """The run is written."""
        begin = "\r" if sys.stderr.isatty() else ""
        print(f"{begin}{self._line()}{more}", file=sys.stderr)

    def _line(self) -> str:
        return f"{self._run_id}: {self._count} of {self._total} requests"


def _number(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, got {text!r}")
    return int(text)


def _counts(text: str) -> list[int]:
    return [_count(part.strip()) for part in text.split(",")]


def _rates(text: str) -> list[float]:
    return [_number(part.strip()) for part in text.split(",")]


def _grid(text: str) -> tuple[list[int], list[int]]:
    batches, separator, contexts = text.partition("x")
    if not separator:
        raise argparse.ArgumentTypeError(f"expected BATCHESxCONTEXTS, got {text!r}")
    return _counts(batches), _counts(contexts)


def _bounds(text: str) -> tuple[int, int]:
    low, separator, high = text.partition(":")
    found = _count(low), _count(high if separator else low)
    if found[0] > found[1]:
        raise argparse.ArgumentTypeError(f"expected LOW:HIGH with LOW <= HIGH, got {text!r}")
    return found


def _setting(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or name not in _STATED:
        known = ", ".join(_STATED)
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE with a KEY of {known}, got {text!r}")
    return name, value


if __name__ == "__main__":
    sys.exit(main())

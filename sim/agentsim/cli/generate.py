"""``agentsim generate``: synthetic agents from measured distributions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.domain.trace import Session


@click.command("generate", short_help="Make a trace of synthetic agents of a measured kind.")
@click.argument("profile", metavar="PROFILE")
@click.option("-o", "--out", metavar="FILE", required=True, help="The trace; .gz packs it.")
@click.option(
    "--sessions",
    metavar="N",
    type=click.IntRange(1, 10_000_000),
    required=True,
    help="How many agents.",
)
@click.option("--seed", metavar="S", type=int, default=0, help="Another seed, another trace: 0.")
@click.option(
    "--arrival",
    metavar="HOW",
    default="closed",
    help="closed (default), poisson:RATE, gamma:RATE:CV, diurnal:RATE, recorded:FILE.",
)
@click.option("--force", is_flag=True, help="Replace FILE.")
def generate_command(
    *, profile: str, out: str, sessions: int, seed: int, arrival: str, force: bool
) -> None:
    """Draw N sessions of PROFILE: a name, or the file of a profile ('agentsim fit-workload').

    \b
    Names: interactive-coding, unattended-coding, service-agent, sre-incident,
    swe-agent. RATE is in sessions a second, CV that of the gaps between them.

    \b
    agentsim generate interactive-coding -o load.jsonl.gz --sessions 500
    agentsim generate swe-agent -o t.jsonl.gz --sessions 500 --arrival poisson:0.2
    """
    from pathlib import Path
    from textwrap import fill

    from agentsim.cli.screen import emit
    from agentsim.report.durations import count
    from agentsim.workload.generate.profile import load_profile
    from agentsim.workload.generate.sessions import generate, header_of
    from agentsim.workload.write import write_sessions

    kind = load_profile(profile)
    if Path(out).exists() and not force:
        raise ConfigError(f"{out}: exists already; --force replaces it")
    made = generate(kind, sessions, seed=seed, arrival=arrival)
    totals = [0, 0, 0]
    header = header_of(kind, profile, seed=seed, arrival=arrival)
    write_sessions(header, _counted(_shown(made, sessions), totals), out)
    calls, prompt_tokens, output_tokens = totals
    told = (
        f"{count(calls, 'call')} in {count(sessions, 'session')} of {profile}: "
        f"{prompt_tokens:,} prompt tokens, {output_tokens:,} of output. Written to {out}."
    )
    emit(fill(told, 80) + "\n")


def _counted(sessions: Iterable[Session], totals: list[int]) -> Iterator[Session]:
    """The sessions, their calls and tokens counted as they pass."""
    for session in sessions:
        totals[0] += len(session.calls)
        totals[1] += sum(call.input_tokens for call in session.calls)
        totals[2] += sum(call.output_tokens for call in session.calls)
        yield session


def _shown(sessions: Iterable[Session], total: int) -> Iterator[Session]:
    """The sessions, with a line of progress on stderr for terminals."""
    import sys

    from rich.console import Console
    from rich.progress import track

    return iter(
        track(
            sessions,
            "generate",
            total=total,
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        )
    )

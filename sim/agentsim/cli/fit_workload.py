"""``agentsim fit-workload``: the profile of the agents in a trace."""

from __future__ import annotations

import click

from agentsim.errors import ConfigError


@click.command("fit-workload", short_help="Make a profile for 'generate' of a trace you have.")
@click.argument("trace", metavar="TRACE")
@click.option("-o", "--out", metavar="FILE", required=True, help="The profile (TOML).")
@click.option("--format", "trace_format", metavar="NAME", default="auto", help="Format of TRACE.")
@click.option(
    "--shared-prefix",
    metavar="N",
    type=click.IntRange(0, 1 << 40),
    help="Tokens that all first prompts share; default: what TRACE says.",
)
@click.option("--force", is_flag=True, help="Replace FILE.")
def fit_workload_command(
    *, trace: str, out: str, trace_format: str, shared_prefix: int | None, force: bool
) -> None:
    """Fit distributions to the agents of TRACE: a profile that 'agentsim generate' draws from.

    Above each number stands how many values it is from; what TRACE does not say is listed.

    \b
    agentsim fit-workload mine.jsonl.gz -o mine.toml
    agentsim generate mine.toml -o load.jsonl.gz --sessions 1000
    """
    from pathlib import Path
    from textwrap import fill

    from agentsim.cli.screen import emit
    from agentsim.workload.formats import read_trace
    from agentsim.workload.generate.fields import profile_text, write_profile
    from agentsim.workload.generate.fit import fit_profile

    if Path(out).exists() and not force:
        raise ConfigError(f"{out}: exists already; --force replaces it")
    found = fit_profile(read_trace(trace, format=trace_format), shared_prefix_tokens=shared_prefix)
    write_profile(profile_text(found.profile, found.comments), out)
    about = found.profile.profile
    lines = [f"{about.source[:1].upper()}{about.source[1:]}. Written to {out}."]
    lines += [f"Not known: {each}" for each in about.unknown]
    emit("".join(fill(line, 80, subsequent_indent="  ") + "\n" for line in lines))

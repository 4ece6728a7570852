"""``agentsim schedule``: what the scheduler decides, step by step, on a scripted load."""

from __future__ import annotations

import click


@click.command("schedule", short_help="Show every scheduling decision on a scripted load.")
@click.argument("scenario", metavar="SCENARIO.json")
def schedule_command(scenario: str) -> None:
    """Show what the scheduler decides in each step of SCENARIO.json.

    Prints JSON lines: a header, a line for each step (who is scheduled with how many tokens, who is
    admitted, preempted, finished; blocks), a summary. The formats are those of tests/oracle.

    \b
    agentsim schedule tests/oracle/scenarios/01-single.json
    """
    import json

    from agentsim.cli.scenario import read_scenario
    from agentsim.cli.screen import emit
    from agentsim.engine.scenario import run_scenario

    lines = [
        json.dumps(line, separators=(",", ":")) for line in run_scenario(read_scenario(scenario))
    ]
    emit("".join(f"{line}\n" for line in lines))

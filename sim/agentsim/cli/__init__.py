"""The command line: ``agentsim``.

Start at `agentsim.cli.door`, which turns every ending into an exit code; each command has a module.
Nothing heavy is imported until a command runs, so that ``agentsim --help`` is instant.
"""

from __future__ import annotations

from agentsim.cli.calibrate import calibrate_command
from agentsim.cli.case_study import case_study_command
from agentsim.cli.check import check_command
from agentsim.cli.compare import compare_command
from agentsim.cli.completion import completion_command, offer_names
from agentsim.cli.door import Door
from agentsim.cli.explain import explain_command
from agentsim.cli.export import export_command
from agentsim.cli.fit_workload import fit_workload_command
from agentsim.cli.generate import generate_command
from agentsim.cli.importing import import_command
from agentsim.cli.inspect import inspect_command
from agentsim.cli.plan import plan_command
from agentsim.cli.plot import plot_command
from agentsim.cli.replay import replay_command
from agentsim.cli.schedule import schedule_command
from agentsim.cli.score import score_command
from agentsim.cli.sweep import sweep_command
from agentsim.cli.tables import list_command
from agentsim.cli.validate import validate_command

command = Door(
    "agentsim",
    commands=[
        replay_command,
        compare_command,
        explain_command,
        score_command,
        plan_command,
        sweep_command,
        plot_command,
        inspect_command,
        import_command,
        export_command,
        generate_command,
        fit_workload_command,
        schedule_command,
        case_study_command,
        validate_command,
        calibrate_command,
        check_command,
        list_command,
        completion_command,
    ],
    help="""Simulate LLM agents being served by vLLM: how long a run takes, and why.

    \b
    agentsim replay traces/itbench-sre.jsonl
    agentsim replay traces/itbench-sre.jsonl --agents 8 --gpu h100
    """,
)
offer_names(command)


def main() -> None:
    """Run the command line of this process."""
    command.main(prog_name="agentsim")

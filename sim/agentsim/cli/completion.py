"""``agentsim completion``: the script for a shell; `offer_names`: what it completes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

#: Options, and arguments by their metavar, whose values `agentsim list KIND` has.
_KINDS = {
    "--gpu": "gpus",
    "--model": "models",
    "--profile": "profiles",
    "--preset": "presets",
    "--routing": "routers",
    "--set": "settings",
    "--to": "exports",
    "PROFILE": "workloads",
}
#: Metavars of files and folders.
_PLACES = ("TRACE", "FILE", "DIR", "PATH", "SCENARIO", "PROFILE.toml")


class Completed(click.types.StringParamType):
    """Text of which a shell is offered some values; any other is taken as well.

    Parameters
    ----------
    names : callable
        Gives the values; called when the shell asks.
    has_files : bool
        Files are offered too.
    """

    def __init__(self, names: Callable[[], Iterable[str]], *, has_files: bool = False) -> None:
        self._names, self._has_files = names, has_files

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The values that begin with what is typed."""
        items = [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]
        # bash forgets what came before a file: files go first
        files = [CompletionItem(incomplete, type="file")] if self._has_files else []
        return files + items


def offer_names(group: click.Group) -> None:
    """Let a shell complete the values of all commands' options and arguments."""
    for command in group.commands.values():
        for param in command.params:
            if isinstance(param.type, click.types.StringParamType):
                param.type = _completed(command, param)


def _completed(command: click.Command, param: click.Parameter) -> click.ParamType[Any]:
    metavar = param.metavar or ""
    is_place = metavar.startswith(_PLACES) or metavar.endswith(("FILE", "_DIR"))
    for name in (*param.opts, metavar):
        if name in _KINDS:
            return Completed(_listed(_KINDS[name]), has_files=is_place)
    if "--format" in param.opts:
        return Completed(_listed("imports" if command.name == "import" else "formats"))
    if "--engine" in param.opts:
        return Completed(_engines)
    if "|" in metavar and not is_place:
        return Completed(lambda: metavar.split("|"))
    return Completed(tuple, has_files=True) if is_place else param.type


def _listed(kind: str) -> Callable[[], Iterable[str]]:
    def names() -> Iterable[str]:
        from agentsim.cli.tables import KINDS

        return [str(row["name"]) for row in KINDS[kind]()]

    return names


def _engines() -> Iterable[str]:
    from typing import get_args, get_type_hints

    from agentsim.domain.config import EngineConfig

    return get_args(get_type_hints(EngineConfig)["kind"])


@click.command("completion", short_help="Print the script that completes names in a shell.")
@click.argument("shell", metavar="bash|zsh|fish", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print what makes bash, zsh or fish complete commands, options, files and names.

    Put the line of your shell where it starts: ~/.bashrc, ~/.zshrc, ~/.config/fish/config.fish.

    \b
    eval "$(agentsim completion bash)"
    eval "$(agentsim completion zsh)"
    agentsim completion fish | source
    """
    from agentsim.cli.screen import emit

    found = get_completion_class(shell)
    assert found is not None
    emit(found(ctx.find_root().command, {}, "agentsim", "_AGENTSIM_COMPLETE").source())

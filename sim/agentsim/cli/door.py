"""How the command line ends: one line and an exit code for whatever goes wrong.

0 done; 1 a bug of ours; 2 something the caller can put right; 130 interrupted; 141 the reader of
our output went away (`screen.emit`). Nothing is printed on stdout unless the command succeeds.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import click

from agentsim.errors import Interrupted, InvariantBroken, UnknownName, UserError

FAILED, USAGE, INTERRUPTED = 1, 2, 130


class Door(click.Group):
    """The group of all commands, with the endings of this program.

    Parameters
    ----------
    name : str
    commands : iterable of click.Command
        Listed in this order.
    """

    def __init__(self, name: str, *, commands: Iterable[click.Command], **attrs: Any) -> None:
        super().__init__(
            name,
            commands=list(commands),
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
            **attrs,
        )
        self.params.append(
            click.Option(
                ["--version"],
                is_flag=True,
                expose_value=False,
                is_eager=True,
                callback=_show_version,
                help="Show the version and exit.",
            )
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order in which they were given."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Without any argument, help, but not on stdout: nothing was done."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may be meant."""
        is_typed = args and not args[0].startswith("-") and not ctx.resilient_parsing
        if is_typed and self.get_command(ctx, args[0]) is None:
            raise UnknownName("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run, and exit the process; see the module for the codes."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, **extra)
        except UserError as error:
            _fail(str(error), USAGE)
        except click.UsageError as error:
            _fail(_usage_line(error), USAGE)
        except click.ClickException as error:
            _fail(error.format_message(), USAGE)
        except Interrupted as error:
            _fail(str(error), INTERRUPTED)
        except (click.Abort, KeyboardInterrupt):
            _fail("interrupted; nothing was written", INTERRUPTED)
        except InvariantBroken as error:
            _fail(_bug_line(error, args), FAILED)
        except Exception as error:
            told = _plugin_line(error)
            if told is None:
                raise
            _fail(told, USAGE)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"agentsim: error: {message}", err=True)
    sys.exit(code)


def _usage_line(error: click.UsageError) -> str:
    """Click's message as one line, with the nearest option and where to read on."""
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    if isinstance(error, click.NoSuchOption):
        known = [o for p in error.ctx.command.params for o in p.opts] if error.ctx else []
        near = difflib.get_close_matches(error.option_name, known, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        message = f"no such option {error.option_name!r}{hint}"
    if error.ctx is None:
        return message
    return f"{message} (see '{error.ctx.command_path} --help')"


def _bug_line(error: InvariantBroken, args: Sequence[str] | None) -> str:
    """Everything needed to see a bug of ours again."""
    import platform
    import shlex

    from agentsim.report.document import package_version

    told = shlex.join(sys.argv[1:] if args is None else list(args))
    versions = f"agentsim {package_version()}, Python {platform.python_version()}"
    return f"this is a bug, please report it: {error} [{versions}; arguments: {told}]"


def _plugin_line(error: Exception) -> str | None:
    """Which plug-in raised an error and where, if one did."""
    import traceback
    from importlib import metadata

    modules = {
        point.value.partition(":")[0].strip(): point.name
        for distribution in metadata.distributions()
        for point in distribution.entry_points
        if point.group.startswith("agentsim.")
    }
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        name = modules.get(frame.f_globals.get("__name__", ""))
        if name is not None:
            place = f"{frame.f_code.co_filename}:{line}"
            text = " ".join(str(error).split())
            return f"plug-in {name!r}: {place}: {type(error).__name__}: {text}"
    return None


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.util import find_spec

        from agentsim.report.document import package_version

        loop = find_spec("agentsim.engine.batcher")
        is_python = loop is not None and str(loop.origin).endswith(".py")
        click.echo(f"agentsim {package_version()} ({'Python' if is_python else 'compiled'})")
        ctx.exit()

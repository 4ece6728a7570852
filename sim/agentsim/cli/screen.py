"""What the commands share with the terminal: text on stdout, progress on stderr."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Exit code of a program that a closed pipe ends, as shells count it (128 + SIGPIPE).
_PIPE_CLOSED = 141
#: A run shorter than this shows no progress.
_PATIENCE_S = 1.0
#: Least time between two updates of the progress line.
_BEAT_S = 0.1


def emit(text: str) -> None:
    """Print finished text; what the terminal's encoding lacks is escaped.

    If nobody reads stdout any more, the program ends quietly; if it cannot take the text (a full
    disk, a closed descriptor), with one line.
    """
    if sys.stdout is None:
        raise click.ClickException("stdout is closed: the result has nowhere to go")
    encoding = sys.stdout.encoding or "utf-8"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False)
    except BrokenPipeError:
        # What is still buffered has nowhere to go; keep the shutdown from trying.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(_PIPE_CLOSED) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.ClickException(f"stdout cannot be written: {error.strerror}") from None


def wants_colour() -> bool:
    """Whether stdout is a terminal that shows colour (and https://no-color.org is not asked)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout is not None and sys.stdout.isatty() and not plain


def is_ascii() -> bool:
    """Whether stdout can show nothing but ASCII."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    return not encoding.lower().startswith("utf")


class Ticker:
    """Progress on stderr, for terminals only, once a run takes longer than a moment.

    Examples
    --------
    >>> with Ticker("replay") as tick:
    ...     tick(1, 93, 5_000_000_000)
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: Progress | None = None
        self._task: TaskID | None = None
        self._next_s = time.monotonic() + _PATIENCE_S
        self._silent = not sys.stderr.isatty()

    def __enter__(self) -> Ticker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, done_calls: int, total_calls: int, now_ns: int) -> None:
        """Say how far a run is: calls answered, of how many, and the simulated time."""
        if self._silent or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + _BEAT_S
        if self._shown is None:
            self._start(total_calls)
        assert self._shown is not None
        assert self._task is not None
        simulated = f"{now_ns / 1e9:,.0f} s simulated"
        self._shown.update(self._task, completed=done_calls, total=total_calls, at=simulated)

    def _start(self, total_calls: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Shown

        self._shown = Shown(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("calls, {task.fields[at]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._shown.add_task(self._what, total=total_calls, at="")
        self._shown.start()

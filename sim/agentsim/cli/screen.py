"""What the commands share with the terminal: text on stdout, progress on stderr."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from agentsim.domain.units import NS_PER_S

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Exit code of a program that a closed pipe ends, as shells count it (128 + SIGPIPE).
_PIPE_CLOSED = 141
#: A run shorter than this shows no progress.
_PATIENCE_S = 2.0
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


def json_text(value: Any) -> str:
    """A value as one JSON object, indented, with a newline at its end."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


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

    While it is entered, Ctrl-C takes effect where a call has just been answered, so that what was
    done until then is whole; a second one takes effect at once.

    Examples
    --------
    >>> with Ticker("replay") as tick:
    ...     tick(1, 93, 5_000_000_000)
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown: Progress | None = None
        self._task: TaskID | None = None
        self._begin_s = time.monotonic()
        self._next_s = self._begin_s + _PATIENCE_S
        self._silent = not sys.stderr.isatty()
        self._is_stopped = False
        self._on_signal: Any = None

    def __enter__(self) -> Ticker:
        if threading.current_thread() is threading.main_thread():
            self._on_signal = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._on_signal is not None:
            signal.signal(signal.SIGINT, self._on_signal)
        if self._shown is not None:
            self._shown.stop()

    def _stop(self, *_: object) -> None:
        self.heed()
        self._is_stopped = True

    def heed(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self._is_stopped:
            raise KeyboardInterrupt

    def __call__(self, done_calls: int, total_calls: int, now_ns: int) -> None:
        """Say how far a run is: calls answered, of how many, and the simulated time."""
        self.heed()
        now_s = time.monotonic()
        if self._silent or now_s < self._next_s:
            return
        self._next_s = now_s + _BEAT_S
        rate = done_calls / max(now_s - self._begin_s, _BEAT_S)
        calls = f"{done_calls:,} of {total_calls:,} calls, {rate:,.0f}/s"
        text = f"{self._what}: {calls}, {now_ns / NS_PER_S:,.0f} s simulated,"
        if self._shown is None:
            self._start(text, total_calls)
        assert self._shown is not None
        assert self._task is not None
        self._shown.update(self._task, completed=done_calls, description=text)

    def _start(self, text: str, total_calls: int) -> None:
        self._shown = _progress()
        self._task = self._shown.add_task(text, total=total_calls)
        self._shown.start()


class Stages:
    """Progress of work in stages, on stderr, for terminals only, once it takes a moment.

    Examples
    --------
    >>> with Stages() as told:
    ...     told("search", 8, 64, "$2.89/h")
    """

    def __init__(self) -> None:
        self._shown: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._due_s = time.monotonic() + _PATIENCE_S
        self._silent = not sys.stderr.isatty()

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.stop()

    def __call__(self, stage: str, done: int, expected: int, best: str) -> None:
        """Say how far a stage is, and what was found so far."""
        if self._silent or time.monotonic() < self._due_s:
            return
        if self._shown is None:
            self._shown = _progress()
            self._shown.start()
        if stage != self._stage:
            if self._task is not None:
                self._shown.remove_task(self._task)
            self._task, self._stage = self._shown.add_task(stage, total=expected), stage
        assert self._task is not None
        found = f", best {best}" if best else ""
        text = f"{stage}: {done:,} of {expected:,}{found},"
        self._shown.update(self._task, completed=done, total=expected, description=text)


def _progress() -> Progress:
    """A line of text and the time left, which goes away at the end."""
    from rich.console import Console
    from rich.progress import Progress as Shown
    from rich.progress import TextColumn, TimeRemainingColumn

    return Shown(
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
    )

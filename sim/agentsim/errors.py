"""What can go wrong, as a tree.

::

    AgentSimError
    ├── UserError           the caller can put it right: exit code 2, one line, no traceback
    │   ├── TraceError      trace.jsonl:17: field 'output_tokens': expected an integer >= 0, got -3
    │   ├── ConfigError     config.toml: engine.max_num_seqs: expected an integer >= 1, got 0
    │   ├── UnknownName     unknown gpu 'h10'; did you mean 'h100'? Known: a100, h100, l4
    │   └── DoesNotFit      request s12/3 needs 9120 blocks and the pool has 8000: ...
    ├── Interrupted         stopped by Ctrl-C: how far it was, what was written; exit code 130
    └── InvariantBroken     a bug of ours: what was broken, when and where; exit code 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class AgentSimError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(AgentSimError):
    """Something the caller can put right; shown as one line, exit code 2."""


class TraceError(UserError):
    """A trace that cannot be read; the message names file, line and field."""


class ConfigError(UserError):
    """A setting that cannot be used; the message names the setting."""


class DoesNotFit(UserError):
    """A model or a request that can never fit in memory; the message shows the arithmetic."""


class UnknownName(UserError):
    """A name that is in none of the tables.

    Parameters
    ----------
    kind : str
        What was looked for, such as ``"gpu"``.
    name : str
        What was asked.
    known : iterable of str
        What there is.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        super().__init__(f"unknown {kind} {name!r}{hint} Known: {', '.join(names)}")


class InvariantBroken(AgentSimError):
    """A law that must hold was broken: a bug of ours, exit code 1."""


class Interrupted(AgentSimError):
    """A run that was stopped before its end; exit code 130.

    Parameters
    ----------
    calls_done, num_calls : int
        Calls answered, of how many.
    written : Path or None
        Where they are, if they were to be written.
    """

    def __init__(self, calls_done: int, num_calls: int, written: Path | None = None) -> None:
        where = "nothing was written" if written is None else f"they are in {written}"
        super().__init__(f"interrupted after {calls_done:,} of {num_calls:,} calls; {where}")
        self.calls_done = calls_done
        self.num_calls = num_calls
        self.written = written

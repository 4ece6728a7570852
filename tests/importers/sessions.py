"""What tests of importers share: import text, look at calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agentsim.domain.trace import Call, Session, Trace
from agentsim.workload.importers.reading import detect, import_logs
from agentsim.workload.importers.report import ImportReport
from agentsim.workload.importers.sources import find_logs

S = 10**9
MS = 10**6


def rows_in(path: Path, *rows: dict[str, Any]) -> str:
    """A file of JSON lines; its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(path: str | Path, **options: Any) -> tuple[Trace, ImportReport]:
    """Import one path, with the format found by content."""
    return import_logs([str(path)], **options)


def calls_of(session: Session) -> dict[str, Call]:
    return {call.id: call for call in session.calls}


def format_of(path: str | Path) -> str:
    """The format that a file is taken for."""
    (file,) = find_logs([str(path)], lambda kind, example: None)
    return detect(file)[0]

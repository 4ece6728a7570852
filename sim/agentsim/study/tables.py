"""What studies print and write: JSON, CSV and Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agentsim.report.document import plain_number
from agentsim.report.target import whole_file

if TYPE_CHECKING:
    import pandas as pd


def json_text(document: msgspec.Struct) -> str:
    """A document as one JSON object, indented, keys sorted, with a newline at its end."""
    plain = msgspec.to_builtins(document, enc_hook=plain_number)
    return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"


def write_frame(frame: pd.DataFrame, target: Path) -> None:
    """Write a table as its name says: ``.csv`` or ``.parquet``, whole or not at all.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    with whole_file("--out", target) as partial:
        if target.suffix == ".csv":
            frame.to_csv(partial, index=False, lineterminator="\n")
        else:
            frame.to_parquet(partial, index=False)

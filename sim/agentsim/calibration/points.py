"""Single points as measured runs: a table of batches that start together, one batch a row.

Columns: ``batch``, ``context`` or ``input_tokens``, ``output_tokens``, and any of ``tpot_ms`` (or
``step_ms``, the same), ``ttft_ms`` and ``e2e_ms``. ``gpu`` and ``model`` are those of the command
where a row has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from agentsim.domain.trace import Session, Trace
from agentsim.errors import ConfigError
from agentsim.validation import Case
from agentsim.validation.draws import one_call
from agentsim.validation.servers import read_server
from agentsim.validation.tables import Record, read_table

#: Column -> the figure that it is.
_TIMES = {
    "tpot_ms": ("itl", "mean"),
    "step_ms": ("itl", "mean"),
    "ttft_ms": ("ttft", "mean"),
    "e2e_ms": ("e2e", "mean"),
}


def is_point_table(columns: list[str]) -> bool:
    """Whether a table with these columns is one of single points."""
    return "batch" in columns and any(name in columns for name in _TIMES)


def read_points(path: Path, gpu: str, model: str | None) -> Iterator[Case]:
    """The points of a table.

    Parameters
    ----------
    gpu, model : str
        Those of rows that name none.

    Raises
    ------
    ConfigError, UserError
        Naming the file and the line: a column or a length is missing, or no number.
    """
    for number, row in enumerate(read_table(path, ("batch",)), 1):
        server = read_server(row)
        measured = {key: row.number(name) * 1e-3 for name, key in _TIMES.items() if row.has(name)}
        if not measured:
            raise ConfigError(f"{path}:{number + 1}: expected one of {', '.join(_TIMES)}")
        yield Case(
            run_id=f"{path.stem}/{number}",
            source=path.name,
            gpu=row.text_or("gpu", gpu),
            model=row.text("model") if model is None else row.text_or("model", model),
            measured=measured,
            trace=_batch(row, path, number, needs_decode=("itl", "mean") in measured),
            settings=(*server.settings, "agents.arrival=recorded", "engine.max_model_len=-1"),
            num_repeats=1,
            preset=server.preset,
        )


def _batch(row: Record, path: Path, number: int, *, needs_decode: bool) -> Callable[[int], Trace]:
    """`batch` equal requests at once; a context is the mean one of the answers' tokens."""
    outputs = row.count_or("output_tokens", 2 if needs_decode else 1, 1)
    if needs_decode and outputs < 2:
        raise ConfigError(f"{path}:{number + 1}: time of a token with 1 token of output")
    if row.has("input_tokens"):
        prompt = row.count("input_tokens", 1)
    elif row.has("context"):
        prompt = max(1, row.count("context", 1) - outputs // 2)
    else:
        raise ConfigError(f"{path}:{number + 1}: missing column 'input_tokens' or 'context'")
    batch = row.count("batch", 1)

    def trace(_: int) -> Trace:
        segments = (("~own", prompt),)
        sessions: list[Session] = [one_call(f"{n:06d}", 0, segments, outputs) for n in range(batch)]
        return Trace(sessions)

    return trace

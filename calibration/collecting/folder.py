"""The folder that is written: ``runs.csv`` beside ``requests/RUN_ID.csv.gz``.

A run is there as a whole or not at all: its files are put in place first, its line in ``runs.csv``
last, each by renaming.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentsim.domain.trace import Trace
from agentsim.domain.units import ns_to_seconds
from agentsim.errors import UserError
from agentsim.workload.write import write_trace
from collecting.endpoint import Answer

#: Columns of ``runs.csv``: what was served and how, then what was sent.
RUN_COLUMNS = (
    *("run_id", "source", "gpu", "n_gpu", "tp", "dp", "model", "dtype", "quant"),
    *("engine", "engine_version", "max_model_len", "max_num_seqs", "max_num_batched_tokens"),
    *("block_size", "num_gpu_blocks", "gpu_memory_utilization", "prefix_caching"),
    *("chunked_prefill", "kv_cpu_offload_gib", "ignore_eos", "arrival", "n_requests", "n_ok"),
    *("n_failed", "client_timeout_s", "workload", "requested_output_tokens", "agents", "trace"),
    *("outputs", "served_model", "seed", "salt", "repeat"),
)
_REQUEST_COLUMNS = (
    *("idx", "arrival_s", "prompt_tokens", "requested_output_tokens", "output_tokens"),
    *("output_tokens_client", "ok", "ttft_s", "e2e_s", "session", "call", "cached_tokens"),
    *("itl_p50_s", "itl_p90_s", "itl_p99_s", "pieces"),
)
_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and its answer.

    Attributes
    ----------
    prompt_tokens, output_tokens : int
        As asked for.
    """

    prompt_tokens: int
    output_tokens: int
    answer: Answer
    session: str = ""
    call: str = ""


class Folder:
    """A folder of runs, new or to be added to.

    Raises
    ------
    UserError
        If it is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = path / "runs.csv"
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: expected a folder")
        self._rows = self._read() if self._table.exists() else []

    def __len__(self) -> int:
        return len(self._rows)

    def check_new(self, run_ids: Sequence[str]) -> None:
        """Raise UserError if one of these runs is there already."""
        known = {row["run_id"] for row in self._rows}
        for run_id in run_ids:
            if run_id in known:
                raise UserError(f"{self._table}: run {run_id!r} is there: name another folder")

    def add(self, facts: dict[str, str], sent: Sequence[Sent], trace: Trace | None = None) -> None:
        """Write a run.

        Parameters
        ----------
        facts : dict
            Values of `RUN_COLUMNS`; what is counted is added.
        sent : sequence of Sent
        trace : Trace or None
            What was replayed; it is kept as ``traces/RUN_ID.jsonl.gz``.

        Raises
        ------
        UserError
            If a file cannot be written.
        """
        run_id = facts["run_id"]
        outputs = {one.output_tokens for one in sent}
        failed = sum(not one.answer.ok for one in sent)
        row = {
            **facts,
            "n_requests": str(len(sent)),
            "n_ok": str(len(sent) - failed),
            "n_failed": str(failed),
            "requested_output_tokens": str(outputs.pop()) if len(outputs) == 1 else "",
        }
        try:
            (self.path / "requests").mkdir(parents=True, exist_ok=True)
            if trace is not None:
                row["trace"] = f"traces/{run_id}.jsonl.gz"
                (self.path / "traces").mkdir(exist_ok=True)
                write_trace(trace, self.path / row["trace"])
            packed = gzip.compress(_csv(_REQUEST_COLUMNS, _request_rows(sent)), mtime=0)
            _replace(self.path / "requests" / f"{run_id}.csv.gz", packed)
            rows = [*self._rows, row]
            _replace(self._table, _csv(RUN_COLUMNS, rows))
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written: {error.strerror}") from error
        self._rows = rows

    def _read(self) -> list[dict[str, str]]:
        with self._table.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != RUN_COLUMNS:
                raise UserError(f"{self._table}: not of this program: name another folder")
            return list(rows)


def _request_rows(sent: Sequence[Sent]) -> list[dict[str, str]]:
    """The requests in the order of sending."""
    ordered = sorted(sent, key=lambda one: one.answer.sent_ns)
    start_ns = ordered[0].answer.sent_ns if ordered else 0
    rows = []
    for number, one in enumerate(ordered):
        answer = one.answer
        made = one.output_tokens if answer.output_tokens is None else answer.output_tokens
        cached = answer.cached_tokens
        row = {
            "idx": str(number),
            "arrival_s": _seconds(answer.sent_ns - start_ns),
            "prompt_tokens": str(answer.prompt_tokens or one.prompt_tokens),
            "requested_output_tokens": str(one.output_tokens),
            "output_tokens": str(made),
            "output_tokens_client": str(made if answer.ok else 0),
            "ok": str(int(answer.ok)),
            "e2e_s": _seconds(answer.end_ns - answer.sent_ns),
            "session": one.session,
            "call": one.call,
            "cached_tokens": "" if cached is None else str(cached),
            "pieces": str(len(answer.event_ns)),
        }
        if answer.ok:
            row["ttft_s"] = _seconds(answer.event_ns[0] - answer.sent_ns)
        if len(answer.event_ns) > 1:
            found = np.quantile(np.diff(answer.event_ns), _QUANTILES)
            row |= {
                f"itl_p{round(100 * share)}_s": _seconds(round(float(gap_ns)))
                for share, gap_ns in zip(_QUANTILES, found, strict=True)
            }
        rows.append(row)
    return rows


def _seconds(nanoseconds: int) -> str:
    return f"{ns_to_seconds(nanoseconds):.6f}"


def _csv(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)

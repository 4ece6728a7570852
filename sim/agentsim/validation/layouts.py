"""The layouts of measured runs, recognised by their files and columns: `read_cases`.

A new layout is a row of `FOLDERS` or `FILES`: what it is, whether a folder or file is of it, and a
reader that gives a `Case` or a `NotSimulated` for each run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentsim.errors import UserError
from agentsim.validation import (
    bench_files,
    bench_tables,
    chats,
    mixtures,
    points,
    request_runs,
    stage_tables,
    step_runs,
)
from agentsim.validation.case import Case, NotSimulated


@dataclass(frozen=True, slots=True)
class Layout:
    """How measured runs are kept.

    Attributes
    ----------
    about : str
        What is in the folder or file.
    is_mine : callable
        Whether a folder or file is of it.
    read : callable
        Its runs, each with a reason where it cannot be simulated.
    endings : tuple of str
        How names of files end that may be of it.
    """

    about: str
    is_mine: Callable[[Path], bool]
    read: Callable[[Path], Iterator[Case | NotSimulated]]
    endings: tuple[str, ...] = (".csv", ".csv.gz")


#: Layouts of whole folders; what else is in such a folder belongs to it.
FOLDERS = {
    "requests": Layout(
        "runs.csv and requests/RUN_ID.csv[.gz]: one row a request",
        request_runs.is_request_folder,
        request_runs.read_request_folder,
    ),
    "steps": Layout(
        "workload.json, engine.json and runK.requests.jsonl: one closed-loop run",
        step_runs.is_step_folder,
        step_runs.read_step_folder,
    ),
}

#: Layouts of single files; the first that fits is taken.
FILES = {
    "stages": Layout(
        "run_id, stage, workload, latencies: one row a load stage",
        stage_tables.is_stage_table,
        stage_tables.read_stage_table,
    ),
    "chats": Layout(
        "replicas, routing, threads or max_conversations: one run of chats a row",
        chats.is_chat_table,
        chats.read_chat_table,
    ),
    "bench": Layout(
        "n_ok, totals of tokens, ttft and tpot: one result of vLLM's benchmark a row",
        bench_tables.is_bench_table,
        bench_tables.read_bench_table,
    ),
    "variants": Layout(
        "hardware, variant, ttft and tpot: one weight format a row",
        bench_tables.is_variant_table,
        bench_tables.read_variant_table,
    ),
    "grid": Layout(
        "prompt_tokens, longest_prefix_sent_before_tokens, concurrency: one point a row",
        points.is_grid,
        points.read_grid,
    ),
    "batches": Layout(
        "batch, output_tokens, output_tok_per_s: one offline batch a row",
        points.is_batch_table,
        points.read_batch_table,
    ),
    "results": Layout(
        "what `vllm bench serve --save-result` writes: one run a file",
        bench_files.is_bench_file,
        bench_files.read_bench_file,
        endings=(".json", ".json.gz"),
    ),
    "loops": Layout(
        "concurrency or load, lengths, latencies: one closed loop a row",
        points.is_loop_table,
        mixtures.read_loop_table,
    ),
}


def read_cases(folder: Path) -> list[Case | NotSimulated]:
    """All measured runs in a folder, in the order of its names.

    Parameters
    ----------
    folder : Path
        In one of the layouts, or a folder of such folders.

    Returns
    -------
    list of Case or NotSimulated
        Files of no layout are one `NotSimulated` for each folder.

    Raises
    ------
    UserError
        If it is no folder, holds no run, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of measured runs")
    cases = list(_search(folder.resolve()))
    if all(isinstance(case, NotSimulated) and case.reason.startswith(_UNKNOWN) for case in cases):
        raise UserError(f"{folder}: no measured runs in a known layout (docs/validation.md)")
    return cases


#: How the reason of files begins that are of no layout.
_UNKNOWN = "no layout of runs"


def _search(folder: Path) -> Iterator[Case | NotSimulated]:
    for layout in FOLDERS.values():
        if layout.is_mine(folder):
            yield from layout.read(folder)
            return
    unknown: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from _search(path)
            continue
        found = _layout_of(path)
        if found is not None:
            yield from found.read(path)
        elif path.suffix != ".md" and path.name != bench_files.SERVER_FILE:
            unknown.append(path.name)
    if unknown:
        reason = f"{_UNKNOWN}: {', '.join(unknown)}"
        yield NotSimulated(folder.name, folder.name, reason)


def _layout_of(path: Path) -> Layout | None:
    """The layout of a file, if it is of one."""
    mine = (layout for layout in FILES.values() if path.name.endswith(layout.endings))
    return next((layout for layout in mine if layout.is_mine(path)), None)

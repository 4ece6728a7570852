"""Which reader a file or folder needs: `read_observations`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentsim.calibration.bench import is_stated, read_bench
from agentsim.calibration.kernels import is_kernel_table, kernels_of_csv
from agentsim.calibration.observations import Observations, observe_steps
from agentsim.calibration.points import is_point_table, read_points
from agentsim.calibration.runs import gpus_of, observe_runs
from agentsim.calibration.steps import (
    ITERATION,
    Step,
    steps_of_csv,
    steps_of_jsonl,
    steps_of_log,
)
from agentsim.domain.config import Config
from agentsim.errors import ConfigError
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.system import build_system
from agentsim.validation import Case, NotSimulated, read_cases
from agentsim.validation.layouts import FILES
from agentsim.validation.tables import read_table


def read_observations(
    files: Sequence[Path], config: Config, *, sets: Sequence[str] = (), is_named: bool = True
) -> list[Observations]:
    """What was measured, file by file.

    Parameters
    ----------
    files : sequence of Path
        Steps as JSON lines (``.jsonl``) or as a table, a log of vLLM with its iterations, a table
        of kernels, or measured runs: a folder or file in a layout of `agentsim.validation`, a
        table of points, a result of ``vllm bench serve``. Each file may be gzipped.
    config : Config
        The GPU. Model and engine of steps and kernels; runs state their own.
    sets : sequence of str
        Settings for every run, after its own.
    is_named : bool
        Whether the model of `config` is one that was measured, not just the default.

    Raises
    ------
    UnknownName
        No such GPU or model.
    UserError
        Naming the file: cannot be read, of no known form, empty, with a wrong or negative value.
    """
    find_gpu(config.gpu), find_model(config.model)
    model = config.model if is_named else None
    return [_read(path, config, model, sets) for path in files]


def gpus_named_by(files: Sequence[Path]) -> list[str]:
    """The GPUs that runs among the files state themselves, each once."""
    cases = [case for path in files for case in _cases(path, "", "") or ()]
    return [name for name in gpus_of(cases) if name]


def _cases(path: Path, gpu: str, model: str | None) -> list[Case | NotSimulated] | None:
    """The runs in a folder or file; None where it holds steps or kernels."""
    if path.is_dir():
        return read_cases(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if path.name.endswith((".csv", ".csv.gz")):
        rows = read_table(path)
        columns = list(rows[0].fields) if rows else []
        if is_kernel_table(columns):
            return None
        if is_point_table(columns):
            return list(read_points(path, gpu, model))
    if path.name.endswith((".json", ".json.gz")) and not is_stated(path):
        return list(read_bench(path, gpu, model))
    layouts = (each for each in FILES.values() if path.name.endswith(each.endings))
    layout = next((each for each in layouts if each.is_mine(path)), None)
    return None if layout is None else list(layout.read(path))


def _read(path: Path, config: Config, model: str | None, sets: Sequence[str]) -> Observations:
    cases = _cases(path, config.gpu, model)
    name = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    if cases is not None:
        return observe_runs(name, cases, config.gpu, sets)
    if model is None:
        raise ConfigError(f"{path}: does not say what was measured: give --gpu and --model")
    if path.name.endswith((".csv", ".csv.gz")) and _is_kernels(path):
        import pandas as pd

        return kernels_of_csv(name, pd.read_csv(path), config)
    steps = list(_steps(path, config))
    if not steps:
        raise ConfigError(f"{path}: no step in it")
    return observe_steps(name, config, [shape for shape, _ in steps], [time for _, time in steps])


def _is_kernels(path: Path) -> bool:
    lines = _lines(path)
    return bool(lines) and is_kernel_table(lines[0].strip().split(","))


def _steps(path: Path, config: Config) -> Iterator[Step]:
    lines = _lines(path)
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".csv":
        return iter(steps_of_csv(str(path), lines))
    if suffix == ".jsonl":
        return iter(steps_of_jsonl(str(path), lines, find_model(config.model).window))
    if any(ITERATION.search(line) for line in lines):
        block_size = build_system(config).engine.block_size or 16
        return iter(steps_of_log(str(path), lines, block_size))
    raise ConfigError(
        f"{path}: expected steps (.jsonl, .csv), kernels or points (.csv), a log of vLLM with "
        "--enable-logging-iteration-details, a result of 'vllm bench serve' (.json), or a folder "
        "of measured runs"
    )


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        return text.decode("utf-8", "strict").splitlines()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error

"""Which reader a file needs: `read_observations`."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from agentsim.calibration.kernels import is_kernel_table, kernels_of_csv
from agentsim.calibration.observations import Observations, observe_steps
from agentsim.calibration.steps import ITERATION, steps_of_csv, steps_of_jsonl, steps_of_log
from agentsim.domain.config import Config
from agentsim.errors import ConfigError
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.system import build_system


def read_observations(files: Sequence[Path], config: Config) -> list[Observations]:
    """What was measured, file by file.

    Parameters
    ----------
    files : sequence of Path
        Steps as JSON lines (``.jsonl``) or as a table, a log of vLLM with its iterations, or a
        table of kernels; each may be gzipped.
    config : Config
        GPU, model and engine that were measured.

    Raises
    ------
    UnknownName
        No such GPU or model.
    ConfigError
        Naming the file: cannot be read, of no known form, empty.
    """
    find_gpu(config.gpu), find_model(config.model)
    return [_read(path, config) for path in files]


def _read(path: Path, config: Config) -> Observations:
    name = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    lines = _lines(path)
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if suffix == ".csv":
        columns = lines[0].strip().split(",") if lines else []
        if is_kernel_table(columns):
            import pandas as pd

            return kernels_of_csv(name, pd.read_csv(path), config)
        steps = steps_of_csv(str(path), lines)
    elif suffix == ".jsonl":
        steps = steps_of_jsonl(str(path), lines, find_model(config.model).window)
    elif any(ITERATION.search(line) for line in lines):
        block_size = build_system(config).engine.block_size or 16
        steps = steps_of_log(str(path), lines, block_size)
    else:
        raise ConfigError(
            f"{path}: expected steps (.jsonl, .csv), a table of kernels (.csv) or a log of vLLM "
            "with --enable-logging-iteration-details"
        )
    if not steps:
        raise ConfigError(f"{path}: no step in it")
    return observe_steps(name, config, [shape for shape, _ in steps], [time for _, time in steps])


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        return text.decode("utf-8", "strict").splitlines()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error

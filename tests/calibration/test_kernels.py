"""Tables of kernels: their factors are found again, and what cannot be used is refused."""

from __future__ import annotations

from itertools import product

import pandas as pd
import pytest

from agentsim.calibration.fit import fit
from agentsim.calibration.kernels import is_kernel_table, kernels_of_csv
from agentsim.calibration.parameters import prior_values
from agentsim.domain.config import Config
from agentsim.errors import ConfigError

CONFIG = Config(gpu="h100", model="llama-3.1-8b")


def gemms() -> pd.DataFrame:
    rows = product(["bfloat16"], [1, 16, 256, 4096], [4096, 14336], [4096, 8192])
    return pd.DataFrame([(*row, 1.0) for row in rows], columns=["dtype", *"mnk", "latency_ms"])


def attention() -> pd.DataFrame:
    rows = product([0, 2048, 8192], [0, 4096], [0, 64, 256], [512, 4096])
    columns = ["prefill_chunk", "kv_prefill", "n_decode", "kv_decode"]
    frame = pd.DataFrame(list(rows), columns=columns)
    frame = frame[(frame["prefill_chunk"] > 0) | (frame["n_decode"] > 0)].assign(time_us=1000.0)
    smallest = pd.DataFrame([(0, 0, 1, 16, 1.0)], columns=[*columns, "time_us"])
    return pd.concat([smallest, frame], ignore_index=True)


def test_factors_of_products_are_found_again() -> None:
    true = {"bandwidth_efficiency": 0.6, "compute_efficiency": 0.9}
    times = kernels_of_csv("t", gemms(), CONFIG).predict(true)
    observed = kernels_of_csv("t", gemms().assign(latency_ms=times * 1e3), CONFIG)
    found = fit([observed], list(true), prior_values(CONFIG))
    assert found.values == pytest.approx(true, rel=0.02)


def test_factors_of_attention_are_found_again() -> None:
    """The first row is the shortest kernel: what any costs, and too small to be used."""
    true = {
        "attention_bandwidth_efficiency": 0.7,
        "attention_compute_efficiency": 0.5,
        "mixed_decode_rows": 120.0,
    }
    frame = attention()
    times = kernels_of_csv("t", frame, CONFIG).predict(true)
    frame.loc[frame.index[1:], "time_us"] = times * 1e6
    observed = kernels_of_csv("t", frame, CONFIG)
    priors = prior_values(CONFIG) | {"mixed_decode_rows": 80.0}
    found = fit([observed], list(true), priors)
    assert found.values == pytest.approx(true, rel=0.02)


def test_rows_are_those_of_the_weight_format() -> None:
    frame = gemms().assign(dtype="fp8")
    with pytest.raises(ConfigError, match="no row of use for llama-3"):
        kernels_of_csv("t", frame, CONFIG)
    assert len(kernels_of_csv("t", frame, Config(gpu="h100", model="qwen3-8b-fp8"))) == len(frame)


def test_attention_that_leaves_units_idle_is_left_out() -> None:
    small = attention().assign(prefill_chunk=16, n_decode=1)
    with pytest.raises(ConfigError, match="no row of use"):
        kernels_of_csv("t", small, CONFIG)


def test_times_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="t: expected times above 0"):
        kernels_of_csv("t", gemms().assign(latency_ms=-1.0), CONFIG)


def test_kernel_tables_are_known_by_their_columns() -> None:
    assert is_kernel_table(list(gemms().columns))
    assert is_kernel_table(["layer", "tokens", "time_us"])
    assert not is_kernel_table(["num_tokens", "num_seqs", "seconds"])

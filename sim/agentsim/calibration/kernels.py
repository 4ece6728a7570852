"""Tables of kernel timings as observations: matrix products and attention, one kernel a row.

Each kernel is predicted with the rates of the step model, plus what every call costs whatever its
size: 3 us for a matrix product, the shortest time of the table for attention. Attention too small
to fill a GPU is left out: a step's time is made of larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from agentsim.calibration.observations import FloatArray, Observations, with_factors
from agentsim.domain.config import Config
from agentsim.domain.specs import ModelSpec
from agentsim.errors import ConfigError
from agentsim.machine.catalog import find_gpu, find_model
from agentsim.machine.factors import format_class, resolve_factors
from agentsim.machine.rates import Rates, work_out_rates

#: Names of weight types in tables of GEMMs, by weight format of the model.
_DTYPES = {
    "bf16": "bfloat16", "fp8": "fp8", "fp8-block": "fp8", "awq": "int4_wo", "gptq": "int4_wo",
    "w4a16": "int4_wo", "gptq-int8": "int8_wo",
}  # fmt: skip
_KV_BYTES = 2 * 2.0  # K and V, 16 bits

#: Launch and end of a matrix product.
_PRODUCT_S = 3e-6
#: Rows of a tile of queries, and tiles below which some of a GPU's multiprocessors have no work.
_TILE_ROWS, _LEAST_TILES = 128, 264
#: Decodes of fewer times the shortest kernel are all latency.
_LEAST_TIMES = 4.0

Times = Callable[[Rates], FloatArray]


def is_kernel_table(columns: list[str]) -> bool:
    """Whether a table with these columns is one of kernel timings."""
    return any(set(needed) <= set(columns) for needed in _READERS)


def kernels_of_csv(source: str, frame: pd.DataFrame, config: Config) -> Observations:
    """The kernels of a table, which its columns tell apart.

    Raises
    ------
    ConfigError
        If no row is in the weight format of the model and large enough, or a time is not positive.
    """
    reader = next(read for needed, read in _READERS.items() if set(needed) <= set(frame.columns))
    gpu, model = find_gpu(config.gpu, config.profile), find_model(config.model)
    regimes, seconds, times = reader(frame, model, config.engine.tensor_parallel_size)
    if not len(seconds):
        raise ConfigError(
            f"{source}: no row of use for {model.name} in {model.weight_format.name}: of another "
            "weight format, or kernels too small to fill a GPU"
        )
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise ConfigError(f"{source}: expected times above 0")

    def predict(values: Mapping[str, float]) -> FloatArray:
        cost = with_factors(config.cost, values, gpu, model)
        rates = work_out_rates(gpu, model, resolve_factors(gpu, model, cost))
        return times(rates) * 1e-9

    return Observations(source, regimes, seconds, predict, {format_class(gpu, model): model})


_Read = tuple[np.typing.NDArray[np.str_], FloatArray, Times]


def _gemm(frame: pd.DataFrame, model: ModelSpec, shards: int) -> _Read:
    del shards
    frame = frame[frame["dtype"] == _DTYPES.get(model.weight_format.name)]
    m, n, k = (frame[name].to_numpy(np.float64) for name in "mnk")
    seconds = frame["latency_ms"].to_numpy(np.float64) * 1e-3
    byte = n * k * model.weight_format.bits_per_weight / 8
    return _rows("matrix product", m), seconds, lambda rates: _product(rates, m, n, k, byte)


def _product(
    rates: Rates, m: FloatArray, n: FloatArray, k: FloatArray, weight_bytes: FloatArray
) -> FloatArray:
    memory = weight_bytes * rates.weight_byte
    compute = 2.0 * m * n * k * rates.weight_flop
    result: FloatArray = np.maximum(memory, compute) + rates.exposed * np.minimum(memory, compute)
    return result + 2.0 * m * (n + k) * rates.byte + _PRODUCT_S * 1e9


def _rows(name: str, m: FloatArray) -> np.typing.NDArray[np.str_]:
    size = np.where(m <= 16, "few", np.where(m < 1024, "some", "many"))
    return np.char.add(f"{name}, rows: ", size)


def _attention(frame: pd.DataFrame, model: ModelSpec, shards: int) -> _Read:
    """Attention alone: a table of decodes has one new token in every row, others are prefills."""
    del model, shards
    shortest = float(frame["latency_ms"].min())
    is_decode = bool((frame["new_tokens"] == 1).all())
    if is_decode:
        frame = frame[frame["latency_ms"] >= _LEAST_TIMES * shortest]
    else:
        frame = frame[_fills(frame["new_tokens"], frame["batch"] * frame["q_heads"])]
    count, start, batch, queries, heads, width = (
        frame[name].to_numpy(np.float64)
        for name in ("new_tokens", "past_tokens", "batch", "q_heads", "kv_heads", "head_dim")
    )
    pairs = 0.0 if is_decode else batch * (count * start + count * (count + 1) / 2)
    flops = 4.0 * pairs * queries * width
    byte = batch * (start + count) * heads * width * _KV_BYTES
    name = "decode attention" if is_decode else "prefill attention"
    return (
        np.full(len(frame), name),
        frame["latency_ms"].to_numpy(np.float64) * 1e-3,
        lambda rates: flops * rates.attention_flop + byte * rates.context_byte + shortest * 1e6,
    )


def _fills(count: pd.Series[int], copies: pd.Series[int] | float) -> pd.Series[bool]:
    """Whether there are tiles of queries for all multiprocessors."""
    return -(-count // _TILE_ROWS) * copies >= _LEAST_TILES


def _mixed_attention(frame: pd.DataFrame, model: ModelSpec, shards: int) -> _Read:
    """Attention of one chunk beside decodes, for the heads of `model`."""
    group = model.attention[0]
    heads = max(1, group.num_kv_heads // shards)
    queries = model.num_heads / shards
    shortest = float(frame["time_us"].min())
    no_prefill, no_decode = frame["prefill_chunk"] == 0, frame["n_decode"] == 0
    frame = frame[
        (no_prefill | _fills(frame["prefill_chunk"], queries))
        & (no_decode | (frame["n_decode"] * queries >= _LEAST_TILES))
        & (frame["time_us"] >= _LEAST_TIMES * shortest)
    ]
    count, start, decodes, context = (
        frame[name].to_numpy(np.float64)
        for name in ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode")
    )
    pair = 4.0 * queries * group.head_dim
    flops = pair * (count * start + count * (count + 1) / 2)
    token = heads * group.head_dim * _KV_BYTES
    byte = np.where(count > 0, (start + count) * token, 0.0)
    held = decodes * (context + 1)
    is_mixed = (count > 0) & (decodes > 0)
    regimes = np.where(
        is_mixed, "mixed attention", np.where(count > 0, "prefill attention", "decode attention")
    ).astype(np.str_)

    def times(rates: Rates) -> FloatArray:
        computed = np.where(is_mixed, rates.mixed_decode_rows, 0.0) * pair * rates.attention_flop
        decode = held * np.maximum(token * rates.context_byte, computed)
        prefill = flops * rates.attention_flop + byte * rates.context_byte
        result: FloatArray = prefill + decode + shortest * 1e3
        return result

    return regimes, frame["time_us"].to_numpy(np.float64) * 1e-6, times


def _layers(frame: pd.DataFrame, model: ModelSpec, shards: int) -> _Read:
    """Linear layers of one decoder layer; the others of the table are left out."""
    group = model.attention[0]
    query = model.num_heads * group.head_dim / shards
    key = max(1, group.num_kv_heads // shards) * group.head_dim
    inner = model.intermediate / shards
    shapes = {
        "qkv_proj": (query + 2 * key, model.hidden),
        "o_proj": (model.hidden, query),
        "gate_up_proj": (2 * inner, model.hidden),
        "down_proj": (model.hidden, inner),
    }
    frame = frame[frame["layer"].isin(list(shapes))]
    m = frame["tokens"].to_numpy(np.float64)
    n = np.array([shapes[name][0] for name in frame["layer"]], dtype=np.float64)
    k = np.array([shapes[name][1] for name in frame["layer"]], dtype=np.float64)
    byte = n * k * model.weight_format.bits_per_weight / 8
    seconds = frame["time_us"].to_numpy(np.float64) * 1e-6
    return _rows("linear layer", m), seconds, lambda rates: _product(rates, m, n, k, byte)


#: By the columns that a table must have.
_READERS: dict[tuple[str, ...], Callable[[pd.DataFrame, ModelSpec, int], _Read]] = {
    ("dtype", "m", "n", "k", "latency_ms"): _gemm,
    ("batch", "new_tokens", "past_tokens", "q_heads", "kv_heads", "head_dim", "latency_ms"):
        _attention,
    ("prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us"): _mixed_attention,
    ("layer", "tokens", "time_us"): _layers,
}  # fmt: skip

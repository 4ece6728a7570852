"""CPU memory for KV offloading (`--kv-offloading-size`): how many blocks, how fast they move."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from agentsim.domain.config import CostConfig, EngineConfig
from agentsim.domain.specs import GpuSpec
from agentsim.domain.units import GIB
from agentsim.errors import ConfigError
from agentsim.machine.capacity import KVCapacity
from agentsim.machine.catalog import factor_table
from agentsim.machine.factors import Factor, architecture

#: blocks lie in memory mapped page by page (v1/kv_offload/cpu/shared_offload_region.py)
PAGE_BYTES = 4096

_LINK = "host_link_bytes_per_s"


@dataclass(frozen=True, slots=True)
class HostMemory:
    """KV blocks in CPU memory of one replica.

    Attributes
    ----------
    num_blocks : int
        How many fit.
    block_ns : float
        Nanoseconds for the part of a block that one GPU holds, over its own link.
    link : Factor or None
        The link's bytes/s.
    """

    num_blocks: int
    block_ns: float
    link: Factor | None = None

    def assumptions(self) -> list[dict[str, Any]]:
        """What was not given by the user."""
        return [] if self.link is None else [asdict(self.link)]


def size_host_memory(
    gpu: GpuSpec, engine: EngineConfig, capacity: KVCapacity, cost: CostConfig
) -> HostMemory | None:
    """What vLLM 0.32 sets up (v1/kv_offload/cpu/spec.py); None: no offloading.

    Parameters
    ----------
    engine : EngineConfig
        `kv_offloading_size` is in GiB, of all GPUs of the replica together.

    Raises
    ------
    ConfigError
        If the platform has none, or the memory takes no block.
    """
    size = engine.kv_offloading_size
    if not size:
        return None
    if gpu.compute_capability == 0:
        raise ConfigError("engine.kv_offloading_size: vLLM offloads from GPUs only")
    block_bytes = capacity.block_bytes * engine.tensor_parallel_size
    num_blocks = int(size * GIB) // (-(-block_bytes // PAGE_BYTES) * PAGE_BYTES)
    if not num_blocks:
        raise ConfigError(
            f"engine.kv_offloading_size: {size} GiB hold no block of {block_bytes / GIB:.3g} GiB"
        )
    link = _link(gpu, cost)
    return HostMemory(num_blocks, capacity.block_bytes * 1e9 / link.value, link)


def _link(gpu: GpuSpec, cost: CostConfig) -> Factor:
    table = factor_table()
    row = {**table["offload"][_LINK], **table.get(architecture(gpu), {}).get(_LINK, {})}
    if cost.host_link_bytes_per_s is not None:
        return Factor(
            _LINK, cost.host_link_bytes_per_s, row["unit"], "assumed", f"given as cost.{_LINK}"
        )
    return Factor(_LINK, float(row["value"]), row["unit"], row["kind"], row["source"])

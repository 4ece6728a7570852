"""What each profile that ships is made of: `RECIPES`, and `ESTIMATED` for GPUs without data."""

from __future__ import annotations

from dataclasses import dataclass

from agentsim.domain.specs import FactorValue

RATES = (
    "bandwidth_efficiency", "compute_efficiency", "overlap_loss",
    "attention_bandwidth_efficiency", "attention_compute_efficiency",
)  # fmt: skip


@dataclass(frozen=True)
class Data:
    """Measurements that are fitted together.

    Attributes
    ----------
    files : tuple of str
        Patterns below the folder of measurements.
    model : str
        What was measured; runs state their own.
    settings : tuple of str
        How its server was set.
    """

    files: tuple[str, ...]
    model: str = "llama-3.1-8b"
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """What a profile is made of.

    Attributes
    ----------
    data : Data
        Kernels, steps or points, and the factors that are fitted to them.
    runs : tuple of str
        Folders or files of whole runs, and the overheads that are fitted to them: here, or
        elsewhere if they are given.
    judged : tuple of str
        Whole runs that are simulated with the profile and fitted to nothing: its ``spread``.
    given : tuple of (str, FactorValue)
        Rows that are neither; held while the others are fitted.
    """

    data: Data
    factors: tuple[str, ...] = RATES
    runs: tuple[str, ...] = ()
    overheads: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    given: tuple[tuple[str, FactorValue], ...] = ()


def aiconfigurator(name: str) -> Data:
    """GEMM and attention tables of one GPU, 16-bit weights."""
    tables = ("gemm", "context", "generation")
    return Data(tuple(f"aiconfigurator-kernels/{name}-{table}.csv.gz" for table in tables))


def llmservingsim(name: str, model: str, shards: int) -> Data:
    """Layers and attention of one model, as LLMServingSim's profiler timed them inside vLLM."""
    files = tuple(f"llmservingsim-kernels/{name}/{t}" for t in ("attention.csv.gz", "dense.csv"))
    return Data(files, model, (f"engine.tensor_parallel_size={shards}",))


NOT_APART = "held: one model was measured, so only its sum with the reading of weights is known"
STAGES, REQUESTS = "sim-to-real-aggregates/stages.csv", "inference-sim-training"
#: In steady state, by Little's law, not by simulation: docs/model.md.
OF_STAGES = f"load stages of 8 dense models ({STAGES}, vLLM 0.15.1)"
RECIPES = {
    "h100": Recipe(
        aiconfigurator("h100_sxm-vllm-0.19.0"),
        factors=tuple(name for name in RATES if name != "compute_efficiency"),
        runs=(STAGES,), overheads=("layer_overhead_s",), judged=(REQUESTS,),
        given=(
            ("compute_efficiency", FactorValue(
                0.79, "measured",
                "products of 1024 rows and more, 0.77 to 0.80; shorter ones, which the clock lasts "
                "for, reach 0.9", 0.05,
            )),
            ("mixed_decode_rows", FactorValue(16.0, "fitted", OF_STAGES, 0.3)),
            ("layer_overhead_s", FactorValue(27e-6, "fitted", OF_STAGES, 0.05)),
            ("step_overhead_s", FactorValue(0.1e-3, "fitted", OF_STAGES, 0.5)),
            ("sequence_overhead_s", FactorValue(1e-6, "fitted", OF_STAGES, 0.7)),
        ),
    ),
    "a100": Recipe(aiconfigurator("a100_sxm-vllm-0.14.0"), judged=(STAGES,)),
    "l40s": Recipe(aiconfigurator("l40s-vllm-0.24.0"), judged=(STAGES,)),
    "rtx4090": Recipe(
        llmservingsim("RTX4090-Llama-3.1-8B-bf16-tp1", "llama-3.1-8b", 1),
        factors=(*RATES, "mixed_decode_rows"),
        runs=("llmservingsim-bench",), overheads=("sequence_overhead_s",),
        given=(("allreduce_latency_s", FactorValue(
            9e-5, "fitted",
            "decode of 7B to 14B models on 2, 4 and 8 cards without peer access (vLLM 0.8.5)", 0.2,
        )),),
    ),
    "rtxpro6000": Recipe(
        llmservingsim("RTXPRO6000-Qwen3-32B-bf16-tp2", "qwen3-32b", 2),
        factors=(*RATES, "mixed_decode_rows"),
        runs=("llmservingsim-bench",), overheads=("link_efficiency",),
    ),
    "l4": Recipe(
        Data(("l4-points/mistral-7b_decode.csv", "l4-points/grids/gemma4-12b*.csv")),
        factors=("bandwidth_efficiency", "power_efficiency"),
        runs=("l4-points/published.csv",), overheads=("sequence_overhead_s",),
        given=(("step_overhead_s", FactorValue(
            0.6e-3, "fitted", "floor of Qwen2.5-0.5B decode, on a host of 4 virtual CPUs", 0.3,
        )),),
    ),
    "cpu": Recipe(
        Data(
            tuple(f"vllm-cpu/{run}/run?.steps.jsonl.gz"
                  for run in ("prefill-sweep", "prefill-batch", "decode-sweep")),
            "tiny-qwen2-82m",
            ("engine.enforce_eager=true", "engine.async_scheduling=false",
             "engine.num_gpu_blocks=2730", "engine.block_size=32", "engine.max_model_len=8192"),
        ),
        judged=tuple(f"vllm-cpu/{run}" for run in (
            "agents-1", "agents-4", "agents-4-cache", "agents-4-nocache", "agents-4-serial",
            "poisson-a")),
        given=(
            ("mixed_decode_rows", FactorValue(
                1.0, "measured", "steps with a prefill beside decodes take as long as both apart",
                0.02,
            )),
            ("eager_launch_s", FactorValue(
                1e-7, "assumed", "nothing is launched: the core computes by itself", 0.0,
            )),
            ("layer_overhead_s", FactorValue(24e-6, "assumed", NOT_APART, 0.3)),
            ("step_overhead_s", FactorValue(2e-3, "assumed", NOT_APART, 0.1)),
            ("scheduler_step_s", FactorValue(0.9e-3, "assumed", NOT_APART, 0.1)),
        ),
    ),
}  # fmt: skip
#: GPU -> the one whose factors it takes.
ESTIMATED = {"h100-pcie": "h100", "h200": "h100"}

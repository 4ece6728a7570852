"""The tables: published parameter counts, file sizes, names, local config.json files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import find_gpu, find_model, gpus, models

#: exact totals, from the safetensors index of each repository
PUBLISHED = {
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "qwen3-30b-a3b": 30_532_122_624,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "mistral-7b": 7_248_023_552,
    "mistral-7b-v0.1": 7_241_732_096,
    "mistral-nemo": 12_247_782_400,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "codellama-34b": 33_743_970_304,
    "yi-34b": 34_388_917_248,
    "gemma-2-9b": 9_241_705_984,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "deepseek-r1-distill-qwen-1.5b": 1_777_088_000,
}

#: what the measured runs were made with
MEASURED = """
Qwen/Qwen2.5-0.5B-Instruct mistralai/Mistral-7B-Instruct-v0.3 mistralai/Mistral-7B-v0.1
TheBloke/Mistral-7B-v0.1-AWQ google/gemma-4-12B-it-qat-w4a16-ct google/gemma-4-E4B-it-qat-w4a16-ct
neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8 Qwen/Qwen3-8B Qwen/Qwen3-14B Qwen/Qwen3-14B-FP8
Qwen/Qwen3-14B-AWQ Qwen/Qwen3-32B Qwen/Qwen3-32B-FP8 openai/gpt-oss-20b openai/gpt-oss-120b
nvidia/AceMath-7B-Instruct deepseek-ai/DeepSeek-R1-Distill-Llama-70B
deepseek-ai/DeepSeek-R1-Distill-Llama-8B deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
deepseek-ai/DeepSeek-R1-Distill-Qwen-14B deepseek-ai/DeepSeek-R1-Distill-Qwen-32B
deepseek-ai/DeepSeek-R1-Distill-Qwen-7B meta-llama/Meta-Llama-3-8B-Instruct google/gemma-2-9b-it
neuralmagic/Llama-3.1-Nemotron-70B-Instruct-HF-FP8-dynamic mistralai/Mixtral-8x7B-v0.1
meta-llama/Llama-3.1-8B-Instruct codellama/CodeLlama-34b-Instruct-hf meta-llama/Llama-2-70b-hf
meta-llama/Llama-2-7b-hf mistralai/Mixtral-8x22B-Instruct-v0.1 mistralai/Mixtral-8x22B-v0.1
RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic meta-llama/Llama-3.1-70B-Instruct
mistralai/Mistral-Nemo-Instruct-2407 01-ai/Yi-34B Qwen/Qwen2.5-7B-Instruct
Qwen/Qwen2.5-14B-Instruct-AWQ tiny-qwen2-82m qwen3-8b-awq qwen3-8b-gptq qwen3-8b-gptq-int8
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name: str) -> None:
    assert find_model(name).num_parameters == PUBLISHED[name]


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("qwen2.5-14b-awq", 9.98),
        ("qwen2.5-7b-awq", 5.57),
        ("llama-3.1-70b-awq", 39.77),
        ("gpt-oss-20b", 13.76),
        ("gpt-oss-120b", 65.25),
        ("llama-3.1-8b", 16.06),
    ],
)
def test_weights_have_the_size_of_the_published_files(name: str, gigabytes: float) -> None:
    assert find_model(name).weight_bytes / 1e9 == pytest.approx(gigabytes, rel=0.003)


def test_kv_bytes_follow_from_the_shape() -> None:
    qwen = find_model("qwen2.5-14b-awq")
    assert qwen.kv_bytes_per_token() == 192 * 1024
    assert qwen.kv_bytes_per_token(1.0) == 96 * 1024
    assert qwen.kv_bytes_per_token(num_shards=4) == 48 * 1024
    assert qwen.kv_bytes_per_token(num_shards=40) == 24 * 1024, "no fewer than one head"
    assert find_model("tiny-qwen2-82m").kv_bytes_per_token() == 12_288


@pytest.mark.parametrize("name", MEASURED)
def test_every_measured_model_is_known(name: str) -> None:
    assert find_model(name).num_parameters > 0


def test_names_are_short_and_lower_case_and_aliases_meet_no_name() -> None:
    for registry in (gpus(), models()):
        assert all(name == name.lower() and " " not in name for name in registry)
    aliases = [alias.lower() for model in models().values() for alias in model.aliases]
    assert len(aliases) == len(set(aliases))


def test_every_row_has_a_source_and_sane_numbers() -> None:
    for gpu in gpus().values():
        assert gpu.source
        assert 2**33 < gpu.memory_bytes < 2**40
        assert gpu.flops_16bit_per_s > (1e11 if gpu.name == "cpu" else 5e13)
    for model in models().values():
        assert model.source
        assert model.num_heads % model.attention[0].num_kv_heads == 0
        assert model.weight_bytes < 2.01 * model.num_parameters


def test_an_unknown_name_answers_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'h100'"):
        find_gpu("h10")
    with pytest.raises(UnknownName, match=r"did you mean 'llama-3.1-8b'"):
        find_model("llama3.1-8b")


QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "sliding_window": 131072,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
    "quantization_config": {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
    },
}


def write(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return str(folder)


def test_a_local_config_gives_the_model_of_the_table(tmp_path: Path) -> None:
    local, known = find_model(write(tmp_path, QWEN)), find_model("qwen2.5-14b-awq")
    assert local.num_parameters == known.num_parameters
    assert local.weight_bytes == known.weight_bytes
    assert local.window is None


def test_a_local_mixture_with_windows_gives_the_model_of_the_table(tmp_path: Path) -> None:
    config = {
        "model_type": "gpt_oss",
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 201088,
        "max_position_embeddings": 131072,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "attention_bias": True,
        "tie_word_embeddings": False,
        "quantization_config": {
            "quant_method": "mxfp4",
            "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router"],
        },
    }
    local, known = find_model(write(tmp_path, config)), find_model("gpt-oss-20b")
    assert local.num_parameters == known.num_parameters
    assert local.weight_bytes == known.weight_bytes
    assert local.window == 128


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": -1}, "field 'hidden_size': expected an integer >= 1, got -1"),
        ({"num_hidden_layers": None}, "field 'num_hidden_layers': expected an integer >= 1"),
        ({"quantization_config": {"quant_method": "magic"}}, "'magic' is not modelled; known: awq"),
        ({"kv_lora_rank": 512}, "multi-head latent attention is not modelled"),
    ],
)
def test_a_config_that_cannot_be_used_names_file_and_field(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        find_model(write(tmp_path, {**QWEN, **change}))
    assert "config.json: " in str(caught.value)
    assert message in str(caught.value)


def test_a_path_without_a_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        find_model(str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        find_model(str(tmp_path))

"""The arguments of a user's own `vllm serve`."""

from __future__ import annotations

import pytest

from agentsim.domain.config import EngineConfig, load_config
from agentsim.errors import ConfigError
from agentsim.machine.vllm_args import SETTINGS, other_arguments, parse_vllm_args


def test_a_whole_command_becomes_settings() -> None:
    args = parse_vllm_args(
        "vllm serve Qwen/Qwen2.5-14B-Instruct-AWQ --max-model-len 32K --gpu-memory-utilization=0.9 "
        "-tp 2 --no-enable-prefix-caching --max_num_seqs 8 --cudagraph-capture-sizes 1 2 4 "
        "--port 8000 --trust-remote-code --allowed-origins a b --enforce-eager "
        '--speculative-config \'{"method": "ngram", "num_speculative_tokens": 5}\''
    )
    assert args.settings == {
        "model": "Qwen/Qwen2.5-14B-Instruct-AWQ",
        "engine.max_model_len": 32768,
        "engine.gpu_memory_utilization": 0.9,
        "engine.tensor_parallel_size": 2,
        "engine.enable_prefix_caching": False,
        "engine.max_num_seqs": 8,
        "engine.cudagraph_capture_sizes": [1, 2, 4],
        "engine.enforce_eager": True,
        "engine.speculative_method": "ngram",
        "engine.num_speculative_tokens": 5,
    }
    assert args.without_effect == ("--port", "--trust-remote-code", "--allowed-origins")
    assert load_config(engine_args=args.settings).engine.max_model_len == 32768


@pytest.mark.parametrize(
    ("text", "value"), [("8k", 8000), ("8K", 8192), ("1.5k", 1500), ("77", 77)]
)
def test_integers_are_read_as_vllm_reads_them(text: str, value: int) -> None:
    settings = parse_vllm_args(f"--max-num-batched-tokens {text}").settings
    assert settings == {"engine.max_num_batched_tokens": value}


def test_a_compilation_config_gives_the_captured_sizes() -> None:
    args = parse_vllm_args(
        """-cc '{"cudagraph_capture_sizes": [1, 8], "cudagraph_mode": "NONE"}'"""
    )
    assert args.settings == {
        "engine.cudagraph_capture_sizes": [1, 8],
        "engine.enforce_eager": True,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--max-num-seq 3", "--max-num-seq: unknown argument; did you mean --max-num-seqs?"),
        ("--max-num-seqs x", "--max-num-seqs: expected an integer such as 8192 or 8k, got 'x'"),
        ("--block-size", "--block-size: expected a value"),
        ("--data-parallel-size 2", "--data-parallel-size: not modelled; leave it out to ignore it"),
        ("--zzz", "--zzz: unknown argument; leave it out to ignore it"),
        ("--enforce-eager=maybe", "--enforce-eager: expected no value, got 'maybe'"),
        ("-sc '{]'", "--speculative-config: expected a JSON object, got '{]'"),
        ("--port 80 stray", None),
        ("--port '80", "no closing quotation"),
        ("-x 3", "expected an argument that begins with --, got '-x'"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_argument(text: str, message: str | None) -> None:
    if message is None:
        assert parse_vllm_args(text).settings == {}
        return
    with pytest.raises(ConfigError) as caught:
        parse_vllm_args(text)
    assert str(caught.value).startswith("--vllm-args: ")
    assert message in str(caught.value)


def test_every_argument_stands_for_a_setting_and_is_in_one_list_only() -> None:
    for setting, _ in SETTINGS.values():
        assert (
            setting == "model" or setting.removeprefix("engine.") in EngineConfig.__struct_fields__
        )
    lists = [frozenset(SETTINGS), *other_arguments().values()]
    assert sum(map(len, lists)) == len(frozenset().union(*lists))

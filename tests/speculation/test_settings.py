"""Settings that contradict one another, or the method, are one clear line."""

from __future__ import annotations

from typing import Any

import pytest

from agentsim.domain.speculation import SpeculationConfig, check_speculation
from agentsim.errors import ConfigError, DoesNotFit, TraceError, UnknownName
from agentsim.machine.system import build_system
from agentsim.machine.vllm_args import parse_vllm_args
from speculation.replays import config, replay, trace


@pytest.mark.parametrize(
    ("method", "given", "message"),
    [
        ("none", {"draft_model": "qwen2.5-0.5b"}, "speculation.draft_model: nothing is drafted"),
        ("none", {"rate": 0.0}, "speculation.rate: nothing is drafted with engine.speculative"),
        ("draft_model", {}, "'draft_model' needs the name of one, such as qwen2.5-0.5b"),
        ("ngram", {"draft_model": "x"}, "only for engine.speculative_method 'draft_model', got"),
        ("eagle", {"proposal": 0.5}, "only for engine.speculative_method 'ngram' or 'suffix'"),
        ("ngram", {"tree_tokens": 9}, "only for engine.speculative_method 'medusa', got 'ngram'"),
        ("ngram", {"window": 9}, "only for engine.speculative_method 'lookahead', got 'ngram'"),
        ("medusa", {"tree_tokens": 3}, "expected more than num_speculative_tokens (3)"),
        ("ngram", {"rate": 0.1, "rates": (0.1,) * 3}, "give one of them, not both"),
        ("ngram", {"rates": (0.1,)}, "expected one for each of the 3 draft tokens, got 1"),
        ("ngram", {"rates": (0.1, 0.2, 0.1)}, "expected numbers that never grow"),
    ],
)
def test_a_contradiction_is_named(method: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_speculation(SpeculationConfig(**given), method, 3)
    assert message in str(caught.value)


@pytest.mark.parametrize("method", ["ngram", "medusa", "suffix", "lookahead"])
def test_asynchronous_scheduling_forced_on_is_refused_where_there_is_none(method: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.async_scheduling: vLLM 0\.32 has none with"):
        build_system(config(method, engine={"async_scheduling": True}))


def test_a_draft_model_of_another_vocabulary_is_refused_unless_it_is_mapped() -> None:
    settings = config("draft_model", draft_model="llama-2-7b")
    with pytest.raises(ConfigError, match=r"a vocabulary of 32000 and qwen2\.5-3b one of 151936"):
        build_system(settings)
    mapped = config(
        "draft_model",
        draft_model="qwen2.5-7b",
        heterogeneous_vocab=True,
        engine={"gpu_memory_utilization": 0.5},
    )
    assert build_system(mapped).engine.async_scheduling is True


def test_an_unknown_draft_model_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown model 'qwen2.5-0.5'; did you mean"):
        build_system(config("draft_model", draft_model="qwen2.5-0.5"))


def test_a_draft_model_that_does_not_fit_shows_what_it_takes() -> None:
    settings = config("draft_model", draft_model="qwen3-32b")
    with pytest.raises(DoesNotFit, match=r"GiB, 61\.\d+ GiB of the draft model qwen3-32b and"):
        build_system(settings)


def test_heads_that_leave_no_room_for_the_longest_request_are_named() -> None:
    settings = config(
        "medusa", 20, engine={"max_model_len": 32768, "gpu_memory_utilization": 0.305}
    )
    with pytest.raises(DoesNotFit, match=r"usable \(.* GiB beside .* GiB of the 20 Medusa heads\)"):
        build_system(settings)


def test_a_model_with_heads_that_cannot_be_divided_is_refused() -> None:
    settings = config("draft_model", engine={"tensor_parallel_size": 4})
    with pytest.raises(ConfigError, match=r"qwen2\.5-0\.5b has 14 attention heads, which"):
        build_system(settings)


def test_a_trace_that_lacks_its_acceptance_is_refused_before_anything_runs() -> None:
    with pytest.raises(TraceError, match="request s0/0: the acceptance model 'trace' needs"):
        replay(config("ngram", acceptance="trace"))
    run = replay(config("ngram", acceptance="trace"), trace(ngram_acceptance=1.0))
    assert (run.requests["accepted_tokens"] == run.requests["drafted_tokens"]).all()
    kinds = [row["kind"] for row in run.assumptions if "acceptance" in row["name"]]
    assert kinds == ["measured"]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (
            """-sc '{"model": "Qwen/Qwen2.5-0.5B", "num_speculative_tokens": 2}'""",
            {
                "engine.speculative_method": "draft_model",
                "engine.num_speculative_tokens": 2,
                "speculation.draft_model": "Qwen/Qwen2.5-0.5B",
            },
        ),
        (
            """-sc '{"model": "x/y", "method": "draft_model", "num_speculative_tokens": 2,
            "use_heterogeneous_vocab": true}'""",
            {
                "engine.speculative_method": "draft_model",
                "engine.num_speculative_tokens": 2,
                "speculation.draft_model": "x/y",
                "speculation.heterogeneous_vocab": True,
            },
        ),
        (
            """-sc '{"model": "yuhuili/EAGLE3-LLaMA3.1-8B", "num_speculative_tokens": 3}'""",
            {"engine.speculative_method": "eagle3", "engine.num_speculative_tokens": 3},
        ),
        (
            "--spec-method medusa --spec-model some/heads --spec-tokens 4",
            {"engine.speculative_method": "medusa", "engine.num_speculative_tokens": 4},
        ),
        (
            "--spec-model Qwen/Qwen2.5-0.5B --spec-tokens 4",
            {
                "engine.speculative_method": "draft_model",
                "engine.num_speculative_tokens": 4,
                "speculation.draft_model": "Qwen/Qwen2.5-0.5B",
            },
        ),
        (
            """-sc '{"method": "deepseek_mtp", "num_speculative_tokens": 1}'""",
            {"engine.speculative_method": "mtp", "engine.num_speculative_tokens": 1},
        ),
        (
            """-sc '{"model": "[ngram]", "num_speculative_tokens": 5, "prompt_lookup_max": 4}'""",
            {"engine.speculative_method": "ngram", "engine.num_speculative_tokens": 5},
        ),
    ],
)
def test_vllms_own_arguments_stand_for_these_settings(text: str, settings: dict[str, Any]) -> None:
    assert parse_vllm_args(text).settings == settings

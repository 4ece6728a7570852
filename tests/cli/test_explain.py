"""``agentsim explain`` and ``agentsim score`` as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from agentsim.study.explanation import explanation_schema
from agentsim.study.score_document import score_schema
from cli.program import agentsim, fails

DOCS = Path(__file__).parents[2] / "docs"
TRACE = str(DOCS.parent / "traces" / "itbench-sre.jsonl")
SCHEMAS = {"explain": explanation_schema, "score": score_schema}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_the_one_the_code_states(name: str) -> None:
    published = json.loads((DOCS / f"{name}-schema.json").read_text(encoding="utf-8"))
    assert published == SCHEMAS[name]()


@pytest.mark.parametrize(
    "args",
    [
        ("explain", "-c", "hf", "-c", "full"),
        ("explain",),
        ("explain", "-c", "hf", "--pairs", "2", "--metric", "cost"),
        ("score",),
    ],
)
def test_json_obeys_the_published_schema_and_is_the_same_each_time(
    args: tuple[str, ...], trace: str
) -> None:
    name, *more = args
    texts = [agentsim(name, trace, "--json", *more).stdout for _ in "ab"]
    assert texts[0] == texts[1]
    jsonschema.validate(json.loads(texts[0]), SCHEMAS[name](), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    "args",
    [
        ("explain", "-c", "hf", "-c", "gpu=h100 engine.max_num_seqs=7"),
        ("explain", "--metric", "cost/session", "--pairs", "3", "-c", "spec", "-c", "full"),
        ("explain", "--agents", "2", "--set", "engine.max_num_seqs=1"),
        ("explain",),
        ("score",),
        ("score", "--engine", "hf"),
    ],
)
def test_text_fits_the_screen_in_ascii_too(
    args: tuple[str, ...], trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = agentsim(args[0], trace, *args[1:]).stdout
    assert max(map(len, text.splitlines())) <= 80
    monkeypatch.setattr("agentsim.cli.screen.is_ascii", lambda: True)
    plain = agentsim(args[0], trace, *args[1:]).stdout
    assert plain.isascii()
    assert max(map(len, plain.splitlines())) <= 80


def test_signs_are_seen_without_colour() -> None:
    """What takes away has ``-`` bars, what adds ``+`` bars, in the direction of its number."""
    lines = agentsim("explain", TRACE, "-c", "hf", "-c", "full", "--no-bounds").stdout.splitlines()
    shown = [line for line in lines if line.startswith(("model code", "API server"))]
    assert [line.split()[2] for line in shown] == ["-6,996", "+1.28"]
    assert "-----" in shown[0]
    assert shown[1].split()[3] == "+"


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_waterfall_is_drawn(ending: str, tmp_path: Path, trace: str) -> None:
    """Twice the same bytes."""
    files = [tmp_path / f"{name}{ending}" for name in "ab"]
    for file in files:
        result = agentsim("explain", trace, "-c", "hf", "-c", "full", "--plot", str(file))
        assert result.exit_code == 0, result.output
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(tmp_path.glob(f"*{ending}")) == files


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("-c", "full", "-c", "full"), "full and full are the same configuration"),
        (("-c", "hf", "-c", "full", "-c", "spec"), "-c: expected at most two"),
        (("--metric", "ttftt"), "unknown figure 'ttftt'; did you mean 'ttft'"),
        (("--metric", "ttft"), "say which, such as 'p95 ttft'"),
        (("-c", "fulll"), "-c 'fulll': expected FILE.toml"),
        (("-c", "engine.max_num_seq=1"), "did you mean 'max_num_seqs'"),
        (("--agents", "0"), "--agents: expected"),
        (("-c", "full", "-c", "model=qwen2.5-14b"), "model=qwen2.5-14b: qwen2.5-14b does not fit"),
        (("--plot", "x.png"), "--plot: the run has vLLM's defaults"),
        (("--plot", "x.jpg", "-c", "hf"), "ends in .png or .svg or .pdf"),
        (("--force",), "--force: there is no --plot"),
        (("--pairs", "0"), "--pairs"),
    ],
)
def test_wrong_use_of_explain_is_one_line(args: tuple[str, ...], message: str, trace: str) -> None:
    assert message in fails("explain", trace, *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--weights", "comp.lat=0.5"), "comp.lat 0.5 + comp.mem 0 + comp.thr 0 = 0.5"),
        (("--target", "speed=3"), "unknown target 'speed'"),
        (("--max-interventions", "0"), "--max-interventions"),
        (("--api", "gpt-99"), "gpt-99"),
    ],
)
def test_wrong_use_of_score_is_one_line(args: tuple[str, ...], message: str, trace: str) -> None:
    assert message in fails("score", trace, *args)

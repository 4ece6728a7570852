"""The JSON result: stable bytes, and what its published schema says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from agentsim.report.document import result_json, result_schema
from agentsim.report.summary import summarize
from report.runs import run, two_turns

PUBLISHED = Path(__file__).parents[2] / "docs" / "result-schema.json"


def schema() -> dict[str, object]:
    return dict(json.loads(PUBLISHED.read_text(encoding="utf-8")))


def test_the_published_schema_is_the_one_the_code_states() -> None:
    assert schema() == result_schema()


@pytest.mark.parametrize("made", [two_turns(), run([], [], [])], ids=["two turns", "empty"])
def test_a_result_obeys_the_published_schema(made: object) -> None:
    document = json.loads(result_json(made, summarize(made)))  # type: ignore[arg-type]
    jsonschema.validate(document, schema(), cls=jsonschema.Draft202012Validator)


def test_the_schema_refuses_a_result_with_a_figure_too_many_or_too_few() -> None:
    document = json.loads(result_json(two_turns(), summarize(two_turns())))
    document["summary"]["guess"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())
    del document["summary"]["guess"], document["summary"]["runtime_s"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema())


def test_the_same_run_gives_the_same_bytes_with_sorted_keys() -> None:
    texts = [result_json(two_turns(b=1, a=np.int64(2)), summarize(two_turns())) for _ in "ab"]
    assert texts[0] == texts[1]
    assert texts[0] == json.dumps(json.loads(texts[0]), sort_keys=True, indent=2) + "\n"
    assert json.loads(texts[0])["facts"] == {
        "a": 2,
        "b": 1,
        "block_size": 16,
        "num_gpu_blocks": 101,
    }


def test_what_is_not_a_number_of_json_is_refused() -> None:
    made = replace(two_turns(), config={"rate": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        result_json(made, summarize(made))

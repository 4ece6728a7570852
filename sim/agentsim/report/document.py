"""The result as one JSON object, and its JSON Schema.

`Result` is the contract: the schema published in ``docs/result-schema.json`` is generated from it.
The bytes depend on the run alone: keys are sorted and nothing says when or where it was made.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec
import numpy as np

from agentsim.domain.records import Run
from agentsim.report.figures import Summary


class Assumption(msgspec.Struct, frozen=True):
    """A value the result rests on, where it comes from, and the standard error of its logarithm."""

    name: str
    value: Any
    kind: Literal["measured", "fitted", "datasheet", "assumed"]
    source: str
    unit: str = ""
    error: float = 0.0


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``agentsim replay --json`` prints."""

    schema_version: Literal[1]
    agentsim_version: str
    config: dict[str, Any]
    facts: dict[str, Any]
    summary: Summary
    assumptions: list[Assumption]
    notes: dict[str, int]


def result_json(run: Run, summary: Summary) -> str:
    """One JSON object, indented, keys sorted, with a newline at its end."""
    document = {
        "schema_version": 1,
        "agentsim_version": package_version(),
        "config": run.config,
        "facts": plain_facts(run.facts),
        "summary": msgspec.to_builtins(summary),
        "assumptions": list(run.assumptions),
        "notes": run.notes,
    }
    return (
        json.dumps(document, sort_keys=True, indent=2, allow_nan=False, default=plain_number) + "\n"
    )


def result_schema() -> dict[str, Any]:
    """The JSON Schema of `Result`, as published."""
    return schema_of(Result)


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a document."""
    schema = msgspec.json.schema(kind)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def plain_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts without their arrays, which the summary condenses."""
    return {name: fact for name, fact in facts.items() if not isinstance(fact, np.ndarray)}


def package_version() -> str:
    """The version of agentsim that is installed."""
    from importlib.metadata import version

    return version("agentsim")


def plain_number(value: object) -> int | float:
    """A numpy number as the plain number that it is."""
    if isinstance(value, np.integer | np.floating):
        plain: int | float = value.item()
        return plain
    raise TypeError(f"{type(value).__name__} is not plain data")

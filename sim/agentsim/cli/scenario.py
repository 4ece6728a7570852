"""The shape of a scenario of scheduling, to refuse what is not one with a clear line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from agentsim.errors import TraceError

Natural = Annotated[int, msgspec.Meta(ge=0)]
Some = Annotated[int, msgspec.Meta(ge=1)]


class After(msgspec.Struct):
    """The request that must have finished."""

    request: str
    gap_steps: Natural = 0


class Request(msgspec.Struct):
    """One request; its fields are explained in tests/oracle."""

    id: str
    prompt: Annotated[list[tuple[str, Some]], msgspec.Meta(min_length=1)]
    output_len: Some
    arrival_step: Natural = 0
    after: After | None = None
    priority: int = 0
    finish: Literal["length", "stop"] = "length"
    draft_len: list[Natural] = []
    accept: list[Natural] = []


class Scenario(msgspec.Struct):
    """A load and the settings it meets."""

    requests: list[Request]
    config: dict[str, Any] = {}
    name: str = ""


def read_scenario(place: str) -> dict[str, Any]:
    """A scenario from a file, or from stdin for ``-``.

    Raises
    ------
    TraceError
        If it cannot be read, or is not of the shape of `Scenario`.
    """
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
        scenario: dict[str, Any] = json.loads(text)
        msgspec.convert(scenario, Scenario)
    except OSError as error:
        raise TraceError(f"{place}: {(error.strerror or str(error)).lower()}") from error
    except json.JSONDecodeError as error:
        raise TraceError(f"{place}:{error.lineno}: not valid JSON: {error.msg.lower()}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise TraceError(f"{place}: not valid JSON: {error}") from error
    except msgspec.ValidationError as error:
        raise TraceError(f"{place}: not a scenario: {_lower(str(error))}") from error
    return scenario


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

"""The fields of agentsim-trace v1, as they stand on a line, and what is wrong with a line.

Decoding is strict and quick (`msgspec.convert`); only for a line that fails are its fields walked
one by one, so that all faults can be told at once.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import Meta

from agentsim.workload.lines import show

#: Far above any real prompt; sums over a million calls still fit in 64 bits.
MAX_TOKENS = 1 << 40
#: In seconds, 126 years: a time since 1970 passes, and as nanoseconds fits in 63 bits.
MAX_SECONDS = 4e9

Count = Annotated[int, Meta(ge=0, le=MAX_TOKENS, description="an integer >= 0")]
Positive = Annotated[int, Meta(ge=1, le=MAX_TOKENS, description="an integer >= 1")]
Integer = Annotated[int, Meta(ge=-(1 << 31), le=1 << 31, description="an integer")]
Seconds = Annotated[float, Meta(ge=0, le=MAX_SECONDS, description="a number of seconds >= 0")]
Name = Annotated[str, Meta(min_length=1, description="a string that is not empty")]


class HeaderRow(msgspec.Struct):
    """The header line."""

    format: str
    version: int
    time_unit: str = "s"
    source: str | None = None
    tokenizer: str | None = None
    block_size: Positive | None = None
    keep_covers: str = "input+output"
    keep_granularity: Positive | None = None


class SessionRow(msgspec.Struct):
    """A session line."""

    session: Name
    at: Seconds | None = None
    tenant: str | None = None
    deadline: Seconds | None = None
    slo: dict[str, Seconds] | None = None
    priority: Integer | None = None
    tool_tokens: Count | None = None
    system_tokens: Count | None = None
    keep_granularity: Positive | None = None


class ToolRow(msgspec.Struct):
    """A tool run in a call's `tools`."""

    name: str
    duration: Seconds | None = None
    result_tokens: Count | None = None


class MeasuredRow(msgspec.Struct):
    """A call's `measured`."""

    ttft: Seconds | None = None
    e2e: Seconds | None = None
    queue: Seconds | None = None
    cached_tokens: Count | None = None


class CallRow(msgspec.Struct):
    """A call line. Token counts have aliases, of which one must be there."""

    session: Name
    agent: Name = "main"
    id: Name | None = None
    turn: Count | None = None
    parent: str | None = None
    after: list[Name] | None = None
    at: Seconds | None = None
    delay: Seconds | None = None
    input_tokens: Count | None = None
    prompt_tokens: Count | None = None
    input_length: Count | None = None
    output_tokens: Count | None = None
    completion_tokens: Count | None = None
    output_length: Count | None = None
    prompt: list[tuple[Name, Count]] | None = None
    extends: Name | None = None
    keep: Count | None = None
    blocks: list[int | str] | None = None
    hash_ids: list[int | str] | None = None
    model: str | None = None
    adapter: str | None = None
    priority: Integer | None = None
    tenant: str | None = None
    deadline: Seconds | None = None
    slo: dict[str, Seconds] | None = None
    max_tokens: Positive | None = None
    finish: str | None = None
    tools: list[ToolRow] | None = None
    trigger: str | None = None
    measured: MeasuredRow | None = None
    input_estimated: bool | None = None
    output_estimated: bool | None = None


class _PlainTool(ToolRow, forbid_unknown_fields=True):
    pass


class _PlainMeasured(MeasuredRow, forbid_unknown_fields=True):
    pass


class PlainCallRow(CallRow, forbid_unknown_fields=True, kw_only=True):
    """A call line that says no more than `domain.trace.Call` has a place for."""

    type: Literal["call"]
    tools: list[_PlainTool] | None = None  # type: ignore[assignment]  # lists are invariant
    measured: _PlainMeasured | None = None
    tenant: None = None
    deadline: None = None
    slo: None = None


_decode_plain_call = msgspec.json.Decoder(PlainCallRow).decode


def plain_call(line: bytes) -> PlainCallRow | None:
    """The call on a line; None if it is something else, has more to it, or is bad in any way."""
    try:
        return _decode_plain_call(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


INPUT_NAMES = ("input_tokens", "prompt_tokens", "input_length")
OUTPUT_NAMES = ("output_tokens", "completion_tokens", "output_length")
BLOCK_NAMES = ("blocks", "hash_ids")


class Fault(NamedTuple):
    """Something wrong with a line: the fields it is about, and a message.

    The first field is the one that a reader should look at. `missing_call` is the call looked for
    where there is none.
    """

    fields: tuple[str, ...]
    message: str
    missing_call: str | None = None

    def __str__(self) -> str:
        return f"field '{self.fields[0]}': {self.message}"


Row = TypeVar("Row", bound=msgspec.Struct)


def faults_of_types(record: dict[str, Any], row_type: type[msgspec.Struct]) -> list[Fault]:
    """Every field of a record whose value is missing or not of its type."""
    return list(_struct_faults(record, row_type, ""))


def row_without(record: dict[str, Any], row_type: type[Row], faults: list[Fault]) -> Row | None:
    """The row that is left when faulty fields are taken out; None if one of them must be there."""
    bad = {field.partition(".")[0].partition("[")[0] for fault in faults for field in fault.fields}
    good = {name: value for name, value in record.items() if name not in bad}
    try:
        return msgspec.convert(good, row_type)
    except msgspec.ValidationError:
        return None


def _struct_faults(
    record: dict[str, Any], row_type: type[msgspec.Struct], path: str
) -> Iterator[Fault]:
    hints = get_type_hints(row_type, include_extras=True)
    for field in msgspec.structs.fields(row_type):
        hint = hints[field.name]
        if field.name in record:
            yield from _value_faults(record[field.name], hint, f"{path}{field.name}")
        elif field.required:
            yield Fault((f"{path}{field.name}",), f"missing, expected {_expected(hint)}")


def _value_faults(value: Any, hint: Any, path: str) -> Iterator[Fault]:
    try:
        msgspec.convert(value, hint)
        return
    except msgspec.ValidationError:
        pass
    inner = _without_none(hint)
    origin = get_origin(inner)
    if origin is list and isinstance(value, list):
        (item,) = get_args(inner)
        for index, element in enumerate(value):
            yield from _value_faults(element, item, f"{path}[{index}]")
    elif origin is dict and isinstance(value, dict):
        _, item = get_args(inner)
        for name, element in value.items():
            yield from _value_faults(element, item, f"{path}.{name}")
    elif isinstance(inner, type) and issubclass(inner, msgspec.Struct) and isinstance(value, dict):
        yield from _struct_faults(value, inner, f"{path}.")
    else:
        yield Fault((path,), f"expected {_expected(inner, value)}, got {show(value)}")


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [arg for arg in get_args(hint) if arg is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _expected(hint: Any, value: Any = None) -> str:
    """In words, what a field takes; `value` is what it got, to name the bound that it broke."""
    hint = _without_none(hint)
    for meta in getattr(hint, "__metadata__", ()):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and meta.le is not None and value > meta.le:
            return f"a number <= {meta.le}"
        return str(meta.description)
    words = {
        str: "a string",
        bool: "true or false",
        int: "an integer",
        tuple: "a pair [segment, tokens] with a name and an integer >= 0",
        list: "a list",
        Union: "an integer or a string",
        types.UnionType: "an integer or a string",
    }
    return words.get(get_origin(hint) or hint, "an object")

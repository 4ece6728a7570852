"""Strict reading of settings into structs: unknown names, wrong values, dotted ``NAME=VALUE``."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import msgspec

from agentsim.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

_CHOICES = "expected one of "
_TYPES = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}


def read_set(text: str) -> dict[str, Any]:
    """``"engine.max_num_seqs=1"`` as tables; the value is TOML, a bare word is text.

    Raises
    ------
    ConfigError
        If it is not of the form NAME=VALUE.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name or not value:
        raise ConfigError(f"--set {text!r}: expected NAME=VALUE, such as engine.max_num_seqs=1")
    try:
        parsed: Any = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = {"True": True, "False": False}.get(value, value)
    for part in reversed(name.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{"engine.block_size": 16}`` as tables within tables."""
    tables: dict[str, Any] = {}
    for name, value in settings.items():
        *parents, last = name.split(".")
        table = tables
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return tables


def flatten(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Tables within tables by dotted name: the opposite of `nested`."""
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{key}": each for key, each in flatten(value).items()}
        else:
            flat[name] = value
    return flat


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line.group(1)}" if line else f"{path}"
        raise ConfigError(f"{place}: not TOML: {error}") from error


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of `below` with those of `above` laid over them, at every depth."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(value, Mapping) and isinstance(under, Mapping):
            result[key] = merge(under, value)
        else:
            result[key] = value
    return result


def check_known(
    place: str, table: Mapping[str, Any], kind: type[msgspec.Struct], aliases: Mapping[str, str]
) -> dict[str, Any]:
    """`table` with aliases replaced, after all its keys were found to be fields of `kind`.

    Raises
    ------
    ConfigError
        Naming the key and the nearest field.
    """
    return _known(place, "", table, kind, aliases)


def _known(
    place: str,
    prefix: str,
    table: Mapping[str, Any],
    kind: type[msgspec.Struct],
    aliases: Mapping[str, str],
) -> dict[str, Any]:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    result: dict[str, Any] = {}
    for key, value in table.items():
        name = aliases.get(prefix + key, prefix + key)[len(prefix) :]
        if name not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(fields))}"
            raise ConfigError(f"{_where(place, prefix + key)}: unknown key; {hint}")
        if name in result:
            raise ConfigError(f"{_where(place, prefix + key)}: given twice, also as {name!r}")
        below = fields[name].type
        if not (isinstance(below, type) and issubclass(below, msgspec.Struct)):
            result[name] = value
        elif isinstance(value, Mapping):
            result[name] = _known(place, f"{prefix}{name}.", value, below, aliases)
        else:
            raise ConfigError(f"{_where(place, prefix + key)}: expected a table, got {value!r}")
    return result


def structured(place: str, table: Mapping[str, Any], kind: type[S]) -> S:
    """`table` as a struct.

    Raises
    ------
    ConfigError
        Naming the first wrong value and what was expected.
    """
    try:
        return msgspec.convert(table, kind, strict=True)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        path = re.sub(r"\[.*", "", path.rstrip("`").lstrip("."))
        value: Any = table
        for part in path.split("."):
            value = value.get(part, value) if isinstance(value, Mapping) else value
        expected = _described(kind, path) or _expected(text)
        told = f"{expected}, got {value!r}{_nearest(expected, value)}"
        raise ConfigError(f"{_where(place, path)}: {told}") from error


def _nearest(expected: str, value: object) -> str:
    """Which of the choices may have been meant."""
    choices = expected.removeprefix(_CHOICES).split(", ") if expected.startswith(_CHOICES) else []
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _where(place: str, name: str) -> str:
    """``config.toml: engine.x``; a place that names the setting already is not repeated."""
    return place if place == f"--set {name}" else f"{place}: {name}"


def _described(kind: type[msgspec.Struct], path: str) -> str:
    """What the field at `path` says of its form: its choices or its description; or nothing."""
    found: Any = kind
    for part in path.split("."):
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            return ""
        types = {field.name: field.type for field in msgspec.structs.fields(found)}
        found = types.get(part.partition("[")[0])
    if get_origin(found) is Annotated:
        texts = [meta.description for meta in found.__metadata__ if meta.description]
        return f"expected {texts[0]}" if texts else ""
    if get_origin(found) is Literal:
        return f"{_CHOICES}{', '.join(map(str, get_args(found)))}"
    return ""


def _expected(text: str) -> str:
    """What msgspec expected, in our words."""
    if found := re.match(r"Expected `([^`]*)`(.*?)(, got .*)?$", text):
        kinds = [_TYPES.get(kind, kind) for kind in found.group(1).split(" | ") if kind != "null"]
        return f"expected {' or '.join(kinds)}{found.group(2)}"
    return text[:1].lower() + text[1:]

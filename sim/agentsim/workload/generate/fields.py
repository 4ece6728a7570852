"""A profile as the text of its file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import msgspec

from agentsim.errors import ConfigError
from agentsim.workload.generate.distribution import Distribution
from agentsim.workload.generate.profile import Profile

_WIDTH = 100


def profile_text(profile: Profile, comments: Mapping[str, str]) -> str:
    """The TOML of a profile.

    Parameters
    ----------
    profile : Profile
    comments : mapping of str to str
        For a field such as ``prompt.first`` the line that stands above it.
    """
    lines: list[str] = []
    for table in msgspec.structs.fields(type(profile)):
        value = getattr(profile, table.name)
        if value is not None:
            lines += _table(f"[{table.name}]", table.name, value, comments)
    return "\n".join(lines[1:]) + "\n"


def _table(head: str, name: str, table: msgspec.Struct, comments: Mapping[str, str]) -> list[str]:
    lines, below = ["", head], []
    for field in msgspec.structs.fields(type(table)):
        value = getattr(table, field.name)
        if value is None or (value == () and not field.required):
            continue
        if value and isinstance(value, tuple) and isinstance(value[0], msgspec.Struct):
            for each in value:
                place = f"{name}.{field.name}"
                below += _table(f"[[{place}]]", f"{place}.{each.name}", each, comments)
            continue
        if comment := comments.get(f"{name}.{field.name}"):
            lines.append(f"# {comment}")
        plain = value.plain() if isinstance(value, Distribution) else value
        lines.append(f"{field.name} = {_value(plain)}")
    return lines + below


def _value(plain: Any) -> str:
    """A value of TOML, over several lines where it is long."""
    if isinstance(plain, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in plain.items()) + " }"
    if isinstance(plain, list | tuple):
        items = [_value(each) for each in plain]
        line = f"[{', '.join(items)}]"
        return line if len(line) < _WIDTH - 20 else f"[\n{_wrapped(items)}]"
    if isinstance(plain, float):
        return repr(int(plain)) if plain == int(plain) else repr(plain)
    return json.dumps(plain, ensure_ascii=False)


def _wrapped(items: list[str]) -> str:
    """Items over lines, each followed by a comma."""
    lines = [" "]
    for item in items:
        if len(lines[-1]) + len(item) + 2 > _WIDTH:
            lines.append(" ")
        lines[-1] += f" {item},"
    return "".join(f"{line}\n" for line in lines)


def write_profile(text: str, path: str) -> None:
    """Write the text of a profile: whole or not at all.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    partial = f"{path}.partial"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        if os.path.exists(partial):
            os.unlink(partial)

"""Pages of the reference, from the program itself: commands, settings, schemas, public names."""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import click
import msgspec

#: What an open setting stands for, by section.
_OPEN = {"engine": "vLLM's", "cost": "by GPU", "agents": "none", "speculation": "by method"}
_COMMANDS = """# Commands

What `agentsim COMMAND --help` says. Results go to stdout, progress and errors to stderr;
[exit codes](../results.md#exit-codes). Colour is used on terminals only, and never where the
variable `NO_COLOR` is set.
"""
_SETTINGS = """# Settings

A file for `--config` has these as TOML tables, `--set NAME=VALUE` sets one, `--vllm-args` takes
vLLM's own arguments. A later source replaces an earlier one: defaults, `--preset`, `--config`,
`--vllm-args`, `--gpu` and `--model`, `--set` and the options that stand for a setting. `agentsim
list settings` prints the names; [config-schema.json](config-schema.json) is the JSON Schema of such
a file.

A unit is in the name: `_s` seconds, `_bytes`, `_tokens`. An open default of the engine is vLLM
0.32's for the GPU and the model, one of `cost` that of the [factor](../model.md#factors).
"""
_SCHEMAS = """# JSON schemas

[`result-schema.json`](../result-schema.json): what `agentsim replay --json` prints;
[`compare-schema.json`](compare-schema.json), [`plan-schema.json`](plan-schema.json),
[`explain-schema.json`](../explain-schema.json), [`score-schema.json`](../score-schema.json): what
these commands print; [`config-schema.json`](config-schema.json): a file for `--config`. All are
JSON Schema 2020-12, made from the code. Below are the objects of a result, the whole first;
[What a result says](../results.md#json) has the definitions of its figures.
"""


def pages() -> dict[str, str]:
    """Content by place on the site."""
    from agentsim.domain.config import Config
    from agentsim.report.document import result_schema, schema_of
    from agentsim.study.compare_document import ComparisonDocument
    from agentsim.study.plan_document import PlanDocument

    return {
        "reference/commands.md": commands_page(),
        "reference/settings.md": settings_page(),
        "reference/schemas.md": schemas_page(result_schema()),
        "reference/config-schema.json": _json(schema_of(Config)),
        "reference/compare-schema.json": _json(schema_of(ComparisonDocument)),
        "reference/plan-schema.json": _json(schema_of(PlanDocument)),
    }


def commands_page() -> str:
    """Every command with its usage, its text, its examples and every option."""
    from agentsim.cli import command as group

    commands = (_command(name, each) for name, each in group.commands.items())
    return "\n".join([_COMMANDS, *commands])


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"agentsim {name}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {name}", "", "```text", usage, "```", ""]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            kind = "sh" if paragraph[2:].startswith(("agentsim", "eval")) else "text"
            lines += [f"```{kind}", paragraph[2:], "```", ""]
        else:
            lines += [_escaped(paragraph), ""]
    options = [param for param in command.params if isinstance(param, click.Option)]
    if options:
        lines += ["| option | |", "| --- | --- |", *(_option(each) for each in options), ""]
    return "\n".join(lines)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{option.metavar or option.type.name.upper()}`"
    notes = [option.help or ""]
    if option.required:
        notes.append("Required.")
    return f"| {names}{value} | {_cell(' '.join(notes))} |"


def settings_page() -> str:
    """Every setting with its default, what it may be, and what it means."""
    from agentsim.domain.config import Config

    defaults = Config()
    parts = [_SETTINGS, _settings("Of the run", "", defaults)]
    for field in msgspec.structs.fields(Config):
        section = getattr(defaults, field.name)
        if isinstance(section, msgspec.Struct):
            parts.append(_settings(f"`[{field.name}]`", field.name, section))
    return "\n".join(parts)


def _settings(title: str, section: str, defaults: msgspec.Struct) -> str:
    about = meanings(type(defaults))
    rows = []
    for field in msgspec.structs.fields(defaults):
        value = getattr(defaults, field.name)
        if isinstance(value, msgspec.Struct):
            continue
        default = _OPEN.get(section, "-") if value is None else f"`{json.dumps(value)}`"
        cells = (f"`{field.name}`", default, _cell(_kind(field.type)), _cell(about[field.name]))
        rows.append(f"| {' | '.join(cells)} |")
    head = "| setting | default | values | meaning |\n| --- | --- | --- | --- |"
    return "\n".join([f"## {title}", "", head, *rows, ""])


def meanings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What each field means: from the table of cost factors, else from the class's docstring."""
    from agentsim.domain.config import CostConfig

    if kind is CostConfig:
        return {name: f"{row['unit']}; {row['source']}" for name, row in _factors()}
    return dict(_attributes(inspect.getdoc(kind) or ""))


def _factors() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each factor's row, the general one where there are several."""
    import tomllib
    from importlib import resources

    from agentsim.machine.catalog import factor_table

    table = factor_table()
    for section in reversed(list(table)):
        if section in ("general", "offload"):
            yield from table[section].items()
    text = resources.files("agentsim.machine").joinpath("transformers.toml").read_text("utf-8")
    yield from tomllib.loads(text).items()


def _attributes(doc: str) -> Iterator[tuple[str, str]]:
    """Name and text of each attribute of a numpydoc docstring; several may share a text."""
    _, _, part = doc.partition("Attributes\n----------\n")
    for entry in re.finditer(
        r"^(\S[^\n:]*) : [^\n]*\n((?:(?:[ ]+[^\n]*)?\n?)*)", part, re.MULTILINE
    ):
        text = " ".join(entry[2].split())
        for name in entry[1].split(","):
            yield name.strip(), text


def _kind(kind: Any) -> str:
    from agentsim.cli.tables import _values

    return _values(kind)


def schemas_page(schema: Mapping[str, Any]) -> str:
    """The tables of the JSON result, each with its fields."""
    parts = [_SCHEMAS]
    objects = schema["$defs"]
    root = schema["$ref"].rsplit("/", 1)[-1]
    for name in (root, *(name for name in objects if name != root)):
        if "properties" in objects[name]:
            parts.append(_object(name, objects[name]))
    return "\n".join(parts)


def _object(name: str, schema: Mapping[str, Any]) -> str:
    about = " ".join(schema.get("description", "").split("\n\n")[0].split())
    rows = [f"| `{key}` | {_type(each)} |" for key, each in schema["properties"].items()]
    return "\n".join(
        [f"## {name}", "", _escaped(about), "", "| key | type |", "| --- | --- |", *rows, ""]
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A type in a few words, with links to the objects of this page."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items') or {})}"
    values = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(values, dict):
        return f"object of {_type(values)}"
    return str(schema.get("type", "any"))


def public_names() -> str:
    """The names of the package, for mkdocstrings."""
    import agentsim

    return "\n\n".join(f"::: {agentsim._HOME[name]}.{name}" for name in sorted(agentsim._HOME))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Docstring text as Markdown: ``code`` and `code` are code, stars and tags are letters."""
    plain = text.replace("``", "`")
    parts = plain.split("`")
    parts[::2] = [re.sub(r"([*_\[\]])", r"\\\1", html.escape(part, False)) for part in parts[::2]]
    return "`".join(parts)

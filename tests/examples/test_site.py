"""The generated reference is whole, and links between pages lead somewhere; mkdocs is not needed.

The site itself is built by `.ci/run`, where every warning is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import msgspec
import pytest
import reference

import agentsim
from agentsim.cli import command
from agentsim.domain.config import Config, to_plain
from examples.pages import PAGES, ROOT

GENERATED = reference.pages()
SECTIONS = [
    Config,
    *(
        type(section)
        for section in msgspec.structs.astuple(Config())
        if hasattr(section, "__struct_fields__")
    ),
]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_setting_has_a_meaning(section: type[msgspec.Struct]) -> None:
    about = reference.meanings(section)
    defaults = msgspec.structs.asdict(section())
    names = {name for name, value in defaults.items() if not isinstance(value, msgspec.Struct)}
    assert not [name for name in names if not about.get(name)]
    assert set(about) <= names, "documented, and not a setting"


def test_the_settings_page_has_every_setting_with_its_default() -> None:
    page = GENERATED["reference/settings.md"]
    listed = json.loads(json.dumps(list(_settings("", to_plain(Config())))))
    for name, default in listed:
        rows = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert rows, name
        if default is not None:
            assert any(f"| `{json.dumps(default)}` |" in row for row in rows), name


def _settings(section: str, plain: dict[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in plain.items():
        if isinstance(value, dict):
            yield from _settings(name, value)
        else:
            yield name, value


def test_the_commands_page_has_every_option() -> None:
    page = GENERATED["reference/commands.md"]
    for name, each in command.commands.items():
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert f"agentsim {name} " in part
        for param in each.params:
            assert not isinstance(param, click.Option) or f"| `{param.opts[0]}`" in part


def test_the_schemas_page_links_only_to_what_it_has() -> None:
    page = GENERATED["reference/schemas.md"]
    heads = {head.lower() for head in re.findall(r"^## (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", page)) <= heads
    assert "result" in heads


def test_the_schema_of_a_configuration_takes_the_defaults_and_nothing_unknown() -> None:
    schema = json.loads(GENERATED["reference/config-schema.json"])
    plain = json.loads(msgspec.json.encode(Config()))
    jsonschema.validate(plain, schema, cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**plain, "colour": 1}, schema)


def test_every_public_name_is_on_the_page_and_documented() -> None:
    for name in set(agentsim.__all__) - {"__version__"}:
        assert f".{name}" in reference.public_names()
        assert getattr(agentsim, name).__doc__


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    """In the repository, or to a page that the site generates."""
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8")):
        if "://" not in target:
            assert target in GENERATED or (path.parent / target).exists(), target

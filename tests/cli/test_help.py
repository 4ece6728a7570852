"""`--help` of every command: what each option is, and examples that parse."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from agentsim.cli import command
from cli.program import agentsim

EXAMPLE = re.compile(r"^  agentsim (\S.*(?:\\\n.*)*)$", re.MULTILINE)


def help_of(name: str) -> str:
    result = agentsim(name, "--help")
    assert result.exit_code == 0
    return result.stdout


def examples(name: str) -> list[str]:
    return [found for found in EXAMPLE.findall(help_of(name)) if found.split()[0] == name]


@pytest.mark.parametrize("name", command.commands)
def test_every_command_has_a_sentence_and_an_example(name: str) -> None:
    first = help_of(name).split("\n\n")[1].strip()
    assert first.endswith((".", ":"))
    assert examples(name), "no line 'agentsim NAME ...' in the help"


@pytest.mark.parametrize("name", command.commands)
def test_examples_parse(name: str) -> None:
    """Each names options and arguments that there are."""
    for line in examples(name):
        _, *words = shlex.split(re.split(r" [|>]", line)[0])
        command.commands[name].make_context(name, words)


@pytest.mark.parametrize("name", command.commands)
def test_help_fits_the_screen_and_documents_every_option(name: str) -> None:
    assert max(map(len, help_of(name).splitlines())) <= 80
    for param in command.commands[name].params:
        if isinstance(param, click.Option):
            assert (param.help or "").strip().endswith((".", ":", "none")), param.name
        says = (click.types.IntParamType, click.Choice)
        assert param.metavar or param.is_flag or isinstance(param.type, says)


def test_the_list_of_commands_says_what_each_does() -> None:
    text = agentsim("--help").stdout
    assert max(map(len, text.splitlines())) <= 80
    for name, each in command.commands.items():
        assert f"  {name} " in text
        assert each.short_help and each.short_help.endswith(".")
        assert each.short_help in text  # not cut by click

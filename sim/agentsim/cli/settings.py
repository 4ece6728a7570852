"""Options that say what is simulated: `setting_options`, `shorthands`; `configure` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.domain.config import Config
    from agentsim.study.variants import Sources

#: Options of every command that simulates.
_SETTINGS = (
    click.option("--gpu", metavar="NAME", help="GPU; see 'agentsim list gpus'."),
    click.option("--model", metavar="NAME", help="Model, or a Hugging Face config.json."),
    click.option(
        "--profile", metavar="NAME|FILE", help="What is known of the GPU; 'list profiles'."
    ),
    click.option("--config", "config_file", metavar="FILE.toml", help="Settings from a file."),
    click.option(
        "--set", "sets", metavar="KEY=VALUE", multiple=True, help="One setting; repeatable."
    ),
    click.option("--preset", metavar="NAME", help="Behaviour of an older vLLM."),
)
_VLLM_ARGS = "Arguments of your own 'vllm serve' command"
#: Options that are short for a setting: (option, setting, metavar, help).
_SHORTHANDS = (
    ("--engine", "engine.kind", "KIND", "vllm, hf, static, continuous or hybrid."),
    ("--replicas", "cluster.replicas", "N", "Engines behind a router; default 1."),
    ("--routing", "cluster.routing", "NAME", "How requests are spread; see 'list routers'."),
    ("--agents", "agents.num_agents", "N", "Agents at work at a time; default: all sessions."),
    ("--ramp", "agents.ramp_s", "S", "Start agent i after i * S seconds."),
    ("--arrival", "agents.arrival", "HOW", "closed-loop (default), recorded or poisson:RATE."),
    ("--tool-scale", "agents.tool_time_scale", "X", "Multiply every wait between calls by X."),
    ("--tool-time", "agents.tool_time", "HOW", "trace (default), exponential, lognormal:SIGMA."),
    ("--too-long", "agents.too_long", "HOW", "refuse (default), skip, truncate or compact."),
    ("--shared-prefix", "agents.shared_prefix_tokens", "N", "First tokens all sessions share."),
    ("--seed", "seed", "N", "Seed of everything drawn; default 0."),
)


def setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of one configuration, which `configure` takes."""
    add = click.option("--vllm-args", metavar="ARGS", help=f"{_VLLM_ARGS}.")
    return _settings(add(command))


def several_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same options where ``--vllm-args`` may come more than once."""
    text = f"{_VLLM_ARGS}; twice: compare."
    add = click.option("--vllm-args", metavar="ARGS", multiple=True, help=text)
    return _settings(add(command))


def _settings(command: Callable[..., None]) -> Callable[..., None]:
    for add in reversed(_SETTINGS):
        command = add(command)
    return command


def shorthands(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `_SHORTHANDS`; their values reach the configuration as settings."""
    for option, setting, metavar, text in reversed(_SHORTHANDS):
        add = click.option(option, setting.replace(".", "__"), metavar=metavar, help=text)
        command = add(command)
    return command


def sources_of(
    *,
    config_file: str | None,
    sets: tuple[str, ...],
    gpu: str | None,
    model: str | None,
    vllm_args: str | None,
    preset: str | None,
    profile: str | None,
    **shorthands: str | None,
) -> Sources:
    """Where the settings come from; a shorthand is a setting given after all others."""
    from pathlib import Path

    from agentsim.study.variants import Sources

    short = [f"{k.replace('__', '.')}={v}" for k, v in shorthands.items() if v is not None]
    named = {"gpu": ("--gpu", gpu), "model": ("--model", model), "profile": ("--profile", profile)}
    for option, setting, *_ in _SHORTHANDS:
        named[setting] = (option, shorthands.get(setting.replace(".", "__")))
    for text in sets:
        setting, _, value = (part.strip() for part in text.partition("="))
        option, given = named.get(setting, ("", None))
        if given is not None and given != value:
            raise ConfigError(f"{option} {given} and --set {setting}={value}: choose one")
    return Sources(
        path=Path(config_file) if config_file is not None else None,
        sets=(*sets, *short),
        vllm_args=vllm_args,
        gpu=gpu,
        model=model,
        preset=preset,
        profile=profile,
    )


def configure(**options: Any) -> tuple[Config, list[dict[str, Any]]]:
    """The configuration of the options, and what it rests on."""
    with named_as_typed(options):
        return sources_of(**options).read()


@contextmanager
def named_as_typed(options: Mapping[str, Any]) -> Iterator[None]:
    """Errors about a setting name the shorthand that the caller typed for it."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
        for option, setting, *_ in _SHORTHANDS:
            if options.get(setting.replace(".", "__")) is not None:
                message = message.replace(f"--set {setting}:", f"{option}:")
        raise ConfigError(message) from error

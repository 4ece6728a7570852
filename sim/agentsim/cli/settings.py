"""Options that say what is simulated: `setting_options`, `shorthands`; `configure` reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from agentsim.errors import ConfigError

if TYPE_CHECKING:
    from agentsim.domain.config import Config

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
    click.option("--vllm-args", metavar="ARGS", help="Arguments of your own 'vllm serve' command."),
    click.option("--preset", metavar="NAME", help="Behaviour of an older vLLM."),
)
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
    """Add the options of `_SETTINGS`, which `configure` takes."""
    for add in reversed(_SETTINGS):
        command = add(command)
    return command


def shorthands(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of `_SHORTHANDS`; their values reach the configuration as settings."""
    for option, setting, metavar, text in reversed(_SHORTHANDS):
        add = click.option(option, setting.replace(".", "__"), metavar=metavar, help=text)
        command = add(command)
    return command


def configure(
    *,
    gpu: str | None,
    model: str | None,
    config_file: str | None,
    sets: tuple[str, ...],
    vllm_args: str | None,
    preset: str | None,
    profile: str | None,
    **shorthands: str | None,
) -> tuple[Config, list[dict[str, Any]]]:
    """The configuration and what it rests on; a shorthand is a setting given after all others."""
    from pathlib import Path

    from agentsim.machine.system import read_config

    short = [f"{k.replace('__', '.')}={v}" for k, v in shorthands.items() if v is not None]
    path = Path(config_file) if config_file is not None else None
    try:
        return read_config(
            path,
            sets=[*sets, *short],
            vllm_args=vllm_args,
            gpu=gpu,
            model=model,
            preset=preset,
            profile=profile,
        )
    except ConfigError as error:
        message = str(error)
        for option, setting, *_ in _SHORTHANDS:  # named as the caller typed it
            if shorthands[setting.replace(".", "__")] is not None:
                message = message.replace(f"--set {setting}:", f"{option}:")
        raise ConfigError(message) from error

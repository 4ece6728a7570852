"""The configurations of a study: a name, a `Config`, and where its settings came from.

Start at `Sources`, which holds what `read_config` takes; a variant is the same sources with a few
settings more.
"""

from __future__ import annotations

import dataclasses
import itertools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentsim.case_study import SETTINGS
from agentsim.domain.config import Config, to_plain
from agentsim.domain.settings import flatten
from agentsim.errors import ConfigError
from agentsim.machine.system import read_config


@dataclass(frozen=True, slots=True)
class Sources:
    """Where settings come from: the arguments of `machine.system.read_config`."""

    path: Path | None = None
    sets: tuple[str, ...] = ()
    vllm_args: str | None = None
    gpu: str | None = None
    model: str | None = None
    preset: str | None = None
    profile: str | None = None

    def read(self) -> tuple[Config, list[dict[str, Any]]]:
        """The settings, and what was assumed or ignored on the way."""
        return read_config(
            self.path,
            sets=self.sets,
            vllm_args=self.vllm_args,
            gpu=self.gpu,
            model=self.model,
            preset=self.preset,
            profile=self.profile,
        )

    def with_sets(self, sets: Sequence[str]) -> Sources:
        """These sources with settings laid over them."""
        return dataclasses.replace(self, sets=(*self.sets, *sets))


@dataclass(frozen=True, slots=True)
class Variant:
    """One configuration of a study.

    Attributes
    ----------
    name : str
        As the user wrote it, or what sets it apart.
    assumptions : tuple of dict
        Of `read_config`.
    """

    name: str
    config: Config
    assumptions: tuple[dict[str, Any], ...] = ()


def variant(name: str, sources: Sources) -> Variant:
    """The variant of these sources; an error names it."""
    try:
        config, assumptions = sources.read()
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}" if name else str(error)) from error
    return Variant(name, config, tuple(assumptions))


def read_variant(text: str, base: Sources) -> Variant:
    """What ``-c`` names: a file, a configuration of the case study, or settings.

    Parameters
    ----------
    text : str
        ``FILE.toml``; ``hf``, ``serial``, ``full`` or ``spec`` of `case_study.SETTINGS`; or
        ``"gpu=h100 engine.max_num_seqs=8"``. ``"NAME: ..."`` in front gives it a name.
    base : Sources
        What all variants have; the variant's own settings are laid over it.

    Raises
    ------
    ConfigError
        Naming the variant and what is wrong with it.
    """
    head, colon, rest = text.partition(": ")
    name, what = (head.strip(), rest.strip()) if colon and "=" not in head else ("", text.strip())
    if what in SETTINGS:
        return variant(name or what, base.with_sets(SETTINGS[what]))
    if what.endswith(".toml") or Path(what).is_file():
        if base.path is not None:
            raise ConfigError(f"-c {what}: a file beside --config {base.path}: choose one")
        return variant(name or Path(what).stem, dataclasses.replace(base, path=Path(what)))
    sets = _words(what)
    if not sets or not all("=" in word for word in sets):
        raise ConfigError(
            f"-c {text!r}: expected FILE.toml, settings such as 'gpu=h100 engine.max_num_seqs=8', "
            f"or one of {', '.join(SETTINGS)}"
        )
    return variant(name or " ".join(sets), base.with_sets(sets))


def _words(text: str) -> list[str]:
    """The settings in a text, blanks within brackets and quotes kept."""
    if "[" not in text:
        try:
            return shlex.split(text)
        except ValueError as error:
            raise ConfigError(f"-c {text!r}: {str(error).lower()}") from None
    return split_outside(text, " ")


def split_outside(text: str, separator: str) -> list[str]:
    """The parts between separators that stand in no brackets and no quotes.

    Examples
    --------
    >>> split_outside("[1, 2],'a,b',3", ",")
    ['[1, 2]', "'a,b'", '3']
    """
    parts, depth, quote, start = [], 0, "", 0
    for at, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == separator and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [part.strip() for part in (*parts, text[start:]) if part.strip()]


def combinations(varied: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of what ``--vary NAME=A,B,...`` gives, the last one changing first.

    Examples
    --------
    >>> combinations(["gpu=l4,l40s", "seed=1"])
    [('gpu=l4', 'seed=1'), ('gpu=l40s', 'seed=1')]

    Raises
    ------
    ConfigError
        If one has no name or no value, or a name comes twice.
    """
    axes: dict[str, list[str]] = {}
    for text in varied:
        name, equals, values = text.partition("=")
        found = split_outside(values, ",")
        if not equals or not name.strip() or not found:
            raise ConfigError(f"--vary {text!r}: expected NAME=A,B,..., such as gpu=l4,l40s")
        if name.strip() in axes:
            raise ConfigError(f"--vary {text!r}: {name.strip()} is varied twice")
        axes[name.strip()] = [f"{name.strip()}={value}" for value in found]
    return list(itertools.product(*axes.values())) if axes else []


def vary(varied: Sequence[str], base: Sources) -> list[Variant]:
    """A variant for each combination of ``--vary`` values."""
    return [variant(" ".join(sets), base.with_sets(sets)) for sets in combinations(varied)]


def as_options(config: Config) -> str:
    """The options of `agentsim replay` that give this configuration."""
    named = {"gpu": "--gpu", "model": "--model", "profile": "--profile", "seed": "--seed",
             "agents.num_agents": "--agents", "cluster.replicas": "--replicas",
             "cluster.routing": "--routing"}  # fmt: skip
    flat, default = flat_settings(config), flat_settings(Config())
    words = []
    for name, value in flat.items():
        if value == default[name] and name not in ("gpu", "model"):
            continue
        option = named.get(name)
        words += [option, str(value)] if option else ["--set", f"{name}={_toml(value)}"]
    return shlex.join(words)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value)


def flat_settings(config: Config) -> dict[str, Any]:
    """All settings by dotted name."""
    return flatten(to_plain(config))

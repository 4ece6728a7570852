"""A named table: look up by name or alias, suggest the nearest name, ask entry points last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import TypeVar

from agentsim.errors import ConfigError, UnknownName

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Values under the names a user can type. Names and aliases are compared in lower case.

    Parameters
    ----------
    kind : str
        What the values are, for messages: ``"gpu"``.
    entries : mapping of str to T
        The built-in names.
    entry_point_group : str or None
        Group of `importlib.metadata` entry points that may add names; asked only when a name is
        not built in.
    aliases : mapping of str to str
        Other spellings of built-in names.
    expected : type
        What a plugin must be an instance of.

    Examples
    --------
    >>> Registry("gpu", {"l4": 24}, aliases={"nvidia-l4": "l4"})["NVIDIA-L4"]
    24
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, T],
        entry_point_group: str | None = None,
        aliases: Mapping[str, str] | None = None,
        expected: type = object,
    ) -> None:
        self.kind = kind
        self._entries = dict(entries)
        self._group = entry_point_group
        self._expected = expected
        self._aliases = {alias.lower(): name for alias, name in (aliases or {}).items()}

    def name_of(self, name: str) -> str:
        """The name in the table that `name` (or an alias) stands for, or `name` itself."""
        low = name.strip().lower()
        return self._aliases.get(low, low)

    def __getitem__(self, name: str) -> T:
        key = self.name_of(name)
        if key in self._entries:
            return self._entries[key]
        plugins = self._plugins()
        if key in plugins:
            return self._load(plugins[key])
        raise UnknownName(self.kind, name, [*self._entries, *plugins])

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        key = self.name_of(name)
        return key in self._entries or key in self._plugins()

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from (name for name in sorted(self._plugins()) if name not in self._entries)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _plugins(self) -> dict[str, metadata.EntryPoint]:
        """Entry points of the group by lower-case name."""
        if self._group is None:
            return {}
        return {point.name.lower(): point for point in metadata.entry_points(group=self._group)}

    def _load(self, point: metadata.EntryPoint) -> T:
        try:
            loaded: T = point.load()
        except Exception as error:
            raise ConfigError(
                f"{self.kind} {point.name!r}: plugin {point.value!r} does not load: "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(loaded, self._expected):
            raise ConfigError(
                f"{self.kind} {point.name!r}: plugin {point.value!r} is a "
                f"{type(loaded).__name__}, expected a {self._expected.__name__}"
            )
        return loaded


def check_parts(kind: str, name: str, made: object, parts: Sequence[str]) -> None:
    """Refuse an entry, most likely from outside, that lacks a part of its kind.

    Raises
    ------
    ConfigError
        Naming its class and what it lacks.
    """
    lacking = [part for part in parts if not hasattr(made, part)]
    if lacking:
        article = "an" if kind[0] in "aeiou" else "a"
        raise ConfigError(
            f"{kind} {name!r}: {type(made).__module__}.{type(made).__name__} has no "
            f"{', no '.join(lacking)}; {article} {kind} has {', '.join(parts)}"
        )

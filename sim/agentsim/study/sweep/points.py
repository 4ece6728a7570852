"""What is run: a `Plan` from a `Spec`, and its points with what identifies them.

A run is known by its `Point.id`, a hash of all that its row follows from: the whole configuration,
the content of the trace and of every file that a setting names, figures, prices and the version of
agentsim. So a sweep goes on where it was, and a changed one takes over the runs that still apply.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from agentsim.domain.config import Config, make_config, to_plain
from agentsim.domain.settings import flatten, merge, nested
from agentsim.domain.trace import Trace
from agentsim.errors import ConfigError, TraceError
from agentsim.report.document import package_version
from agentsim.study.sweep.spec import TRACE, Spec
from agentsim.workload.formats import read_trace

#: Hexadecimal digits of an identity.
_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Source:
    """A trace: as the spec names it, where it is, and the hash of its sessions."""

    name: str
    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Point:
    """One run of a sweep.

    Attributes
    ----------
    number : int
        Its place in the grid.
    source : int
        Which of the plan's traces.
    settings : dict
        As the spec gives them, base and all, by dotted name.
    config : Config or None
        None where the settings contradict one another: then `failure` says how.
    """

    number: int
    id: str
    source: int
    settings: dict[str, Any]
    config: Config | None
    failure: str | None = None


class Plan:
    """A spec with its traces looked at.

    Parameters
    ----------
    spec : Spec

    Attributes
    ----------
    sources : tuple of Source
    about : dict
        Plain data that two sweeps share if and only if they run the same points.

    Raises
    ------
    TraceError
        If a trace cannot be read, or two are the same.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._files = Files()
        names = [name for (name,) in spec.grid.axes[0].rows]
        self.sources = tuple(_source(name, spec.folder / name) for name in names)
        known = {source.digest: source for source in reversed(self.sources)}
        for source in self.sources:
            if (other := known[source.digest]) is not source:
                raise TraceError(f"{source.path}: holds the same sessions as {other.path}")
        self.about = {
            "agentsim": package_version(),
            "trace": [source.digest for source in self.sources],
            "base": self._files.within(spec.base),
            "axes": [[axis.names, self._files.within(axis.rows)] for axis in spec.grid.axes[1:]],
            "figures": [figure.name for figure in spec.figures],
            "samples": spec.samples,
            "prices": {
                name: self._files.within(_text(value)) for name, value in spec.prices.items()
            },
        }
        shared = [self.about[name] for name in ("agentsim", "figures", "samples", "prices")]
        self._hash = hashlib.sha256(_json(shared))

    @property
    def num_points(self) -> int:
        """How many there are."""
        return self.spec.grid.num_points

    def point(self, number: int) -> Point:
        """Point `number`, from 0."""
        settings = self.spec.grid.settings(number)
        source = self._source_of(settings[TRACE])
        given = {name: value for name, value in settings.items() if name != TRACE}
        tables = merge(self.spec.base, nested(given))
        config, failure, plain = None, None, tables
        try:
            config = make_config(tables)
            plain = to_plain(config)
        except ConfigError as error:
            failure = str(error)
        known = self._hash.copy()
        known.update(_json([self.sources[source].digest, self._files.within(plain)]))
        key = known.hexdigest()[:_DIGITS]
        return Point(number, key, source, flatten(tables), config, failure)

    def points(self) -> Iterator[Point]:
        """All of them, one after the other."""
        return map(self.point, range(self.num_points))

    def _source_of(self, name: str) -> int:
        return next(i for i, source in enumerate(self.sources) if source.name == name)


def _source(name: str, path: Path) -> Source:
    trace = read_trace(path)
    if not trace.num_calls:
        raise TraceError(f"{path}: the trace holds no call")
    return Source(name, path, digest(trace))


def digest(trace: Trace) -> str:
    """A hash of the sessions of a trace, however its file is packed."""
    found = hashlib.sha256()
    encode = msgspec.json.Encoder(order="deterministic").encode
    for session in trace:
        found.update(encode(session))
        found.update(b"\n")
    return found.hexdigest()


class Files:
    """Hashes of the files that settings name, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, str | None] = {}

    def within(self, plain: Any) -> Any:
        """Plain data with the hash of its content in place of each path of a file."""
        if isinstance(plain, Mapping):
            return {name: self.within(value) for name, value in plain.items()}
        if isinstance(plain, list | tuple):
            return [self.within(value) for value in plain]
        return self._digest(plain) or plain if isinstance(plain, str) else plain

    def _digest(self, name: str) -> str | None:
        if name not in self._known:
            path = Path(name).expanduser()
            path = path / "config.json" if path.is_dir() else path
            is_file = bool(path.suffix) and path.is_file()
            self._known[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else None
        return self._known[name]


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()

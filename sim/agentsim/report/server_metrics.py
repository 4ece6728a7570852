"""What a server's Prometheus ``/metrics`` says: `parse_metrics`, and what passed between two.

A histogram knows its values only by buckets, so a quantile of it is a pair of bounds. Series that
differ in labels alone (engines, models) are summed; they must have the same buckets.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from agentsim.errors import UserError

Labels = tuple[tuple[str, str], ...]

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"\s*,?')
_ESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """A value that lies above `low` and is at most `high`; `high` may be infinite."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value is within."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Histogram:
    """Values counted by bucket.

    Attributes
    ----------
    bounds : tuple of float
        Upper bounds, rising; the last is infinite.
    counts : tuple of float
        Values in each bucket, of it alone.
    total : float
        Sum of the values.
    """

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total: float

    @property
    def count(self) -> int:
        """How many values there are."""
        return round(sum(self.counts))

    def mean(self) -> float | None:
        """The mean, which is exact; None of nothing."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> Bounds | None:
        """The bounds of the bucket that holds the quantile at `share` (0 to 1); None of nothing.

        The quantile is that of order statistics: value number ``share * (count - 1)``, where that
        falls between two values both buckets are in the bounds.

        Examples
        --------
        >>> Histogram((0.1, 0.5, math.inf), (3, 1, 0), 0.6).quantile(0.5)
        Bounds(low=0.0, high=0.1)
        """
        if not self.count:
            return None
        rank = share * (self.count - 1)
        first, last = self._bucket(math.floor(rank)), self._bucket(math.ceil(rank))
        return Bounds(self.bounds[first - 1] if first else 0.0, self.bounds[last])

    def _bucket(self, place: int) -> int:
        """The bucket of the value at `place` in rising order."""
        seen = 0.0
        for number, count in enumerate(self.counts):
            seen += count
            if place < round(seen):
                return number
        return len(self.counts) - 1


class Snapshot:
    """One reading of ``/metrics``, or what was counted between two.

    Parameters
    ----------
    samples : dict
        Values by name and labels.
    where : str
        File or URL, for messages.
    """

    def __init__(self, samples: dict[str, dict[Labels, float]], where: str) -> None:
        self._samples = samples
        self.where = where

    def value(self, name: str) -> float | None:
        """The sum over all series of a counter or gauge; None where there is none."""
        series = self._samples.get(name)
        return sum(series.values()) if series else None

    def mean(self, name: str) -> float | None:
        """The mean over all series of a gauge; None where there is none."""
        series = self._samples.get(name)
        return sum(series.values()) / len(series) if series else None

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the first series of an info metric; empty where there is none."""
        return dict(next(iter(self._samples.get(name, {})), ()))

    def histogram(self, name: str) -> Histogram | None:
        """A histogram, summed over its series; None where there is none.

        Raises
        ------
        UserError
            If its buckets do not rise to an infinite one or count down.
        """
        upto: dict[float, float] = defaultdict(float)
        for labels, value in self._samples.get(f"{name}_bucket", {}).items():
            upto[_bound(dict(labels).get("le", ""), self.where)] += value
        if not upto:
            return None
        bounds = tuple(sorted(upto))
        steps = [upto[bound] for bound in bounds]
        counts = [after - before for before, after in zip([0.0, *steps], steps, strict=False)]
        if bounds[-1] != math.inf or min(counts) < 0:
            raise UserError(f'{self.where}: {name}: expected buckets that rise up to le="+Inf"')
        return Histogram(bounds, tuple(counts), self.value(f"{name}_sum") or 0.0)

    def since(self, before: Snapshot) -> Snapshot:
        """What was counted since another snapshot of the same server; gauges are those of now.

        Raises
        ------
        UserError
            If a counter went down.
        """
        samples: dict[str, dict[Labels, float]] = {}
        for name, series in self._samples.items():
            samples[name] = dict(series)
            if not name.endswith(("_total", "_bucket", "_sum", "_count")):
                continue
            earlier = before._samples.get(name, {})
            for labels, value in series.items():
                samples[name][labels] = value - earlier.get(labels, 0.0)
                if samples[name][labels] < 0 and name.startswith("vllm:"):
                    raise UserError(
                        f"{self.where}: {name} is below that of {before.where}: the server was "
                        "started again between them, or they are in the wrong order"
                    )
        return Snapshot(samples, self.where)


def parse_metrics(text: str, where: str) -> Snapshot:
    """Read the Prometheus text format.

    Parameters
    ----------
    where : str
        File or URL, for messages.

    Raises
    ------
    UserError
        Naming the line that is not of this format, or if there is no sample at all.
    """
    samples: dict[str, dict[Labels, float]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(line.strip())
        try:
            if found is None:
                raise ValueError(line)
            labels = tuple(_labels(found[2] or ""))
            value = float(found[3])
        except ValueError:
            raise UserError(
                f"{where}:{number}: expected a line of Prometheus metrics, got {line[:60]!r}"
            ) from None
        if not math.isnan(value):
            samples.setdefault(found[1], {})[labels] = value
    if not samples:
        raise UserError(f"{where}: no metrics in it")
    return Snapshot(samples, where)


def _labels(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while place < len(text):
        found = _LABEL.match(text, place)
        if found is None:
            raise ValueError(text)
        yield found[1], re.sub(r"\\.", lambda part: _ESCAPED.get(part[0], part[0]), found[2])
        place = found.end()


def _bound(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where}: label 'le': expected a number, got {text!r}") from None

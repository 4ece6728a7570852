"""SPEC.toml read strictly: `read_spec`.

Every value is checked by itself before anything runs. What does not go together, a model that does
not fit its GPU, is an outcome of that point and not an error of the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agentsim.domain.config import Config, check_layer, load_settings
from agentsim.domain.settings import check_known, flatten, merge, nested, read_toml, structured
from agentsim.errors import ConfigError, UnknownName
from agentsim.machine.catalog import find_model, gpus
from agentsim.machine.presets import PRESETS
from agentsim.machine.profiles import find_profile
from agentsim.machine.vllm_args import parse_vllm_args
from agentsim.policies.routers import ROUTERS
from agentsim.policies.schedulers import SCHEDULERS
from agentsim.report.gpu_prices import read_price_table
from agentsim.study.figures import Figure, read_figure
from agentsim.study.sweep.grid import Axis, Grid, Method, Range, draw

#: Figures where the spec names none.
FIGURES = (
    "runtime", "mean ttft", "p50 ttft", "p95 ttft", "mean tpot", "p95 tpot", "mean e2e",
    "p95 e2e", "output rate", "reuse", "cost", "cost/session", "failed",
)  # fmt: skip
#: The name under which traces are an axis.
TRACE = "trace"
#: Settings that may be files, found from the spec's folder.
_FILES = ("model", "profile", "speculation.draft_model")
_LOOK_UP: dict[str, Callable[[str], object]] = {
    "gpu": gpus().__getitem__,
    "model": find_model,
    "profile": find_profile,
    "engine.policy": SCHEDULERS.__getitem__,
    "cluster.routing": ROUTERS.__getitem__,
}


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[sample]``: draws from ranges; `count` 0: none."""

    count: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    method: Method = "sobol"
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0
    ranges: dict[str, Any] = {}
    log: tuple[str, ...] = ()


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[prices]``: of a GPU-hour, or the file of a table."""

    gpu_price: Annotated[float, msgspec.Meta(ge=0)] | None = None
    price_table: str | None = None


class SpecFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of SPEC.toml; docs/sweep.md explains them."""

    trace: str | tuple[str, ...] = ()
    figures: tuple[str, ...] = FIGURES
    samples: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0
    repeats: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    config: str | None = None
    vllm_args: str | None = None
    preset: str | None = None
    base: dict[str, Any] = {}
    vary: dict[str, Any] = {}
    zip: tuple[dict[str, Any], ...] = ()
    sample: Sample = Sample()
    prices: Prices = Prices()


@dataclass(frozen=True, slots=True)
class Spec:
    """What a sweep runs.

    Attributes
    ----------
    folder : Path
        Of the spec's file; paths of traces start there.
    base : dict
        Settings of all points, as tables.
    grid : Grid
        Its first axis is the trace.
    samples : int
        Parameter sets for intervals; 0: none.
    prices : dict
        Arguments of `billing.read_terms`.
    without_effect : tuple of str
        Arguments of vLLM that change nothing here.
    """

    folder: Path
    base: dict[str, Any]
    grid: Grid
    figures: tuple[Figure, ...]
    samples: int
    prices: dict[str, Any]
    without_effect: tuple[str, ...] = ()


def read_spec(path: Path) -> Spec:
    """Read and check a spec.

    Raises
    ------
    ConfigError, UnknownName
        Naming file, table and setting, and what was expected.
    """
    place = str(path)
    given = structured(place, check_known(place, read_toml(path), SpecFile, {}), SpecFile)
    traces = (given.trace,) if isinstance(given.trace, str) else given.trace
    if not traces or "-" in traces:
        raise ConfigError(f"{place}: trace: expected the path of a trace, or a list of them")
    if given.samples == 1:
        raise ConfigError(f"{place}: samples: expected 0 or at least 2, got 1")
    if not given.figures:
        raise ConfigError(f"{place}: figures: expected at least one, such as 'p95 ttft'")
    base, without_effect = _base(path, given)
    axes = [
        Axis((TRACE,), tuple((trace,) for trace in traces)),
        *_sampled(path, given.sample),
        *(_axis(path, "vary", {name: values}) for name, values in flatten(given.vary).items()),
        *(_axis(path, f"zip[{i}]", flatten(table)) for i, table in enumerate(given.zip)),
    ]
    if given.repeats > 1:
        first = base.get("seed", 0)
        axes.append(Axis(("seed",), tuple((first + i,) for i in range(given.repeats))))
    _check_axes(place, axes)
    return Spec(
        folder=path.parent,
        base=base,
        grid=Grid(tuple(axes)),
        figures=_figures(place, given.figures),
        samples=given.samples,
        prices=_prices(path, given.prices),
        without_effect=without_effect,
    )


def _base(path: Path, given: SpecFile) -> tuple[dict[str, Any], tuple[str, ...]]:
    args = parse_vllm_args(given.vllm_args or "")
    settings = load_settings(
        path.parent / given.config if given.config is not None else None,
        engine_args=args.settings,
        preset=PRESETS[given.preset].settings if given.preset is not None else None,
    )
    own: dict[str, Any] = {}
    for name, value in flatten(given.base).items():
        known, plain = _checked(path, "base", name, value)
        if known in own:
            raise ConfigError(f"{path}: base: {name}: given twice, also as {known!r}")
        own[known] = plain
    return merge(settings, nested(own)), tuple(args.without_effect)


def _axis(path: Path, table: str, lists: Mapping[str, Any]) -> Axis:
    """Settings varied together: lists of one length, each value checked."""
    for name, values in lists.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}: {table}: {name}: expected a list, got {values!r}")
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items()) or "no list"
        raise ConfigError(f"{path}: {table}: expected lists of one length, got: {told}")
    names, columns = [], []
    for name, values in lists.items():
        checked = [_checked(path, table, name, value) for value in values]
        names.append(checked[0][0])
        columns.append([value for _, value in checked])
    rows = tuple(zip(*columns, strict=True))
    seen = set()
    for row in rows:
        if repr(row) in seen:
            told = repr(row[0] if len(row) == 1 else row)
            raise ConfigError(f"{path}: {table}: {', '.join(lists)}: {told} comes twice")
        seen.add(repr(row))
    return Axis(tuple(names), rows)


def _sampled(path: Path, sample: Sample) -> list[Axis]:
    place = f"{path}: sample"
    given = flatten(sample.ranges)
    if not sample.count and not given:
        return []
    if not sample.count or not given:
        raise ConfigError(f"{place}: needs both count and ranges")
    if sample.method == "sobol" and sample.count & (sample.count - 1):
        near = 1 << (sample.count - 1).bit_length()
        raise ConfigError(
            f"{place}: count: expected a power of 2 for sobol, got {sample.count}; "
            f"take {near}, or method = 'latin'"
        )
    if loose := [name for name in sample.log if name not in given]:
        raise ConfigError(f"{place}: log: {UnknownName('range', loose[0], given)}")
    names, ranges = [], []
    for name, ends in given.items():
        known, span = _range(path, name, ends, is_log=name in sample.log)
        names.append(known)
        ranges.append(span)
    return [Axis(tuple(names), tuple(draw(sample.method, sample.seed, sample.count, ranges)))]


def _range(path: Path, name: str, ends: Any, *, is_log: bool) -> tuple[str, Range]:
    is_pair = isinstance(ends, list) and len(ends) == 2
    if not is_pair or not all(type(end) in (int, float) for end in ends) or ends[0] >= ends[1]:
        raise ConfigError(f"{path}: sample.ranges: {name}: expected [LOW, HIGH], got {ends!r}")
    if is_log and ends[0] <= 0:
        raise ConfigError(f"{path}: sample.log: {name}: expected LOW > 0, got {ends[0]!r}")
    (known, low), (_, high) = (_checked(path, "sample.ranges", name, end) for end in ends)
    return known, Range(low, high, is_log)


def _checked(path: Path, table: str, name: str, value: Any) -> tuple[str, Any]:
    """The setting under its own name, and its value as `Config` has it."""
    place = f"{path}: {table}"
    if isinstance(value, Mapping):
        raise ConfigError(f"{place}: {name}: expected a value, got a table")
    if name in _FILES and isinstance(value, str) and "." in value:
        beside = path.parent / value
        value = str(beside) if beside.is_file() else value
    known = check_layer(place, nested({name: value}))
    ((name, _),) = flatten(known).items()
    plain: Any = msgspec.to_builtins(structured(place, known, Config))
    for part in name.split("."):
        plain = plain[part]
    try:
        if name in _LOOK_UP:
            _LOOK_UP[name](plain)
    except UnknownName as error:
        raise ConfigError(f"{place}: {name}: {error}") from error
    return name, plain


def _check_axes(place: str, axes: Sequence[Axis]) -> None:
    names = [name for axis in axes for name in axis.names]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{place}: {name}: is varied twice")


def _figures(place: str, texts: Sequence[str]) -> tuple[Figure, ...]:
    try:
        found = {figure.name: figure for figure in map(read_figure, texts)}
    except (ConfigError, UnknownName) as error:
        raise ConfigError(f"{place}: figures: {error}") from error
    return tuple(found.values())


def _prices(path: Path, given: Prices) -> dict[str, Any]:
    table = path.parent / given.price_table if given.price_table is not None else None
    read_price_table(table, gpus())
    price = str(given.gpu_price) if given.gpu_price is not None else None
    return {"gpu_price": price, "price_table": table}

"""``agentsim list``: the names and settings that can be typed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from agentsim.errors import ConfigError

Row = dict[str, Any]


def _gpus() -> Iterator[Row]:
    from agentsim.domain.units import GIB
    from agentsim.machine.catalog import gpus

    for name, gpu in gpus().items():
        yield {
            "name": name,
            "memory_gib": round(gpu.memory_bytes / GIB, 1),
            "bandwidth_gb_per_s": round(gpu.bandwidth_bytes_per_s / 1e9),
            "tflops_16bit": round(gpu.flops_16bit_per_s / 1e12),
            "link": gpu.link,
            "tdp_w": round(gpu.tdp_w),
        }


def _prices() -> Iterator[Row]:
    from agentsim.machine.catalog import gpus
    from agentsim.report.gpu_prices import read_price_table

    for name, rows in read_price_table(None, gpus()).items():
        for row in rows:
            yield {
                "gpu": name,
                "usd_per_hour": row.usd_per_hour,
                "terms": row.terms,
                "kind": row.kind,
                "date": row.date,
                "source": row.source,
            }


def _models() -> Iterator[Row]:
    from agentsim.domain.units import GIB
    from agentsim.machine.catalog import models

    for name, model in models().items():
        yield {
            "name": name,
            "params_b": round(model.num_parameters / 1e9, 1),
            "format": model.weight_format.name,
            "weights_gib": round(model.weight_bytes / GIB, 1),
            "kv_kib_per_token": round(model.kv_bytes_per_token() / 1024, 1),
            "context_tokens": model.max_position,
        }


def _about(registry: Mapping[str, object], name: str) -> str:
    """First line of an entry, or why a plugin does not load: the others are listed all the same."""
    try:
        return _first_line(registry[name])
    except ConfigError as error:
        return str(error)


def _schedulers() -> Iterator[Row]:
    from agentsim.policies.schedulers import SCHEDULERS

    for name in SCHEDULERS:
        yield {"name": name, "about": _about(SCHEDULERS, name)}


def _routers() -> Iterator[Row]:
    from agentsim.policies.routers import ROUTERS

    for name in ROUTERS:
        yield {"name": name, "about": _about(ROUTERS, name)}


def _drafters() -> Iterator[Row]:
    from agentsim.policies.drafters import DRAFTERS

    for name in DRAFTERS:
        yield {"name": name, "about": _about(DRAFTERS, name)}


def _evictions() -> Iterator[Row]:
    from agentsim.policies.evictions import EVICTIONS

    for name in EVICTIONS:
        yield {"name": name, "about": _about(EVICTIONS, name)}


def _metrics() -> Iterator[Row]:
    from agentsim.report.metrics import METRICS

    for name in METRICS:
        try:
            metric = METRICS[name]
        except ConfigError as error:
            yield {"name": name, "unit": "-", "better": "-", "meaning": str(error)}
            continue
        yield {
            "name": name,
            "unit": metric.unit,
            "better": metric.better,
            "meaning": metric.meaning,
        }


def _formats() -> Iterator[Row]:
    from agentsim.workload.formats import FORMATS

    for name in FORMATS:
        try:
            about = FORMATS[name].about
        except ConfigError as error:
            about = str(error)
        yield {"name": name, "about": about}


def _imports() -> Iterator[Row]:
    from agentsim.workload.importers.formats import IMPORTERS

    for name, kind in IMPORTERS.items():
        yield {"name": name, "about": kind.about, "tested_on": kind.tested_on}


def _exports() -> Iterator[Row]:
    from agentsim.workload.exporters.targets import TARGETS

    for name, target in TARGETS.items():
        yield {"name": name, "about": target.about}


def _workloads() -> Iterator[Row]:
    from agentsim.workload.generate.profile import load_profile, shipped_profiles

    for name in shipped_profiles():
        yield {"name": name, "source": load_profile(name).profile.source}


def _presets() -> Iterator[Row]:
    from agentsim.machine.presets import PRESETS

    for name, preset in PRESETS.items():
        yield {"name": name, "about": preset.summary, "settings": preset.settings}


def _profiles() -> Iterator[Row]:
    from agentsim.machine.profiles import find_profile, profile_names

    for name in profile_names():
        profile = find_profile(name)
        yield {"name": name, "standing": profile.standing, "source": profile.source}


def _settings() -> Iterator[Row]:
    import msgspec

    from agentsim.domain.config import Config

    def walk(prefix: str, defaults: msgspec.Struct) -> Iterator[Row]:
        for field in msgspec.structs.fields(defaults):
            value = getattr(defaults, field.name)
            if isinstance(value, msgspec.Struct):
                yield from walk(f"{prefix}{field.name}.", value)
            else:
                name = f"{prefix}{field.name}"
                yield {"name": name, "default": value, "values": _values(field.type)}

    return walk("", Config())


def _values(kind: Any) -> str:
    """What a setting may be, in a few words: its choices, or its type and bounds."""
    import msgspec

    schema = msgspec.json.schema(kind)
    choices = [part for part in schema.get("anyOf", [schema]) if part.get("type") != "null"]
    words = []
    for part in choices:
        if "enum" in part:
            words.append(", ".join(str(choice) for choice in part["enum"]))
            continue
        bounds = {
            "minimum": ">=",
            "exclusiveMinimum": ">",
            "maximum": "<=",
            "exclusiveMaximum": "<",
        }
        said = [f"{sign} {part[key]}" for key, sign in bounds.items() if key in part]
        words.append(" ".join([part.get("type", "any"), *said]))
    return " or ".join(words)


def _first_line(documented: object) -> str:
    return (documented.__doc__ or "").strip().partition("\n")[0]


KINDS: dict[str, Callable[[], Iterator[Row]]] = {
    "gpus": _gpus,
    "prices": _prices,
    "models": _models,
    "schedulers": _schedulers,
    "routers": _routers,
    "evictions": _evictions,
    "drafters": _drafters,
    "metrics": _metrics,
    "formats": _formats,
    "imports": _imports,
    "exports": _exports,
    "workloads": _workloads,
    "presets": _presets,
    "profiles": _profiles,
    "settings": _settings,
}


@click.command("list", short_help="List GPUs, models, settings and other names.")
@click.argument("kind", metavar="|".join(KINDS))
@click.option("--json", "as_json", is_flag=True, help="A JSON array instead of a table.")
def list_command(kind: str, as_json: bool) -> None:
    """List the names that options and configuration files take.

    \b
    agentsim list models
    agentsim list settings --json
    """
    from agentsim.cli.screen import emit, wants_colour
    from agentsim.errors import UnknownName

    if kind not in KINDS:
        raise UnknownName("list", kind, KINDS)
    rows = list(KINDS[kind]())
    if as_json:
        emit(json.dumps(rows, indent=2) + "\n")
        return
    emit(_as_table(rows, colour=wants_colour()))


def _as_table(rows: list[Row], *, colour: bool) -> str:
    from agentsim.report.layout import on_screen, plain_table

    heads = [head for head in rows[0] if not isinstance(rows[0][head], dict)]
    table = plain_table(tuple(head.replace("_", " ") for head in heads))
    for head, column in zip(heads, table.columns, strict=True):
        numeric = all(isinstance(row[head], int | float) for row in rows)
        column.justify = "right" if numeric else "left"
    for row in rows:
        table.add_row(*(_cell(row[head]) for head in heads))
    return on_screen(table, colour=colour)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)

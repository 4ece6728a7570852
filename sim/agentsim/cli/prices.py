"""Options about money and energy, for every command that runs a trace."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click


def price_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options; the command gets them as `prices`, the arguments of `read_terms`."""

    @functools.wraps(command)
    def priced(
        *,
        gpu_price: str | None,
        price_table: str | None,
        api: tuple[str, ...],
        api_date: str | None,
        idle_hours: str | None,
        grid: str | None,
        **others: Any,
    ) -> None:
        from pathlib import Path

        prices = {
            "gpu_price": gpu_price,
            "price_table": Path(price_table) if price_table is not None else None,
            "apis": api,
            "api_date": api_date,
            "idle_hours": idle_hours,
            "grid": grid,
        }
        command(prices=prices, **others)

    options = (
        click.option("--gpu-price", metavar="USD", help="Price of one GPU for an hour."),
        click.option("--price-table", metavar="FILE.toml", help="Prices of GPUs from a file."),
        click.option(
            "--api",
            metavar="MODEL",
            multiple=True,
            help="Cost of the same tokens at an API; default gpt-4o; repeatable; none.",
        ),
        click.option("--api-date", metavar="YYYY-MM-DD", help="Day of the API's prices."),
        click.option("--idle-hours", metavar="H", help="Idle but paid hours of a day; default 16."),
        click.option("--grid", metavar="G", help="g CO2 for a kWh; default: the world's mean."),
    )
    for option in reversed(options):
        priced = option(priced)
    return priced

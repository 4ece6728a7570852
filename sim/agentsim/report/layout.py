"""Tables and lines of 80 columns, for whoever prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

#: Columns of a screen.
WIDTH = 80


def plain_table(heads: tuple[str, ...]) -> Table:
    """A table of text without lines; its first column, for names, does not wrap."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head == heads[0])
    return table


def on_screen(part: RenderableType, *, colour: bool = False) -> str:
    """Something of rich as lines of at most 80 columns, without trailing blanks."""
    import io

    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        width=WIDTH,
        force_terminal=colour,
        force_jupyter=False,  # in a notebook, too, the text is what is asked for
        no_color=not colour,
        color_system="standard" if colour else None,
        markup=False,
        highlight=False,
        emoji=False,
        legacy_windows=False,
    )
    console.print(part)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())

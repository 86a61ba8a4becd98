"""Tables of text on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.inspecting.text_tables import TextTable, make_harmless

PLAIN_WIDTH = 220
"""Width without a terminal, beyond which cells are folded."""


def print_grids(grids: Sequence[TextTable]) -> None:
    """Print tables, one below the other."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    for grid in grids:
        table = Table(title=Text(make_harmless(grid.title)), title_justify="left", box=box.SIMPLE_HEAD)
        for number, name in enumerate(grid.columns):
            right = number in grid.numbers
            table.add_column(
                Text(make_harmless(name)), justify="right" if right else "left", overflow="fold", no_wrap=right
            )
        for row in grid.rows:
            table.add_row(*(Text(make_harmless(cell)) for cell in row))
        console.print(table)
    if not grids:
        console.print("no rows")

"""Progress of an evaluation: a bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.monitoring.progress import PlainLines

if TYPE_CHECKING:
    from flows.evaluation.run import Note


@contextmanager
def show_questions(console: Console) -> Iterator[Note]:
    """Show the number of answered questions, as reported inside the block."""
    if not console.is_terminal:
        lines = PlainLines(console)
        yield lambda done, total: lines.tell(lambda: f"{done}/{total} questions answered")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("questions"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

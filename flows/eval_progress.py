"""Shows how far an evaluation is: a bar on a terminal, elsewhere a plain line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from flows.progress import PLAIN_LINE_SECONDS

if TYPE_CHECKING:
    from flows.evaluation import Note


@contextmanager
def show_questions(console: Console) -> Iterator[Note]:
    """Show the questions that are answered, as they are told of inside the block."""
    if not console.is_terminal:
        yield _PlainLines(console).note
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("questions"))
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _PlainLines:
    """A line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + PLAIN_LINE_SECONDS

    def note(self, done: int, total: int) -> None:
        """Print a line when it is time for one."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PLAIN_LINE_SECONDS
            self._console.print(f"{done}/{total} questions answered", highlight=False, soft_wrap=True)

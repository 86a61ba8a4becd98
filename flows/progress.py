"""Shows how far a stage is, by counting the lines of its journals: nothing in the work itself has to report.

On a terminal a bar with rate and time left; elsewhere a plain line now and then. A stage that finishes nothing for
two minutes says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from pipeline.storage.run_folder import RunFolder

POLL_SECONDS = 0.5
PLAIN_LINE_SECONDS = 15.0
STALL_SECONDS = 120.0


def name_many(unit: str) -> str:
    """The plural of a unit."""
    return f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"


class RateColumn(ProgressColumn):
    """Units a second since the stage began."""

    def render(self, task: Task) -> Text:
        """The rate, as text."""
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{rate:,.1f}/s", style="cyan")


class JournalCounter:
    """Counts the finished inputs of a stage: those of committed shards, and the lines of journals under way."""

    def __init__(self, run: RunFolder, stage: str) -> None:
        self._folder = run.journal(stage, "x").parent
        self._committed: dict[str, int] = {}
        self._lines: dict[Path, tuple[int, int]] = {}

    def commit(self, shard: str, inputs: int) -> None:
        """Note that a shard is done."""
        self._committed[shard] = inputs

    def count(self) -> int:
        """Inputs that are done by now."""
        under_way = 0
        for path in list(self._folder.glob("*.jsonl")) if self._folder.exists() else []:
            if path.stem not in self._committed:
                under_way += self._count_lines(path)
        return sum(self._committed.values()) + under_way

    def _count_lines(self, path: Path) -> int:
        read, lines = self._lines.get(path, (0, 0))
        try:
            with path.open("rb") as file:
                file.seek(read)
                while block := file.read(1 << 20):
                    read += len(block)
                    lines += block.count(b"\n")
        except FileNotFoundError:  # committed between the listing and the look
            return lines
        self._lines[path] = (read, lines)
        return lines


class ProgressBoard:
    """Where stages show how far they are."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    @contextmanager
    def stage(self, run: RunFolder, stage: str, unit: str, total: int | None) -> Iterator[JournalCounter]:
        """Show one stage while the block runs."""
        counter = JournalCounter(run, stage)
        stop = threading.Event()
        show = self._draw_bar if self.console.is_terminal else self._print_lines
        thread = threading.Thread(target=show, args=(counter, stage, unit, total, stop), daemon=True)
        started = time.monotonic()
        thread.start()
        try:
            yield counter
        finally:
            stop.set()
            thread.join()
        seconds = time.monotonic() - started
        done = counter.count()
        rate = done / seconds if seconds else 0.0
        self.console.print(
            f"[green]done[/] {stage:<13}{done:>9,} {name_many(unit):<13}{seconds:>8.1f} s {rate:>10,.1f}/s",
            highlight=False,
        )

    def _draw_bar(
        self, counter: JournalCounter, stage: str, unit: str, total: int | None, stop: threading.Event
    ) -> None:
        columns = (
            TextColumn("{task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(f"{name_many(unit)}"),
        )
        watch = StallWatch(self.console, stage)
        with Progress(*columns, RateColumn(), TimeRemainingColumn(), console=self.console, transient=True) as progress:
            bar = progress.add_task(stage, total=total)
            while not stop.wait(POLL_SECONDS):
                count = counter.count()
                progress.update(bar, completed=count)
                watch.note(count)

    def _print_lines(
        self, counter: JournalCounter, stage: str, unit: str, total: int | None, stop: threading.Event
    ) -> None:
        watch = StallWatch(self.console, stage)
        started = time.monotonic()
        while not stop.wait(PLAIN_LINE_SECONDS):
            count = counter.count()
            rate = count / (time.monotonic() - started)
            left = f", about {(total - count) / rate:,.0f} s left" if total and rate else ""
            of = f"/{total:,}" if total else ""
            self.console.print(f"{stage}: {count:,}{of} {name_many(unit)}, {rate:,.1f}/s{left}", highlight=False)
            watch.note(count)


class StallWatch:
    """Says once when nothing has finished for a long while."""

    def __init__(self, console: Console, stage: str) -> None:
        self._console = console
        self._stage = stage
        self._last = (0, time.monotonic())
        self._warned = False

    def note(self, count: int) -> None:
        """Compare with the count noted before."""
        now = time.monotonic()
        if count != self._last[0]:
            self._last, self._warned = (count, now), False
        elif now - self._last[1] > STALL_SECONDS and not self._warned:
            self._console.print(f"[yellow]{self._stage}: nothing finished for {now - self._last[1]:.0f} s[/]")
            self._warned = True

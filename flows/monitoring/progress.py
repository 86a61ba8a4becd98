"""Progress of a stage, from the reports of its workers and the usage log.

Shown as a bar with the state of the language models on a terminal, and as a plain line every ten seconds elsewhere;
also written to `live/<stage>.json` and to the bar of Prefect. A stall is reported once, and so is its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from flows.configuration.run_context import RunContext
from flows.monitoring.live_files import clear_live, write_live
from flows.monitoring.live_text import describe_end, describe_rest, describe_stage
from flows.monitoring.prefect_artifacts import ProgressArtifact
from flows.monitoring.run_events import RunEvents
from flows.monitoring.stage_progress import StageProgress
from flows.monitoring.stall_detector import StallDetector
from flows.process.interruption import StoppedError
from flows.stages.spec import StageSpec
from pipeline.llm.chat_model import BudgetSpentError
from schemas.funnel import pluralise
from schemas.live import StageLive

POLL_SECONDS = 0.5
PLAIN_LINE_SECONDS = 10.0


class PlainLines:
    """Periodic lines, where there is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + PLAIN_LINE_SECONDS

    def tell(self, write: Callable[[], str]) -> None:
        """Print a line if one is due."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + PLAIN_LINE_SECONDS
            self._console.print(write(), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def show_stage(console: Console, spec: StageSpec, total: int | None) -> Iterator[Callable[[StageLive], None]]:
    """Show the state of a stage, as reported inside the block: a bar with a line below it, or periodic lines."""
    if not console.is_terminal:
        lines = PlainLines(console)
        yield lambda live: lines.tell(lambda: describe_stage(live))
        return
    bar = Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(pluralise(spec.unit)),
        TextColumn("[cyan]{task.fields[rate]:,.1f}/s"),
    )
    task, below = bar.add_task(spec.name, total=total, rate=0.0), Text(style="dim")

    def show(live: StageLive) -> None:
        bar.update(task, completed=live.done, rate=live.rate)
        below.plain = "; ".join(describe_rest(live))

    with Live(Group(bar, below), console=console, transient=True, refresh_per_second=4):
        yield show


class ProgressBoard:
    """Progress display of all stages."""

    def __init__(self, console: Console | None = None, watch: RunEvents | None = None) -> None:
        """`watch`: further observers."""
        self.console = console or Console(stderr=True)
        self._events = watch

    @contextmanager
    def stage(self, context: RunContext, spec: StageSpec, total: int | None) -> Iterator[StageProgress]:
        """Show one stage while the block runs."""
        clear_live(context.run)
        gauge = StageProgress(context, spec, total)
        stop = threading.Event()
        with ProgressArtifact(spec.name) as artifact:
            thread = threading.Thread(
                target=self._watch, args=(context, spec, total, gauge, artifact, stop), daemon=True
            )
            thread.start()
            try:
                yield gauge
            except BaseException as error:
                self._end(stop, thread)
                self._print_end(gauge.read(), error, context)
                raise
            else:
                self._end(stop, thread)
                live = gauge.read()
                artifact.show(live)
                if self._events:
                    self._events.note(live)
                done = f"[green]done[/] {spec.name:<13}{describe_end(live)}"
                self.console.print(done, highlight=False, soft_wrap=True)
            finally:
                clear_live(context.run)

    @staticmethod
    def _end(stop: threading.Event, thread: threading.Thread) -> None:
        stop.set()
        thread.join()

    def _watch(
        self,
        context: RunContext,
        spec: StageSpec,
        total: int | None,
        gauge: StageProgress,
        artifact: ProgressArtifact,
        stop: threading.Event,
    ) -> None:
        watch = StallDetector(spec.name, time.monotonic())
        with show_stage(self.console, spec, total) as show:
            while not stop.wait(POLL_SECONDS):
                live = gauge.read()
                for line in self._list_stalls(watch, live, gauge):
                    self.console.print(Text(line, style="yellow"), soft_wrap=True)
                if live.calls and watch.stalled:
                    live = live.model_copy(update={"calls": live.calls.model_copy(update={"stalled": watch.stalled})})
                write_live(context.run.live_stage(spec.name), live)
                show(live)
                artifact.show(live)
                if self._events:
                    self._events.note(live)

    def _list_stalls(self, watch: StallDetector, live: StageLive, gauge: StageProgress) -> Iterator[str]:
        """Return the lines to print; observers are notified of a stall, not of its end."""
        before = watch.stalls
        for line in watch.note(time.monotonic(), live.done, gauge.endpoints):
            if self._events and watch.stalls > before:
                self._events.note_stall(live.stage, line)
            before = watch.stalls
            yield line

    def _print_end(self, live: StageLive, error: BaseException, context: RunContext) -> None:
        """Print the state of a stage that did not finish, and the work still in progress."""
        failed = isinstance(error, Exception) and not isinstance(error, StoppedError | BudgetSpentError)
        line = f"{'failed' if failed else 'stopped'} {describe_stage(live)}"
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        in_flight = live.calls.in_flight if live.calls else 0
        if not isinstance(error, Exception) and in_flight:  # Ctrl-C, or Prefect's exception for SIGTERM
            grace = context.config.llm.limits.grace
            self.console.print(
                f"finishing about {in_flight:,} calls in flight and keeping their replies, for at most {grace:.0f} s; "
                "Ctrl-C again abandons them",
                highlight=False,
                soft_wrap=True,
            )


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

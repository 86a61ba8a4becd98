"""Observers of a run besides the terminal and Prefect: a webhook, and Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from flows.configuration.run_context import RunContext
from flows.models.credentials import read_endpoint_keys, read_keys
from flows.monitoring.prometheus import RunMetrics, expose_metrics
from flows.monitoring.webhook import Event, Notifier
from flows.stages.run_record import collect_funnel, collect_spending
from pipeline.errors import ConfigError, RampforgeError
from schemas.config import RunConfig
from schemas.live import StageLive


class RunEvents:
    """Distributor of the events of one run; called from several threads."""

    def __init__(self, context: RunContext, notifier: Notifier | None) -> None:
        self.metrics = RunMetrics(context.run.name)
        self._context, self._notifier = context, notifier
        self._stage = ""

    def note(self, live: StageLive) -> None:
        """Record the state of a stage."""
        self._stage = live.stage
        self.metrics.note(live)

    def note_stall(self, stage: str, line: str) -> None:
        """The stage stalled."""
        self.metrics.note_stall(stage)
        self._tell(Event.STALLED, what=line)

    def note_stage_end(self) -> None:
        """A stage is finished, and its totals are known."""
        self.metrics.note_funnel(collect_funnel(self._context.run))

    def note_end(self, error: BaseException | None) -> None:
        """The session is over."""
        if error is None:
            spending = collect_spending(self._context, collect_funnel(self._context.run))
            cost = round(sum(role.cost for role in spending.roles), 4) if spending else 0.0
            self._tell(Event.FINISHED, cost=cost, accepted=spending.accepted if spending else None)
        elif isinstance(error, RampforgeError):
            self._tell(Event.FAILED, what=error.what, fix=error.fix)
        elif isinstance(error, Exception):
            self._tell(Event.FAILED, what=f"{type(error).__name__}: {error}")
        else:  # Ctrl-C, or Prefect's exception for a cancelled flow run
            self._tell(Event.STOPPED, fix=f"rampforge resume {self._context.run.location}")

    def _tell(self, event: Event, **facts: str | float | None) -> None:
        if self._notifier is not None:
            run = self._context.run
            self._notifier.tell(event, {"run": run.name, "folder": run.location, "stage": self._stage, **facts})


@contextmanager
def watch_run(context: RunContext) -> Iterator[RunEvents]:
    """Notify all observers of a session while the block runs. Raises ConfigError for an unusable port or URL."""
    notifier = open_notifier(context.config)
    watch = RunEvents(context, notifier)
    with ExitStack() as stack:
        if notifier is not None:
            stack.callback(notifier.close)
        try:
            stack.enter_context(expose_metrics(watch.metrics, context.config.watch))
            watch.note_stage_end()
            yield watch
        except BaseException as error:
            watch.note_end(error)
            raise
        watch.note_end(None)


@contextmanager
def watch_start(context: RunContext) -> Iterator[None]:
    """Report an error inside the block: a run that is refused before its work begins has failed, too."""
    try:
        yield
    except RampforgeError as error:
        if (notifier := open_notifier(context.config)) is not None:
            RunEvents(context, notifier).note_end(error)
            notifier.close()
        raise


def open_notifier(config: RunConfig) -> Notifier | None:
    """Open the notifier, if the environment names one. Raises ConfigError for an invalid URL."""
    name = config.watch.webhook
    url = read_keys([name]).get(name)
    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"the variable {name} does not contain a URL", f"export {name}=https://... or unset it")
    return Notifier(url, [url, *read_endpoint_keys(config.llm.endpoints.values()).values()])

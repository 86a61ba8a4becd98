"""Session over a distillation: its folder, its resources, and the time of each step."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from flows.distillation.configs import configure_teacher, leave_server
from flows.distillation.policy_server import PolicyServer
from flows.execution.run import start_job
from flows.stages.ledger_checks import OTHER_VERSION
from flows.stages.registry import find_spec
from pipeline.distillation.folders import DistillFolder
from pipeline.distillation.steps import StepLog
from pipeline.errors import RampforgeError
from pipeline.storage.run_folder import RunFolder
from schemas.config import RunConfig
from schemas.ledger import StageTiming
from schemas.scale_plan import ScaleUnit

OWN = "other"
"""Time outside any step."""
BEFORE = -1
"""Number that stands for no round."""


class DistillError(RampforgeError):
    """A step of a distillation failed; the same command resumes from it."""


class DistillationSession:
    """Context manager: the folder is locked inside the block, and the managed server is stopped at its end."""

    def __init__(
        self, folder: DistillFolder, config: RunConfig, cache: Path, console: Console, other_version: bool = False
    ) -> None:
        """`other_version`: resume runs that other versions have started."""
        self._other_version = other_version
        self.folder, self.config, self.cache, self.console = folder, config, cache, console
        self._stack = ExitStack()
        self._inner = 0.0
        self._serving: tuple[Path, RunConfig] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(RunFolder(self.folder.root).locked())
            self.step_log = StepLog(self.folder.steps)
            stack.callback(self.step_log.close)
            self._server = stack.enter_context(
                PolicyServer(configure_teacher(self.config), self.cache, self.folder.logs)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @contextmanager
    def step(self, number: int, name: str) -> Iterator[None]:
        """Record the time of a step, also when it fails, without that of nested steps."""
        started, before = time.monotonic(), self._inner
        self._inner = 0.0
        try:
            yield
        except DistillError:
            raise
        except RampforgeError as error:
            raise DistillError(*explain_failure(number, name, error)) from error
        finally:
            spent = time.monotonic() - started
            self.step_log.add(number, name, max(0.0, spent - self._inner))
            self._inner = before + spent

    def run_stages(self, number: int, run: RunFolder, config: RunConfig, stages: Sequence[str], step: str = "") -> None:
        """Run stages of a run. Their time counts for themselves or, where models work, for `step`; the rest is
        overhead.
        """
        if all(run.find_manifest(stage) for stage in stages):
            return
        with self.step(number, OWN):
            before = _read_timings(run)
            try:
                start_job(run.root, leave_server(config, stages), self.cache, stages, other_version=self._other_version)
            except RampforgeError as error:
                raise DistillError(*explain_failure(number, step or stages[-1], error)) from error
            finally:
                for timing in (timing for timing in _read_timings(run) if timing not in before):
                    attempting = find_spec(timing.stage).scales_with is ScaleUnit.ATTEMPTS
                    name = step if step and attempting else timing.stage
                    self.step_log.add(number, name, timing.seconds)
                    self._inner += timing.seconds

    def serve(self, number: int, checkpoint: Path, config: RunConfig) -> RunConfig:
        """Serve a model; return the configuration with its endpoint."""
        with self.step(number, "serve"):
            if self._serving is None or self._serving[0] != checkpoint:
                self._serving = None
                self._serving = (checkpoint, self._server.serve(checkpoint))
        served = self._serving[1]
        config = config.with_section("policy", model=served.policy.model)
        config = config.with_section("llm", endpoints=served.llm.endpoints)
        return config.model_copy(update={"serving": served.serving})

    def stop_serving(self) -> None:
        """Free the memory of the devices for training."""
        if self._serving is not None:
            self._serving = None
            self._server.stop()

    def tell(self, line: str) -> None:
        """Print a line about the progress."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)


def explain_failure(number: int, step: str, error: RampforgeError) -> tuple[str, str]:
    """Return an error that names the failed step, its cause, and the command that resumes."""
    where = f"round {number}" if number >= 0 else "the work outside the rounds"
    resume_command = f"`{write_resume_command()}` resumes from this step"
    if OTHER_VERSION in error.fix:  # this command serves the round's model: its run cannot be resumed by itself
        resume_command = (
            f"install those versions again; or use `{write_resume_command()} {OTHER_VERSION}` for the new ones"
        )
        return f"{where} stopped in step {step}: {error.what}", resume_command
    return (
        f"{where} stopped in step {step}: {error.what}",
        f"{error.fix}; then {resume_command}" if error.fix else resume_command,
    )


def write_resume_command() -> str:
    """Return the command that resumes."""
    return shlex.join(["rampforge", *sys.argv[1:]])


def _read_timings(run: RunFolder) -> tuple[StageTiming, ...]:
    record = run.find_record()
    return record.timings if record else ()

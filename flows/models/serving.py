"""Model servers for a run: the managed one, and the client of the one that scores spans."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from flows.configuration.environments import open_environment
from flows.models.credentials import open_credentials
from flows.models.tokenizers import read_tokenizer
from pipeline.assets.store import resolve_model
from pipeline.errors import ConfigError
from pipeline.llm.chat_model import EndpointError
from pipeline.serving.environments import clean_variables
from pipeline.serving.managed_server import ManagedServer, ServerSpec
from schemas.config import RunConfig
from schemas.llm_config import EndpointConfig, LimitsConfig
from schemas.roles import Role
from schemas.serving_config import ServingConfig, ServingMode

if TYPE_CHECKING:
    from pipeline.masking.served_scorer import ServedScorer

MANAGED = "managed"
"""Name of the managed server's endpoint among `llm.endpoints`."""


@contextmanager
def serve_models(config: RunConfig, cache: Path, logs: Path) -> Iterator[RunConfig]:
    """Run the managed server, if one is configured; yield the configuration with its endpoint.

    `cache`: folder of the assets; `logs`: folder of its output. Raises RampforgeError."""
    serving = config.serving
    if serving.mode is ServingMode.EXTERNAL:
        yield config
        return
    with ManagedServer(build_spec(serving, cache), logs) as server:
        endpoint = EndpointConfig(url=server.url, roles=serving.roles, max_in_flight=serving.max_in_flight)
        try:
            yield config.with_section("llm", endpoints={**config.llm.endpoints, MANAGED: endpoint})
        except EndpointError:
            server.check()  # the reason of its end is more useful than that it does not answer
            raise


def build_spec(serving: ServingConfig, cache: Path) -> ServerSpec:
    """The server as the `serving` section describes it. Raises ConfigError, AssetError or EnvironmentBuildError."""
    if serving.model is None:
        raise ConfigError("serving.mode is managed and no model is named", "set serving.model")
    environment = open_environment(serving.environment)
    variables = dict(environment.recipe.variables or {}) | clean_variables(os.environ) | serving.variables
    # Programs that vLLM calls, such as ninja, lie beside the interpreter.
    variables.pop("VLLM_API_KEY", None)  # it would make the server ask us for a key
    variables["PATH"] = os.pathsep.join((str(environment.python.parent), variables.get("PATH", os.defpath)))
    return ServerSpec(
        python=environment.python,
        model=str(resolve_model(serving.model, cache)),
        name=serving.name or serving.model,
        tensor_parallel=serving.tensor_parallel,
        data_parallel=serving.data_parallel,
        max_model_len=serving.max_model_len,
        arguments=serving.arguments,
        variables=variables,
        startup_seconds=serving.startup_seconds,
    )


def names_served_scorer(config: RunConfig) -> bool:
    """Whether spans are scored by a server."""
    return Role.SCORER in config.llm.roles and config.masking.scorer is not None


def open_served_scorer(config: RunConfig, cache: Path, limits: LimitsConfig | None = None) -> ServedScorer:
    """The scorer that `llm.roles` names, at the first endpoint that serves it.

    `masking.scorer` is the same model, whose tokeniser is loaded here; `limits`: instead of those configured. Raises
    ConfigError, AssetError, EndpointError.
    """
    from pipeline.llm.client import ApiClient
    from pipeline.masking.served_scorer import ServedScorer  # with it comes torch: two seconds

    role = config.llm.roles.get(Role.SCORER)
    if role is None or config.masking.scorer is None:
        raise ConfigError(
            "no served scorer is named", "set llm.roles.scorer.model, and masking.scorer to the same model"
        )
    known = config.llm.endpoints.items()
    hosts = [(name, endpoint) for name, endpoint in known if not endpoint.roles or Role.SCORER in endpoint.roles]
    if not hosts:
        raise ConfigError("llm.roles names a scorer and no endpoint serves it", "name one in llm.endpoints")
    tokenizer = read_tokenizer(config.masking.scorer, cache, "set masking.scorer to the served model")
    host, endpoint = hosts[0]
    client = ApiClient(endpoint, open_credentials(host, endpoint), config.llm.limits.deadline)
    return ServedScorer(client, role.model, tokenizer, f"{role.model} (served)", limits or config.llm.limits)

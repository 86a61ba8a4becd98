"""The `llm` section of the configuration: the model of each role, where it is served, and limits on its cost.

Rows depend only on `llm.roles` and the prices of the agents' models, since trajectories carry their cost. Endpoints,
limits and budgets may change between the sessions of a run.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from schemas.record import Frozen
from schemas.secrets import VariableName, check_name

REFERENCE = re.compile(r"\$\{(\w+)\}")
"""An environment variable in the value of a header."""
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class ServerConfig(Frozen):
    """Address of a server that speaks the OpenAI protocol, its key, and how it takes requests."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Base URL, such as http://127.0.0.1:8000/v1."""
    key: VariableName | None = None
    """NAME of the environment variable that holds the API key; the key itself is never written."""
    key_command: tuple[str, ...] = ()
    """Command that prints a key which expires, as a list of arguments without a shell, such as `[gcloud, auth,
    print-access-token]`; it runs again before the key expires, and when the server rejects it."""
    key_seconds: float = Field(default=900.0, gt=0)
    """Seconds after which `key_command` runs again if the key itself does not say when it expires."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Further HTTP headers; `${NAME}` in a value stands for the environment variable of that name."""
    api_version: str | None = Field(default=None, min_length=1)
    """API version of Azure OpenAI: requests then go to its deployments, with the key in the header `api-key`."""
    parameters: dict[str, str | None] = Field(default_factory=dict)
    """Names of request parameters on this server, null to leave one out: `{max_tokens: max_completion_tokens,
    temperature: null}`; known already for the o series and gpt-5."""
    stream: bool = False
    """Request replies as a stream; done without this option for a server that refuses anything else."""
    proxy: str | None = None
    """HTTP proxy; null: the one given by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, except for servers on this machine."""

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the environment variables whose values it needs."""
        names = [self.key] if self.key else []
        return (*names, *(name for value in self.headers.values() for name in REFERENCE.findall(value)))

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if self.key and self.key_command:
            raise ValueError("give key or key_command, not both")
        for name, value in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise ValueError(f"headers: {name!r} is not the name of a header, or its value not one line of text")
            for variable in REFERENCE.findall(value):
                check_name(variable)
        return self


class EndpointConfig(ServerConfig):
    """Server for some roles of a run, or all."""

    roles: tuple[str, ...] = ()
    """Roles that it serves; empty means all."""
    max_in_flight: int = Field(default=256, ge=1)
    """Maximum concurrent requests."""
    adaptive: bool = True
    """Reduce concurrency below `max_in_flight` when the server is overloaded, and raise it again afterwards."""
    metrics: bool = True
    """Read the queue length of the server from `/metrics`, where vLLM, SGLang and llama.cpp publish it."""


class RoleModelConfig(Frozen):
    """Model of a role, and its sampling."""

    model: str = Field(min_length=1)
    """Name of the model on the server."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; null means the default of the role."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus sampling; null means the default of the server."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Maximum tokens of a reply; null means the default of the role."""
    structured: bool = True
    """Send JSON schemas to the server; if it rejects them, replies are parsed leniently instead."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """Further keys of the request body, such as `chat_template_kwargs` or `reasoning_effort`."""


class Unanswered(StrEnum):
    """Handling of an item whose request failed after all tries."""

    OWE = "owe"
    REJECT = "reject"


class LimitsConfig(Frozen):
    """Timeouts, retries and shutdown."""

    deadline: float = Field(default=600.0, gt=0)
    """Timeout of a request in seconds; it is then tried again."""
    min_deadline: float = Field(default=2.0, gt=0)
    """Minimum timeout in seconds: a request much slower than is usual for its role is abandoned before `deadline`, but
    never before this."""
    tries: int = Field(default=8, ge=1)
    """Maximum tries at one request; rate limiting (429) does not count."""
    unanswered: Unanswered = Unanswered.OWE
    """Handling of an item whose request failed after all tries: `owe` finishes the others, then stops and leaves it for
    the next session; `reject` rejects it as `no_reply`."""
    max_wait: float = Field(default=30.0, gt=0)
    """Maximum pause between two tries in seconds, unless the server asks for a longer one."""
    give_up: float = Field(default=600.0, gt=0)
    """Silence of a server in seconds after which the run stops; a tenth of it for a server that never answered."""
    grace: float = Field(default=60.0, ge=0)
    """Seconds that requests in flight get to finish when the run is stopped."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_deadline > self.deadline:
            raise ValueError("min_deadline must not exceed deadline")
        return self


class BudgetConfig(Frozen):
    """Caps on a run. Reaching one stops the run cleanly; with a higher one it resumes."""

    tokens: int | None = Field(default=None, ge=1)
    """Maximum tokens, sent and received, over all sessions of the run."""
    money: float | None = Field(default=None, gt=0)
    """Maximum cost by the price table, over all sessions of the run."""
    hours: float | None = Field(default=None, gt=0)
    """Maximum hours of one session."""


class ModelPrice(Frozen):
    """Price of a model."""

    prompt: float = Field(ge=0)
    """Price per million tokens sent."""
    completion: float = Field(ge=0)
    """Price per million tokens received."""


class LlmConfig(Frozen):
    """Language models behind the roles."""

    roles: dict[str, RoleModelConfig] = Field(default_factory=dict)
    """Model of each role; `default` applies to every role not named."""
    endpoints: dict[str, EndpointConfig] = Field(default_factory=dict)
    """Servers by name; requests of a role that several serve go to the least loaded."""
    in_flight: int = Field(default=256, ge=1)
    """Items in progress at once in one process."""
    limits: LimitsConfig = LimitsConfig()
    """Timeouts, retries and shutdown."""
    budget: BudgetConfig = BudgetConfig()
    """Caps on tokens, money and time."""
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    """Prices by model name or pattern (`qwen3-*`); they take precedence over the built-in table. A run records the
    prices it started with here."""
    trace: bool | Literal["content"] = False
    """Export an OpenTelemetry span for each call over OTLP to `OTEL_EXPORTER_OTLP_ENDPOINT`; `content` includes prompts
    and replies."""

"""The `llm` section of the configuration: which model plays which role, where it is served, and what it may cost.

Only `llm.roles` decides rows, and the prices of the agents' models: trajectories carry their cost. Endpoints, limits
and budgets may change between the sessions of one run.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, JsonValue, model_validator

from schemas.record import Frozen
from schemas.secrets import VariableName


class EndpointConfig(Frozen):
    """A server that speaks the OpenAI protocol."""

    url: str = Field(pattern=r"^https?://\S+$")
    """Its base URL, such as http://127.0.0.1:8000/v1."""
    key: VariableName | None = None
    """NAME of the environment variable that holds its key; the key itself is never written down."""
    proxy: str | None = None
    """HTTP proxy to reach it through; null: the one that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name. A server on this
    machine is reached directly then."""
    roles: tuple[str, ...] = ()
    """Roles it serves; empty means all."""
    max_in_flight: int = Field(default=256, ge=1)
    """Never more requests than this at once."""
    adaptive: bool = True
    """Go below `max_in_flight` when the server is overdriven, and come back."""
    metrics: bool = True
    """Read the length of the server's queue from `/metrics`, where vLLM and SGLang publish it."""


class RoleModelConfig(Frozen):
    """The model that plays a role, and how it is sampled."""

    model: str = Field(min_length=1)
    """Its name, as the server knows it."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    """Sampling temperature; null means as the role asks."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus sampling; null means the server's own default."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest reply; null means as the role asks."""
    structured: bool = True
    """Send JSON schemas to the server; where it refuses them, replies are parsed leniently instead."""
    extra: dict[str, JsonValue] = Field(default_factory=dict)
    """More keys for the request body, such as `chat_template_kwargs` or `reasoning_effort`."""


class Unanswered(StrEnum):
    """What becomes of an item whose request got no reply after all tries."""

    OWE = "owe"
    REJECT = "reject"


class LimitsConfig(Frozen):
    """How faults are met."""

    deadline: float = Field(default=600.0, gt=0)
    """Seconds after which a request is abandoned and tried again, at the latest."""
    min_deadline: float = Field(default=2.0, gt=0)
    """A request far slower than its role usually is, is abandoned earlier, but never before so many seconds."""
    tries: int = Field(default=8, ge=1)
    """Tries at one request; refusals for too many requests (429) do not count."""
    unanswered: Unanswered = Unanswered.OWE
    """What becomes of an item whose request got no reply after all tries: `owe` does the others, then stops and leaves
    it for the next session; `reject` gives it up as `no_reply`."""
    max_wait: float = Field(default=30.0, gt=0)
    """Longest pause between two tries, in seconds, unless the server asks for more."""
    give_up: float = Field(default=600.0, gt=0)
    """A server silent for so many seconds stops the run; one that never answered, after a tenth of it."""
    grace: float = Field(default=60.0, ge=0)
    """Seconds that requests in flight are given to finish when the run is stopped."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_deadline > self.deadline:
            raise ValueError("min_deadline must not be above deadline")
        return self


class BudgetConfig(Frozen):
    """Caps; reaching one stops the run cleanly, and a higher one lets it go on."""

    tokens: int | None = Field(default=None, ge=1)
    """Tokens sent and received, over all sessions of the run."""
    money: float | None = Field(default=None, gt=0)
    """Cost by the price table, over all sessions of the run."""
    hours: float | None = Field(default=None, gt=0)
    """Hours of one session."""


class ModelPrice(Frozen):
    """What a model costs."""

    prompt: float = Field(ge=0)
    """Price of a million tokens sent."""
    completion: float = Field(ge=0)
    """Price of a million tokens received."""


class LlmConfig(Frozen):
    """Language models behind the roles."""

    roles: dict[str, RoleModelConfig] = Field(default_factory=dict)
    """The model of each role; `default` stands for every role not named."""
    endpoints: dict[str, EndpointConfig] = Field(default_factory=dict)
    """Servers by name; a role served by several goes to the least loaded."""
    in_flight: int = Field(default=256, ge=1)
    """Items under work at once in one process."""
    limits: LimitsConfig = LimitsConfig()
    """How faults are met."""
    budget: BudgetConfig = BudgetConfig()
    """Caps on tokens, money and time."""
    prices: dict[str, ModelPrice] = Field(default_factory=dict)
    """Prices by model name or pattern (`qwen3-*`); they go before the table that comes with rampforge. A run writes the
    prices that it starts with here."""
    trace: bool | Literal["content"] = False
    """Send a span for each call over OTLP to where `OTEL_EXPORTER_OTLP_ENDPOINT` says; `content`: prompts and replies
    in it too."""

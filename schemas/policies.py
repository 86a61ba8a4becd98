"""The `policy` section of the configuration: a trained model that thinks, searches and answers in one stream.

`StreamBounds` is shared with the rollouts of reinforcement learning, so that training and later attempts use the same
limits.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator

from schemas.record import Frozen
from schemas.renderings import RenderingName

STREAMED = (RenderingName.SEARCH_R1, RenderingName.RESEARCH)
"""Formats that write everything into one stream of tags."""

OTHERS = ("agents", "extractive")
"""Names of policies in trajectories that are not a trained model."""


class StreamEnd(StrEnum):
    """Reason for the end of a stream."""

    ANSWERED = "answered"
    """The answer was closed."""
    STOPPED = "stopped"
    """The model ended its turn, or closed a search without a query."""
    CUT = "cut"
    """The length limit was reached before a search or an answer was closed."""
    TURNS = "turns"
    """The limit of searches was exceeded."""
    FULL = "full"
    """No room was left for search results."""
    UNSEARCHED = "unsearched"
    """The search failed."""


class StreamBounds(Frozen):
    """Format of a stream, and limits on its length."""

    rendering: RenderingName = RenderingName.SEARCH_R1
    """Format, one that writes tags into a single stream (search-r1, research)."""
    turns: int = Field(default=4, ge=1)
    """Maximum searches in one completion."""
    max_completion: int = Field(default=1024, ge=16)
    """Maximum tokens of a completion, search results included."""
    max_turn: int = Field(default=256, ge=8)
    """Maximum tokens that the model writes before a search or the answer."""
    max_results: int = Field(default=512, ge=16)
    """Maximum tokens of the results of one search; passages are dropped from the end, then words of the first."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus sampling."""

    @field_validator("rendering")
    @classmethod
    def _is_a_stream(cls, rendering: RenderingName) -> RenderingName:
        if rendering not in STREAMED:
            raise ValueError(f"a stream needs a format of tags: use search-r1 or research, not {rendering}")
        return rendering


class PolicyConfig(StreamBounds):
    """Trained model that attempts tasks by itself, for `agents.policy=policy`."""

    name: str = Field(default="teacher", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name of the policy in trajectories, such as teacher-r1."""
    model: str | None = None
    """Model to serve: a folder, an asset or a hub name. Its tokenizer and chat template make the prompts. Null means
    `serving.model`."""
    max_prompt: int = Field(default=1024, ge=16)
    """Maximum tokens of a prompt; longer ones are rejected as `prompt_too_long`."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Sampling temperature, unless `llm.roles.policy` sets it."""
    closed_book: int = Field(default=0, ge=0, le=64)
    """Attempts at each task without search, by the role `closed_book`, to measure what the model knows by heart."""
    difficulties: bool = False
    """Write how often each task was solved as the dataset `difficulties`; `closed_book` implies it."""
    reload: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """For a server managed elsewhere: URL at which a POST of {"model": folder, "name": name} makes it serve another
    model."""

    @field_validator("name")
    @classmethod
    def _is_no_other(cls, name: str) -> str:
        if name in OTHERS:
            raise ValueError(f"{name} is reserved for other policies: use a name such as teacher-r1")
        return name

    @property
    def drawing(self) -> dict[str, object]:
        """Return the settings that affect the streams. The name and the model are separate fields of a trajectory."""
        return self.model_dump(mode="json", exclude={"name", "model", "closed_book", "difficulties", "reload"})

    @property
    def measures(self) -> bool:
        """Return whether difficulties are measured."""
        return self.difficulties or self.closed_book > 0

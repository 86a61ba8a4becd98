"""The `policy` section of the configuration: a trained model that thinks, searches and answers in one stream.

`StreamBounds` is shared with the rollouts of reinforcement learning: what is trained is what attempts tasks later.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, field_validator

from schemas.record import Frozen
from schemas.renderings import RenderingName

STREAMED = (RenderingName.SEARCH_R1, RenderingName.RESEARCH)
"""Formats that write everything into one stream of tags."""

OTHERS = ("agents", "extractive")
"""What trajectories call those that are no trained model."""


class StreamEnd(StrEnum):
    """How a stream came to its end."""

    ANSWERED = "answered"
    """An answer was closed."""
    STOPPED = "stopped"
    """The model ended its turn by itself, or closed a search that holds no query."""
    CUT = "cut"
    """It wrote as long as it might, and closed neither a search nor an answer."""
    TURNS = "turns"
    """It asked for one more search than it is given."""
    FULL = "full"
    """Results found no room any more."""
    UNSEARCHED = "unsearched"
    """Its searches could not be made."""


class StreamBounds(Frozen):
    """The format of a stream and how long it may grow."""

    rendering: RenderingName = RenderingName.SEARCH_R1
    """The format; one that writes tags into one stream (search-r1, research)."""
    turns: int = Field(default=4, ge=1)
    """Searches in one completion at most."""
    max_completion: int = Field(default=1024, ge=16)
    """Longest completion in tokens, results counted."""
    max_turn: int = Field(default=256, ge=8)
    """Longest stretch that the model writes before a search or the answer, in tokens."""
    max_results: int = Field(default=512, ge=16)
    """Longest results of one search in tokens; passages go from the end, then words of the first."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Of sampling."""

    @field_validator("rendering")
    @classmethod
    def _is_a_stream(cls, rendering: RenderingName) -> RenderingName:
        if rendering not in STREAMED:
            raise ValueError(f"a stream is written with tags: take search-r1 or research, not {rendering}")
        return rendering


class PolicyConfig(StreamBounds):
    """A trained model that attempts tasks by itself, for `agents.policy=policy`."""

    name: str = Field(default="teacher", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """What trajectories call it, such as teacher-r1."""
    model: str | None = None
    """The model that is to be served: a folder, an asset or a hub name. Its tokenizer and chat template make the
    prompts. Null means as `serving.model`."""
    max_prompt: int = Field(default=1024, ge=16)
    """Longest prompt in tokens; a longer one is rejected as `prompt_too_long`."""
    temperature: float = Field(default=0.7, ge=0, le=2)
    """Of sampling, where `llm.roles.policy` does not say."""
    closed_book: int = Field(default=0, ge=0, le=64)
    """Attempts at each task without searching, asked of the role `closed_book`: how many pass is what a model knows by
    heart."""
    difficulties: bool = False
    """Write how often each task was solved as the dataset `difficulties`; `closed_book` does so too."""
    reload: str | None = Field(default=None, pattern=r"^https?://\S+$")
    """For a server that others run: where a POST of {"model": folder, "name": name} makes it serve another model."""

    @field_validator("name")
    @classmethod
    def _is_no_other(cls, name: str) -> str:
        if name in OTHERS:
            raise ValueError(f"{name} is what trajectories of others are called: take a name such as teacher-r1")
        return name

    @property
    def drawing(self) -> dict[str, object]:
        """What decides the streams. Its name and its model stand in a trajectory by themselves."""
        return self.model_dump(mode="json", exclude={"name", "model", "closed_book", "difficulties", "reload"})

    @property
    def measures(self) -> bool:
        """Whether difficulties are measured."""
        return self.difficulties or self.closed_book > 0

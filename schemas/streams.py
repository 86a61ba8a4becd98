"""Streams: the exact tokens that a trained model wrote and was shown, so that nothing is tokenised again."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from schemas.policies import StreamEnd
from schemas.record import Frozen, Record
from schemas.renderings import RenderingName, SegmentKind


class StreamRun(Frozen):
    """Consecutive tokens of one kind."""

    kind: SegmentKind
    """Kind of the tokens; `observation` was inserted, everything else the model wrote."""
    length: int = Field(ge=1)
    """Number of tokens."""


class TokenStream(Record):
    """One attempt of a trained model, token for token. Its trajectory has the same id."""

    dataset: ClassVar[str] = "streams"
    id_field: ClassVar[str] = "trajectory_id"
    references: ClassVar[dict[str, str]] = {"trajectory_id": "trajectories"}

    trajectory_id: str
    """The trajectory."""
    rendering: RenderingName
    """The format."""
    tokenizer: str
    """Digest of the tokenizer and its chat template."""
    prompt_ids: tuple[int, ...]
    """Tokens of the prompt."""
    ids: tuple[int, ...]
    """Tokens written by the model or inserted; an answer is followed by the end-of-sequence token."""
    runs: tuple[StreamRun, ...]
    """Kinds of the tokens after the prompt, in order; the lengths add up."""
    text: str
    """The same as text, without the end-of-sequence token."""
    end: StreamEnd
    """Reason for the end of the stream."""
    fault: str | None
    """Defect of the format; None when there is none."""

    @property
    def mask(self) -> list[int]:
        """Return 1 for the model's own tokens, 0 for results."""
        return [int(run.kind is not SegmentKind.OBSERVATION) for run in self.runs for _ in range(run.length)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if sum(run.length for run in self.runs) != len(self.ids):
            raise ValueError(f"{self.trajectory_id}: the runs do not add up to {len(self.ids)} tokens")
        return self

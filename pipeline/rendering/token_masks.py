"""Which tokens of a conversation are trained on, exact at every boundary.

Each run of text by one speaker is tokenised by itself, as it is when a model writes it and results are put in between:
no token spans a boundary, and nothing has to be found again in a tokenised whole (there, offsets drift).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipeline.rendering.chat_text import ChatText, Stretch
from schemas.renderings import Rendered, SegmentKind

IGNORED = -100
"""The label that no trainer puts loss on."""
OWN_WORDS = frozenset({SegmentKind.THINK, SegmentKind.QUERY, SegmentKind.ANSWER})
"""What a model is trained to write."""


class MaskError(ValueError):
    """A row that must not be trained on; `reason` is a code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A conversation as tokens."""

    input_ids: list[int]
    """The tokens."""
    trained: list[bool]
    """Which of them carry loss."""
    kinds: list[SegmentKind]
    """What each belongs to; a token across two kinds of one speaker counts as the first."""

    @property
    def labels(self) -> list[int]:
        """The tokens that carry loss, `IGNORED` for the others."""
        return [token if train else IGNORED for token, train in zip(self.input_ids, self.trained, strict=True)]


class TokenMasker:
    """Tokenises conversations with one model's tokenizer."""

    def __init__(self, tokenizer: Any, train_on: frozenset[SegmentKind] = OWN_WORDS) -> None:
        """`train_on` may add `observation`, which trains on results on purpose (an auxiliary loss).

        Raises ChatTemplateError when the tokenizer has no chat template.
        """
        self._tokenizer = tokenizer
        self._chat = ChatText(tokenizer)
        self._train_on = train_on

    def encode(self, rows: Sequence[Rendered]) -> list[TokenRow]:
        """The tokens of each row, all tokenised together. Raises MaskError `nothing_trained`, ChatTemplateError."""
        runs = [list(self._cut(rendered)) for rendered in rows]
        texts = ["".join(stretch.text for stretch in stretches) for some in runs for _, stretches in some]
        encoded = self._tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
        tokens = iter(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
        return [self._assemble(some, tokens) for some in runs]

    def _cut(self, rendered: Rendered) -> Iterator[tuple[bool, list[Stretch]]]:
        """Runs of one speaker of which all or nothing is trained, empty ones left out."""
        stretches = (stretch for stretch in self._chat.write(rendered) if stretch.text)
        for (_, trained), run in groupby(stretches, key=lambda s: (s.spoken, s.kind in self._train_on)):
            yield trained, list(run)

    def _assemble(self, runs: Sequence[tuple[bool, list[Stretch]]], tokens: Iterator[Any]) -> TokenRow:
        row = TokenRow([], [], [])
        for trained, stretches in runs:
            ids, offsets = next(tokens)
            row.input_ids.extend(ids)
            row.trained.extend([trained] * len(ids))
            row.kinds.extend(_name_tokens(stretches, offsets))
        if not any(row.trained):
            raise MaskError("nothing_trained", "no token of the row carries loss")
        return row


def _name_tokens(stretches: Sequence[Stretch], offsets: Sequence[tuple[int, int]]) -> Iterator[SegmentKind]:
    """The kind of the stretch that each token begins in."""
    pieces = iter(stretches)
    piece = next(pieces)
    end = len(piece.text)
    for start, _ in offsets:
        while start >= end:
            piece = next(pieces)
            end += len(piece.text)
        yield piece.kind

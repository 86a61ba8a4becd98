"""Loss masks: the tokens of a conversation that are trained on, exact at every boundary.

Each run of text by one speaker is tokenised separately, as when a model writes it and results are inserted in between:
no token spans a boundary, and no offsets have to be recovered from the tokenised whole, where they would drift.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from pipeline.rendering.chat_template import AlteredError, Stretch
from pipeline.rendering.chat_text import ChatText
from schemas.renderings import Rendered, SegmentKind
from schemas.streams import TokenStream

IGNORED = -100
"""Label without loss in every trainer."""
OWN_WORDS = frozenset({SegmentKind.THINK, SegmentKind.QUERY, SegmentKind.ANSWER})
"""Kinds of text that a model is trained to write."""


ALTERED = "altered"
"""Reason code of a row of which the chat template would lose a part."""
PASSING = ("truncation", "padding")
"""Call options stored by a tokenizer, which are not part of its identity."""


class MaskError(ValueError):
    """Row that must not be trained on; `reason` is a code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TokenRun(NamedTuple):
    """Consecutive tokens of one kind, either all trained or all untrained."""

    kind: SegmentKind
    """Kind of the tokens; a token across two kinds of one speaker counts as the first."""
    trained: bool
    """Whether they carry loss."""
    length: int
    """Number of tokens."""


@dataclass(frozen=True, slots=True)
class TokenRow:
    """Conversation as tokens."""

    input_ids: list[int]
    """The tokens."""
    runs: list[TokenRun]
    """Runs in order; the lengths add up to that of the tokens."""

    @property
    def trained(self) -> list[bool]:
        """Return which tokens carry loss."""
        return [run.trained for run in self.runs for _ in range(run.length)]

    @property
    def kinds(self) -> list[SegmentKind]:
        """Return the kind of each token."""
        return [run.kind for run in self.runs for _ in range(run.length)]

    @property
    def labels(self) -> list[int]:
        """Return the tokens that carry loss, and `IGNORED` for the others."""
        labels: list[int] = []
        for run in self.runs:
            at = len(labels)
            labels += self.input_ids[at : at + run.length] if run.trained else [IGNORED] * run.length
        return labels


class TokenMasker:
    """Tokenizer of conversations with one model's tokenizer."""

    def __init__(self, tokenizer: Any, train_on: frozenset[SegmentKind] = OWN_WORDS, day: date | None = None) -> None:
        """`train_on` may include `observation`, which trains on results too (an auxiliary loss); `day`: date that the
        chat template writes, today by default.

        Raises ChatTemplateError when the tokenizer has no chat template.
        """
        self.tokenizer = tokenizer
        self.train_on = train_on
        self.chat = ChatText(tokenizer, day)

    @cached_property
    def digest(self) -> str:
        """Return the digest of the tokenizer."""
        return digest_tokenizer(self.tokenizer)

    def take(self, stream: TokenStream) -> TokenRow | MaskError:
        """Return the tokens of a stream of this tokenizer unchanged, or why it must not be trained on."""
        asked = TokenRun(SegmentKind.PROMPT, False, len(stream.prompt_ids))
        runs = [asked, *(TokenRun(run.kind, run.kind in self.train_on, run.length) for run in stream.runs)]
        return self._settle(TokenRow([*stream.prompt_ids, *stream.ids], runs))

    def encode(self, rows: Sequence[Rendered]) -> list[TokenRow]:
        """Return the tokens of each row, tokenised in one batch. Raises MaskError for a row that must not be trained
        on.
        """
        encoded = []
        for row in self.try_encode(rows):
            if isinstance(row, MaskError):
                raise row
            encoded.append(row)
        return encoded

    def try_encode(self, rows: Sequence[Rendered]) -> list[TokenRow | MaskError]:
        """Return the tokens of each row, or why it must not be trained on. Raises ChatTemplateError."""
        cuts = [self._try_cut(rendered) for rendered in rows]
        texts = [
            "".join(stretch.text for stretch in stretches)
            for cut in cuts
            if not isinstance(cut, MaskError)
            for _, stretches in cut
        ]
        if not texts:
            return [cut for cut in cuts if isinstance(cut, MaskError)]
        encoded = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
        )
        tokens = iter(encoded.encodings)
        return [cut if isinstance(cut, MaskError) else self._settle(_assemble(cut, tokens)) for cut in cuts]

    def _try_cut(self, rendered: Rendered) -> list[tuple[bool, list[Stretch]]] | MaskError:
        try:
            return list(self.cut(rendered))
        except AlteredError as error:
            return MaskError(ALTERED, f"by the chat template: {error}")

    def cut(self, rendered: Rendered) -> Iterator[tuple[bool, list[Stretch]]]:
        """Return non-empty runs of text by one speaker, each trained entirely or not at all. Raises AlteredError."""
        stretches = (stretch for stretch in self.chat.write(rendered) if stretch.text)
        for (_, trained), run in groupby(stretches, key=lambda s: (s.spoken, s.kind in self.train_on)):
            yield trained, list(run)

    def _settle(self, row: TokenRow) -> TokenRow | MaskError:
        return find_fault(row.runs, self.train_on) or row


def digest_tokenizer(tokenizer: Any) -> str:
    """Return a hash of everything that affects tokens: two tokenizers of one digest give the same for every
    conversation.
    """
    whole = json.loads(tokenizer.backend_tokenizer.to_str())
    parts = [{key: whole[key] for key in sorted(whole) if key not in PASSING}, tokenizer.chat_template]
    content = json.dumps([*parts, tokenizer.eos_token_id], ensure_ascii=False, sort_keys=True)
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()


def find_fault(runs: Iterable[TokenRun], train_on: frozenset[SegmentKind] = OWN_WORDS) -> MaskError | None:
    """Return why a row must not be trained on, if so: `nothing_trained`, or loss on other text than the model's."""
    trained = {run.kind for run in runs if run.trained and run.length}
    if not trained:
        return MaskError("nothing_trained", "no token of the row carries loss")
    if wrong := sorted(trained - train_on):
        return MaskError(f"trained_{wrong[0]}", f"tokens of kind {wrong[0]} carry loss")
    return None


def _assemble(cut: Sequence[tuple[bool, list[Stretch]]], tokens: Iterator[Any]) -> TokenRow:
    row = TokenRow([], [])
    for trained, stretches in cut:
        encoding = next(tokens)
        ids = encoding.ids
        row.input_ids.extend(ids)
        if len({stretch.kind for stretch in stretches}) == 1:
            row.runs.append(TokenRun(stretches[0].kind, trained, len(ids)))
        else:
            row.runs.extend(_divide(stretches, [start for start, _ in encoding.offsets], trained))
    return row


def _divide(stretches: Sequence[Stretch], starts: Sequence[int], trained: bool) -> Iterator[TokenRun]:
    """Return the runs of the tokens that start in each stretch."""
    end = counted = 0
    for stretch in stretches:
        end += len(stretch.text)
        upto = bisect_left(starts, end)
        if upto > counted:
            yield TokenRun(stretch.kind, trained, upto - counted)
        counted = upto
    if counted < len(starts):  # tokens that a tokenizer puts after the text
        yield TokenRun(stretches[-1].kind, trained, len(starts) - counted)

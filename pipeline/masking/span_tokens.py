"""Tokenisation of passages for scoring: the same for every scorer, so that their numbers are comparable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.masking.perplexity import SpanContext, cut_segments
from pipeline.masking.span_trees import SpanTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_contexts(tokenizer: PreTrainedTokenizerBase, items: Sequence[SpanContext]) -> Iterator[SpanTokens]:
    """Tokenise all segments of all items in one call, then join them by item.

    A trunk starts with the tokenizer's own first token, if it has one.
    """
    first = tokenizer("")["input_ids"][:1]
    opening: list[int] = first if first and first[0] == tokenizer.bos_token_id else []
    segments = [cut_segments(item) for item in items]
    texts = [
        text for cut in segments for triple in zip(cut.plain, cut.spans, cut.masks, strict=True) for text in triple
    ]
    ids = iter(tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else [])
    for cut in segments:
        trunk = list(opening)
        holes: list[int] = []
        branches: list[list[int]] = []
        for _ in cut.spans:
            trunk.extend(next(ids))
            holes.append(len(trunk))
            branches.append(next(ids))
            trunk.extend(next(ids))
        yield SpanTokens(trunk, holes, branches)

"""Token rows with which one pass of a causal model scores every span of a passage.

The trunk is the passage with all spans hidden, up to the last hole. Each span is a branch at its own hole: its tokens
attend to the trunk before the hole and to the branch before themselves, and their positions continue from the hole.
Thus a branch's numbers equal those of a plain sequence that ends with it, and the trunk is computed once for all of
them. A branch's last token predicts nothing and is omitted: a span of one token costs nothing beyond the trunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.masking.perplexity import SpanContext, cut_segments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class SpanTokens:
    """Passage as tokens, with its branches."""

    trunk: list[int]
    """Title and text with the spans hidden, up to the last hole."""
    holes: list[int]
    """Number of trunk tokens before each span; at least 1, in order."""
    branches: list[list[int]]
    """Tokens of each span; at least 1 each."""


def encode_contexts(tokenizer: PreTrainedTokenizerBase, items: Sequence[SpanContext]) -> Iterator[SpanTokens]:
    """Tokenise all segments of all items in one call, then join them by item; the same for every scorer.

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


@dataclass(slots=True)
class TreeRow:
    """Row of a batch: part of a trunk, and the branches attached to it."""

    ids: list[int]
    positions: list[int]
    trunk: int
    """Number of trunk ids."""
    branches: list[tuple[int, int, int]] = field(default_factory=list)
    """First id, number of ids and hole of each branch with more than one token."""
    reads: list[int] = field(default_factory=list)
    """Indices of the ids whose hidden states predict the targets."""
    targets: list[int] = field(default_factory=list)
    """Tokens to be predicted, of all spans in order."""
    lengths: list[int] = field(default_factory=list)
    """Number of targets of each span."""


def plant_rows(tokens: SpanTokens, context: int) -> list[TreeRow]:
    """Return the rows of one passage: one, unless trunk and branches exceed the model's context (in tokens).

    A long passage is covered by windows: each starts so that its first span has half a context before it (less where a
    span is very long), and includes every following span that still fits. Text before a window is ignored.
    """
    rows: list[TreeRow] = []
    first = 0
    while first < len(tokens.holes):
        reach = context - max(len(branch) for branch in tokens.branches) + 1
        if reach < 1:
            raise ValueError(f"a span is longer than the model's context of {context} tokens")
        offset = 0 if tokens.holes[first] <= reach else max(tokens.holes[first] - max(reach // 2, 1), 0)
        last = first
        while last < len(tokens.holes) and tokens.holes[last] - offset <= reach:
            last += 1
        rows.append(_plant_row(tokens, first, last, offset))
        first = last
    return rows


def _plant_row(tokens: SpanTokens, first: int, last: int, offset: int) -> TreeRow:
    trunk = tokens.trunk[offset : tokens.holes[last - 1]]
    row = TreeRow(ids=list(trunk), positions=list(range(len(trunk))), trunk=len(trunk))
    for hole, branch in zip(tokens.holes[first:last], tokens.branches[first:last], strict=True):
        local = hole - offset
        start = len(row.ids)
        row.ids.extend(branch[:-1])
        row.positions.extend(range(local, local + len(branch) - 1))
        row.reads.extend([local - 1, *range(start, start + len(branch) - 1)])
        row.targets.extend(branch)
        row.lengths.append(len(branch))
        if len(branch) > 1:
            row.branches.append((start, len(branch) - 1, local))
    return row


@dataclass(frozen=True, slots=True)
class TreeBatch:
    """Rows as tensors: B rows, L ids in the longest, R reads in total."""

    ids: Tensor
    """Token ids, [B, L]; padded at the right."""
    positions: Tensor
    """Positions, [B, L]."""
    mask: Tensor
    """Attention mask, boolean [B, 1, L, L]: True where the second-last axis may attend to the last."""
    reads: Tensor
    """Flat indices [R] in [B * L] of the hidden states that predict the targets."""
    targets: Tensor
    """Token ids [R]."""


def build_batch(rows: Sequence[TreeRow], pad: int) -> TreeBatch:
    """Pad the rows to one length and build the attention mask."""
    length = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    mask = torch.ones((length, length), dtype=torch.bool).tril().repeat(len(rows), 1, 1, 1)
    reads: list[int] = []
    targets: list[int] = []
    for index, row in enumerate(rows):
        ids[index, : len(row.ids)] = torch.tensor(row.ids)
        positions[index, : len(row.ids)] = torch.tensor(row.positions)
        # Below the trunk the triangle would let branches attend to each other and to the trunk after their hole.
        for start, size, hole in row.branches:
            mask[index, 0, start : start + size, hole:start] = False
        reads.extend(index * length + read for read in row.reads)
        targets.extend(row.targets)
    return TreeBatch(ids, positions, mask, torch.tensor(reads), torch.tensor(targets))

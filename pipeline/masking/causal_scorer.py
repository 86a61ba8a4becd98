"""Scorer of spans by a causal language model of transformers, with one pass per passage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from pipeline.agents.extractive.filling import Filling
from pipeline.devices import choose_device
from pipeline.errors import AssetError
from pipeline.masking.closed_book import TextRanks
from pipeline.masking.perplexity import SpanContext, SpanScore
from pipeline.masking.precision import resolve_precision
from pipeline.masking.span_trees import SpanTokens, TreeRow, build_batch, encode_contexts, plant_rows
from schemas.masking_config import Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CPU_BATCH_TOKENS = 1
"""Token budget per pass on a CPU, where a passage of ordinary length already uses all cores and more rows only add
padding. One row per pass also makes the numbers independent, to the last bit, of the other passages."""
GPU_BATCH_TOKENS = 16_384
"""Token budget per pass on an accelerator, padding included."""
BEFORE = 64
"""Tokens before a mask that a filling is scored after."""
AFTER = 8
"""Tokens after a mask that are scored with a filling."""
DIGITS = 2
"""Digits of the score of a filling, so that all machines choose the same one."""
DEFAULT_CONTEXT = 2048
"""Context of a model whose configuration gives none, in tokens."""


def load_scorer(
    path: str, device: str = "auto", name: str | None = None, precision: Precision = Precision.FLOAT32
) -> CausalScorer:
    """Load a causal model and its tokenizer.

    `path`: a folder or a name on the hub; `name`: its name in the rows, to which a precision other than float32 is
    added. In bfloat16 a score depends slightly on the rest of its batch, which on a CPU is its own passage. Raises
    AssetError when the model cannot be loaded.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = choose_device(device)
    resolved = resolve_precision(precision, place.type)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=str(resolved), attn_implementation="sdpa")
    except (OSError, ValueError) as error:
        what = str(error).strip().split("\n", 1)[0]
        fix = "run `rampforge assets get smollm2-135m-instruct`, or set masking.scorer to another model"
        raise AssetError(f"cannot load the language model {path}: {what}", fix) from error
    shown = name or path
    return CausalScorer(model.to(place), tokenizer, shown if resolved is Precision.FLOAT32 else f"{shown} {resolved}")


class CausalScorer:
    """Scorer of all spans of a passage in one pass; see `span_trees`."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str, batch_tokens: int | None = None
    ) -> None:
        """`batch_tokens`: ids per pass, padding included; a longer row is passed alone."""
        self.name = name
        self._model: Any = model.train(False)  # most methods of transformers' models carry no types
        self._tokenizer = tokenizer
        self._context = getattr(model.config, "max_position_embeddings", None) or DEFAULT_CONTEXT
        first = tokenizer.bos_token_id
        self._opening: list[int] = [] if first is None else [first]
        self._batch_tokens = batch_tokens or (CPU_BATCH_TOKENS if model.device.type == "cpu" else GPU_BATCH_TOKENS)

    def score(self, items: Sequence[SpanContext]) -> list[list[SpanScore]]:
        """Return the score of every span, one list per item, in the given order."""
        rows: list[TreeRow] = []
        owners: list[int] = []
        for index, tokens in enumerate(encode_contexts(self._tokenizer, items)):
            planted = plant_rows(tokens, self._context)
            rows.extend(planted)
            owners.extend([index] * len(planted))
        scores: list[list[SpanScore]] = [[] for _ in rows]
        for batch in _group_rows(rows, self._batch_tokens):
            for index, found in zip(batch, self._score_rows([rows[i] for i in batch]), strict=True):
                scores[index] = found
        by_item: list[list[SpanScore]] = [[] for _ in items]
        for owner, found in zip(owners, scores, strict=True):
            by_item[owner].extend(found)
        return by_item

    def score_filling(self, filling: Filling) -> list[float]:
        """Return for each text the log-likelihood of it and of the tokens after the mask, in nats; the tokens before
        the mask are computed once.
        """
        title, before = self._encode(f"{filling.title}\n"), self._encode(filling.before.rstrip())
        trunk = [*self._opening, *title, *before[-BEFORE:]]
        space = " " if filling.before[-1:].isspace() else ""
        after = self._encode(filling.after)[:AFTER]
        branches = [[*self._encode(space + text), *after] for text in filling.texts]
        rows = plant_rows(SpanTokens(trunk, [len(trunk)] * len(branches), branches), self._context)
        return [round(-score.surprisal, DIGITS) for row in rows for score in self._score_rows([row])[0]]

    def rank_texts(self, before: str, texts: Sequence[str]) -> list[TextRanks]:
        """Return how likely the tokens of each text are among all others; the text before is computed once."""
        trunk = [*self._opening, *self._encode(before)]
        # The hidden state of a text's last token, which predicts what follows, is read by a target that is ignored.
        branches = [[*self._encode(text), 0] for text in texts]
        rows = plant_rows(SpanTokens(trunk, [len(trunk)] * len(branches), branches), self._context)
        return [found for row in rows for found in self._rank_row(row)]

    @torch.inference_mode()
    def _rank_row(self, row: TreeRow) -> Iterator[TextRanks]:
        logits, targets = self._read_logits([row])
        ranks = (logits > logits.gather(1, targets.unsqueeze(1))).sum(1).tolist()
        likeliest, end = logits.argmax(1).tolist(), 0
        for length in row.lengths:
            start, end = end, end + length
            yield TextRanks(tuple(ranks[start : end - 1]), str(self._tokenizer.decode([likeliest[end - 1]])))

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
        return ids

    @torch.inference_mode()
    def _score_rows(self, rows: Sequence[TreeRow]) -> list[list[SpanScore]]:
        logits, targets = self._read_logits(rows)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double().cpu()
        lengths = [length for row in rows for length in row.lengths]
        sums = iter([chunk.sum().item() for chunk in torch.split(losses, lengths)])
        return [[SpanScore(next(sums), length) for length in row.lengths] for row in rows]

    def _read_logits(self, rows: Sequence[TreeRow]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits [R, vocabulary] at all reads of the rows, and the targets [R]."""
        device = self._model.device
        batch = build_batch(rows, pad=0)
        hidden = self._model.base_model(
            input_ids=batch.ids.to(device),
            attention_mask=batch.mask.to(device),
            position_ids=batch.positions.to(device),
            use_cache=False,
        ).last_hidden_state
        # Only the rows that predict a span's token go through the vocabulary, the widest layer of a small model.
        read = hidden.flatten(0, 1)[batch.reads.to(device)]
        return self._model.get_output_embeddings()(read).float(), batch.targets.to(device)


def _group_rows(rows: Sequence[TreeRow], batch_tokens: int) -> Iterator[list[int]]:
    """Group rows of similar length so that a padded batch has at most `batch_tokens` ids (or one row)."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].ids), index))
    group: list[int] = []
    for index in order:
        if group and len(rows[index].ids) * (len(group) + 1) > batch_tokens:
            yield group
            group = []
        group.append(index)
    if group:
        yield group

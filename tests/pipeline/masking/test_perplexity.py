"""The tree of spans against plain forward passes, one a span."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.assets.store import find_asset
from pipeline.errors import AssetError
from pipeline.masking.causal_scorer import CausalScorer, load_scorer
from pipeline.masking.perplexity import SpanContext, SpanScore, cut_segments
from pipeline.masking.span_trees import SpanTokens, plant_rows
from schemas.tasks import MASK

TEXTS = {
    "Ada Lovelace": "She worked with Charles Babbage in London, and in 1843 published notes on the Analytical Engine.",
    "Rome": "Founded in 753 BC, it lies on the Tiber; 2,860,009 people live there.",
    "长江": "长江全长6300公里，发源于青海省，流经重庆、武汉、南京。",
}
NEEDLES = (
    "Charles Babbage",
    "London",
    "1843",
    "Analytical Engine",
    "753 BC",
    "Tiber",
    "2,860,009",
    "6300公里",
    "青海省",
    "武汉",
)


def make_contexts() -> list[SpanContext]:
    contexts = []
    for title, text in TEXTS.items():
        starts = sorted((text.index(needle), len(needle)) for needle in NEEDLES if needle in text)
        contexts.append(SpanContext(title, text, tuple((start, start + size) for start, size in starts)))
    return contexts


def make_tokenizer() -> Any:
    """A tokeniser of bytes, made here."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    wrap: Any = PreTrainedTokenizerFast  # its constructor carries no types
    return wrap(tokenizer_object=tokenizer)


def make_scorer(context: int = 512, batch_tokens: int | None = None) -> CausalScorer:
    """A tiny random Llama with weights large enough that every token counts."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, initializer_range=0.3,
    )  # fmt: skip
    return CausalScorer(LlamaForCausalLM(config), make_tokenizer(), "tiny", batch_tokens)


def score_naively(scorer: CausalScorer, context: SpanContext) -> list[float]:
    """Surprisals by one plain forward pass for each span: prefix with earlier spans hidden, then the span."""
    found = []
    cut = cut_segments(context)
    for last in range(len(cut.spans)):
        pieces = [piece for i in range(last) for piece in (cut.plain[i], cut.masks[i])] + [cut.plain[last]]
        prefix = [i for piece in pieces for i in scorer._tokenizer(piece, add_special_tokens=False)["input_ids"]]
        span = scorer._tokenizer(cut.spans[last], add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            logits = scorer._model(torch.tensor([prefix + span])).logits[0].double().log_softmax(-1)
        rows = logits[len(prefix) - 1 : -1]
        losses = [-rows[i, token].item() for i, token in enumerate(span)]
        found.append(sum(losses))
    return found


def list_surprisals(scores: Iterable[Iterable[SpanScore]]) -> list[list[float]]:
    return [[score.surprisal for score in found] for found in scores]


def near(scores: Iterable[Iterable[SpanScore]], rel: float = 1e-4) -> Any:
    """Equal to these scores' surprisals, by item, to a relative difference."""
    return [pytest.approx(found, rel=rel) for found in list_surprisals(scores)]


def test_tree_gives_what_one_pass_a_span_gives() -> None:
    scorer = make_scorer()
    for context, found in zip(make_contexts(), list_surprisals(scorer.score(make_contexts())), strict=True):
        assert found == pytest.approx(score_naively(scorer, context), rel=1e-4)


@pytest.mark.parametrize("batch_tokens", [1, 300, 100_000])
def test_scores_do_not_depend_on_order_or_company(batch_tokens: int) -> None:
    scorer = make_scorer(batch_tokens=batch_tokens)
    contexts = make_contexts() * 2
    together = scorer.score(contexts)
    assert near(scorer.score(contexts[::-1])) == list_surprisals(together[::-1])
    assert near(scorer.score([context])[0] for context in contexts) == list_surprisals(together)
    empty = SpanContext("T", "nothing to hide", ())
    assert list_surprisals(scorer.score([empty, contexts[0]])) == near([[], together[0]])


def test_other_spans_are_hidden_and_the_text_behind_is_unseen() -> None:
    scorer = make_scorer()
    title, text = next(iter(TEXTS.items()))
    start = text.index("1843")
    spans = ((text.index("London"), text.index("London") + 6), (start, start + 4))
    found = scorer.score([SpanContext(title, text, spans)])[0][1].surprisal
    elsewhere = text.replace("London", "Boston").replace("notes on", "a book of")
    assert scorer.score([SpanContext(title, elsewhere, spans)])[0][1].surprisal == pytest.approx(found, rel=1e-6)
    assert scorer.score([SpanContext(title, text, spans[1:])])[0][0].surprisal != pytest.approx(found, rel=1e-3)


def test_segments_restore_the_masked_prefix() -> None:
    context = make_contexts()[0]
    cut = cut_segments(context)
    shown = "".join(plain + mask for plain, mask in zip(cut.plain, cut.masks, strict=True))
    assert shown.startswith(f"Ada Lovelace\nShe worked with {MASK} in {MASK}, and in {MASK}")
    assert [span.strip() for span in cut.spans] == [context.text[start:end] for start, end in context.spans]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=12), st.integers(8, 40))
def test_windows_fit_the_context_and_cover_every_span(shape: list[tuple[int, int]], context: int) -> None:
    trunk, holes, branches = [0], [], []
    for plain, span in shape:
        trunk += range(plain)
        holes.append(len(trunk))
        branches.append(list(range(span)))
        trunk += [7]
    rows = plant_rows(SpanTokens(trunk, holes, branches), context)
    assert [length for row in rows for length in row.lengths] == [len(branch) for branch in branches]
    assert all(max(row.positions) < context and min(row.reads) >= 0 for row in rows)


@settings(max_examples=5, deadline=None)
@given(st.integers(60, 120))
def test_long_passages_are_scored_with_the_text_just_before(context: int) -> None:
    scorer = make_scorer(context=context)
    found = list_surprisals(scorer.score(make_contexts()))
    assert all(score > 0 and math.isfinite(score) for scores in found for score in scores)
    assert found[0][0] == pytest.approx(score_naively(scorer, make_contexts()[0])[0], rel=1e-4)


@pytest.mark.assets
def test_the_real_model_agrees_with_plain_passes(assets: Path) -> None:
    scorer = load_scorer(str(find_asset("smollm2-135m-instruct", assets)), "cpu", "smollm2")
    alone = scorer.score(make_contexts())
    for context, found in zip(make_contexts(), list_surprisals(alone), strict=True):
        assert found == pytest.approx(score_naively(scorer, context), rel=1e-3)
    batched = CausalScorer(scorer._model, scorer._tokenizer, "smollm2", batch_tokens=10_000)
    assert near(batched.score(make_contexts()), 1e-3) == list_surprisals(alone)


def test_perplexity_is_a_mean_over_tokens_and_surprisal_a_sum() -> None:
    assert SpanScore(math.log(8), 3).perplexity == pytest.approx(2)


def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="cannot load the language model"):
        load_scorer(str(tmp_path), "cpu")

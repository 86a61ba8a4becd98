"""Closed-book checks: ranks against plain passes, here and on a server; what is known; the sample; the filter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from pipeline.agents.extractive.filling import Filling
from pipeline.llm.chat_model import EndpointError
from pipeline.masking.causal_scorer import CausalScorer
from pipeline.masking.closed_book import ClosedBookSample, TextRanks, is_known
from pipeline.masking.filters import KNOWN
from pipeline.masking.served_scorer import ServedScorer
from pipeline.masking.span_stage import SpanStage
from pipeline.masking.task_stage import TaskStage
from schemas.funnel import Reject
from schemas.masking_config import MaskingConfig
from schemas.tasks import ClosedBook, MaskTask, SpanSet
from tests.pipeline.masking.test_perplexity import make_scorer
from tests.pipeline.masking.test_spans import PLAIN, make_passage
from tests.pipeline.masking.test_tasks import make_shard
from tests.support.api_clients import open_sync
from tests.support.fake_vllm import open_server

TEXTS = (" Ada Byron", "1868", "长江")


class Reader:
    """Goes on with what it knows after a text, and reads the contexts that it is given."""

    name = "reader"

    def __init__(self, knows: str, rank: int = 0, following: str = ".") -> None:
        self.knows, self.rank, self.following = knows, rank, following
        self.contexts: list[str] = []

    def rank_texts(self, before: str, texts: Sequence[str]) -> list[TextRanks]:
        self.contexts.append(before)
        return [TextRanks((self.rank, 0) if text.strip() == self.knows else (0, 1), self.following) for text in texts]


def rank_naively(scorer: CausalScorer, before: str, text: str) -> TextRanks:
    """One plain forward pass. A token is a byte, and the tokenizer has none to open with."""
    head, tail = (scorer._tokenizer(part, add_special_tokens=False)["input_ids"] for part in (before, text))
    with torch.inference_mode():
        logits = scorer._model(torch.tensor([head + tail])).logits[0, len(head) - 1 :]
    ranks = tuple(int((row > row[token]).sum()) for row, token in zip(logits[:-1], tail, strict=True))
    return TextRanks(ranks, str(scorer._tokenizer.decode([int(logits[-1].argmax())])))


def test_ranks_are_those_of_plain_passes_here_and_on_a_server() -> None:
    scorer = make_scorer()
    expected = [rank_naively(scorer, "Mara\nThe school was founded by", text) for text in TEXTS]
    assert scorer.rank_texts("Mara\nThe school was founded by", TEXTS) == expected
    with open_server(scorer) as server, ServedScorer(open_sync(server.url), "tiny", scorer._tokenizer, "s") as served:
        assert served.rank_texts("Mara\nThe school was founded by", TEXTS) == expected
        server.with_ranks = False
        with pytest.raises(EndpointError):
            served.rank_texts("Mara\n", TEXTS)


@pytest.mark.parametrize(
    ("reader", "known"),
    [
        (Reader("Ada"), True),
        (Reader("Countess Ada"), True),
        (Reader("Ada", rank=2), True),
        (Reader("Ada", rank=3), False),
        (Reader("Ada", following="m"), False),
        (Reader("Ada", following=" Byron"), True),
        (Reader("Vera"), False),
    ],
)
def test_whole_words_from_one_of_the_likeliest_beginnings_are_known(reader: Reader, known: bool) -> None:
    assert is_known(reader, Filling("Mara", "It was ", " then.", ("Ada", "Countess Ada"))) is known
    assert reader.contexts == ["Mara\nIt was"]


def test_figures_go_on_and_chinese_does_not() -> None:
    assert not is_known(Reader("19", following="84"), Filling("T", "in ", "", ("19",)))
    assert is_known(Reader("王立强", following="的"), Filling("T", "由", "建", ("王立强",)))


def test_a_sample_of_masks_is_checked_and_nothing_else_changes() -> None:
    items = make_shard([4, 4, 3, 1])
    plain = [row for outcome in TaskStage(MaskingConfig(), 0).run(items) for row in outcome.rows]

    def check(count: int, seed: int = 0) -> list[MaskTask]:
        stage = ClosedBookSample(TaskStage(MaskingConfig(), 0), Reader("Name0"), count, seed)
        return [row for outcome in stage.run(items) for row in outcome.rows if isinstance(row, MaskTask)]

    def read(tasks: list[MaskTask]) -> dict[tuple[str, int], bool]:
        spans = {(task.task_id, span.start): span for task in tasks for span in task.spans if span.closed_book}
        assert all(
            span.closed_book == ClosedBook(model="reader", known=span.text == " Name0") for span in spans.values()
        )
        return {key: span.text == " Name0" for key, span in spans.items()}

    few, more, all_masks = (read(check(count)) for count in (2, 5, 100))
    assert (len(few), len(more), len(all_masks)) == (
        2,
        5,
        sum(row.mask_count for row in plain if isinstance(row, MaskTask)),
    )
    assert few.keys() < more.keys() < all_masks.keys()
    assert any(all_masks.values())
    assert read(check(2, seed=7)).keys() != few.keys()
    cleared = [
        task.model_copy(update={"spans": tuple(s.model_copy(update={"closed_book": None}) for s in task.spans)})
        for task in check(100)
    ]
    assert cleared == plain


def test_known_spans_are_dropped() -> None:
    passage = make_passage("In 1843 she met Charles Babbage and moved to Turin in May 1850.", Turin="Turin")
    ((rows),) = [outcome.rows for outcome in SpanStage(PLAIN, ranker=Reader("Turin")).run([passage])]
    (kept,) = [row.spans for row in rows if isinstance(row, SpanSet)]
    assert {(span.text, span.closed_book) for span in kept} == {
        ("1843", ClosedBook(model="reader", known=False)), ("May 1850", ClosedBook(model="reader", known=False)),
    }  # fmt: skip
    assert [row.reason for row in rows if isinstance(row, Reject)] == [KNOWN]


@pytest.mark.parametrize("setting", [{"drop_known": True}, {"closed_book_sample": 5}])
def test_a_check_needs_a_model(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="scorer"):
        MaskingConfig.model_validate({"scorer": None, **setting})

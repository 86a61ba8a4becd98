"""Cutting pages into passages."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.passages.chunking import OVERFLOW, cut_document
from pipeline.passages.counting import count_tokens
from pipeline.passages.sentences import find_sentences
from pipeline.passages.stages import ChunkStage
from schemas.config import PassagesConfig
from schemas.documents import Document, Link, Section
from schemas.passages import Chunk
from schemas.record import content_id

SENTENCE = st.one_of(
    st.integers(1, 40).map(lambda n: "Word " * (n - 1) + "end."),
    st.integers(1, 40).map(lambda n: "字" * n + "。"),
    st.sampled_from(["See also", "- item", "\ufffc", "He met Dr. No."]),
)
PARAGRAPH = st.lists(SENTENCE, min_size=1, max_size=8).map(" ".join)
SECTION = st.lists(PARAGRAPH, max_size=6).map("\n".join)
CONFIG = st.builds(PassagesConfig, max_tokens=st.integers(16, 80), min_tokens=st.integers(1, 16))


def make_document(*sections: str, links: tuple[Link, ...] = ()) -> Document:
    """A page whose sections are divided by an empty line; section n is called `H<n>`, the first is the lead."""
    starts = [0]
    for text in sections[:-1]:
        starts.append(starts[-1] + len(text) + 2)
    paths = [() if n == 0 else (f"H{n}",) for n in range(len(sections))]
    return Document(
        document_id=content_id(*sections),
        page_id=7,
        revision_id=None,
        lang="en",
        title="Page",
        source="test",
        text="\n\n".join(sections),
        sections=tuple(Section(start=start, path=path) for start, path in zip(starts, paths, strict=True)),
        links=links,
    )


@given(st.lists(SECTION, min_size=1, max_size=4), CONFIG)
def test_passages_keep_every_promise(sections: list[str], config: PassagesConfig) -> None:
    document = make_document(*sections)
    passages = cut_document(document, config).passages
    bounds = [section.start for section in document.sections] + [len(document.text)]
    for passage in passages:
        assert passage.text == document.text[passage.start : passage.end] == passage.text.strip()
        assert passage.passage_id == content_id(document.document_id, passage.start, passage.end)
        assert passage.tokens == count_tokens(passage.text) >= config.min_tokens
        home = max(n for n, start in enumerate(bounds[:-1]) if start <= passage.start)
        assert passage.end <= bounds[home + 1]
        assert passage.section == document.sections[home].path
        sentences = [count_tokens(passage.text[a:b]) for a, b in find_sentences(passage.text)]
        assert passage.tokens <= OVERFLOW * config.max_tokens or max(sentences) > config.max_tokens
    assert all(first.end <= second.start for first, second in pairwise(passages))


@given(st.lists(SECTION, min_size=1, max_size=4), CONFIG)
def test_no_token_is_lost_but_those_rejected(sections: list[str], config: PassagesConfig) -> None:
    document = make_document(*sections)
    cut = cut_document(document, config)
    lost = sum(int(reject.detail.split(": ")[1].split()[0]) for reject in cut.rejects)
    assert sum(passage.tokens for passage in cut.passages) + lost == count_tokens(document.text)
    assert {reject.reason for reject in cut.rejects} <= {"too_short"}


@given(st.lists(SECTION, min_size=1, max_size=4))
def test_the_funnel_counts_what_the_rows_hold(sections: list[str]) -> None:
    document = make_document(*sections)
    (outcome,) = ChunkStage(PassagesConfig()).run([document])
    chunks = [row for row in outcome.rows if isinstance(row, Chunk)]
    rejects = [row for row in outcome.rows if not isinstance(row, Chunk)]
    page, passages = outcome.funnel
    assert outcome.key == document.document_id
    assert (page.passed, passages.passed) == (int(bool(chunks)), len(chunks))
    assert sum(page.rejected.values()) + sum(passages.rejected.values()) == len(rejects)
    assert all(chunk.key == chunk.passage.key for chunk in chunks)


def test_a_paragraph_break_is_preferred_once_half_full() -> None:
    first, second = "Seven words make up this short sentence. " * 2, "Six more words stand right here. " * 3
    document = make_document(f"{first.strip()}\n{second.strip()}")
    texts = [p.text for p in cut_document(document, PassagesConfig(max_tokens=28, min_tokens=4)).passages]
    assert texts == [first.strip(), second.strip()]


def test_a_short_remainder_joins_the_passage_before_it() -> None:
    full, rest = ("one two three four five six seven eight. " * 4).strip(), "And two more."
    config = PassagesConfig(max_tokens=32, min_tokens=8)
    (passage,) = cut_document(make_document(f"{full} {rest}"), config).passages
    assert passage.text == f"{full} {rest}"
    alone = cut_document(make_document(full, rest), config)
    assert [p.text for p in alone.passages] == [full]
    assert [(r.reason, r.detail) for r in alone.rejects] == [("too_short", "Page: 3 tokens: And two more.")]


def test_a_sentence_beyond_the_budget_stays_whole() -> None:
    giant = "Word " * 100 + "end."
    config = PassagesConfig(max_tokens=16, min_tokens=2)
    passages = cut_document(make_document(f"One short one here. {giant} Two tail."), config).passages
    assert [p.text for p in passages] == ["One short one here.", giant, "Two tail."]


def test_links_keep_their_text_and_stay_inside() -> None:
    text = "Alpha one two three four five. " * 3 + "Beta city lies there in the quiet green hills. " * 3
    spots = [text.index("Alpha"), text.index("Beta city"), text.rindex("Beta city")]
    ends = [spots[0] + 5, spots[1] + 9, spots[2] + 9]
    links = tuple(Link(start=s, end=e, target=f"T{n}") for n, (s, e) in enumerate(zip(spots, ends, strict=True)))
    passages = cut_document(make_document(text, links=links), PassagesConfig(max_tokens=20, min_tokens=4)).passages
    found = [(link.target, p.text[link.start : link.end]) for p in passages for link in p.links]
    assert found == [("T0", "Alpha"), ("T1", "Beta city"), ("T2", "Beta city")]


def test_a_page_without_a_passage_is_a_reject() -> None:
    (outcome,) = ChunkStage(PassagesConfig()).run([make_document("Too short.", "")])
    assert [row.reason for row in outcome.rows if hasattr(row, "reason")] == ["too_short", "no_passage"]
    assert outcome.funnel[0].rejected == {"no_passage": 1}

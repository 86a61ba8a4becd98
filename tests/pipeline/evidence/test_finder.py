"""Evidence: exactness against a scan of every passage, copies and own text left out, cost that follows the passage."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from pipeline.evidence.finder import EvidenceFinder
from pipeline.passages.sentences import find_sentences
from pipeline.search.tokens import make_tokenizer
from pipeline.text.near_copies import COPIED_WORDS
from schemas.passages import Passage
from tests.support.passage_samples import make_passage
from tests.support.search_samples import open_index, write_index

CUT = make_tokenizer("en")
NAMES = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in ("rok", "vin", "mel", "dus", "zan")]


def draw(count: int, seed: int) -> list[Passage]:
    """Passages of sentences of a few rare names among common words, four to a page."""
    rng = random.Random(seed)
    passages = []
    for number in range(count):
        sentences = []
        for _ in range(rng.randint(1, 4)):
            words = [*rng.sample(NAMES[:60], rng.randint(2, 5)), *rng.choices(["river", "bridge", "stone"], k=3)]
            rng.shuffle(words)
            sentences.append(" ".join(words).capitalize() + ".")
        passages.append(make_passage(number, " ".join(sentences), number // 4, title=f"The {rng.choice(NAMES)}"))
    return passages


def scan(passages: list[Passage], source: Passage, answer: str, at: int, clues: int) -> dict[str, list[set[str]]]:
    """The passages with evidence, and the clues of each of their sentences."""
    cut = {p.passage_id: [CUT(p.text[a:b]) for a, b in find_sentences(p.text)] for p in passages}
    held = Counter(t for p in passages for t in set(CUT(f"{p.title}. {p.text}")))
    limit = max(2, int(0.02 * len(passages)))
    own = next(i for i, (a, b) in enumerate(find_sentences(source.text)) if a <= at < b)
    wanted = CUT(answer)
    usable = {t for t in {*cut[source.passage_id][own], *CUT(source.title)} if 1 < held[t] <= limit} - set(wanted)
    found: dict[str, list[set[str]]] = {}
    for passage in passages:
        for terms in cut[passage.passage_id]:
            holds = any(terms[i : i + len(wanted)] == wanted for i in range(len(terms)))
            shared = usable & set(terms)
            if passage is not source and holds and len(shared) >= clues:
                found.setdefault(passage.passage_id, []).append(shared)
    return found


@pytest.mark.parametrize("clues", [1, 2])
def test_evidence_is_what_a_scan_of_all_passages_finds(tmp_path: Path, clues: int) -> None:
    passages = draw(300, clues)
    finder = EvidenceFinder(open_index(write_index(tmp_path, passages)), clues)
    pages = {p.passage_id: p.page_id for p in passages}
    for source in passages[::7]:
        spans = [(source.text.index(word), word) for word in dict.fromkeys(source.text.rstrip(".").split()[:6])]
        results = finder.find(source, [(at, (word.rstrip("."),)) for at, word in spans])
        for (at, word), evidence in zip(spans, results, strict=True):
            expected = scan(passages, source, word, at, clues)
            assert len(evidence) == min(len(expected), 8)
            for found in evidence:
                assert set(found.clues) in expected[found.passage_id]
                assert found.page_id == pages[found.passage_id]
            own_page = [found.page_id == source.page_id for found in evidence]
            assert own_page == sorted(own_page)


def test_the_sentence_is_named_and_copies_do_not_count(tmp_path: Path) -> None:
    run = " ".join(NAMES[70 : 70 + COPIED_WORDS])
    source = make_passage(0, f"Barok met Dervin and Felmel at Gadus. {run}.", 0)
    other = make_passage(1, "It rained. With Dervin and Felmel came Barok to the river. He left.", 1)
    copy = make_passage(2, f"{run}. Felmel saw Barok and Dervin.", 2)
    same_page = make_passage(3, "Dervin, Felmel and Barok.", 0)
    unrelated = make_passage(4, "Barok lived by the river. Dervin and Felmel did not.", 4)
    fillers = [make_passage(5 + i, f"Stone bridge {i}.", 5 + i) for i in range(400)]
    finder = EvidenceFinder(open_index(write_index(tmp_path, [source, other, copy, same_page, unrelated, *fillers])), 2)
    (found,) = finder.find(source, [(0, ("Barok",))])
    assert [e.passage_id for e in found] == [other.passage_id, same_page.passage_id]
    assert other.text[found[0].start : found[0].end].strip() == "With Dervin and Felmel came Barok to the river."
    assert found[0].clues == tuple(sorted(CUT("Dervin Felmel")))


@pytest.mark.parametrize(
    ("told", "found"), [("24 percent", 1), ("24%", 1), ("24", 0), ("24 people", 0), ("24 percents", 0)]
)
def test_the_answer_stands_there_as_it_is_written(tmp_path: Path, told: str, found: int) -> None:
    source = make_passage(0, "Of Barok, 24% met Dervin and Felmel.", 0)
    other = make_passage(1, f"Dervin and Felmel met {told} in Barok.", 1)
    fillers = [make_passage(2 + i, f"Stone bridge {i}.", 2 + i) for i in range(400)]
    finder = EvidenceFinder(open_index(write_index(tmp_path, [source, other, *fillers])), 2)
    (evidence,) = finder.find(source, [(10, ("24%", "24 percent"))])
    assert len(evidence) == found


def test_an_alias_is_evidence_and_an_answer_without_a_term_is_not(tmp_path: Path) -> None:
    source = make_passage(0, "Barok met Dervin and Felmel.", 0)
    other = make_passage(1, "Dervin and Felmel met Gadus of Zan.", 1)
    fillers = [make_passage(2 + i, f"Stone bridge {i}.", 2 + i) for i in range(400)]
    finder = EvidenceFinder(open_index(write_index(tmp_path, [source, other, *fillers])), 2)
    alias, nothing = finder.find(source, [(0, ("Barok", "Gadus of Zan")), (0, ("the",))])
    assert [e.passage_id for e in alias] == [other.passage_id]
    assert nothing == ()

"""From passage to spans: merging, trimming, filters and their reasons, perplexity bounds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.assets.store import find_asset
from pipeline.errors import AssetError
from pipeline.masking.aliases import find_aliases
from pipeline.masking.candidates import SpanCandidate, merge_candidates, trim_candidate
from pipeline.masking.entities import load_ner
from pipeline.masking.perplexity import SpanContext, SpanScore
from pipeline.masking.span_stage import SpanStage
from pipeline.stage import Outcome
from schemas.documents import HOLE, Link
from schemas.funnel import Reject
from schemas.masking_config import MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import Span, SpanKind, SpanSet, SpanSource

PLAIN = MaskingConfig(ner=None, scorer=None, selection=Selection.RANDOM)


class FixedScorer:
    """Gives every span of two tokens the surprisal named for its text."""

    name = "fixed"

    def __init__(self, surprisals: dict[str, float]) -> None:
        self.surprisals = surprisals

    def score(self, items: Sequence[SpanContext]) -> list[list[SpanScore]]:
        return [[SpanScore(self.surprisals.get(item.text[a:b], 10.0), 2) for a, b in item.spans] for item in items]


def make_passage(text: str, title: str = "Ada Lovelace", lang: str = "en", **links: str) -> Passage:
    """`links`: anchor (underscores for spaces) to target."""
    found = []
    for anchor, target in links.items():
        start = text.index(anchor.replace("_", " "))
        found.append(Link(start=start, end=start + len(anchor), target=target))
    return Passage(
        passage_id=f"p-{hash((text, title))}", document_id="d", page_id=1, lang=lang, title=title, section=(),
        text=text, start=0, end=len(text), tokens=9, links=tuple(sorted(found, key=lambda link: link.start)),
    )  # fmt: skip


def run_one(passage: Passage, config: MaskingConfig = PLAIN, **more: object) -> Outcome:
    (outcome,) = SpanStage(config, **more).run([passage])  # type: ignore[arg-type]  # keywords pass through
    for row in outcome.rows:
        if isinstance(row, SpanSet):
            assert all(span.text == passage.text[span.start : span.end] for span in row.spans)
    return outcome


def read_spans(outcome: Outcome) -> list[Span]:
    return [span for row in outcome.rows if isinstance(row, SpanSet) for span in row.spans]


def read_reasons(outcome: Outcome) -> dict[str, str]:
    """What was dropped, by the text of the span or the unit."""
    rejects = [row for row in outcome.rows if isinstance(row, Reject)]
    return {r.detail.rsplit(" (", 1)[0] if r.unit == "span" else r.unit: r.reason for r in rejects}


def make_candidate(
    start: int, end: int, source: SpanSource, label: str = "x", target: str | None = None
) -> SpanCandidate:
    kind = SpanKind.DATE if source is SpanSource.RULE else SpanKind.ENTITY
    return SpanCandidate(start, end, kind, label, source, target)


NER, LINK, RULE = SpanSource.NER, SpanSource.LINK, SpanSource.RULE


@pytest.mark.parametrize(
    ("candidates", "kept"),
    [
        ([(0, 5, NER), (0, 5, LINK)], [(0, 5, LINK)]),
        ([(0, 9, NER), (4, 9, LINK)], [(0, 9, NER)]),
        ([(0, 9, NER), (0, 3, LINK), (5, 9, LINK)], [(0, 3, LINK), (5, 9, LINK)]),
        ([(0, 6, NER), (4, 9, LINK)], [(4, 9, LINK)]),
        ([(2, 5, NER), (0, 9, LINK)], [(0, 9, LINK)]),
        ([(0, 4, RULE), (0, 9, LINK)], [(0, 9, LINK)]),
        ([(0, 9, RULE), (5, 9, LINK)], [(0, 9, RULE)]),
        ([(0, 5, NER), (3, 9, NER)], [(3, 9, NER)]),
        ([(0, 5, NER), (5, 9, NER)], [(0, 5, NER), (5, 9, NER)]),
    ],
)
def test_overlaps_are_settled_by_rank_and_length(
    candidates: list[tuple[int, int, SpanSource]], kept: list[tuple[int, int, SpanSource]]
) -> None:
    found, lost = merge_candidates(make_candidate(*candidate) for candidate in candidates)
    assert [(c.start, c.end, c.source) for c in found] == kept
    assert len(found) + len(lost) == len({(start, end) for start, end, _ in candidates})


def test_a_link_takes_over_what_the_other_sources_know() -> None:
    pair = [make_candidate(0, 5, NER, "PERSON"), make_candidate(0, 5, LINK, "link", target="Ada")]
    (joined,), _ = merge_candidates(pair)
    assert (joined.source, joined.label, joined.target) == (LINK, "PERSON", "Ada")


def test_an_entity_does_not_swallow_a_whole_date() -> None:
    found, _ = merge_candidates([make_candidate(0, 20, NER, "ORG"), make_candidate(5, 15, RULE, "date")])
    assert [(c.start, c.end) for c in found] == [(5, 15)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from([NER, LINK, RULE])), max_size=20))
def test_merging_never_overlaps_and_never_depends_on_order(raw: list[tuple[int, int, SpanSource]]) -> None:
    candidates = [make_candidate(start, start + size, source) for start, size, source in raw]
    kept, lost = merge_candidates(candidates)
    assert (kept, lost) == merge_candidates(reversed(candidates))
    assert all(one.end <= other.start for one, other in pairwise(kept))


@pytest.mark.parametrize(
    ("text", "label", "trimmed"),
    [
        ("the United States", "GPE", "United States"),
        ("The University of Rome", "ORG", "University of Rome"),
        ("The Hobbit", "WORK_OF_ART", "The Hobbit"),
        ("London's", "GPE", "London"),
        ('"The Cat"', "PERSON", "Cat"),
        ("Martin Luther King Jr.", "PERSON", "Martin Luther King Jr."),
        ("Washington, D.C.", "GPE", "Washington, D.C."),
        ("Sarawak and", "GPE", "Sarawak"),
        ("Rome (", "GPE", "Rome"),
        ("Mercury (planet)", "LOC", "Mercury (planet)"),
        ("Rome)", "GPE", "Rome"),
        ("the ", "ORG", None),
    ],
)
def test_names_are_trimmed(text: str, label: str, trimmed: str | None) -> None:
    found = trim_candidate(make_candidate(3, 3 + len(text), NER, label), f"xx {text} yy")
    assert (f"xx {text} yy"[found.start : found.end] if found else None) == trimmed


REPEATS = {
    "title": ("Ada Lovelace met Babbage.", "Lovelace", "in_title"),
    "title inflected": ("The Lovelaces met Babbage.", "Lovelaces", "in_title"),
    "twice": ("He left Rome, and Rome fell.", "Rome", "repeated"),
    "possessive": ("He left Rome, for Rome's walls fell.", "Rome", "repeated"),
    "adjective": ("Born in Canada, she was a Canadian author.", "Canada", "repeated"),
    "initials": ("The World Bank Group (WBG) lends.", "World Bank Group", "initials"),
    "hole": (f"He left Rome {HOLE} on foot.", "Rome", "template_hole"),
    "short": ("The letter X marks it.", "X", "too_short"),
    "long": (
        "It is A Very Long Name Of A Thing Quite Indeed here.",
        "A Very Long Name Of A Thing Quite Indeed",
        "too_long",
    ),
    "easter egg": ("He drew his weapon at once.", "weapon", "weak"),
}


@pytest.mark.parametrize("case", REPEATS)
def test_a_span_that_may_not_be_masked_is_dropped_with_its_reason(case: str) -> None:
    text, anchor, reason = REPEATS[case]
    passage = make_passage(text, **{anchor.replace(" ", "_"): "Target"})
    outcome = run_one(passage)
    assert read_reasons(outcome) == {anchor: reason, "passage": "no_span"}
    steps = {step.unit: step for step in outcome.funnel}
    assert steps["span"].rejected == {reason: 1}
    assert steps["passage"].rejected == {"no_span": 1}


def test_an_alias_elsewhere_is_a_repetition() -> None:
    passage = make_passage("He left Constantinople before Istanbul grew.", Constantinople="Istanbul")
    assert read_reasons(run_one(passage)) == {"Constantinople": "repeated", "passage": "no_span"}


def test_only_the_sentence_with_the_hole_is_lost() -> None:
    passage = make_passage(f"He left Rome {HOLE} on foot. She stayed in Paris.", Rome="Rome", Paris="Paris")
    outcome = run_one(passage)
    assert [span.text for span in read_spans(outcome)] == ["Paris"]
    assert read_reasons(outcome) == {"Rome": "template_hole"}


def test_surprisal_bounds_name_their_reason() -> None:
    passage = make_passage(
        "In 1843 he saw Rome, Paris, Oslo and Bern.", Rome="Rome", Paris="Paris", Oslo="Oslo", Bern="Bern"
    )
    config = MaskingConfig(ner=None, max_surprisal=50)
    scorer = FixedScorer({"1843": 6.0, "Rome": 50.1, "Paris": 12.3456789, "Oslo": 1.9, "Bern": 2.1})
    outcome = run_one(passage, config, scorer=scorer)
    assert read_reasons(outcome) == {"Oslo": "inferable", "Rome": "noise", "Bern": "easy"}
    assert [(span.text, span.surprisal, span.perplexity) for span in read_spans(outcome)] == [
        ("1843", 6.0, 20.0855), ("Paris", 12.3457, 479.546),
    ]  # fmt: skip
    assert all(span.difficulty is not None and 0.5 <= span.difficulty < 1 for span in read_spans(outcome))
    free = run_one(passage, config.model_copy(update={"selection": Selection.RANDOM}), scorer=scorer)
    assert len(read_spans(free)) == 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("It says [mask] in 1843.", "contains_mask"),
        ("Works:\n- One, 1843\n- Two, 1844\n- Three, 1845", "not_prose"),
        ("Nothing is named here.", "no_span"),
    ],
)
def test_a_passage_that_cannot_be_masked_is_named(text: str, reason: str) -> None:
    assert read_reasons(run_one(make_passage(text)))["passage"] == reason


def test_passages_outside_the_sample_are_not_looked_at() -> None:
    passage = make_passage("In 1843 he came.")
    assert read_reasons(run_one(passage, sampled=frozenset())) == {"passage": "not_sampled"}
    assert len(read_spans(run_one(passage, sampled={passage.passage_id}))) == 1


def test_a_chinese_passage() -> None:
    text = "北京大学创办于1898年，校园位于海淀区，占地约274万平方米。蔡元培曾任校长。"
    passage = make_passage(text, title="京师大学堂", lang="zh", 海淀区="海淀区")
    spans = {span.text: span for span in read_spans(run_one(passage, MaskingConfig(scorer=None, selection="random")))}
    assert {"北京大学", "1898年", "海淀区", "274万平方米", "蔡元培"} <= set(spans)
    assert (spans["1898年"].kind, spans["海淀区"].target) == (SpanKind.DATE, "海淀区")
    again = make_passage("蔡元培生于1868年，蔡元培是学者。", title="浙江", lang="zh")
    assert read_reasons(run_one(again, MaskingConfig(scorer=None, selection="random")))["蔡元培"] == "repeated"


@pytest.mark.parametrize(
    ("text", "kind", "target", "aliases"),
    [
        ("5 May 1868", SpanKind.DATE, None, ("May 5, 1868",)),
        ("May 5, 1868", SpanKind.DATE, None, ("5 May 1868",)),
        ("325 BC", SpanKind.DATE, None, ("325 BCE",)),
        ("1,000", SpanKind.NUMBER, None, ("1000",)),
        ("45%", SpanKind.NUMBER, None, ("45 percent",)),
        ("300 mm (12 in)", SpanKind.NUMBER, None, ("300 mm", "12 in")),
        ("1949年10月1日", SpanKind.DATE, None, ("1949-10-01",)),
        ("hermes", SpanKind.ENTITY, "Mercury (planet)", ("Mercury",)),
        ("Mercury", SpanKind.ENTITY, "Mercury (planet)", ("Hermes",)),
        ("winged messenger", SpanKind.ENTITY, "Mercury (planet)", ()),
        ("Cherry Valley", SpanKind.ENTITY, "Cherry Valley massacre", ()),
        ("Dominica", SpanKind.ENTITY, "Invasion of Dominica", ()),
        ("carbonate", SpanKind.TERM, "Lithium carbonate", ()),
        ("linguists", SpanKind.TERM, "Linguistics", ()),
        ("Carolina", SpanKind.ENTITY, "North Carolina", ()),
        ("Lincoln", SpanKind.ENTITY, "Abraham Lincoln", ("Abraham Lincoln",)),
        ("Batavia", SpanKind.ENTITY, "Batavia, Illinois", ("Batavia, Illinois",)),
        (
            "NASA",
            SpanKind.ENTITY,
            "National Aeronautics and Space Administration",
            ("National Aeronautics and Space Administration",),
        ),
        ("four weeks", SpanKind.NUMBER, None, ("4 weeks",)),
        ("twenty-one", SpanKind.NUMBER, None, ("21",)),
        ("12 weeks", SpanKind.NUMBER, None, ("twelve weeks",)),
        ("airports", SpanKind.TERM, "List of airports", ()),
    ],
)
def test_aliases(text: str, kind: SpanKind, target: str | None, aliases: tuple[str, ...]) -> None:
    candidate = SpanCandidate(0, len(text), kind, "x", LINK if target else RULE, target)
    redirects = {"Mercury (planet)": ["Hermes", "mercury", "History of Mercury"]}
    assert find_aliases(candidate, text, redirects) == aliases


@pytest.mark.assets
def test_names_come_from_spacy_in_its_own_language(assets: Path) -> None:
    nlp = load_ner(str(find_asset("en_core_web_sm", assets)))
    assert set(nlp.pipe_names) == {"tok2vec", "ner"}
    config = MaskingConfig(scorer=None, selection=Selection.RANDOM)
    passage = make_passage("She met Charles Babbage in London on 5 June 1833.")
    assert [span.text for span in read_spans(run_one(passage, config, nlp=nlp))] == [
        "Charles Babbage", "London", "5 June 1833",
    ]  # fmt: skip
    french = make_passage("Elle rencontra Charles Babbage en 1833.", lang="fr")
    assert [span.text for span in read_spans(run_one(french, config, nlp=nlp))] == ["1833"]


def test_a_folder_without_a_pipeline_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(AssetError, match="cannot load the spaCy pipeline"):
        load_ner(str(tmp_path))

"""Span stage: finds candidates, merges and filters them, and scores them with a language model.

The costly stage of masking, so each passage is a separate outcome; passages are processed in batches because recogniser
and language model are faster that way.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.agents.extractive.filling import write_filling
from pipeline.evidence.answer_counts import AnswerCounts
from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking import filters
from pipeline.masking.aliases import find_aliases, list_titles
from pipeline.masking.ambiguity import AmbiguityCheck
from pipeline.masking.candidates import SpanCandidate, merge_candidates, trim_candidate
from pipeline.masking.closed_book import TextRanker, is_known
from pipeline.masking.custom_spans import Extract, ExtractorError, call_extractor
from pipeline.masking.drafts import DraftSpan, PassageDraft, SpanAssessment, reject_passage
from pipeline.masking.entities import find_chinese_names, find_entities
from pipeline.masking.filters import SpanFilter, check_passage
from pipeline.masking.giveaways import REPEATED
from pipeline.masking.mentions import Places, blank_mentions, find_mentions, hide_question, write_context
from pipeline.masking.perplexity import SpanContext, SpanScore, SpanScorer
from pipeline.masking.proposals import compare_proposals, read_proposals
from pipeline.masking.rules import split_rule_spans
from pipeline.masking.span_difficulty import FIGURES, estimate_difficulty, scale_count
from pipeline.masking.words import Roots
from pipeline.stage import Outcome
from schemas.evidence import Evidence
from schemas.funnel import NOT_SAMPLED
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.tasks import ClosedBook, Proposals, SpanKind, SpanSource

if TYPE_CHECKING:
    from spacy.language import Language

BATCH = 32
"""Passages per batch, which is the maximum loss of a killed run."""


class SpanStage:
    """Passages in, `SpanSet` and `Reject` rows out."""

    whole_shard = False

    def __init__(
        self,
        config: MaskingConfig,
        nlp: Language | None = None,
        scorer: SpanScorer | None = None,
        aliases_of: Mapping[str, Sequence[str]] | None = None,
        sampled: Container[str] | None = None,
        proposals: Mapping[str, Proposals] | None = None,
        extract: Extract | None = None,
        evidence: EvidenceFinder | None = None,
        counts: AnswerCounts | None = None,
        ranker: TextRanker | None = None,
        ambiguity: AmbiguityCheck | None = None,
    ) -> None:
        """`nlp`: source of names in its own language; Chinese without it uses jieba. `aliases_of`: titles that redirect
        to a title. `sampled`: ids of the passages to examine (`sample_passages`); None: all. `proposals`: spans of a
        language model by passage id, where one was used. `extract`: a span source of the user.
        `evidence`: finds what else in the corpus gives a span again, where `masking.evidence` asks for it. `counts`:
        counts the passages that hold a span's words, where the run has an index. `ranker`: drops the spans that it
        knows, where `masking.drop_known` asks for that. `ambiguity`: finds the spans with a rival, where
        `masking.drop_ambiguous` asks for that.
        """
        self._config = config
        self._nlp = nlp
        self._scorer = scorer
        self._aliases_of = aliases_of or {}
        self._sampled = sampled
        self._proposals = proposals or {}
        self._extract = extract
        self._roots = cache(Roots)
        self._evidence = evidence
        self._counts = counts
        self._ranker = ranker
        self._ambiguity = ambiguity

    def run(self, inputs: Iterable[Passage]) -> Iterator[Outcome]:
        """Return one outcome per passage; those that cannot be masked first within each batch."""
        for batch in _batch(inputs):
            drafts: list[PassageDraft] = []
            for passage in batch:
                if reason := self._check_passage(passage):
                    yield reject_passage(passage, reason)
                    continue
                try:
                    drafts.append(PassageDraft(passage, own=call_extractor(self._extract, passage)))
                except ExtractorError as error:
                    yield reject_passage(passage, filters.EXTRACTOR_FAILED, str(error))
            self._find(drafts)
            self._score(drafts)
            for draft in drafts:
                yield draft.finish(self._scorer.name if self._scorer else None)

    def assess(self, given: Iterable[tuple[Passage, Sequence[SpanCandidate]]]) -> list[list[SpanAssessment]]:
        """Return what becomes of candidates of passages; one that may not be masked has a difficulty all the same."""
        drafts, reasons = list[PassageDraft](), list[list[str | None]]()
        for passage, candidates in given:
            checked = list(self._check(passage, candidates))
            kept = [replace(span, passages=self._count_passages(passage, span)) for span, _ in checked]
            drafts.append(PassageDraft(passage, kept=kept))
            reasons.append([reason for _, reason in checked])
        return [
            [self._assess(draft.passage, *each) for each in zip(draft.kept, scores, found, strict=True)]
            for draft, scores, found in zip(drafts, self._score_spans(drafts), reasons, strict=True)
        ]

    def _assess(
        self, passage: Passage, unrated: DraftSpan, score: SpanScore | None, reason: str | None
    ) -> SpanAssessment:
        span = self._rate(passage, unrated, score)
        if reason is None and (fault := self._check_bounds(span)):
            reason, _ = fault
        return SpanAssessment(reason, span.difficulty or 0.0)

    def _check_passage(self, passage: Passage) -> str | None:
        if self._sampled is not None and passage.passage_id not in self._sampled:
            return NOT_SAMPLED
        return check_passage(passage)

    def _find(self, drafts: Sequence[PassageDraft]) -> None:
        names = self._find_names([draft.passage for draft in drafts])
        for draft, found in zip(drafts, names, strict=True):
            passage = draft.passage
            proposed = self._proposals.get(passage.passage_id)
            found = [
                *found,
                *draft.own,
                *(read_proposals(proposed) if proposed is not None else ()),
                *(_read_links(passage) if self._config.links else ()),
            ]
            trimmed = [t for c in found if (t := trim_candidate(c, passage.text))]
            if self._config.rules:
                whole, halves = split_rule_spans(passage.text, passage.lang)
                trimmed += whole
                for candidate in halves:
                    draft.reject(candidate, filters.HALF_FACT)
            if proposed is not None:
                draft.agreement = compare_proposals(trimmed)
            merged, lost = merge_candidates(trimmed)
            for candidate in lost:
                draft.reject(candidate, filters.OVERLAPS)
            self._filter(draft, merged)

    def _find_names(self, passages: Sequence[Passage]) -> list[list[SpanCandidate]]:
        names: list[list[SpanCandidate]] = [[] for _ in passages]
        by_lang: dict[str, list[int]] = {}
        for index, passage in enumerate(passages):
            by_lang.setdefault(passage.lang.split("-")[0], []).append(index)
        for lang, indices in by_lang.items():
            texts = [passages[index].text for index in indices]
            if self._nlp is not None and self._nlp.lang == lang:
                found = find_entities(self._nlp, texts)
            elif lang == "zh" and self._config.ner is not None:
                found = find_chinese_names(texts)
            else:
                continue
            for index, candidates in zip(indices, found, strict=True):
                names[index] = candidates
        return names

    def _check(self, passage: Passage, candidates: Iterable[SpanCandidate]) -> Iterator[tuple[DraftSpan, str | None]]:
        """Yield each candidate with its aliases, and the reason why it may not be masked, or None."""
        span_filter = SpanFilter(passage, self._roots(passage.lang), self._config)
        for candidate in candidates:
            aliases = find_aliases(candidate, passage.text[candidate.start : candidate.end], self._aliases_of)
            titles = list_titles(candidate.target, self._aliases_of)
            draft = DraftSpan(candidate, aliases, self._find_mentions(passage, candidate, aliases))
            yield draft, span_filter.check(candidate, (*aliases, *titles), draft.mentions)

    def _find_mentions(self, passage: Passage, candidate: SpanCandidate, aliases: Sequence[str]) -> Places:
        if not self._config.hide_mentions:
            return ()
        bounds = candidate.start, candidate.end
        return find_mentions(passage, bounds, (passage.text[slice(*bounds)], *aliases), candidate.label)

    def _filter(self, draft: PassageDraft, candidates: Iterable[SpanCandidate]) -> None:
        passage, passed = draft.passage, list[DraftSpan]()
        for span, reason in self._check(passage, candidates):
            if reason:
                draft.reject(span.candidate, reason)
            else:
                passed.append(span)
        for span, evidence in zip(passed, self._find_evidence(passage, passed), strict=True):
            found = replace(span, evidence=evidence, passages=self._count_passages(passage, span))
            if self._lacks_evidence(passage, evidence):
                draft.reject(span.candidate, filters.NO_EVIDENCE)
            elif self._ambiguity and self._ambiguity.find(passage, [found.build(passage.text)]):
                draft.reject(span.candidate, filters.AMBIGUOUS)
            elif any(other.mentions and found.hidden.bounds in other.mentions[-1] for other in draft.kept):
                draft.reject(span.candidate, REPEATED)  # hidden as a mention of one before it
            else:
                draft.kept.append(found)

    def _find_evidence(self, passage: Passage, spans: Sequence[DraftSpan]) -> list[tuple[Evidence, ...]]:
        if self._evidence is None:
            return [()] * len(spans)
        bounds = [(span.candidate.start, span.candidate.end, span.aliases) for span in spans]
        shown = [blank_mentions(passage, span.mentions) if any(span.mentions) else passage for span in spans]
        return self._evidence.find(passage, [(a, (passage.text[a:b], *aliases)) for a, b, aliases in bounds], shown)

    def _count_passages(self, passage: Passage, span: DraftSpan) -> int | None:
        text = passage.text[span.candidate.start : span.candidate.end]
        return None if self._counts is None else self._counts.count(text)

    def _lacks_evidence(self, passage: Passage, evidence: Sequence[Evidence]) -> bool:
        scope = self._config.evidence
        if scope is EvidenceScope.PAGE:
            return all(found.page_id == passage.page_id for found in evidence)
        return scope is EvidenceScope.PASSAGE and not evidence

    def _score(self, drafts: Sequence[PassageDraft]) -> None:
        """Score the spans of all drafts, and reject those outside the bounds."""
        for draft, scores in zip(drafts, self._score_spans(drafts), strict=True):
            scored = [self._rate(draft.passage, span, score) for span, score in zip(draft.kept, scores, strict=True)]
            draft.kept = []
            for span in scored:
                if fault := self._check_bounds(span):
                    draft.reject(span.candidate, *fault)
                else:
                    draft.kept.append(span)
            if self._ranker is not None:
                self._drop_known(draft, self._ranker)

    def _drop_known(self, draft: PassageDraft, ranker: TextRanker) -> None:
        text, spans = draft.passage.text, draft.kept
        title, *_, masked = hide_question(draft.passage, [span.hidden for span in spans]).texts
        draft.kept = []
        for mask, span in enumerate(spans):
            forms = text[span.candidate.start : span.candidate.end], *span.aliases
            if is_known(ranker, write_filling(title, masked, mask, forms, {})):
                draft.reject(span.candidate, filters.KNOWN)
            else:
                draft.kept.append(replace(span, closed_book=ClosedBook(model=ranker.name, known=False)))

    def _score_spans(self, drafts: Sequence[PassageDraft]) -> Sequence[Sequence[SpanScore | None]]:
        if self._scorer is None:
            return [[None] * len(draft.kept) for draft in drafts]
        return self._scorer.score(
            [SpanContext(*write_context(draft.passage, [span.hidden for span in draft.kept])) for draft in drafts]
        )

    def _rate(self, passage: Passage, span: DraftSpan, score: SpanScore | None) -> DraftSpan:
        """Add the score of a span, and its difficulty."""
        known = replace(span, score=score)
        candidate, counts = span.candidate, self._counts
        passages = scale_count(span.passages, counts.passages) if counts and span.passages is not None else None
        text = passage.text[candidate.start : candidate.end]
        difficulty = estimate_difficulty(candidate.kind, candidate.label, text, known.surprisal, passages)
        return replace(known, difficulty=difficulty)

    def _check_bounds(self, span: DraftSpan) -> tuple[str, str] | None:
        """Return why a span is outside the bounds, with the number."""
        config, surprisal, difficulty = self._config, span.surprisal, span.difficulty
        if config.selection is Selection.RANDOM:
            return None
        if surprisal is not None and surprisal < config.min_surprisal and span.candidate.kind not in FIGURES:
            return filters.INFERABLE, f" at {surprisal} nats"
        if surprisal is not None and config.max_surprisal is not None and surprisal > config.max_surprisal:
            return filters.NOISE, f" at {surprisal} nats"
        if difficulty is not None and difficulty < config.min_difficulty:
            return filters.EASY, f" at difficulty {difficulty}"
        return None


def _batch(inputs: Iterable[Passage]) -> Iterator[list[Passage]]:
    iterator = iter(inputs)
    while batch := list(islice(iterator, BATCH)):
        yield batch


def _read_links(passage: Passage) -> list[SpanCandidate]:
    """Return the passage's wikilinks: gold entities, or terms when the anchor is all lower-case
    words without a figure.
    """
    found = []
    for link in passage.links:
        anchor = passage.text[link.start : link.end]
        common = anchor.islower() and not any(character.isdigit() for character in anchor)
        kind = SpanKind.TERM if common else SpanKind.ENTITY
        found.append(SpanCandidate(link.start, link.end, kind, "link", SpanSource.LINK, link.target))
    return found

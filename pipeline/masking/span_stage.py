"""Span stage: finds candidates, merges and filters them, and scores their perplexity with a language model.

The costly stage of masking, so each passage is a separate outcome; passages are processed in batches because recogniser
and language model are faster that way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from pipeline.evidence.finder import EvidenceFinder
from pipeline.masking import filters
from pipeline.masking.aliases import find_aliases
from pipeline.masking.candidates import SpanCandidate, merge_candidates, trim_candidate
from pipeline.masking.custom_spans import Extract, ExtractorError, call_extractor
from pipeline.masking.entities import find_chinese_names, find_entities
from pipeline.masking.filters import SpanFilter, check_passage
from pipeline.masking.perplexity import SpanContext, SpanScorer
from pipeline.masking.proposals import BOTH, compare_proposals, read_proposals
from pipeline.masking.rules import split_rule_spans
from pipeline.masking.words import Roots
from pipeline.stage import Outcome
from schemas.config import StageName
from schemas.evidence import Evidence
from schemas.funnel import FunnelStep, Reject
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.record import Record
from schemas.tasks import Proposals, Span, SpanKind, SpanSet, SpanSource

if TYPE_CHECKING:
    from spacy.language import Language

BATCH = 32
"""Passages per batch, which is the maximum loss of a killed run."""


@dataclass(slots=True)
class _Draft:
    """Passage in progress."""

    passage: Passage
    own: Sequence[SpanCandidate] = ()
    """What the user's own extractor found."""
    rejects: list[Reject] = field(default_factory=list)
    kept: list[tuple[SpanCandidate, tuple[str, ...], tuple[Evidence, ...]]] = field(default_factory=list)
    """Candidates that may be masked so far, with their aliases and evidence."""
    agreement: Mapping[SpanKind, Counter[str]] = field(default_factory=dict)
    """Number of candidates of each kind by source, where a language model was used."""

    def reject(self, candidate: SpanCandidate, reason: str, detail: str = "") -> None:
        """Reject a candidate."""
        start, end = candidate.start, candidate.end
        detail = f"{self.passage.text[start:end]} ({candidate.label}){detail}".replace("\n", " ")
        input_id = f"{self.passage.passage_id}:{start}-{end}"
        self.rejects.append(Reject(stage=StageName.SPANS, unit="span", input_id=input_id, reason=reason, detail=detail))


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
    ) -> None:
        """`nlp`: source of names in its own language; Chinese without it uses jieba. `aliases_of`: titles that redirect
        to a title. `sampled`: ids of the passages to examine (`sample_passages`); None: all. `proposals`: spans of a
        language model by passage id, where one was used. `extract`: a span source of the user.
        `evidence`: finds what else in the corpus gives a span again, where `masking.evidence` asks for it.
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

    def run(self, inputs: Iterable[Passage]) -> Iterator[Outcome]:
        """Return one outcome per passage; those that cannot be masked first within each batch."""
        for batch in _batch(inputs):
            drafts: list[_Draft] = []
            for passage in batch:
                if reason := self._check_passage(passage):
                    yield _reject_passage(passage, reason)
                    continue
                try:
                    drafts.append(_Draft(passage, own=call_extractor(self._extract, passage)))
                except ExtractorError as error:
                    yield _reject_passage(passage, filters.EXTRACTOR_FAILED, str(error))
            self._find(drafts)
            perplexities = self._score(drafts)
            for draft, scores in zip(drafts, perplexities, strict=True):
                yield self._finish(draft, scores)

    def _check_passage(self, passage: Passage) -> str | None:
        if self._sampled is not None and passage.passage_id not in self._sampled:
            return filters.NOT_SAMPLED
        return check_passage(passage.text)

    def _find(self, drafts: Sequence[_Draft]) -> None:
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

    def _filter(self, draft: _Draft, candidates: Sequence[SpanCandidate]) -> None:
        passage = draft.passage
        span_filter = SpanFilter(passage, self._roots(passage.lang), self._config)
        passed: list[tuple[SpanCandidate, tuple[str, ...]]] = []
        for candidate in candidates:
            aliases = find_aliases(candidate, passage.text[candidate.start : candidate.end], self._aliases_of)
            if reason := span_filter.check(candidate, aliases):
                draft.reject(candidate, reason)
            else:
                passed.append((candidate, aliases))
        for (candidate, aliases), evidence in zip(passed, self._find_evidence(passage, passed), strict=True):
            if self._lacks_evidence(passage, evidence):
                draft.reject(candidate, filters.NO_EVIDENCE)
            else:
                draft.kept.append((candidate, aliases, evidence))

    def _find_evidence(
        self, passage: Passage, candidates: Sequence[tuple[SpanCandidate, tuple[str, ...]]]
    ) -> list[tuple[Evidence, ...]]:
        if self._evidence is None:
            return [()] * len(candidates)
        spans = [(c.start, (passage.text[c.start : c.end], *aliases)) for c, aliases in candidates]
        return self._evidence.find(passage, spans)

    def _lacks_evidence(self, passage: Passage, evidence: Sequence[Evidence]) -> bool:
        scope = self._config.evidence
        if scope is EvidenceScope.PAGE:
            return all(found.page_id == passage.page_id for found in evidence)
        return scope is EvidenceScope.PASSAGE and not evidence

    def _score(self, drafts: Sequence[_Draft]) -> list[list[float | None]]:
        if self._scorer is None:
            return [[None] * len(draft.kept) for draft in drafts]
        contexts = [
            SpanContext(draft.passage.title, draft.passage.text, tuple((c.start, c.end) for c, _, _ in draft.kept))
            for draft in drafts
        ]
        # Six digits: further ones differ between machines.
        return [[float(f"{score:.6g}") for score in scores] for scores in self._scorer.score(contexts)]

    def _finish(self, draft: _Draft, scores: Sequence[float | None]) -> Outcome:
        passage = draft.passage
        spans: list[Span] = []
        for (candidate, aliases, evidence), perplexity in zip(draft.kept, scores, strict=True):
            if reason := self._check_perplexity(perplexity):
                draft.reject(candidate, reason, f" at {perplexity:.6g}")
            else:
                spans.append(_build_span(candidate, passage.text, aliases, evidence, perplexity))
        steps = [
            FunnelStep.count(StageName.SPANS, "span", len(spans), Counter(reject.reason for reject in draft.rejects))
        ]
        steps += [_count_found(kind, sums) for kind, sums in draft.agreement.items()]
        rows: list[Record] = [*draft.rejects]
        if not spans:
            outcome = _reject_passage(passage, filters.NO_SPAN)
            return replace(outcome, rows=(*rows, *outcome.rows), funnel=(*outcome.funnel, *steps))
        scorer = self._scorer.name if self._scorer else None
        rows.insert(0, SpanSet(passage_id=passage.passage_id, spans=tuple(spans), scorer=scorer))
        return Outcome(passage.passage_id, tuple(rows), (FunnelStep.count(StageName.SPANS, "passage", 1, {}), *steps))

    def _check_perplexity(self, perplexity: float | None) -> str | None:
        if perplexity is None or self._config.selection is Selection.RANDOM:
            return None
        if perplexity < self._config.min_perplexity:
            return filters.INFERABLE
        return filters.NOISE if perplexity > self._config.max_perplexity else None


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


def _build_span(
    candidate: SpanCandidate,
    text: str,
    aliases: tuple[str, ...],
    evidence: tuple[Evidence, ...],
    perplexity: float | None,
) -> Span:
    return Span(
        start=candidate.start,
        end=candidate.end,
        text=text[candidate.start : candidate.end],
        kind=candidate.kind,
        label=candidate.label,
        source=candidate.source,
        target=candidate.target,
        aliases=aliases,
        evidence=evidence,
        perplexity=perplexity,
    )


def _reject_passage(passage: Passage, reason: str, detail: str = "") -> Outcome:
    detail = f"{passage.title}: {detail}" if detail else passage.title
    reject = Reject(stage=StageName.SPANS, unit="passage", input_id=passage.passage_id, reason=reason, detail=detail)
    return Outcome(passage.passage_id, (reject,), (FunnelStep.count(StageName.SPANS, "passage", 0, {reason: 1}),))


def _count_found(kind: SpanKind, sums: Counter[str]) -> FunnelStep:
    """Count candidates of a kind by source: the language model, the other sources, or both."""
    alone = {finder: count for finder, count in sums.items() if finder != BOTH}
    return FunnelStep.count(StageName.SPANS, kind.value, sums[BOTH], alone).model_copy(update={"compares": True})

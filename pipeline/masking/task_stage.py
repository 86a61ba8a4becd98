"""Task stage: chooses which spans of a passage to hide, and how many, and makes RAMP tasks.

Every choice follows from hashes of the seed and the content, so that the order of a shard's passages does not matter.
Balance is over a shard, which is why the stage reads whole shards; it is cheap. Whatever the selection, a term or
a common name is hidden only where a passage has too few other names, dates and numbers for the masks requested. No span
is hidden together with another whose words are clues that its evidence needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipeline.masking.ambiguity import AmbiguityCheck
from pipeline.masking.balance import assign_counts, balance_counts
from pipeline.masking.mentions import HiddenSpan, clash, hide_question, hide_span
from pipeline.masking.span_difficulty import DIGITS, is_common
from pipeline.search.tokens import Tokenizer
from pipeline.stage import Outcome
from schemas.config import StageName
from schemas.evidence import Evidence
from schemas.funnel import FunnelStep, Reject
from schemas.masking_config import EvidenceScope, MaskingConfig, Selection
from schemas.passages import Passage
from schemas.record import content_id
from schemas.tasks import AnswerStyle, MaskTask, Span, SpanSet

OVER_LIMIT = "over_limit"
TOO_FEW_SPANS = "too_few_spans"
TOO_FEW_PAGES = "too_few_pages"

GAP = re.compile(r"[\s,;:/()–—-]*")
"""Text that must not be all that separates two masks: a solver could not find where one answer ends."""


@dataclass(frozen=True, slots=True)
class SpannedPassage:
    """Passage joined with its spans."""

    passage: Passage
    span_set: SpanSet

    @property
    def key(self) -> str:
        """Return the passage's id."""
        return self.passage.passage_id


class TaskStage:
    """Spanned passages of one shard in, `MaskTask` and `Reject` rows out."""

    whole_shard = True

    def __init__(
        self,
        config: MaskingConfig,
        seed: int,
        quota: int | None = None,
        tokenize: Tokenizer | None = None,
        ambiguity: AmbiguityCheck | None = None,
    ) -> None:
        """`quota`: maximum tasks of this shard; `tokenize`: index terms of a text, where spans have evidence;
        `ambiguity`: finds the spans with a rival, where `masking.drop_ambiguous` asks for that.
        """
        self._config = config
        self._seed = seed
        self._quota = quota
        self._tokenize = tokenize
        self._ambiguity = ambiguity

    def run(self, inputs: Iterable[SpannedPassage]) -> Iterator[Outcome]:
        """Return one outcome per passage; one without a task is rejected as `too_few_spans`, `too_few_pages` or
        `over_limit`."""
        items = sorted(inputs, key=lambda item: content_id("task", self._seed, item.key))
        groups = [self._group_spans(item) for item in items]
        # First groups of all passages come before second ones: with a limit, more passages rather than more of one.
        slots = [(i, j) for j in range(self._config.tasks_per_passage) for i in range(len(items)) if j < len(groups[i])]
        capacities = [len(groups[i][j]) for i, j in slots]
        turn = int(content_id("turn", self._seed, items[0].key), 16) if items else 0
        counts = balance_counts(capacities, self._config.mask_counts, self._quota, turn)
        tasks: list[list[MaskTask]] = [[] for _ in items]
        for (i, j), k in zip(slots, assign_counts(capacities, counts), strict=True):
            if k is not None:
                spans, style = groups[i][j][:k], self._config.answer_style
                tasks[i].append(build_task(items[i].passage, spans, style, self._config.hide_mentions))
        for item, group, made in zip(items, groups, tasks, strict=True):
            yield self._finish(item, group, made)

    def _group_spans(self, item: SpannedPassage) -> list[list[Span]]:
        """Group spans for one task each, in the order in which they are hidden; no two in a group are adjacent."""
        left = sorted(item.span_set.spans, key=lambda span: self._rank_span(item.key, span))
        groups: list[list[Span]] = []
        largest = max(self._config.mask_counts)
        while left and len(groups) < self._config.tasks_per_passage:
            group = self._choose_group(item, left, largest)
            groups.append(group)
            left = [span for span in left if span not in group]
        return groups

    def _choose_group(self, item: SpannedPassage, spans: Sequence[Span], largest: int) -> list[Span]:
        """Spans to hide together, in order: the first `min_pages` have no page of evidence in common."""
        group: list[Span] = []
        pages: set[int] = set()
        apart = self._config.min_pages if self._config.min_pages > 1 else 0
        for span in (*spans, *spans) if apart else spans:  # those passed over at first may come once enough are apart
            own = self._list_pages(item, span)
            shares = len(group) < apart and (not own or own & pages)
            if shares or len(group) == largest or span in group:
                continue
            if any(_are_neighbours(item.passage.text, span, hidden) for hidden in group):
                continue
            if self._can_be_told(item, [*group, span]):
                group.append(span)
                pages |= own
        return group if len(group) >= apart else []

    def _can_be_told(self, item: SpannedPassage, group: Sequence[Span]) -> bool:
        """Whether each span of a group can be told from what is shown, as far as the configuration asks for it."""
        hidden = [hide_span(item.passage, span, self._config.hide_mentions) for span in group]
        if any(clash(hidden[-1], other) for other in hidden[:-1]):
            return False
        if self._tokenize is not None and not self._keeps_clues(item, hidden, group, self._tokenize):
            return False
        ordered = sorted(group, key=lambda span: span.start)
        return self._ambiguity is None or not self._ambiguity.find(item.passage, ordered)

    def _keeps_clues(
        self, item: SpannedPassage, hidden: Sequence[HiddenSpan], group: Sequence[Span], tokenize: Tokenizer
    ) -> bool:
        """Whether each span of a group has evidence with enough clues that the others do not hide."""
        terms = [{term for text in span.list_texts(item.passage) for term in tokenize(text)} for span in hidden]
        return all(
            any(
                len(set(found.clues).difference(*terms[:place], *terms[place + 1 :])) >= self._config.evidence_clues
                for found in self._list_evidence(item, span)
            )
            for place, span in enumerate(group)
        )

    def _list_pages(self, item: SpannedPassage, span: Span) -> set[int]:
        return {found.page_id for found in self._list_evidence(item, span)}

    def _list_evidence(self, item: SpannedPassage, span: Span) -> list[Evidence]:
        anywhere = self._config.evidence is not EvidenceScope.PAGE
        return [found for found in span.evidence if anywhere or found.page_id != item.passage.page_id]

    def _rank_span(self, passage_id: str, span: Span) -> tuple[bool, float, str]:
        # Search can recover a fact (a name, a date, a number); a common word has many synonyms.
        last_resort = is_common(span.kind, span.label, span.text)
        drawn = content_id("span", self._seed, passage_id, span.start, span.end)
        rank = {Selection.PERPLEXITY: span.surprisal, Selection.DIFFICULTY: span.difficulty}.get(self._config.selection)
        return last_resort, -(rank or 0.0), drawn

    def _finish(self, item: SpannedPassage, groups: Sequence[Sequence[Span]], tasks: Sequence[MaskTask]) -> Outcome:
        if tasks:
            return Outcome(item.key, tuple(tasks), (FunnelStep.count(StageName.TASKS, "passage", 1, {}),))
        able = max((len(group) for group in groups), default=0)
        reason = OVER_LIMIT if able >= min(self._config.mask_counts) else TOO_FEW_SPANS
        if not able and item.span_set.spans:
            reason = TOO_FEW_PAGES
        detail = f"{item.passage.title}: {able} spans can be hidden together"
        row = Reject(stage=StageName.TASKS, unit="passage", input_id=item.key, reason=reason, detail=detail)
        return Outcome(item.key, (row,), (FunnelStep.count(StageName.TASKS, "passage", 0, {reason: 1}),))


def build_task(passage: Passage, spans: Sequence[Span], style: AnswerStyle, mentions: bool = False) -> MaskTask:
    """Hide the spans (at least one, disjoint, in any order) in the passage. `mentions`: hide their mentions too."""
    spans = sorted(spans, key=lambda span: span.start)
    question = hide_question(passage, [hide_span(passage, span, mentions) for span in spans])
    title, *section, masked_text = question.texts
    also = ["mentions"] if question.mentions else []
    scores = [span.difficulty for span in spans if span.difficulty is not None]
    return MaskTask(
        task_id=content_id(passage.passage_id, [[span.start, span.end] for span in spans], style.value, *also),
        passage_id=passage.passage_id,
        document_id=passage.document_id,
        page_id=passage.page_id,
        lang=passage.lang,
        title=title,
        section=tuple(section),
        masked_text=masked_text,
        spans=tuple(spans),
        mask_count=len(spans),
        answer_style=style,
        difficulty=round(sum(scores) / len(scores), DIGITS) if len(scores) == len(spans) else None,
        mentions=question.mentions,
    )


def _are_neighbours(text: str, one: Span, other: Span) -> bool:
    first, second = (one, other) if one.start < other.start else (other, one)
    return GAP.fullmatch(text, first.end, second.start) is not None

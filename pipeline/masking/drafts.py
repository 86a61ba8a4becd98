"""Drafts: passages whose spans are being looked for, and the outcomes they become."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.masking import filters
from pipeline.masking.candidates import SpanCandidate
from pipeline.masking.mentions import HiddenSpan, Places
from pipeline.masking.perplexity import SpanScore
from pipeline.masking.proposals import BOTH
from pipeline.stage import Outcome
from schemas.config import StageName
from schemas.evidence import Evidence
from schemas.funnel import FunnelStep, Reject
from schemas.passages import Passage
from schemas.record import Record
from schemas.tasks import ClosedBook, Span, SpanKind, SpanSet


@dataclass(frozen=True, slots=True)
class DraftSpan:
    """Candidate that may be masked so far."""

    candidate: SpanCandidate
    aliases: tuple[str, ...]
    mentions: Places = ()
    """Mentions that are hidden with it."""
    evidence: tuple[Evidence, ...] = ()
    passages: int | None = None
    """Passages of the corpus that hold its words."""
    score: SpanScore | None = None
    difficulty: float | None = None
    closed_book: ClosedBook | None = None

    @property
    def surprisal(self) -> float | None:
        """Its surprisal in nats, where it was scored."""
        return None if self.score is None else _round(self.score.surprisal)

    @property
    def hidden(self) -> HiddenSpan:
        """What is hidden with it."""
        return HiddenSpan((self.candidate.start, self.candidate.end), self.mentions)

    def build(self, text: str) -> Span:
        """Return the finished span of a passage with this text."""
        candidate = self.candidate
        return Span(
            start=candidate.start,
            end=candidate.end,
            text=text[candidate.start : candidate.end],
            kind=candidate.kind,
            label=candidate.label,
            source=candidate.source,
            target=candidate.target,
            aliases=self.aliases,
            evidence=self.evidence,
            passages=self.passages,
            difficulty=self.difficulty,
            surprisal=self.surprisal,
            perplexity=None if self.score is None else _round(self.score.perplexity),
            closed_book=self.closed_book,
        )


@dataclass(frozen=True, slots=True)
class SpanAssessment:
    """What the filters and the model of difficulty say of a candidate."""

    reason: str | None
    """Reason for which it may not be masked, evidence and closed-book check aside; None for one that may."""
    difficulty: float


@dataclass(slots=True)
class PassageDraft:
    """Passage in progress."""

    passage: Passage
    own: Sequence[SpanCandidate] = ()
    """What the user's own extractor found."""
    rejects: list[Reject] = field(default_factory=list)
    kept: list[DraftSpan] = field(default_factory=list)
    """Candidates that may be masked so far."""
    agreement: Mapping[SpanKind, Counter[str]] = field(default_factory=dict)
    """Number of candidates of each kind by source, where a language model was used."""

    def reject(self, candidate: SpanCandidate, reason: str, detail: str = "") -> None:
        """Reject a candidate."""
        start, end = candidate.start, candidate.end
        detail = f"{self.passage.text[start:end]} ({candidate.label}){detail}".replace("\n", " ")
        input_id = f"{self.passage.passage_id}:{start}-{end}"
        self.rejects.append(Reject(stage=StageName.SPANS, unit="span", input_id=input_id, reason=reason, detail=detail))

    def finish(self, scorer: str | None) -> Outcome:
        """Return the outcome with what is kept. `scorer`: name of the language model behind the scores."""
        passage = self.passage
        reasons = Counter(reject.reason for reject in self.rejects)
        steps = [FunnelStep.count(StageName.SPANS, "span", len(self.kept), reasons)]
        steps += [_count_found(kind, sums) for kind, sums in self.agreement.items()]
        rows: list[Record] = [*self.rejects]
        if not self.kept:
            outcome = reject_passage(passage, filters.NO_SPAN)
            return replace(outcome, rows=(*rows, *outcome.rows), funnel=(*outcome.funnel, *steps))
        spans = tuple(span.build(passage.text) for span in self.kept)
        rows.insert(0, SpanSet(passage_id=passage.passage_id, spans=spans, scorer=scorer))
        return Outcome(passage.passage_id, tuple(rows), (FunnelStep.count(StageName.SPANS, "passage", 1, {}), *steps))


def reject_passage(passage: Passage, reason: str, detail: str = "") -> Outcome:
    """Return the outcome of a passage that has no span to hide."""
    detail = f"{passage.title}: {detail}" if detail else passage.title
    reject = Reject(stage=StageName.SPANS, unit="passage", input_id=passage.passage_id, reason=reason, detail=detail)
    return Outcome(passage.passage_id, (reject,), (FunnelStep.count(StageName.SPANS, "passage", 0, {reason: 1}),))


def _count_found(kind: SpanKind, sums: Counter[str]) -> FunnelStep:
    """Count candidates of a kind by source: the language model, the other sources, or both."""
    alone = {finder: count for finder, count in sums.items() if finder != BOTH}
    return FunnelStep.count(StageName.SPANS, kind.value, sums[BOTH], alone).model_copy(update={"compares": True})


def _round(number: float) -> float:
    """Keep six digits: further ones differ between machines."""
    return float(f"{number:.6g}")

"""How far a judge can be trusted: its verdicts on answers whose verdict is known.

The labelled answers, invented by us in English and Chinese, are right, wrong, hedged, empty, "cannot be determined", or
right with junk around them; some try to talk the judge round.

Promises: every answer is judged by the model alone and, beside it, by the rules alone; an answer that the model could
not be asked about counts as `error` and never as agreement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from pipeline.asking.asker import Tally
from pipeline.asking.gathering import gather_all
from pipeline.judging.llm_judge import LlmJudge, Question
from pipeline.judging.normalising import fold_text
from pipeline.judging.scoring import read_gold, settle_answer
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.record import Frozen
from schemas.tasks import Span, SpanKind, SpanSource

PACKAGED = Path(__file__).with_name("calibration_pairs.json")
VERDICTS = tuple(Verdict)


class LabelledAnswer(Frozen):
    """An answer and what a judge should say of it."""

    kind: str
    """right, wrong, hedged, empty, undetermined or junk."""
    answer: str
    """The answer."""
    verdict: Verdict
    """The verdict it deserves."""


class LabelledGap(Frozen):
    """A gap, what stood in it, and answers to it."""

    lang: str
    """Language code."""
    title: str
    """Title of the page."""
    text: str
    """The passage, with one `MASK`."""
    gold: str
    """What stood there."""
    aliases: tuple[str, ...]
    """Other ways to write it."""
    answers: tuple[LabelledAnswer, ...]
    """Labelled answers."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One labelled answer as a question."""

    question: Question
    kind: str
    expected: Verdict


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each verdict was given on answers of each kind and label."""

    counts: Mapping[tuple[str, Verdict, Verdict], int]
    """By kind, expected verdict and given verdict."""

    @property
    def accuracy(self) -> float:
        """Share of the answers that got the verdict they deserve."""
        total = sum(self.counts.values())
        return sum(n for (_, expected, given), n in self.counts.items() if expected is given) / total if total else 0.0

    @property
    def false_accepts(self) -> float:
        """Share of the answers that deserve another verdict but were called correct: what spoils a corpus."""
        wrong = {key: n for key, n in self.counts.items() if key[1] is not Verdict.CORRECT}
        total = sum(wrong.values())
        return sum(n for key, n in wrong.items() if key[2] is Verdict.CORRECT) / total if total else 0.0

    def rows(self) -> list[tuple[str, str, dict[Verdict, int]]]:
        """Kind, expected verdict and the count of each verdict given; sorted."""
        groups = sorted({key[:2] for key in self.counts})
        return [(k, e, {v: self.counts.get((k, e, v), 0) for v in VERDICTS}) for k, e in groups]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A judge's verdicts on the labelled answers, the rules' beside them."""

    model: Confusion
    """The model's verdicts."""
    rules: Confusion
    """The rules'."""
    agreement: float
    """Share of the answers on which both say the same."""
    missed: tuple[tuple[Pair, Verdict, str], ...]
    """The answers that the model misjudged, with its verdict and reason."""


@cache
def read_pairs(path: Path = PACKAGED) -> tuple[Pair, ...]:
    """The labelled answers of a file, as questions."""
    gaps = TypeAdapter(tuple[LabelledGap, ...]).validate_json(path.read_bytes())
    return tuple(
        Pair(Question(g.lang, g.title, (), g.text, 0, (g.gold, *g.aliases), a.answer), a.kind, a.verdict)
        for g in gaps
        for a in g.answers
    )


async def calibrate(judge: LlmJudge, pairs: Sequence[Pair], config: JudgingConfig) -> Calibration:
    """Judge every pair by the model and by the rules. Raises the ModelError that stops a run."""
    tally = Tally()
    rulings = await gather_all(judge.rule(pair.question, tally) for pair in pairs)
    ruled = [rule_alone(pair.question, config) for pair in pairs]
    given = [ruling.verdict for ruling in rulings]
    return Calibration(
        model=_count(pairs, given),
        rules=_count(pairs, ruled),
        agreement=sum(a is b for a, b in zip(given, ruled, strict=True)) / max(len(pairs), 1),
        missed=tuple(
            (pair, ruling.verdict, ruling.reason)
            for pair, ruling in zip(pairs, rulings, strict=True)
            if ruling.verdict is not pair.expected
        ),
    )


def rule_alone(question: Question, config: JudgingConfig) -> Verdict:
    """The verdict of the rules, no passage being shown."""
    text, *aliases = question.golds
    kind, source = SpanKind.TERM, SpanSource.RULE
    span = Span(
        start=0,
        end=len(text),
        text=text,
        kind=kind,
        label=kind.value,
        source=source,
        target=None,
        aliases=tuple(aliases),
        perplexity=None,
    )
    folded = fold_text(question.answer)
    right = settle_answer(question.answer, folded, read_gold(span), config, lambda _: False)
    return Verdict.CORRECT if right else Verdict.INCORRECT


def _count(pairs: Sequence[Pair], given: Sequence[Verdict]) -> Confusion:
    return Confusion(Counter((pair.kind, pair.expected, v) for pair, v in zip(pairs, given, strict=True)))

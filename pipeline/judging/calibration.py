"""Calibration of a judge: its verdicts on answers whose verdict a person has given.

The built-in labelled answers, invented in English and Chinese, are right, wrong, hedged, empty, "cannot be determined",
or right with junk around them; some try to manipulate the judge. A user's own may be added or replace them
(`schemas.labelled_answers`).

Guarantees: every answer is judged by the model and, separately, by the rules; the verdict of the job is that of the
rules where they decide, as in the judging stage, and the model's otherwise; an answer without a verdict of the model
never counts as agreement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.errors import ConfigError
from pipeline.judging.llm_judge import JudgeQuestion, LlmJudge, Ruling
from pipeline.judging.llm_judge_stage import is_plainly_wrong
from pipeline.judging.scoring import read_gold, settle_answer
from pipeline.llm.structured_output import TokenUsage
from pipeline.statistics.agreement import measure_kappa
from pipeline.text.normalisation import fold_text
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.labelled_answers import LabelledAnswer
from schemas.tasks import Span, SpanKind, SpanSource

PACKAGED = Path(__file__).with_name("calibration_pairs.jsonl")


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """Verdict of the rules on one answer."""

    verdict: Verdict
    settled: bool
    """Whether it is final, without a model."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Labelled answer with its verdicts."""

    labelled: LabelledAnswer
    by_rules: RuleVerdict
    by_model: Ruling

    @property
    def label(self) -> Verdict:
        """Verdict given by a person."""
        return Verdict(self.labelled.verdict)

    @property
    def by_job(self) -> Verdict:
        """Verdict that the judging stage would give."""
        return self.by_rules.verdict if self.by_rules.settled else self.by_model.verdict


@dataclass(frozen=True, slots=True)
class Score:
    """Agreement of verdicts with the labels."""

    count: int
    right: int
    """Answers whose verdict equals the label."""
    deserve_incorrect: int
    """Answers labelled `incorrect`."""
    false_accepts: int
    """Of these, answers judged correct, which spoil a corpus."""
    deserve_correct: int
    """Answers labelled `correct`."""
    false_rejects: int
    """Of these, answers judged incorrect, which lose trajectories."""
    undecided: int
    """Answers without a verdict: unreadable, unjudgeable, rejected."""
    kappa: float | None
    """Cohen's kappa between verdict and label; None where it is undefined."""


def score_verdicts(judged: Iterable[Judged], verdict: Callable[[Judged], Verdict]) -> Score:
    """Score the verdicts selected by `verdict` against the labels."""
    pairs = Counter((one.label, verdict(one)) for one in judged)

    def count(*keys: tuple[Verdict, Verdict]) -> int:
        return sum(pairs[key] for key in keys)

    return Score(
        count=pairs.total(),
        right=count(*((each, each) for each in (Verdict.CORRECT, Verdict.INCORRECT))),
        deserve_incorrect=count(*((Verdict.INCORRECT, given) for given in Verdict)),
        false_accepts=count((Verdict.INCORRECT, Verdict.CORRECT)),
        deserve_correct=count(*((Verdict.CORRECT, given) for given in Verdict)),
        false_rejects=count((Verdict.CORRECT, Verdict.INCORRECT)),
        undecided=sum(n for (_, given), n in pairs.items() if given in (Verdict.UNJUDGEABLE, Verdict.ERROR)),
        kappa=measure_kappa(pairs),
    )


def measure_agreement(judged: Sequence[Judged]) -> tuple[int, float | None]:
    """Number of answers on which model and rules agree, and kappa between the two."""
    pairs = Counter((one.by_rules.verdict, one.by_model.verdict) for one in judged)
    return sum(n for (rules, model), n in pairs.items() if rules is model), measure_kappa(pairs)


def read_labelled(path: Path = PACKAGED) -> tuple[LabelledAnswer, ...]:
    """Read the labelled answers of a JSON Lines file. Raises ConfigError for an invalid one, naming the line."""
    fix = "write one JSON object a line: lang, title, masked_text, gold, answer, verdict"
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable ({error})", "use a JSON Lines file in UTF-8") from None
    answers = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            answers.append(LabelledAnswer.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise ConfigError(f"{path}, line {number}: {where}{': ' if where else ''}{fault['msg']}", fix) from None
    if not answers:
        raise ConfigError(f"{path}: no labelled answers", fix)
    return tuple(answers)


async def judge_labelled(labelled: LabelledAnswer, judge: LlmJudge, config: JudgingConfig) -> Judged:
    """The verdicts on one answer. Raises the ModelError that stops a run."""
    golds = (labelled.gold, *labelled.aliases)
    by_rules = rule_answer(labelled.answer, golds, labelled.kind, config)
    return Judged(labelled, by_rules, await judge.rule(make_question(labelled), TokenUsage()))


def make_question(labelled: LabelledAnswer) -> JudgeQuestion:
    """The question about the answer for the judge."""
    return JudgeQuestion(
        lang=labelled.lang,
        title=labelled.title,
        section=labelled.section,
        masked_text=labelled.masked_text,
        mask=labelled.mask,
        golds=(labelled.gold, *labelled.aliases),
        answer=labelled.answer.strip(),
    )


def rule_answer(answer: str, golds: Sequence[str], kind: SpanKind, config: JudgingConfig) -> RuleVerdict:
    """The verdict of the rules on an answer without passages shown; `golds`: the text itself, then its aliases."""
    span = Span(
        start=0,
        end=len(golds[0]),
        text=golds[0],
        kind=kind,
        label=kind.value,
        source=SpanSource.RULE,
        target=None,
        aliases=tuple(golds[1:]),
        perplexity=None,
    )
    answer = answer.strip()
    if settle_answer(answer, fold_text(answer), read_gold(span), config, lambda _: False):
        return RuleVerdict(Verdict.CORRECT, settled=True)
    return RuleVerdict(Verdict.INCORRECT, settled=is_plainly_wrong(answer, span))

"""How far a judge can be trusted: its verdicts on answers whose verdict a person has said.

The labelled answers that come with rampforge, invented by us in English and Chinese, are right, wrong, hedged, empty,
"cannot be determined", or right with junk around them; some try to talk the judge round. A user's own may join or
replace them (`schemas.labelled_answers`).

Promises: every answer is put to the model and, beside it, to the rules; the verdict of the job is the rules' where they
settle an answer, as in the judging stage, and the model's otherwise; an answer that the model gave no verdict on never
counts as agreement.
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
from pipeline.text.normalisation import fold_text
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.labelled_answers import LabelledAnswer
from schemas.tasks import Span, SpanKind, SpanSource

PACKAGED = Path(__file__).with_name("calibration_pairs.jsonl")


@dataclass(frozen=True, slots=True)
class Ruled:
    """What the rules say of an answer."""

    verdict: Verdict
    """Their verdict, were there no model."""
    settled: bool
    """Whether the judging stage leaves it at that, and asks no model."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled answer with the verdicts on it."""

    labelled: LabelledAnswer
    ruled: Ruled
    ruling: Ruling
    """What the model says."""

    @property
    def deserved(self) -> Verdict:
        """The label."""
        return Verdict(self.labelled.verdict)

    @property
    def by_model(self) -> Verdict:
        """The model's verdict."""
        return self.ruling.verdict

    @property
    def by_rules(self) -> Verdict:
        """The rules' verdict."""
        return self.ruled.verdict

    @property
    def by_job(self) -> Verdict:
        """The verdict that the judging stage would give."""
        return self.ruled.verdict if self.ruled.settled else self.ruling.verdict


@dataclass(frozen=True, slots=True)
class Score:
    """How well some verdicts fit the labels."""

    count: int
    """How many answers."""
    right: int
    """How many got the verdict that they deserve."""
    deserve_incorrect: int
    """How many deserve `incorrect`."""
    false_accepts: int
    """How many of these were called correct: they spoil a corpus."""
    deserve_correct: int
    """How many deserve `correct`."""
    false_rejects: int
    """How many of these were called incorrect: they cost trajectories."""
    undecided: int
    """How many got no verdict: unreadable, unjudgeable, refused."""
    kappa: float | None
    """Cohen's kappa between verdict and label; None where there is nothing to tell apart."""


def score_verdicts(judged: Iterable[Judged], verdict: Callable[[Judged], Verdict]) -> Score:
    """Score the verdicts that `verdict` picks, against the labels."""
    pairs = Counter((one.deserved, verdict(one)) for one in judged)

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


def measure_kappa(pairs: Counter[tuple[Verdict, Verdict]]) -> float | None:
    """Cohen's kappa (1960): agreement beyond what chance gives to two judges of these habits; 1 is perfect, 0 chance.

    None where chance alone would have them agree on everything, or there are no pairs.
    """
    total = pairs.total()
    if not total:
        return None
    first, second = Counter[Verdict](), Counter[Verdict]()
    for (one, other), n in pairs.items():
        first[one] += n
        second[other] += n
    observed = sum(n for (one, other), n in pairs.items() if one is other) / total
    chance = sum(first[each] * second[each] for each in Verdict) / total**2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def measure_agreement(judged: Sequence[Judged]) -> tuple[int, float | None]:
    """On how many answers the model says what the rules say, and kappa between the two."""
    pairs = Counter((one.by_rules, one.by_model) for one in judged)
    return sum(n for (rules, model), n in pairs.items() if rules is model), measure_kappa(pairs)


def read_labelled(path: Path = PACKAGED) -> tuple[LabelledAnswer, ...]:
    """The labelled answers of a JSON Lines file. Raises ConfigError for one that cannot be read, naming the line."""
    fix = "write one JSON object a line: lang, title, masked_text, gold, answer, verdict"
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})", "name a JSON Lines file in UTF-8") from None
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(LabelledAnswer.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise ConfigError(f"{path}, line {number}: {where}{': ' if where else ''}{fault['msg']}", fix) from None
    if not found:
        raise ConfigError(f"{path}: no labelled answer in it", fix)
    return tuple(found)


async def judge_labelled(labelled: LabelledAnswer, judge: LlmJudge, config: JudgingConfig) -> Judged:
    """The verdicts on one answer. Raises the ModelError that stops a run."""
    return Judged(labelled, apply_rules(labelled, config), await judge.rule(make_question(labelled), TokenUsage()))


def make_question(labelled: LabelledAnswer) -> JudgeQuestion:
    """The answer as the judge is asked about it."""
    return JudgeQuestion(
        lang=labelled.lang,
        title=labelled.title,
        section=labelled.section,
        masked_text=labelled.masked_text,
        mask=labelled.mask,
        golds=(labelled.gold, *labelled.aliases),
        answer=labelled.answer.strip(),
    )


def apply_rules(labelled: LabelledAnswer, config: JudgingConfig) -> Ruled:
    """The verdict of the rules, and whether it stands; no passage being shown."""
    return rule_answer(labelled.answer, (labelled.gold, *labelled.aliases), labelled.kind, config)


def rule_answer(answer: str, golds: Sequence[str], kind: SpanKind, config: JudgingConfig) -> Ruled:
    """The same for an answer and its golds, the first of which is the text itself."""
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
        return Ruled(Verdict.CORRECT, settled=True)
    return Ruled(Verdict.INCORRECT, settled=is_plainly_wrong(answer, span))

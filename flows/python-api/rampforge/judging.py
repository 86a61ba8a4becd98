"""A judge of answers: the rules, or where the configuration names one, a language model or a function of the user."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from flows.configuration.run_config import ConfigSource, make_config
from pipeline.errors import ConfigError
from pipeline.judging.calibration import rule_answer
from pipeline.judging.llm_judge import JudgeQuestion, LlmJudge
from pipeline.llm.event_loop import gather_all
from pipeline.llm.structured_output import TokenUsage
from schemas.judgements import Verdict
from schemas.roles import Role
from schemas.tasks import MASK, SpanKind

RULES = "rules"


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer to be judged."""

    answer: str
    """The answer; may be empty."""
    golds: Sequence[str]
    """What is right: the text itself, then other ways to write it; at least one."""
    question: str = ""
    """The question, or a passage with `[mask]` where the gold stood; used by language models and functions only."""
    lang: str = "en"
    """Language code of the question."""
    kind: SpanKind = SpanKind.TERM
    """What the gold is; of dates the rules know more."""


@dataclass(frozen=True, slots=True)
class AnswerVerdict:
    """The verdict on one answer."""

    verdict: Verdict
    """Right or wrong, or why there is no verdict."""
    judge: str
    """`rules`, the name of the model, or the function."""
    reason: str = ""
    """The model's reason."""

    @property
    def correct(self) -> bool:
        """Whether the answer is right."""
        return self.verdict is Verdict.CORRECT


class Judge:
    """Judges answers as the stage `judgements` does, for a notebook or a program of one's own.

        judge = rampforge.Judge()
        judge.judge("the Elbe river", ["Elbe", "River Elbe"]).correct

    With `judging.judge=llm`, answers that the rules leave open are put to the model of the role `judge`. Its calls
    are not kept, and no budget caps them.
    """

    def __init__(self, config: ConfigSource = None, *, settings: Mapping[str, Any] | None = None) -> None:
        """`config`, `settings`: as for `run`. Raises ConfigError, also where no endpoint serves the judge."""
        from flows.models.roles import check_roles

        self.config = make_config(config, settings)
        if self.config.judging.judge == "llm":
            check_roles(self.config, [Role.JUDGE])

    def judge(
        self, answer: str, golds: Sequence[str], question: str = "", lang: str = "en", kind: SpanKind = SpanKind.TERM
    ) -> AnswerVerdict:
        """The verdict on one answer; the parameters are those of GivenAnswer. Raises RampforgeError."""
        return self.judge_all([GivenAnswer(answer, golds, question, lang, kind)])[0]

    def judge_all(self, answers: Sequence[GivenAnswer]) -> list[AnswerVerdict]:
        """The verdicts on several answers, in order; requests to a model are sent together. Raises RampforgeError."""
        if bare := next((given for given in answers if isinstance(given.golds, str) or not any(given.golds)), None):
            raise ConfigError(f"the answer {bare.answer[:80]!r} has no golds", "give a list of right answers")
        config = self.config.judging
        if config.judge == "custom" and config.function:
            return self._call_function(config.function, answers)
        ruled = [rule_answer(given.answer, given.golds, given.kind, config) for given in answers]
        verdicts = [AnswerVerdict(one.verdict, RULES) for one in ruled]
        unsettled = [number for number, one in enumerate(ruled) if not one.settled]
        if config.judge == "llm" and unsettled:
            with ThreadPoolExecutor(1) as thread:  # a notebook's own thread has a loop that runs already
                ruled_by_model = thread.submit(
                    asyncio.run, self._ask([answers[number] for number in unsettled])
                ).result()
            for number, verdict in zip(unsettled, ruled_by_model, strict=True):
                verdicts[number] = verdict
        return verdicts

    def _call_function(self, function: str, answers: Sequence[GivenAnswer]) -> list[AnswerVerdict]:
        from pipeline.components import load_component
        from pipeline.judging.custom_judge_stage import JudgeFunctionError, call_judge

        decide, verdicts = load_component("judging.function", function), []
        for given in answers:
            try:
                right = call_judge(decide, given.answer.strip(), tuple(given.golds), given.question)
            except JudgeFunctionError as error:
                verdicts.append(AnswerVerdict(Verdict.ERROR, function, str(error)))
            else:
                verdicts.append(AnswerVerdict(Verdict.CORRECT if right else Verdict.INCORRECT, function))
        return verdicts

    async def _ask(self, answers: Sequence[GivenAnswer]) -> list[AnswerVerdict]:
        from flows.configuration.prompt_folder import use_prompts
        from flows.models.chat_models import open_client
        from pipeline.llm.roles import find_role

        use_prompts(self.config)
        model = open_client(self.config.llm)
        judge, name = LlmJudge(model, self.config.judging), find_role(self.config.llm, Role.JUDGE).model
        try:
            rulings = await gather_all(judge.rule(_make_question(given), TokenUsage()) for given in answers)
        finally:
            await model.close()
        return [AnswerVerdict(ruling.verdict, name, ruling.reason) for ruling in rulings]


def _make_question(given: GivenAnswer) -> JudgeQuestion:
    text = given.question if MASK in given.question else f"{given.question}\n{MASK}".strip()
    return JudgeQuestion(given.lang, "", (), text, 0, tuple(given.golds), given.answer.strip())

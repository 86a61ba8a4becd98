"""A trained model that searches by itself, on questions: the rollouts that trajectories are made of, nothing hidden."""

from __future__ import annotations

from pipeline.evaluation.solving import AnswerAttempt, Manner, OpenQuestion, sum_turns
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.task_text import use_templates
from pipeline.rollouts.policy_rollout import PolicySolver
from pipeline.rollouts.trajectory_stage import PolicyFacts, describe_policy
from schemas.policies import PolicyConfig
from schemas.renderings import QuestionKind, RenderedQuestion

TEMPLATES = ("solve_tagged", "solve_words", "ask_qa")


class PolicyEvaluator:
    """Plays questions in one stream."""

    def __init__(self, solver: PolicySolver, config: PolicyConfig, facts: PolicyFacts) -> None:
        self._solver = solver
        self._config = config
        self._facts = facts

    def describe(self, lang: str) -> Manner:
        """The model, and how it is run."""
        making = describe_policy(self._config, self._facts, use_templates(TEMPLATES, lang))
        return Manner(making.model, making.prompts, making.sampling)

    async def solve(self, question: OpenQuestion, run: int, tally: TokenUsage) -> AnswerAttempt:
        """One stream, to its end; an answer in a stream that breaks the format is none."""
        asked = RenderedQuestion(kind=QuestionKind.QA, lang=question.lang, text=question.text, answers=1)
        play = await self._solver.play(asked, run, tally)
        return sum_turns(play.answers[0] if play.answers else None, play.stop_reason.value, play.turns)

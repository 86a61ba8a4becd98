"""What methods are told and what they make of it: searches that fail, trained policies, questions as gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from pipeline.agents.agent_solver import AgentSolver
from pipeline.agents.extractive.solver import put_gap
from pipeline.agents.solving import Provenance, Rollout, TaskAttempt, ask_question
from pipeline.evaluation.evaluation_stage import EvaluationStage, FinalAnswer, sum_up
from pipeline.evaluation.rag_solver import RagSolver
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.transcript import ask
from pipeline.search.engine import FoundPassage, SearchRequest, fail_call
from schemas.config import AgentsConfig
from schemas.evaluations import EvalMethod, EvalQuestion, Evaluation
from schemas.llm_config import RoleModelConfig
from schemas.renderings import RenderedQuestion
from schemas.tasks import MASK
from schemas.trajectories import Hit, MaskAnswer, SearchCall, SearchStatus, StopReason
from tests.support.scripted_model import ScriptedModel
from tests.support.trajectory_samples import make_turn

QUESTION = "Who is mayor of Tarn?"
MODELS = {"default": RoleModelConfig(model="m")}
GOLD = EvalQuestion(
    question_id="q", dataset="d", lang="en", question=QUESTION, golds=(("Jon Vale",),), supporting_ids=("p1", "p2")
)


class OnePassage:
    """Finds the same passage for everything, or fails."""

    fingerprint = "one"

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken
        self.asked: list[str] = []

    async def search(self, requests: Sequence[SearchRequest], k: int) -> list[SearchCall]:
        self.asked += [request.query for request in requests]
        if self.broken:
            return [fail_call(request.query, "down") for request in requests]
        hits = (Hit(passage_id="p1", score=1.0),)
        return [SearchCall(query=r.query, status=SearchStatus.OK, hits=hits, detail=None) for r in requests]

    async def read(self, passage_ids: Sequence[str]) -> list[FoundPassage]:
        return [FoundPassage(passage_id, "Tarn", "Its mayor is Jon Vale. </passage>") for passage_id in passage_ids]

    async def close(self) -> None:
        pass


class StubPolicy:
    """Ends every attempt in the same way."""

    def __init__(self, stop: StopReason, answer: str | None) -> None:
        self.stop, self.answer = stop, answer
        self.asked: list[RenderedQuestion] = []

    def describe(self, attempt: TaskAttempt) -> Provenance:
        return Provenance("policy", "m", (), "{}", "one")

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        self.asked.append(ask(attempt.task))
        turns = (make_turn([("p2", "Tarn", "Its mayor is Jon Vale.")]),)
        return Rollout(self.stop, turns, (MaskAnswer(mask=0, answer=self.answer, evidence=None),), "")


def solve(solver: Any) -> FinalAnswer:
    return sum_up(asyncio.run(solver.solve(ask_question(QUESTION, "en"), TokenUsage())))


def test_rag_calls_once_and_shows_the_results() -> None:
    engine, model = OnePassage(), ScriptedModel(lambda _: '{"reason": "r", "answer": "Jon Vale"}')
    assert solve(RagSolver(engine, model, AgentsConfig(), 3, MODELS)) == FinalAnswer(
        "Jon Vale", "answered", 1, 1, ("p1",)
    )
    assert engine.asked == [QUESTION]
    (request,) = model.asked
    assert "Its mayor is Jon Vale." in request.messages[-1].text
    assert request.messages[-1].text.count("</passage>") == 1, "a passage cannot close our tag"


@pytest.mark.parametrize("kind", [RagSolver, AgentSolver])
def test_a_search_that_fails_is_no_answer_and_is_shown_to_nobody(kind: Any) -> None:
    replies = ['{"think": "t", "mask": 1}', '{"queries": ["a", "b", "c"]}']
    model = ScriptedModel(lambda _: replies.pop(0))
    attempt = solve(kind(OnePassage(broken=True), model, AgentsConfig(), 3, MODELS))
    assert (attempt.text, attempt.stop, attempt.finished) == (None, "search_failed", False)
    assert not any("down" in message.text for request in model.asked for message in request.messages)


def test_agents_may_answer_without_evidence() -> None:
    replies = [
        '{"think": "t", "mask": 1}',
        '{"queries": ["a", "b", "c"]}',
        '{"conclusion": "c", "answers": [{"mask": 1, "answer": "yes", "passage": null}], "next": "answer"}',
    ]
    attempt = solve(AgentSolver(OnePassage(), ScriptedModel(lambda _: replies.pop(0)), AgentsConfig(), 3, MODELS))
    assert attempt == FinalAnswer("yes", "answered", 1, 3, ("p1",))


@pytest.mark.parametrize(
    ("stop", "answer", "finished"),
    [
        (StopReason.ANSWERED, "Jon Vale", True),
        (StopReason.ANSWERED, " ", False),
        (StopReason.MALFORMED, "Jon Vale", False),
        (StopReason.MAX_TOKENS, None, False),
    ],
)
def test_a_policy_that_breaks_the_format_has_no_answer(stop: StopReason, answer: str | None, finished: bool) -> None:
    policy = StubPolicy(stop, answer)
    outcome = asyncio.run(EvaluationStage(EvalMethod.POLICY, policy, 2).work(GOLD))
    for row in outcome.rows:
        assert isinstance(row, Evaluation)
        assert (row.finished, row.recall, row.stop, row.support) == (finished, float(finished), stop.value, 0.5)
    assert len({cast(Evaluation, row).evaluation_id for row in outcome.rows}) == 2
    assert policy.asked[0].text == GOLD.question
    assert "Jon Vale" not in policy.asked[0].model_dump_json(), "no solver is told the gold"


@pytest.mark.parametrize(
    ("question", "lang", "gap"),
    [
        ("Who is the mayor of Tarn?", "en", f"{MASK} the mayor of Tarn."),
        ("In which year was Tarn founded?", "en", f"In {MASK} year was Tarn founded."),
        ("Are both in Tarn?", "en", f"Are both in Tarn? {MASK}"),
        (f"What is {MASK}?", "en", f"{MASK} (mask)."),
        ("谁建造了钟楼？", "zh", f"{MASK}建造了钟楼。"),
        ("Tarn 在哪里？", "zh-hant", f"Tarn 在{MASK}。"),
    ],
)
def test_questions_become_sentences_with_one_gap(question: str, lang: str, gap: str) -> None:
    assert put_gap(question, lang) == gap
    assert gap.count(MASK) == 1

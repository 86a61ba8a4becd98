"""The oracle: what its queries hold, what it answers from, and that it plays over the OpenAI protocol as in process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from flows.models.chat_models import open_client
from pipeline.agents.agent_solver import AgentSolver
from pipeline.agents.roles import PlannedQuestion, TrajectoryProgress, open_task
from pipeline.agents.solving import Rollout, TaskAttempt
from pipeline.agents.trajectory_stage import TrajectoryStage, write_requests
from pipeline.judging.judge_stage import JudgedAttempt, JudgeStage
from pipeline.llm.structured_output import TokenUsage
from pipeline.reachability.oracle import OracleModel
from pipeline.reachability.play import CheckedRoles, OraclePlayer, UnseenTermError, learn_task
from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import AsyncSearchEngine
from schemas.config import AgentsConfig, JudgingConfig, RunConfig
from schemas.llm_config import RoleModelConfig
from schemas.roles import AGENT_ROLES, Role
from schemas.tasks import MASK, MaskTask
from schemas.trajectories import HideMode, StopReason, Trajectory
from tests.support.chat_servers import serve
from tests.support.oracle_samples import WithoutPassages, draw_passages, draw_tasks, index_passages, open_search
from tests.support.scripted_http import Said, ScriptedHttp

CONFIG = AgentsConfig(max_turns=4)
MODELS = {str(role): RoleModelConfig(model=role) for role in AGENT_ROLES}
Sample = tuple[Bm25Engine, list[MaskTask]]


@pytest.fixture(scope="module", params=["en", "zh"])
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    passages = draw_passages(1, request.param)
    index = index_passages(tmp_path_factory.mktemp("oracle"), passages)
    return index, draw_tasks(passages, index)


def attempt(index: Bm25Engine, tasks: Sequence[MaskTask], engine: AsyncSearchEngine, k: int = 3) -> list[Rollout]:
    player = OraclePlayer(engine, index, CONFIG, k, HideMode.PASSAGE)

    async def attempt_all() -> list[Rollout]:
        return list(await asyncio.gather(*map(player.attempt, tasks)))

    return asyncio.run(attempt_all())


def test_no_query_holds_a_term_that_was_not_shown(sample: Sample) -> None:
    index, tasks = sample
    for task, rollout in zip(tasks, attempt(index, tasks, open_search(index), k=1), strict=True):
        shown = set(index.tokenize(" ; ".join((task.title, *task.section, *task.masked_text.split(MASK)))))
        for turn in rollout.turns:
            for call in turn.calls:
                assert set(index.tokenize(call.query)) <= shown
            for passage in turn.shown:
                shown |= {*index.tokenize(passage.title), *index.tokenize(passage.text)}


def test_answers_are_golds_read_from_evidence_and_most_tasks_are_finished(sample: Sample) -> None:
    index, tasks = sample
    rollouts = attempt(index, tasks, open_search(index))
    for task, rollout in zip(tasks, rollouts, strict=True):
        shown = {passage.passage_id for turn in rollout.turns for passage in turn.shown}
        for span, answer in zip(task.spans, rollout.answers, strict=True):
            if answer.answer is not None:
                assert answer.answer in span.forms
                assert answer.evidence in shown & {found.passage_id for found in span.evidence}
        assert (rollout.stop_reason is StopReason.ANSWERED) == all(answer.answer for answer in rollout.answers)
    finished = sum(rollout.stop_reason is StopReason.ANSWERED for rollout in rollouts)
    assert len(tasks) > 30
    assert finished >= 0.95 * len(tasks)
    assert attempt(index, tasks, open_search(index)) == rollouts


def test_it_fails_where_the_evidence_is_withheld(sample: Sample) -> None:
    index, tasks = sample
    for task in tasks[:20]:
        withheld = frozenset(found.passage_id for found in task.spans[0].evidence)
        (rollout,) = attempt(index, [task], WithoutPassages(open_search(index), withheld))
        assert rollout.answers[0].answer is None
        assert rollout.stop_reason is StopReason.MAX_TURNS


def test_a_query_with_a_term_that_was_not_shown_is_an_error(sample: Sample) -> None:
    index, tasks = sample
    task = open_task(tasks[0])
    gold = tasks[0].spans[0].text

    class Guessing:
        async def rewrite(self, *_: Any) -> tuple[str, ...]:
            return task.title, gold, f"{task.title} {gold}"

    roles = CheckedRoles(Guessing(), index.tokenize)  # type: ignore[arg-type]  # one role is asked
    with pytest.raises(UnseenTermError, match=index.tokenize(gold)[0]):
        asyncio.run(roles.rewrite(TrajectoryProgress(task, 0), PlannedQuestion("", 0)))


def test_the_judge_accepts_what_it_finishes(sample: Sample) -> None:
    index, tasks = sample
    known = [learn_task(task, index) for task in tasks]
    oracle = OracleModel(known, index.tokenize, index.rarity)
    solver = AgentSolver(open_search(index), oracle, CONFIG, 3, MODELS)
    stage = TrajectoryStage(solver, (HideMode.PASSAGE,), 1)
    judge = JudgeStage(JudgingConfig())

    async def judge_all() -> list[bool]:
        made = []
        for task in tasks:
            (row,) = (row for row in (await stage.work(task)).rows if isinstance(row, Trajectory))
            judged = judge.judge(JudgedAttempt(row, task, frozenset()))
            made.append(judged.accepted == (row.stop_reason is StopReason.ANSWERED))
        return made

    assert all(asyncio.run(judge_all()))


def serve_oracle(oracle: OracleModel) -> ScriptedHttp:
    """An OpenAI-compatible server: the name of the model is the role."""

    def chat(body: dict[str, Any]) -> Said:
        text = oracle.answer(Role(body["model"]), "\n".join(message["content"] for message in body["messages"]))
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return Said(body=json.dumps({"choices": [choice], "usage": usage}).encode())

    return serve(chat)


def test_it_plays_over_the_openai_protocol(sample: Sample) -> None:
    index, tasks = sample[0], sample[1][:6]
    oracle = OracleModel([learn_task(task, index) for task in tasks], index.tokenize, index.rarity)
    with serve_oracle(oracle) as server:
        llm = {
            "roles": {role: {"model": role} for role in AGENT_ROLES},
            "endpoints": {"o": {"url": f"{server.url}/v1"}},
        }
        config = RunConfig.model_validate({"llm": llm, "agents": {"policy": "agents", "max_turns": 4}})

        async def solve() -> list[Rollout]:
            client = open_client(config.llm)
            try:
                solver = AgentSolver(open_search(index), client, config.agents, 3, config.llm.roles)
                attempts = [
                    TaskAttempt(t.task_id, open_task(t), requests=partial(write_requests, t, HideMode.PASSAGE))
                    for t in tasks
                ]
                return list(await asyncio.gather(*(solver.solve(one, TokenUsage()) for one in attempts)))
            finally:
                await client.close()

        served = asyncio.run(solve())
    assert served == attempt(index, tasks, open_search(index))

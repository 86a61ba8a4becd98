"""Play of the oracle at a task, by the agents' own episode.

Guarantees: a query holds only index terms of what was shown - the masked passage, its page's title, its headings, and
the passages of earlier steps; that is checked here, whatever model plays, and another query is an error. The result
depends on the task, the engine, the templates and the settings alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from pipeline.agents.agent_solver import LlmAgents
from pipeline.agents.episode import run_episode
from pipeline.agents.roles import AgentRoles, Observation, PlannedQuestion, TrajectoryProgress, open_task
from pipeline.agents.solving import Rollout, TaskAttempt
from pipeline.agents.trajectory_stage import sum_failures, write_requests
from pipeline.errors import RampforgeError, SearchError
from pipeline.llm.structured_output import Sampling, StructuredOutput, TokenUsage
from pipeline.reachability.necessity import Replay
from pipeline.reachability.oracle import KEPT_PASSAGES, KnownMask, KnownTask, OracleModel
from pipeline.reachability.rivals import RivalFinder
from pipeline.search.bm25 import Bm25Engine
from pipeline.search.engine import AsyncSearchEngine
from pipeline.search.tokens import Tokenizer
from pipeline.text.normalisation import fold_text
from prompts.replies import UnreadableReplyError
from schemas.config import AgentsConfig
from schemas.reachability import MaskReach, Reachability
from schemas.tasks import MaskTask, Span
from schemas.trajectories import HideMode, MaskAnswer, StopReason

SETTINGS = {"allow_memory": False, "dated": False, "parse_retries": 0, "temperature": 0.0}
"""Settings of the agents that do not hold for the oracle."""
RESUME = "mend the search engine, then `rampforge resume RUN`"


class UnseenTermError(RampforgeError):
    """A query holds a term that was not shown."""


@dataclass(frozen=True, slots=True)
class CheckedRoles:
    """Roles whose queries are compared with what was shown."""

    roles: AgentRoles
    tokenize: Tokenizer

    async def plan(self, progress: TrajectoryProgress) -> PlannedQuestion:
        """Choose what to search for next."""
        return await self.roles.plan(progress)

    async def rewrite(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> tuple[str, ...]:
        """Turn a plan into queries. Raises UnseenTermError."""
        queries = await self.roles.rewrite(progress, plan)
        texts = [*progress.task.texts]
        texts += [text for passage in progress.seen for text in (passage.title, passage.text)]
        shown = frozenset(term for text in texts for term in self.tokenize(text))
        for query in queries:
            if unseen := sorted(set(self.tokenize(query)) - shown):
                raise UnseenTermError(f"the query {query!r} holds {unseen}, which nothing shown holds")
        return queries

    async def observe(self, progress: TrajectoryProgress, plan: PlannedQuestion) -> Observation:
        """Draw a conclusion from the passages shown."""
        return await self.roles.observe(progress, plan)


def learn_task(task: MaskTask, index: Bm25Engine) -> KnownTask:
    """What the oracle knows of a task: its golds, and their evidence as it stands in the index."""

    def learn_mask(span: Span) -> KnownMask:
        return KnownMask(span.forms, tuple(index.read([found.passage_id for found in span.evidence])))

    return KnownTask(open_task(task), tuple(map(learn_mask, task.spans)))


class OraclePlayer:
    """Plays tasks with a search engine over an index of the same passages."""

    def __init__(
        self, engine: AsyncSearchEngine, index: Bm25Engine, agents: AgentsConfig, k: int, hide: HideMode
    ) -> None:
        """`k`: passages shown in a step; `hide`: what the engine withholds of the source."""
        self._engine = engine
        self._index = index
        self._agents = agents.model_copy(update=SETTINGS)
        self._k = k
        self._hide = hide
        self._rivals = RivalFinder(index)
        self._fold = lru_cache(KEPT_PASSAGES)(fold_text)

    async def play(self, task: MaskTask) -> Reachability:
        """Play a task once. Raises UnseenTermError, and SearchError where the engine answers no query of a step."""
        rollout = await self.attempt(task)
        if rollout.stop_reason is StopReason.SEARCH_FAILED:
            raise SearchError(f"the oracle cannot search: {sum_failures(rollout.failed)}", RESUME)
        return await self._conclude(task, rollout)

    async def attempt(self, task: MaskTask) -> Rollout:
        """The play itself; a task with too few words for the queries of a step is given up."""
        known = learn_task(task, self._index)
        oracle = OracleModel([known], self._index.tokenize, self._index.rarity)
        sampling = Sampling(self._agents.temperature, self._agents.max_tokens, self._agents.parse_retries)
        agents = LlmAgents(StructuredOutput(oracle, sampling), self._agents, "", TokenUsage())
        attempt = TaskAttempt(task.task_id, known.task, requests=partial(write_requests, task, self._hide))
        roles = CheckedRoles(agents, self._index.tokenize)
        try:
            return await run_episode(attempt, roles, self._engine, self._k, self._agents.max_turns)
        except UnreadableReplyError:
            answers = (MaskAnswer(mask=mask, answer=None, evidence=None) for mask in range(task.mask_count))
            return Rollout(StopReason.GAVE_UP, (), tuple(answers), "")

    async def _conclude(self, task: MaskTask, rollout: Rollout) -> Reachability:
        cited = [answer.evidence for answer in rollout.answers]
        pages = {e.passage_id: e.page_id for span in task.spans for e in span.evidence}
        replay = Replay(self._engine, partial(write_requests, task, self._hide), self._k, self._fold)
        others = await replay.find_others(rollout, task.spans, [self._list_evidence(span) for span in task.spans])
        return Reachability(
            task_id=task.task_id,
            passage_id=task.passage_id,
            mask_count=task.mask_count,
            hide=self._hide,
            reached=rollout.stop_reason is StopReason.ANSWERED,
            stop_reason=rollout.stop_reason,
            turns=len(rollout.turns),
            searches=_count_searches(rollout, cited),
            pages=len({pages[passage_id] for passage_id in cited if passage_id is not None}),
            masks=tuple(
                self._conclude_mask(task, mask, *found) for mask, found in enumerate(zip(cited, others, strict=True))
            ),
        )

    def _conclude_mask(self, task: MaskTask, mask: int, cited: str | None, other: str | None) -> MaskReach:
        span = task.spans[mask]
        evidence = next(
            (found for found in span.evidence if found.passage_id == cited), next(iter(span.evidence), None)
        )
        clues = self._rivals.show_clues(task, evidence) if evidence else frozenset()
        source = task.fill([hidden.text for hidden in task.spans])
        return MaskReach(
            mask=mask,
            passage_id=cited,
            other_passage_id=other if cited else None,
            clues=len(clues),
            hidden_clues=len(evidence.clues) - len(clues) if evidence else 0,
            rivals=self._rivals.count(task.passage_id, source, span, clues) if clues else None,
        )

    def _list_evidence(self, span: Span) -> frozenset[str]:
        """The passages of a span's evidence; where pages are withheld, every passage of theirs."""
        if self._hide is not HideMode.PAGE:
            return frozenset(found.passage_id for found in span.evidence)
        store = self._index.store
        rows = np.flatnonzero(np.isin(store.page_ids, [found.page_id for found in span.evidence]))
        return frozenset(map(store.id_at, rows.tolist()))


def _count_searches(rollout: Rollout, cited: Sequence[str | None]) -> int:
    """Queries up to the one that found the last of the cited passages; all, where a mask has none."""
    wanted, calls = set(cited), [call for turn in rollout.turns for call in turn.calls]
    for number, call in enumerate(calls, start=1):
        wanted -= {hit.passage_id for hit in call.hits}
        if not wanted:
            return number
    return len(calls)

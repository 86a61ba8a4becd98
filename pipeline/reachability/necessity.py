"""Necessity of evidence: with the evidence of a mask withheld as well, the same searches no longer show its answer.

The queries of a play are searched once more, deeply enough that what an engine without the evidence would have shown is
read off the hits. A passage that shows the answer all the same is another source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from pipeline.agents.solving import Rollout, WriteRequests
from pipeline.search.engine import AsyncSearchEngine, merge_round_robin
from pipeline.text.normalisation import holds_tokens
from schemas.tasks import Span
from schemas.trajectories import SearchCall


@dataclass(frozen=True, slots=True)
class Replay:
    """The searches of a play, made again."""

    engine: AsyncSearchEngine
    requests: WriteRequests
    k: int
    """Passages shown in a step."""
    fold: Callable[[str], str]

    async def find_others(
        self, rollout: Rollout, spans: Sequence[Span], withheld: Sequence[Set[str]]
    ) -> list[str | None]:
        """For each mask the first passage shown that holds its answer, while some passages are withheld; None where
        none does.
        """
        depth = self.k + max(map(len, withheld), default=0)
        steps = [
            await self.engine.search(self.requests([call.query for call in turn.calls]), depth)
            for turn in rollout.turns
        ]
        return [await self._find_other(steps, span, hidden) for span, hidden in zip(spans, withheld, strict=True)]

    async def _find_other(self, steps: Sequence[Sequence[SearchCall]], span: Span, hidden: Set[str]) -> str | None:
        forms = [self.fold(form) for form in span.forms]
        for calls in steps:
            lists = ([hit for hit in call.hits if hit.passage_id not in hidden][: self.k] for call in calls)
            shown = [hit.passage_id for hit in merge_round_robin(lists, self.k)]
            for passage in await self.engine.read(shown):
                text = self.fold(f"{passage.title} {passage.text}")
                if any(holds_tokens(text, form) for form in forms):
                    return passage.passage_id
        return None

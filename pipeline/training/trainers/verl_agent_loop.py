"""verl's agent loop for formats of one stream: a policy gets, byte for byte, the text of TRL's rollouts and our data.

verl 0.9.1 has a loop for tool calls only; there, results come back as a chat turn. Its YAML names this class as
`_target_`, with the request's rollouts as JSON text, which hydra leaves as it is.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import (  # type: ignore[import-not-found]  # lives in verl's environment
    AgentLoopBase,
    AgentLoopOutput,
)

from pipeline.rollouts.search_rollout import Completion, SearchRollouts, SearchStep, Task
from pipeline.training.trainers.retriever import Retriever
from schemas.training import Rollouts, SearchEndpoint


class SearchAgentLoop(AgentLoopBase):  # type: ignore[misc]  # unknown where verl is not installed
    """Sampler of one completion with search."""

    def __init__(self, *arguments: Any, rollouts: str, **more: Any) -> None:
        """`rollouts`: a `schemas.training.Rollouts` as JSON text."""
        more.pop("tools", None)
        super().__init__(*arguments, **more)
        self._settings = Rollouts.model_validate_json(rollouts)
        self._rollouts = SearchRollouts(self.tokenizer, self._settings, closes=False)

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> Any:
        """Return a completion: write and search until there is an answer or no room."""
        one = Completion(read_task(row), await self.ct_build_initial_tokens(list(row["raw_prompt"])))
        log_probs: list[float] = []
        seconds = {"generate_sequences": 0.0, "tool_calls": 0.0}
        request_id = uuid4().hex
        # Opened in a thread: its first request would block the loop.
        retriever = await asyncio.to_thread(open_retriever, self._settings.search.model_dump_json())
        while True:
            began = time.perf_counter()
            limits = {"stop": list(self._rollouts.stops), "include_stop_str_in_output": True}
            room = min(self._settings.max_turn, self._rollouts.room(one))
            reply = await self.server_manager.generate(
                request_id=request_id,
                prompt_ids=one.prompt_ids + one.ids,
                sampling_params={**sampling_params, **limits, "max_tokens": room},
            )
            seconds["generate_sequences"] += time.perf_counter() - began
            ids = list(reply.token_ids)[:room]
            log_probs += list(reply.log_probs or [0.0] * len(ids))[: len(ids)]
            queries = self._rollouts.take(one, ids)
            del log_probs[len(one.ids) :]
            if not queries:
                break
            began = time.perf_counter()
            (documents,) = await asyncio.to_thread(retriever.find, [SearchStep(queries, one.task.passage_id)])
            seconds["tool_calls"] += time.perf_counter() - began
            if not self._rollouts.show(one, documents):
                break
            log_probs += [0.0] * (len(one.ids) - len(log_probs))
        return AgentLoopOutput(
            prompt_ids=one.prompt_ids,
            response_ids=one.ids,
            response_mask=one.mask,
            response_logprobs=log_probs if reply.log_probs else None,
            num_turns=2 + 2 * one.searches,
            metrics=seconds,
            # The reward manager `naive` hands these to the reward.
            extra_fields={"own_tokens": one.own_tokens, "observations": one.observations, "searches": one.searches},
        )


@lru_cache(maxsize=8)
def open_retriever(endpoint: str) -> Retriever:
    """Return the client of the search server, one per process: verl makes a loop for every completion."""
    return Retriever(SearchEndpoint.model_validate_json(endpoint))


def read_task(row: dict[str, Any]) -> Task:
    """Return the task of a row of verl's dataset."""
    extra = row.get("extra_info") or {}
    golds = tuple(tuple(forms) for forms in json.loads(extra.get("golds") or "[]"))
    return Task(
        task_id=str(extra.get("task_id") or ""),
        prompt="",
        question=str(extra.get("question") or ""),
        lang=str(extra.get("lang") or "en"),
        golds=golds,
        mask_count=len(golds),
        passage_id=str(extra.get("passage_id") or ""),
    )

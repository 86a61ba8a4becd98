"""Rollout of a trained model: it writes up to a closing tag, gets the results of its search, and continues.

Guarantees: token ids go in and out, so its output is never tokenised again; whatever it writes, an attempt ends, with
a named reason; a failed search is not shown. Used inside one event loop, any number of attempts at once.
"""

from __future__ import annotations

import asyncio
import json
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeVar, TypeVarTuple

from pipeline.agents.solving import Provenance, Rollout, TaskAttempt, search_step, show
from pipeline.llm.chat_model import ChatModel, ChatReply, ChatRequest, RefusedRequestError
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.chat_text import ChatText
from pipeline.rendering.task_text import use_templates
from pipeline.rendering.transcript import ask, write_document
from pipeline.rollouts.search_rollout import TAGGED, Completion, SearchRollouts, Task
from pipeline.rollouts.stream_parsing import ParsedSearch, StreamReading, read_stream
from pipeline.search.engine import AsyncSearchEngine, SearchRequest
from pipeline.text.normalisation import fold_text, holds_tokens
from schemas.llm_config import RoleModelConfig
from schemas.policies import PolicyConfig, StreamEnd
from schemas.renderings import QuestionKind, RenderedQuestion, SegmentKind
from schemas.roles import Role
from schemas.streams import StreamRun, TokenStream
from schemas.trajectories import MaskAnswer, SearchCall, ShownPassage, Turn

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PROMPT_TOO_LONG = "prompt_too_long"
TEMPLATES = {
    QuestionKind.RAMP: ("solve_tagged", "solve_words", "ask_ramp"),
    QuestionKind.QA: ("solve_tagged", "solve_words", "ask_qa"),
}


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """Identity of a policy in rows and ids, besides its configuration."""

    model: RoleModelConfig
    """`llm.roles.policy`."""
    weights: str
    """Fingerprint of the model's files."""
    tokenizer: str
    """Digest of its tokenizer."""


class _Track:
    """Record of an attempt, besides its stream."""

    def __init__(self) -> None:
        self.own: list[str] = []
        self.runs: list[StreamRun] = []
        self.calls: list[tuple[SearchCall, ...]] = []
        self.shown: list[tuple[ShownPassage, ...]] = []
        self.queries: list[tuple[str, ...]] = []
        self.failed: tuple[SearchCall, ...] = ()


class PolicyRollout:
    """Solver of a policy: one stream per attempt."""

    def __init__(
        self,
        engine: AsyncSearchEngine,
        model: ChatModel,
        tokenizer: Any,
        config: PolicyConfig,
        k: int,
        facts: PolicyFacts,
        day: date | None = None,
    ) -> None:
        """`k`: passages shown for a step; `day`: date that the chat template writes, today by default.

        Raises ChatTemplateError.
        """
        self._engine = engine
        self._model = model
        self._config = config
        self._k = k
        self._facts = facts
        self._form = TAGGED[config.rendering]
        self._chat = ChatText(tokenizer, day)
        self._machine = SearchRollouts(tokenizer, config)
        self._thread = ThreadPoolExecutor(1, "tokenizing")

    def describe(self, attempt: TaskAttempt) -> Provenance:
        """Return the policy and its sampling settings."""
        facts = self._facts
        settings = {
            "k": self._k,
            "model": facts.model.model_dump(mode="json", exclude_none=True),
            "weights": facts.weights,
            "tokenizer": facts.tokenizer,
            **self._config.drawing,
        }
        sampling = json.dumps(settings, sort_keys=True, ensure_ascii=False)
        prompts = use_templates(TEMPLATES[attempt.task.kind], attempt.task.lang)
        return Provenance(self._config.name, facts.model.model, prompts, sampling, self._engine.fingerprint)

    async def solve(self, attempt: TaskAttempt, usage: TokenUsage) -> Rollout:
        """Return one stream, to its end.

        Raises ModelError: RefusedRequestError for a prompt that is too long, or that the server will never answer.
        """
        question = ask(attempt.task)
        one, track = await self._apart(self._begin, question), _Track()
        while one.end is None:
            reply = await self._write(one, attempt.number)
            usage.add(Role.POLICY, reply)
            if queries := self._take(one, reply, track):
                await self._search(one, track, attempt.requests(queries), queries)
        searched = [ParsedSearch(q, d) for q, d in zip(track.queries, one.shown, strict=True)]
        reading = read_stream(self._form, question, track.own, one.stream, searched, one.end)
        return self._conclude(one, track, reading)

    async def _apart(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        """Tokenise one text after another in a thread: each attempt sends its request as soon as its own is done.

        In the event loop, all whose replies came together would be tokenized before the first of them asks again; they
        would stay together, and the server wait for them every time: of its throughput, 0.98 is had instead of 0.94 at
        256 in flight.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *args)

    def _begin(self, question: RenderedQuestion) -> Completion:
        prompt = self._chat.write_prompt(self._form.prompt(question))
        ids = self._machine.encode(prompt)
        if len(ids) > self._config.max_prompt:
            detail = f"a prompt of {len(ids)} tokens, policy.max_prompt allows {self._config.max_prompt}"
            raise RefusedRequestError(PROMPT_TOO_LONG, detail)
        return Completion(Task("", prompt, "", question.lang, (), question.answers, ""), ids)

    async def _write(self, one: Completion, attempt: int) -> ChatReply:
        config = self._config
        return await self._model.ask(
            ChatRequest(
                Role.POLICY,
                (),
                attempt,
                temperature=config.temperature,
                top_p=config.top_p,
                max_tokens=min(config.max_turn, self._machine.room(one)),
                stop=self._form.stops,
                prompt_ids=(*one.prompt_ids, *one.ids),
            )
        )

    def _take(self, one: Completion, reply: ChatReply, track: _Track) -> tuple[str, ...]:
        written, start = len(one.ids), len(one.text)
        queries = self._machine.take(one, list(reply.token_ids[: self._machine.room(one)]))
        if one.end is StreamEnd.CUT and reply.finish_reason == "stop":  # by another token than the tokenizer's own
            one.end = StreamEnd.STOPPED
        track.own.append(one.text[start:])
        track.runs += self._divide(one.ids[written:], one.text[start:], one.end is StreamEnd.ANSWERED)
        return queries

    async def _search(
        self, one: Completion, track: _Track, requests: list[SearchRequest], queries: tuple[str, ...]
    ) -> None:
        calls, found = await search_step(self._engine, requests, self._k)
        if found is None:
            one.end, track.failed = StreamEnd.UNSEARCHED, calls
            return
        before, documents = len(one.ids), tuple(write_document(p.title, p.text) for p in found)
        if not await self._apart(self._machine.show, one, documents):
            return
        track.queries.append(queries)
        track.calls.append(calls)
        track.shown.append(
            tuple(
                show(passage if put == whole else replace(passage, text=put.text))
                for passage, whole, put in zip(found, documents, one.shown[-1], strict=False)
            )
        )
        track.runs.append(StreamRun(kind=SegmentKind.OBSERVATION, length=len(one.ids) - before))

    def _divide(self, ids: list[int], text: str, answered: bool) -> Iterator[StreamRun]:
        """Return the kinds of one stretch of the model's output; a token across two of them counts as the first."""
        kind, opening = (SegmentKind.ANSWER, "<answer>") if answered else (SegmentKind.QUERY, "<search>")
        place = text.rfind(opening)
        if place < 0:
            thought = len(ids)
        else:
            # Tokens that begin before the opening tag: the text of the first i tokens is that long.
            thought = bisect_left(range(len(ids)), place, key=lambda count: len(self._machine.decode(ids[:count])))
        for one_kind, length in ((SegmentKind.THINK, thought), (kind, len(ids) - thought)):
            if length:
                yield StreamRun(kind=one_kind, length=length)

    def _conclude(self, one: Completion, track: _Track, reading: StreamReading) -> Rollout:
        turns = tuple(
            Turn(think=think, calls=calls, shown=shown, conclusion="")
            for think, calls, shown in zip(reading.thoughts, track.calls, track.shown, strict=False)
        )
        stream = TokenStream(
            trajectory_id="",
            rendering=self._config.rendering,
            tokenizer=self._facts.tokenizer,
            prompt_ids=tuple(one.prompt_ids),
            ids=tuple(one.ids),
            runs=tuple(track.runs),
            text=one.text,
            end=one.end or StreamEnd.CUT,
            fault=reading.fault,
        )
        answers = _ground(reading.answers, [passage for turn in turns for passage in turn.shown])
        return Rollout(reading.stop_reason, turns, answers, reading.thoughts[-1], track.failed, stream)


def _ground(answers: Sequence[str | None], shown: Sequence[ShownPassage]) -> tuple[MaskAnswer, ...]:
    """Return the answers, each with the last shown passage that contains it as evidence."""
    return tuple(
        MaskAnswer(mask=mask, answer=answer, evidence=_find_evidence(answer, shown))
        for mask, answer in enumerate(answers)
    )


def _find_evidence(answer: str | None, shown: Sequence[ShownPassage]) -> str | None:
    folded = fold_text(answer or "")
    if not folded:
        return None
    holding = (p.passage_id for p in reversed(shown) if holds_tokens(fold_text(f"{p.title}\n{p.text}"), folded))
    return next(holding, None)

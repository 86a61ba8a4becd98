"""Judge reward: verdicts of a language model on many answers at once, without duplicate requests and without counting
errors as 0.

Guarantees: an answer that equals a gold after folding is right and a blank one wrong without a call; a verdict is
cached by the content of its question, and concurrent requests for the same answer are shared; an answer without a
verdict (server down, rejected, unreadable, votes divided) is None and requested again next time.

The judge runs in a thread with its own event loop, so that it can be called from any thread and from inside a running
loop: TRL calls rewards from the trainer's thread, verl from a pool or from a loop.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from pipeline.judging.llm_judge import JudgeQuestion, LlmJudge, list_prompts
from pipeline.llm.chat_model import EndpointError, ModelClient, ModelError
from pipeline.llm.openai_chat_model import OpenAiChatModel
from pipeline.llm.structured_output import TokenUsage
from pipeline.rendering.task_text import describe_repeats
from pipeline.rewards.formulas import Assessed, RewardInput
from pipeline.text.normalisation import fold_text
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.llm_config import EndpointConfig, LimitsConfig, LlmConfig, RoleModelConfig, ServerConfig
from schemas.record import content_id
from schemas.rewards import JudgeEndpoint
from schemas.tasks import MASK

log = logging.getLogger(__name__)

KEPT_VERDICTS = 100_000
_NUMBERED_MASK = re.compile(r"\[mask \d+\]")

T = TypeVar("T")


class JudgeReward:
    """Judge of answers: True, False, or None without a verdict."""

    def __init__(self, endpoint: JudgeEndpoint, open_model: Callable[[], ModelClient]) -> None:
        """`open_model` makes a model of the role `judge`; it is called again after a permanent failure."""
        self._config = JudgingConfig(
            judge="llm", votes=endpoint.votes, temperature=endpoint.temperature, max_tokens=endpoint.max_tokens
        )
        self._about = endpoint.model_dump(mode="json", include={"model", "votes", "temperature", "max_tokens"})
        self._open_model = open_model
        self._model: ModelClient | None = None
        self._verdicts: OrderedDict[str, asyncio.Task[bool | None]] = OrderedDict()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="judge-reward", daemon=True)
        self._started = threading.Lock()

    def judge(self, items: Sequence[tuple[RewardInput, Assessed]]) -> list[tuple[bool | None, ...]]:
        """Return the verdicts on well-formed completions, one answer each. Blocks; callable from any thread."""
        return self._submit(self._judge_all(items)).result()

    def close(self) -> None:
        """Close the connections and the thread."""
        atexit.unregister(self.close)
        if self._thread.is_alive():
            self._submit(self._close_model()).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._started:
            if not self._thread.is_alive():
                self._thread.start()
                atexit.register(self.close)  # trainers close nothing
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def _judge_all(self, items: Sequence[tuple[RewardInput, Assessed]]) -> list[tuple[bool | None, ...]]:
        return [tuple(row) for row in await asyncio.gather(*(self._judge_one(*item) for item in items))]

    async def _judge_one(self, row: RewardInput, assessed: Assessed) -> list[bool | None]:
        answers = assessed.reading.answers or (None,) * len(row.golds)
        return await asyncio.gather(*(self._settle(row, assessed, n, answer) for n, answer in enumerate(answers)))

    async def _settle(self, row: RewardInput, assessed: Assessed, number: int, answer: str | None) -> bool | None:
        if assessed.scores[number].exact:
            return True
        if not answer or not fold_text(answer):
            return False
        question = make_question(row, number, answer)
        digests = [prompt.digest for prompt in list_prompts(row.lang)]
        key = content_id(
            *(question.lang, question.title, question.masked_text, number, question.golds, answer),
            *(self._about, digests),
        )
        if key not in self._verdicts:
            self._verdicts[key] = asyncio.ensure_future(self._ask(question))
            if len(self._verdicts) > KEPT_VERDICTS:
                self._verdicts.popitem(last=False)
        verdict = None
        try:
            verdict = await self._verdicts[key]
        finally:
            if verdict is None:
                self._verdicts.pop(key, None)
        return verdict

    async def _ask(self, question: JudgeQuestion) -> bool | None:
        model = self._model = self._model or self._open_model()
        try:
            ruling = await LlmJudge(model, self._config).rule(question, TokenUsage())
        except EndpointError as error:
            log.warning("the judge cannot be used; its rewards are left out: %s", error)
            if self._model is model:
                await self._close_model()
            return None
        except ModelError as error:
            log.warning("an answer goes without a verdict: %s", error)
            return None
        return {Verdict.CORRECT: True, Verdict.INCORRECT: False}.get(ruling.verdict)

    async def _close_model(self) -> None:
        model, self._model = self._model, None
        if model is not None:
            await model.close()


def open_judge(endpoint: JudgeEndpoint, keys: Mapping[str, str] | None = None) -> JudgeReward:
    """Open a judge behind a server. `keys`: values of environment variables by name, by default those of the trainer's
    process. Raises ConfigError without those that it needs.
    """
    keys = os.environ if keys is None else keys
    limits = LimitsConfig(
        deadline=endpoint.deadline,
        min_deadline=min(5.0, endpoint.deadline),
        tries=endpoint.tries,
        max_wait=endpoint.max_wait,
        give_up=endpoint.deadline,
    )
    server = endpoint.model_dump(include=set(ServerConfig.model_fields))
    config = LlmConfig(
        roles={"judge": RoleModelConfig(model=endpoint.model)},
        endpoints={"judge": EndpointConfig(**server, max_in_flight=endpoint.in_flight)},
        limits=limits,
    )
    OpenAiChatModel(config, keys)  # report a missing key now rather than in the middle of training
    return JudgeReward(endpoint, lambda: OpenAiChatModel(config, keys))


def make_question(row: RewardInput, number: int, answer: str) -> JudgeQuestion:
    """Return the question about one answer for the judge; a question without gaps gets one at its end."""
    shown = row.question.removesuffix(describe_repeats((row.question,), row.lang))
    masked = _NUMBERED_MASK.sub(MASK, shown)
    title, text = "", f"{masked}\n{MASK}"
    if masked.count(MASK) == len(row.golds):
        title, _, text = masked.partition("\n") if "\n" in masked else ("", "", masked)
    elif len(row.golds) > 1:
        text = "\n".join([masked, *(f"{n}. {MASK}" for n in range(1, len(row.golds) + 1))])
    return JudgeQuestion(row.lang, title, (), text, number, row.golds[number], answer)

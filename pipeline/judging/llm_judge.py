"""A language model's verdict on one answer.

Promises: the verdict is one of a closed set; a reply that cannot be read is `unjudgeable`, a request that the server
refuses is `error`, and neither is ever a pass; of several votes, more than half must agree. Other errors of the model
are passed on: the answer is owed its verdict.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.llm.chat_model import ChatModel, RefusedRequestError
from pipeline.llm.event_loop import gather_all
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import number_masks, use_templates, write_page
from prompts.library import load_template
from prompts.replies import JUDGE, JudgeReply, UnreadableReplyError
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.roles import Role
from schemas.trajectories import PromptUse

ANSWER_CHARS = 2000
"""A longer answer is cut before it is judged; the rules have long called it wrong."""
REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """One answer to be judged."""

    lang: str
    """Language of the task, and of the prompt."""
    title: str
    """Title of the page."""
    section: tuple[str, ...]
    """Headings above the passage."""
    masked_text: str
    """The passage with its gaps."""
    mask: int
    """The gap answered, counted from 0."""
    golds: tuple[str, ...]
    """What stood there, and its aliases."""
    answer: str
    """The answer."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the model said of one answer."""

    verdict: Verdict
    """The verdict that more than half of the votes give, else `unjudgeable`."""
    reason: str
    """The reason of the first vote for it, or what went wrong."""
    votes: tuple[Verdict, ...]
    """Every vote, in order; empty when the server refused."""


class LlmJudge:
    """Asks the model of the role `judge`."""

    def __init__(self, model: ChatModel, config: JudgingConfig) -> None:
        self._asker = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, retries=0))
        self._votes = config.votes

    async def rule(self, question: JudgeQuestion, tally: TokenUsage) -> Ruling:
        """The ruling on one answer."""
        return await self.rule_prompt(question.lang, write_question(question), tally)

    async def rule_prompt(self, lang: str, text: str, tally: TokenUsage) -> Ruling:
        """The ruling that a prompt asks for, whatever the kind of question in it."""
        try:
            said = await gather_all(self._vote(lang, text, number, tally) for number in range(self._votes))
        except RefusedRequestError as error:
            return Ruling(Verdict.ERROR, f"{error.reason}: {error.what}"[:REASON_CHARS], ())
        return count_votes(said)

    async def _vote(self, lang: str, text: str, number: int, tally: TokenUsage) -> tuple[Verdict, str]:
        prompt = Prompt(role=Role.JUDGE, lang=lang, text=text, attempt=number)
        try:
            return await self._asker.ask(prompt, JUDGE, _take_vote, tally)
        except UnreadableReplyError as error:
            return Verdict.UNJUDGEABLE, f"unreadable: {error}"[:REASON_CHARS]


def _take_vote(reply: JudgeReply) -> tuple[Verdict, str]:
    return Verdict(reply.verdict), " ".join(reply.reason.split())[:REASON_CHARS]


def count_votes(said: Sequence[tuple[Verdict, str]]) -> Ruling:
    """The ruling of some votes, each with its reason; at least one."""
    votes = tuple(verdict for verdict, _ in said)
    verdict, count = Counter(votes).most_common(1)[0]
    if count * 2 <= len(votes):
        split = ", ".join(f"{number} {name}" for name, number in sorted(Counter(votes).items()))
        return Ruling(Verdict.UNJUDGEABLE, f"the votes are divided: {split}", votes)
    return Ruling(verdict, next(reason for vote, reason in said if vote is verdict), votes)


def write_question(question: JudgeQuestion) -> str:
    """The judge's prompt. The answer is a JSON string in it, so that no quote of it can pass for a verdict."""
    return load_template("judge_answer", question.lang).fill(
        page=write_page(question.title, question.section),
        text=number_masks(question.masked_text),
        number=str(question.mask + 1),
        gold="\n".join(dict.fromkeys(question.golds)),
        answer=json.dumps(question.answer[:ANSWER_CHARS], ensure_ascii=False),
    )


def list_prompts(lang: str) -> tuple[PromptUse, ...]:
    """The templates that shape a verdict in a language."""
    return use_templates(("judge_answer",), lang)

"""LLM judge: a language model's verdict on one answer.

Guarantees: the verdict is one of a closed set; an unreadable reply is `unjudgeable`, a request that the server rejects
is `error`, and neither is ever a pass; of several votes, more than half must agree. Other errors of the model are
raised: the verdict stays pending.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.llm.chat_model import ChatModel, RefusedRequestError
from pipeline.llm.event_loop import gather_all
from pipeline.llm.structured_output import Prompt, Sampling, StructuredOutput, TokenUsage
from pipeline.rendering.task_text import REPEATED, describe_repeats, number_masks, use_templates, write_page
from prompts.library import load_template
from prompts.replies import JUDGE, JudgeReply, UnreadableReplyError
from schemas.config import JudgingConfig
from schemas.judgements import Verdict
from schemas.roles import Role
from schemas.trajectories import PromptUse

ANSWER_CHARS = 2000
"""Maximum length of a judged answer; longer ones are truncated, since the rules reject them anyway."""
REASON_CHARS = 300


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """Answer to be judged."""

    lang: str
    """Language of the task, and of the prompt."""
    title: str
    section: tuple[str, ...]
    """Headings above the passage."""
    masked_text: str
    """Passage with its gaps."""
    mask: int
    """Gap answered, counted from 0."""
    golds: tuple[str, ...]
    """Gold text and its aliases."""
    answer: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """Ruling of the model on one answer."""

    verdict: Verdict
    """Verdict of more than half of the votes, else `unjudgeable`."""
    reason: str
    """Reason of the first vote for it, or the error."""
    votes: tuple[Verdict, ...]
    """All votes, in order; empty when the server rejected the request."""


class LlmJudge:
    """Judge that calls the model of the role `judge`."""

    def __init__(self, model: ChatModel, config: JudgingConfig) -> None:
        self._output = StructuredOutput(model, Sampling(config.temperature, config.max_tokens, retries=0))
        self._votes = config.votes

    async def rule(self, question: JudgeQuestion, usage: TokenUsage) -> Ruling:
        """The ruling on one answer."""
        return await self.rule_prompt(question.lang, write_question(question), usage)

    async def rule_prompt(self, lang: str, text: str, usage: TokenUsage) -> Ruling:
        """The ruling on a prompt, whatever the kind of question in it."""
        try:
            votes = await gather_all(self._vote(lang, text, number, usage) for number in range(self._votes))
        except RefusedRequestError as error:
            return Ruling(Verdict.ERROR, f"{error.reason}: {error.what}"[:REASON_CHARS], ())
        return count_votes(votes)

    async def _vote(self, lang: str, text: str, number: int, usage: TokenUsage) -> tuple[Verdict, str]:
        prompt = Prompt(role=Role.JUDGE, lang=lang, text=text, attempt=number)
        try:
            return await self._output.ask(prompt, JUDGE, _take_vote, usage)
        except UnreadableReplyError as error:
            return Verdict.UNJUDGEABLE, f"unreadable: {error}"[:REASON_CHARS]


def _take_vote(reply: JudgeReply) -> tuple[Verdict, str]:
    return Verdict(reply.verdict), " ".join(reply.reason.split())[:REASON_CHARS]


def count_votes(reasoned: Sequence[tuple[Verdict, str]]) -> Ruling:
    """The ruling of one or more votes with their reasons."""
    votes = tuple(verdict for verdict, _ in reasoned)
    verdict, count = Counter(votes).most_common(1)[0]
    if count * 2 <= len(votes):
        split = ", ".join(f"{number} {name}" for name, number in sorted(Counter(votes).items()))
        return Ruling(Verdict.UNJUDGEABLE, f"the votes are divided: {split}", votes)
    return Ruling(verdict, next(reason for vote, reason in reasoned if vote is verdict), votes)


def write_question(question: JudgeQuestion) -> str:
    """The judge's prompt. The answer is a JSON string in it, so that no quotation in it can pass for a verdict."""
    note = describe_repeats((question.title, *question.section, question.masked_text), question.lang)
    return load_template("judge_answer", question.lang).fill(
        page=write_page(question.title, question.section),
        text=number_masks(question.masked_text) + note,
        number=str(question.mask + 1),
        gold="\n".join(dict.fromkeys(question.golds)),
        answer=json.dumps(question.answer[:ANSWER_CHARS], ensure_ascii=False),
    )


def list_prompts(lang: str, repeats: bool = False) -> tuple[PromptUse, ...]:
    """The templates used for a verdict in a language. `repeats`: whether the task hides mentions."""
    return use_templates(("judge_answer", *([REPEATED] if repeats else [])), lang)

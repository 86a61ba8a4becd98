"""Oracle: a chat model that knows the golds of tasks and the passages that give them again.

It answers the prompts of planner, rewriter and observer as any chat model does, so that a task is tried by the same
prompts, parsers, search engine and limits as by any agent.

Guarantees: a reply depends on the request and the known tasks alone; a mask is answered only where the prompt holds a
passage of its evidence with the gold or an alias, and that passage is cited; what it writes besides is made of words of
the task and of passages in the prompt. From step to step it knows what its prompts repeat: its notes are part of plan
and conclusion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any

from pipeline.agents.roles import OpenTask
from pipeline.llm.chat_model import ChatReply, ChatRequest, RefusedRequestError
from pipeline.reachability.queries import read_vocabulary, write_queries
from pipeline.rendering.task_text import number_masks
from pipeline.search.engine import FoundPassage
from pipeline.search.tokens import Tokenizer
from pipeline.text.normalisation import fold_text, holds_tokens
from prompts.library import load_template, make_inert
from prompts.replies import OBSERVE, PLAN, REWRITE
from schemas.roles import Role

MODEL = "oracle"
UNKNOWN_TASK = "unknown_task"
MOST_QUERIES = 10
"""Queries in a reply; agents take as many as they are configured to."""
MOST_LEADS = 16
"""Words that a note carries on from what was found."""
NOTE = re.compile(r"⟦([\d ]*)\|([^⟦⟧]*)⟧")
"""A note: the numbers of the open masks, and the words that help to find them."""
KEPT_PASSAGES = 1 << 10
"""Passages whose terms stay in memory."""


@dataclass(frozen=True, slots=True)
class KnownMask:
    """What the oracle knows of a mask."""

    forms: tuple[str, ...]
    """The gold and its aliases."""
    evidence: tuple[FoundPassage, ...]
    """Passages that give it again, those to look for first in front."""


@dataclass(frozen=True, slots=True)
class KnownTask:
    """What the oracle knows of a task."""

    task: OpenTask
    masks: tuple[KnownMask, ...]


@dataclass(frozen=True, slots=True)
class _Note:
    open: tuple[int, ...]
    leads: tuple[str, ...]

    def __str__(self) -> str:
        return f"⟦{' '.join(map(str, self.open))}|{' '.join(self.leads)}⟧"


class OracleModel:
    """A ChatModel for the roles of the agents, at any number of tasks."""

    def __init__(self, tasks: Iterable[KnownTask], tokenize: Tokenizer, rarity: Callable[[str], float]) -> None:
        """`tokenize`, `rarity`: index terms of a text, and how rare a term is in the index that is searched."""
        self._tasks = {make_inert(number_masks(known.task.masked_text)): known for known in tasks}
        self._tokenize = tokenize
        self._rarity = rarity
        self._list_terms = lru_cache(KEPT_PASSAGES)(lambda text: frozenset(tokenize(text)))

    async def ask(self, request: ChatRequest) -> ChatReply:
        """The reply of a role. Raises RefusedRequestError for a task that it does not know."""
        text = self.answer(Role(request.role), "\n".join(message.text for message in request.messages))
        return ChatReply(text, "", "stop", MODEL, prompt_tokens=0, completion_tokens=0)

    def answer(self, role: Role, prompt: str) -> str:
        """The text of a reply. Raises RefusedRequestError for a task that it does not know."""
        known = next((known for text, known in self._tasks.items() if text in prompt), None)
        if known is None:
            raise RefusedRequestError(UNKNOWN_TASK, "the prompt holds no task that the oracle knows")
        play = {Role.PLANNER: self._plan, Role.REWRITER: self._rewrite, Role.OBSERVER: self._observe}
        return json.dumps(play[role](known, prompt), ensure_ascii=False)

    def _plan(self, known: KnownTask, prompt: str) -> dict[str, Any]:
        note = _read_notes(known, prompt)
        return {PLAN.key: str(note), "mask": note.open[0], "give_up": False}

    def _rewrite(self, known: KnownTask, prompt: str) -> dict[str, Any]:
        note = _read_notes(known, prompt)
        vocabulary = read_vocabulary([*known.task.texts, *note.leads], self._tokenize)
        evidence = [[self._read(passage) for passage in known.masks[mask - 1].evidence] for mask in note.open]
        queries = list(write_queries(evidence, vocabulary, self._rarity))
        queries.sort(key=lambda query: f"\n- {query}\n" in prompt)  # those tried before only when no other is left
        return {REWRITE.key: queries[:MOST_QUERIES]}

    def _observe(self, known: KnownTask, prompt: str) -> dict[str, Any]:
        shown = list(_read_passages(prompt, known.task.lang))
        found = [_find_answer(mask, shown) for mask in known.masks]
        answers = [
            {"mask": number, "answer": form, "passage": passage}
            for number, (form, passage) in enumerate(found, start=1)
        ]
        unanswered = tuple(number for number, (form, _) in enumerate(found, start=1) if form is None)
        leads = self._list_leads(known, unanswered, shown)
        step = "search_on" if unanswered else "answer"
        return {OBSERVE.key: str(_Note(unanswered, leads)), "answers": answers, "next": step, "closing": ""}

    def _list_leads(
        self, known: KnownTask, unanswered: Iterable[int], shown: Sequence[tuple[int, FoundPassage]]
    ) -> tuple[str, ...]:
        """Words of the passages shown, not of the task, that the evidence of open masks holds; the rarest first."""
        wanted = frozenset(
            chain.from_iterable(
                self._read(passage) for mask in unanswered for passage in known.masks[mask - 1].evidence
            )
        )
        vocabulary = read_vocabulary((text for _, p in shown for text in (p.title, p.text)), self._tokenize)
        new = wanted & vocabulary.keys() - read_vocabulary(known.task.texts, self._tokenize).keys()
        return tuple(vocabulary[term] for term in sorted(new, key=lambda term: (-self._rarity(term), term)))[
            :MOST_LEADS
        ]

    def _read(self, passage: FoundPassage) -> frozenset[str]:
        terms: frozenset[str] = self._list_terms(f"{passage.title}. {passage.text}")
        return terms


def _read_notes(known: KnownTask, prompt: str) -> _Note:
    """The open masks of the last note in a prompt, all without one, and the leads of every note."""
    notes = NOTE.findall(prompt)
    numbers = range(1, len(known.masks) + 1)
    named = {int(number) for number in notes[-1][0].split()} if notes else set(numbers)
    leads = dict.fromkeys(word for _, words in notes for word in words.split())
    return _Note(tuple(number for number in numbers if number in named) or tuple(numbers), tuple(leads))


def _read_passages(prompt: str, lang: str) -> Iterator[tuple[int, FoundPassage]]:
    """The passages in an observer's prompt, with their numbers."""
    fields: Mapping[str, str] = {"number": "\ue000", "title": "\ue001", "text": "\ue002"}
    pattern = re.escape(load_template("shown_passage", lang).fill(**fields).strip())
    for name, mark in fields.items():
        pattern = pattern.replace(mark, r"(?P<number>\d+)" if name == "number" else f"(?P<{name}>.*?)")
    for match in re.finditer(pattern, prompt, re.DOTALL):
        yield int(match["number"]), FoundPassage("", match["title"], match["text"])


def _find_answer(mask: KnownMask, shown: Iterable[tuple[int, FoundPassage]]) -> tuple[str | None, int | None]:
    """The form of a gold that a shown passage of its evidence holds, and the number of the passage."""
    evidence = {(make_inert(passage.title), make_inert(passage.text)) for passage in mask.evidence}
    for number, passage in shown:
        if (passage.title, passage.text) not in evidence:
            continue
        folded = fold_text(f"{passage.title} {passage.text}")
        for form in mask.forms:
            if holds_tokens(folded, fold_text(form)):
                return form, number
    return None, None

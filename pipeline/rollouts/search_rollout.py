"""Completions with search: the model writes up to a closing tag, gets results, and continues.

The one state machine of it, for trainers here and for a served model in `pipeline.policy`.

Token ids go in and out: what a model wrote is never tokenised again, results are tokenised by themselves, so masks are
exact. The text between tags is that of `pipeline.rendering`, byte for byte: what is learned by SFT is what is met here.

Promises: an answer is followed by the end-of-sequence token where that is asked for, and the model is credited with it
(without it TRL takes a completion for cut off); results carry mask 0; no completion is longer than asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.rendering.tagged import RESEARCH, SEARCH_R1
from schemas.policies import StreamBounds, StreamEnd
from schemas.renderings import ShownDocument

TAGGED = {form.name: form for form in (SEARCH_R1, RESEARCH)}
"""Formats of one stream."""
SEARCH_END, ANSWER_END = "</search>", "</answer>"
OPENING = "<think>"


@dataclass(frozen=True, slots=True)
class SearchStep:
    """Queries of one step of one completion."""

    queries: tuple[str, ...]
    passage_id: str = ""
    """Source passage, which the search server withholds; empty to withhold nothing."""


Generate = Callable[[list[list[int]], int], list[list[int]]]
"""Contexts and a number of tokens in, new tokens of each out; an end-of-sequence token stands where one was written."""
Find = Callable[[Sequence[SearchStep]], list[tuple[ShownDocument, ...]]]
"""Searches in, results of each out."""


@dataclass(frozen=True, slots=True)
class Task:
    """Prompt with its golds, as in the rows."""

    task_id: str
    prompt: str
    question: str
    lang: str
    golds: tuple[tuple[str, ...], ...]
    mask_count: int
    passage_id: str


@dataclass(slots=True)
class Completion:
    """Attempt at a task."""

    task: Task
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    """Tokens written by the model or inserted."""
    mask: list[int] = field(default_factory=list)
    """1 for the model's own tokens, 0 for results."""
    text: str = ""
    """The tokens as text."""
    observations: list[str] = field(default_factory=list)
    """Inserted texts."""
    shown: list[tuple[ShownDocument, ...]] = field(default_factory=list)
    """Inserted documents, cut to the room there was."""
    end: StreamEnd | None = None
    """Reason for its end; None before it."""
    searches: int = 0
    """Number of searches with inserted results."""
    reward: float | None = None
    """Reward without the length penalty; None without a verdict."""
    in_form: float = 0.0
    """1 if its format is right, else 0."""
    right: float = 0.0
    """Score of its answers."""
    penalty: float = 0.0
    """Length penalty, 0 to -1."""

    @property
    def stream(self) -> str:
        """Return the text with the `<think>` in which the prompt may end."""
        return f"{OPENING}{self.text}" if self.task.prompt.rstrip().endswith(OPENING) else self.text

    @property
    def own_tokens(self) -> int:
        """Return the number of tokens that the model wrote."""
        return sum(self.mask)


class SearchRollouts:
    """Sampler of completions."""

    def __init__(self, tokenizer: Any, settings: StreamBounds, closes: bool = True) -> None:
        """`closes`: an answer is followed by the end of the sequence, which TRL looks for."""
        self._form = TAGGED[settings.rendering]
        self._tokenizer = tokenizer
        self._settings = settings
        self._closes = closes
        self._eos = int(tokenizer.eos_token_id)
        # The wrapper of transformers doubles the time, and its batches of one use every core.
        self._backend = getattr(tokenizer, "backend_tokenizer", None)

    @property
    def stops(self) -> tuple[str, ...]:
        """Return the stop strings of generation."""
        return self._form.stops

    def draw(self, tasks: Sequence[Task], generate: Generate, find: Find) -> list[Completion]:
        """Return one completion for each given task; a task given several times is attempted several times."""
        completions = [Completion(task, self.encode(task.prompt)) for task in tasks]
        going = list(completions)
        while going:
            room = min(self._settings.max_turn, max(map(self.room, going)))
            written = generate([one.prompt_ids + one.ids for one in going], room)
            asking = [
                (one, queries)
                for one, ids in zip(going, written, strict=True)
                if (queries := self.take(one, ids[: self.room(one) + 1]))
            ]
            hide = [SearchStep(queries, one.task.passage_id) for one, queries in asking]
            found = find(hide) if hide else []
            going = [one for (one, _), documents in zip(asking, found, strict=True) if self.show(one, documents)]
        return completions

    def room(self, one: Completion) -> int:
        """Return the number of tokens that the model may still write, without the closing one."""
        return self._settings.max_completion - len(one.ids) - 1

    def take(self, one: Completion, ids: list[int]) -> tuple[str, ...]:
        """Add the model's output. Return the queries to search for, none at the end of the completion."""
        ended = bool(ids) and ids[-1] == self._eos
        text = self.decode(ids[:-1] if ended else ids)
        stop = find_stop(text, self.stops)
        if stop < len(text):
            # A server cuts its text at the tag, not the tokens: the last one may hold more than the tag.
            ids = ids[: bisect_left(range(len(ids)), stop, key=lambda count: len(self.decode(ids[:count])))]
            text, ended = text[:stop], False
        one.ids += ids
        one.mask += [1] * len(ids)
        one.text += text
        if ANSWER_END in text:
            if self._closes and not ended:
                one.ids.append(self._eos)
                one.mask.append(1)
            one.end = StreamEnd.ANSWERED
            return ()
        queries = () if ended else read_queries(text)
        if not queries:
            one.end = StreamEnd.STOPPED if ended or SEARCH_END in text else StreamEnd.CUT
        elif one.searches >= self._settings.turns:
            one.end = StreamEnd.TURNS
            return ()
        return queries

    def show(self, one: Completion, documents: tuple[ShownDocument, ...]) -> bool:
        """Insert results. Return whether the model can continue."""
        documents, shown, ids = self._fit(documents, one.task.lang)
        if len(ids) >= self.room(one):
            one.end = StreamEnd.FULL
            return False
        one.ids += ids
        one.mask += [0] * len(ids)
        one.text += shown
        one.observations.append(shown)
        one.shown.append(documents)
        one.searches += 1
        return True

    def _fit(self, documents: tuple[ShownDocument, ...], lang: str) -> tuple[tuple[ShownDocument, ...], str, list[int]]:
        """Return results that are short enough, as documents, text and tokens: documents are dropped from the end, then
        words of the first one."""
        while True:
            shown = self._form.observe(documents, lang).text
            ids = self.encode(shown)
            if len(ids) <= self._settings.max_results or not documents:
                return documents, shown, ids
            if len(documents) > 1:
                documents = documents[:-1]
                continue
            words = documents[0].text.split()
            clipped = documents[0].model_copy(update={"text": " ".join(words[: len(words) * 3 // 4])})
            documents = (clipped,) if words else ()

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text by itself."""
        if self._backend is not None:
            # `encode` also computes offsets, a fifth of the time.
            ids: list[int] = self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
            return ids
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """Return the text of tokens."""
        if self._backend is not None:
            return str(self._backend.decode(ids, skip_special_tokens=False))
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def find_stop(text: str, stops: Sequence[str]) -> int:
    """Return the end of the first stop string in a text; that of the text where there is none."""
    return min((at + len(stop) for stop in stops if (at := text.find(stop)) >= 0), default=len(text))


def read_queries(text: str) -> tuple[str, ...]:
    """Return the lines between the last pair of search tags; none if they are not there in this order."""
    before, _, _ = text.rpartition(SEARCH_END)
    _, found, inside = before.rpartition("<search>")
    return tuple(line.strip() for line in inside.split("\n") if line.strip()) if found else ()


def cut_padding(ids: Sequence[int], eos: int, decode: Callable[[list[int]], str], stops: Sequence[str]) -> list[int]:
    """Return one row of a generated batch without padding: rows that end early are filled up with `eos`.

    A row that stopped at a closing tag has no end of its own: what follows is padding. Any other end is the model's.
    """
    if eos not in ids:
        return list(ids)
    end = list(ids).index(eos)
    kept = list(ids[:end])
    return kept if any(stop in decode(kept) for stop in stops) else [*kept, eos]

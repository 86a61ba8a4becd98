"""Completions with search: the model writes, is stopped at a closing tag, is shown results, and goes on.

The one state machine of it, for trainers here and for a served model in `pipeline.policy`.

Token ids go in and out: what a model wrote is never tokenised again, results are tokenised by themselves, so masks are
exact. The text between tags is that of `pipeline.rendering`, byte for byte: what is learned by SFT is what is met here.

Promises: an answer is followed by the end-of-sequence token where that is asked for, and the model is credited with it
(without it TRL takes a completion for cut off); results carry mask 0; no completion is longer than asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.rendering.tagged import RESEARCH, SEARCH_R1
from schemas.policies import StreamBounds, StreamEnd
from schemas.renderings import ShownDocument

TAGGED = {form.name: form for form in (SEARCH_R1, RESEARCH)}
"""Formats that write into one stream."""
SEARCH_END, ANSWER_END = "</search>", "</answer>"


@dataclass(frozen=True, slots=True)
class SearchStep:
    """The queries of one step of one completion."""

    queries: tuple[str, ...]
    passage_id: str = ""
    """The source passage, which a server of ours withholds; empty to withhold nothing."""


Generate = Callable[[list[list[int]], int], list[list[int]]]
"""Contexts and a number of tokens in, new tokens of each out; an end-of-sequence token stands where one was written."""
Find = Callable[[Sequence[SearchStep]], list[tuple[ShownDocument, ...]]]
"""What searches bring."""


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt and what is right, as the rows have it."""

    task_id: str
    prompt: str
    question: str
    lang: str
    golds: tuple[tuple[str, ...], ...]
    mask_count: int
    passage_id: str


@dataclass(slots=True)
class Completion:
    """One attempt at a task."""

    task: Task
    prompt_ids: list[int]
    ids: list[int] = field(default_factory=list)
    """What was written and shown."""
    mask: list[int] = field(default_factory=list)
    """1 for the model's own tokens, 0 for results."""
    text: str = ""
    """The same as text."""
    observations: list[str] = field(default_factory=list)
    """What was put in."""
    shown: list[tuple[ShownDocument, ...]] = field(default_factory=list)
    """The documents in it, cut to what found room."""
    end: StreamEnd | None = None
    """How it came to its end; None while it has not."""
    searches: int = 0
    """How often results were put in."""
    reward: float | None = None
    """What it is paid, length apart; None when that could not be settled."""
    in_form: float = 0.0
    """1 when its format is kept."""
    right: float = 0.0
    """How right its answers are."""
    penalty: float = 0.0
    """What its length costs: 0 to -1."""

    @property
    def own_tokens(self) -> int:
        """Tokens that the model wrote."""
        return sum(self.mask)


class SearchRollouts:
    """Draws completions."""

    def __init__(self, tokenizer: Any, settings: StreamBounds, closes: bool = True) -> None:
        """`closes`: an answer is followed by the end of the sequence, which TRL looks for."""
        self._form = TAGGED[settings.rendering]
        self._tokenizer = tokenizer
        self._settings = settings
        self._closes = closes
        self._eos = int(tokenizer.eos_token_id)
        # What transformers wraps around it costs as much again, and its batches of one wake up every core.
        self._backend = getattr(tokenizer, "backend_tokenizer", None)

    @property
    def stops(self) -> tuple[str, ...]:
        """Where generation stops."""
        return self._form.stops

    def draw(self, tasks: Sequence[Task], generate: Generate, find: Find) -> list[Completion]:
        """One completion for each task given; a task given several times is attempted several times."""
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
        """Tokens that the model may still write, the closing one apart."""
        return self._settings.max_completion - len(one.ids) - 1

    def take(self, one: Completion, ids: list[int]) -> tuple[str, ...]:
        """Add what was written; the queries to search for, none when the completion is at its end."""
        ended = bool(ids) and ids[-1] == self._eos
        text = self.decode(ids[:-1] if ended else ids)
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
        """Put results in; whether the model can go on."""
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
        """Results that are short enough, as documents, text and tokens: documents are left out from the end, and the
        first loses its last words."""
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
        """Tokens of a text by itself."""
        if self._backend is not None:
            # Offsets, which `encode` works out too, would take a fifth of the time.
            ids: list[int] = self._backend.encode_batch_fast([text], add_special_tokens=False)[0].ids
            return ids
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def decode(self, ids: list[int]) -> str:
        """The text of tokens."""
        if self._backend is not None:
            return str(self._backend.decode(ids, skip_special_tokens=False))
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def read_queries(text: str) -> tuple[str, ...]:
    """The lines between the last pair of search tags; none when they are not there in this order."""
    before, _, _ = text.rpartition(SEARCH_END)
    _, found, inside = before.rpartition("<search>")
    return tuple(line.strip() for line in inside.split("\n") if line.strip()) if found else ()


def cut_padding(ids: Sequence[int], eos: int, decode: Callable[[list[int]], str], stops: Sequence[str]) -> list[int]:
    """What one row of a generated batch really holds, where rows that end early are filled up with `eos`.

    A row that stopped at a closing tag has no end of its own: what follows is padding. Any other end is the model's.
    """
    if eos not in ids:
        return list(ids)
    end = list(ids).index(eos)
    kept = list(ids[:end])
    return kept if any(stop in decode(kept) for stop in stops) else [*kept, eos]

"""Conversion of a trajectory to its transcript: the content common to all formats, safe between tags.

Guarantees: nothing in a transcript can open or close a tag of the formats, whatever its source; queries, answers and
documents are single lines, so that formats which separate by lines can be parsed to the character; a trajectory that
was shown a failed search has no transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pipeline.rendering.task_text import describe_repeats, number_masks, write_page
from prompts.library import load_template, make_inert
from schemas.renderings import QuestionKind, RenderedQuestion, ShownDocument, Step, Transcript
from schemas.trajectories import SEARCH, SearchStatus, Trajectory, Turn


class TranscriptError(ValueError):
    """The trajectory cannot be used for training; `reason` is a code."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class MaskedText(Protocol):
    """Task, with or without its golds."""

    @property
    def title(self) -> str:
        """Title of the page."""
        ...

    @property
    def section(self) -> tuple[str, ...]:
        """Headings above the passage."""
        ...

    @property
    def asked(self) -> str:
        """Return the passage with its masks, or the question."""
        ...

    @property
    def kind(self) -> QuestionKind:
        """Return what is asked."""
        ...

    @property
    def mask_count(self) -> int:
        """Return the number of masks."""
        ...

    @property
    def lang(self) -> str:
        """Language code."""
        ...


def ask(task: MaskedText) -> RenderedQuestion:
    """Return a task as given to a model, without anything that could reveal the gold."""
    text = task.asked
    if task.kind is QuestionKind.RAMP:
        note = describe_repeats((task.title, *task.section, text), task.lang)
        text = f"{write_page(task.title, task.section)}\n{number_masks(text)}{note}"
    return RenderedQuestion(kind=task.kind, lang=task.lang, text=text, answers=task.mask_count)


FindDocument = Callable[[str], ShownDocument | None]
"""From the id of a passage to its document; None where its text is not at hand."""


@dataclass(frozen=True, slots=True)
class QuerySplit:
    """Split of steps with several queries into steps of one, each with all that its query found."""

    find: FindDocument
    """Documents of hits that were not shown."""
    lang: str
    """Language of the thoughts between the queries."""


def transcribe(trajectory: Trajectory, split: QuerySplit | None = None) -> Transcript:
    """Return what was thought, searched, shown and answered.

    The conclusion of a step starts the thought of the next one. Raises TranscriptError with reason `failed_search` when
    a search ended with an error, `no_query` when a step did not search, `no_text` when a hit to be shown has no text.
    """
    conclusion = ""
    steps: list[Step] = []
    for number, turn in enumerate(trajectory.turns, start=1):
        step = _read_turn(turn, conclusion, f"turn {number}")
        steps += _split_step(step, turn, split, f"turn {number}") if split and len(step.queries) > 1 else [step]
        conclusion = turn.conclusion
    answers = tuple(fold_line(answer.answer or "") or None for answer in trajectory.answers)
    return Transcript(steps=tuple(steps), think=_join((conclusion, trajectory.final_think)), answers=answers)


def _split_step(step: Step, turn: Turn, split: QuerySplit, where: str) -> Iterator[Step]:
    shown = {passage.passage_id: write_document(passage.title, passage.text) for passage in turn.shown}
    think: str | None = step.think
    for call in turn.calls:
        if not (query := fold_line(call.query)):
            continue
        documents = []
        for hit in call.hits:
            document = shown.get(hit.passage_id) or split.find(hit.passage_id)
            if document is None:
                raise TranscriptError("no_text", f"{where}: the text of {hit.passage_id} is not in the run")
            documents.append(document)
        words = think if think is not None else load_template("next_query", split.lang).fill(query=query).strip()
        yield Step(think=words, queries=(query,), documents=tuple(documents))
        think = None


def fold_line(text: str) -> str:
    """Return text on one line, inert, with single spaces."""
    return " ".join(make_inert(text).split())


def _read_turn(turn: Turn, conclusion: str, where: str) -> Step:
    if others := sorted({call.tool for call in turn.calls} - {SEARCH}):
        raise TranscriptError("other_tool", f"{where}: {', '.join(others)} was called, and the formats only search")
    failed = [call for call in turn.calls if call.status not in (SearchStatus.OK, SearchStatus.EMPTY)]
    if failed:
        raise TranscriptError("failed_search", f"{where}: a search ended with {failed[0].status}")
    queries = tuple(query for call in turn.calls if (query := fold_line(call.query)))
    if not queries:
        raise TranscriptError("no_query", f"{where}: nothing is searched")
    documents = tuple(write_document(shown.title, shown.text) for shown in turn.shown)
    return Step(think=_join((conclusion, turn.think)), queries=queries, documents=documents)


def write_document(title: str, text: str) -> ShownDocument:
    """Return a search result that is safe between tags."""
    return ShownDocument(title=fold_title(title), text=fold_line(text))


def fold_title(title: str) -> str:
    """Return a title on one line, without the quotes that delimit it in a list of documents."""
    return fold_line(title.replace('"', "'"))


def _join(thoughts: Iterable[str]) -> str:
    """Join thoughts as paragraphs, with Unix line ends."""
    cleaned = ("\n".join(make_inert(thought).splitlines()).strip() for thought in thoughts)
    return "\n\n".join(thought for thought in cleaned if thought)

"""Parser of a trained model's stream: strict for the format, lenient for thoughts and answers.

Guarantees: an answer counts as given in form only when the strict parser reads the whole stream, and the searches in it
are those that were made: results that the model wrote itself break the format, even when the answer is right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.rendering.observations import ReadingError
from pipeline.rendering.tagged import TaggedRendering
from pipeline.rewards.completions import read_completion
from schemas.policies import StreamEnd
from schemas.renderings import RenderedQuestion, ShownDocument, Transcript
from schemas.trajectories import StopReason

THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)
OPENED = "<think>"
REASONS = {
    StreamEnd.STOPPED: StopReason.NO_ANSWER,
    StreamEnd.CUT: StopReason.MAX_TOKENS,
    StreamEnd.FULL: StopReason.MAX_TOKENS,
    StreamEnd.TURNS: StopReason.MAX_TURNS,
    StreamEnd.UNSEARCHED: StopReason.SEARCH_FAILED,
}
"""Stop reason of a trajectory whose stream has no answer."""


@dataclass(frozen=True, slots=True)
class ParsedSearch:
    """Executed search, as the stream should contain it."""

    queries: tuple[str, ...]
    """Queries."""
    documents: tuple[ShownDocument, ...]
    """Documents shown."""


@dataclass(frozen=True, slots=True)
class StreamReading:
    """Parsed stream."""

    thoughts: tuple[str, ...]
    """Thought before each executed search, and the last one."""
    answers: tuple[str | None, ...]
    """One for each requested answer."""
    stop_reason: StopReason
    """Reason for the end of the attempt."""
    fault: str | None
    """Defect of the format; None when there is none."""


def read_stream(
    form: TaggedRendering,
    question: RenderedQuestion,
    own: Sequence[str],
    text: str,
    searched: Sequence[ParsedSearch],
    end: StreamEnd,
) -> StreamReading:
    """Parse a stream.

    Args:
        form: Its format.
        question: What was asked.
        own: What the model wrote, stretch by stretch: one before each search, and the last.
        text: The whole stream.
        searched: The searches that were made and shown, in order.
        end: How it ended.
    """
    thoughts = tuple(_read_thought(piece) for piece in own)
    if end is not StreamEnd.ANSWERED:
        return StreamReading(thoughts, (None,) * question.answers, REASONS[end], None)
    try:
        transcript = form.parse_stream(question, text)
        _compare(transcript, searched)
    except ReadingError as error:
        answers = read_completion(form.name, question.lang, question.answers, text).answers
        return StreamReading(thoughts, answers or (None,) * question.answers, StopReason.MALFORMED, str(error))
    strict = (*(step.think for step in transcript.steps), transcript.think)
    reason = StopReason.GAVE_UP if None in transcript.answers else StopReason.ANSWERED
    return StreamReading(strict, transcript.answers, reason, None)


def _compare(transcript: Transcript, searched: Sequence[ParsedSearch]) -> None:
    """Raise ReadingError when the stream contains other searches than were executed."""
    written = [(step.queries, step.documents) for step in transcript.steps]
    if len(written) > len(searched):
        raise ReadingError("there are results without a search")
    if written != [(made.queries, made.documents) for made in searched]:
        raise ReadingError("a search is not written as it was executed")


def _read_thought(piece: str) -> str:
    """Return the text before the last search or answer of a stretch, without its tags where they are in order."""
    before = piece
    for opening in ("<search>", "<answer>"):
        head, found, _ = piece.rpartition(opening)
        if found and len(head) < len(before):
            before = head
    if match := THOUGHT.fullmatch(before):
        return match[1].strip()
    if before.lstrip().startswith(OPENED) and before.count("<") == 1:  # cut off while thinking
        return before.lstrip().removeprefix(OPENED).strip()
    return before.strip()

"""Format of a trajectory as a state machine: the order of its events, and the content of each.

    START -> THINK -> SEARCH -> RESULTS -> CONCLUSION -> (THINK | CLOSING) ; CLOSING -> ANSWER* -> END

Guarantees: a broken format is detected even when every answer is right, because a model trained on it learns to break
it (results it wrote itself, turns of the user, text after the answer). Only text of the agents is searched for tags;
passages are outside text and may contain anything. The first violation is the reason, one of `FormatFault`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from pipeline.rendering.environment_marks import RESULT_TAGS, SPECIAL_TOKEN, TURN
from schemas.trajectories import SearchStatus, StopReason, Trajectory, Turn


class FormatFault(StrEnum):
    """Faults of the format."""

    NO_SEARCH = "no_search"
    EMPTY_THINK = "empty_think"
    NO_QUERY = "no_query"
    EMPTY_QUERY = "empty_query"
    FAILED_SEARCH = "failed_search"
    STATUS_MISMATCH = "status_mismatch"
    UNFOUNDED_RESULT = "unfounded_result"
    REPEATED_RESULT = "repeated_result"
    WRITTEN_TAG = "written_tag"
    WRITTEN_TURN = "written_turn"
    ANSWERS_MISMATCH = "answers_mismatch"
    UNSEEN_EVIDENCE = "unseen_evidence"
    STOP_MISMATCH = "stop_mismatch"
    BROKEN_STREAM = "broken_stream"


_ROLE_TAGS = "think|search|query|answer|tools?|tool_calls?|function|function_call|system|user|assistant|human"
_TAG = re.compile(rf"</?\s*(?:{_ROLE_TAGS}|{'|'.join(RESULT_TAGS)})\b|{SPECIAL_TOKEN}", re.IGNORECASE)


Fault = tuple[FormatFault, str]
"""A violation, and a sentence with its location."""


def find_fault(trajectory: Trajectory, mask_count: int) -> Fault | None:
    """The first violation; None when the format is correct. `mask_count`: number of answers that the task requires."""
    return next(_walk(trajectory, mask_count), None)


def _walk(trajectory: Trajectory, mask_count: int) -> Iterator[Fault]:
    for number, turn in enumerate(trajectory.turns, start=1):
        for fault, what in _check_turn(turn):
            yield fault, f"turn {number}: {what}"
    if not any(turn.calls for turn in trajectory.turns):
        yield FormatFault.NO_SEARCH, "nothing was searched"
    yield from _check_text("closing thought", trajectory.final_think)
    yield from _check_answers(trajectory, mask_count)
    yield from _check_stop(trajectory)


def _check_turn(turn: Turn) -> Iterator[Fault]:
    if not turn.think.strip():
        yield FormatFault.EMPTY_THINK, "there is no thought"
    yield from _check_text("thought", turn.think)
    if not turn.calls:
        yield FormatFault.NO_QUERY, "nothing is searched"
    returned: set[str] = set()
    for call in turn.calls:
        if not call.query.strip():
            yield FormatFault.EMPTY_QUERY, "a query is empty"
        yield from _check_text("query", call.query)
        if call.status not in (SearchStatus.OK, SearchStatus.EMPTY):
            yield FormatFault.FAILED_SEARCH, f"a search ended with {call.status}"
        elif bool(call.hits) != (call.status is SearchStatus.OK):
            yield FormatFault.STATUS_MISMATCH, f"a search says {call.status} with {len(call.hits)} hits"
        returned.update(hit.passage_id for hit in call.hits)
    shown = [passage.passage_id for passage in turn.shown]
    if not returned.issuperset(shown):
        yield FormatFault.UNFOUNDED_RESULT, "a passage is shown that no search of the turn returned"
    if len(set(shown)) < len(shown):
        yield FormatFault.REPEATED_RESULT, "a passage is shown twice"
    yield from _check_text("conclusion", turn.conclusion)


def _check_answers(trajectory: Trajectory, mask_count: int) -> Iterator[Fault]:
    masks = [answer.mask for answer in trajectory.answers]
    if masks != list(range(mask_count)):
        yield FormatFault.ANSWERS_MISMATCH, f"{mask_count} masks, but the answers are to masks {masks}"
    shown = {passage.passage_id for turn in trajectory.turns for passage in turn.shown}
    for answer in trajectory.answers:
        yield from _check_text("answer", answer.answer or "")
        if answer.evidence is not None and answer.evidence not in shown:
            yield FormatFault.UNSEEN_EVIDENCE, "an answer names evidence that was never shown"


def _check_stop(trajectory: Trajectory) -> Iterator[Fault]:
    answered = all((answer.answer or "").strip() for answer in trajectory.answers)
    if trajectory.stop_reason is StopReason.ANSWERED and not answered:
        yield FormatFault.STOP_MISMATCH, "it says answered, and a mask has no answer"
    if trajectory.stop_reason is StopReason.GAVE_UP and answered:
        yield FormatFault.STOP_MISMATCH, "it says gave_up, and every mask has an answer"
    if trajectory.stop_reason is StopReason.MALFORMED:
        yield FormatFault.BROKEN_STREAM, "what a trained model wrote does not have its form"


def _check_text(what: str, text: str) -> Iterator[Fault]:
    if ("<" in text or "[" in text) and (tag := _TAG.search(text)):
        yield FormatFault.WRITTEN_TAG, f"the {what} holds {tag[0]!r}"
    if turn := TURN.search(text):
        yield FormatFault.WRITTEN_TURN, f"the {what} opens a turn of its own: {turn[0].strip()!r}"

"""Gaming filter, applied before every reward: a completion that tries for reward without solving the task gets 0.

Stricter than the papers by design. ReSearch pays 0.1 and Search-R1 0.1 to 0.3 for a wrong answer, so that a policy that
enumerates or hedges still gains; MaskSearch (arXiv 2505.20285, section 4.3) saw token recall gamed by padding and,
under a penalty on length, by enumeration. Here such a completion gets 0 under every reward.

Guarantees: an answer that equals a gold form after folding passes, and so does one with exactly its tokens in another
order; the first reason found is reported; text after `</answer>` can lower a reward but never raise it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.judging.scoring import GoldForm
from pipeline.rendering.environment_marks import RESULT_TAGS, SPECIAL_TOKEN, TURN
from pipeline.rewards.answer_gaming import find_answer_gaming
from pipeline.rewards.completions import Reading
from pipeline.rewards.messages import clean_text
from schemas.rewards import GamingReason

_NAMES = "|".join(("think", "search", "answer", "tool_call", *RESULT_TAGS))
_TAG = re.compile(
    rf"<\s{{0,3}}(/?)\s{{0,3}}({_NAMES})\b[^<>\n]*>?",
    re.IGNORECASE,
)
_DOCUMENT_LINE = re.compile(r'(?:^|>)[ \t]*Doc \d+\(Title: "[^"\n]*"\)', re.MULTILINE)
_OPENING, _CLOSING = re.compile("<[a-z_]+>"), re.compile("</[a-z_]+>")
_RESULT_MARKS = re.compile(rf"</?(?:{'|'.join(RESULT_TAGS)})>")
_SPECIAL = re.compile(SPECIAL_TOKEN, re.IGNORECASE)


def find_gaming(
    reading: Reading,
    golds: Sequence[tuple[GoldForm, ...]],
    folded_question: str,
    observations: Sequence[str] | None,
) -> GamingReason | None:
    """Return the first way in which the completion games, or None.

    Args: reading: The parsed completion. golds: The right forms of each answer. folded_question: The question, folded;
    empty to ignore copies of it. observations: The texts that the environment inserted, if the rollout gives them;
    differing results were then written by the model. Otherwise only their position counts.
    """
    if observations is not None and not _are_theirs(reading.observations, observations):
        return GamingReason.WRITTEN_RESULTS
    if reason := _check_stream(reading):
        return reason
    answers = reading.answers or ()
    if not any(answers):
        return GamingReason.NO_ANSWER
    if _says_one_thing(answers, golds):
        return GamingReason.REPEATED
    for answer, forms in zip(answers, golds, strict=True):
        if answer is not None and (reason := find_answer_gaming(answer, forms, folded_question)):
            return reason
    return None


def _check_stream(reading: Reading) -> GamingReason | None:
    own = reading.own
    opened, closed = own.count("<answer>"), own.count("</answer>")
    if _DOCUMENT_LINE.search(own) or any(match[2].lower() in RESULT_TAGS for match in _TAG.finditer(own)):
        return GamingReason.WRITTEN_RESULTS
    if TURN.search(own) or _SPECIAL.search(own):
        return GamingReason.WRITTEN_TURN
    if opened > 1 or closed > 1 or reading.surplus:
        return GamingReason.SEVERAL_ANSWERS
    if not _is_balanced(own):
        return GamingReason.UNCLOSED_TAG
    if own.partition("</answer>")[2].strip():
        return GamingReason.TEXT_AFTER_ANSWER
    return None


def _is_balanced(own: str) -> bool:
    """Return whether every tag is complete, closed, and inside no other."""
    inside = ""
    for match in _TAG.finditer(own):
        closing, name = bool(match[1]), match[2]
        if match[0] != f"<{match[1]}{name}>" or inside != (name if closing else ""):
            return False
        inside = "" if closing else name
    return not inside


def _are_theirs(found: Sequence[str], put_in: Sequence[str]) -> bool:
    """Return whether the results are those that were inserted, one by one or several of a turn at once."""
    bare = [_strip_tags(clean_text(text)) for text in put_in]
    return [text.strip() for text in found] == bare or _squeeze("".join(found)) == _squeeze("".join(bare))


def _strip_tags(text: str) -> str:
    """Return a text without a tag that opens it, and one that closes it."""
    text = text.strip()
    opened = _OPENING.match(text)
    start, closed = opened.end() if opened else 0, text.rfind("</")
    end = closed if closed >= start and _CLOSING.fullmatch(text, closed) else len(text)
    return text[start:end].strip()


def _squeeze(text: str) -> str:
    return "".join(_RESULT_MARKS.sub("", text).split())


def _says_one_thing(answers: Sequence[str | None], golds: Sequence[tuple[GoldForm, ...]]) -> bool:
    """Return whether one answer is given to several gaps that have nothing in common."""
    given = [answer for answer in answers if answer]
    if len(given) < 2 or len(set(given)) > 1:
        return False
    forms = [{form.folded for form in forms} for forms in golds]
    return not set.intersection(*forms)

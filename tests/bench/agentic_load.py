"""The workload of the speed benchmarks: items of six dependent calls, shaped like the agents of MaskSearch.

A planner (630 words), then rewriter (600) and observer (2,000 to 2,400) twice, then a judge (250); searching costs
nothing. A prompt names its call, a reply repeats the name, and each prompt quotes the reply before it, so the server
can tell whether a client kept the order. Standard library only: clients of other environments import this too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

SYSTEM = "You help to complete passages of an encyclopedia."
STEPS = ("planner", "rewriter", "observer", "rewriter", "observer", "judge")
PROMPT_WORDS = {"planner": 600, "rewriter": 400, "observer": 1300, "judge": 60}
QUESTION_WORDS, FOUND_WORDS, REPLY_WORDS = 30, 500, 150
CALL = re.compile(rb"call (\d+)/(\d+)\b")
_WORDS = random.Random(0).choices(("amber", "bridge", "canal", "delta", "ember", "fjord", "harbour", "mill"), k=20_000)


def write_words(count: int, place: int) -> str:
    """So many words, the same for the same place."""
    start = place * 7919 % (len(_WORDS) - count)
    return " ".join(_WORDS[start : start + count])


FILLINGS = {role: write_words(count, count) for role, count in PROMPT_WORDS.items()}
TAIL = write_words(REPLY_WORDS - 2, 1)


def write_question(item: int) -> str:
    """What an item is about."""
    return write_words(QUESTION_WORDS, item)


def write_found(item: int, step: int) -> str:
    """What a search brought before a step."""
    return write_words(FOUND_WORDS, item * 10 + step)


def write_prompt(item: int, step: int, replies: Sequence[str]) -> str:
    """The user message of a step, given the replies of the steps before it."""
    role = STEPS[step]
    head = f"call {item}/{step}\n{FILLINGS[role]}\nQuestion: {write_question(item)}\n"
    if role == "planner":
        return head
    if role == "observer":
        return f"{head}So far: {' '.join(replies)}\nFound: {write_found(item, step)}\n"
    return f"{head}Before: {replies[-1]}\n"


def write_reply(call: str) -> str:
    """What the server says to a call, named as `item/step`."""
    return f"reply {call} {TAIL}"


def is_final(item: int, text: str) -> bool:
    """Whether a text is the reply to the last call of an item."""
    return text.startswith(f"reply {item}/{len(STEPS) - 1} ")

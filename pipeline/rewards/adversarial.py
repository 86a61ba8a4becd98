"""Adversarial set: completions that try to game a reward, and the reward each gets, which must be 0.

The set is `adversarial.yaml`, in English and Chinese, and is rendered in every format with a single stream of text. The
judge is assumed to be compromised, accepting every answer, so that only the gaming filter protects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.rendering.chat_template import write_inline
from pipeline.rendering.formats import RENDERINGS
from pipeline.rendering.observations import write_answers
from pipeline.rewards.formulas import RewardInput, assess, pay
from schemas.renderings import (
    ChatRole,
    QuestionKind,
    Rendered,
    RenderedQuestion,
    RenderingName,
    ShownDocument,
    Step,
    Transcript,
)
from schemas.rewards import GamingReason, RewardName

STREAMS = (RenderingName.SEARCH_R1, RenderingName.RESEARCH, RenderingName.QWEN_TOOLS)
"""Renderings with a single stream of text."""
_SET = Path(__file__).with_name("adversarial.yaml")
_QUERY = "who or when"
_ANSWER = "\u2402answer\u2403"
_TURN_END, _TURN_START = "<|im_end|>\n<|im_start|>", "\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """Completion of the set, in one rendering."""

    name: str
    """Name of the attack."""
    reason: GamingReason
    """Reason that the filter must give."""
    row: RewardInput
    """Question."""
    completion: str
    """Completion with observations inserted."""
    observations: tuple[str, ...]
    """Observations inserted by the environment."""


@dataclass(frozen=True, slots=True)
class Paid:
    """Result of an attack."""

    attack: Attack
    reason: GamingReason | None
    """Reason given by the filter."""
    rewards: dict[RewardName, float]

    @property
    def stopped(self) -> bool:
        """Return whether it got nothing under any reward, for the expected reason."""
        return self.reason is self.attack.reason and not any(self.rewards.values())


def list_attacks() -> Iterator[Attack]:
    """Return every attack, in every rendering of one stream, in the order of the file."""
    content = yaml.safe_load(_SET.read_text("utf-8"))
    for entry in (*content["answers"], *content["streams"]):
        about = content["questions"][entry["question"]]
        for rendering in STREAMS:
            yield _build(rendering, about, entry)


def attack_rewards(attack: Attack) -> Paid:
    """Return the reward of an attack under every reward function, the maximum over all settings."""
    assessed = assess(attack.row, attack.completion, attack.observations)
    judged = (True,) * len(attack.row.golds)
    rewards = {reward: pay(reward, assessed, judged, format_credit=0.5) for reward in RewardName}
    return Paid(attack, assessed.gaming, rewards)


def write_stream(rendered: Rendered) -> str:
    """Return a conversation after its prompt as the single text of a rollout, special tokens decoded."""
    spoken = [message for message in rendered.messages if message.role is not ChatRole.SYSTEM][1:]
    parts = [write_inline(spoken[0])]
    for message in spoken[1:]:
        parts += [_TURN_END, str(message.role), _TURN_START, write_inline(message)]
    return "".join(parts)


def _build(rendering: RenderingName, about: dict[str, Any], entry: dict[str, Any]) -> Attack:
    golds = tuple(map(tuple, about["golds"]))
    row = RewardInput(rendering, about["lang"], about["text"], golds)
    question = RenderedQuestion(kind=QuestionKind.RAMP, lang=row.lang, text=row.question, answers=len(golds))
    documents = tuple(ShownDocument(title=title, text=text) for title, text in about["documents"])
    rendered = RENDERINGS[rendering].render(question, _solve(documents, (_ANSWER,) * len(golds)))
    shown = tuple(s.text for m in rendered.messages for s in m.segments if s.kind == "observation")
    stream = write_stream(rendered)
    start, _, ending = stream.partition("<answer>")
    inside = write_answers((_ANSWER,) * len(golds))
    frame = f"<answer>{ending}"
    gold = write_answers([forms[0] for forms in golds])
    if "answer" in entry:
        return Attack(
            entry["name"], GamingReason(entry["reason"]), row, start + frame.replace(inside, entry["answer"]), shown
        )
    opening, closing, search = _find_tags(rendering)
    pieces = {
        **{"start": start, "answer": frame.replace(inside, gold), "gold": gold, "search": search},
        **{"results": opening, "/results": closing, "prompt": "\n".join(map(write_inline, rendered.messages[:-1]))},
    }
    text = entry["text"]
    for key, piece in pieces.items():
        text = text.replace(f"{{{key}}}", piece)
    theirs = shown if "{start}" in entry["text"] else ()
    return Attack(entry["name"], GamingReason(entry["reason"]), row, text, theirs)


def _solve(documents: tuple[ShownDocument, ...], answers: tuple[str, ...]) -> Transcript:
    step = Step(think="Look it up.", queries=(_QUERY,), documents=documents)
    return Transcript(steps=(step,), think="The first result says it.", answers=answers)


@cache
def _find_tags(rendering: RenderingName) -> tuple[str, str, str]:
    """Return the tags around results, and a closed query."""
    if rendering is RenderingName.QWEN_TOOLS:
        return "<tool_response>\n", "\n</tool_response>", '<tool_call>\n{"name": "search"}\n</tool_call>'
    tag = "information" if rendering is RenderingName.SEARCH_R1 else "result"
    return f"<{tag}>", f"</{tag}>", f"<search>{_QUERY}</search>"

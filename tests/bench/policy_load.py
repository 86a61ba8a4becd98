"""What a trained model says in the benchmark of policies: three stretches with two searches, as tokens."""

from __future__ import annotations

from functools import cache
from typing import Any

from flows.configuration.cache import cache_folder
from pipeline.rendering.tagged import SEARCH_R1
from pipeline.rendering.transcript import write_document
from pipeline.rollouts.tokenizer import open_tokenizer
from pipeline.search.engine import FoundPassage
from tests.bench.agentic_load import write_words

TURNS = 3
WORDS = 60
"""Words of a thought: a stretch has about as many tokens as a trained model of MaskSearch's size writes."""


@cache
def load_model() -> tuple[Any, str]:
    """The tokenizer of SmolLM2, and where it lies."""
    where = str(cache_folder() / "smollm2-135m-instruct")
    return open_tokenizer(where), where


def list_passages() -> list[FoundPassage]:
    """What every search brings: three passages of ninety words."""
    return [FoundPassage(f"p{number}", f"Page {number}", write_words(90, number)) for number in range(3)]


@cache
def list_stretches() -> tuple[list[int], ...]:
    """The tokens that the model writes, stretch by stretch."""
    tokenizer, _ = load_model()
    asking = f"<think>{write_words(WORDS, 1)}</think>\n<search>{write_words(6, 2)}</search>"
    answer = f"<think>{write_words(WORDS, 3)}</think>\n<answer>1868</answer>"
    return tuple(tokenizer(text)["input_ids"] for text in (asking, asking, answer))


@cache
def write_marker() -> bytes:
    """The end of results, as it stands in a request."""
    tokenizer, _ = load_model()
    shown = SEARCH_R1.observe([write_document(p.title, p.text) for p in list_passages()], "en").text
    return b",".join(b"%d" % token for token in tokenizer(shown)["input_ids"][-6:])


def complete(body: bytes, _: str) -> dict[str, Any]:
    """A completion, told by how often results stand in the prompt."""
    done = body.count(write_marker())
    ids = list_stretches()[min(done, TURNS - 1)]
    choice = {"index": 0, "text": "", "finish_reason": "stop", "token_ids": ids}
    usage = {"prompt_tokens": body.count(b","), "completion_tokens": len(ids)}
    return {"id": "cmpl", "object": "text_completion", "model": "mock", "choices": [choice], "usage": usage}
